"""The `crowdlab` command: the terminal's view of the service."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from redis.exceptions import RedisError
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from backend import __version__
from backend.errors import CrowdlabError, NothingToComputeError
from backend.exports.names import ConsensusAs, DataSetName, ExportFormat
from backend.jobs.queue import JobKind
from backend.predictions import prediction_commands
from backend.review import review_commands
from backend.settings import Settings, example_environment, load_settings
from backend.store.connection import RedisConnection
from backend.terminal import (
    AsJson,
    ProjectId,
    ago,
    err,
    fail,
    open_service,
    out,
    print_json,
    shown_progress,
)
from backend.upkeep import upkeep

if TYPE_CHECKING:
    from backend.insights.annotators import Leaderboard
    from backend.jobs.pipeline import RefreshReport

app = typer.Typer(
    name="crowdlab",
    help="Automatic consensus, label quality and annotator quality for Label Studio.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(review_commands)
app.add_typer(prediction_commands)
app.add_typer(upkeep)

_NAME_WIDTH = 28
_CLASS_WIDTH = 11


def main() -> None:
    """Run the command line; domain errors become a sentence and exit code 1."""
    try:
        app()
    except CrowdlabError as error:
        fail(error)
    except RedisError as error:
        reason = str(error).rstrip(". ")
        fail(CrowdlabError(f"Redis failed: {reason}.", "Check REDIS_URL and the server's log."))
    except KeyboardInterrupt:
        err.print("Stopped.")
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crowdlab {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Automatic consensus, label quality and annotator quality for Label Studio.

    Settings come from the environment or from a .env file; `crowdlab settings` lists them.
    """


@app.command()
def start() -> None:
    """Run everything on this machine: Redis unless REDIS_URL is set, web, a worker per kind."""
    from backend.logs import configure_logging
    from backend.processes import Processes, own_command
    from backend.web.server import check_address

    settings = load_settings()
    configure_logging(settings)
    _stop_on_sigterm()
    check_address(settings.host, settings.port)
    with RedisConnection(settings, own=True) as connection, Processes() as processes:
        environment = {**os.environ, "REDIS_URL": connection.url}
        for kind in JobKind:
            command = own_command("worker", "--only", kind.value)
            processes.start(f"{kind.value} worker", command, environment)
        processes.start("web", own_command("web"), environment)
        err.print(f"Crowdlab starts on http://{settings.host}:{settings.port} (Ctrl-C stops it).")
        _tell_label_studio(settings)
        processes.watch(keep_up=connection.keep_running)
        err.print("Stopping.")


def _tell_label_studio(settings: Settings) -> None:
    """Say at once whether Label Studio accepts the token."""
    from backend.doctor import examine_label_studio

    found = examine_label_studio(settings)
    mark = "" if found.is_ok else "[bold yellow]Warning:[/] "
    text = f"{mark}{found.subject}: {escape(found.message)} {escape(found.remedy)}"
    err.print(text.rstrip(), highlight=False, soft_wrap=True)


def _stop_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it started is stopped."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@app.command()
def web() -> None:
    """Run the web application alone (gunicorn)."""
    from backend.logs import configure_logging
    from backend.web.server import run_web

    with open_service() as service:
        configure_logging(service.settings)
        run_web(service)


@app.command()
def worker(
    only: Annotated[
        JobKind | None, typer.Option(help="Take only jobs of this kind; all by default.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when no job waits.")] = False,
) -> None:
    """Run one worker alone; start as many as you like.

    Jobs of the kind `events` are short: they follow annotations as they are saved. Those of
    the kind `write` bring changed predictions into Label Studio, and those of the kind
    `refresh` sync, train and publish. At least one worker should take only events, so that
    none of them waits.
    """
    from backend.jobs.worker import run_worker, stand_back
    from backend.logs import configure_logging

    with open_service() as service:
        configure_logging(service.settings)
        stand_back(only)
        run_worker(service, only=only, burst=burst)


