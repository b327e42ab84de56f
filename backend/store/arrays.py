"""Named NumPy arrays as one byte string: a JSON header with dtypes and shapes, then the data.

Nothing is pickled, so nothing that is read back can run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_NUMBERS = "iufb"


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode named arrays of numbers.

    Raises
    ------
    TypeError
        An array holds anything but numbers.
    """
    header, parts = [], []
    for name, values in arrays.items():
        if values.dtype.kind not in _NUMBERS:
            raise TypeError(f"array {name!r} has dtype {values.dtype}, which is not a number")
        header.append([name, values.dtype.str, list(values.shape)])
        parts.append(np.ascontiguousarray(values).tobytes())
    return json.dumps(header).encode() + b"\n" + b"".join(parts)


def unpack(packed: bytes) -> Arrays:
    """Decode what `pack` encoded, into read-only arrays.

    Raises
    ------
    ValueError
        The bytes are not what `pack` writes.
    """
    header, _, data = packed.partition(b"\n")
    arrays: Arrays = {}
    start = 0
    for name, dtype, shape in json.loads(header):
        kind = np.dtype(dtype)
        if kind.kind not in _NUMBERS:
            raise ValueError(f"array {name!r} has dtype {dtype}, which is not a number")
        count = int(np.prod(shape, dtype=np.int64))
        values = np.frombuffer(data, dtype=kind, count=count, offset=start)
        arrays[name] = values.reshape(shape)
        start += count * kind.itemsize
    return arrays
