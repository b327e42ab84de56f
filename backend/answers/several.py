"""Consensus of answers that are sets of names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.answers.form import Answers, Solution, Value
from backend.label_studio.questions import JSON, Question
from crowdlab_engine.multilabel import MultilabelAnswers, MultilabelCrowdlab

MOST_NAMES = 1000
"""Names up to which each is a question of its own, where the config does not list them."""


def in_order(question: Question, chosen: set[str]) -> list[str]:
    """Return the names of an answer in the config's order, by name where there is none.

    What is no class of the question is left out.
    """
    if question.is_open:
        return sorted(chosen)
    return [name for name in question.classes if name in chosen]


def region_with(question: Question, kind: str, named: Sequence[Any]) -> list[JSON]:
    """Return one region with all of an answer, none if it is empty.

    Parameters
    ----------
    kind
        Type of the region, and key of its value.
    """
    if not named:
        return []
    region = {
        "from_name": question.name,
        "to_name": question.to_name,
        "type": kind,
        "value": {kind: list(named)},
    }
    return [region]


def likeness_of_sets(pairs: Sequence[tuple[Value, Value]]) -> NDArray[np.float64]:
    """Twice the names that two sets share, by the number of all, shape (P,)."""
    return np.array(
        [
            2 * len({*one} & {*other}) / (len(one) + len(other)) if one or other else 1.0
            for one, other in pairs
        ]
    )


def solve_sets(question: Question, answers: Answers) -> Solution:
    """Find the consensus on every class, and on all of them together.

    Classes are those of the question or, where annotators bring them, the `MOST_NAMES` that they
    chose most; nothing is asked of rarer ones.
    """
    names = question.classes
    if question.is_open:
        chosen = Counter(name for value in answers.values for name in value)
        names = tuple(sorted(name for name, _ in chosen.most_common(MOST_NAMES)))
    place = {name: code for code, name in enumerate(names)}
    fitted = MultilabelCrowdlab(answers.method).fit(
        MultilabelAnswers.from_sets(
            answers.task,
            answers.annotator,
            [[place[name] for name in value if name in place] for value in answers.values],
            num_tasks=len(answers.tasks),
            num_classes=max(1, len(names)),
            annotator_ids=answers.annotators,
        ),
        answers.pred_probs,
    )
    has_answer = fitted.num_annotations_ > 0
    stats = fitted.annotator_stats_
    if question.is_open:
        stats = stats.assign(worst_class=-1)  # its code means nothing to others
    return Solution(
        values=[
            [names[code] for code in np.flatnonzero(row)] if known else None
            for row, known in zip(fitted.consensus_, has_answer.tolist(), strict=True)
        ],
        quality=fitted.consensus_quality_score_,
        agreement=fitted.annotator_agreement_,
        answer_quality=fitted.answer_quality_,
        part_quality=[
            row[chosen]
            for row, chosen in zip(fitted.class_quality_, fitted.consensus_, strict=True)
        ],
        annotator_stats=stats,
        model_weight=float(fitted.model_weight_.mean()),
    )
