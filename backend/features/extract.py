"""Features of tasks, from all contents that a project's questions are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from backend.features import image, text
from backend.label_studio.controls import Question, Source

_EXTRACTORS: dict[str, tuple[Callable[[Sequence[str]], csr_array], int]] = {
    "text": (text.text_features, text.WIDTH),
    "image": (image.image_features, image.WIDTH),
}


def sources_of(questions: Sequence[Question]) -> tuple[Source, ...]:
    """Contents that the questions are about, each once."""
    return tuple(dict.fromkeys(source for question in questions for source in question.sources))


def extract(data: Sequence[Mapping[str, Any]], sources: Sequence[Source]) -> csr_array:
    """Turn the tasks' contents into numbers.

    Parameters
    ----------
    data
        Data of N tasks, as Label Studio holds them.
    sources
        Where the contents stand.

    Returns
    -------
    csr_array of shape (N, D)
        Features, non-negative; D follows from `sources` alone. A task whose content is
        missing or unreadable has a row without entries.
    """
    parts = []
    for source in sources:
        extractor, _ = _EXTRACTORS[source.kind]
        parts.append(extractor([_text_of(task.get(source.key)) for task in data]))
    return csr_array(hstack(parts, format="csr")) if parts else csr_array((len(data), 0))


def width_of(sources: Sequence[Source]) -> int:
    """Number of features that `extract` gives."""
    return sum(_EXTRACTORS[source.kind][1] for source in sources)


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
    hashes = np.empty(len(data), dtype=np.uint64)
    for position, task in enumerate(data):
        content = {key: task.get(key) for key in keys} if keys else dict(task)
        encoded = json.dumps(content, sort_keys=True, default=str).encode()
        digest = hashlib.blake2b(encoded, digest_size=8).digest()
        hashes[position] = int.from_bytes(digest, "little")
    return hashes


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
