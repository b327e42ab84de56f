"""Spans, from the labeling config to regions and back."""

from typing import Any

import numpy as np
import pytest

from backend.answers.form import Answers, PartQuality
from backend.answers.forms import structured_form
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import train_classifiers
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import AnswerType, Question, Source
from backend.store.project import ProjectInfo, ProjectStore

CONFIG = (
    '<View><Text name="title" value="$title"/><Labels name="ner" toName="text" choice="multiple">'
    '<Label value="person, alive"/><Label value="場所"/><Label value="😀 mood"/></Labels>'
    '<Text name="text" value="$text"/></View>'
)
TEXT = "😀👩‍👩‍👧 Ada lived in 東京."
ADA = [7, 10, "person, alive"]
TOKYO = [20, 22, "場所"]


@pytest.fixture
def question() -> Question:
    (question,) = parse_config(CONFIG).questions
    return question


def region(start: Any, end: Any, *labels: Any) -> dict[str, Any]:
    return {
        "from_name": "ner",
        "type": "labels",
        "value": {"start": start, "end": end, "labels": list(labels)},
    }


def answers(values: list[Any], texts: dict[int, Any], annotators: int = 3) -> Answers:
    """Each of some annotators answers each task in turn."""
    tasks = np.array(sorted(texts))
    number = np.arange(len(values))
    return Answers(
        tasks=tasks,
        annotators=np.arange(annotators) + 1,
        task=number // annotators,
        annotator=number % annotators,
        values=values,
        contents={task: text for task, text in texts.items() if text is not None},
    )


def test_labels_on_a_text_are_a_question(question: Question) -> None:
    assert question.type is AnswerType.SPANS
    assert question.classes == ("person, alive", "場所", "😀 mood")
    assert question.sources == (Source("text", "text"), Source("text", "title"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ('<HyperText name="t" value="$t"/>', "on <Text> only, not on <HyperText>"),
        ('<Paragraphs name="t" value="$t"/>', "on <Text> only, not on <Paragraphs>"),
        ('<Text name="t" value="$t" valueType="url"/>', "behind a URL"),
        ('<Text name="t" value="fixed"/>', 'its text "fixed" is the same in every task'),
    ],
)
def test_other_objects_are_refused_with_a_reason(target: str, reason: str) -> None:
    config = f'<View>{target}<Labels name="l" toName="t"><Label value="a"/></Labels></View>'
    assert reason in parse_config(config).unsupported["l"]


def test_labels_from_the_task_are_refused() -> None:
    config = '<View><Text name="t" value="$t"/><Labels name="l" toName="t" value="$l"/></View>'
    assert "come from the task data" in parse_config(config).unsupported["l"]


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ([], []),
        ([region(*TOKYO), region(*ADA), region(*ADA)], [ADA, TOKYO]),
        ([region("7", 10.0, "person, alive")], [ADA]),
        ([region(7, 10, "person, alive", "場所")], [ADA, [7, 10, "場所"]]),
        ([region(0.5, 3, "場所"), region(None, 3, "場所"), region(True, 3, "場所")], []),
        ([region("x", 3, "場所"), region(1e300, 3, "場所"), region(0, 3, None, 4)], []),
        ([{"from_name": "ner", "value": {"start": 0, "end": 3}}, "nonsense", 3], []),
        ([{**region(*ADA), "from_name": "other"}], []),
    ],
)
def test_spans_are_read(question: Question, result: list[Any], answer: list[Any]) -> None:
    assert structured_form(question).answer_in(question, result) == answer


def test_regions_say_the_spans_back(question: Question) -> None:
    form = structured_form(question)
    for answer in ([], [ADA], [ADA, TOKYO]):
        regions = form.regions_of(question, answer, PartQuality([0.75] * len(answer)), {})
        assert form.answer_in(question, regions) == answer
        assert [one["score"] for one in regions] == [0.75] * len(answer)
        validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
        without = form.regions_of(question, answer, PartQuality(), {})
        assert not any("score" in one for one in without)
    assert form.words_of(question, [], {}) == "nothing"
    assert form.words_of(question, [ADA, TOKYO], {}) == "person, alive 7–10, 場所 20–22"


