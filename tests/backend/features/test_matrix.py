"""The matrix that classifiers learn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import issparse

from backend.features import matrix
from backend.features.matrix import feature_matrix
from backend.features.media import media_of, places_of, recipe_of, width_of
from backend.features.models import NONE, Models, load_models
from backend.features.outcome import Outcome
from backend.jobs.sync import TaskRows, replace_tasks
from backend.label_studio.questions import Question, Source
from backend.store.project import ProjectInfo, ProjectStore
from tests.backend.features.disk_models import save_text_model

TEXT, NUMBER = Source("text", "words"), Source("number", "price")
IMAGE, AUDIO = Source("image", "picture"), Source("audio", "call")


def fill(store: ProjectStore, data: list[dict[str, Any]], *sources: Source) -> ProjectInfo:
    """Store tasks 10, 20, …"""
    question = Question("q", "t", ("a", "b"), sources)
    rows = TaskRows((question,))
    rows.add([{"id": 10 * number, "data": one} for number, one in enumerate(data, start=1)])
    replace_tasks(
        store,
        ProjectInfo("t", "<View/>", (question,)),
        rows.task_ids,
        *rows.arrays(store.answer_book),
    )
    info = store.read_info()
    assert info is not None
    return info


def matrix_of(store: ProjectStore, info: ProjectInfo) -> Any:
    found = feature_matrix(store, info, store.tasks.read()["task"])
    if found is None:
        return None
    assert found.is_count.tolist() == [issparse(found.matrix)] * found.matrix.shape[1]
    return found.matrix


def put_files(
    store: ProjectStore,
    info: ProjectInfo,
    values: np.ndarray,
    is_read: np.ndarray,
    models: Models = NONE,
) -> None:
    media = media_of(info.questions[0].sources, models)
    recipe = recipe_of(media, models)
    tasks = store.tasks.read()["task"]
    some = is_read.any(axis=1)
    with store.transaction() as changes:
        store.descriptors(recipe, width_of(media, models)).stage_all(
            changes, {"task": tasks[some], "values": values[some]}
        )
        store.described(recipe, len(media)).stage_all(
            changes,
            {
                "task": tasks,
                "content": np.zeros(len(tasks)),
                "tried_at": np.zeros(len(tasks)),
                "outcome": np.where(is_read, Outcome.READ, Outcome.BROKEN),
            },
        )


def test_texts_alone_stay_sparse_counts(store: ProjectStore) -> None:
    info = fill(store, [{"words": "red car"}, {"words": ""}, {"words": "red"}], TEXT)
    found = matrix_of(store, info)
    assert issparse(found)
    assert found.shape == (3, 3)
    assert found.sum(axis=1).tolist() == [3, 0, 1]


def test_without_features_there_is_no_matrix(store: ProjectStore) -> None:
    assert matrix_of(store, fill(store, [{"words": ""}, {}], TEXT, IMAGE)) is None
    assert matrix_of(store, fill(store, [{"words": "a"}])) is None


def test_a_text_that_is_a_number_counts_as_one(store: ProjectStore) -> None:
    info = fill(store, [{"words": 5}, {"words": "2.5"}, {"words": 0}], TEXT)
    np.testing.assert_array_equal(matrix_of(store, info), [[5], [2.5], [0]])


def test_a_number_among_texts_is_a_word(store: ProjectStore) -> None:
    info = fill(store, [{"words": "seven"}, {"words": "7"}, {"words": "red"}], TEXT)
    assert matrix_of(store, info).shape == (3, 4)


def test_a_gap_holds_the_mean_and_a_column_says_so(store: ProjectStore) -> None:
    info = fill(store, [{"price": [1, 4]}, {"price": [3, None]}, {}], NUMBER)
    np.testing.assert_array_equal(matrix_of(store, info), [[1, 4, 1], [3, 4, 1], [2, 4, 0]])


def test_beside_numbers_texts_become_dense(store: ProjectStore) -> None:
    data = [{"words": f"word{n % 7} thing{n % 5}", "price": n} for n in range(300)]
    found = matrix_of(store, fill(store, data, TEXT, NUMBER))
    assert found.dtype == np.float32
    assert found.shape == (300, 1 + 49)
    np.testing.assert_array_equal(found[:, 0], np.arange(300))


def test_many_words_beside_numbers_are_brought_to_few_columns(store: ProjectStore) -> None:
    data = [{"words": f"{'good' if n % 2 else 'bad'} {n} {n * 7}", "price": n} for n in range(300)]
    found = matrix_of(store, fill(store, data, TEXT, NUMBER))
    assert found.shape == (300, 1 + matrix.TEXT_COMPONENTS)
    again = matrix_of(store, fill(store, data, TEXT, NUMBER))
    np.testing.assert_array_equal(found, again)


def test_files_that_are_missing_hold_the_mean(store: ProjectStore) -> None:
    info = fill(store, [{}, {}, {}], IMAGE, AUDIO)
    media = media_of(info.questions[0].sources)
    picture, call = places_of(media)
    values = np.zeros((3, width_of(media)))
    values[0, picture], values[1, picture], values[1, call] = 1, 2, 8
    put_files(store, info, values, np.asarray([[True, False], [True, True], [False, False]]))
    found = matrix_of(store, info)
    assert found.shape == (3, width_of(media) + 2)
    np.testing.assert_array_equal(found[:, 0], [1, 2, 1.5])
    np.testing.assert_array_equal(found[:, call.start], 8)
    np.testing.assert_array_equal(found[:, -2:], [[1, 0], [1, 1], [0, 0]])


def test_descriptors_of_a_large_project_are_brought_to_fewer(
    store: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.RandomState(0)
    info = fill(store, [{"picture": n} for n in range(400)], IMAGE)
    media = media_of(info.questions[0].sources)
    hidden = generator.normal(size=(400, 3))
    values = hidden @ generator.normal(size=(3, width_of(media)))
    is_read = np.ones((400, 1), dtype=bool)
    is_read[5] = False
    put_files(store, info, values, is_read)
    monkeypatch.setattr(matrix, "MOST_DESCRIPTORS", 1000)
    monkeypatch.setattr(matrix, "FILE_COMPONENTS", 3)
    monkeypatch.setattr(matrix, "_SAMPLE", 200)
    found = matrix_of(store, info)
    assert found.shape == (400, 4)
    np.testing.assert_allclose(found[5], 0, atol=1)
    kept = np.linalg.lstsq(np.c_[found[:, :3], np.ones(400)], hidden, rcond=None)[0]
    rest = hidden - np.c_[found[:, :3], np.ones(400)] @ kept
    assert np.delete(rest, 5, axis=0).std() < 0.05


def test_vectors_of_texts_stand_beside_words_and_are_shortened_where_there_are_many(
    store: ProjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = load_models(save_text_model(tmp_path / "model"), None)
    info = fill(store, [{"words": f"good bad{number % 3}"} for number in range(30)], TEXT)
    values = np.outer(np.arange(30), [1, 2, 0, 0]) / 30
    put_files(store, info, values, np.ones((30, 1), dtype=bool), models)
    tasks = store.tasks.read()["task"]
    without = feature_matrix(store, info, tasks)
    found = feature_matrix(store, info, tasks, models)
    assert without is not None
    assert found is not None
    (words,) = np.nonzero(found.is_count)
    np.testing.assert_array_equal(found.matrix[:, words].toarray(), without.matrix.toarray())
    np.testing.assert_allclose(found.matrix[:, ~found.is_count].toarray(), values, atol=1e-3)
    np.testing.assert_array_equal(found.is_vector, ~found.is_count)
    alone = found.without_vectors()
    np.testing.assert_array_equal(alone.matrix.toarray(), without.matrix.toarray())
    assert alone.is_count.all()
    assert alone.without_vectors() is alone
    monkeypatch.setattr(matrix, "MOST_VECTORS", 30)
    short = feature_matrix(store, info, tasks, models)
    assert short is not None
    (number,) = short.matrix[:, ~short.is_count].toarray().T
    assert abs(np.corrcoef(number, np.arange(30))[0, 1]) > 0.999


def test_vectors_of_texts_beside_numbers_are_dense(store: ProjectStore, tmp_path: Path) -> None:
    models = load_models(save_text_model(tmp_path / "model"), None)
    info = fill(store, [{"words": "good", "price": 3}, {"words": "bad", "price": 4}], TEXT, NUMBER)
    vectors = np.arange(8).reshape(2, 4)
    put_files(store, info, vectors, np.ones((2, 1), dtype=bool), models)
    found = feature_matrix(store, info, store.tasks.read()["task"], models)
    assert found is not None
    assert not found.is_count.any()
    np.testing.assert_array_equal(found.matrix[:, 0], [3, 4])
    np.testing.assert_array_equal(found.matrix[:, 1:5], vectors)
    assert np.flatnonzero(found.is_vector).tolist() == [1, 2, 3, 4]
    assert found.without_vectors().matrix.shape == (2, found.matrix.shape[1] - 4)
