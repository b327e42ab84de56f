"""What annotations show of the questions: classes that they bring, and that there is no consensus.

A class list only grows, and grows in the same step in which the annotation that brings the
class is stored; so a code in the store always has its class, and keeps it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backend.answers.forms import most_classes
from backend.label_studio.annotations import Annotation
from backend.label_studio.questions import NO_LABEL, Question
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore

log = logging.getLogger(__name__)


class NoConsensusError(Exception):
    """Annotations show that there is no consensus on a question.

    Attributes
    ----------
    question
        Its name.
    reason
        In words, for people.
    """

    def __init__(self, question: Question, reason: str) -> None:
        self.question = question.name
        self.reason = reason
        super().__init__(f"{question.name}: {reason}")


class TooManyClassesError(NoConsensusError):
    """Annotators gave a question more different answers than can be classes."""

    def __init__(self, question: Question, number: int) -> None:
        super().__init__(
            question,
            f"too many distinct values: annotators gave {number:,} or more, and there is a "
            f"consensus on up to {most_classes(question):,}",
        )


def grown(questions: Sequence[Question], annotations: Sequence[Annotation]) -> tuple[Question, ...]:
    """Questions with the classes that annotations bring.

    New classes are added by task and annotation id.

    Raises
    ------
    TooManyClassesError
        There are more of them than the form of answers takes.
    NoConsensusError
        An annotation shows that a question has no consensus.
    """
    found = tuple(questions)
    for annotation in annotations:
        for question, objection in zip(found, annotation.objections, strict=False):
            if objection and not annotation.is_cancelled:
                raise NoConsensusError(question, objection)
    if not any(one.is_open and one.type.is_class for one in found):
        return found
    ordered = sorted(annotations, key=lambda one: (one.task, one.id))
    return tuple(
        _with_names(one, [given.answers[place] for given in ordered])
        if one.is_open and one.type.is_class
        else one
        for place, one in enumerate(found)
    )


def _with_names(question: Question, names: Sequence[str | None]) -> Question:
    wider = question.with_classes(name for name in names if name is not None)
    if wider != question and len(wider.classes) > most_classes(question):
        raise TooManyClassesError(question, len(wider.classes))
    return wider


def give_up(store: ProjectStore, refused: NoConsensusError) -> None:
    """Ask a question no more; all answers have to be pulled anew for the others.

    As questions are known by their places, nothing is known of any answer after that.
    """
    with store.lock():
        info = store.read_info()
        if info is None or refused.question not in [one.name for one in info.questions]:
            return
        log.warning(
            "project %s: no consensus for %s: %s",
            store.project_id,
            refused.question,
            refused.reason,
        )
        with store.transaction() as changes:
            store.stage_other_questions(
                changes,
                replace(
                    info,
                    questions=tuple(one for one in info.questions if one.name != refused.question),
                    unsupported={**info.unsupported, refused.question: refused.reason},
                    given_up={**info.given_up, refused.question: refused.reason},
                ),
                len(info.questions),
            )


def known_codes(annotations: Arrays, questions: Sequence[Question]) -> Arrays:
    """Annotations without the labels whose class came in after the questions were read.

    Those who read both, one after the other, take such a label for none; it is counted when
    the change that brought it is followed.
    """
    places = [n for n, one in enumerate(questions) if one.is_open and one.type.is_class]
    codes = annotations["codes"]
    limits = np.asarray([len(questions[place].classes) for place in places], dtype=np.int64)
    is_late = codes[:, places] >= limits
    if not is_late.any():
        return annotations
    codes = codes.copy()
    codes[:, places] = np.where(is_late, NO_LABEL, codes[:, places])
    return {**annotations, "codes": codes}
