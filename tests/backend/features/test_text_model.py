"""Vectors of texts by a model on disk."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.errors import SettingsError
from backend.features.text_model import TextModel
from tests.backend.features.disk_models import save_text_model


def test_a_text_has_the_mean_of_its_tokens_vectors(tmp_path: Path) -> None:
    model = TextModel(save_text_model(tmp_path / "model"))
    good, bad, both, none, empty = model.vectors(["good", "bad", "good bad", "unheard", ""])
    assert model.width == 4
    np.testing.assert_allclose(both, (good + bad) / 2, atol=1e-6)
    assert np.abs(good - bad).max() > 0.1
    assert not none.any()
    assert not empty.any()
    assert both.dtype == np.float32
    assert model.vectors([]).shape == (0, 4)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_another_model_has_another_fingerprint(tmp_path: Path) -> None:
    one, same, other = (
        TextModel(save_text_model(tmp_path / str(number), seed=seed)).fingerprint
        for number, seed in enumerate([0, 0, 1])
    )
    assert one == same != other


@pytest.mark.parametrize("name", ["potion-base-8M", "minishlab/potion-base-8M"])
def test_a_name_that_is_no_folder_is_never_downloaded(name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}', which has no config.json"):
        TextModel(Path(name))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_broken_model_is_refused(tmp_path: Path, name: str) -> None:
    folder = save_text_model(tmp_path / "model")
    (folder / name).write_bytes(b"\0broken")
    with pytest.raises(SettingsError, match=r"text model in .* cannot be read: ") as refused:
        TextModel(folder)
    assert "CROWDLAB_TEXT_MODEL" in refused.value.hint


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(SettingsError, match=r"package model2vec.*crowdlab-label-studio\[models\]"):
        TextModel(tmp_path)
