"""Build and run the image where there is no container engine.

Interprets `docker/Dockerfile` on a fresh Debian made by debootstrap: runs each RUN in a chroot,
copies what COPY copies (refusing what .dockerignore leaves out), and then starts the entry
command of the image and of each of our services in docker-compose.yml, as the image's user, on a
root file system that is mounted read-only, until their health checks pass.

    python -m docker.prove [--cache FOLDER]

It needs root, debootstrap, overlayfs and 3 GB of memory, in which the image is made, and says so
where it may not. Mounts and processes are in namespaces of their own and vanish with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from docker.dockerfile import DockerfileError, Instruction, Stage, parse, substitute

ROOT = Path(__file__).resolve().parents[1]
COMPOSE_FILE = ROOT / "docker" / "docker-compose.yml"
DEFAULT_CACHE = ROOT / ".cache" / "image"

_BASE = "python:3.11-slim-bookworm"
_PACKAGES = ("python3.11", "python3.11-venv", "python3-distutils", "ca-certificates")
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_INSIDE = "PROVE_INSIDE_NAMESPACES"
_START_SECONDS = 180.0
_STOP_SECONDS = 90.0
_BUILD_TOOLS = ("cc", "gcc", "g++", "make", "ld")


class NotProvedError(Exception):
    """The image does not do what it should."""


@dataclass
class Image:
    """A root file system with what the Dockerfile says of how to run it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: str = "0:0"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def chroot(self, command: Sequence[str], more: Mapping[str, str] | None = None) -> list[str]:
        """Command line that runs `command` in the image."""
        pairs = [f"{name}={value}" for name, value in {**self.environment, **(more or {})}.items()]
        into = ["chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        return [*into, "/usr/bin/env", "-i", f"--chdir={self.folder}", *pairs, *command]

    def output(self, *command: str, more: Mapping[str, str] | None = None) -> str:
        """What a command prints.

        Raises
        ------
        NotProvedError
            It fails.
        """
        done = subprocess.run(self.chroot(command, more), capture_output=True, text=True)
        if done.returncode:
            raise NotProvedError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def can(self, *command: str) -> bool:
        """Whether a command succeeds."""
        return subprocess.run(self.chroot(command), capture_output=True).returncode == 0


def main() -> None:
    """Prove the image, or say why that cannot be done here."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--cache",
        type=Path,
        default=DEFAULT_CACHE,
        help="folder in which the fresh Debian is kept for the next time",
    )
    cache = parser.parse_args().cache.absolute()
    if reason := cannot_run():
        print(f"Skipped: {reason}")
        return
    if not os.environ.get(_INSIDE):
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.environ[_INSIDE] = "1"
        os.execvp(own[0], [*own, sys.executable, "-m", "docker.prove", *sys.argv[1:]])  # noqa: S606
    try:
        base = fresh_debian(cache)
        with _work_folder() as work:
            image = build(parse((ROOT / "docker/Dockerfile").read_text()), base, work)
            run_all(image, work)
    except (NotProvedError, DockerfileError) as error:
        sys.exit(f"Not proved: {error}")
    print("Proved: the image builds, and all that it starts is well.")


def cannot_run() -> str:
    """Why the proof cannot be had on this machine; empty if it can."""
    if sys.platform != "linux":
        return "an image can be proved on Linux only."
    if os.geteuid():
        return "only root may mount and chroot; run it as root."
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux")):
        if not shutil.which(program):
            return f"there is no {program} here; install the package {package}."
    if not _is_allowed("mount -t tmpfs tmpfs /mnt"):
        return "mounting is not allowed here, not even in a namespace of its own."
    if not _is_allowed(
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c && mount -t overlay overlay"
        " -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c /mnt/a"
    ):
        return "this kernel does not let overlayfs be mounted here."
    return ""


def _is_allowed(script: str) -> bool:
    own = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script]
    return subprocess.run(own, capture_output=True).returncode == 0


def fresh_debian(cache: Path) -> Path:
    """Root of a Debian 12 with Python 3.11 where the official image has it; made if missing."""
    base = cache / "bookworm"
    if (base / "usr/local/bin/python").exists():
        return base
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    print("Making a fresh Debian (minutes) …", flush=True)
    options = ["--variant=minbase", f"--include={','.join(_PACKAGES)}"]
    done = subprocess.run(
        ["debootstrap", *options, "bookworm", str(base), _mirror()], capture_output=True, text=True
    )
    if done.returncode:
        raise NotProvedError(f"debootstrap failed: {done.stdout.strip()[-500:]}")
    for name in ("python3", "python"):
        (base / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")
    return base


def _mirror() -> str:
    """The first Debian mirror of this machine's apt."""
    ask = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(ask, capture_output=True, text=True).stdout.split()
    mirrors = [site for site in sites if site.rstrip("/").endswith("/debian")]
    if not mirrors:
        raise NotProvedError("apt has no Debian mirror; run this on Debian.")
    return mirrors[0]


def build(stages: Sequence[Stage], base: Path, work: Path) -> Image:
    """Build all stages; the last is the image."""
    images: dict[str, Image] = {}
    for number, stage in enumerate(stages):
        if stage.base != _BASE:
            raise DockerfileError(f"FROM {stage.base}: only {_BASE} can be made here")
        image = Image(_overlay(base, work, str(number)))
        with _as_on_a_host(image.root):
            for one in stage.instructions:
                print(f"{one.line:3} {one.word} {' '.join(one.argument.split())[:80]}", flush=True)
                _apply(one, image, images)
        images[stage.name] = image
    return image


def _overlay(lower: Path, work: Path, name: str) -> Path:
    folders = {part: work / name / part for part in ("upper", "work", "root")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    where = f"lowerdir={lower},upperdir={folders['upper']},workdir={folders['work']}"
    _mount("-t", "overlay", "overlay", "-o", where, str(folders["root"]))
    return folders["root"]


@contextmanager
def _as_on_a_host(root: Path) -> Iterator[None]:
    """Give a root what an engine gives: /proc, /dev, names; and this machine's package index."""
    _mount("-t", "proc", "proc", str(root / "proc"))
    _mount("-t", "tmpfs", "tmpfs", str(root / "dev"))
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
        _mount("--bind", f"/dev/{name}", str(root / "dev" / name))
    (root / "dev/shm").mkdir(mode=0o1777)
    files = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"]
    if Path("/etc/pip.conf").exists():
        (root / "etc/pip.conf").touch()
        files.append("/etc/pip.conf")
    for name in files:
        (root / name[1:]).touch()
        _mount("--bind", name, str(root / name[1:]))
    yield
    for name in reversed(files):
        subprocess.run(["umount", str(root / name[1:])], check=True)
    (root / "etc/pip.conf").unlink(missing_ok=True)


def _apply(one: Instruction, image: Image, others: Mapping[str, Image]) -> None:
    match one.word:
        case "ENV":
            image.environment |= {
                name: substitute(value, image.environment) for name, value in one.pairs()
            }
        case "WORKDIR":
            image.folder = substitute(one.argument, image.environment)
            (image.root / image.folder[1:]).mkdir(parents=True, exist_ok=True)
        case "USER":
            image.user = one.argument
        case "VOLUME":
            image.volumes += one.parts
        case "CMD":
            image.command = one.command
        case "HEALTHCHECK":
            (_, _, test) = one.argument.partition("CMD")
            image.health = Instruction(one.line, "CMD", {}, test.strip()).command
        case "COPY":
            _copy(one, image, others)
        case "RUN":
            pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
            done = subprocess.run(
                image.chroot(one.command, pip), capture_output=True, text=True, timeout=1800
            )
            if done.returncode:
                said = (done.stdout + done.stderr).strip()
                raise NotProvedError(f"line {one.line}: RUN failed: {said[-2000:]}")
        case "LABEL" | "EXPOSE":
            pass
        case _:
            raise DockerfileError(f"line {one.line}: {one.word} is not known here")


def _copy(one: Instruction, image: Image, others: Mapping[str, Image]) -> None:
    *sources, target = one.parts
    origin = others[one.flags["from"]].root if "from" in one.flags else ROOT
    where = image.root / str(Path(image.folder) / target).lstrip("/")
    for source in sources:
        if origin == ROOT and not is_in_context(source):
            raise NotProvedError(f"line {one.line}: .dockerignore leaves out {source}")
        found = origin / source.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, where, symlinks=True, dirs_exist_ok=True)
        else:
            folder = where if target.endswith("/") or len(sources) > 1 else where.parent
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, folder / (found.name if folder == where else where.name))


