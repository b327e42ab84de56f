"""Every code block of README and docs does what its language says.

- python: run, all of a page in order and in one namespace, in an empty folder.
- sh, console: each command exists and takes its arguments; ours that need Redis only are run.
- json, yaml, xml, ini: parsed. math: converted.
- text, or nothing: shown only.

A block of another language fails.
"""

import configparser
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from latex2mathml.converter import convert
from redis import Redis

from backend.label_studio.controls import parse_config
from tests.docs import shell
from tests.docs.blocks import PAGES, Block, blocks_of, name_of, spans_of

SHOWN = {"", "text"}
RUN_TOGETHER = {"python"}
ON_A_CLUSTER = "scale-out.md"
"""Run by tests/crowdlab_engine/test_distributed.py instead, where there are a cluster and files."""
SHELL = {"sh", "console"}

BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def read_ini(code: str) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(code)


def read_config(code: str) -> None:
    ElementTree.fromstring(code)
    assert parse_config(code).questions


PARSED: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "xml": read_config,
    "ini": read_ini,
    "math": convert,
}


def chosen(languages: set[str]) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def pages_with(languages: set[str]) -> list[Path]:
    return [page for page in PAGES if any(one.language in languages for one in blocks_of(page))]


def test_there_are_blocks_of_every_kind() -> None:
    assert {block.language for block in BLOCKS} >= {"python", "sh", "math", "yaml", "json", "xml"}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_language_of_a_block_says_what_is_done_with_it(block: Block) -> None:
    known = SHOWN | RUN_TOGETHER | SHELL | set(PARSED)
    assert block.language in known, f"{block}: tag it as one of {sorted(known)}"


@pytest.mark.parametrize(
    "page", [page for page in pages_with(RUN_TOGETHER) if page.name != ON_A_CLUSTER], ids=name_of
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.language in RUN_TOGETHER:
            lines = "\n" * block.line  # so that a traceback names the page's line
            exec(compile(lines + block.code, str(page), "exec"), namespace)


@pytest.mark.parametrize("block", chosen(SHELL), ids=str)
def test_commands_exist(block: Block) -> None:
    lines = list(shell.lines_of(block.code, prompted=block.language == "console"))
    assert lines, f"{block}: no command in it"
    for line in lines:
        for command in shell.commands_of(line):
            shell.check(command)


@pytest.mark.parametrize("page", pages_with(SHELL), ids=name_of)
def test_commands_that_are_safe_run(
    page: Path, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    for block in blocks_of(page):
        if block.language in SHELL:
            for line in shell.lines_of(block.code, prompted=block.language == "console"):
                for command in shell.commands_of(line):
                    shell.run(command, tmp_path, redis_url)


@pytest.mark.parametrize("block", chosen(set(PARSED)), ids=str)
def test_data_and_formulas_can_be_read(block: Block) -> None:
    PARSED[block.language](block.code)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_exist(page: Path) -> None:
    for span in spans_of(page):
        mentioned = span.removeprefix(".venv/bin/")
        if re.match(r"(crowdlab|make|python -m) [a-z]", mentioned):
            shell.check_mention(mentioned)
