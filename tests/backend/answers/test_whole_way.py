"""Each kind of class on its whole way: annotations in, consensus, pages and exports out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backend.answers.forms import region_of
from backend.exports.data_sets import open_data_set
from backend.exports.names import DataSetName
from backend.exports.report import render_report
from backend.insights.questions import question_insights
from backend.insights.task import task_detail
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.insights import store_insights
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import JSON, AnswerType, Question
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore
from backend.web.api.answers import QuestionOverview
from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.agreement import AgreementSums, krippendorff_alpha
from tests.backend.jobs.test_vocabulary import put

TREE = (
    '<Choice value="Animal"><Choice value="Dog"/><Choice value="Cat"/></Choice>'
    '<Choice value="Pflanze, 植物"/>'
)
CONFIG = f"""<View><Text name="a" value="$text"/><Text name="b" value="$other"/>
<Rating name="stars" toName="a" maxRating="4"/>
<Number name="number" toName="a"/>
<Pairwise name="better" toName="a,b"/>
<Taxonomy name="path" toName="a" maxUsages="1">{TREE}</Taxonomy>
<Taxonomy name="paths" toName="a">{TREE}</Taxonomy>
<Choices name="options" toName="a" value="$options"/>
<Choices name="several" toName="a" value="$options" choice="multiple"/></View>"""
QUESTIONS = parse_config(CONFIG).questions
NUM_TASKS = 40
PEOPLE = (1, 2, 3)
WORDS = ("fine lovely warm", "awful cold grim", "grey plain dull", "odd strange new")
PATHS = [["Animal", "Dog"], ["Animal", "Cat"], ["Animal"], ["Pflanze, 植物"]]


def values_of(task: int, person: int) -> dict[str, JSON]:
    """What a person says: the third one is wrong on every fourth task."""
    kind = (task + (person == 3 and task % 4 == 1)) % 4
    return {
        "stars": {"rating": kind + 1},
        "number": {"number": [10, 2.5, -1, 7][kind]},
        "better": {"selected": ["left", "right"][kind % 2]},
        "path": {"taxonomy": [PATHS[kind]]},
        "paths": {"taxonomy": PATHS[: kind + 1]},
        "options": {"choices": [f"option, {kind} 😀"]},
        "several": {"choices": [f"option {n}" for n in range(kind)]},
    }


def raw_task(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "data": {"text": f"{WORDS[number % 4]} {number}"},
        "annotations": [
            {
                "id": number * 10 + person,
                "completed_by": person,
                "result": [
                    {"from_name": name, "value": value}
                    for name, value in values_of(number, person).items()
                ],
            }
            for person in PEOPLE
        ],
    }


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def computed(service: Service) -> ProjectStore:
    store = service.store(25)
    info = ProjectInfo("t", CONFIG, QUESTIONS, feature_width=2**18)
    put(store, info, [raw_task(number) for number in range(NUM_TASKS)])
    recompute_project(store, train_classifiers(store))
    store_insights(store)
    return store


def test_what_most_say_is_said_back_as_label_studio_accepts_it(computed: ProjectStore) -> None:
    info = computed.read_info()
    assert info is not None
    rows = computed.consensus(len(QUESTIONS)).read()
    regions = AnswerRegions(computed, info, rows)
    predictions = [
        {"task": task, "result": regions.of(place), "score": 0.5}
        for place, task in enumerate(rows["task"].tolist())
    ]
    for task, prediction in enumerate(predictions):
        said = {one["from_name"]: one["value"] for one in prediction["result"]}
        expected = values_of(task, 1)
        for name in ("paths", "several"):
            (kind,) = expected[name]
            assert sorted(said.get(name, {kind: []})[kind]) == sorted(expected[name][kind])
        for name in ("stars", "number", "better", "path", "options"):
            assert said[name] == expected[name]
    validate_predictions(CONFIG, predictions)


def test_numbers_have_an_expected_value_on_page_and_in_the_export(
    service: Service, computed: ProjectStore
) -> None:
    parts = open_data_set(service, 25, DataSetName.CONSENSUS).parts()
    frame = next(parts).to_pandas()
    numeric = [one.name for one in QUESTIONS if one.type.is_number]
    assert [name for name in frame if name.endswith("expected_value")] == [
        f"{name}.expected_value" for name in numeric
    ]
    for task in (0, 1, 5):
        answers = {one.question: one for one in task_detail(service, 25, task).answers}
        for name in numeric:
            value = answers[name].expected_value
            assert value is not None
            assert frame[f"{name}.expected_value"][task] == pytest.approx(value, abs=1e-12)
        assert answers["better"].expected_value is None
    agreed = frame["stars.expected_value"][[0, 1]]
    assert abs(agreed[0] - 1) < abs(agreed[1] - 1)  # task 1 has a doubter


def test_agreement_on_numbers_counts_how_far_they_are_apart(computed: ProjectStore) -> None:
    found = {one.summary.name: one for one in question_insights(computed)}
    assert found["number"].summary.classes == ("-1", "2.5", "7", "10")
    assert found["better"].agreement_by_value is None
    by_value = found["number"].agreement_by_value
    assert by_value is not None
    given = [
        (task, place, values_of(task, person)["number"]["number"])
        for task in range(NUM_TASKS)
        for place, person in enumerate(PEOPLE)
    ]
    task, annotator, number = zip(*given, strict=True)
    values, code = np.unique(number, return_inverse=True)
    labels = MultiannotatorLabels.from_codes(
        task, annotator, code, num_tasks=NUM_TASKS, num_annotators=3, num_classes=len(values)
    )
    sums = AgreementSums.of(labels)
    assert by_value.ordinal.value == pytest.approx(krippendorff_alpha(sums, "ordinal"))
    assert by_value.interval.value == pytest.approx(
        krippendorff_alpha(sums, "interval", values=values)
    )
    shown = QuestionOverview.of(found["number"]).numeric_agreement
    assert shown is not None
    assert shown.interval_alpha.value == by_value.interval.value
    assert QuestionOverview.of(found["better"]).numeric_agreement is None


def test_what_consensus_sets_hold_is_counted(service: Service, computed: ProjectStore) -> None:
    found = {one.summary.name: one for one in question_insights(computed)}
    quarter = NUM_TASKS // 4
    assert sorted(found["paths"].held, key=lambda one: -one[1]) == [
        ("Animal / Dog", 4 * quarter),
        ("Animal / Cat", 3 * quarter),
        ("Animal", 2 * quarter),
        ("Pflanze, 植物", quarter),
    ]
    assert [count for _, count in found["several"].held] == [3 * quarter, 2 * quarter, quarter]
    assert not found["several"].summary.is_class
    assert found["path"].held == ()
    assert [one.num_consensus for one in QuestionOverview.of(found["several"]).held] == [30, 20, 10]
    report = render_report(service, 25)
    sections = report.split("<section")
    for section, question in zip(sections[1:], QUESTIONS, strict=True):
        assert ("Where annotators differ" in section) == question.type.is_class
        assert ("What the consensus holds" in section) != question.type.is_class


def test_paths_have_levels(service: Service, computed: ProjectStore) -> None:
    answers = {one.question: one for one in task_detail(service, 25, 5).answers}
    animal, cat = answers["path"].levels
    assert (animal.ancestors, cat.ancestors) == (("Animal",), ("Animal / Cat",))
    assert animal.quality is not None
    assert cat.quality == pytest.approx(answers["path"].quality)
    assert animal.quality > cat.quality
    assert (animal.agreement, cat.agreement) == (1.0, 2 / 3)
    assert [one.agreement for one in answers["paths"].levels] == [1.0, 1.0]
    assert answers["stars"].levels == ()


def test_levels_are_exported_as_the_page_shows_them(
    service: Service, computed: ProjectStore
) -> None:
    frame = next(open_data_set(service, 25, DataSetName.CONSENSUS).parts()).to_pandas()
    assert [name for name in frame if "level" in name] == [
        "path.level_1",
        "path.level_1_quality",
        "path.level_2",
        "path.level_2_quality",
    ]
    for task in (0, 5, 6, 7):
        answers = {one.question: one for one in task_detail(service, 25, task).answers}
        for level in answers["path"].levels:
            name = f"path.level_{level.level}"
            assert (frame[name][task],) == level.ancestors
            assert frame[f"{name}_quality"][task] == pytest.approx(level.quality, abs=1e-12)
    below = frame[["path.level_2", "path.level_2_quality"]]
    assert below.isna().all(axis=1).tolist() == [task % 4 > 1 for task in range(NUM_TASKS)]


def test_predictions_of_one_class_are_regions_of_their_tag() -> None:
    types = {
        question.name: region_of(question.with_classes(["0"]), 0)["type"]
        for question in QUESTIONS
        if question.type.is_class
    }
    assert types == {
        "stars": "rating",
        "number": "number",
        "better": "pairwise",
        "path": "taxonomy",
        "options": "choices",
    }


def test_kinds_of_answers_are_told_apart() -> None:
    def kinds(one: Question) -> tuple[AnswerType, bool]:
        return one.type, one.is_open

    assert {one.name: kinds(one) for one in QUESTIONS} == {
        "stars": (AnswerType.RATING, False),
        "number": (AnswerType.NUMBER, True),
        "better": (AnswerType.PAIRWISE, False),
        "path": (AnswerType.PATH, False),
        "paths": (AnswerType.PATHS, False),
        "options": (AnswerType.CHOICE, True),
        "several": (AnswerType.CHOICES, True),
    }
