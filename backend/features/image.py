"""Descriptors of images: outlines, a coarse picture, and colours."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from backend.features.outcome import Outcome, UnreadableError

SIDE = 64
"""Pixels per side to which an image is brought."""

CELL = 8
"""Pixels per side of the cells in which outlines are found."""

ORIENTATIONS = 9
"""Directions, of 180 degrees, that outlines are told apart by."""

GRID = 4
"""Places per side for which outlines and colours are told. With finer ones classifiers learn
less from the labels of a crowd (`python -m benchmarks.features`)."""

LEVELS = 4
"""Levels of each of red, green and blue in the histogram of colours."""

MOST_PIXELS = 40_000_000
"""An image of more pixels is not decoded."""

HARMONICS = 12
"""Waves of the spread of directions over a full turn."""

PATTERNS = 10
"""Kinds of patterns of a pixel and its neighbours."""

_CELLS = SIDE // CELL
_PARTS = {
    "outlines": GRID * GRID * ORIENTATIONS,
    "harmonics": HARMONICS,
    "patterns": PATTERNS,
    "colours": GRID * GRID * 3,
    "histogram": LEVELS**3,
    "moments": 9,
    "shape": 2,
}

WIDTH = sum(_PARTS.values())
"""Number of features."""

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
"""Formats that are decoded, by Pillow's names: those that browsers show."""

Pixels = NDArray[Any]

