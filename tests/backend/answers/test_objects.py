"""Boxes and key points, from the labeling config to regions and back."""

from typing import Any

import numpy as np
import pytest

from backend.answers.form import Answers, PartQuality
from backend.answers.forms import structured_form
from backend.label_studio.annotations import canonical
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import AnswerType, Question

IMAGE = '<Image name="img" value="$image"/>'
BOX_TAG = (
    '<RectangleLabels name="box" toName="img"><Label value="a car, red"/><Label value="人 😀"/>'
    "</RectangleLabels>"
)
POINT_TAG = (
    '<KeyPointLabels name="point" toName="img"><Label value="eye"/><Label value="ear"/>'
    "</KeyPointLabels>"
)
STATE_TAG = (
    '<Choices name="state" toName="img" perRegion="true"><Choice value="new"/>'
    '<Choice value="old"/></Choices>'
)
PARTS_TAG = (
    '<Choices name="parts" toName="img" perRegion="true" choice="multiple" whenTagName="box">'
    '<Choice value="door"/><Choice value="wheel"/></Choices>'
)
CONFIG = f"<View>{IMAGE}{BOX_TAG}{POINT_TAG}{STATE_TAG}{PARTS_TAG}</View>"


@pytest.fixture
def box() -> Question:
    return parse_config(CONFIG).questions[0]


@pytest.fixture
def point() -> Question:
    return parse_config(CONFIG).questions[1]


def region(
    value: Any = None, label: Any = "a car, red", number: str = "r1", **more: Any
) -> dict[str, Any]:
    place = {"x": 10, "y": 20.5, "width": 30, "height": 25, "rotation": 0}
    return {
        "id": number,
        "from_name": "box",
        "to_name": "img",
        "type": "rectanglelabels",
        "original_width": 640,
        "original_height": 480,
        "value": {**place, "rectanglelabels": [label], **(value or {})},
        **more,
    }


def choice(name: str, *choices: str, number: str = "r1") -> dict[str, Any]:
    return {
        "id": number,
        "from_name": name,
        "to_name": "img",
        "type": "choices",
        "value": {"x": 10, "y": 20.5, "width": 30, "height": 25, "choices": list(choices)},
    }


def answers_of(values: list[list[Any]], num_tasks: int = 1, num_annotators: int = 3) -> Answers:
    return Answers(
        tasks=np.arange(num_tasks) + 5,
        annotators=np.arange(num_annotators) + 1,
        task=np.arange(len(values)) // num_annotators,
        annotator=np.arange(len(values)) % num_annotators,
        values=values,
    )


def test_the_config_asks_for_boxes_points_and_more_of_each(box: Question, point: Question) -> None:
    assert (box.type, point.type) == (AnswerType.BOXES, AnswerType.KEY_POINTS)
    assert box.classes == ("a car, red", "人 😀")
    assert [one.name for one in box.attached] == ["state", "parts"]
    assert [one.name for one in point.attached] == ["state"]
    assert Question.from_json(box.to_json()) == box


def test_per_region_answers_without_regions_are_told() -> None:
    config = parse_config(f"<View>{IMAGE}{STATE_TAG}</View>")
    assert not config.questions
    assert config.unsupported == {
        "state": "per-region answers, but no tag whose regions have a consensus labels img"
    }


def test_labels_of_the_task_data_are_told() -> None:
    config = parse_config(
        f'<View>{IMAGE}<RectangleLabels name="box" toName="img" value="$names"/></View>'
    )
    assert "its labels come from the task data" in config.unsupported["box"]


