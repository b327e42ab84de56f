"""Code blocks and code spans of Markdown pages."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])

_FENCE = re.compile(r"^( *)```(?P<tag>[^\n`]*)\n(?P<code>.*?)^\1```$", re.M | re.S)
_SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A code block."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found["tag"].strip(),
            textwrap.dedent(found["code"]),
        )
        for found in _FENCE.finditer(text)
    ]


def spans_of(page: Path) -> Iterator[str]:
    """Code spans, outside of blocks."""
    for found in _SPAN.finditer(_FENCE.sub("", page.read_text())):
        yield " ".join(found[1].split())
