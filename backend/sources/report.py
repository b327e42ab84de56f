"""What did not fit in predictions that somebody brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

JSON = dict[str, Any]

MOST_EXAMPLES = 5
"""Rows of each fault that a report names."""


class Fault(IntEnum):
    """Why a row of predictions is not used."""

    NONE = 0
    UNKNOWN_TASK = 1
    DUPLICATE = 2
    LENGTH = 3
    UNKNOWN_CLASS = 4
    NO_NUMBER = 5
    RANGE = 6
    SUM = 7

    @property
    def words(self) -> str:
        """What is wrong with the row."""
        return _WORDS[self]


_WORDS = {
    Fault.NONE: "nothing is wrong",
    Fault.UNKNOWN_TASK: "no task of the project is meant",
    Fault.DUPLICATE: "the task occurred before; its first row counts",
    Fault.LENGTH: "there are more or fewer values than classes",
    Fault.UNKNOWN_CLASS: "a class is named that the question does not have",
    Fault.NO_NUMBER: "a probability is missing or no number",
    Fault.RANGE: "a probability is below 0 or above 1",
    Fault.SUM: "the probabilities do not sum to 1",
}


@dataclass(frozen=True)
class CheckReport:
    """How many rows are used, and what was wrong with the others."""

    num_rows: int
    num_used: int
    faults: Mapping[str, int] = field(default_factory=dict)
    """What is wrong, to the number of rows."""
    examples: tuple[str, ...] = ()
    """The first rows with each fault, and what they hold."""
    notes: tuple[str, ...] = ()
    """What else the sender should know of the whole."""

    @property
    def sentences(self) -> list[str]:
        """All of it, for people."""
        lines = [f"{self.num_used:,} of {self.num_rows:,} rows are used."]
        lines += [f"{number:,} rows not used: {words}." for words, number in self.faults.items()]
        return [*lines, *(f"{one}." for one in self.examples), *self.notes]

    @classmethod
    def from_json(cls, plain: JSON) -> CheckReport:
        """Inverse of `dataclasses.asdict`."""
        return cls(
            plain["num_rows"],
            plain["num_used"],
            dict(plain["faults"]),
            tuple(plain["examples"]),
            tuple(plain["notes"]),
        )


def counted(faults: Sequence[tuple[Fault, str]]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Count faults, and keep the first examples of each.

    Parameters
    ----------
    faults
        Fault of each row that has one, with where it is and what it holds.
    """
    numbers: dict[Fault, int] = {}
    examples: dict[Fault, list[str]] = {}
    for fault, example in faults:
        numbers[fault] = numbers.get(fault, 0) + 1
        shown = examples.setdefault(fault, [])
        if len(shown) < MOST_EXAMPLES:
            shown.append(example)
    order = sorted(numbers)
    return (
        {fault.words: numbers[fault] for fault in order},
        tuple(one for fault in order for one in examples[fault]),
    )