def test_spans_are_shown_and_sent_with_their_text(question: Question) -> None:
    form, contents = structured_form(question), {"text": "By the\n\nlovely Ada  B. 東京"}
    answer = [[15, 22, "person, alive"], [23, 90, "場所"]]
    assert form.words_of(question, answer, contents) == (
        "person, alive “Ada B.” 15–22, 場所 “東京” 23–90"
    )
    regions = form.regions_of(question, answer, PartQuality(), contents)
    assert [one["value"]["text"] for one in regions] == ["Ada  B.", "東京"]
    assert form.answer_in(question, regions) == answer
    validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
    for other in ({"text": None}, {"title": "x"}):
        assert form.words_of(question, answer[:1], other) == "person, alive 15–22"


def test_the_consensus_is_found(question: Question) -> None:
    texts = {3: {"text": TEXT}, 5: {"text": TEXT}, 8: {"text": ""}}
    solution = structured_form(question).solve(
        question,
        answers([[ADA, TOKYO], [ADA, TOKYO], [ADA], [], [], [TOKYO], [], [], []], texts),
    )
    assert solution.values == [[ADA, TOKYO], [], []]
    assert [len(one) for one in solution.part_quality] == [2, 0, 0]
    assert solution.part_quality[0][0] > solution.part_quality[0][1]
    np.testing.assert_allclose(solution.agreement, [2 / 3, 2 / 3, 1])
    assert ((solution.quality >= 0) & (solution.quality <= 1)).all()
    assert solution.annotator_stats.index[0] == 3
    assert solution.not_counted == ""


def test_what_cannot_be_is_left_out_and_counted(question: Question) -> None:
    length = len(TEXT)
    odd = [[-3, 2, "場所"], [0, length + 1, "場所"], [5, 5, "場所"], [9, 4, "場所"], [0, 1, "gone"]]
    texts = {3: {"text": TEXT}, 5: {"text": TEXT}, 8: {"title": "no text"}, 9: None}
    solution = structured_form(question).solve(
        question, answers([[*odd, ADA], [ADA], [ADA]] + [[TOKYO]] * 9, texts)
    )
    assert solution.values == [[ADA], [TOKYO], None, None]
    assert np.isnan(solution.quality).tolist() == [False, False, True, True]
    assert np.isnan(solution.answer_quality).tolist() == [False] * 6 + [True] * 6
    assert solution.not_counted == (
        "spans (1 of a class that the config does not have, 2 outside their text, 2 "
        'that end before they begin); 6 answers to tasks without a text under "text" in their data'
    )


def test_no_text_is_known(question: Question) -> None:
    solution = structured_form(question).solve(question, answers([[ADA]] * 3, {3: None}))
    assert solution.values == [None]
    assert solution.annotator_stats.empty
    assert solution.not_counted.startswith("3 answers to tasks without a text")


def test_the_words_teach_a_classifier(question: Question) -> None:
    names = ["Ada", "Bob", "Cy", "Dora", "Eve"]
    texts = {n: {"text": f"{names[n % 5]} saw {names[n % 3]} number {n}"} for n in range(60)}
    values = []
    for number in range(60):
        first, second = len(names[number % 5]), len(names[number % 3])
        spans = [[0, first, "person, alive"]]
        spans.append([first + 5, first + 5 + second, "person, alive"])
        values += [spans, spans, spans[:1]]
    solution = structured_form(question).solve(question, answers(values, texts))
    assert solution.classifier == "linear classifier on words and their neighbours"
    assert solution.values == values[::3]


