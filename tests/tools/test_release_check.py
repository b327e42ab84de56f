"""The checks before a release, each with what it must find."""

from pathlib import Path

import pytest

from backend import __version__
from tools.release_check import (
    ReleaseError,
    build,
    check_changelog,
    check_contents,
    check_distributions,
    check_version,
    stated_versions,
)

CHANGELOG = (
    "# Changelog\n\n## Unreleased\n\n### Added\n\n- This.\n\n## 1.0.0 - 2026-01-31\n\n- All.\n"
)


def test_one_version_is_said_everywhere() -> None:
    assert set(stated_versions().values()) == {__version__}
    check_version(stated_versions(), f"v{__version__}")


@pytest.mark.parametrize(
    ("stated", "tag", "said"),
    [
        (
            {"crowdlab_engine/__init__.py": "1.0", "CITATION.cff": "0.9"},
            None,
            "CITATION.cff says version 0.9",
        ),
        ({"crowdlab_engine/__init__.py": "1.0"}, "v1.1", "the tag v1.1 is not version 1.0"),
    ],
)
def test_versions_that_differ(stated: dict[str, str], tag: str | None, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        check_version(stated, tag)


def test_what_is_new_may_be_unreleased_until_the_release() -> None:
    check_changelog(CHANGELOG, "1.1.0", is_release=False)
    check_changelog(CHANGELOG, "1.0.0", is_release=True)
    with pytest.raises(ReleaseError, match=r"no section for version 1\.1\.0"):
        check_changelog(CHANGELOG, "1.1.0", is_release=True)


def test_a_section_that_says_nothing() -> None:
    with pytest.raises(ReleaseError, match="says nothing under '## Unreleased'"):
        check_changelog("## Unreleased\n\n## 1.0.0\n\n- All.\n", "1.1.0", is_release=False)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "the wheel of crowdlab_label_studio lacks backend/py.typed"),
        (["tests/test_x.py"], "lacks"),
    ],
)
def test_wheels_that_lack_something(names: list[str], said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        check_contents("crowdlab_label_studio", names)


def test_our_distributions_are_in_order(tmp_path: Path) -> None:
    files = build(tmp_path)
    check_distributions(files)
    assert len(files) == 4
    assert {file.name.split("-")[1].removesuffix(".tar.gz") for file in files} == {__version__}


def test_a_description_that_an_index_refuses(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="twine check failed"):
        check_distributions([tmp_path / "missing-1.0.tar.gz", tmp_path / "missing-1.0.whl"])
