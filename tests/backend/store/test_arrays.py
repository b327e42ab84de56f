"""Typed arrays as bytes."""

import json
import pickle

import numpy as np
import pytest

from backend.store.arrays import pack, unpack


def test_arrays_come_back_as_they_were() -> None:
    arrays = {
        "a": np.arange(5, dtype=np.int32),
        "b": np.array([[1.5, np.nan], [np.inf, -0.0]]),
        "empty": np.empty((0, 3), dtype=np.uint8),
    }
    back = unpack(pack(arrays))
    assert list(back) == list(arrays)
    for name, values in arrays.items():
        assert back[name].dtype == values.dtype
        np.testing.assert_array_equal(back[name], values)


def test_order_in_memory_does_not_matter() -> None:
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(unpack(pack({"a": fortran}))["a"], fortran)


@pytest.mark.parametrize("values", [np.array(["text"]), np.array([object()])])
def test_only_numbers_are_stored(values: np.ndarray) -> None:
    with pytest.raises(TypeError, match="'a' has dtype"):
        pack({"a": values})


def test_stored_objects_are_never_loaded() -> None:
    forged = json.dumps([["a", "|O", [1]]]).encode() + b"\n" + pickle.dumps([1])
    with pytest.raises(ValueError, match="not a number"):
        unpack(forged)
