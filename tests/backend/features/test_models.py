"""Models that the settings name."""

from pathlib import Path

import pytest

from backend.features.models import NONE, load_models
from tests.backend.features.disk_models import save_image_model, save_text_model


def test_without_a_name_there_is_no_model() -> None:
    models = load_models(None, None)
    assert models.text is models.image is None
    assert not models.problems
    assert models.recipe == NONE.recipe == ""


def test_models_are_loaded_and_told_apart(tmp_path: Path) -> None:
    words = save_text_model(tmp_path / "words")
    image = save_image_model(tmp_path / "image.onnx")
    both = load_models(words, image)
    assert both.text is not None
    assert both.image is not None
    assert both.recipe == f"text={both.text.fingerprint} image={both.image.fingerprint}"
    assert len({both.recipe, load_models(words, None).recipe, load_models(None, image).recipe}) == 3


def test_a_model_that_cannot_be_loaded_leaves_the_other_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = load_models(tmp_path, save_image_model(tmp_path / "image.onnx"))
    assert models.image is not None
    assert models.text is None
    assert list(models.problems) == ["text"]
    assert "has no config.json" in models.problems["text"].message
    assert str(models.problems["text"]) in caplog.text
