"""Objects drawn on images: `<RectangleLabels>` and `<KeyPointLabels>`.

A part of an answer is one object: `label`, its class; `at`, its place in percent of the
image's sides, as Label Studio has it; `image`, the image's width and height in pixels, where
Label Studio tells them; `attached`, what else was asked of it. An annotation without any
object says that there is none. A part that cannot be an object has its `problem` instead.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.attached import (
    attached_consensus,
    attached_in,
    attached_note,
    attached_regions,
)
from backend.answers.form import Answers, PartQuality, Solution, StructuredForm, Value
from backend.answers.matches import f1_of_matches
from backend.label_studio.questions import JSON, AnswerType, Question
from backend.settings import load_settings
from crowdlab_engine import Drawings, ObjectConsensus, shapes
from crowdlab_engine.objects import NO_OBJECT

_UNKNOWN_SIDE = 100.0
_ROUNDING = 0.01
"""By how many percent drawings may leave their image."""

_DECIMALS = 4


class Objects(StructuredForm):
    """Any number of objects, each of one class."""

    coordinates: ClassVar[tuple[str, ...]]
    """Keys of a region's value that say where it is."""
    usual: ClassVar[Mapping[str, float]]
    """What coordinates are that a region does not tell."""

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        if control.dynamic_value or not control.labels:
            return "its labels come from the task data, so there is no fixed set of classes"
        return ""

    @property
    @abstractmethod
    def shape(self) -> shapes.Shape:
        """What is drawn, and how alike drawings of the same object are."""

    @abstractmethod
    def problem_of(self, at: Sequence[float]) -> str:
        """Why there cannot be an object at a place; empty if there can."""

    def answer_in(self, question: Question, result: Sequence[object]) -> Value:
        """Objects that an annotation's result gives, ordered by their place, and problems.

        What cannot be an object is kept: `solve` leaves it out and says how many they were.
        """
        parts: list[JSON] = []
        problems: list[str] = []
        for region in result:
            if not isinstance(region, Mapping) or region.get("from_name") != question.name:
                continue
            part = self._part_of(question, region)
            if isinstance(part, str):
                problems.append(part)
                continue
            attached = attached_in(question, result, region.get("id"))
            parts.append({**part, "attached": attached} if attached else part)
        parts.sort(key=lambda part: (part["at"], part["label"], repr(part)))
        return [*parts, *({"problem": problem} for problem in sorted(problems))]

    def _part_of(self, question: Question, region: Mapping[str, Any]) -> JSON | str:
        """Object that a region is, or what is wrong with it."""
        value = region.get("value")
        if not isinstance(value, Mapping):
            return "without a value"
        labels = value.get(self.tag.lower())
        if not isinstance(labels, list) or len(labels) != 1:
            return "without exactly one label"
        if labels[0] not in question.classes:
            return "of a class that the config does not have"
        at: list[Any] = [value.get(name, self.usual.get(name)) for name in self.coordinates]
        if not all(_is_number(one) for one in at):
            return "without a number for each coordinate"
        problem = self.problem_of(at)
        if problem:
            return problem
        part: JSON = {"label": labels[0], "at": [float(one) for one in at]}
        image: list[Any] = [region.get("original_width"), region.get("original_height")]
        if all(_is_number(side) and side > 0 for side in image):
            part["image"] = [float(side) for side in image]
        return part

    def regions_of(
        self, question: Question, answer: Value, quality: PartQuality, contents: JSON
    ) -> list[JSON]:
        """Return a region for each object, and those of what is asked of it."""
        found = []
        for number, part in enumerate(answer):
            place = dict(zip(self.coordinates, part["at"], strict=True))
            region: JSON = {
                "id": f"{question.name}-{number + 1}",
                "from_name": question.name,
                "to_name": question.to_name,
                "type": self.tag.lower(),
                "value": {**place, self.tag.lower(): [part["label"]]},
            }
            if "image" in part:
                width, height = part["image"]
                region |= {"original_width": round(width), "original_height": round(height)}
                region["image_rotation"] = 0
            if quality.parts:
                region["score"] = round(quality.parts[number], _DECIMALS)
            found.append(region)
            sure = quality.attached[number] if quality.attached else {}
            scores = {name: round(one, _DECIMALS) for name, one in sure.items()}
            found += attached_regions(question, region, place, self.attached_to(part), scores)
        return found

    def attached_to(self, part: Any) -> JSON:
        """Answers to what was asked of an object, by the control's name."""
        attached: JSON = part.get("attached", {})
        return attached

    def likeness(
        self, question: Question, pairs: Sequence[tuple[Value, Value]]
    ) -> NDArray[np.float64]:
        """Return the F1 score of objects of the same class that are alike enough to be the same.

        What cannot be an object is left out; an answer of nothing else is like no other.
        """
        shape = self.shape
        usable = [[[p for p in some if "problem" not in p] for some in pair] for pair in pairs]
        one, other = (_Parts.of([some[n] for some in usable], len(shape.columns)) for n in (0, 1))
        image = np.where(one.image[:, :1] > 0, one.image, other.image)
        image = np.where(image > 0, image, _UNKNOWN_SIDE)
        # Every part of the one with every part of the other, pair by pair.
        number = one.size * other.size
        which = np.repeat(np.arange(len(pairs)), number)
        end = np.cumsum(number)
        step = np.arange(number.sum()) - (end - number)[which]
        row = one.first[which] + step // np.maximum(other.size, 1)[which]
        column = other.first[which] + step % np.maximum(other.size, 1)[which]
        scale = _scale(image, len(shape.columns))[which]
        alike = shape.similarity(
            one.at[row] * scale, other.at[column] * scale, np.hypot(*image[which].T)
        )
        alike = np.where(one.label[row] == other.label[column], alike, 0.0)
        found = np.zeros(len(pairs))
        for place, (pair, good) in enumerate(zip(pairs, usable, strict=True)):
            # An answer of nothing but problems says nothing, not that nothing is there.
            if all(bool(some) == bool(left) for some, left in zip(pair, good, strict=True)):
                own = alike[end[place] - number[place] : end[place]]
                similarity = own.reshape(one.size[place], other.size[place])
                found[place] = f1_of_matches(similarity, shape.threshold)
        return found

    def words_of_part(self, question: Question, part: Any, contents: JSON) -> str:
        """Return class and place of an object, and what was asked of it."""
        if "problem" in part:
            return f"(one {part['problem']})"
        words = f"{part['label']} {self.words_of_place(part['at'])}"
        return words + attached_note(question, self.attached_to(part))

    @abstractmethod
    def words_of_place(self, at: Sequence[float]) -> str:
        """Place of an object, in percent, for people."""

    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the objects of each task, and what was asked of them."""
        given = _Given.of(answers, len(self.coordinates))
        if not len(given.usable):
            return _nothing(answers, given)
        num_shape = len(self.shape.columns)
        scale = _scale(given.image, num_shape)
        code = {name: number for number, name in enumerate(question.classes)}
        fitted = ObjectConsensus(self.shape).fit(
            Drawings.from_codes(
                answers.task[given.usable],
                answers.annotator[given.usable],
                given.answer,
                [code[part["label"]] for part in given.parts],
                given.at[:, :num_shape] * scale[given.task],
                image_size=given.image,
                task_ids=answers.tasks,
                annotator_ids=answers.annotators,
                classes=question.classes,
            )
        )
        place = fitted.object_coordinates_ / scale[fitted.object_task_]
        members = np.flatnonzero(fitted.drawing_object_ != NO_OBJECT)
        of = fitted.drawing_object_[members]
        # What is not part of the shape, such as the size of a point's mark, is averaged.
        more = np.stack(
            [
                np.bincount(of, weights=column, minlength=len(place))
                / np.maximum(fitted.object_size_, 1)
                for column in given.at[members, num_shape:].T
            ]
            or [np.empty(len(place))],
            axis=1,
        )[:, : len(self.coordinates) - num_shape]
        attached, sure = attached_consensus(
            question,
            of,
            answers.annotator[given.usable[given.answer[members]]],
            [given.parts[member].get("attached", {}) for member in members.tolist()],
            len(place),
        )
        objects = [
            _part(
                question.classes[label],
                at,
                given.image[task].tolist() if given.has_image[task] else None,
                answer,
            )
            for task, label, at, answer in zip(
                fitted.object_task_.tolist(),
                fitted.object_label_.tolist(),
                _possible(np.concatenate([place, more], axis=1)).tolist(),
                attached,
                strict=True,
            )
        ]
        return _solution(answers, given, fitted, objects, sure, len(question.classes))


class Boxes(Objects):
    """Boxes, upright or turned."""

    type = AnswerType.BOXES
    tag = "RectangleLabels"
    coordinates = ("x", "y", "width", "height", "rotation")
    usual: ClassVar[Mapping[str, float]] = {"rotation": 0.0}

    @property
    def shape(self) -> shapes.Boxes:
        """Boxes that overlap by `CROWDLAB_MIN_IOU`."""
        return shapes.Boxes(load_settings().min_iou)

    def problem_of(self, at: Sequence[float]) -> str:
        """Why there cannot be a box at a place; empty if there can."""
        x, y, width, height, rotation = at
        if width <= 0 or height <= 0:
            return "whose width or height is not above 0"
        if width > 100 + _ROUNDING or height > 100 + _ROUNDING or not (_inside(x) and _inside(y)):
            return "outside of their image"
        if rotation % 360 == 0 and not (_inside(x + width) and _inside(y + height)):
            return "outside of their image"
        return ""

    def words_of_place(self, at: Sequence[float]) -> str:
        """Corner, size and rotation of a box, in percent and degrees."""
        x, y, width, height, rotation = (format(one, ".1f").removesuffix(".0") for one in at)
        turned = "" if rotation == "0" else f", turned by {rotation}°"
        return f"at {x} %, {y} %, {width} % × {height} %{turned}"


class KeyPoints(Objects):
    """Points."""

    type = AnswerType.KEY_POINTS
    tag = "KeyPointLabels"
    coordinates = ("x", "y", "width")
    usual: ClassVar[Mapping[str, float]] = {"width": 0.5}

    @property
    def shape(self) -> shapes.Points:
        """Points that are not farther apart than `CROWDLAB_MAX_POINT_DISTANCE`."""
        return shapes.Points(load_settings().max_point_distance)

    def problem_of(self, at: Sequence[float]) -> str:
        """Why there cannot be a point at a place; empty if there can."""
        x, y, width = at
        if width < 0:
            return "of a negative width"
        return "" if _inside(x) and _inside(y) else "outside of their image"

    def words_of_place(self, at: Sequence[float]) -> str:
        """Place of a point, in percent."""
        x, y = (format(one, ".1f").removesuffix(".0") for one in at[:2])
        return f"at {x} %, {y} %"


@dataclass(frozen=True, eq=False)
class _Parts:
    """The objects of P answers, D in all."""

    size: NDArray[np.int64]
    """Objects of each answer, shape (P,)."""
    first: NDArray[np.int64]
    """Place of the first object of each answer, shape (P,)."""
    at: NDArray[np.float64]
    """Where each is, in percent, shape (D, C)."""
    label: NDArray[Any]
    """Class of each, shape (D,)."""
    image: NDArray[np.float64]
    """Width and height of each answer's image, shape (P, 2); 0 where it does not tell."""

    @classmethod
    def of(cls, answers: Sequence[Sequence[JSON]], num_coordinates: int) -> _Parts:
        """Collect the objects of answers, which have no problems."""
        parts = [part for answer in answers for part in answer]
        size = np.array([len(answer) for answer in answers], dtype=np.int64)
        at = np.array([part["at"][:num_coordinates] for part in parts], dtype=np.float64)
        told = [
            next((part["image"] for part in answer if "image" in part), [0.0, 0.0])
            for answer in answers
        ]
        return cls(
            size,
            np.cumsum(size) - size,
            at.reshape(-1, num_coordinates),
            np.array([part["label"] for part in parts], dtype=object),
            np.array(told, dtype=np.float64).reshape(-1, 2),
        )


