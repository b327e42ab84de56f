"""Features of images: the brightness of a coarse grid of cells."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

GRID = 16
"""Cells per side."""

WIDTH = GRID * GRID
"""Number of features."""

_LARGEST_URI = 20_000_000
_MOST_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


def image_features(images: Sequence[str]) -> csr_array:
    """Describe images that are given as data URIs.

    Parameters
    ----------
    images
        N data URIs (`data:image/png;base64,…`).

    Returns
    -------
    csr_array of shape (N, WIDTH)
        Brightness of each cell, 0 (black) to 1; a row without entries for what is not a
        data URI of an image.
    """
    rows = [_grid_of(image) for image in images]
    return csr_array(np.stack(rows) if rows else np.zeros((0, WIDTH)))


def _grid_of(uri: str) -> NDArray[np.float64]:
    nothing = np.zeros(WIDTH)
    head, separator, content = uri.partition(";base64,")
    if not separator or not head.startswith("data:image/") or len(uri) > _LARGEST_URI:
        return nothing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(base64.b64decode(content)), formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    return nothing
                small = image.convert("L").resize((GRID, GRID), Image.Resampling.BOX)
    except Exception:  # decoders raise whatever a broken file leads them to
        return nothing
    return np.asarray(small, dtype=np.float64).ravel() / 255.0
