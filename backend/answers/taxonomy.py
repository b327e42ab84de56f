"""Nodes of a tree: `<Taxonomy>`, of which an annotator chooses one path or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.choice import is_on, reason_per_item
from backend.answers.form import (
    Answers,
    ClassForm,
    Form,
    PartQuality,
    Solution,
    StructuredForm,
    Value,
)
from backend.answers.paths import Tree, path_name, path_of, paths_in
from backend.answers.several import in_order, likeness_of_sets, region_with, solve_sets
from backend.label_studio.questions import JSON, AnswerType, Question, Source

MOST_PATHS = 1000
"""Different paths up to which they are classes, where the config does not name them."""


class _Taxonomy(Form):
    """What both forms of answers have in common: classes are paths, by their names."""

    tag = "Taxonomy"
    most_classes = MOST_PATHS

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        if is_on(control, "labeling"):
            return "it labels parts of the text, for which there is no consensus yet"
        return reason_per_item(control)

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question whose paths are still to be found in the config's tree."""
        is_dynamic = bool(control.dynamic_value) or not control.labels
        return replace(super().question_of(control, sources), classes=(), is_open=is_dynamic)

    def completed(self, question: Question, control: ControlTag, element: Tree) -> Question:
        """Question with the config's paths as classes."""
        paths = paths_in(element, leaves_only=is_on(control, "leafsOnly"))
        return question.with_classes(path_name(path) for path in paths)


class Path(_Taxonomy, ClassForm):
    """Exactly one path."""

    type = AnswerType.PATH

    def fits(self, control: ControlTag) -> bool:
        """Whether annotators may take one path only."""
        return (control.attr or {}).get("maxUsages") == "1"

    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""
        names = _names_in(value)
        return names[0] if len(names) == 1 else None

    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class."""
        return {"taxonomy": [path_of(name)]}


class Paths(_Taxonomy, StructuredForm):
    """A set of paths; an annotation without any says that none applies."""

    type = AnswerType.PATHS

    def answer_in(self, question: Question, result: Sequence[object]) -> list[str]:
        """Paths that an annotation's result gives, in the config's order."""
        chosen = {name for value in question.values_in(result) for name in _names_in(value)}
        return in_order(question, chosen)

    def regions_of(
        self, question: Question, answer: Value, quality: PartQuality, contents: JSON
    ) -> list[JSON]:
        """One region with all paths; none if no path applies."""
        return region_with(question, "taxonomy", [path_of(name) for name in answer])

    def words_of_part(self, question: Question, part: Any, contents: JSON) -> str:
        """Return the path's name."""
        return str(part)

    def likeness(
        self, question: Question, pairs: Sequence[tuple[Value, Value]]
    ) -> NDArray[np.float64]:
        """Return the F1 score of the one set against the other."""
        return likeness_of_sets(pairs)

    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the consensus on every path, and on all of them together."""
        return solve_sets(question, answers)


def _names_in(value: JSON) -> list[str]:
    """Names of the paths that the value of a region gives; none if one of them is no path."""
    paths = value.get("taxonomy")
    if not isinstance(paths, list):
        return []
    if not all(
        isinstance(path, list) and path and all(isinstance(node, str) for node in path)
        for path in paths
    ):
        return []
    return list(dict.fromkeys(path_name(path) for path in paths))
