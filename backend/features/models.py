"""Models on disk whose vectors stand beside the service's own features."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from backend.errors import SettingsError
from backend.features.image_model import ImageModel
from backend.features.text_model import TextModel

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Models:
    """Those that the settings name and that can be used."""

    text: TextModel | None = None
    image: ImageModel | None = None
    problems: Mapping[str, SettingsError] = field(default_factory=dict)
    """Why one cannot be used, by the kind of its contents."""

    @property
    def recipe(self) -> str:
        """Which there are, another text for other models; empty without any."""
        there = {"text": self.text, "image": self.image}
        return " ".join(f"{kind}={one.fingerprint}" for kind, one in there.items() if one)


NONE = Models()
"""No model."""


def load_models(text: Path | None, image: Path | None) -> Models:
    """Load models; one that cannot be loaded is left out, and the log says why.

    Parameters
    ----------
    text
        Folder of a model2vec model; None for none.
    image
        ONNX file; None for none.
    """
    problems: dict[str, SettingsError] = {}
    text_model = _loaded("text", TextModel, text, problems)
    image_model = _loaded("image", ImageModel, image, problems)
    for problem in problems.values():
        log.warning("%s", problem)
    return Models(text_model, image_model, problems)


def _loaded(
    kind: str, load: Callable[[Path], T], path: Path | None, problems: dict[str, SettingsError]
) -> T | None:
    if path is None:
        return None
    try:
        return load(path)
    except SettingsError as error:
        problems[kind] = error
        return None
