"""The `crowdlab` command: the terminal's view of the service."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from backend import __version__
from backend.errors import CrowdlabError, NothingToComputeError
from backend.jobs.queue import JobKind
from backend.service import Service
from backend.settings import Settings, example_environment, load_settings
from backend.store.connection import RedisConnection

if TYPE_CHECKING:
    from backend.jobs.pipeline import RefreshReport

app = typer.Typer(
    name="crowdlab",
    help="Automatic consensus, label quality and annotator quality for Label Studio.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PIPED_WIDTH = 160
_NAME_WIDTH = 28
_CLASS_WIDTH = 11
out = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True)

ProjectId = Annotated[
    int, typer.Argument(metavar="PROJECT", min=1, help="Number in the project's address.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Run the command line; domain errors become a sentence and exit code 1."""
    try:
        app()
    except CrowdlabError as error:
        _fail(error)
    except RedisError as error:
        reason = str(error).rstrip(". ")
        _fail(CrowdlabError(f"Redis failed: {reason}.", "Check REDIS_URL and the server's log."))
    except KeyboardInterrupt:
        err.print("Stopped.")
        sys.exit(130)


def _fail(error: CrowdlabError) -> NoReturn:
    err.print(f"[bold red]Error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
    if error.hint:
        err.print(escape(error.hint), highlight=False, soft_wrap=True)
    sys.exit(1)


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


@contextmanager
def _service(**overrides: object) -> Iterator[Service]:
    """Service for one command, with Redis running."""
    settings = load_settings(**overrides)
    with RedisConnection(settings) as connection:
        service = Service(settings, connection.redis)
        try:
            yield service
        finally:
            service.close()


@contextmanager
def _progress(*, announce: bool = False) -> Iterator[Any]:
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


def _log_to_terminal(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    # They say nothing about our work at this level, and a lot.
    for noisy in ("httpx", "httpcore", "rq.worker", "rq.scheduler"):
        logging.getLogger(noisy).setLevel(
            max(logging.WARNING, logging.getLevelName(settings.log_level))
        )


@app.command()
def start() -> None:
    """Run everything on this machine: Redis unless REDIS_URL is set, web, two workers."""
    from backend.processes import Processes, own_command
    from backend.web.server import check_address

    settings = load_settings()
    _log_to_terminal(settings)
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
        _warn_if_open(settings)
        processes.watch(keep_up=connection.keep_running)
        err.print("Stopping.")


def _tell_label_studio(settings: Settings) -> None:
    """Say at once whether Label Studio accepts the token."""
    from backend.doctor import examine_label_studio

    found = examine_label_studio(settings)
    mark = "" if found.is_ok else "[bold yellow]Warning:[/] "
    text = f"{mark}{found.subject}: {escape(found.message)} {escape(found.remedy)}"
    err.print(text.rstrip(), highlight=False, soft_wrap=True)


def _warn_if_open(settings: Settings) -> None:
    if settings.host not in {"127.0.0.1", "localhost", "::1"} and not settings.protects_requests:
        err.print(
            "[bold yellow]Warning:[/] the service is reachable from other machines without "
            "credentials. Set WEBHOOK_SECRET and BASIC_AUTH_USER / BASIC_AUTH_PASS.",
            highlight=False,
        )


def _stop_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it started is stopped."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@app.command()
def web() -> None:
    """Run the web application alone (gunicorn)."""
    from backend.web.server import run_web

    with _service() as service:
        _log_to_terminal(service.settings)
        _warn_if_open(service.settings)
        run_web(service)


@app.command()
def worker(
    only: Annotated[
        JobKind | None, typer.Option(help="Take only jobs of this kind; both by default.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when no job waits.")] = False,
) -> None:
    """Run one worker alone; start as many as you like.

    Jobs of the kind `events` are short: they follow annotations as they are saved. Those of
    the kind `refresh` sync, train and publish. At least one worker should take only events,
    so that none of them waits.
    """
    from backend.jobs.worker import run_worker

    with _service() as service:
        _log_to_terminal(service.settings)
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

    with _service(backend_url=url) as service, _progress() as progress:
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
        _print_json({"project": project, "title": info["title"], "steps": steps, "link": link})
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

    with _service(backend_url=url) as service, _progress() as progress:
        progress("Disconnecting", 0, None)
        steps = disconnect_project(service, project)
    if json_output:
        _print_json({"project": project, "steps": steps})
        return
    for step in steps:
        out.print(escape(step), highlight=False, soft_wrap=True)


@app.command()
def sync(
    project: ProjectId,
    full: Annotated[bool, typer.Option("--full", help="Pull everything anew.")] = False,
    json_output: AsJson = False,
) -> None:
    """Pull a project's changes from Label Studio, recompute, and write back."""
    from backend.jobs import pipeline

    with _service() as service, _progress() as progress:
        report = pipeline.refresh(service, project, full_sync=full, progress=progress)
    if json_output:
        plain = asdict(report)
        plain["sync"]["tasks"] = len(report.sync.tasks)
        _print_json({"project": project, **plain})
        return
    for step in _steps_of(report):
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

    with _service() as service, _progress() as progress:
        computed, written = pipeline.recompute(service, project, progress=progress)
    if json_output:
        _print_json(
            {"project": project, "recompute": asdict(computed), "write_back": asdict(written)}
        )
        return
    out.print(f"recompute:  {computed}", highlight=False)
    out.print(f"write-back: {written}", highlight=False)


@app.command()
def status(json_output: AsJson = False) -> None:
    """Show every project that the service looks after."""
    from backend.overview import project_overviews

    with _service() as service:
        rows = [asdict(one) for one in project_overviews(service)]
        running: dict[str, Any] = {
            "workers": {kind.value: service.queue.num_workers(kind) for kind in JobKind},
            "waiting_jobs": service.queue.num_waiting(),
        }
    if json_output:
        _print_json({**running, "projects": rows})
        return
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
    yield f"  model version {row['model_version'] or '–'}, synced {_ago(row['synced_at'])}"
    if row["num_waiting_events"]:
        yield f"  [yellow]events waiting:[/] {row['num_waiting_events']:,}"
    if row["num_dead_letters"]:
        yield f"  [yellow]events that could not be applied:[/] {row['num_dead_letters']:,}"
    if row["last_error"]:
        yield f"  [red]last error:[/] {escape(row['last_error'])}"


@app.command()
def leaderboard(project: ProjectId, json_output: AsJson = False) -> None:
    """Show a project's annotators, the best first, the worst last."""
    from backend.overview import leaderboards

    with _service() as service:
        boards = leaderboards(service, project)
    if json_output:
        _print_json({"project": project, "questions": boards})
        return
    for board in boards:
        out.print(_leaderboard_table(board))
    out.print("Agrees: with the consensus. Truth: agrees with ground truth.", highlight=False)
    if not all(row["enough_data"] for board in boards for row in board["annotators"]):
        out.print("No quality: too little data to tell.", highlight=False)


def _leaderboard_table(board: dict[str, Any]) -> Table:
    """Annotators of one question; fits 80 columns unless names are very long."""
    rows = board["annotators"]
    table = Table(
        title=f"Question {escape(board['question'])}",
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("#", justify="right", no_wrap=True)
    longest = max((len(row["name"]) for row in rows), default=0)
    table.add_column("Annotator", overflow="fold", min_width=min(longest, _NAME_WIDTH))
    for heading in ("Quality", "Agrees", "Truth"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Worst class", overflow="fold", max_width=_CLASS_WIDTH)
    for heading in ("Labels", "Skips"):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, row in enumerate(rows, start=1):
        table.add_row(
            str(place),
            escape(row["name"]),
            f"{row['quality']:.3f}" if row["enough_data"] else "–",
            _share(row["agreement_with_consensus"]),
            _share(row["agreement_with_ground_truth"]),
            escape(row["worst_class"]),
            f"{row['num_labels']:,}",
            f"{row['num_skipped']:,}",
        )
    return table


@app.command()
def doctor(json_output: AsJson = False) -> None:
    """Check the whole chain and say how to mend each fault."""
    from backend.doctor import examine

    with _progress() as progress:
        progress("Checking", 0, None)
        findings = examine(load_settings())
    if json_output:
        _print_json([asdict(one) for one in findings])
    else:
        for one in findings:
            mark = "[green]ok[/]   " if one.is_ok else "[bold red]fault[/]"
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
    with _progress(announce=True) as progress:
        folder = data_dir or settings.data_dir / "demo"
        run_demo(
            folder=folder,
            label_studio_env=label_studio_env or folder / "label-studio-env",
            dataset=dataset,
            fresh=fresh,
            wait=wait,
            progress=progress,
            report=_print_json if json_output else None,
        )


def _print_json(plain: object) -> None:
    typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _ago(moment: float) -> str:
    if not moment:
        return "never"
    seconds = int(time.time() - moment)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
