"""Vectors of images, by an ONNX model that lies on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import SettingsError
from backend.features.image import decode
from backend.features.outcome import Outcome, UnreadableError

_SIDE = 224
"""Pixels per side of what a model is given that takes images of any size."""

_LARGEST_SIDE = 1024

_WIDEST = 4096

_MEAN = np.asarray([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
_DEVIATION = np.asarray([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]
"""Of red, green and blue in ImageNet, by which torchvision and timm normalise images."""


class ImageModel:
    """A model that gives each image a vector.

    Its one input takes float32 of shape (N, 3, height, width) or (N, height, width, 3): red,
    green and blue from 0 to 1, normalised by ImageNet's means and deviations. Its first output
    is the vector.

    Parameters
    ----------
    file
        The ONNX file.

    Attributes
    ----------
    width : int
        Numbers in a vector.
    fingerprint : str
        Another one if the file is another.

    Raises
    ------
    SettingsError
        There is no such model, it cannot be read or used, or the package onnxruntime is
        missing.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise SettingsError(
                f"CROWDLAB_IMAGE_MODEL is {str(file)!r}, which is no file.",
                "Let it name an ONNX file.",
            )
        try:
            import onnxruntime
        except ImportError:
            raise SettingsError(
                "CROWDLAB_IMAGE_MODEL needs the package onnxruntime.",
                "Run `pip install 'crowdlab-label-studio[models]'` for every worker.",
            ) from None
        options = onnxruntime.SessionOptions()
        # Workers are processes of their own, each with a core.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
            self._input, self._size, self._is_channels_first = _input_of(self._session)
            self.width = len(self._run(np.zeros((3, *self._size[::-1]), dtype=np.float32)))
            if not 0 < self.width <= _WIDEST:
                raise ValueError(f"it gives {self.width:,} numbers, of at most {_WIDEST:,}")
        except Exception as error:  # the runtime raises whatever a broken file leads it to
            raise SettingsError(
                f"The image model {str(file)!r} cannot be used: {error}.",
                "Export it with one input (N, 3, height, width) or (N, height, width, 3) of "
                "float32 and one vector as its output, or empty CROWDLAB_IMAGE_MODEL.",
            ) from None
        with file.open("rb") as opened:
            self.fingerprint = hashlib.file_digest(opened, "sha256").hexdigest()[:16]

    def describe(self, content: bytes) -> NDArray[np.float32]:
        """Vector of an image.

        Returns
        -------
        ndarray of float32, shape (width,)

        Raises
        ------
        UnreadableError
            It is no image that can be read, or the model does not give finite numbers for it.
        """
        colours, _, _ = decode(content, self._size)
        try:
            found = self._run((colours - _MEAN) / _DEVIATION)
        except Exception:  # the runtime raises whatever a model leads it to
            raise UnreadableError(Outcome.NO_VECTOR) from None
        if found.shape != (self.width,) or not np.isfinite(found).all():
            raise UnreadableError(Outcome.NO_VECTOR)
        return found

    def _run(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        given = colours if self._is_channels_first else colours.transpose(1, 2, 0)
        batch = np.ascontiguousarray(given[None], dtype=np.float32)
        return np.asarray(self._session.run(None, {self._input: batch})[0], np.float32).ravel()


def _input_of(session: Any) -> tuple[str, tuple[int, int], bool]:
    """Name of the input, width and height of images, whether their colours come first."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        told = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise ValueError(f"its input is {told or 'missing'}")
    batch, *shape = inputs[0].shape
    if 3 not in (shape[0], shape[2]) or (isinstance(batch, int) and batch != 1):
        raise ValueError(f"its input has the shape {inputs[0].shape}")
    is_channels_first = shape[0] == 3
    height, width = shape[1:] if is_channels_first else shape[:2]
    size = tuple(one if isinstance(one, int) else _SIDE for one in (width, height))
    if not all(0 < one <= _LARGEST_SIDE for one in size):
        raise ValueError(f"its input has the shape {inputs[0].shape}")
    return inputs[0].name, (size[0], size[1]), is_channels_first
