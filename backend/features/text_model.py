"""Vectors of texts, by a static model of model2vec that lies on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import SettingsError

_FILES = ("config.json", "tokenizer.json", "model.safetensors")
"""What model2vec reads of a model's folder."""

_LONGEST = 100_000
"""Characters of a text that are used."""


class TextModel:
    """A model that gives each text a vector: the mean of its tokens' vectors.

    Parameters
    ----------
    folder
        Folder in which `StaticModel.save_pretrained` has put it. Nothing is downloaded.

    Attributes
    ----------
    width : int
        Numbers in a vector.
    fingerprint : str
        Another one if any of the model's files is another.

    Raises
    ------
    SettingsError
        There is no such model, it cannot be read, or the package model2vec is missing.
    """

    def __init__(self, folder: Path) -> None:
        # A name that is no folder would be looked for on the internet.
        if missing := [name for name in _FILES if not (folder / name).is_file()]:
            raise SettingsError(
                f"CROWDLAB_TEXT_MODEL is {str(folder)!r}, which has no {missing[0]}.",
                "Let it name a folder to which model2vec's StaticModel.save_pretrained has "
                "written a model.",
            )
        try:
            from model2vec import StaticModel
        except ImportError:
            raise SettingsError(
                "CROWDLAB_TEXT_MODEL needs the package model2vec.",
                "Run `pip install 'crowdlab-label-studio[models]'` for every worker.",
            ) from None
        # Its own threads would be as many as there are cores, for each worker.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._model: Any = StaticModel.from_pretrained(folder, force_download=False)
            found = self._encode(["a text"])
        except Exception as error:  # readers raise whatever a broken file leads them to
            raise SettingsError(
                f"The text model in {str(folder)!r} cannot be read: {error}.",
                "Save it anew, or empty CROWDLAB_TEXT_MODEL.",
            ) from None
        self.width = int(found.shape[1])
        self.fingerprint = _fingerprint_of([folder / name for name in _FILES])

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of N texts.

        Returns
        -------
        ndarray of float32, shape (N, width)
            0 for a text of which the model knows no token.
        """
        if not texts:
            return np.zeros((0, self.width), dtype=np.float32)
        return np.nan_to_num(self._encode([text[:_LONGEST] for text in texts]))

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        found = self._model.encode(texts, use_multiprocessing=False)
        return np.asarray(found, dtype=np.float32)


def _fingerprint_of(files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
