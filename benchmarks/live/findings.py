"""What a benchmark found: figures with their targets, and wrong results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    part: str
    what: str
    reached: str
    target: str = ""
    is_met: bool | None = None
    """None where there is no target."""


@dataclass
class Findings:
    """All rows, and results that are wrong, whatever their speed."""

    rows: list[Finding] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, part: str, what: str, reached: str) -> None:
        """Add a figure that has no target."""
        self.rows.append(Finding(part, what, reached))

    def percentiles(
        self,
        part: str,
        what: str,
        seconds: NDArray[Any],
        *,
        limit: float | None = None,
        percentile: int = 99,
    ) -> None:
        """Add percentiles of durations, of which one has a target.

        Parameters
        ----------
        seconds
            Durations.
        limit
            Seconds that the percentile should stay below; None if there is no target.
        """
        target = "" if limit is None else f"p{percentile} < {milliseconds(limit)} ms"
        if not len(seconds):
            met = None if limit is None else False
            self.rows.append(Finding(part, what, "nothing measured", target, met))
            return
        reached = ", ".join(
            f"p{rank} {milliseconds(np.percentile(seconds, rank))}" for rank in (50, 95, 99)
        )
        reached += f", most {milliseconds(np.max(seconds))} ms (n = {len(seconds):,})"
        met = None if limit is None else bool(np.percentile(seconds, percentile) < limit)
        self.rows.append(Finding(part, what, reached, target, met))

    def at_least(self, part: str, what: str, reached: float, target: float, unit: str) -> None:
        """Add a figure that should not be less than a target."""
        is_met = reached >= target
        self.rows.append(Finding(part, what, f"{reached:,.1f} {unit}", f"≥ {target:,.1f}", is_met))

    def at_most(self, part: str, what: str, reached: float, target: float, unit: str) -> None:
        """Add a figure that should not be more than a target."""
        is_met = reached <= target
        self.rows.append(Finding(part, what, f"{reached:,.0f} {unit}", f"≤ {target:,.0f}", is_met))

    def none_of(self, part: str, what: str, count: int) -> None:
        """Add a count that must be zero; any other is a wrong result."""
        self.rows.append(Finding(part, what, f"{count:,}", "0", count == 0))
        if count:
            self.wrong.append(f"{part}: {what}: {count:,}")

    def print(self, console: Console, title: str) -> None:
        """Print the table, then what is wrong."""
        table = Table(title=title, title_justify="left", header_style="bold")
        for heading in ("", "Measured", "Target", "Reached", ""):
            table.add_column(heading)
        for row in self.rows:
            verdict = {True: "[green]ok[/]", False: "[red]short[/]", None: ""}[row.is_met]
            table.add_row(row.part, row.what, row.target, row.reached, verdict)
        console.print(table)
        for line in self.wrong:
            console.print(f"[red]Wrong result:[/] {line}")


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, with three digits or more."""
    value = 1000 * float(seconds)
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}"
