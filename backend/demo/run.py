"""Set up the demonstration, show its result, and take it down."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.connect import connect_project
from backend.demo.label_studio_server import (
    Account,
    DemoError,
    LabelStudioServer,
    ensure_environment,
)
from backend.demo.scenario import Scenario, dataset_scenario, digits_scenario
from backend.errors import ProjectNotFoundError
from backend.insights.annotators import leaderboards
from backend.insights.tasks import TaskQuery, task_page
from backend.jobs import pipeline
from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.queue import JobKind
from backend.label_studio.project_setup import set_up_tab
from backend.processes import Processes, own_command
from backend.progress import Progress
from backend.service import Service
from backend.settings import Settings, load_settings
from backend.store.connection import RedisConnection
from backend.web.server import free_port
from crowdlab_engine import majority_vote

JSON = dict[str, Any]

_ADMIN = "admin@example.com"
_TASKS_PER_IMPORT = 500
_MOST_SIGN_UPS = 20
"""More annotators than this get accounts without a log-in, which is much faster."""


@dataclass
class DemoState:
    """What a second run needs to go on; kept in the demo's folder."""

    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    """Password of the administrator and of the annotators."""
    webhook_secret: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    label_studio_port: int = 8080
    backend_port: int = 9090
    api_key: str = ""
    project: int = 0
    scenario: str = ""
    truth: dict[str, int] = field(default_factory=dict)
    """Class code by task id: known to the demo, to nobody in Label Studio."""
    annotators: dict[str, int] = field(default_factory=dict)
    """User id by e-mail address."""

    @classmethod
    def load(cls, folder: Path) -> DemoState:
        """Read the state of the last run, or begin anew."""
        path = folder / "demo.json"
        if not path.exists():
            return cls()
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            raise DemoError(
                f"{path} is damaged.", "Run the demo with --fresh to begin anew."
            ) from None

    def save(self, folder: Path) -> None:
        """Write the state, readable by its owner alone, in one step."""
        path = folder / "demo.json"
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)


def run_demo(
    *,
    folder: Path,
    label_studio_env: Path,
    dataset: Path | None,
    fresh: bool,
    wait: bool,
    progress: Progress,
    report: Callable[[object], None] | None,
) -> None:
    """Run the demonstration until Ctrl-C, or until it has printed if not `wait`.

    Parameters
    ----------
    folder
        Its data; a second run goes on with them.
    label_studio_env
        Environment with Label Studio; made if missing.
    dataset
        Folder of a crowdsourced data set, instead of the digits.
    fresh
        Delete the data first.
    report
        Takes the result as plain data; None prints tables.

    Raises
    ------
    CrowdlabError
        A part cannot be set up; what was started is stopped.
    """
    folder = folder.expanduser().absolute()
    name = str(dataset.expanduser().absolute()) if dataset else "digits"
    scenario = dataset_scenario(dataset.expanduser()) if dataset else digits_scenario()
    with _only_demo_of(folder):
        _run(scenario, name, folder, label_studio_env, fresh, wait, progress, report)


@contextmanager
def _only_demo_of(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, before anything in it is touched.

    Raises
    ------
    DemoError
        Another demo holds it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"A demo runs in the folder {folder}.",
                "Stop it with Ctrl-C where it runs, or choose another folder with --data-dir.",
            ) from None
        yield


def _run(
    scenario: Scenario,
    name: str,
    folder: Path,
    label_studio_env: Path,
    fresh: bool,
    wait: bool,
    progress: Progress,
    report: Callable[[object], None] | None,
) -> None:
    """Run the demonstration in a folder that is ours alone."""
    if fresh:
        for part in ("label-studio", "redis", "logs", "demo.json"):
            target = folder / part
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    state = DemoState.load(folder)
    program = ensure_environment(label_studio_env, progress)
    state.label_studio_port = free_port("127.0.0.1", state.label_studio_port)
    state.backend_port = free_port("127.0.0.1", state.backend_port)
    state.save(folder)
    admin = Account(_ADMIN, state.password)
    base = load_settings(data_dir=folder, redis_url="", data_redis_url="", port=state.backend_port)
    with RedisConnection(base, own=True) as connection, Processes() as processes:
        server = LabelStudioServer(program, folder / "label-studio", state.label_studio_port, admin)
        server.start(processes, progress)
        state.api_key = state.api_key or server.personal_access_token(admin)
        state.save(folder)
        settings = load_settings(
            label_studio_url=server.url,
            label_studio_api_key=state.api_key,
            backend_url=f"http://localhost:{state.backend_port}",
            host="127.0.0.1",
            port=state.backend_port,
            webhook_secret=state.webhook_secret,
            redis_url=connection.url,
            data_redis_url="",
            basic_auth_user="",
            data_dir=folder,
        )
        service = Service(settings, connection.redis)
        _ensure_project(service, server, admin, scenario, name, state, folder, progress)
        _start_service(processes, settings, folder)
        _wait_for_service(settings, processes)
        connect_project(service, state.project)
        pipeline.refresh(service, state.project, full_sync=True, progress=progress)
        tab = set_up_tab(service.label_studio, state.project)
        progress("Done", 1, 1)
        result = _result(service, scenario, state, server.url, int(tab["id"]))
        if report is not None:
            report(result)
        else:
            _print(result, folder, wait)
        if wait:
            processes.watch(keep_up=connection.keep_running)
            Console(stderr=True).print("Stopping.")