def test_from_stored_annotations_to_regions(store: ProjectStore, question: Question) -> None:
    def task(number: int, data: dict[str, Any], *results: list[Any]) -> dict[str, Any]:
        annotations = [
            {"id": 10 * number + person, "completed_by": person, "result": result}
            for person, result in enumerate(results, 1)
        ]
        return {"id": number, "data": data, "annotations": annotations}

    both = [region(*ADA), region(*TOKYO)]
    rows = TaskRows((question,))
    rows.add(
        [
            task(1, {"text": TEXT, "title": "t"}, both, both, [region(*ADA)]),
            task(2, {"text": "nothing", "title": "t"}, [], [], [region(0, 99, "場所")]),
            task(3, {"title": "t"}, both),
        ]
    )
    info = ProjectInfo("t", CONFIG, (question,))
    replace_tasks(store, info, rows.task_ids, *rows.arrays(store.answer_book))
    store.contents.save(rows.shown)
    recompute_project(store, train_classifiers(store))

    consensus = store.consensus(1).read()
    assert consensus["task"].tolist() == [1, 2]
    regions = AnswerRegions(store, info, consensus)
    texts = ("Ada", "東京")
    assert [one["value"] for one in regions.of(0)] == [
        {**one["value"], "text": text} for one, text in zip(both, texts, strict=True)
    ]
    assert regions.of(1) == []
    assert [part.words for part in regions.parts_of(0, 0)] == [
        "person, alive “Ada” 7–10",
        "場所 “東京” 20–22",
    ]
    summary = store.read_summary()
    assert summary is not None
    (found,) = summary.questions
    assert found.num_labeled == 2
    assert found.not_counted == (
        'spans (1 outside their text); 1 answers to tasks without a text under "text" in their data'
    )


def test_what_is_asked_of_each_span_belongs_to_it() -> None:
    config = (
        '<View><Labels name="ner" toName="text"><Label value="PER"/></Labels>'
        '<Text name="text" value="$text"/><Choices name="mood" toName="text" perRegion="true">'
        '<Choice value="good"/><Choice value="bad"/></Choices></View>'
    )
    (asked,) = parse_config(config).questions
    form = structured_form(asked)
    place = {"start": 0, "end": 3}

    def result(mood: str) -> list[dict[str, Any]]:
        return [
            {"id": "r", "from_name": "ner", "value": {**place, "labels": ["PER"]}},
            {"id": "r", "from_name": "mood", "value": {**place, "choices": [mood]}},
            {"id": "s", "from_name": "ner", "value": {"start": 7, "end": 10, "labels": ["PER"]}},
        ]

    values = [form.answer_in(asked, result(mood)) for mood in ("good", "bad", "good")]
    assert values[0] == [[0, 3, "PER", {"mood": "good"}], [7, 10, "PER"]]
    solution = form.solve(
        asked,
        Answers(
            tasks=np.array([4]),
            annotators=np.array([1, 2, 3]),
            task=np.zeros(3, dtype=int),
            annotator=np.arange(3),
            values=[value or [] for value in values],
            contents={4: {"text": "Ada is Bob"}},
        ),
    )
    assert solution.values == [values[0]]
    assert solution.agreement.tolist() == [1.0]
    regions = form.regions_of(
        asked, values[0] or [], PartQuality([0.5, 0.25], [{"mood": 0.75}, {}]), {}
    )
    assert form.answer_in(asked, regions) == values[0]
    assert [one.get("id") for one in regions] == ["ner-1", "ner-1", None]
    assert [one["score"] for one in regions] == [0.5, 0.75, 0.25]
    (stored,) = solution.part_quality
    known = PartQuality.of(form, values[0] or [], stored)
    assert [list(one) for one in known.attached] == [["mood"], []]
    assert 0.5 < known.attached[0]["mood"] < 1
    validate_predictions(config, [{"task": 4, "result": regions, "score": 0.5}])
    assert form.words_of(asked, values[0] or [], {}) == "PER 0–3 (mood: good), PER 7–10"
