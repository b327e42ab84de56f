"""The rounds by which CROWDLAB comes to its consensus, over one block of tasks or many.

A round sums up all blocks and derives weights from the sums: first from the majority vote,
then, from what is most probable by these weights, once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import IntArray
from crowdlab_engine.block import Block
from crowdlab_engine.majority import MajorityVote, Ties, VoteTotals, vote, vote_totals
from crowdlab_engine.posterior import most_probable
from crowdlab_engine.statistics import Statistics, statistics
from crowdlab_engine.weights import Weights


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the rounds have come to.

    Attributes
    ----------
    consensus : tuple of ndarray of int64
        Consensus label of each task of each block, as class codes; -1 without labels and
        without a known truth.
    drawn : tuple of ndarray of int64
        Tasks of each block whose majority vote chance decided.
    statistics : Statistics
        Sums over all blocks, given this consensus.
    weights : Weights
        Weights that follow from them.
    totals : VoteTotals or None
        Sums over all blocks that tie-breaks ask for; None if there is one block, a tuple.
    """

    consensus: tuple[IntArray, ...]
    drawn: tuple[IntArray, ...]
    statistics: Statistics
    weights: Weights
    totals: VoteTotals | None


def find_consensus(
    blocks: Iterable[Block],
    *,
    weigh: Callable[[Statistics], Weights],
    is_majority: bool,
    ties: Ties,
    random_state: RandomState,
) -> Outcome:
    """Come to a consensus.

    Parameters
    ----------
    blocks : iterable of Block
        All tasks with labels, in blocks of the same annotators, classes and models. Walked
        over once for each sum: twice if they are a tuple of one, up to three times else.
    weigh : callable
        Weights from statistics.
    is_majority : bool
        Whether the majority vote is the consensus, and there is one round.
    ties, random_state
        See `crowdlab_engine.majority_vote`.
    """
    generator = random_generator(random_state)
    is_single = isinstance(blocks, tuple) and len(blocks) == 1
    totals = None if is_single else _totals(blocks)
    votes: list[MajorityVote] = []

    def vote_in(block: Block, number: int) -> IntArray:
        votes.append(vote(block, ties=ties, random_state=generator, totals=totals))
        return block.with_truth(votes[number].label)

    consensus, sums = _round(blocks, vote_in)
    weights = weigh(sums)
    if not is_majority:
        majority, first = consensus, weights

        def improve(block: Block, number: int) -> IntArray:
            return block.with_truth(most_probable(block, first, majority[number]))

        consensus, sums = _round(blocks, improve)
        weights = weigh(sums)
    return Outcome(tuple(consensus), tuple(one.drawn for one in votes), sums, weights, totals)


def _totals(blocks: Iterable[Block]) -> VoteTotals:
    counted = [vote_totals(block) for block in blocks]
    if not any(one.class_counts.any() for one in counted):
        raise ValueError("no block has a label: a consensus needs at least one")
    return reduce(add, counted)


def _round(
    blocks: Iterable[Block], label: Callable[[Block, int], IntArray]
) -> tuple[list[IntArray], Statistics]:
    """Label every block, and sum up what the labels say."""
    consensus: list[IntArray] = []
    sums: Statistics | None = None
    for number, block in enumerate(blocks):
        consensus.append(label(block, number))
        more = statistics(block, consensus[-1])
        sums = more if sums is None else sums + more
    assert sums is not None
    return consensus, sums
