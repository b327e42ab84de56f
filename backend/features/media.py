"""Contents that are files: which of a project's there are, and their descriptors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.features import audio, image
from backend.label_studio.questions import Source

_DESCRIBERS: dict[str, tuple[Callable[[bytes], NDArray[Any]], int]] = {
    "image": (image.describe_image, image.WIDTH),
    "audio": (audio.describe_audio, audio.WIDTH),
}

KINDS = frozenset(_DESCRIBERS)
"""Kinds of sources whose contents are files."""

_VERSION = 1
"""Raised when a descriptor changes, so that those stored are computed anew."""


def media_of(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Sources whose contents are files."""
    return tuple(source for source in sources if source.kind in KINDS)


def recipe_of(sources: Sequence[Source]) -> str:
    """Name of the descriptors of these sources, another one if anything about them changes."""
    parts = repr((_VERSION, [(one.kind, one.key, _DESCRIBERS[one.kind][1]) for one in sources]))
    return hashlib.blake2b(parts.encode(), digest_size=6).hexdigest()


def width_of(sources: Sequence[Source]) -> int:
    """Number of features of a task, of all these sources."""
    return sum(_DESCRIBERS[source.kind][1] for source in sources)


def places_of(sources: Sequence[Source]) -> list[slice]:
    """Columns of each source."""
    ends = np.cumsum([_DESCRIBERS[source.kind][1] for source in sources]).tolist()
    return [slice(end - width_of([one]), end) for one, end in zip(sources, ends, strict=True)]


def describe(content: bytes, kind: str) -> NDArray[np.float32]:
    """Describe a file.

    Raises
    ------
    UnreadableError
        It cannot be read as what it should be.
    """
    describer, _ = _DESCRIBERS[kind]
    return describer(content).astype(np.float32)
