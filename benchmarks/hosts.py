"""Workers on several hosts share projects; one host is cut off while it works.

    python -m benchmarks.hosts [--short]

Each host is a network namespace with a host name of its own, on a virtual switch; nothing leaves
this machine. One runs Redis, the others a worker each. First the workers share the recompute
of many projects. Then the link of a host goes down that is about to store what it computed,
and labels change. Another host has to finish the work when the lease of the lost one has
expired. The lost one fails, and is started again as `crowdlab start` or a supervisor would. Last,
a host is suspended besides, as a virtual machine can be: it does not notice, goes on later, and
what it wants to store has to be refused.

Needs root and iproute2. There is no Label Studio: this ends at the consensus in the store.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FinishedJobRegistry
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from backend.errors import LOCK_LOST
from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.queue import JobQueue
from backend.processes import Processes, own_command
from backend.store import keys
from backend.store.embedded import find_redis_server
from backend.store.locks import LOCK_SECONDS
from backend.store.project import ProjectStore, Work
from benchmarks.large import Size
from benchmarks.projects import fill_project
from crowdlab_engine import Crowdlab

_STORE = "store"
_ROOT = Path(__file__).resolve().parents[1]
_PATIENCE_SECONDS = 180.0
_TOLERANCE = 1e-12


class Network:
    """Hosts on a switch, each a network namespace; a context manager that removes them.

    Parameters
    ----------
    hosts
        Names of the hosts.
    """

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._prefix = f"crowdlab{os.getpid()}"
        self._hosts = hosts

    @staticmethod
    def missing() -> str:
        """What is missing here to make one; empty if nothing is."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        if not (shutil.which("ip") and shutil.which("unshare")):
            return "the programs ip (iproute2) and unshare (util-linux) are missing"
        probe = f"crowdlab{os.getpid()}probe"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
        return made.stderr.decode().strip()

    def __enter__(self) -> Network:
        switch = self._namespace("switch")
        _ip("netns", "add", switch)
        try:
            _ip("-n", switch, "link", "add", "switch", "type", "bridge")
            _ip("-n", switch, "link", "set", "switch", "up")
            for host in self._hosts:
                self._attach(host)
        except BaseException:
            self._remove()
            raise
        return self

    def _attach(self, host: str) -> None:
        switch, namespace = self._namespace("switch"), self._namespace(host)
        _ip("netns", "add", namespace)
        _ip("-n", switch, "link", "add", host, "type", "veth", "peer", "eth0", "netns", namespace)
        _ip("-n", switch, "link", "set", host, "master", "switch", "up")
        _ip("-n", namespace, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")

    def address(self, host: str) -> str:
        """Address of a host."""
        return f"10.77.0.{self._hosts.index(host) + 1}"

    def on(self, host: str, *command: str) -> list[str]:
        """Command line that runs a program on a host."""
        name = 'hostname "$0" && exec "$@"'
        namespace = self._namespace(host)
        inside = ["unshare", "--uts", "sh", "-c", name, host, *command]
        return ["ip", "netns", "exec", namespace, *inside]

    def cut(self, host: str) -> None:
        """Take down the link of a host, as if its cable were pulled."""
        _ip("-n", self._namespace("switch"), "link", "set", host, "down")

    def mend(self, host: str) -> None:
        """Put up its link again."""
        _ip("-n", self._namespace("switch"), "link", "set", host, "up")

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}{host}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for host in (*self._hosts, "switch"):
            name = self._namespace(host)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Cluster:
    """Redis on one host, a worker on each of the others, and a look at all of it from outside.

    Parameters
    ----------
    network
        The hosts.
    workers
        Names of the hosts with a worker.
    folder
        For data, the socket by which Redis is seen from outside, and the workers' output.
    """

    def __init__(
        self, network: Network, workers: tuple[str, ...], folder: Path, processes: Processes
    ) -> None:
        self.network = network
        self.processes = processes
        self._folder = folder
        socket = folder / "redis.sock"
        server = [find_redis_server(), "--bind", network.address(_STORE), "--port", "6379"]
        server += ["--protected-mode", "no", "--unixsocket", str(socket), "--dir", str(folder)]
        server += ["--save", "", "--appendonly", "no"]
        plain = {name: text for name, text in os.environ.items() if name in {"PATH", "HOME"}}
        plain |= {
            "PYTHONPATH": str(_ROOT),
            "OMP_NUM_THREADS": "1",
            "CROWDLAB_DATA_DIR": str(folder),
        }
        processes.start("redis", network.on(_STORE, *server), plain, folder / "redis.log")
        self.redis = Redis(unix_socket_path=str(socket))
        wait_until(self._answers, "Redis answers")
        url = f"redis://{network.address(_STORE)}:6379/0"
        for host in workers:
            command = network.on(host, *own_command("worker", "--only", "refresh"))
            processes.start(host, command, {**plain, "REDIS_URL": url}, folder / f"{host}.log")
        self.queue = JobQueue(self.redis, known_seconds=3600)
        wait_until(lambda: len(self._workers()) == len(workers), "all workers are there")

    def _answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except RedisError:
            return False

    def _workers(self) -> list[BaseWorker]:
        return Worker.all(connection=self.redis, serializer=JSONSerializer)

    def store(self, project: int) -> ProjectStore:
        """One project's part of the store."""
        return ProjectStore(self.redis, project)

    def at_work_on(self, project: int) -> tuple[str, int]:
        """Host, and process, of the worker that does a job of a project."""
        for worker in self._workers():
            job = worker.get_current_job()
            if job is not None and job.args and job.args[0] == project and worker.pid:
                return str(worker.hostname), worker.pid
        raise LookupError(f"no worker does a job of project {project}")

    def finished_jobs(self) -> dict[str, str]:
        """Jobs that were finished, with the host whose worker did each."""
        hosts = {worker.name: str(worker.hostname) for worker in self._workers()}
        done = {}
        for queue in Queue.all(connection=self.redis, serializer=JSONSerializer):
            ids = FinishedJobRegistry(queue=queue).get_job_ids()
            for job in Job.fetch_many(ids, self.redis, serializer=JSONSerializer):
                if job is not None and job.worker_name in hosts:
                    done[job.id] = hosts[job.worker_name]
        return done

    def output(self, host: str) -> str:
        """What the worker of a host has said."""
        return (self._folder / f"{host}.log").read_text()


