"""Labeling configs: which questions they ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.choice import is_on
from backend.answers.forms import question_of
from backend.errors import UnsupportedProjectError
from backend.label_studio.questions import JSON, Question, Source

_KINDS_WITH_FEATURES = {
    "Text": "text",
    "HyperText": "text",
    "Paragraphs": "text",
    "Table": "text",
    "List": "text",
    "Image": "image",
    "Audio": "audio",
    "AudioPlus": "audio",
}


@dataclass(frozen=True)
class LabelingConfig:
    """What a project's labeling config asks."""

    questions: tuple[Question, ...]
    unsupported: dict[str, str]
    """Control tags without a consensus: name of the tag to the reason."""

    def without(self, given_up: Mapping[str, str]) -> LabelingConfig:
        """The same without some questions, given by their name with the reason."""
        return LabelingConfig(
            tuple(one for one in self.questions if one.name not in given_up),
            {**self.unsupported, **given_up},
        )

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
            "Its labeling config needs a control tag that this service supports, such as <Choices> "
            "with <Choice> classes (Label Studio: Settings > Labeling Interface).",
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
        elements = {element.get("name"): element for element in interface._tree.iter()}
    except Exception as error:
        return LabelingConfig((), {"labeling config": f"not readable: {error}"})
    questions, unsupported = [], {}
    per_region: list[tuple[ControlTag, Question]] = []
    for control in controls:
        if not control.objects:
            objects = ", ".join(control.to_name or ()) or "(none)"
            unsupported[str(control.name)] = f"its object tag {objects} does not exist"
            continue
        question = question_of(control, sources, elements[control.name])
        if not isinstance(question, Question):
            unsupported[str(control.name)] = question
        elif is_on(control, "perRegion"):
            per_region.append((control, replace(question, sources=())))
        else:
            questions.append(question)
    for control, question in per_region:
        places = [place for place, one in enumerate(questions) if _asks_of(control, one)]
        for place in places:
            attached = (*questions[place].attached, question)
            questions[place] = replace(questions[place], attached=attached)
        if not places:
            unsupported[question.name] = (
                f"per-region answers, but no tag whose regions have a consensus labels "
                f"{question.to_name}"
            )
    return LabelingConfig(tuple(questions), unsupported)


def _asks_of(control: ControlTag, question: Question) -> bool:
    """Whether a per-region control asks of the regions that answer a question."""
    tags = str((control.attr or {}).get("whenTagName", ""))
    names = [name.strip() for name in tags.split(",") if name.strip()]
    is_meant = not names or question.name in names
    return question.type.has_regions and question.to_name in (control.to_name or ()) and is_meant


def _sources_of(interface: LabelInterface) -> tuple[Source, ...]:
    """All contents that annotators see, whichever of them a control tag names.

    Where the data hold only the address of a text, there is nothing to learn from.
    """
    return tuple(
        Source(_KINDS_WITH_FEATURES[tag.tag], tag.value.removeprefix("$"))
        for tag in interface.objects or ()
        if tag.tag in _KINDS_WITH_FEATURES
        and (tag.value or "").startswith("$")
        and not (
            _KINDS_WITH_FEATURES[tag.tag] == "text"
            and str((tag.attr or {}).get("valueType", "")).lower() == "url"
        )
    )


def with_numbers(questions: Sequence[Question], keys: Sequence[str]) -> tuple[Question, ...]:
    """Let classifiers learn from the numbers under some keys of the tasks' data, too."""
    numbers = [Source("number", key) for key in keys]
    return tuple(
        replace(one, sources=tuple(dict.fromkeys([*one.sources, *numbers]))) for one in questions
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
