"""What must be right before a release.

    python -m tools.release_check [--tag TAG]

Builds wheel and sdist and checks what is in them and how an index would show them; checks that
one version is said everywhere and that the changelog has it; builds the documentation strictly.
With --tag, the version must be the tag's, and the changelog must have a section of its own for it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import yaml

import crowdlab_engine
from backend import __version__

ROOT = Path(__file__).parents[1]

_SOURCE = "crowdlab_engine/__init__.py"
"""Where the version is changed."""

_DISTRIBUTIONS = {"crowdlab_label_studio": ROOT, "crowdlab_engine": ROOT / "crowdlab_engine"}
"""Name of each in file names, and the folder that it is built from."""

_NEEDED = {
    "crowdlab_label_studio": (
        "backend/py.typed",
        "backend/demo/label-studio-requirements.txt",
        "backend/exports/templates/report.html",
        "backend/web/api/templates/api.html",
    ),
    "crowdlab_engine": ("crowdlab_engine/py.typed", "crowdlab_engine/crowdlab.py"),
}
_UNWANTED = re.compile(r"^(tests|benchmarks|docs|docker|tools)/|\.env$|secrets")


class ReleaseError(Exception):
    """Something must be mended before a release."""


def main() -> None:
    """Check everything; the first fault ends it with a sentence."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tag", help="the release's tag, such as v0.1.0")
    tag = parser.parse_args().tag
    try:
        check_version(stated_versions(), tag)
        check_changelog((ROOT / "CHANGELOG.md").read_text(), __version__, is_release=bool(tag))
        print(f"ok  version {__version__}, changelog")
        with tempfile.TemporaryDirectory() as folder:
            check_distributions(build(Path(folder)))
        print("ok  wheel and sdist")
        build_documentation()
        print("ok  documentation")
    except ReleaseError as error:
        sys.exit(f"Not ready for a release: {error}")


def stated_versions() -> dict[str, str]:
    """The version wherever it is said; the engine is where it is changed."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (engine,) = (one for one in needs if one.startswith("crowdlab-engine"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return {
        _SOURCE: crowdlab_engine.__version__,
        "CITATION.cff": citation["version"],
        "pyproject.toml (crowdlab-engine)": engine.partition("~=")[2],
        "the installed package (make install)": __version__,
    }


def check_version(stated: dict[str, str], tag: str | None) -> None:
    """Check that all places, and the tag, say the same.

    Raises
    ------
    ReleaseError
        Two of them differ.
    """
    right = stated[_SOURCE]
    for place, version in stated.items():
        if version != right:
            raise ReleaseError(f"{place} says version {version}, {_SOURCE} says {right}.")
    if tag is not None and tag.removeprefix("v") != right:
        raise ReleaseError(f"the tag {tag} is not version {right} of {_SOURCE}.")


def check_changelog(text: str, version: str, *, is_release: bool) -> None:
    """Check that the changelog says what is new in the version.

    Before a release that may stand under "Unreleased".

    Raises
    ------
    ReleaseError
        The section is missing or says nothing.
    """
    headings = [rf"\[?{re.escape(version)}\]?( [^\n]*)?"] + ([] if is_release else ["Unreleased"])
    for heading in headings:
        if found := re.search(rf"^## {heading}\n(?P<body>.*?)(?=^## |\Z)", text, re.M | re.S):
            if not re.search(r"^- ", found["body"], re.M):
                raise ReleaseError(f"CHANGELOG.md says nothing under {found[0].splitlines()[0]!r}.")
            return
    raise ReleaseError(f"CHANGELOG.md has no section for version {version}.")


def build(folder: Path) -> list[Path]:
    """Build sdist and wheel of both distributions as an index would get them."""
    for source in _DISTRIBUTIONS.values():
        _run("build", "--no-isolation", "--outdir", str(folder), str(source))
    return sorted(folder.iterdir())


def check_distributions(files: Sequence[Path]) -> None:
    """Check that an index would show them, and that nothing is missing or too much.

    Raises
    ------
    ReleaseError
        Something is.
    """
    _run("twine", "check", "--strict", *map(str, files))
    for distribution in _DISTRIBUTIONS:
        own = [file for file in files if file.name.startswith(distribution)]
        (wheel,) = (file for file in own if file.suffix == ".whl")
        (sdist,) = (file for file in own if file.name.endswith(".tar.gz"))
        with zipfile.ZipFile(wheel) as archive:
            check_contents(distribution, archive.namelist())
        with tarfile.open(sdist) as source:
            names = {name.partition("/")[2] for name in source.getnames()}
        for name in ("LICENSE", "README.md", "pyproject.toml"):
            if name not in names:
                raise ReleaseError(f"the sdist of {distribution} lacks {name}.")


def check_contents(distribution: str, names: Sequence[str]) -> None:
    """Check what the wheel of a distribution holds.

    Raises
    ------
    ReleaseError
        Something is missing or too much.
    """
    for name in _NEEDED[distribution]:
        if name not in names:
            raise ReleaseError(f"the wheel of {distribution} lacks {name}.")
    for name in names:
        if _UNWANTED.search(name):
            raise ReleaseError(f"the wheel of {distribution} has {name}, which is not for users.")


def build_documentation() -> None:
    """Build the documentation; a warning is an error."""
    with tempfile.TemporaryDirectory() as folder:
        _run("mkdocs", "build", "--strict", "--quiet", "--site-dir", folder)


def _run(module: str, *arguments: str) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise ReleaseError(f"{module} {arguments[0]} failed: {said[-2000:]}")


if __name__ == "__main__":
    main()
