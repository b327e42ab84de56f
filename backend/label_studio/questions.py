"""Questions: what a control tag asks, and the form in which its answers are given.

A question is one control tag for which there is a consensus. Two control tags never
mix: each has its own answers, consensus and prediction regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

JSON = dict[str, Any]

NO_LABEL = -1
"""Code of a question that an annotation leaves open."""


class AnswerType(StrEnum):
    """Forms of an answer."""

    CHOICE = "choice"
    """One of the classes of `<Choices choice="single">`."""
    CHOICES = "choices"
    """Any number of the classes of `<Choices choice="multiple">`."""
    RATING = "rating"
    """A number of stars of `<Rating>`."""
    NUMBER = "number"
    """One of a few numbers of `<Number>`."""
    PAIRWISE = "pairwise"
    """One of the two objects of `<Pairwise>`."""
    LABEL = "label"
    """One label of `<Labels>` for a whole object that is no text."""
    PATH = "path"
    """One path of `<Taxonomy maxUsages="1">`."""
    PATHS = "paths"
    """Any number of paths of `<Taxonomy>`."""
    SPANS = "spans"
    """Any number of spans of a text, of the classes of `<Labels>`."""
    BOXES = "boxes"
    """Boxes of `<RectangleLabels>`, each of one class."""
    KEY_POINTS = "key_points"
    """Points of `<KeyPointLabels>`, each of one class."""
    TEXTS = "texts"
    """What was written into `<TextArea>`."""

    @property
    def has_regions(self) -> bool:
        """Whether an answer consists of regions, of which per-region controls ask more."""
        return self in _REGION_TYPES

    @property
    def is_class(self) -> bool:
        """Whether an answer is exactly one class.

        The code of such an answer is the position of its class. Any other answer is kept in
        the project's answer book, and its code is the number under which it stands there.
        """
        return self in _CLASS_TYPES

    @property
    def is_set(self) -> bool:
        """Whether an answer is a set of names."""
        return self in _SET_TYPES

    @property
    def is_number(self) -> bool:
        """Whether an answer is a class that stands for a number, so that classes have an order."""
        return self in _NUMBER_TYPES


_SET_TYPES = frozenset({AnswerType.CHOICES, AnswerType.PATHS})
_NUMBER_TYPES = frozenset({AnswerType.RATING, AnswerType.NUMBER})
_CLASS_TYPES = _NUMBER_TYPES | {
    AnswerType.CHOICE,
    AnswerType.LABEL,
    AnswerType.PAIRWISE,
    AnswerType.PATH,
}
_REGION_TYPES = frozenset({AnswerType.BOXES, AnswerType.KEY_POINTS, AnswerType.SPANS})


@dataclass(frozen=True)
class Source:
    """Where the content that a question is about stands in a task's data."""

    kind: str
    """`text`, `number`, `image` or `audio`."""
    key: str
    """Key in the task's data."""


@dataclass(frozen=True)
class Question:
    """What a control tag asks."""

    name: str
    """The tag's `name`, which results carry as `from_name`."""
    to_name: str
    """Name of the object tag that it labels."""
    classes: tuple[str, ...]
    """Classes that an answer is, or consists of, in the config's order."""
    sources: tuple[Source, ...] = field(default=())
    """Contents from which a classifier could learn the answer."""
    type: AnswerType = AnswerType.CHOICE
    is_open: bool = False
    """Whether annotators can give classes that the config does not name. Those they have given
    come after the config's; the list only grows, so that a code keeps its meaning."""
    attached: tuple[Question, ...] = ()
    """What is asked of each region of an answer (`perRegion="true"`)."""

    @property
    def values(self) -> tuple[float, ...] | None:
        """Number that each class stands for; None if classes are no numbers."""
        return tuple(float(name) for name in self.classes) if self.type.is_number else None

    def continues(self, earlier: Question) -> bool:
        """Whether this is the same question, with more classes than earlier perhaps."""
        if not self.is_open:
            return self == earlier
        known = len(earlier.classes)
        return (
            replace(self, classes=earlier.classes) == earlier
            and self.classes[:known] == earlier.classes
        )

    def with_classes(self, names: Iterable[str]) -> Question:
        """The same question with further classes; those that it has already are left out."""
        return replace(self, classes=tuple(dict.fromkeys([*self.classes, *names])))

    def regions_in(self, result: Sequence[object]) -> list[Mapping[str, Any]]:
        """Regions of an annotation's result that answer this question, if they have a value."""
        return [
            region
            for region in result
            if isinstance(region, Mapping)
            and region.get("from_name") == self.name
            and isinstance(region.get("value"), Mapping)
        ]

    def values_in(self, result: Sequence[object]) -> list[JSON]:
        """Values of these regions."""
        return [region["value"] for region in self.regions_in(result)]

    def to_json(self) -> JSON:
        """Plain form, for storage."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: JSON) -> Question:
        """Inverse of `to_json`."""
        return cls(
            name=plain["name"],
            to_name=plain["to_name"],
            classes=tuple(plain["classes"]),
            sources=tuple(Source(**source) for source in plain["sources"]),
            type=AnswerType(plain.get("type", AnswerType.CHOICE)),
            is_open=plain.get("is_open", False),
            attached=tuple(cls.from_json(one) for one in plain.get("attached", ())),
        )


def continued(questions: Sequence[Question], earlier: Sequence[Question]) -> bool:
    """Whether these are the same questions, with more classes than earlier perhaps.

    Codes mean the same for both then.
    """
    return len(questions) == len(earlier) and all(
        one.continues(before) for one, before in zip(questions, earlier, strict=True)
    )