def is_in_context(source: str) -> bool:
    """Whether .dockerignore, which excludes all and names exceptions, lets a path through."""
    lines = (ROOT / ".dockerignore").read_text().split()
    first = Path(source).parts[0]
    return lines[0] == "*" and any(line.rstrip("/") == f"!{first}" for line in lines)


def run_all(image: Image, work: Path) -> None:
    """Start what the image and the compose file start, and see that it is well."""
    _check_contents(image)
    environment = {"PORT": str(_free_port()), "LABEL_STUDIO_URL": "http://127.0.0.1:9"}
    _freeze(image, work / "volumes")
    _check_rights(image)
    with _running(image, image.command, environment):
        _wait_until_well(image, image.health, environment)
        print(f"ok  {' '.join(image.command)}: healthy, read-only, as {image.user}", flush=True)
    services = {name: one for name, one in compose_services().items() if "crowdlab" in one["image"]}
    port = str(_free_port())
    environment |= {"REDIS_URL": f"redis://127.0.0.1:{port}/0", "WEBHOOK_SECRET": "a-secret"}
    server = image.output(
        "python", "-c", "from backend.store.embedded import *; print(find_redis_server())"
    )
    options = ["--port", port, "--bind", "127.0.0.1", "--appendonly", "yes", "--dir", "/data"]
    with _running(image, [server, *options], {}):
        for name, service in services.items():
            test = service.get("healthcheck", {}).get("test", ["CMD", *image.health])[1:]
            with _running(image, service["command"], environment):
                _wait_until_well(image, test, environment)
                print(f"ok  compose {name}: {' '.join(service['command'])}", flush=True)


