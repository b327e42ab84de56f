"""Vectors of images by a model on disk."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import SettingsError
from backend.features.image_model import ImageModel
from backend.features.outcome import Outcome, UnreadableError
from tests.backend.features.disk_models import save_image_model
from tests.backend.features.files import encoded

RED = encoded(Image.new("RGB", (30, 20), "red"))
WANTED = (np.asarray([1, 0, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    "shape",
    [
        ("N", 3, 8, 8),
        (1, 3, 8, 12),
        ("N", 8, 8, 3),
        (1, "height", "width", 3),
        ("N", 3, "height", "width"),
    ],
)
def test_an_image_has_the_vector_that_the_model_gives(
    tmp_path: Path, shape: tuple[int | str, ...]
) -> None:
    model = ImageModel(save_image_model(tmp_path / "model.onnx", shape))
    assert model.width == 3
    np.testing.assert_allclose(model.describe(RED), WANTED, rtol=1e-3)


def test_a_turned_image_suits_a_model_that_is_wider_than_high(tmp_path: Path) -> None:
    model = ImageModel(save_image_model(tmp_path / "model.onnx", (1, 3, 8, 12)))
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encoded(Image.new("RGB", (30, 20), "red"), "JPEG", exif=turned)
    np.testing.assert_allclose(model.describe(content), WANTED, atol=0.1)


def test_another_model_has_another_fingerprint(tmp_path: Path) -> None:
    one, same, other = (
        ImageModel(save_image_model(tmp_path / f"{number}.onnx", scale=scale)).fingerprint
        for number, scale in enumerate([1, 1, 2])
    )
    assert one == same != other


def test_a_broken_image_and_a_vector_that_is_infinite_are_refused(tmp_path: Path) -> None:
    model = ImageModel(save_image_model(tmp_path / "model.onnx"))
    with pytest.raises(UnreadableError) as refused:
        model.describe(RED[:60])
    assert refused.value.outcome == Outcome.BROKEN
    endless = ImageModel(save_image_model(tmp_path / "endless.onnx", scale=3e38))
    with pytest.raises(UnreadableError, match="no vector") as refused:
        endless.describe(RED)
    assert refused.value.outcome == Outcome.NO_VECTOR


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (("N", 4, 8, 8), "FLOAT"),
        ((2, 3, 8, 8), "FLOAT"),
        (("N", 3, 8, 8), "DOUBLE"),
        (("N", 3, 8, 9_000), "FLOAT"),
    ],
)
def test_a_model_of_another_input_is_refused(
    tmp_path: Path, shape: tuple[int | str, ...], kind: str
) -> None:
    with pytest.raises(SettingsError, match="cannot be used: its input"):
        ImageModel(save_image_model(tmp_path / "model.onnx", shape, kind))


def test_a_broken_or_missing_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "model.onnx").write_bytes(b"broken")
    with pytest.raises(SettingsError, match=r"model\.onnx' cannot be used"):
        ImageModel(tmp_path / "model.onnx")
    with pytest.raises(SettingsError, match="which is no file"):
        ImageModel(tmp_path / "none.onnx")


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingsError, match=r"onnxruntime.*crowdlab-label-studio\[models\]"):
        ImageModel(tmp_path / "model.onnx")
