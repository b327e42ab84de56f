"""CROWDLAB on a large data set of which a few tasks change.

All that weights follow from are sums over tasks. What the changed tasks had added to them is
subtracted, and what they add now is added; so the new consensus of these tasks follows from
weights that count every change, at the cost of these tasks alone. What the change does to the
consensus of other tasks is found by computing everything anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crowdlab_engine._random import RandomState
from crowdlab_engine._typing import IntArray
from crowdlab_engine.block import Block
from crowdlab_engine.majority import Ties, VoteTotals, vote, vote_totals
from crowdlab_engine.posterior import Scores, most_probable, scores
from crowdlab_engine.statistics import Statistics, statistics
from crowdlab_engine.weights import weights


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Sums over all tasks of a data set.

    Attributes
    ----------
    statistics : Statistics
        Sums that weights follow from.
    totals : VoteTotals
        Sums that tie-breaks of the majority vote ask for.
    """

    statistics: Statistics
    totals: VoteTotals

    def spread(self, num_annotators: int, place: IntArray) -> RunningSums:
        """Return the same sums of more annotators; those added have no labels.

        Parameters
        ----------
        num_annotators : int
            How many there are then.
        place : ndarray of int64, shape (M,)
            Where each of the present ones stands then.
        """

        def spread(counts: IntArray) -> IntArray:
            wide = np.zeros(num_annotators, dtype=np.int64)
            wide[place] = counts
            return wide

        return RunningSums(
            replace(
                self.statistics,
                peers=spread(self.statistics.peers),
                peers_agreeing=spread(self.statistics.peers_agreeing),
            ),
            replace(
                self.totals, judged=spread(self.totals.judged), agreed=spread(self.totals.agreed)
            ),
        )

    def change(
        self,
        old: Block,
        old_consensus: IntArray,
        new: Block,
        *,
        ties: Ties = "frequent",
        random_state: RandomState = 0,
    ) -> Change:
        """Follow a change of some tasks.

        Parameters
        ----------
        old, new : Block
            The B tasks as they were counted, and as they are; of the same annotators, classes
            and models as the sums.
        old_consensus : ndarray of int64, shape (B,)
            Their consensus as it was counted, as class codes; -1 without labels.
        ties, random_state
            See `crowdlab_engine.majority_vote`.

        Returns
        -------
        Change
        """
        totals = self.totals - vote_totals(old) + vote_totals(new)
        others = self.statistics - statistics(old, old_consensus)
        majority = vote(new, ties=ties, random_state=random_state, totals=totals).label
        first = weights(others + statistics(new, majority))
        consensus = most_probable(new, first, majority)
        sums = others + statistics(new, consensus)
        return Change(RunningSums(sums, totals), consensus, scores(new, weights(sums), consensus))


@dataclass(frozen=True, eq=False)
class Change:
    """What a change of some tasks leads to.

    Attributes
    ----------
    sums : RunningSums
        Sums with the tasks as they are.
    consensus : ndarray of int64, shape (B,)
        Consensus label of each of the tasks, as class codes; -1 without labels.
    scores : Scores
        Qualities of these tasks and of their labels.
    """

    sums: RunningSums
    consensus: IntArray
    scores: Scores