_ROWS, _COLUMNS = np.divmod(np.arange(SIDE * SIDE), SIDE)
_CELL_OF_PIXEL = (_ROWS // CELL * _CELLS + _COLUMNS // CELL) * ORIENTATIONS
_AROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


def describe_image(content: bytes) -> Pixels:
    """Describe an image.

    Outlines are histograms of oriented gradients: per cell, how much brightness changes in
    each direction, relative to the cells around (after Dalal and Triggs 2005, with the
    normalisation over the four surrounding blocks of Felzenszwalb et al. 2010), averaged over
    places. Of an animation the first picture counts; what is transparent is white; the rotation
    that a camera noted is applied.

    Parameters
    ----------
    content
        A file in one of `FORMATS`.

    Returns
    -------
    ndarray of float32, shape (WIDTH,)
        Outlines per place (0 to 0.2), how their directions are spread, how often neighbours of
        a pixel are brighter, red, green and blue of places, square roots of the shares of
        colours (all 0 to 1), mean, deviation and cube root of the third moment of red, green and
        blue, logarithms of aspect ratio and size.

    Raises
    ------
    UnreadableError
        It is not such a file, or has more than `MOST_PIXELS` pixels.
    """
    colours, width, height = decode(content)
    red, green, blue = colours
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    outlines, harmonics = _outlines(grey)
    described: Pixels = np.concatenate(
        [
            outlines.ravel(),
            harmonics,
            _patterns(grey),
            *(_coarse(channel).ravel() for channel in colours),
            _colour_histogram(colours),
            _moments(colours.reshape(3, -1)),
            np.asarray([np.log(width / height), np.log(width * height) / 10]),
        ]
    ).astype(np.float32)
    return described


def decode(content: bytes, size: tuple[int, int] = (SIDE, SIDE)) -> tuple[Pixels, int, int]:
    """Decode an image, as a browser would show it.

    Parameters
    ----------
    content
        A file in one of `FORMATS`.
    size
        Width and height in pixels to which it is brought.

    Returns
    -------
    ndarray of float32, shape (3, height, width)
        Red, green and blue, 0 to 1.
    int
        Original width.
    int
        Original height.

    Raises
    ------
    UnreadableError
        It is not such a file, or has more than `MOST_PIXELS` pixels.
    """
    if _is_svg(content):
        raise UnreadableError(Outcome.SVG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise UnreadableError(Outcome.TOO_MANY_PIXELS)
                # A JPEG is decoded at a fraction of its size.
                image.draft("RGB", (2 * size[0], 2 * size[1]))
                small = _upright(image, size)
                pixels = np.asarray(small).transpose(2, 0, 1).astype(np.float32) / 255
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError(Outcome.UNKNOWN_FORMAT) from None
    except Image.DecompressionBombError:
        raise UnreadableError(Outcome.TOO_MANY_PIXELS) from None
    except Exception:  # decoders raise whatever a broken file leads them to
        raise UnreadableError(Outcome.BROKEN) from None
    return pixels, width, height


def _is_svg(content: bytes) -> bool:
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith(b"<") and b"<svg" in head


def _upright(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image at a size in RGB, on white, as a browser would show it."""
    if image.mode.startswith("I"):
        # 16 bits per pixel; Pillow would cut off what is above 255.
        image = Image.fromarray((np.asarray(image, dtype=np.float32) / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA").resize(size, Image.Resampling.BILINEAR)
        image = Image.alpha_composite(Image.new("RGBA", size, "white"), image)
    elif image.mode not in {"RGB", "L"}:
        image = image.convert("RGB")
    small = image.resize(size, Image.Resampling.BILINEAR).convert("RGB")
    turned = ImageOps.exif_transpose(small) or small
    return turned if turned.size == size else turned.resize(size, Image.Resampling.BILINEAR)


def _outlines(grey: Pixels) -> tuple[Pixels, Pixels]:
    """Histograms of oriented gradients, shape (GRID, GRID, ORIENTATIONS), and their harmonics."""
    root = np.sqrt(grey)
    down, right = np.zeros_like(root), np.zeros_like(root)
    down[1:-1] = root[2:] - root[:-2]
    right[:, 1:-1] = root[:, 2:] - root[:, :-2]
    strength = np.hypot(down, right).ravel()
    # In units of a step of orientation, of which a full turn has twice ORIENTATIONS.
    angle = np.arctan2(down, right).ravel() * (ORIENTATIONS / np.pi) + ORIENTATIONS
    lower = angle.astype(np.int64)
    share = angle - lower
    flat = np.zeros(_CELLS * _CELLS * ORIENTATIONS)
    for step, part in ((0, 1 - share), (1, share)):
        bin_of_pixel = _CELL_OF_PIXEL + (lower + step) % ORIENTATIONS
        flat += np.bincount(bin_of_pixel, part * strength, minlength=len(flat))
    cells = flat.reshape(_CELLS, _CELLS, ORIENTATIONS)
    energy = np.pad((cells**2).sum(axis=2), 1, mode="edge")
    blocks = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    found = np.zeros_like(cells)
    for row in (0, 1):
        for column in (0, 1):
            norm = np.sqrt(blocks[row : row + _CELLS, column : column + _CELLS]) + 0.1
            found += np.minimum(cells / norm[:, :, None], 0.2) / 4
    cells_per_place = _CELLS // GRID
    places = found.reshape(GRID, cells_per_place, GRID, cells_per_place, ORIENTATIONS)
    return places.mean(axis=(1, 3)), _harmonics(angle, strength)


def _harmonics(angle: Pixels, strength: Pixels) -> Pixels:
    """How the directions of all outlines are spread: equal for an image turned or moved."""
    steps = 4 * HARMONICS
    direction = (angle * (steps / (2 * ORIENTATIONS))).astype(np.int64) % steps
    spread = np.bincount(direction, strength, minlength=steps)
    waves = np.abs(np.fft.rfft(spread))
    shares: Pixels = waves[1 : HARMONICS + 1] / (waves[0] + 1.0)
    return shares


def _patterns(grey: Pixels) -> Pixels:
    """How often neighbours are brighter than a pixel: 0 to 8 of them in one arc, or scattered.

    Rotation-invariant uniform local binary patterns (Ojala et al. 2002) on the eight nearest
    pixels.
    """
    inner = grey[1:-1, 1:-1] + 0.01
    code = np.zeros(inner.shape, dtype=np.int64)
    for bit, (row, column) in enumerate(_AROUND):
        brighter = grey[row : row + SIDE - 2, column : column + SIDE - 2] > inner
        code |= brighter.astype(np.int64) << bit
    share = np.bincount(_PATTERN_OF_CODE[code.ravel()], minlength=PATTERNS) / code.size
    return np.sqrt(share)


def _patterns_of_codes() -> NDArray[np.int64]:
    codes = np.arange(256)
    bits = (codes[:, None] >> np.arange(8)) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), PATTERNS - 1)


def _coarse(channel: Pixels) -> Pixels:
    """Means over a grid of places."""
    step = SIDE // GRID
    sums = channel.reshape(GRID, step, SIDE).sum(axis=1)
    means: Pixels = sums.reshape(GRID, GRID, step).sum(axis=2) / step**2
    return means


def _colour_histogram(colours: Pixels) -> Pixels:
    red, green, blue = np.minimum((colours * LEVELS).astype(np.int64), LEVELS - 1)
    colour = (red * LEVELS + green) * LEVELS + blue
    shares: Pixels = np.bincount(colour.ravel(), minlength=LEVELS**3) / colour.size
    return np.sqrt(shares)


def _moments(colours: Pixels) -> Pixels:
    mean = colours.mean(axis=1)
    rest = colours - mean[:, None]
    square = rest * rest
    deviation = np.sqrt(square.mean(axis=1))
    return np.concatenate([mean, deviation, np.cbrt((square * rest).mean(axis=1))])


_PATTERN_OF_CODE = _patterns_of_codes()
