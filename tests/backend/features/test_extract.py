"""Features from all contents of a task."""

import numpy as np
import pytest

from backend.features import numeric, pairs, text
from backend.features.extract import (
    columns_of,
    content_hashes,
    extract,
    sources_of,
    text_of,
    width_of,
)
from backend.label_studio.questions import Question, Source

TEXT, IMAGE, NUMBER = Source("text", "words"), Source("image", "picture"), Source("number", "price")


def test_sources_are_joined_side_by_side() -> None:
    both = extract([{"words": "a b", "price": 7}, {}], [TEXT, NUMBER])
    assert both.shape == (2, text.WIDTH + 2 * numeric.WIDTH) == (2, width_of([TEXT, NUMBER]))
    words, shown, price = columns_of([TEXT, NUMBER])
    assert both[:1, words.start : words.end].nnz == 3
    assert both[:1, shown.start : shown.end].nnz == 0
    assert both[:1, price.start : price.end].data.tolist() == [1, 7]
    assert both[[1], :].nnz == 0


def test_several_texts_are_compared_as_well() -> None:
    sources = [TEXT, NUMBER, Source("text", "other")]
    found = extract([{"words": "a b", "other": "a b"}, {"words": "a b", "other": ""}], sources)
    *_, compared = columns_of(sources)
    assert compared.extractor == "pairs"
    assert (compared.end - compared.start, compared.end) == (pairs.MEASURES, width_of(sources))
    assert found.shape == (2, compared.end)
    assert found.toarray()[:, compared.start].tolist() == [1, 0]


def test_files_are_left_to_those_who_fetch_them() -> None:
    assert extract([{"picture": "/data/upload/1/a.png"}], [IMAGE]).shape == (1, 0)
    assert width_of([IMAGE]) == 0


def test_without_sources_or_tasks_there_are_none() -> None:
    assert extract([{"words": "a"}], []).shape == (1, 0)
    assert extract([], [TEXT]).shape == (0, width_of([TEXT]))
    assert width_of([]) == 0


@pytest.mark.parametrize("value", [None, [], {}, "", " "])
def test_an_empty_content_has_no_features(value: object) -> None:
    assert extract([{"words": value}], [TEXT]).nnz == 0


def test_a_text_of_ten_megabytes_is_cut() -> None:
    assert extract([{"words": "word " * 2_000_000}], [TEXT]).sum() == pytest.approx(39_999)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("as it is", "as it is"),
        (2.5, "2.5"),
        ([{"author": "A", "text": "hello"}, {"author": "B", "text": "hi"}], "author A text hello"),
        ({"price": 3, "tags": ["x", None]}, "price 3 tags x"),
        ([[[[[[[["too deep"]]]]]]]], ""),
    ],
)
def test_words_are_found_wherever_they_stand(value: object, seen: str) -> None:
    assert text_of(value).startswith(seen)


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
