"""Whether commands in the documentation exist and are written as they must be."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from typer.main import get_command
from werkzeug.exceptions import HTTPException

from backend.cli import app
from backend.processes import own_command
from backend.service import Service
from backend.settings import Settings, environment_name, load_settings
from backend.web.app import create_app
from docker.prove import compose_services
from tests.docs.blocks import ROOT

SETTINGS = {environment_name(field) for field in Settings.model_fields}
OTHER_PROGRAMS = {"dask", "jq", "label-studio-ml", "redis-cli", "timedatectl"}
"""Programs that we neither bring nor describe."""

RUN = {"settings", "status", "versions", "audit", "dead-letters", "export-state", "restore-state"}
"""Commands that are run, as they need Redis only and are done in a moment."""

_BOUNDARIES = {"|", "&&", "||", ";", "&"}
_OTHER_VARIABLES = {"CROWDLAB_BIND", "LABEL_STUDIO_BIND", "LABEL_STUDIO_ML_BACKEND_V2"}


def lines_of(code: str, *, prompted: bool) -> Iterator[str]:
    """Commands of a block; of a transcript, the lines after a prompt."""
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        if prompted and not line.startswith("$ "):
            continue
        if words := line.removeprefix("$ ").strip():
            yield words


def commands_of(line: str) -> Iterator[list[str]]:
    """Commands of a line, without redirections and comments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    command: list[str] = []
    words = iter(lexer)
    for word in words:
        if word in _BOUNDARIES:
            yield command
            command = []
        elif set(word) <= set("<>"):
            next(words)
            if command and command[-1].isdigit():
                command.pop()  # the number of the stream, as in `2>`
        else:
            command.append(word)
    if command:
        yield command


def check(command: list[str]) -> None:
    """Fail if a command does not exist, or would refuse its arguments."""
    words = list(command)
    while words and re.fullmatch(r"[A-Z0-9_]+=.*", words[0]):
        _check_variable(words.pop(0))
    if not words:
        return
    program = Path(words[0]).name
    if program in OTHER_PROGRAMS:
        return
    assert program in CHECKS, f"no test knows the program {program}"
    CHECKS[program](words)


def _check_variable(assignment: str) -> None:
    name = assignment.partition("=")[0]
    known = SETTINGS | _OTHER_VARIABLES
    assert name in known or name.removesuffix("_FILE") in known, f"{name} is no setting"


def _check_export(words: list[str]) -> None:
    for word in words[1:]:
        _check_variable(word)


def _check_crowdlab(words: list[str]) -> None:
    group: Any = get_command(app)
    if words[1:] in (["--version"], ["--help"]):
        return
    assert words[1] in group.commands, f"there is no command crowdlab {words[1]}"
    numbers = {"PROJECT": "12", "FILE": "file", "VERSION": "crowdlab-000001"}
    arguments = [numbers.get(word, word) for word in words[2:]]
    if arguments != ["--help"]:
        group.commands[words[1]].make_context(words[1], arguments)


def check_mention(text: str) -> None:
    """Fail if a command that the text mentions, perhaps without its arguments, does not exist."""
    words = shlex.split(re.sub(r"[\[\],]", " ", text))
    if words[0] != "crowdlab":
        check(words)
        return
    group: Any = get_command(app)
    assert words[1] in group.commands, f"there is no command crowdlab {words[1]}"
    options = {name for one in group.commands[words[1]].params for name in one.opts}
    for word in words[2:]:
        assert not word.startswith("--") or word in options, f"{words[1]} has no option {word}"


def _check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for word in words[1:]:
        assert "=" in word or word in targets, f"there is no target {word}"


def _check_python(words: list[str]) -> None:
    assert words[1] == "-m", words
    module = words[2]
    assert find_spec(module), f"there is no module {module}"
    flags = [word for word in words[3:] if word.startswith("--")]
    if flags:
        help_text = _help_of(module)
        for flag in flags:
            assert flag in help_text, f"{module} has no option {flag}"


@cache
def _help_of(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def _check_pip(words: list[str]) -> None:
    assert words[1] == "install", words
    if "-r" in words:
        assert (ROOT / words[words.index("-r") + 1]).exists()


def _check_docker(words: list[str]) -> None:
    assert words[1:3] == ["compose", "-f"], "say which compose file"
    assert (ROOT / words[3]).exists()
    rest = words[4:]
    if rest[0] == "--profile":
        profiles = {name for one in compose_services().values() for name in one.get("profiles", [])}
        assert rest[1] in profiles, f"there is no profile {rest[1]}"
        rest = rest[2:]
    program = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    assert program
    asked = subprocess.run([program, rest[0], "--help"], capture_output=True, text=True, check=True)
    options = [word for word in rest[1:] if word.startswith("-")]
    if rest[0] == "exec":
        assert rest[1] in compose_services()
        check(rest[2:])
        return
    for option in options:
        assert re.search(rf"(^|[ ,]){option}\b", asked.stdout, re.M), option
    for word in rest[1:]:
        if not word.startswith("-"):
            assert word.partition("=")[0] in compose_services(), word


def _check_kubectl(words: list[str]) -> None:
    for flag, place in pairwise(words):
        if flag in ("-f", "-k"):
            assert (ROOT / place).exists(), place


def _check_curl(words: list[str]) -> None:
    (url,) = (word for word in words[1:] if word.startswith(("http", "localhost")))
    path = urlsplit(url if "//" in url else f"//{url}").path
    method = "POST" if "-d" in words else "GET"
    settings = load_settings(redis_url="redis://localhost")
    application = create_app(Service(settings, Redis.from_url("redis://localhost")))
    try:
        application.url_map.bind("localhost").match(path, method)
    except HTTPException as error:
        raise AssertionError(f"{method} {path}: {error}") from None


def _check_make_secrets(words: list[str]) -> None:
    assert os.access(ROOT / words[0], os.X_OK), words[0]


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "crowdlab": _check_crowdlab,
    "curl": _check_curl,
    "docker": _check_docker,
    "export": _check_export,
    "kubectl": _check_kubectl,
    "make": _check_make,
    "make-secrets": _check_make_secrets,
    "pip": _check_pip,
    "python": _check_python,
    "python3.11": _check_python,
}
"""What is looked at in a command, by its program."""


def run(command: list[str], folder: Path, redis_url: str) -> None:
    """Run a command of ours that is safe and short; it must succeed."""
    program, *arguments = command
    if Path(program).name != "crowdlab" or arguments[0] not in RUN:
        return
    environment = {**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        own_command(*arguments), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