@dataclass(frozen=True, eq=False)
class _Given:
    """All objects that annotators gave, D in all."""

    usable: NDArray[np.int64]
    """Answers that have an object, or say that there is none, shape (A,)."""
    parts: Sequence[JSON]
    answer: NDArray[np.int64]
    """Which of the usable answers each object belongs to, shape (D,)."""
    task: NDArray[np.int64]
    """Task of each, shape (D,)."""
    at: NDArray[np.float64]
    """Where each is, in percent, shape (D, C)."""
    image: NDArray[np.float64]
    """Width and height of each task's image, shape (N, 2); a square where nobody tells."""
    has_image: NDArray[np.bool_]
    """Whether somebody tells, shape (N,)."""
    not_counted: str
    """What of the answers is left out, and why."""

    @classmethod
    def of(cls, answers: Answers, num_coordinates: int) -> _Given:
        """Collect the objects of all answers."""
        problems: Counter[str] = Counter()
        usable: list[int] = []
        parts: list[JSON] = []
        size: list[int] = []
        for number, value in enumerate(answers.values):
            objects = [part for part in value if "problem" not in part]
            problems.update(part["problem"] for part in value if "problem" in part)
            if objects or not value:
                usable.append(number)
                parts += objects
                size.append(len(objects))
        answer = np.repeat(np.arange(len(usable)), size)
        task = answers.task[np.asarray(usable, dtype=np.int64)][answer]
        image = np.full((len(answers.tasks), 2), _UNKNOWN_SIDE)
        has_image = np.zeros(len(answers.tasks), dtype=np.bool_)
        told = [place for place, part in enumerate(parts) if "image" in part]
        has_image[task[told]] = True
        image[has_image] = 0
        # Where annotators tell different sizes, the largest is as good as any.
        sizes = np.array([parts[place]["image"] for place in told], dtype=np.float64)
        np.maximum.at(image, task[told], sizes.reshape(-1, 2))
        at = np.array([part["at"] for part in parts], dtype=np.float64)
        return cls(
            np.asarray(usable, dtype=np.int64),
            parts,
            answer,
            task,
            at.reshape(-1, num_coordinates),
            image,
            has_image,
            "; ".join(f"{number} {problem}" for problem, number in sorted(problems.items())),
        )


