"""Paths through a tree of classes: `<Taxonomy>`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

SEPARATOR = " / "

_LOOSE = re.compile(r"(?<!\S)(\\*)/|(?<!\\)(\\*)/(?!\S)")
"""A slash, with the backslashes before it, that could be taken for a part of `SEPARATOR`."""

_ESCAPED = re.compile(r"(?<!\S)\\(\\*/)|(?<!\\)\\(\\*/)(?!\S)")


class Tree(Protocol):
    """An element of a labeling config."""

    def get(self, key: str) -> str | None:
        """Value of an attribute."""
        ...

    def findall(self, path: str) -> list[Tree]:
        """Elements directly below, by tag."""
        ...


def path_name(path: Sequence[str]) -> str:
    r"""Name of a path: its nodes, separated by slashes.

    A node's own slash that stands beside a space is written with a backslash, so that the
    path can be read back.

    Examples
    --------
    >>> path_name(["Animal", "Cat"])
    'Animal / Cat'
    >>> path_name(["and/or", "a / b"])
    'and/or / a \\/ b'
    """
    return SEPARATOR.join(_LOOSE.sub(lambda found: "\\" + found[0], node) for node in path)


def path_of(name: str) -> list[str]:
    r"""Inverse of `path_name`.

    Examples
    --------
    >>> path_of('and/or / a \\/ b')
    ['and/or', 'a / b']
    """
    return [
        _ESCAPED.sub(lambda found: found[1] or found[2], node) for node in name.split(SEPARATOR)
    ]


def paths_in(tree: Tree, *, leaves_only: bool = False) -> Iterator[list[str]]:
    """Paths of nodes that annotators can choose in a tree, in the config's order.

    Parameters
    ----------
    tree
        A control tag with nested `<Choice>` tags.
    leaves_only
        Leave out nodes that have others below them.
    """
    for choice in tree.findall("Choice"):
        node = choice.get("alias") or choice.get("value") or ""
        if not (leaves_only and choice.findall("Choice")):
            yield [node]
        for path in paths_in(choice, leaves_only=leaves_only):
            yield [node, *path]