def _ensure_project(
    service: Service,
    server: LabelStudioServer,
    admin: Account,
    scenario: Scenario,
    name: str,
    state: DemoState,
    folder: Path,
    progress: Progress,
) -> None:
    """Make the project with its tasks, annotators and labels, unless an earlier run did."""
    client = service.label_studio
    if state.project and state.scenario == name:
        try:
            client.project(state.project)
        except ProjectNotFoundError:
            state.project = 0
        else:
            return
    emails = [f"{annotator}@example.com" for annotator in scenario.annotators]
    for done, email in enumerate(emails):
        progress("Making annotators", done, len(emails))
        if email in state.annotators:
            continue
        if len(emails) <= _MOST_SIGN_UPS:
            state.annotators[email] = server.sign_up(admin, Account(email, state.password))
        else:
            state.annotators[email] = client.create_user(email)
        state.save(folder)
    progress("Making annotators", len(emails), len(emails))
    people = [state.annotators[email] for email in emails]
    project = client.create_project(scenario.title, scenario.label_config, overlap=5)
    tasks = _tasks_with_annotations(scenario, people, client.current_user()["id"])
    truth: dict[str, int] = {}
    for start in range(0, len(tasks), _TASKS_PER_IMPORT):
        progress("Importing tasks", start, len(tasks))
        some = tasks[start : start + _TASKS_PER_IMPORT]
        ids = client.import_tasks(project, some)
        truth |= {
            str(task): code
            for task, code in zip(ids, scenario.truth[start : start + len(ids)], strict=True)
        }
    progress("Importing tasks", len(tasks), len(tasks))
    state.project, state.scenario, state.truth = project, name, truth
    state.save(folder)


def _tasks_with_annotations(scenario: Scenario, people: list[int], expert: int) -> list[JSON]:
    """Tasks in Label Studio's import form."""
    tasks: list[JSON] = [{"data": data, "annotations": []} for data in scenario.tasks]
    to_name = "image" if "image" in scenario.tasks[0] else next(iter(scenario.tasks[0]))

    def annotation(code: int, person: int, seconds: float, is_truth: bool) -> JSON:
        region = {
            "from_name": scenario.question,
            "to_name": to_name,
            "type": "choices",
            "value": {"choices": [scenario.classes[code]]},
        }
        return {
            "completed_by": person,
            "result": [region] if code >= 0 else [],
            "was_cancelled": code < 0,
            # Label Studio takes imported annotations for ground truth unless told otherwise.
            "ground_truth": is_truth,
            "lead_time": seconds,
        }

    for one in scenario.labels:
        tasks[one.task]["annotations"].append(
            annotation(one.label, people[one.annotator], one.seconds, False)
        )
    for task in scenario.ground_truth:
        tasks[task]["annotations"].append(annotation(scenario.truth[task], expert, 0.0, True))
    return tasks


def _start_service(processes: Processes, settings: Settings, folder: Path) -> None:
    """Start the worker and the web application on the demo's settings."""
    environment = {
        **os.environ,
        "LABEL_STUDIO_URL": settings.label_studio_url,
        "LABEL_STUDIO_API_KEY": settings.label_studio_api_key.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "CROWDLAB_DATA_REDIS_URL": settings.redis_url.get_secret_value(),
        "BACKEND_URL": settings.backend_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "WEBHOOK_SECRET": settings.webhook_secret.get_secret_value(),
        "BASIC_AUTH_USER": "",
    }
    for kind in JobKind:
        command = own_command("worker", "--only", kind.value)
        processes.start(
            f"{kind.value} worker",
            command,
            environment,
            folder / "logs" / f"{kind.value}-worker.log",
        )
    processes.start("web", own_command("web"), environment, folder / "logs" / "web.log")


def _wait_for_service(settings: Settings, processes: Processes) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        processes.check()
        try:
            if httpx.get(f"{settings.public_url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise DemoError(
        "The web application does not answer.", "logs/web.log in the demo's folder tells."
    )


