"""Labeling configs: which questions they ask, and labels to and from results.

A question is one control tag for which there is a consensus. Two control tags never
mix: each has its own classes, labels, consensus and prediction region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.errors import UnsupportedProjectError

JSON = dict[str, Any]

NO_LABEL = -1
"""Code of a question that an annotation leaves open."""

_KINDS_WITH_FEATURES = {"Text": "text", "HyperText": "text", "Image": "image"}


@dataclass(frozen=True)
class Source:
    """Where the content that a question is about stands in a task's data."""

    kind: str
    """`text` or `image`."""
    key: str
    """Key in the task's data."""


@dataclass(frozen=True)
class Question:
    """A control tag with a finite set of answers, of which an annotator gives one."""

    name: str
    """The tag's `name`, which results carry as `from_name`."""
    to_name: str
    """Name of the object tag that it labels."""
    classes: tuple[str, ...]
    """Possible answers, in the config's order; a label's code is its position."""
    sources: tuple[Source, ...] = field(default=())
    """Contents from which a classifier could learn the answer."""

    def code_of(self, result: Sequence[Mapping[str, Any]]) -> int:
        """Code of the class that an annotation's result gives, else `NO_LABEL`.

        Anything but exactly one known class (nothing chosen, several chosen, a class that
        the config no longer has) is no label.
        """
        for region in result:
            if not isinstance(region, Mapping) or region.get("from_name") != self.name:
                continue
            value = region.get("value")
            choices = value.get("choices") if isinstance(value, Mapping) else None
            if isinstance(choices, list) and len(choices) == 1 and choices[0] in self.classes:
                return self.classes.index(choices[0])
        return NO_LABEL

    def region_of(self, code: int) -> JSON:
        """Region of a prediction's result that says class `code`."""
        return {
            "from_name": self.name,
            "to_name": self.to_name,
            "type": "choices",
            "value": {"choices": [self.classes[code]]},
        }

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
        )


@dataclass(frozen=True)
class LabelingConfig:
    """What a project's labeling config asks."""

    questions: tuple[Question, ...]
    unsupported: dict[str, str]
    """Control tags without a consensus: name of the tag to the reason."""

    def require_questions(self, project_id: int) -> tuple[Question, ...]:
        """Return the questions.

        Raises
        ------
        UnsupportedProjectError
            There is none; the message gives the reason for each control tag.
        """
        if self.questions:
            return self.questions
        found = (
            "; ".join(f"<{name}>: {reason}" for name, reason in self.unsupported.items())
            or "no control tag at all"
        )
        raise UnsupportedProjectError(
            f"Project {project_id} asks no question that has a consensus ({found}).",
            'Its labeling config needs a <Choices choice="single"> tag with <Choice> classes '
            "(Label Studio: Settings > Labeling Interface).",
        )


def parse_config(label_config: str) -> LabelingConfig:
    """Find the questions of a labeling config.

    A config that is not valid XML has no questions; the reason is given.
    """
    if not label_config.strip():
        return LabelingConfig((), {})
    try:
        interface = LabelInterface(label_config)
        controls = list(interface.controls or ())
        sources = _sources_of(interface)
    except Exception as error:
        return LabelingConfig((), {"labeling config": f"not readable: {error}"})
    questions, unsupported = [], {}
    for control in controls:
        reason = _reason_against(control)
        if reason:
            unsupported[str(control.name)] = reason
        else:
            questions.append(_question_of(control, sources))
    return LabelingConfig(tuple(questions), unsupported)


def _reason_against(control: ControlTag) -> str:
    """Why a control tag has no consensus; empty if it has one."""
    attributes = control.attr or {}
    if control.tag != "Choices":
        return f"{control.tag} tags have no consensus yet"
    if attributes.get("choice", "single") not in {"single", "single-radio"}:
        return f'choice="{attributes["choice"]}" has no consensus yet, only choice="single"'
    if attributes.get("perRegion", "false").lower() == "true":
        return "per-region choices have no consensus yet"
    if attributes.get("allowNested", attributes.get("allownested", "false")).lower() == "true":
        return "nested choices have no consensus yet"
    if control.dynamic_value or not control.labels:
        return "its choices come from the task data, so there is no fixed set of classes"
    if not control.objects:
        return f"its object tag {', '.join(control.to_name or ()) or '(none)'} does not exist"
    return ""


def _sources_of(interface: LabelInterface) -> tuple[Source, ...]:
    """All contents that annotators see, whichever of them a control tag names."""
    return tuple(
        Source(_KINDS_WITH_FEATURES[tag.tag], tag.value.removeprefix("$"))
        for tag in interface.objects or ()
        if tag.tag in _KINDS_WITH_FEATURES and (tag.value or "").startswith("$")
    )


def _question_of(control: ControlTag, sources: tuple[Source, ...]) -> Question:
    return Question(
        name=str(control.name),
        to_name=str(next(iter(control.to_name or ()))),
        classes=tuple(dict.fromkeys(str(label) for label in control.labels or ())),
        sources=sources,
    )


def validate_predictions(label_config: str, predictions: Sequence[JSON]) -> None:
    """Check predictions against the labeling config, as Label Studio will.

    Label Studio's bulk import drops what does not fit without a word. Equal results are
    checked once.

    Raises
    ------
    UnsupportedProjectError
        A prediction does not fit; the message gives its task and the reason.
    """
    interface = LabelInterface(label_config)
    checked: set[str] = set()
    for prediction in predictions:
        signature = repr(prediction["result"])
        score_fits = 0.0 <= prediction["score"] <= 1.0
        if signature in checked and score_fits:
            continue
        errors = interface.validate_prediction(prediction, return_errors=True)
        if errors:
            raise UnsupportedProjectError(
                f"The prediction for task {prediction.get('task')} does not fit the labeling "
                f"config: {'; '.join(errors)}",
                "Run `crowdlab sync` for the project: its labeling config may have changed.",
            )
        checked.add(signature)
