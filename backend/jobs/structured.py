"""Consensus of answers that are no class: from the store to their form and back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backend.answers.form import Answers, Solution
from backend.answers.forms import structured_form
from backend.answers.likeness import agrees, likeness
from backend.jobs.labels import LabelCensus
from backend.jobs.predictions import Predictions
from backend.label_studio.annotations import canonical
from backend.label_studio.questions import NO_LABEL, Question
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore

log = logging.getLogger(__name__)


def solve_structured(
    store: ProjectStore,
    census: LabelCensus,
    number: int,
    question: Question,
    predictions: Predictions,
    method: Literal["crowdlab", "fusion"] = "crowdlab",
) -> tuple[Solution, NDArray[np.int64]]:
    """Find the consensus of a question whose answers are no class.

    Returns
    -------
    Solution
        Consensus and qualities of all N tasks of the census.
    ndarray of int64, shape (N,)
        Number of each task's consensus in the answer book, `NO_LABEL` without one.
    """
    counted = {
        name: np.concatenate([part.counted[number][name] for part in census.parts])
        for name in ("task", "annotator", "codes")
    }
    tasks = np.concatenate([part.tasks for part in census.parts])
    numbers = counted["codes"][:, number]
    book = store.answer_book
    known = book.read(np.unique(numbers))
    pred_probs = None
    if not predictions.is_empty:
        pred_probs = np.concatenate(
            [predictions.mean_of(part.tasks, part.blocks, unknown=np.nan) for part in census.parts]
        )
        is_unknown = np.isnan(pred_probs).any(axis=1)
        if is_unknown.all():
            pred_probs = None
        elif is_unknown.any():  # a class is as probable as elsewhere
            pred_probs[is_unknown] = pred_probs[~is_unknown].mean(axis=0)
    annotators = census.annotators[number]
    form = structured_form(question)
    answers = Answers(
        tasks=tasks,
        annotators=annotators,
        task=np.searchsorted(tasks, counted["task"]),
        annotator=np.searchsorted(annotators, counted["annotator"]),
        values=[known[answer] for answer in numbers.tolist()],
        pred_probs=pred_probs,
        method=method,
        contents=store.contents_of(counted["task"]) if form.needs_contents else {},
    )
    solution = with_agreement(question, answers, form.solve(question, answers))
    if solution.not_counted:
        log.warning(
            "project %s: question %s: not counted: %s",
            store.project_id,
            question.name,
            solution.not_counted,
        )
    codes = np.full(len(tasks), NO_LABEL, dtype=np.int64)
    found = [place for place, value in enumerate(solution.values) if value is not None]
    codes[found] = book.numbers_of([canonical(solution.values[place]) for place in found])
    return solution, codes


def with_agreement(question: Question, answers: Answers, solution: Solution) -> Solution:
    """The same, with agreement by how alike answers are to the consensus.

    Two boxes or texts are hardly ever equal, so what each form's engine calls agreement means
    something else for each form; here it is what the pages show of a single answer. Answers
    that could not be used, which have no quality, are left out.
    """
    said = [solution.values[task] for task in answers.task.tolist()]
    counts = ~np.isnan(solution.answer_quality) & [value is not None for value in said]
    is_like = agrees(likeness(question, answers.values, said)) & counts
    num_tasks, num_people = len(answers.tasks), len(answers.annotators)
    number = np.bincount(answers.task, counts, num_tasks)
    agreement = np.full(num_tasks, np.nan)
    np.divide(np.bincount(answers.task, is_like, num_tasks), number, agreement, where=number > 0)

    is_shared = counts & (number > 1)[answers.task]
    shared = np.bincount(answers.annotator, is_shared, num_people)
    agreeing = np.bincount(answers.annotator, is_like & is_shared, num_people)
    # Who shares no task is judged by nobody: their own answer is the consensus.
    share = np.divide(agreeing, shared, out=np.ones(num_people), where=shared > 0)
    stats = solution.annotator_stats
    place = np.searchsorted(answers.annotators, stats.index.to_numpy(dtype=np.int64))
    return replace(
        solution,
        agreement=agreement,
        annotator_stats=stats.assign(agreement_with_consensus=share[place]),
    )


def part_rows(
    census: LabelCensus, part_quality: Mapping[int, Sequence[NDArray[np.float64]]]
) -> Iterator[Arrays]:
    """Rows for the table of the parts of a consensus, some blocks at a time.

    Parameters
    ----------
    part_quality
        Position of a question to the quality of each part of each task's consensus.
    """
    first = 0
    for part in census.parts:
        last = first + len(part.tasks)
        task: list[NDArray[Any]] = [np.empty(0, dtype=np.int64)]
        question: list[NDArray[Any]] = [np.empty(0)]
        quality: list[NDArray[Any]] = [np.empty(0)]
        for number, every in part_quality.items():
            some = every[first:last]
            sizes = [len(one) for one in some]
            task.append(np.repeat(part.tasks, sizes))
            quality.append(np.concatenate(some))
            question.append(np.full(sum(sizes), number))
        yield {
            "task": np.concatenate(task),
            "question": np.concatenate(question),
            "quality": np.concatenate(quality),
        }
        first = last
