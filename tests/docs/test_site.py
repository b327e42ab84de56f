"""The documentation site: built strictly, complete, and with nothing from elsewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from backend.cli import app
from backend.settings import Settings, environment_name
from docs.hooks import complete_nav, formula, mend_links, openapi_document
from docs.pictures import IMAGES, PICTURES
from tests.docs.blocks import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(HTMLParser):
    """Addresses that a page loads by itself; links, which people follow, are none."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        is_loaded = tag in {"script", "img", "iframe", "source"} or (
            tag == "link" and given.get("rel") not in {"canonical", "prev", "next"}
        )
        if is_loaded:
            self.addresses += [given.get(name) or "" for name in ("src", "href")]


def test_every_page_is_built(site: Path) -> None:
    generated = {"settings", "cli", "api", "changelog", "contributing"}
    built = {file.stem for file in site.glob("*.html")}
    assert built >= {page.stem for page in PAGES} | generated


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for file in site.glob("**/*.html"):
        loaded = Loaded()
        loaded.feed(file.read_text())
        assert loaded.addresses
        for address in loaded.addresses:
            assert not re.match(r"(https?:)?//", address), (file.name, address)
    for file in site.glob("**/*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", file.read_text()), file.name


def test_no_program_is_published(site: Path) -> None:
    assert not list(site.glob("**/*.py"))


def test_every_setting_is_described(site: Path) -> None:
    page = (site / "settings.html").read_text()
    for field in Settings.model_fields:
        assert f"<code>{environment_name(field)}</code>" in page


def test_every_command_and_option_is_described(site: Path) -> None:
    page = (site / "cli.html").read_text()
    group: Any = get_command(app)
    for name, command in group.commands.items():
        assert f"crowdlab {name}" in page
        for option in command.params:
            if option.param_type_name == "option":
                assert option.opts[0] in page, (name, option.opts[0])


def test_every_endpoint_is_described(site: Path) -> None:
    page = (site / "api.html").read_text()
    document = openapi_document()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    for name in document["components"]["schemas"]:
        assert f'id="{name.lower()}"' in page


def test_formulas_need_no_script(site: Path) -> None:
    page = (site / "method.html").read_text()
    assert page.count("<math ") >= 5
    assert "```math" not in page
    assert formula("a^2").startswith('<div class="formula"><math')


def test_the_nav_follows_the_files() -> None:
    nav = [{"Home": "index.md"}, {"Use": [{"A": "a.md"}, {"B": "b.md"}]}, {"C": [{"D": "d.md"}]}]
    assert complete_nav(nav, {"index.md", "b.md", "new.md"}) == [
        {"Home": "index.md"},
        {"Use": [{"B": "b.md"}]},
        {"More": ["new.md"]},
    ]


@pytest.mark.parametrize(
    ("link", "mended"),
    [
        ("[changes](../CHANGELOG.md#a)", "[changes](changelog.md#a)"),
        ("[code](../backend/cli.py)", "code"),
        ("[page](start.md)", "[page](start.md)"),
    ],
)
def test_links_out_of_the_folder(link: str, mended: str) -> None:
    assert mend_links(link) == mended


@pytest.mark.parametrize("name", PICTURES)
def test_drawings_are_what_the_script_draws(name: str) -> None:
    assert (IMAGES / name).read_text() == PICTURES[name]()


def pictures_of(page: Path) -> Iterator[str]:
    yield from re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", page.read_text())


def test_every_picture_is_shown_and_small() -> None:
    shown = {picture for page in PAGES for picture in pictures_of(page)}
    present = {file.name: file.stat().st_size for file in IMAGES.iterdir()}
    assert shown == set(present)
    assert max(present.values()) < 150_000


def test_what_troubleshooting_quotes_is_said() -> None:
    """Messages in the first column of its tables are ours, or Label Studio's refusal."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    code = [file.read_text() for file in (ROOT / "backend").glob("**/*.py")]
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(code))
    quoted = [
        quote
        for row in re.findall(r"^\| ([^|]+) \|", page, re.M)
        for quote in re.findall(r"`([^`]+)`", row)
    ]
    assert len(quoted) > 15
    for quote in quoted:
        pattern = re.sub(r"(legacy\\ )?token", r"(token|\\{kind\\})", re.escape(quote))
        assert re.search(pattern, said), quote
