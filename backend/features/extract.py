"""Features of tasks that follow from their data alone, from all contents of a project.

Contents that are files, images and sounds, are read by `backend.jobs.describe`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from backend.features import numeric, pairs, text
from backend.features.media import KINDS
from backend.label_studio.questions import Question, Source

PAIRS = "pairs"
"""Extractor that compares the texts of a task."""

_LAYOUT = 3
"""Raised when columns get another meaning, so that features which are stored are replaced."""

_DEEPEST = 5


def _texts(values: Sequence[Any]) -> csr_array:
    return text.text_features([text_of(value) for value in values])


_EXTRACTORS: dict[str, tuple[Callable[[Sequence[Any]], csr_array], int]] = {
    "text": (_texts, text.WIDTH),
    "number": (numeric.number_features, numeric.WIDTH),
}

_EXTRACTORS_OF_KIND: dict[str, tuple[str, ...]] = {
    # What annotators see as text can be a number.
    "text": ("text", "number"),
    "number": ("number",),
} | dict.fromkeys(KINDS, ())


_ALL_TEXTS = Source("text", "")


@dataclass(frozen=True)
class Columns:
    """Which columns hold what."""

    source: Source
    extractor: str
    """`text`, `number` or `pairs`."""
    start: int
    end: int


def sources_of(questions: Sequence[Question]) -> tuple[Source, ...]:
    """Contents that the questions are about, each once."""
    return tuple(dict.fromkeys(source for question in questions for source in question.sources))


def columns_of(sources: Sequence[Source]) -> tuple[Columns, ...]:
    """How the columns are divided among sources and extractors."""
    return tuple(_columns_of(sources))


def _columns_of(sources: Sequence[Source]) -> Iterator[Columns]:
    start = 0
    for source in sources:
        for name in _EXTRACTORS_OF_KIND[source.kind]:
            end = start + _EXTRACTORS[name][1]
            yield Columns(source, name, start, end)
            start = end
    width = pairs.width_of(sum(source.kind == "text" for source in sources))
    if width:
        yield Columns(_ALL_TEXTS, PAIRS, start, start + width)


def extract(data: Sequence[Mapping[str, Any]], sources: Sequence[Source]) -> csr_array:
    """Turn texts and numbers of tasks into features.

    Parameters
    ----------
    data
        Data of N tasks, as Label Studio holds them.
    sources
        Where the contents stand.

    Returns
    -------
    csr_array of shape (N, D)
        Features; `columns_of(sources)` says which are where: first those of each source, then
        how alike its texts are, see `pairs`. A task whose content is missing has a row without
        entries.
    """
    parts = []
    for columns in columns_of(sources):
        if columns.extractor == PAIRS:
            keys = [source.key for source in sources if source.kind == "text"]
            texts = [[text_of(task.get(key)) for task in data] for key in keys]
            parts.append(pairs.pair_features(texts))
        else:
            extractor, _ = _EXTRACTORS[columns.extractor]
            parts.append(extractor([task.get(columns.source.key) for task in data]))
    return csr_array(hstack(parts, format="csr")) if parts else csr_array((len(data), 0))


def width_of(sources: Sequence[Source]) -> int:
    """Number of features that `extract` gives."""
    return max((columns.end for columns in columns_of(sources)), default=0)


def content_hashes(
    data: Sequence[Mapping[str, Any]], sources: Sequence[Source]
) -> NDArray[np.uint64]:
    """Hash each task's contents: equal for tasks between which no classifier can tell.

    Parameters
    ----------
    data
        Data of N tasks.
    sources
        Where the contents stand; if there are none, all of a task's data are hashed.

    Returns
    -------
    ndarray of shape (N,), uint64
    """
    keys = [source.key for source in sources]
    salt = bytes([_LAYOUT])
    hashes = np.empty(len(data), dtype=np.uint64)
    for position, task in enumerate(data):
        content = {key: task.get(key) for key in keys} if keys else dict(task)
        encoded = json.dumps(content, sort_keys=True, default=str).encode()
        digest = hashlib.blake2b(encoded, digest_size=8, salt=salt).digest()
        hashes[position] = int.from_bytes(digest, "little")
    return hashes


def text_of(value: Any) -> str:
    """Words that annotators see of a value: all texts and numbers in it, in their order."""
    return value if isinstance(value, str) else " ".join(_words_of(value, _DEEPEST))


def _words_of(value: Any, depth: int) -> Iterator[str]:
    if value is None or depth < 0:
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            yield from _words_of(one, depth - 1)
    elif isinstance(value, list):
        for one in value:
            yield from _words_of(one, depth - 1)
    else:
        yield str(value)