def test_boxes_are_read_with_what_was_asked_of_them(box: Question) -> None:
    form = structured_form(box)
    result = [
        region({"x": 50}, number="r2", label="人 😀"),
        choice("state", "new"),
        choice("parts", "wheel", "door"),
        choice("state", "new", "old", number="r2"),
        region(),
    ]
    expected = [
        {
            "label": "a car, red",
            "at": [10, 20.5, 30, 25, 0],
            "image": [640, 480],
            "attached": {"state": "new", "parts": ["door", "wheel"]},
        },
        {"label": "人 😀", "at": [50, 20.5, 30, 25, 0], "image": [640, 480]},
    ]
    assert form.answer_in(box, result) == expected
    assert canonical(form.answer_in(box, result[::-1])) == canonical(form.answer_in(box, result))
    assert form.answer_in(box, []) == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (region({"width": -3}), "whose width or height is not above 0"),
        (region({"height": 0}), "whose width or height is not above 0"),
        (region({"x": -20}), "outside of their image"),
        (region({"x": 80}), "outside of their image"),
        (region({"y": 104, "rotation": 30}), "outside of their image"),
        (region({"x": None}), "without a number for each coordinate"),
        (region({"y": "20"}), "without a number for each coordinate"),
        (region({"y": float("nan")}), "without a number for each coordinate"),
        (region(label="gone"), "of a class that the config does not have"),
        (region(label=["car"]), "of a class that the config does not have"),
        (region({"rectanglelabels": []}), "without exactly one label"),
        ({"from_name": "box", "id": "x"}, "without a value"),
    ],
)
def test_broken_boxes_are_counted_and_left_out(
    box: Question, broken: dict[str, Any], reason: str
) -> None:
    form = structured_form(box)
    good = form.answer_in(box, [region()])
    one, half = (form.answer_in(box, [*more, broken, "x"]) for more in ([], [region()]))
    assert good is not None
    assert half is not None
    assert half == [*good, {"problem": reason}]
    assert form.words_of(box, half, {}).endswith(f", (one {reason})")
    solution = form.solve(box, answers_of([good, half, one, one, one, one], num_tasks=2))
    assert solution.values == [good, None]
    assert solution.not_counted == f"5 {reason}"
    # Who drew something impossible has not said that nothing is there.
    assert solution.agreement[0] == 1
    assert np.isnan(solution.answer_quality).tolist() == [False, False, True, True, True, True]
    assert solution.annotator_stats.index.tolist() == [1, 2]


def test_only_broken_boxes(box: Question) -> None:
    broken = [{"problem": "without a value"}]
    solution = structured_form(box).solve(box, answers_of([broken] * 3))
    assert solution.values == [None]
    assert solution.not_counted == "3 without a value"
    assert len(solution.annotator_stats) == 0


def test_regions_say_the_answer_back(box: Question, point: Question) -> None:
    form = structured_form(box)
    result = [
        region({"rotation": 12.5}),
        choice("state", "old"),
        choice("parts", "door"),
        region({"x": 60}, number="r2", label="人 😀"),
    ]
    answer = form.answer_in(box, result)
    assert answer is not None
    regions = form.regions_of(box, answer, PartQuality([0.5, 0.25]), {})
    assert form.answer_in(box, regions) == answer
    assert [one.get("score") for one in regions] == [0.5, None, None, 0.25]
    assert regions[1]["id"] == regions[0]["id"] != regions[3]["id"]
    assert {one["original_width"] for one in regions} == {640}
    assert regions[1]["value"]["x"] == 10
    validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
    assert form.words_of(box, answer, {}) == (
        "a car, red at 10 %, 20.5 %, 30 % × 25 %, turned by 12.5° (state: old; parts: door), "
        "人 😀 at 60 %, 20.5 %, 30 % × 25 %"
    )
    assert form.words_of(box, [], {}) == "nothing"


def test_points_are_read_and_written(point: Question) -> None:
    form = structured_form(point)
    value = {"x": 10.25, "y": 20, "width": 0.4, "keypointlabels": ["ear"]}
    result = [{"id": "p", "from_name": "point", "value": value}]
    answer = form.answer_in(point, result)
    assert answer == [{"label": "ear", "at": [10.25, 20, 0.4]}]
    regions = form.regions_of(point, answer, PartQuality(), {})
    assert regions[0]["value"] == value
    assert form.answer_in(point, regions) == answer
    validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
    assert form.words_of(point, answer, {}) == "ear at 10.2 %, 20 %"
    outside = [{"from_name": "point", "value": {**value, "x": 101}}]
    assert form.answer_in(point, outside) == [{"problem": "outside of their image"}]
    negative = [{"from_name": "point", "value": {**value, "width": -1}}]
    assert form.answer_in(point, negative) == [{"problem": "of a negative width"}]


