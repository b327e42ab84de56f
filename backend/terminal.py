"""What the commands of the terminal share: the service, progress, and how things are shown."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from backend.errors import CrowdlabError
from backend.service import Service
from backend.settings import load_settings
from backend.store.connection import RedisConnection

_PIPED_WIDTH = 160
out = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True)

ProjectId = Annotated[
    int, typer.Argument(metavar="PROJECT", min=1, help="Number in the project's address.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def fail(error: CrowdlabError) -> NoReturn:
    """Say what was wrong and end with exit code 1."""
    err.print(f"[bold red]Error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
    if error.hint:
        err.print(escape(error.hint), highlight=False, soft_wrap=True)
    sys.exit(1)


@contextmanager
def open_service(**overrides: object) -> Iterator[Service]:
    """Service for one command, with Redis running."""
    settings = load_settings(**overrides)
    with RedisConnection(settings) as connection:
        service = Service(settings, connection.redis, connection.data)
        try:
            yield service
        finally:
            service.close()


@contextmanager
def shown_progress(*, announce: bool = False) -> Iterator[Any]:
    """Progress bar on the terminal, one line per step.

    Elsewhere, as in a log file, the steps are named one after the other if `announce`.
    """
    with ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        steps: dict[str, Any] = {}

        def show(step: str, done: int, total: int | None) -> None:
            if step not in steps:
                steps[step] = bar.add_task(step, total=total)
                if announce and not err.is_terminal:
                    err.print(f"{step} …", highlight=False)
            bar.update(steps[step], completed=done, total=total)

        yield show


def print_json(plain: object) -> None:
    """Print for programs."""
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def ago(moment: float) -> str:
    """How long a moment is past, in words."""
    if not moment:
        return "never"
    seconds = int(time.time() - moment)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