def _possible(at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round places, and keep them where Label Studio takes them: 0 to 100 %, 0 to 360°."""
    rounded = at.round(_DECIMALS)
    rounded[:, :4] = rounded[:, :4].clip(0, 100)
    rounded[:, 4:] %= 360
    return rounded


def _scale(image: NDArray[np.float64], num_coordinates: int) -> NDArray[np.float64]:
    """What percents are multiplied with to have pixels, shape (N, C); rotation stays as it is."""
    scale = np.ones((len(image), num_coordinates))
    for column in range(min(num_coordinates, 4)):
        scale[:, column] = image[:, column % 2] / 100
    return scale


def _solution(
    answers: Answers,
    given: _Given,
    fitted: ObjectConsensus,
    objects: Sequence[JSON],
    attached_quality: Sequence[Mapping[str, float]],
    num_classes: int,
) -> Solution:
    """Consensus of each task; `attached_quality` as in `PartQuality`, of each object."""
    num_tasks = len(answers.tasks)
    first = np.searchsorted(fitted.object_task_, np.arange(num_tasks + 1))
    task = answers.task[given.usable]
    number = np.bincount(task, minlength=num_tasks)
    agreeing = np.bincount(task, weights=fitted.answer_agrees_, minlength=num_tasks)
    agreement = np.full(num_tasks, np.nan)
    np.divide(agreeing, number, out=agreement, where=number > 0)
    answer_quality = np.full(len(answers.values), np.nan)
    answer_quality[given.usable] = fitted.answer_quality_
    quality = fitted.object_quality_.tolist()
    stats = fitted.annotator_stats_
    stats = stats[stats["num_examples_labeled"] > 0]
    return Solution(
        values=[
            list(objects[first[task] : first[task + 1]]) if number[task] else None
            for task in range(num_tasks)
        ],
        quality=fitted.task_quality_,
        agreement=agreement,
        answer_quality=answer_quality,
        part_quality=[
            PartQuality(quality[low:high], attached_quality[low:high]).row()
            for low, high in zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
        ],
        annotator_stats=stats.assign(
            worst_class=stats["worst_class"].where(stats["worst_class"] != num_classes, -1)
        ),
        not_counted=given.not_counted,
    )


def _nothing(answers: Answers, given: _Given) -> Solution:
    """No consensus at all, as no answer can be used."""
    unknown = np.full(len(answers.tasks), np.nan)
    columns = ["annotator_quality", "agreement_with_consensus", "worst_class"]
    return Solution(
        values=[None] * len(answers.tasks),
        quality=unknown,
        agreement=unknown,
        answer_quality=np.full(len(answers.values), np.nan),
        part_quality=[np.empty(0)] * len(answers.tasks),
        annotator_stats=pd.DataFrame(columns=[*columns, "num_examples_labeled", "enough_data"]),
        not_counted=given.not_counted,
    )


def _part(label: str, at: list[float], image: list[float] | None, attached: JSON) -> JSON:
    part: JSON = {"label": label, "at": at}
    if image is not None:
        part["image"] = image
    if attached:
        part["attached"] = attached
    return part


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _inside(percent: float) -> bool:
    """Whether a place is inside the image along one side, but for rounding."""
    return -_ROUNDING <= percent <= 100 + _ROUNDING
