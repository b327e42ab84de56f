"""The commands `crowdlab upload` and `crowdlab sources`: predictions of other classifiers."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from backend.errors import PredictionsError
from backend.terminal import AsJson, ProjectId, open_service, out, print_json, shown_progress

if TYPE_CHECKING:
    from backend.insights.sources import SourceRow
    from backend.store.prediction_sources import PredictionSource

prediction_commands = typer.Typer()

_WIDEST = 28

Question = Annotated[
    str | None,
    typer.Option(help="Question that the predictions are for; needed if there are several."),
]
Name = Annotated[str, typer.Option(help="What to call them; one of the name is replaced.")]


@prediction_commands.command()
def upload(
    project: ProjectId,
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or NPZ file.", dir_okay=False)],
    question: Question = None,
    key: Annotated[
        str,
        typer.Option(
            help="Column of the file, and key of the tasks' data, that says which task a row is "
            "about; the column `task` with Label Studio's task ids by default."
        ),
    ] = "",
    name: Name = "",
    json_output: AsJson = False,
) -> None:
    """Bring a classifier's probabilities: one row per task, one column per class.

    Rows that do not fit are reported, the others are used: calibrated on the annotators' labels,
    and weighed beside the service's own classifier.
    """
    from backend.sources.shelf import upload as take_in

    if not file.is_file():
        raise PredictionsError(f"There is no file {file}.", "Check its path.")
    with open_service() as service, shown_progress() as progress:
        source = take_in(
            service,
            project,
            file,
            file_name=file.name,
            question=question,
            key=key,
            name=name,
            by=_person("upload"),
            progress=progress,
        )
    if json_output:
        print_json({"project": project, "source": asdict(source)})
        return
    _show_taken(source)


@prediction_commands.command()
def sources(
    project: ProjectId,
    borrow: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Use the predictions of this model version in Label Studio."
        ),
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="NAME", help="Forget uploaded or borrowed predictions.")
    ] = None,
    question: Question = None,
    name: Name = "",
    json_output: AsJson = False,
) -> None:
    """List the classifiers of a project's questions: what they cover, and how much they count.

    With --borrow or --drop, the consensus is computed anew by the workers.
    """
    from backend.insights.sources import source_rows
    from backend.sources.shelf import borrow as take_over
    from backend.sources.shelf import drop as forget

    if borrow and drop:
        raise PredictionsError("--borrow and --drop exclude each other.", "Choose one.")
    with open_service() as service, shown_progress() as progress:
        if drop:
            forget(service, project, drop, by=_person("sources"))
        taken = []
        if borrow:
            taken = take_over(
                service,
                project,
                borrow,
                question=question,
                name=name,
                by=_person("sources"),
                progress=progress,
            )
        rows = source_rows(service, project)
    if json_output:
        print_json({"project": project, "sources": [asdict(one) for one in rows]})
        return
    for source in taken:
        _show_taken(source)
    if drop:
        out.print(f"{escape(drop)} is forgotten; a recompute is asked for.", highlight=False)
    if not rows:
        out.print("No question of the project takes a classifier's predictions.", highlight=False)
        return
    out.print(_table(rows))
    for one in rows:
        for sentence in one.report.sentences if one.report else ():
            out.print(f"{escape(one.name)}: {escape(sentence)}", highlight=False, soft_wrap=True)


def _show_taken(source: PredictionSource) -> None:
    for sentence in source.report.sentences:
        out.print(escape(sentence), highlight=False, soft_wrap=True)
    out.print(
        f"Stored as {escape(source.name)} for question {escape(source.question)}; a recompute is "
        "asked for.",
        highlight=False,
        soft_wrap=True,
    )


def _table(rows: tuple[SourceRow, ...]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Source", "Question"):
        table.add_column(heading, overflow="fold", max_width=_WIDEST)
    for heading in ("Covers", "Accuracy", "Log loss", "Weight"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in rows:
        table.add_row(
            escape(one.name if one.kind in one.name else f"{one.name} ({one.kind})"),
            escape(one.question),
            f"{100 * one.coverage:.1f} %",
            "–" if one.accuracy is None else f"{100 * one.accuracy:.1f} %",
            "–" if one.log_loss is None else f"{one.log_loss:.3f}",
            one.weight_words,
        )
    return table


def _person(command: str) -> str:
    """Who runs the command, for the audit trail."""
    try:
        return f"{getpass.getuser()} (crowdlab {command})"
    except (KeyError, OSError):  # an account without a name
        return f"crowdlab {command}"
