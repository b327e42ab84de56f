"""Temperature scaling: make a classifier as sure of its predictions as annotators agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from crowdlab_engine._typing import FloatArray

if TYPE_CHECKING:
    from crowdlab_engine.block import Block

COARSE_GRID = (0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0)
"""Temperatures tried first. The best one is refined between its neighbours."""

FINE_STEPS = 4
"""Steps between two temperatures of the coarse grid."""

MIN_PROB = 1e-30
"""Smallest probability of which a logarithm is taken."""


def best_temperatures(blocks: Iterable[Block]) -> FloatArray:
    """Find the temperatures at which predictions look most like the annotators' labels.

    For each model it minimises the mean cross entropy between the share of annotators who
    chose each class and the scaled prediction, over labelled tasks, on a grid: first a
    coarse one, then between the neighbours of the best. The first of equals wins.

    The range is that of cleanlab 2.9.0, from 0.1 up to but without 8: where the coarse grid
    says 8, the answer is 7.25. The shares are counted rightly, unlike there.

    Parameters
    ----------
    blocks : iterable of Block
        Labels, at least one, and the predictions of P models; rows of the latter need not
        sum to 1. Walked over twice.

    Returns
    -------
    ndarray of float64, shape (P,)
        In [0.1, 7.25]; above 1, predictions are made less sure. 1 if there is one class.
    """
    return find_temperatures(lambda grids: summed_cross_entropies(blocks, grids))


def find_temperatures(
    summed: Callable[[Iterable[FloatArray]], Sequence[FloatArray]],
) -> FloatArray:
    """Find the best temperatures from sums over all tasks, however these come about.

    Parameters
    ----------
    summed : callable
        Takes a grid of temperatures for each model, and returns the sums of
        `cross_entropies` over all blocks, likewise. Called twice.

    Returns
    -------
    ndarray of float64, shape (P,)
        See `best_temperatures`.
    """
    coarse = summed(itertools.repeat(np.array(COARSE_GRID)))
    grids = [_fine_grid(int(np.argmin(sums))) for sums in coarse]
    # Temperatures of the coarse grid were tried already.
    untried = [np.setdiff1d(grid, COARSE_GRID) for grid in grids]
    fine = summed(untried) if grids else []
    found = np.empty(len(grids))
    for model, grid in enumerate(grids):
        known = dict(zip(COARSE_GRID, coarse[model].tolist(), strict=True))
        known |= dict(zip(untried[model].tolist(), fine[model].tolist(), strict=True))
        found[model] = min(grid.tolist(), key=known.__getitem__)
    return found


def summed_cross_entropies(
    blocks: Iterable[Block], grids: Iterable[FloatArray]
) -> list[FloatArray]:
    """Sum the cross entropies of each model at the temperatures of its grid over blocks."""
    sums: list[FloatArray] = []
    for block in blocks:
        models = range(block.pred_probs.num_models)
        more = [cross_entropies(block, *one) for one in zip(models, grids, strict=False)]
        sums = more if not sums else added(sums, more)
    return sums


def added(some: Sequence[FloatArray], more: Sequence[FloatArray]) -> list[FloatArray]:
    """Add the sums of two groups of blocks, model by model."""
    return [one + other for one, other in zip(some, more, strict=True)]


def cross_entropies(block: Block, model: int, temperatures: FloatArray) -> FloatArray:
    """Sum, over the tasks of a block, the cross entropy of annotators and scaled predictions.

    Parameters
    ----------
    block : Block
        Labels and predictions.
    model : int
        Which model.
    temperatures : ndarray of float64, shape (T,)
        Temperatures to try.

    Returns
    -------
    ndarray of float64, shape (T,)
        Lower is better. With one class, where all are equal, the lowest is that of 1.
    """
    floor, num_classes = np.log(MIN_PROB), block.labels.num_classes
    if num_classes == 1:
        return np.abs(temperatures - 1)
    sums = np.zeros(len(temperatures))
    silent = block.pred_probs.silent
    for part in block.parts:
        tasks, prob = part.tasks, part.prob[model]
        if silent is not None:
            heard = ~silent[model, tasks]
            tasks, prob = tasks[heard], prob[:, heard]
            if not tasks.size:
                continue
        columns = np.maximum(block.pred_probs.rows(model, tasks).T, 0.0, order="C")
        with np.errstate(divide="ignore"):
            log_probs = np.log(columns)
            log_chosen = np.log(np.maximum(prob, 0.0))
        scaled = np.empty_like(columns)
        least, of_all = log_chosen.min(), log_chosen.sum()
        for place, temperature in enumerate(temperatures.tolist()):
            total = _power(columns, log_probs, temperature, out=scaled).sum(axis=0)
            is_ordinary = total.min() > 0 and least / temperature - np.log(total.max()) > floor
            if is_ordinary:  # nothing is impossible, so that sums can be taken apart
                log_scaled = of_all / temperature - part.num_labels * _sum_of_logs(total)
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    each = log_chosen / temperature - np.log(total)
                each[:, total == 0] = -np.log(num_classes)
                log_scaled = np.maximum(each, floor).sum()
            sums[place] -= log_scaled / part.num_labels
    return sums


def _sum_of_logs(values: FloatArray) -> float:
    """Add up logarithms of numbers that are far from the smallest there are, four at a time."""
    quarter = len(values) // 4
    products = values[: 4 * quarter].reshape(4, quarter).prod(axis=0)
    return float(np.log(products).sum() + np.log(values[4 * quarter :]).sum())


def _power(
    probs: FloatArray, log_probs: FloatArray, temperature: float, out: FloatArray
) -> FloatArray:
    """Raise probabilities to 1 / temperature; by a product or a root where that is cheaper."""
    match temperature:
        case 1.0:
            return probs
        case 2.0:
            np.sqrt(probs, out=out)
        case 0.5:
            np.multiply(probs, probs, out=out)
        case _:
            np.exp(np.multiply(log_probs, 1 / temperature, out=out), out=out)
    return out


def scale(pred_probs: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities at another temperature.

    Parameters
    ----------
    pred_probs : ndarray of float64, shape (N, K)
        Class probabilities; rows need not sum to 1.
    temperature : float
        Above 0. At 1 rows are only made to sum to 1; above, they become flatter.

    Returns
    -------
    ndarray of float64, shape (N, K)
        In [0, 1]; rows sum to 1.
    """
    # One row per class, as sums over few classes cost more than over many tasks.
    columns = np.maximum(pred_probs.T, MIN_PROB, order="C")
    columns /= columns.sum(axis=0)
    np.log(columns, out=columns)
    columns /= temperature
    np.exp(columns, out=columns)
    total = columns.sum(axis=0)
    if not total.all():  # where every class has become impossible, all are equal
        columns[:, total == 0] = 1.0
        total = columns.sum(axis=0)
    columns /= total
    columns /= columns.sum(axis=0)
    scaled: FloatArray = columns.T
    return scaled


def _fine_grid(coarse: int) -> FloatArray:
    """Temperatures around one of the coarse grid, the last of that grid excluded."""
    grids = []
    if coarse > 0:
        below, here = COARSE_GRID[coarse - 1 : coarse + 1]
        grids.append(np.linspace(below, here, FINE_STEPS, endpoint=False))
    if coarse < len(COARSE_GRID) - 1:
        here, above = COARSE_GRID[coarse : coarse + 2]
        grids.append(np.linspace(here, above, FINE_STEPS + 1))
    return np.concatenate(grids)