def wait_until(is_so: Callable[[], object], what: str, every: float = 0.05) -> float:
    """Look every so many seconds whether something has happened; returns how long it took.

    Raises
    ------
    TimeoutError
        It does not.
    """
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise TimeoutError(f"in {_PATIENCE_SECONDS:.0f} seconds it did not happen that {what}")
        time.sleep(every)
    return time.monotonic() - began


def is_computed(store: ProjectStore) -> bool:
    """Whether the consensus counts all labels."""
    info, summary = store.read_info(), store.read_summary()
    assert info is not None
    return summary is not None and summary.data_version == info.data_version


def change_labels(store: ProjectStore, num_tasks: int) -> None:
    """Let the annotators of the first tasks change their mind."""
    with store.lock():
        info = store.read_info()
        assert info is not None
        table = store.annotations(1)
        tasks = store.tasks.read()["task"][:num_tasks]
        rows = table.read(tasks)
        rows["codes"] = (rows["codes"] + 1) % len(info.questions[0].classes)
        with store.transaction() as changes:
            table.stage_replacement(changes, tasks, rows)
            store.stage_changed(changes, tasks.tolist(), info.data_version + 1)
        store.touch(info, data_version=info.data_version + 1)


def distance_from_scratch(store: ProjectStore) -> float:
    """How far the stored consensus is from the engine's of the stored labels; inf if it differs."""
    info = store.read_info()
    assert info is not None
    tasks = store.tasks.read()["task"]
    counted = counted_labels(store.annotations(1).read(), 0)
    whole = Crowdlab().fit(engine_labels(tasks, counted, 0, info.questions[0]))
    stored = store.consensus(1).read()
    if not np.array_equal(stored["label"][:, 0], whole.consensus_label_):
        return float("inf")
    return float(np.abs(stored["quality"][:, 0] - whole.consensus_quality_score_).max())


@contextmanager
def running_cluster(workers: tuple[str, ...]) -> Iterator[Cluster]:
    """Start everything, and stop it."""
    with (
        tempfile.TemporaryDirectory() as name,
        Network((_STORE, *workers)) as network,
        Processes() as processes,
    ):
        yield Cluster(network, workers, Path(name), processes)