@app.command()
def connect(
    project: ProjectId,
    url: Annotated[
        str | None, typer.Option(help="Address of this service as Label Studio reaches it.")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Connect a Label Studio project: ML backend, webhook, first consensus, a tab to see it.

    The service must run (`crowdlab start`), as Label Studio calls it meanwhile.
    """
    from backend.connect import connect_project, no_refresh
    from backend.jobs import pipeline
    from backend.label_studio.project_setup import check_project, set_up_tab

    with open_service(backend_url=url) as service, shown_progress() as progress:
        client = service.label_studio
        info, config = check_project(client, project)
        progress("Connecting", 0, None)
        link = f"{client.url}/projects/{project}/data"
        with no_refresh(service.store(project)):
            steps = [connect_project(service, project)]
            try:
                report = pipeline.refresh(service, project, full_sync=True, progress=progress)
                tab = set_up_tab(client, project)
                link += f"?tab={tab['id']}"
                steps += _steps_of(report)
            except NothingToComputeError as nothing:
                # An empty project is connected all the same: consensus comes with its labels.
                steps.append(str(nothing))
    if json_output:
        print_json({"project": project, "title": info["title"], "steps": steps, "link": link})
        return
    out.print(f"[bold]{escape(info['title'])}[/] (project {project})", highlight=False)
    for question in config.questions:
        out.print(f"  question {question.name}: {len(question.classes)} classes", highlight=False)
    for name, reason in config.unsupported.items():
        out.print(f"  [yellow]not supported[/] {name}: {escape(reason)}", highlight=False)
    for step in steps:
        out.print(f"  {escape(step)}", highlight=False)
    out.print(f"  {link}", highlight=False, soft_wrap=True)


@app.command()
def disconnect(
    project: ProjectId,
    url: Annotated[
        str | None, typer.Option(help="Address at which the project was connected.")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Take this service out of a project and forget what it knows of it.

    Predictions stay in Label Studio.
    """
    from backend.connect import disconnect_project

    with open_service(backend_url=url) as service, shown_progress() as progress:
        progress("Disconnecting", 0, None)
        steps = disconnect_project(service, project)
    if json_output:
        print_json({"project": project, "steps": steps})
        return
    for step in steps:
        out.print(escape(step), highlight=False, soft_wrap=True)


@app.command()
def sync(
    project: Annotated[
        int | None,
        typer.Argument(
            metavar="[PROJECT]", min=1, help="Number in the project's address; all without it."
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Pull everything anew.")] = False,
    json_output: AsJson = False,
) -> None:
    """Pull a project's changes from Label Studio, recompute, and write back.

    Without a number, all projects are. With --full, or if the service knows none, that is also
    those of Label Studio that are connected with it, as after Redis has lost its data.
    """
    from backend.connect import connected_projects
    from backend.jobs import pipeline

    with open_service() as service, shown_progress() as progress:
        chosen = [project] if project else service.projects()
        if project is None and (full or not chosen):
            chosen = sorted({*chosen, *connected_projects(service)})
        reports: list[dict[str, Any]] = []
        for number in chosen:
            service.store(number).connect()
            try:
                report = pipeline.refresh(service, number, full_sync=full, progress=progress)
            except NothingToComputeError as nothing:
                if project:
                    raise
                reports.append({"project": number, "steps": [str(nothing)]})
                continue
            plain = asdict(report)
            plain["sync"]["tasks"] = len(report.sync.tasks)
            reports.append({"project": number, **plain, "steps": _steps_of(report)})
    if json_output:
        print_json(reports[0] if project else reports)
        return
    if not reports:
        out.print("No project is connected yet. Run `crowdlab connect PROJECT`.")
    for one in reports:
        if not project:
            out.print(f"[bold]project {one['project']}[/]", highlight=False)
        for step in one["steps"]:
            out.print(escape(step), highlight=False)


def _steps_of(report: RefreshReport) -> list[str]:
    return [
        f"sync:       {report.sync}",
        f"recompute:  {report.recompute}",
        f"write-back: {report.write_back}",
    ]


@app.command()
def recompute(project: ProjectId, json_output: AsJson = False) -> None:
    """Recompute a project's consensus and qualities, and write back."""
    from backend.jobs import pipeline

    with open_service() as service, shown_progress() as progress:
        computed, written = pipeline.recompute(service, project, progress=progress)
    if json_output:
        print_json(
            {"project": project, "recompute": asdict(computed), "write_back": asdict(written)}
        )
        return
    out.print(f"recompute:  {computed}", highlight=False)
    out.print(f"write-back: {written}", highlight=False)


@app.command()
def status(json_output: AsJson = False) -> None:
    """Show every project that the service looks after."""
    from backend.overview import project_overviews

    with open_service() as service:
        rows = [asdict(one) for one in project_overviews(service)]
        running: dict[str, Any] = {
            "banner": service.breaker.state().banner,
            "workers": {kind.value: service.queue.num_workers(kind) for kind in JobKind},
            "waiting_jobs": service.queue.num_waiting(),
        }
    if json_output:
        print_json({**running, "projects": rows})
        return
    if running["banner"]:
        out.print(f"[bold yellow]{escape(running['banner'])}[/]", highlight=False, soft_wrap=True)
    if not rows:
        out.print("No project is connected yet. Run `crowdlab connect PROJECT`.")
        return
    for row in rows:
        for line in _project_lines(row):
            out.print(line, highlight=False, soft_wrap=True)
    workers = ", ".join(f"{number} for {kind}" for kind, number in running["workers"].items())
    out.print(f"Workers: {workers}. Jobs waiting: {running['waiting_jobs']}.", highlight=False)


def _project_lines(row: dict[str, Any]) -> Iterator[str]:
    """One project of `crowdlab status`, none of the lines wide."""
    yield f"[bold]{row['project']}  {escape(row['title'])}[/]"
    yield (
        f"  {row['num_tasks']:,} tasks, {row['num_labels']:,} labels by "
        f"{row['num_annotators']:,} annotators; {row['num_consensus']:,} with a consensus"
    )
    quality = "–" if row["mean_quality"] is None else f"{row['mean_quality']:.3f}"
    truth = _share(row["ground_truth_accuracy"])
    yield f"  mean quality {quality}, right on ground truth {truth}"
    yield f"  model version {row['model_version'] or '–'}, synced {ago(row['synced_at'])}"
    for name, reason in row["unsupported"].items():
        yield f"  [yellow]no consensus for {escape(name)}:[/] {escape(reason)}"
    if row["is_gone"]:
        yield (
            "  [yellow]deleted in Label Studio:[/] "
            f"`crowdlab disconnect {row['project']}` forgets it"
        )
    if row["is_pinned"]:
        yield (
            "  [yellow]rolled back:[/] predictions stay as they are until "
            f"`crowdlab rollback {row['project']} --undo`"
        )
    if row["progress"]:
        yield f"  at work: {escape(row['progress'])}"
    if row["num_waiting_events"]:
        yield (
            f"  [yellow]events waiting:[/] {row['num_waiting_events']:,}, "
            f"the oldest for {row['event_lag']:.1f} s"
        )
    if row["num_unsent"]:
        yield (
            f"  [yellow]predictions waiting for Label Studio:[/] {row['num_unsent']:,}, "
            f"the oldest for {row['prediction_lag']:.1f} s"
        )
    if row["num_dead_letters"]:
        yield (
            f"  [yellow]events that could not be applied:[/] {row['num_dead_letters']:,}; "
            f"see `crowdlab dead-letters {row['project']}`"
        )
    for sentence in row["unread_files"]:
        yield f"  [yellow]files:[/] {escape(sentence)}"
    if row["last_error"]:
        yield f"  [red]last error:[/] {escape(row['last_error'])}"


@app.command()
def leaderboard(project: ProjectId, json_output: AsJson = False) -> None:
    """Show a project's annotators, the best first, the worst last."""
    from backend.insights.annotators import leaderboards

    with open_service() as service:
        boards = leaderboards(service.store(project), show_names=service.settings.show_names)
    if json_output:
        print_json({"project": project, "questions": [asdict(one) for one in boards]})
        return
    for board in boards:
        out.print(_leaderboard_table(board))
    out.print("Agrees: with the consensus. Truth: agrees with ground truth.", highlight=False)
    if not all(one.enough_data for board in boards for one in board.annotators):
        out.print("No quality: too little data to tell.", highlight=False)


def _leaderboard_table(board: Leaderboard) -> Table:
    """Annotators of one question; fits 80 columns unless names are very long."""
    table = Table(
        title=f"Question {escape(board.question)}",
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("#", justify="right", no_wrap=True)
    longest = max((len(one.name) for one in board.annotators), default=0)
    table.add_column("Annotator", overflow="fold", min_width=min(longest, _NAME_WIDTH))
    for heading in ("Quality", "Agrees", "Truth"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Worst class", overflow="fold", max_width=_CLASS_WIDTH)
    for heading in ("Labels", "Skips"):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, one in enumerate(board.annotators, start=1):
        table.add_row(
            str(place),
            escape(one.name),
            f"{one.quality:.3f}" if one.enough_data else "–",
            _share(one.agreement_with_consensus),
            _share(one.agreement_with_ground_truth),
            escape(one.worst_class),
            f"{one.num_labels:,}",
            f"{one.num_skipped:,}",
        )
    return table


@app.command()
def export(
    project: ProjectId,
    what: Annotated[
        DataSetName,
        typer.Option(help="Each task, every label, annotators, or a report."),
    ] = DataSetName.CONSENSUS,
    export_format: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="label-studio: tasks with their consensus, to import; html: report."
        ),
    ] = ExportFormat.CSV,
    output: Annotated[
        Path | None, typer.Option(help="File to write; named after project and data by default.")
    ] = None,
    consensus_as: Annotated[
        ConsensusAs, typer.Option("--as", help="For label-studio: what the consensus becomes.")
    ] = ConsensusAs.PREDICTION,
    json_output: AsJson = False,
) -> None:
    """Write a project's consensus, labels, leaderboard or a report into a file.

    The report is one page of HTML to send around: --what report --format html.

    In CSV, texts that a spreadsheet would run as a formula get an apostrophe before them.
    """
    from backend.exports.export import open_export, write_export

    with open_service() as service:
        found = open_export(service, project, what, export_format, consensus_as)
        file = output or Path(found.file_name)
        size = write_export(found.chunks, file)
    if json_output:
        print_json({"project": project, "file": str(file), "bytes": size})
        return
    out.print(f"{escape(str(file))}: {size:,} bytes.", highlight=False, soft_wrap=True)


@app.command()
def doctor(json_output: AsJson = False) -> None:
    """Check the whole chain and say how to mend each fault."""
    from backend.doctor import examine

    with shown_progress() as progress:
        progress("Checking", 0, None)
        findings = examine(load_settings())
    if json_output:
        print_json([asdict(one) for one in findings])
    else:
        for one in findings:
            mark = "[bold red]fault[/]"
            if one.is_ok:
                mark = "[yellow]warn[/] " if one.remedy else "[green]ok[/]   "
            out.print(
                f"{mark} {escape(one.subject)}: {escape(one.message)}",
                highlight=False,
                soft_wrap=True,
            )
            if one.remedy:
                out.print(f"      {escape(one.remedy)}", highlight=False, soft_wrap=True)
    if not all(one.is_ok for one in findings):
        raise typer.Exit(1)


@app.command()
def health(
    is_worker: Annotated[
        bool, typer.Option("--worker", help="Ask for a worker instead of the web application.")
    ] = False,
) -> None:
    """Say by exit code 0 that what runs on this machine is well; for containers."""
    from backend.health import check_web, check_worker

    if not is_worker:
        check_web(load_settings())
        return
    with open_service() as service:
        check_worker(service)


@app.command()
def settings() -> None:
    """Print every setting with its description and default, as a .env file."""
    typer.echo(example_environment(), nl=False)


@app.command()
def demo(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the demo's data; a second run reuses it.")
    ] = None,
    label_studio_env: Annotated[
        Path | None,
        typer.Option(help="Python environment with Label Studio; made if it is missing."),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Folder with labels.parquet, tasks.parquet and meta.json, instead of digits."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the demo's data first.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Stay up until Ctrl-C after printing.")
    ] = True,
    json_output: AsJson = False,
) -> None:
    """Show it all on a real Label Studio with simulated annotators."""
    from backend.demo.run import run_demo

    settings = load_settings()
    _stop_on_sigterm()
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=err, show_path=False, show_time=False)],
    )
    with shown_progress(announce=True) as progress:
        folder = data_dir or settings.data_dir / "demo"
        run_demo(
            folder=folder,
            label_studio_env=label_studio_env or folder / "label-studio-env",
            dataset=dataset,
            fresh=fresh,
            wait=wait,
            progress=progress,
            report=print_json if json_output else None,
        )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
