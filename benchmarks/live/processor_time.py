"""How busy the processes of a benchmark keep the processors."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_NAMES = {
    "label-studio": "Label Studio",
    "backend web": "web",
    "redis-server": "Redis",
    "spawn_main": "load",
}
"""Part of a command line, and what such a process is called."""

_WORKER = re.compile(r"worker --only (\w+)")


@dataclass(frozen=True)
class ProcessorTime:
    """Processor seconds used so far: by each kind of our processes, and by the machine."""

    moment: float
    ours: dict[str, float]
    machine: float

    @classmethod
    def now(cls) -> ProcessorTime:
        """Read the counters."""
        seconds: defaultdict[str, float] = defaultdict(float)
        parents = {int(entry.name): entry for entry in Path("/proc").iterdir() if _is_number(entry)}
        stats = {pid: stat for pid, entry in parents.items() if (stat := _stat(entry))}
        for pid, (_, used) in stats.items():
            if _is_descendant(pid, stats):
                seconds[_name(parents[pid])] += used
        return cls(time.monotonic(), seconds, _machine_seconds())

    def shares_since(self, earlier: ProcessorTime) -> dict[str, float]:
        """Processors that each kind of process kept busy since, those of others included."""
        seconds = self.moment - earlier.moment
        shares = {
            name: (used - earlier.ours.get(name, 0.0)) / seconds for name, used in self.ours.items()
        }
        total = (self.machine - earlier.machine) / seconds
        return {**shares, "other programs": max(0.0, total - sum(shares.values()))}


def shares_text(shares: dict[str, float]) -> str:
    """Shares in words, the largest first."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share:.2f}" for name, share in ordered if share >= 0.005)


def _is_number(entry: Path) -> bool:
    return entry.name.isdigit()


def _stat(entry: Path) -> tuple[int, float] | None:
    """Parent and processor seconds of a process; None if it is gone."""
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS


def _is_descendant(pid: int, stats: dict[int, tuple[int, float]]) -> bool:
    own = os.getpid()
    while pid in stats:
        if pid == own:
            return True
        pid = stats[pid][0]
    return False


def _name(entry: Path) -> str:
    try:
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "benchmark"
    if worker := _WORKER.search(command):
        return f"{worker[1]} worker"
    return next((name for part, name in _NAMES.items() if part in command), "benchmark")


def _machine_seconds() -> float:
    """Processor seconds in which the machine did anything."""
    numbers = [int(one) for one in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = numbers
    return (user + nice + system + irq + softirq + steal) / _TICKS
