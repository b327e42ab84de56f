"""The engine's wheel, alone in an environment of its own.

    python -m tests.engine_package [PYTHON ...]

Builds the wheel, and for each interpreter makes an environment that holds the wheel and what
it depends on, imports everything there, and then runs the engine's tests. Without arguments
it takes each Python from 3.10 to 3.13 that PATH or pyenv have, and says which they have not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELEASES = ("3.10", "3.11", "3.12", "3.13")

DEPENDENCIES = {"numpy", "pandas", "scikit-learn", "scipy"}
_TESTS = ("tests/__init__.py", "tests/crowdlab_engine", "tests/data/crowdlab")
_DOCUMENTS = ("README.md", "docs/engine.md", "docs/objects.md", "crowdlab_engine/README.md")

# Its reference for Gwet's AC1 pins releases that newer Pythons do not have.
_WITHOUT_DEPENDENCIES = "irrcac==0.4.4"

_IMPORT_ALL = """
import importlib, json, pkgutil, re, sys
from importlib.metadata import distribution, distributions
import crowdlab_engine
for module in pkgutil.iter_modules(crowdlab_engine.__path__):
    if module.name not in {"distributed", "parquet_partitions"}:
        importlib.import_module(f"crowdlab_engine.{module.name}")
labels = crowdlab_engine.MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 0], [1, 1, 0])
assert crowdlab_engine.Crowdlab().fit(labels).consensus_label_.tolist() == [1, 0]

def normal(name):
    return re.sub("[-_.]+", "-", name).lower()

installed = {normal(one.metadata["Name"]): one for one in distributions()}
needed, waiting = set(), ["crowdlab-engine"]
while waiting:
    name = waiting.pop()
    if name in installed and name not in needed:
        needed.add(name)
        wanted = (one for one in installed[name].requires or () if "extra ==" not in one)
        waiting += [normal(re.match("[A-Za-z0-9._-]+", one).group()) for one in wanted]
loaded = {name.partition(".")[0] for name in sys.modules}
tops = {name: {path.parts[0].removesuffix(".py") for path in one.files or ()}
        for name, one in installed.items()}
print(json.dumps({
    "path": [crowdlab_engine.__file__],
    "version": [crowdlab_engine.__version__],
    "needless": sorted(set(installed) - needed),
    "imported": sorted(name for name, top in tops.items() if top & loaded),
}))
"""


def interpreter(release: str) -> str | None:
    """Path of a Python of this release, from PATH or pyenv; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in (shutil.which(f"python{release}"), *pyenv.glob(f"{release}.*/bin/python")):
        # A shim of pyenv is there whether its Python is or not.
        if (
            found
            and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return str(found)
    return None


def build_wheel(folder: Path) -> Path:
    """Build the wheel in a folder, from a copy of the sources that nothing is left in."""
    source = folder / "source"
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "crowdlab_engine", source, ignore=leave_out)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run([sys.executable, *build, "--wheel-dir", str(folder), str(source)])
    (wheel,) = folder.glob("*.whl")
    return wheel


class Environment:
    """An environment with the wheel and its dependencies, and nothing else.

    Parameters
    ----------
    folder
        Where to make it.
    python
        Path of the interpreter.
    wheel
        The wheel.
    """

    def __init__(self, folder: Path, python: str, wheel: Path) -> None:
        self.python = str(folder / "bin" / "python")
        self._folder = folder
        self._wheel = wheel
        _uv("venv", "--quiet", "--python", python, str(folder))
        self._install(str(wheel))

    def _install(self, *what: str) -> None:
        _uv("pip", "install", "--quiet", "--python", self.python, *what)

    def imported(self) -> dict[str, list[str]]:
        """What is installed, and what is imported when all of the engine but Dask's part is."""
        found: dict[str, list[str]] = json.loads(_run([self.python, "-I", "-c", _IMPORT_ALL]))
        return found

    def run_tests(self, *arguments: str) -> str:
        """Run the engine's tests, warnings being errors; returns pytest's last line."""
        tests = self._folder / "tests"
        for name in (*_TESTS, *_DOCUMENTS):
            target = tests / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, target)
        # The folder holds only a README, so that the installed engine is what is imported.
        requirements = str(ROOT / "requirements" / "engine-tests.in")
        self._install(f"{self._wheel}[parquet]", "--requirement", requirements)
        self._install("--no-deps", _WITHOUT_DEPENDENCIES)
        pytest = ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
        folder = ["tests/crowdlab_engine"] if not arguments else []
        printed = _run([self.python, *pytest, *folder, *arguments], tests)
        return printed.strip().splitlines()[-1]


def _uv(*arguments: str) -> None:
    _run([sys.executable, "-m", "uv", *arguments])


def _run(command: list[str], folder: Path | None = None) -> str:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def faults(found: dict[str, list[str]]) -> list[str]:
    """What is wrong with what `Environment.imported` found."""
    return [f"not needed by the wheel: {name}" for name in found["needless"]] + [
        f"declared, and not imported: {name}" for name in DEPENDENCIES - set(found["imported"])
    ]


def main(pythons: list[str]) -> int:
    """Check the wheel on every interpreter; returns the exit code."""
    code = 0
    wanted = {python: python for python in pythons} or {one: interpreter(one) for one in RELEASES}
    with tempfile.TemporaryDirectory() as name:
        wheel = build_wheel(Path(name))
        print(wheel.name)
        for number, (release, python) in enumerate(wanted.items()):
            if python is None:
                print(f"Python {release}: not found here, not tested")
                continue
            environment = Environment(Path(name) / str(number), python, wheel)
            found = environment.imported()
            wrong = faults(found)
            print(f"Python {release} ({python}): {', '.join(found['imported'])}")
            try:
                print("   ", *wrong or [environment.run_tests()], sep="\n    ", flush=True)
            except RuntimeError as error:
                wrong.append(str(error))
                print(error)
            code = code or int(bool(wrong))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
