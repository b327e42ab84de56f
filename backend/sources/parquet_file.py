"""Unpack a Parquet file in a process of its own, which may use only so much memory.

What a Parquet file says of its size need not be true, and its pages are unpacked by a library
that believes it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from backend.errors import PredictionsError

_SECONDS = 120
_OWN_BYTES = 2 * 2**30
"""Addresses that Python and its libraries take for themselves."""


@contextmanager
def parquet_as_npz(
    path: Path, name: str, columns: Sequence[str], most_bytes: int
) -> Iterator[Path]:
    """Unpack a file of a column that names tasks, and columns of numbers.

    Parameters
    ----------
    columns
        Names of the column that names tasks, the first that there is.
    most_bytes
        How much it may unpack to.

    Raises
    ------
    PredictionsError
        It is no Parquet file, has no such column, or unpacks to more.
    """
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "predictions.npz"
        command = [sys.executable, "-m", __name__, str(path), str(converted), str(most_bytes)]
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                [*command, *columns],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        except subprocess.TimeoutExpired:
            raise PredictionsError(
                f"{name} took longer than {_SECONDS} s to unpack.", "Divide it."
            ) from None
        if done.returncode == 3:
            raise PredictionsError(f"{name}: {done.stdout.strip()}")
        if done.returncode or not converted.exists():
            raise PredictionsError(
                f"{name} is no Parquet file that can be unpacked within "
                f"{most_bytes / 1e6:,.0f} MB.",
                "Divide it, or raise CROWDLAB_MAX_UPLOAD_MB.",
            )
        yield converted


def main(source: str, target: str, most: str, *columns: str) -> int:
    """Unpack; returns 3 where a sentence on stdout says what is wrong."""
    most_bytes = int(most)
    limit = _OWN_BYTES + 4 * most_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    import pyarrow as pa
    from pyarrow import compute, parquet

    pa.set_cpu_count(1)
    try:
        file = parquet.ParquetFile(source)
        names = file.schema_arrow.names
        key = next((one for one in columns if one in names), None)
        if key is None:
            print(
                f"there is no column {' or '.join(map(repr, columns))} that says which task a row "
                f"is about; there are: {', '.join(map(repr, names[:20]))}."
            )
            return 3
        kinds = {one.name: one.type for one in file.schema_arrow}
        if len(kinds) != len(names):
            print("several columns have the same name.")
            return 3
        classes = [one for one in names if one != key and _is_number(kinds[one])]
        if file.metadata.num_rows * 8 * max(1, len(classes)) > most_bytes:
            print(
                f"{file.metadata.num_rows:,} rows of {len(classes):,} numbers are more than "
                f"{most_bytes / 1e6:,.0f} MB."
            )
            return 3
        keys, parts = [], []
        for batch in file.iter_batches(2**14, columns=[key, *classes], use_threads=False):
            texts = compute.utf8_slice_codeunits(batch.column(key).cast(pa.string()), 0, 500)
            keys.append(np.array(["" if one is None else one for one in texts.to_pylist()], str))
            parts.append(
                np.column_stack(
                    [
                        batch.column(one).cast(pa.float64()).to_numpy(zero_copy_only=False)
                        for one in classes
                    ]
                    or [np.empty((batch.num_rows, 0))]
                )
            )
    except (pa.ArrowException, OSError, MemoryError):
        return 1
    np.savez(
        target,
        **{key: np.concatenate([np.empty(0, "U1"), *keys])},
        pred_probs=np.concatenate([np.empty((0, len(classes))), *parts]),
        classes=np.array(classes, dtype=str),
    )
    return 0


def _is_number(kind: object) -> bool:
    from pyarrow import types

    return bool(
        types.is_floating(kind)
        or types.is_integer(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
