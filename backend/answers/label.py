"""One label for the whole object: `<Labels>` on an image, a sound or a video.

Label Studio asks for labels of parts by the same tag, so that only annotations tell whether
labels are chosen once per task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.form import ClassForm
from backend.label_studio.questions import JSON, AnswerType, Question

_TEXTS = frozenset({"Text", "HyperText", "Paragraphs"})

_ROUNDING = 0.01
"""By how many percent of its side or length a region may miss the end of its object."""

_PLACES = frozenset(
    {"start", "end", "x", "y", "width", "height", "points", "rle", "radiusX", "sequence", "ranges"}
)
"""Keys of a region's value that say where it is."""


class Label(ClassForm):
    """Exactly one of the config's labels, of a region that is the whole object, or of none."""

    type = AnswerType.LABEL
    tag = "Labels"

    def fits(self, control: ControlTag) -> bool:
        """Whether labels are of anything but a text, whose parts have a consensus."""
        return next(iter(control.objects or ())).tag not in _TEXTS

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        if control.dynamic_value or not control.labels:
            return "its labels come from the task data, so there is no fixed set of classes"
        return ""

    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""
        labels = value.get("labels")
        if isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str):
            return labels[0]
        return None

    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class; Label Studio takes none without an extent."""
        return {"start": 0, "end": 0, "labels": [name]}

    def reason_to_give_up(self, question: Question, result: Sequence[object]) -> str:
        """Why this annotation shows that labels are not chosen once per task."""
        regions = question.regions_in(result)
        labels = [label for one in regions for label in one["value"].get("labels") or ()]
        if len(regions) > 1 or len(labels) > 1:
            return (
                "annotators give several labels to a task, and <Labels> have a consensus on "
                '<Text> or once per task; <Choices choice="multiple"> asks for several'
            )
        if any(not _is_whole(one) for one in regions):
            return (
                "annotators label parts, and <Labels> have a consensus on <Text> or once per "
                "task; <RectangleLabels> and <KeyPointLabels> ask for parts of an image, "
                "<Choices> for one class of a whole object"
            )
        return ""


def _is_whole(region: Mapping[str, Any]) -> bool:
    """Whether a region is all of its object, or says nothing of where it is."""
    value = region["value"]
    if not _PLACES & set(value):
        return True
    if "width" in value or "height" in value:
        expected = {"x": 0.0, "y": 0.0, "width": 100.0, "height": 100.0}
        return all(_is_near(value.get(key), side, 100.0) for key, side in expected.items())
    length = region.get("original_length")
    ends = value.get("start"), value.get("end")
    if ends == (0, 0):
        return True
    if not isinstance(length, int | float) or length <= 0:
        return False
    return _is_near(ends[0], 0.0, length) and _is_near(ends[1], float(length), length)


def _is_near(value: object, expected: float, whole: float) -> bool:
    return isinstance(value, int | float) and isclose(
        value, expected, rel_tol=0, abs_tol=_ROUNDING / 100 * whole
    )
