"""The end-to-end tests on other releases of Label Studio, and on PostgreSQL.

    python -m tests.compatibility [--label-studio VERSION] [--database postgresql] [PYTEST ...]

Installs that Label Studio (`oldest` is the oldest that is supported, and without a version it is
the newest) into an environment of its own under `.cache/`, starts a PostgreSQL for it if asked,
and runs the tests of what the service asks of Label Studio: connecting, following, publishing,
re-annotation, every kind of answer. Further arguments go to pytest, such as `-k live`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from backend.demo.label_studio_server import REQUIREMENTS
from tests.e2e.environment import DATABASE, PROGRAM
from tests.postgresql import NoPostgreSQLError, postgresql

ROOT = Path(__file__).parents[1]
OLDEST = "1.18.0"
"""The oldest release that the tests pass on; see docs/compatibility.md."""
TESTS = tuple(
    f"tests/e2e/test_{name}.py"
    for name in ("connect", "live", "publishing", "reannotation", "answers")
)

_CACHE = ROOT / ".cache" / "label-studio"
_VERSION = re.compile(r"\d+(\.\d+)+(\.post\d+)?")


class NotInstalledError(Exception):
    """This release of Label Studio could not be installed."""


def newest() -> str:
    """The release that is locked, on which all end-to-end tests run."""
    (found,) = re.findall(r"^label-studio==(\S+)", REQUIREMENTS.read_text(), re.M)
    return str(found)


def label_studio(version: str, folder: Path = _CACHE) -> Path:
    """Path of the `label-studio` program of a release, which is installed first if missing.

    Raises
    ------
    NotInstalledError
        That failed; the message holds the installer's last words.
    """
    environment = folder / version
    program = environment / "bin" / "label-studio"
    if program.exists():
        return program
    uv = (sys.executable, "-m", "uv")
    python = ("--python", str(environment / "bin" / "python"))
    for command in (
        (*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)),
        (*uv, "pip", "install", "--quiet", *python, f"label-studio=={version}"),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = " ".join(done.stderr.split())[-600:]
            raise NotInstalledError(f"Label Studio {version} could not be installed: {last}")
    return program


def run_tests(program: Path, arguments: Sequence[str], named: Mapping[str, str]) -> int:
    """Run the tests against a Label Studio; returns pytest's exit code."""
    command = [sys.executable, "-m", "pytest", *arguments, *TESTS]
    environment = os.environ | named | {PROGRAM: str(program)}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compatibility", description="Other Label Studios, and PostgreSQL."
    )
    parser.add_argument("--label-studio", metavar="VERSION", default=newest(), type=_version)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    asked, others = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as name, ExitStack() as open_:
        folder = Path(name)
        folder.chmod(0o711)
        try:
            program = label_studio(asked.label_studio)
            named = {}
            if asked.database == "postgresql":
                named[DATABASE] = open_.enter_context(postgresql(folder / "postgresql"))
        except (NotInstalledError, NoPostgreSQLError) as error:
            print(error, file=sys.stderr)
            return 2
        print(f"Label Studio {asked.label_studio} on {asked.database}", flush=True)
        return run_tests(program, others, named)


def _version(text: str) -> str:
    if text == "oldest":
        return OLDEST
    if not _VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a version such as {OLDEST}")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
