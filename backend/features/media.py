"""Contents that are described by themselves: files, and texts if there is a model for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.features import audio, image
from backend.features.image_model import ImageModel
from backend.features.models import NONE, Models
from backend.features.text_model import TextModel
from backend.label_studio.questions import Source

_DESCRIBERS: dict[str, tuple[Callable[[bytes], NDArray[Any]], int]] = {
    "image": (image.describe_image, image.WIDTH),
    "audio": (audio.describe_audio, audio.WIDTH),
}

KINDS = frozenset(_DESCRIBERS)
"""Kinds of sources whose contents are files."""

LARGEST = 60_000.0
"""Numbers of models are cut to this size, as descriptors are kept in 16 bits."""

_VERSION = 1
"""Raised when a descriptor changes, so that those stored are computed anew."""


def media_of(sources: Sequence[Source], models: Models = NONE) -> tuple[Source, ...]:
    """Sources whose contents are files, and those of texts if there is a model for them."""
    kinds = KINDS if models.text is None else KINDS | {"text"}
    return tuple(source for source in sources if source.kind in kinds)


def recipe_of(sources: Sequence[Source], models: Models = NONE) -> str:
    """Name of the descriptors of these sources, another one if anything about them changes."""
    parts: list[tuple[str | int, ...]] = []
    for one in sources:
        model = _model_of(one.kind, models)
        by = () if model is None else (model.fingerprint,)
        parts.append((one.kind, one.key, _width_of(one.kind, models), *by))
    return hashlib.blake2b(repr((_VERSION, parts)).encode(), digest_size=6).hexdigest()


def width_of(sources: Sequence[Source], models: Models = NONE) -> int:
    """Number of features of a task, of all these sources."""
    return sum(_width_of(source.kind, models) for source in sources)


def places_of(sources: Sequence[Source], models: Models = NONE) -> list[slice]:
    """Columns of each source."""
    ends = np.cumsum([_width_of(source.kind, models) for source in sources]).tolist()
    return [
        slice(end - _width_of(one.kind, models), end)
        for one, end in zip(sources, ends, strict=True)
    ]


def are_vectors(sources: Sequence[Source], models: Models = NONE) -> NDArray[np.bool_]:
    """Which columns of all these sources are vectors by models, shape (D,)."""
    found = []
    for source in sources:
        model = _model_of(source.kind, models)
        num_vector = 0 if model is None else model.width
        found.append(np.arange(width := _width_of(source.kind, models)) >= width - num_vector)
    return np.concatenate(found) if found else np.zeros(0, dtype=bool)


def _width_of(kind: str, models: Models) -> int:
    model = _model_of(kind, models)
    own = _DESCRIBERS[kind][1] if kind in KINDS else 0
    return own + (0 if model is None else model.width)


def _model_of(kind: str, models: Models) -> TextModel | ImageModel | None:
    of_kind: dict[str, TextModel | ImageModel | None] = {
        "text": models.text,
        "image": models.image,
    }
    return of_kind.get(kind)


def describe(content: bytes, kind: str, models: Models = NONE) -> NDArray[np.float32]:
    """Describe a file: its descriptors, and after them the vector of a model, if there is one.

    Raises
    ------
    UnreadableError
        It cannot be read as what it should be.
    """
    describer, _ = _DESCRIBERS[kind]
    described = describer(content).astype(np.float32)
    if kind == "image" and models.image is not None:
        vector = np.clip(models.image.describe(content), -LARGEST, LARGEST)
        described = np.concatenate([described, vector])
    return described
