"""Free text, from the labeling config to regions and back."""

from typing import Any

import numpy as np
import pytest

from backend.answers.form import Answers, PartQuality
from backend.answers.forms import structured_form
from backend.insights.annotators import doubtful_labels, leaderboard
from backend.insights.questions import question_insights
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.insights import store_insights
from backend.jobs.rank import rank_tasks
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import train_classifiers
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import AnswerType, Question
from backend.store.project import ProjectInfo, ProjectStore

CONFIG = (
    '<View><Audio name="audio" value="$audio"/><TextArea name="said" toName="audio"/>'
    '<TextArea name="of_region" toName="audio" perRegion="true"/></View>'
)


@pytest.fixture
def question() -> Question:
    (question,) = parse_config(CONFIG).questions
    return question


def region(text: Any) -> dict[str, Any]:
    return {"from_name": "said", "type": "textarea", "value": {"text": text}}


def test_a_text_area_is_a_question_unless_it_belongs_to_regions(question: Question) -> None:
    assert question.type is AnswerType.TEXTS
    assert (question.name, question.classes) == ("said", ())
    reasons = parse_config(CONFIG).unsupported
    assert reasons == {"of_region": "per-region texts have no consensus yet"}


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ([], None),
        ([region([])], None),
        ([region([" ", ""])], None),
        ([region(["Grüße 😀 "])], ["Grüße 😀"]),
        ([region("plain")], ["plain"]),
        ([region(["one", "two"]), region(["three"])], ["one", "two", "three"]),
        ([region([3, None, "x"]), region({"a": 1}), "nonsense"], ["x"]),
        ([{**region(["x"]), "from_name": "other"}], None),
    ],
)
def test_texts_are_read(question: Question, result: list[Any], answer: list[str] | None) -> None:
    assert structured_form(question).answer_in(question, result) == answer


def test_regions_say_the_texts_back(question: Question) -> None:
    form = structured_form(question)
    for answer in (["a"], ["two\nlines", "質 <b>"]):
        regions = form.regions_of(question, answer, PartQuality([1.0] * len(answer)), {})
        assert form.answer_in(question, regions) == answer
        validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
    assert form.words_of(question, ["two\n lines", "b"], {}) == "two lines / b"


def test_the_consensus_is_an_answer_that_was_given(question: Question) -> None:
    given = [["a cat", "sat"], ["a cat", "sad"], ["A cat", "sat"], ["no\nidea"]]
    solution = structured_form(question).solve(
        question,
        Answers(
            tasks=np.array([3, 5, 9]),
            annotators=np.array([1, 2, 4]),
            task=np.array([0, 0, 0, 2]),
            annotator=np.array([0, 1, 2, 0]),
            values=given,
        ),
    )
    assert solution.values == [["a cat", "sat"], None, ["no\nidea"]]
    assert [len(one) for one in solution.part_quality] == [2, 0, 1]
    assert np.isnan(solution.quality).tolist() == [False, True, False]
    assert solution.agreement[0] == pytest.approx(2 / 3)
    assert solution.answer_quality[1] < solution.answer_quality[0]


def test_from_stored_annotations_to_predictions(store: ProjectStore, question: Question) -> None:
    tasks = []
    for number in range(12):
        right = f"sentence number {number}, as it was spoken"
        is_clear = number % 2
        said = [right, right.replace("k", "" if is_clear else "k"), right if is_clear else "no"]
        annotations = [
            {"id": number * 10 + person, "completed_by": person, "result": [region([text])]}
            for person, text in enumerate(said, start=1)
        ]
        tasks.append({"id": number, "data": {"audio": "a.wav"}, "annotations": annotations})
    rows = TaskRows((question,))
    rows.add(tasks)
    info = ProjectInfo("t", CONFIG, (question,))
    replace_tasks(store, info, rows.task_ids, *rows.arrays(store.answer_book))
    recompute_project(store, train_classifiers(store))
    store_insights(store)
    stored = store.consensus(1).read()
    regions = AnswerRegions(store, info, stored)
    for number in range(12):
        (one,) = regions.of(number)
        assert one["value"] == {"text": [f"sentence number {number}, as it was spoken"]}
        (part,) = regions.parts_of(number, 0)
        assert part.words.startswith("sentence number")
        assert part.quality is not None
    assert stored["quality"][::2, 0].max() < stored["quality"][1::2, 0].min()
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].annotators[0]["worst_class"] == ""
    assert (
        summary.questions[0].classifier == "none: there is no classifier for answers of this form"
    )
    assert leaderboard(store, 0)[-1].annotator == 3
    assert doubtful_labels(store, 0, 3)[0].given == "no"
    (insight,) = question_insights(store)
    assert insight.quality_histogram.sum() == 12
    assert len(rank_tasks(store).tasks) > 0