def drawn(at: list[float], label: str = "a car, red", **attached: Any) -> dict[str, Any]:
    part: dict[str, Any] = {"label": label, "at": at, "image": [640.0, 480.0]}
    return {**part, "attached": attached} if attached else part


def test_the_consensus_is_found_with_what_was_asked_of_each_object(box: Question) -> None:
    solution = structured_form(box).solve(
        box,
        answers_of(
            [
                [drawn([10, 10, 20, 20, 0], state="new"), drawn([60, 60, 20, 20, 0], "人 😀")],
                [
                    drawn([11, 10, 20, 20, 0], state="new", parts=["door"]),
                    drawn([61, 60, 20, 20, 0], "人 😀", state="old"),
                ],
                [drawn([12, 10, 20, 20, 0], state="old", parts=["door", "wheel"])],
                [],
                [],
                [drawn([5, 5, 9, 9, 0])],
            ],
            num_tasks=3,
        ),
    )
    first, second, third = solution.values
    assert second == []
    assert third is None
    assert first is not None
    assert [part["label"] for part in first] == ["a car, red", "人 😀"]
    assert first[0]["at"] == pytest.approx([11, 10, 20, 20, 0], abs=0.5)
    assert first[0]["image"] == [640, 480]
    assert first[0]["attached"]["state"] == "new"
    assert "door" in first[0]["attached"]["parts"]
    assert first[1]["attached"] == {"state": "old"}
    form = structured_form(box)
    quality = [
        PartQuality.of(form, value or [], stored)
        for value, stored in zip(solution.values, solution.part_quality, strict=True)
    ]
    assert [len(one.parts) for one in quality] == [2, 0, 0]
    # Of two who named the state of the car one differs; the person's was named by one alone.
    assert list(quality[0].attached[0]) == ["parts", "state"]
    assert 0 < quality[0].attached[0]["state"] < 1
    regions = form.regions_of(box, first, quality[0], {})
    told = {(one["id"], one["from_name"]): one["score"] for one in regions}
    assert told["box-1", "state"] == pytest.approx(quality[0].attached[0]["state"], abs=1e-4)
    assert len(told) == len(regions)
    assert np.isnan(solution.quality).tolist() == [False, False, True]
    assert solution.agreement[:2].tolist() == [pytest.approx(2 / 3)] * 2
    assert np.isnan(solution.agreement[2])
    assert solution.answer_quality.shape == (6,)
    assert solution.annotator_stats.index[0] == 3
    assert (solution.annotator_stats["worst_class"] < 2).all()


def test_nobody_draws_anything(box: Question, point: Question) -> None:
    for question in (box, point):
        solution = structured_form(question).solve(question, answers_of([[], [], []]))
        assert solution.values == [[]]
        assert solution.agreement.tolist() == [1.0]


def test_points_of_different_images_are_matched_by_pixels(point: Question) -> None:
    def at(x: float, y: float) -> list[dict[str, Any]]:
        return [{"label": "eye", "at": [x, y, 0.5], "image": [1000.0, 100.0]}]

    solution = structured_form(point).solve(
        point, answers_of([at(50, 20), at(50, 60), at(50, 40)], num_tasks=1)
    )
    (found,) = solution.values
    assert found == [{"label": "eye", "at": [50, 40, 0.5], "image": [1000, 100]}]


def test_what_leaves_the_image_by_rounding_is_put_back(box: Question, point: Question) -> None:
    eye = {"from_name": "point", "value": {"x": 100.008, "y": -0.004, "keypointlabels": ["eye"]}}
    edge = region({"x": -0.006, "width": 100.009, "rotation": 359.99999})
    for question, given in ((point, eye), (box, edge)):
        form = structured_form(question)
        answer = form.answer_in(question, [given])
        assert answer is not None
        (found,) = form.solve(question, answers_of([answer] * 3)).values
        assert found is not None
        regions = form.regions_of(question, found, PartQuality([1.0]), {})
        validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
        assert form.answer_in(question, regions) == found
