"""Which files of a project are described, and where their features stand."""

from backend.features import audio, image
from backend.features.media import describe, media_of, places_of, recipe_of, width_of
from backend.label_studio.questions import Source
from tests.backend.features.files import tone

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
