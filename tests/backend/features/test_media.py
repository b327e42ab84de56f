"""Which files of a project are described, and where their features stand."""

from pathlib import Path

import numpy as np
from PIL import Image

from backend.features import audio, image
from backend.features.media import are_vectors, describe, media_of, places_of, recipe_of, width_of
from backend.features.models import NONE, load_models
from backend.label_studio.questions import Source
from tests.backend.features.disk_models import save_image_model, save_text_model
from tests.backend.features.files import encoded, tone

IMAGE, AUDIO, TEXT = Source("image", "a"), Source("audio", "b"), Source("text", "c")


def test_files_are_found_among_the_sources() -> None:
    assert media_of([TEXT, AUDIO, IMAGE]) == (AUDIO, IMAGE)


def test_features_of_sources_stand_side_by_side() -> None:
    assert width_of([AUDIO, IMAGE]) == audio.WIDTH + image.WIDTH
    assert places_of([AUDIO, IMAGE]) == [
        slice(0, audio.WIDTH),
        slice(audio.WIDTH, audio.WIDTH + image.WIDTH),
    ]
    assert places_of([]) == []


def test_another_order_or_key_is_another_recipe() -> None:
    recipes = {recipe_of(one) for one in ([IMAGE], [AUDIO], [IMAGE, AUDIO], [AUDIO, IMAGE])}
    assert len(recipes | {recipe_of([Source("image", "other")])}) == 5
    assert recipe_of([IMAGE]) == recipe_of([Source("image", "a")])


def test_a_file_is_described_by_its_kind() -> None:
    assert describe(tone(300), "audio").shape == (audio.WIDTH,)


def test_models_add_their_vectors(tmp_path: Path) -> None:
    models = load_models(
        save_text_model(tmp_path / "words"), save_image_model(tmp_path / "image.onnx")
    )
    assert models.image is not None
    assert media_of([TEXT, AUDIO, IMAGE], models) == (TEXT, AUDIO, IMAGE)
    widths = [one.stop - one.start for one in places_of([TEXT, AUDIO, IMAGE], models)]
    assert widths == [4, audio.WIDTH, image.WIDTH + 3]
    assert width_of([TEXT, AUDIO, IMAGE], models) == sum(widths)
    is_vector = np.split(are_vectors([TEXT, AUDIO, IMAGE], models), np.cumsum(widths)[:-1])
    assert [int(one.sum()) for one in is_vector] == [4, 0, 3]
    assert is_vector[2][-3:].all()
    assert not are_vectors([AUDIO, IMAGE]).any()
    content = encoded(Image.new("RGB", (20, 20), "red"))
    found = describe(content, "image", models)
    np.testing.assert_array_equal(found[: image.WIDTH], describe(content, "image"))
    np.testing.assert_array_equal(found[image.WIDTH :], models.image.describe(content))


def test_another_model_is_another_recipe(tmp_path: Path) -> None:
    paths = [save_image_model(tmp_path / f"{scale}.onnx", scale=scale) for scale in (1, 2, 1e30)]
    one, other, huge = (load_models(None, path) for path in paths)
    assert len({recipe_of([IMAGE], models) for models in (one, other, NONE)}) == 3
    assert recipe_of([AUDIO], one) == recipe_of([AUDIO])
    content = encoded(Image.new("RGB", (20, 20), "red"))
    assert np.isfinite(describe(content, "image", huge).astype(np.float16)).all()
