"""Which page an address names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, quote


class Page(StrEnum):
    """Kinds of pages."""

    PROJECTS = "projects"
    OVERVIEW = "overview"
    ANNOTATORS = "annotators"
    ANNOTATOR = "annotator"
    REVIEW = "review"
    TASK = "task"
    MODELS = "models"
    ACTIVITY = "activity"


_PATTERNS = {
    Page.PROJECTS: r"/(?:projects/?)?",
    Page.OVERVIEW: r"/projects/(?P<project>\d{1,10})/?",
    Page.ANNOTATORS: r"/projects/(?P<project>\d{1,10})/annotators/?",
    Page.ANNOTATOR: r"/projects/(?P<project>\d{1,10})/annotators/(?P<annotator>\d{1,10})",
    Page.REVIEW: r"/projects/(?P<project>\d{1,10})/review/?",
    Page.TASK: r"/projects/(?P<project>\d{1,10})/tasks/(?P<task>\d{1,18})",
    Page.MODELS: r"/projects/(?P<project>\d{1,10})/models/?",
    Page.ACTIVITY: r"/projects/(?P<project>\d{1,10})/activity/?",
}


@dataclass(frozen=True)
class Place:
    """What an address names.

    Attributes
    ----------
    question
        Name of the question; None for the project's first.
    """

    page: Page
    project: int = 0
    annotator: int = 0
    task: int = 0
    question: str | None = None
    consensus: str | None = None
    """Review: only tasks of this class."""
    quality: tuple[float, float] | None = None
    """Review: only tasks of a consensus quality in this range."""

    @property
    def address(self) -> str:
        """Path and query of the page."""
        base = f"/projects/{self.project}"
        path = {
            Page.PROJECTS: "/",
            Page.OVERVIEW: base,
            Page.ANNOTATORS: f"{base}/annotators",
            Page.ANNOTATOR: f"{base}/annotators/{self.annotator}",
            Page.REVIEW: f"{base}/review",
            Page.TASK: f"{base}/tasks/{self.task}",
            Page.MODELS: f"{base}/models",
            Page.ACTIVITY: f"{base}/activity",
        }[self.page]
        query = []
        if self.question is not None:
            query.append(f"question={quote(self.question, safe='')}")
        if self.consensus is not None:
            query.append(f"consensus={quote(self.consensus, safe='')}")
        if self.quality is not None:
            query.append(f"quality={self.quality[0]:g}-{self.quality[1]:g}")
        return path + ("?" + "&".join(query) if query else "")


def is_page(path: str) -> bool:
    """Whether a path is the one of a page."""
    return any(re.fullmatch(pattern, path) for pattern in _PATTERNS.values())


def place_of(path: str, search: str = "") -> Place | None:
    """What an address names; None if no page has it.

    Parameters
    ----------
    path
        Path of the address.
    search
        Query of the address, with or without its question mark.
    """
    query = parse_qs(search.removeprefix("?"))
    for page, pattern in _PATTERNS.items():
        match = re.fullmatch(pattern, path)
        if match:
            numbers = {name: int(value) for name, value in match.groupdict().items()}
            return Place(
                page,
                **numbers,
                question=_first(query, "question"),
                consensus=_first(query, "consensus"),
                quality=_range(_first(query, "quality")),
            )
    return None


def _first(query: dict[str, list[str]], name: str) -> str | None:
    return query[name][0] if name in query else None


def _range(text: str | None) -> tuple[float, float] | None:
    """Two numbers from 0 to 1 with a hyphen between them; None for anything else."""
    match = re.fullmatch(r"(\d(?:\.\d{1,6})?)-(\d(?:\.\d{1,6})?)", text or "")
    if match is None:
        return None
    low, high = float(match[1]), float(match[2])
    return (low, high) if 0 <= low <= high <= 1 else None
