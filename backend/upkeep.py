"""Commands for the upkeep: versions and rollback, dead letters, audit trail, saved state."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from backend.errors import SettingsError
from backend.terminal import AsJson, ProjectId, ago, open_service, out, print_json, shown_progress

upkeep = typer.Typer()

_SHOWN_CHARACTERS = 300


@upkeep.command()
def versions(project: ProjectId, json_output: AsJson = False) -> None:
    """List a project's model versions, with what produced each of them."""
    with open_service() as service:
        store = service.store(project)
        publication = store.read_publication()
        kept = set(store.kept_versions())
        current = publication.model_version if publication else ""
        rows = [
            {
                **asdict(one),
                "is_current": one.name == current,
                "can_be_restored": one.name in kept,
            }
            for one in store.model_versions()
        ]
    if json_output:
        print_json({"project": project, "versions": rows})
        return
    if not rows:
        out.print(f"Nothing was published for project {project} yet.")
    for row in rows:
        marks = [
            *(["current"] if row["is_current"] else []),
            *(["can be restored"] if row["can_be_restored"] else []),
        ]
        note = f" ({', '.join(marks)})" if marks else ""
        out.print(
            f"[bold]{row['name']}[/]{note}: {row['num_predictions']:,} predictions, "
            f"{ago(row['published_at'])}, {escape(row['reason'])}",
            highlight=False,
            soft_wrap=True,
        )
        out.print(
            f"  labels {row['fingerprint'][:12] or '–'}, {escape(row['recipe'])}",
            highlight=False,
            soft_wrap=True,
        )


@upkeep.command()
def rollback(
    project: ProjectId,
    version: Annotated[
        str | None, typer.Argument(help="Model version, such as crowdlab-000042.")
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Publish the present consensus again.")
    ] = False,
    json_output: AsJson = False,
) -> None:
    """Show again what a replaced model version said, and leave it so.

    It is published as a new version. Consensus goes on being computed; Label Studio shows it
    again after `--undo`. `crowdlab versions` tells which versions can be restored.
    """
    from backend.jobs import pipeline

    if (version is None) == (not undo):
        raise SettingsError(
            "Say either which version to show again or --undo.",
            f"`crowdlab versions {project}` lists the versions.",
        )
    with open_service() as service, shown_progress() as progress:
        report = (
            pipeline.undo_rollback(service, project, progress=progress)
            if version is None
            else pipeline.roll_back_project(service, project, version, progress=progress)
        )
    if json_output:
        print_json({"project": project, "write_back": asdict(report)})
        return
    out.print(escape(str(report)), highlight=False, soft_wrap=True)


@upkeep.command("dead-letters")
def dead_letters(
    project: ProjectId,
    replay: Annotated[bool, typer.Option("--replay", help="Try all of them again.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Delete all of them.")] = False,
    json_output: AsJson = False,
) -> None:
    """Show events that could not be applied, with the reason; try them again or delete them."""
    if replay and discard:
        raise SettingsError("--replay and --discard exclude each other.", "Choose one of them.")
    with open_service() as service:
        inbox = service.store(project).inbox
        letters = inbox.dead_letters()
        if replay:
            inbox.replay()
            service.queue.apply_events(project)
        if discard:
            inbox.discard_dead_letters()
    done = "replayed" if replay else "discarded" if discard else "shown"
    rows: list[dict[str, Any]] = [
        {
            "died_at": letter.died_at,
            "reason": letter.reason,
            "event": letter.event.decode(errors="replace"),
        }
        for letter in letters
    ]
    if json_output:
        print_json({"project": project, "done": done, "dead_letters": rows})
        return
    if done == "shown":
        for row in rows:
            out.print(
                f"[bold]{_moment(row['died_at'])}[/] {escape(row['reason'])}", highlight=False
            )
            out.print(f"  {escape(row['event'][:_SHOWN_CHARACTERS])}", highlight=False)
    out.print(f"{len(rows):,} dead letter(s) {done}.", highlight=False)


@upkeep.command()
def audit(
    project: ProjectId,
    limit: Annotated[int, typer.Option(min=1, help="Most entries to show.")] = 50,
    json_output: AsJson = False,
) -> None:
    """Show what the service did to a project in Label Studio, when and why, the newest first."""
    with open_service() as service:
        entries = service.store(project).audit_trail(limit)
    if json_output:
        print_json({"project": project, "audit": entries})
        return
    if not entries:
        out.print(f"The service did nothing to project {project} in Label Studio yet.")
    for entry in entries:
        details = ", ".join(
            f"{name.replace('_', ' ')} {value}"
            for name, value in entry.items()
            if name not in ("at", "action") and value not in ("", None)
        )
        out.print(
            f"{_moment(entry['at'])}  {entry['action']}: {escape(details)}",
            highlight=False,
            soft_wrap=True,
        )


@upkeep.command("export-state")
def export_state(
    file: Annotated[Path, typer.Argument(help="File to write, such as crowdlab-state.zip.")],
    json_output: AsJson = False,
) -> None:
    """Save what Label Studio does not know: versions, rollbacks, requests, uploads, audit trail.

    Everything else can be had again by `crowdlab sync --full`.
    """
    from backend.state import write_state

    with open_service() as service:
        numbers = write_state(service, file)
    if json_output:
        print_json({"file": str(file), **numbers})
        return
    out.print(_in_words(numbers, "saved to", file), highlight=False, soft_wrap=True)


@upkeep.command("restore-state")
def restore_state(
    file: Annotated[Path, typer.Argument(help="File that `crowdlab export-state` wrote.")],
    json_output: AsJson = False,
) -> None:
    """Bring back what `crowdlab export-state` saved; what is there already is kept.

    After Redis has lost its data, run this first and then `crowdlab sync --full`.
    """
    from backend.state import read_state

    with open_service() as service:
        numbers = read_state(service, file)
    if json_output:
        print_json({"file": str(file), **numbers})
        return
    out.print(_in_words(numbers, "restored from", file), highlight=False, soft_wrap=True)


def _in_words(numbers: dict[str, int], verb: str, file: Path) -> str:
    parts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items())
    return f"{parts} {verb} {escape(str(file))}."


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
