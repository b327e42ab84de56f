"""Features from all contents of a task."""

import numpy as np
import pytest

from backend.features import image, text
from backend.features.extract import content_hashes, extract, sources_of, width_of
from backend.label_studio.controls import Question, Source

TEXT, IMAGE = Source("text", "words"), Source("image", "picture")


def test_sources_are_joined_side_by_side() -> None:
    both = extract([{"words": "a b", "picture": None}, {}], [TEXT, IMAGE])
    assert both.shape == (2, width_of([TEXT, IMAGE])) == (2, text.WIDTH + image.WIDTH)
    assert both[[0], :].nnz == 3
    assert both[[1], :].nnz == 0


def test_without_sources_or_tasks_there_are_none() -> None:
    assert extract([{"words": "a"}], []).shape == (1, 0)
    assert extract([], [TEXT, IMAGE]).shape == (0, text.WIDTH + image.WIDTH)
    assert width_of([]) == 0


@pytest.mark.parametrize("value", [None, 3, 2.5, ["a"], {"a": 1}, ""])
def test_odd_values_do_no_harm(value: object) -> None:
    assert extract([{"words": value}], [TEXT]).shape == (1, text.WIDTH)
    assert extract([{"picture": value}], [IMAGE]).nnz == 0


def test_a_source_of_several_questions_counts_once() -> None:
    one = Question("a", "t", ("x",), (TEXT,))
    other = Question("b", "t", ("x",), (TEXT, IMAGE))
    assert sources_of([one, other]) == (TEXT, IMAGE)


def test_equal_contents_have_equal_hashes() -> None:
    data = [{"words": "a", "id": 1}, {"words": "a", "id": 2}, {"words": "b"}, {}]
    hashes = content_hashes(data, [TEXT])
    assert hashes[0] == hashes[1]
    assert len(np.unique(hashes)) == 3
    assert len(np.unique(content_hashes(data, []))) == 4
