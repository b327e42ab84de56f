"""Labels chosen once per task, told by what annotators do."""

from typing import Any

import pytest

from backend.answers.forms import code_of, reason_to_give_up, region_of
from backend.jobs.vocabulary import NoConsensusError
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import NO_LABEL, AnswerType, Question
from backend.store.project import ProjectInfo, ProjectStore
from tests.backend.jobs.test_vocabulary import put

CONFIG = (
    '<View><Audio name="sound" value="$sound"/><Labels name="who" toName="sound">'
    '<Label value="speech, loud"/><Label value="音楽 😀"/></Labels></View>'
)


@pytest.fixture
def question() -> Question:
    (question,) = parse_config(CONFIG).questions
    return question


def region(label: str, *, length: float | None = None, **value: Any) -> dict[str, Any]:
    found = {"from_name": "who", "to_name": "sound", "type": "labels"}
    told = {} if length is None else {"original_length": length}
    return {**found, **told, "value": {**value, "labels": [label]}}


def test_labels_on_anything_but_text_are_classes(question: Question) -> None:
    assert question.type is AnswerType.LABEL
    assert question.classes == ("speech, loud", "音楽 😀")
    dynamic = CONFIG.replace('toName="sound"', 'toName="sound" value="$labels"')
    assert "from the task data" in parse_config(dynamic).unsupported["who"]


@pytest.mark.parametrize(
    "result",
    [
        [region("音楽 😀")],
        [region("音楽 😀", start=0, end=0)],
        [region("音楽 😀", start=0, end=12.5, length=12.5)],
        [region("音楽 😀", start=0, end=12.4999, length=12.5)],
        [region("音楽 😀", x=0, y=0, width=100, height=100, rotation=0)],
    ],
)
def test_one_label_of_the_whole_object_is_an_answer(
    question: Question, result: list[dict[str, Any]]
) -> None:
    assert reason_to_give_up(question, result) == ""
    assert code_of(question, result) == 1


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ([region("音楽 😀", start=1, end=12.5, length=12.5)], "label parts"),
        ([region("音楽 😀", start=0, end=9, length=12.5)], "label parts"),
        ([region("音楽 😀", start=0, end=12.5)], "label parts"),
        ([region("音楽 😀", x=10, y=0, width=90, height=100)], "label parts"),
        ([region("音楽 😀", points=[[1, 2], [3, 4]])], "label parts"),
        ([region("音楽 😀"), region("speech, loud")], "several labels"),
    ],
)
def test_labels_of_parts_show_that_there_is_no_consensus(
    question: Question, result: list[dict[str, Any]], reason: str
) -> None:
    found = reason_to_give_up(question, result)
    assert reason in found
    assert "<Choices" in found


def test_other_answers_say_nothing(question: Question) -> None:
    for result in ([], [region("gone")], [{"from_name": "who"}], ["nonsense"]):
        assert reason_to_give_up(question, result) == ""
        assert code_of(question, result) == NO_LABEL


def test_a_consensus_is_a_region_that_label_studio_takes(question: Question) -> None:
    found = region_of(question, 1)
    assert code_of(question, [found]) == 1
    assert reason_to_give_up(question, [found]) == ""
    validate_predictions(CONFIG, [{"task": 1, "result": [found], "score": 0.5}])


def test_one_part_in_an_annotation_gives_the_question_up(
    store: ProjectStore, question: Question
) -> None:
    def task(number: int, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "id": number,
            "data": {},
            "annotations": [
                {"id": 10 * number + person, "completed_by": person, "result": [one], **more}
                for person, one in enumerate(results)
            ],
        }

    info = ProjectInfo("t", CONFIG, (question,))
    part = region("音楽 😀", start=1, end=2, length=3)
    put(store, info, [task(1, region("音楽 😀")), task(2, part, was_cancelled=True)])
    assert store.annotations(1).read([1])["codes"].tolist() == [[1]]
    with pytest.raises(NoConsensusError, match="who: annotators label parts"):
        put(store, info, [task(3, region("音楽 😀"), part)])