def run(num_hosts: int, num_projects: int, num_tasks: int, console: Console) -> list[str]:
    """Run it, and return what went wrong."""
    wrong: list[str] = []
    workers = tuple(f"host-{number + 1}" for number in range(num_hosts))
    with running_cluster(workers) as cluster:
        projects = range(1, num_projects + 1)
        for project in projects:
            fill_project(cluster.store(project), Size(num_tasks // 10, 20, 4, (3, 5)), project)
        for project in projects:
            cluster.queue.recompute(project)
        seconds = wait_until(
            lambda: all(is_computed(cluster.store(project)) for project in projects),
            "all projects are computed",
        )
        # The last jobs are noted as finished a moment later.
        wait_until(lambda: len(cluster.finished_jobs()) >= num_projects, "jobs are finished")
        table = Table(title=f"{num_projects} projects in {seconds:.1f} s", header_style="bold")
        table.add_column("Host")
        table.add_column("Recomputes", justify="right")
        done = Counter(cluster.finished_jobs().values())
        for host in workers:
            table.add_row(host, str(done[host]))
            if not done[host]:
                wrong.append(f"{host} did nothing")
        console.print(table)
        farthest = max(distance_from_scratch(cluster.store(project)) for project in projects)
        console.print(f"Largest distance from a computation from scratch: {farthest:.2g}")
        if farthest > _TOLERANCE:
            wrong.append("shared projects have other results than from scratch")
        for more, is_suspended in enumerate((False, True), start=1):
            wrong += _lose_host(
                cluster, num_projects + more, num_tasks, console, is_suspended=is_suspended
            )
    return wrong


def _lose_host(
    cluster: Cluster, project: int, num_tasks: int, console: Console, *, is_suspended: bool
) -> list[str]:
    """Cut off the host that computes a project, change labels, and put its link up again."""
    wrong: list[str] = []
    store = cluster.store(project)
    fill_project(store, Size(num_tasks, 50, 4, (3, 5)), project)
    fence = keys.FENCE.format(project=project, name=Work.REFRESH.value)
    summary = keys.SUMMARY.format(project=project)
    drafts = keys.TABLE.format(project=project, name="label_quality:draft:*")
    # While this lock is held, the host cannot put its results in place, and waits.
    with store.lock(Work.STORE):
        cluster.queue.recompute(project)
        wait_until(lambda: any(store.redis.scan_iter(drafts)), "a host has results")
        lost, process = cluster.at_work_on(project)
        if is_suspended:
            os.kill(process, signal.SIGSTOP)
        cluster.network.cut(lost)
    cut_at = time.monotonic()
    said = len(cluster.output(lost))

    def is_refused() -> bool:
        return LOCK_LOST in cluster.output(lost)[said:]

    token = store.redis.get(fence)
    what = "it is suspended, and its" if is_suspended else "its"
    console.print(f"{lost} is about to store {num_tasks:,} tasks; {what} link goes down.")
    assert not is_computed(store)

    change_labels(store, num_tasks // 10)
    cluster.queue.recompute(project)
    wait_until(lambda: is_computed(store), "another host takes over")
    console.print(
        f"{time.monotonic() - cut_at:.0f} s later another host has computed it, labels that "
        f"changed since included (a lease lasts {LOCK_SECONDS:.0f} s)."
    )
    if store.redis.get(fence) == token:
        wrong.append("the project was computed under the lost host's lease")
    if is_refused():
        wrong.append(f"{lost} knew of its loss before its link was up")

    stored = store.redis.get(summary)
    cluster.network.mend(lost)
    if is_suspended:
        os.kill(process, signal.SIGCONT)
        seconds = wait_until(is_refused, f"{lost} is refused")
        console.print(f"It goes on; {seconds:.0f} s later what it wanted to store is refused.")
    before = cluster.finished_jobs().keys()

    def works_again() -> bool:
        cluster.processes.check()
        for number in range(1, project):
            change_labels(cluster.store(number), 10)
            cluster.queue.recompute(number)
        return lost in {host for job, host in cluster.finished_jobs().items() if job not in before}

    seconds = wait_until(works_again, f"{lost} works again", every=2.0)
    console.print(f"Its link is up again, and {seconds:.0f} s later it has done another job.")
    if store.redis.get(summary) != stored:
        wrong.append("the late host has stored something")
    distance = distance_from_scratch(store)
    console.print(f"Distance from a computation from scratch: {distance:.2g}")
    if distance > _TOLERANCE:
        wrong.append("the project has other results than from scratch")
    return wrong


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="fewer and smaller projects")
    short = parser.parse_args().short
    missing = Network.missing()
    if missing:
        print(f"Not run: {missing}.")
        return 0
    console = Console(width=110)
    wrong = run(3, 12, 50_000, console) if short else run(5, 60, 200_000, console)
    console.print("\n".join(wrong) if wrong else "The work ended right.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