def _result(service: Service, scenario: Scenario, state: DemoState, url: str, tab: int) -> JSON:
    """What the demo found, as plain data."""
    project = state.project
    store = service.store(project)
    info = store.read_info()
    assert info is not None
    tasks = store.tasks.read()["task"]
    counted = counted_labels(store.annotations(len(info.questions)).read(), 0)
    labels = engine_labels(tasks, counted, 0, info.questions[0])
    truth = np.asarray([state.truth.get(str(task), -1) for task in tasks.tolist()])
    vote = majority_vote(labels)
    rows = store.consensus(len(info.questions)).read()
    consensus = np.full(len(tasks), -1)
    consensus[np.searchsorted(tasks, rows["task"])] = rows["label"][:, 0]
    is_known = (truth >= 0) & (vote >= 0)
    publication = store.read_publication()
    assert publication is not None
    (board, *_) = leaderboards(store)
    doubtful = [
        {
            **asdict(row),
            "truth": scenario.classes[state.truth[str(row.task)]]
            if state.truth.get(str(row.task), -1) >= 0
            else None,
            "link": f"{url}/projects/{project}/data?tab={tab}&task={row.task}",
        }
        for row in task_page(service, project, TaskQuery(limit=5)).rows
    ]
    return {
        "project": project,
        "title": info.title,
        "num_tasks": len(tasks),
        "num_labeled": len(rows["task"]),
        "num_labels": len(counted["task"]),
        "num_annotators": board.num_annotators,
        "majority_vote_accuracy": float((vote == truth)[is_known].mean()),
        "consensus_accuracy": float((consensus == truth)[is_known].mean()),
        "classifier": board.classifier,
        "worst_annotators": [asdict(one) for one in board.annotators[-5:]],
        "bad_annotators": {
            f"{name}@example.com": habit for name, habit in scenario.bad_annotators.items()
        },
        "most_doubtful": doubtful,
        "model_version": publication.model_version,
        "label_studio": url,
        "consensus_tab": f"{url}/projects/{project}/data?tab={tab}",
        "backend": service.settings.public_url,
        "login": {"email": _ADMIN, "password": state.password},
        "annotator_login": {
            "email": f"{scenario.annotators[0]}@example.com",
            "password": state.password,
        }
        if len(scenario.annotators) <= _MOST_SIGN_UPS
        else None,
    }


def _print(result: JSON, folder: Path, wait: bool) -> None:
    console = Console()

    def say(text: str = "") -> None:
        console.print(text, highlight=False, soft_wrap=True)

    say()
    say(f"[bold]{escape(result['title'])}[/]")
    say(
        f"{result['num_tasks']:,} tasks, {result['num_labels']:,} labels by "
        f"{result['num_annotators']} annotators; {result['num_labeled']:,} tasks have a consensus."
    )
    say()
    table = Table(header_style="bold", title="Accuracy against the truth", title_justify="left")
    table.add_column("Method")
    table.add_column("Accuracy", justify="right")
    vote, consensus = result["majority_vote_accuracy"], result["consensus_accuracy"]
    shown = f"{100 * consensus:.1f} %"
    table.add_row("majority vote", f"{100 * vote:.1f} %")
    table.add_row("Crowdlab consensus", f"[green]{shown}[/]" if consensus > vote else shown)
    console.print(table)
    if consensus == vote:
        say("On these data the consensus is no better than the majority vote.")
    elif consensus < vote:
        say("On these data the consensus is worse than the majority vote.")
    table = Table(
        header_style="bold", title="Worst annotators, the worst last", title_justify="left"
    )
    table.add_column("Annotator")
    for heading in ("Quality", "Agreement", "Labels"):
        table.add_column(heading, justify="right")
    if result["bad_annotators"]:
        table.add_column("Simulated so that it")
    for row in result["worst_annotators"]:
        cells = [
            escape(row["name"]),
            f"{row['quality']:.3f}",
            f"{100 * row['agreement_with_consensus']:.1f} %",
            f"{row['num_labels']:,}",
        ]
        if result["bad_annotators"]:
            cells.append(result["bad_annotators"].get(row["name"], ""))
        table.add_row(*cells)
    console.print(table)
    table = Table(header_style="bold", title="Most doubtful tasks", title_justify="left")
    for heading in ("Task", "Consensus", "Quality", "Labels", "Truth"):
        table.add_column(heading, justify="right")
    for row in result["most_doubtful"]:
        table.add_row(
            str(row["task"]),
            escape(row["consensus"]),
            f"{row['quality']:.3f}",
            str(row["num_annotations"]),
            escape(row["truth"] or "–"),
        )
    console.print(table)
    say()
    say(f"Label Studio:  {result['consensus_tab']}")
    say(f"  log in as    {result['login']['email']}  password {result['login']['password']}")
    if result["annotator_login"]:
        say(f"  or annotate  {result['annotator_login']['email']}  (the same password)")
    say(f"Crowdlab:      {result['backend']}  (model version {result['model_version']})")
    say(f"Logs and data: {folder}")
    if wait:
        say()
        say("Ctrl-C stops everything.")