@cache
def compose_services() -> dict[str, Any]:
    """Services of the compose file with all profiles, as Docker Compose itself reads it."""
    program = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}:{_PATH}")
    if program is None:
        raise NotProvedError("there is no docker-compose here: run `make install-dev`")
    command = [program, "-f", str(COMPOSE_FILE), "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotProvedError(f"docker-compose config: {done.stderr.strip()}")
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def _check_contents(image: Image) -> None:
    for tool in _BUILD_TOOLS:
        if image.can("sh", "-c", f"command -v {tool}"):
            raise NotProvedError(f"the image has a build tool: {tool}")
    if image.can("python", "-c", "import pip"):
        raise NotProvedError("the service's environment has pip")
    size = subprocess.run(
        ["du", "-sm", str(image.root / "opt/crowdlab")], capture_output=True, text=True, check=True
    )
    version = image.output("crowdlab", "--version")
    print(f"ok  {version}; the environment takes {size.stdout.split()[0]} MB", flush=True)


def _freeze(image: Image, volumes: Path) -> None:
    """Mount the root read-only, with volumes and a tmpfs at /tmp."""
    _mount("-o", "remount,ro", str(image.root))
    for name in image.volumes:
        owner = (image.root / name[1:]).stat()
        volume = volumes / name[1:]
        volume.mkdir(parents=True)
        os.chown(volume, owner.st_uid, owner.st_gid)
        _mount("--bind", str(volume), str(image.root / name[1:]))
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(image.root / "tmp"))


def _check_rights(image: Image) -> None:
    if image.output("id", "-u") == "0":
        raise NotProvedError("the image runs as root")
    for path in ("/opt/crowdlab/new", "/etc/new", "/new"):
        if image.can("touch", path):
            raise NotProvedError(f"{path} can be written")
    for path in ("/tmp/new", *(f"{volume}/new" for volume in image.volumes)):  # noqa: S108
        image.output("touch", path)


@contextmanager
def _running(
    image: Image, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[None]:
    """Run a command of the image; at the end, see that SIGTERM stops it."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            image.chroot(command, environment), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        except NotProvedError as error:
            log.seek(0)
            raise NotProvedError(f"{error}\n{log.read().decode()[-3000:]}") from None
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise NotProvedError(f"{command} does not stop at SIGTERM") from None


def _wait_until_well(image: Image, test: Sequence[str], environment: Mapping[str, str]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            image.output(*test, more=environment)
        except NotProvedError as error:
            if time.monotonic() > deadline:
                raise NotProvedError(f"it does not become healthy: {error}") from None
            time.sleep(1)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise NotProvedError(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def _work_folder() -> Iterator[Path]:
    """Make a folder in memory; it vanishes with all that is mounted in it."""
    work = Path(tempfile.mkdtemp(prefix="image-"))
    _mount("-t", "tmpfs", "tmpfs", str(work))
    try:
        yield work
    finally:
        subprocess.run(["umount", "--lazy", str(work)], check=True)
        work.rmdir()


if __name__ == "__main__":
    main()
