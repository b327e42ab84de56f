"""Faults injected into the running service at random moments, while people annotate.

    python -m benchmarks.faults [--short] [--only KIND …] [--times 20] [--seed 0]

A real Redis, a real Label Studio and the service run as processes, with proxies between
them. People create, change, delete and skip annotations all the time. When the faults have
ended and everything is quiet, nothing may be lost, doubled or left over, and the consensus
must be the batch result of what Label Studio holds.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from backend.store.connection import connect
from backend.store.embedded import EmbeddedRedis
from benchmarks.faults.annotators import Stream
from benchmarks.faults.checks import Findings, examine, is_quiet
from benchmarks.faults.injections import FAULTS
from benchmarks.faults.stack import CAMPAIGN, Project, Stack

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 180.0
"""How long it may take until all is well: locks, notes and schedules of the dead expire."""
_SHORT_PAUSE = (1.0, 2.0)


@dataclass(frozen=True)
class Outcome:
    """What became of faults that were injected into one stream of annotations."""

    kinds: tuple[str, ...]
    times: int
    """How often each kind happened."""
    saved: int
    """Annotations created, changed, deleted or skipped meanwhile."""
    drained_after: float | None
    """Seconds until all was well; None if it never was."""
    findings: Findings

    @property
    def drained(self) -> str:
        """After how long all was well, in words."""
        return "never" if self.drained_after is None else f"{self.drained_after:.0f} s"

    def __str__(self) -> str:
        wrong = "".join(
            f"\n  {check}: {problem}"
            for check, problem in self.findings.problems.items()
            if problem
        )
        return f"{self.saved:,} saved; drained: {self.drained}; {wrong or 'all is well'}"


class Campaign:
    """Faults of one kind after the other, on one stack.

    Parameters
    ----------
    reference
        A Redis for batch results.
    """

    def __init__(
        self, stack: Stack, reference: Redis, *, times: int, seed: int, is_short: bool
    ) -> None:
        self._stack = stack
        self._reference = reference
        self._times = times
        self._seed = seed
        self._is_short = is_short
        self._project: Project | None = None

    def run(self, kinds: tuple[str, ...]) -> Outcome:
        """Inject faults of some kinds, wait until all is quiet, and look whether all is well."""
        title = ", ".join(kinds)
        chance = random.Random(f"{self._seed} {title}")
        project = self._project or self._stack.make_project(chance)
        self._stack.surrenders.clear()
        stream = Stream(
            self._stack.people,
            project.id,
            project.truth,
            project.ledger,
            random.Random(chance.random()),
        )
        stream.start()
        try:
            for name in kinds * self._times:
                self._inject(name, chance)
            self._stack.run(1.0)
        finally:
            stream.stop()
            while stream.is_running:
                self._stack.run(0.1)
        log.info("%s: the annotators have ended", title)
        seconds, findings = self._drain(project)
        log.info("%s: drained after %s s: %s", title, seconds, findings)
        told = [*self._stack.surrenders, *([stream.failure] if stream.failure else [])]
        errors = "; ".join(filter(None, [findings.problems["no error"], *told]))
        findings = replace(findings, problems={**findings.problems, "no error": errors})
        # What one kind of fault has broken is not held against the next.
        self._project = project if findings.is_well else None
        return Outcome(kinds, self._times, stream.num_saved, seconds, findings)

    def _inject(self, name: str, chance: random.Random) -> None:
        """Let a fault happen after a pause."""
        fault = FAULTS[name]
        self._stack.run(chance.uniform(*(_SHORT_PAUSE if self._is_short else fault.pause)))
        log.info("%s: the fault begins", name)
        fault.inject(self._stack, chance, self._is_short)
        log.info("%s: the fault has ended", name)

    def _drain(self, project: Project) -> tuple[float | None, Findings]:
        """Wait until all is well, or for as long as can be expected; tells the seconds."""
        began, ended_at = time.monotonic(), time.time()
        while not self._is_quiet(project, ended_at):
            if time.monotonic() - began > _DRAIN_SECONDS:
                return None, examine(self._stack, project, self._reference)
            self._stack.run(0.3)
        while not (findings := examine(self._stack, project, self._reference)).is_well:
            if time.monotonic() - began > _DRAIN_SECONDS:
                return None, findings
            self._stack.run(1.0)
        seconds = time.monotonic() - began
        if not self._is_short:
            findings = self._after_another_look(project)
        return seconds, findings

    def _after_another_look(self, project: Project) -> Findings:
        """Look again when the service has looked into Label Studio once more."""
        now = time.time()
        deadline = time.monotonic() + 60
        while not self._is_quiet(project, now) and time.monotonic() < deadline:
            self._stack.run(0.3)
        return examine(self._stack, project, self._reference)

    def _is_quiet(self, project: Project, ended_at: float) -> bool:
        try:
            return is_quiet(self._stack, project, ended_at)
        except RedisError:
            return False


def groups(kinds: Sequence[str], is_short: bool) -> list[tuple[str, ...]]:
    """Kinds that share a stream of annotations: each has its own, or each family if short."""
    if not is_short:
        return [(kind,) for kind in kinds]
    ordered = [kind for kind in FAULTS if kind in kinds]
    return [tuple(some) for _, some in groupby(ordered, lambda kind: FAULTS[kind].family)]


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Faults, and what was found when all was quiet", header_style="bold")
    table.add_column("Fault", no_wrap=True)
    for heading in ("Times", "Saved", "Drained"):
        table.add_column(heading, justify="right")
    checks = outcomes[0].findings.problems
    for check in checks:
        table.add_column(check.capitalize())
    table.add_column("Farthest", justify="right")
    for outcome in outcomes:
        table.add_row(
            "\n".join(outcome.kinds),
            f"{outcome.times}",
            f"{outcome.saved:,}",
            outcome.drained,
            *("[red]no[/]" if outcome.findings.problems[check] else "ok" for check in checks),
            f"{outcome.findings.largest_difference:.1g}",
        )
    return table


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="each kind once, with short pauses; those of a family share a row",
    )
    parser.add_argument(
        "--only", nargs="+", choices=FAULTS, metavar="KIND", help=f"of: {', '.join(FAULTS)}"
    )
    parser.add_argument("--times", type=int, default=20, help="how often each kind happens")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def _log_to(path: Path) -> None:
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)


def main() -> None:
    """Run the campaign; the exit code is 1 if anything was found wrong."""
    arguments = _arguments(None)
    console = Console(width=150)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    outcomes: list[Outcome] = []
    spare = EmbeddedRedis(folder / "batch")
    spare.start(own=True)
    try:
        with connect(spare.url) as reference, Stack(folder) as stack:
            _log_to(stack.log(CAMPAIGN))
            campaign = Campaign(
                stack,
                reference,
                times=1 if arguments.short else arguments.times,
                seed=arguments.seed,
                is_short=arguments.short,
            )
            for kinds in groups(arguments.only or list(FAULTS), arguments.short):
                console.print(f"{', '.join(kinds)} …", highlight=False)
                outcomes.append(campaign.run(kinds))
                console.print(f"  {outcomes[-1]}", highlight=False)
            logs = stack.logs()
    except BaseException:
        console.print(f"It was cut short. The logs are in {folder}.", highlight=False)
        raise
    finally:
        spare.stop()
    console.print(_table(outcomes))
    if all(one.findings.is_well for one in outcomes):
        shutil.rmtree(folder)
        return
    console.print("The logs:", *map(str, logs), sep="\n", highlight=False, soft_wrap=True)
    sys.exit(1)
