"""The features of all tasks of a project in one matrix, for a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backend.features.extract import PAIRS, Columns, columns_of, sources_of
from backend.features.media import are_vectors, media_of, places_of, recipe_of, width_of
from backend.features.models import NONE, Models
from backend.features.outcome import Outcome
from backend.label_studio.questions import Source
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import TaskTable, select

TEXT_COMPONENTS = 100
"""Beside numbers or descriptors, texts are brought to this many features."""

FILE_COMPONENTS = 256
"""In a large project, descriptors are brought to this many features."""

MOST_DESCRIPTORS = 20_000_000
"""Descriptors times tasks beyond which a project is large in this sense."""

MOST_VECTORS = 5_000_000
"""Numbers of texts' vectors that stand beside counts of words; in projects with more, each vector
is brought to as many as there is room for."""

_SAMPLE = 10_000
"""Tasks from which it is learned how to bring features to fewer."""

_USUALLY = 0.9
"""A text is taken for a number if it is one in this share of the tasks that have it."""

Dense = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """What classifiers learn from."""

    matrix: csr_array | Dense
    """Features of N tasks, shape (N, D): sparse counts, or float32."""
    is_count: NDArray[np.bool_]
    """Which columns are counts of words, shape (D,); the others are numbers."""
    is_known: NDArray[np.bool_]
    """Which tasks have a feature at all, shape (N,)."""
    is_vector: NDArray[np.bool_]
    """Which columns are vectors by models on disk, as far as they stand apart, shape (D,)."""

    def without_vectors(self) -> FeatureMatrix:
        """The same without vectors by models; the same, if nothing else would be left."""
        if not self.is_vector.any() or self.is_vector.all():
            return self
        kept = np.flatnonzero(~self.is_vector)
        return FeatureMatrix(
            self.matrix[:, kept], self.is_count[kept], self.is_known, self.is_vector[kept]
        )

    def sentences(self) -> list[str]:
        """What people should know of the tasks without any feature; nothing if there are none."""
        number = int((~self.is_known).sum())
        if not number:
            return []
        return [
            f"{number:,} of {len(self.is_known):,} tasks hold nothing that can be read, and are "
            "left out: annotators alone decide on them."
        ]


def feature_matrix(
    store: ProjectStore, info: ProjectInfo, tasks: NDArray[np.int64], models: Models = NONE
) -> FeatureMatrix | None:
    """Read the features of tasks, in the order of the tasks.

    Texts alone stay sparse counts of words. Beside numbers or descriptors of files, they are
    brought to a few dense columns by latent semantic analysis of their tf-idf weights. Where a
    task lacks a number or a file, the mean of the others stands, and a column of its own says
    so. No label plays a part in any of this.

    Where there are but texts, vectors by a model stand beside the counts of words, so that
    classifiers can learn from either or both; in a large project they are shortened. Beside
    anything else they are descriptors like others.

    Parameters
    ----------
    tasks
        Ids of N tasks, ascending.
    models
        Those by which the project's contents were described.

    Returns
    -------
    FeatureMatrix or None
        None if no task has a feature.
    """
    sources = sources_of(info.questions)
    rows = store.features.read()
    # A task can be deleted between the two reads.
    rows = select(rows, np.isin(rows["task"], tasks))
    texts: list[Arrays] = []
    compared: list[Arrays] = []
    dense: list[Dense] = []
    is_known = np.zeros(len(tasks), dtype=np.bool_)
    for columns in _chosen(rows, columns_of(sources)):
        some = _rows_of(rows, columns)
        is_known[np.searchsorted(tasks, some["task"])] = True
        if columns.extractor == "text":
            texts.append(some)
        elif columns.extractor == PAIRS:
            compared.append(some)
        else:
            dense.append(_numbers(some, columns, tasks))
    media = media_of(sources, models)
    vectors: csr_array | None = None
    described = np.zeros(0, dtype=np.bool_)
    words, likeness = _sparse(texts, tasks), _sparse(compared, tasks)
    if media and (found := _descriptors(store, media, tasks, models)) is not None:
        descriptors, is_read, is_vector = found
        is_known |= is_read
        are_texts = all(source.kind == "text" for source in media)
        if words is not None and not dense and are_texts:
            vectors = csr_array(_shortened(descriptors))
        else:
            described = np.r_[np.zeros(sum(one.shape[1] for one in dense), bool), is_vector]
            dense.append(descriptors)
    if not dense:
        return _of_texts(words, vectors, likeness, is_known)
    if words is not None:
        dense.append(_components_of(words))
    if likeness is not None:
        dense.append(np.asarray(likeness.toarray(), dtype=np.float32))
    matrix = np.hstack(dense)
    width = matrix.shape[1]
    is_vector = np.pad(described, (0, width - len(described)))
    return FeatureMatrix(matrix, np.zeros(width, dtype=bool), is_known, is_vector)


def _of_texts(
    words: csr_array | None,
    vectors: csr_array | None,
    likeness: csr_array | None,
    is_known: NDArray[np.bool_],
) -> FeatureMatrix | None:
    """Words, vectors of the texts by a model, and how alike the texts are."""
    parts = [part for part in (words, vectors, likeness) if part is not None]
    if not parts:
        return None
    matrix = csr_array(hstack(parts, format="csr"))
    column = np.arange(matrix.shape[1])
    num_words = 0 if words is None else words.shape[1]
    num_numbers = 0 if vectors is None else vectors.shape[1]
    is_count = column < num_words
    return FeatureMatrix(matrix, is_count, is_known, ~is_count & (column < num_words + num_numbers))


def _rows_of(rows: Arrays, columns: Columns) -> Arrays:
    return select(rows, (rows["index"] >= columns.start) & (rows["index"] < columns.end))


def _chosen(rows: Arrays, all_columns: Sequence[Columns]) -> list[Columns]:
    """Columns with entries; of a text and the number that it usually is, one of them."""
    tasks_of = {
        (columns.source, columns.extractor): np.unique(_rows_of(rows, columns)["task"])
        for columns in all_columns
    }
    chosen = []
    for columns in all_columns:
        source = columns.source
        if columns.extractor != PAIRS and source.kind == "text":
            as_number = tasks_of[source, "number"]
            either = np.union1d(as_number, tasks_of[source, "text"])
            is_number = len(as_number) >= _USUALLY * len(either)
            if is_number != (columns.extractor == "number"):
                continue
        if len(tasks_of[source, columns.extractor]):
            chosen.append(columns)
    return chosen


def _sparse(parts: Sequence[Arrays], tasks: NDArray[np.int64]) -> csr_array | None:
    """Sparse matrix, of the columns that occur; None if there are none."""
    if not parts:
        return None
    task, index, value = (
        np.concatenate([part[name] for part in parts]) for name in ("task", "index", "value")
    )
    # Of hashed words most never occur; a classifier would still carry a weight for each.
    used, column = np.unique(index, return_inverse=True)
    position = np.searchsorted(tasks, task)
    return csr_array((value.astype(np.float64), (position, column)), shape=(len(tasks), len(used)))


def _numbers(rows: Arrays, columns: Columns, tasks: NDArray[np.int64]) -> Dense:
    """Dense numbers, and whether there are some where that is not always so."""
    is_mark = rows["index"] == columns.start
    has_numbers = np.isin(tasks, rows["task"][is_mark])
    rows = select(rows, ~is_mark)
    used, column = np.unique(rows["index"], return_inverse=True)
    values = np.full((len(tasks), len(used)), np.nan, dtype=np.float32)
    values[np.searchsorted(tasks, rows["task"]), column] = rows["value"]
    mean = np.nanmean(values, axis=0, dtype=np.float64).astype(np.float32)
    filled: Dense = np.where(np.isnan(values), mean, values)
    return np.hstack([filled, _marks(has_numbers[:, None])])


def _marks(is_there: NDArray[np.bool_]) -> Dense:
    """Which tasks have what, of those things that not all of them have."""
    marks: Dense = is_there[:, ~is_there.all(axis=0)].astype(np.float32)
    return marks


def _components_of(words: csr_array) -> Dense:
    """Latent semantic analysis: tf-idf weights in a space of few dimensions."""
    weights = csr_array(TfidfTransformer(sublinear_tf=True).fit_transform(words))
    number = min(TEXT_COMPONENTS, weights.shape[1])
    if weights.shape[1] <= number:
        return np.asarray(weights.toarray(), dtype=np.float32)
    svd = TruncatedSVD(number, n_iter=3, random_state=0)
    return np.asarray(svd.fit(weights[_sample(words.shape[0])]).transform(weights), np.float32)


def _shortened(vectors: Dense) -> Dense:
    """Vectors of as many numbers as there is room for beside counts of words."""
    size, width = vectors.shape
    if vectors.size <= MOST_VECTORS:
        return vectors
    number = min(max(1, MOST_VECTORS // size), width)
    reducer = PCA(number, random_state=0).fit(vectors[_sample(size)])
    return np.asarray(reducer.transform(vectors), dtype=np.float32)


def _sample(size: int) -> NDArray[np.int64]:
    """Positions of some tasks, all of them if there are few."""
    if size <= _SAMPLE:
        return np.arange(size)
    return np.sort(np.random.RandomState(0).choice(size, _SAMPLE, replace=False))


def _descriptors(
    store: ProjectStore, media: Sequence[Source], tasks: NDArray[np.int64], models: Models
) -> tuple[Dense, NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Descriptors of files and texts, with which of them there are where not all are there.

    Returns
    -------
    ndarray of float32, shape (N, D)
    ndarray of bool, shape (N,)
        Whether a task has one that was read.
    ndarray of bool, shape (D,)
        Which columns are vectors by models. None instead of all if no task has a file or text.
    """
    recipe, width = recipe_of(media, models), width_of(media, models)
    places = places_of(media, models)
    is_read = _which_are_read(store.described(recipe, len(media)), tasks, len(media))
    if not is_read.any():
        return None
    table = store.descriptors(recipe, width)
    sample = _sample(len(tasks))
    drawn = np.zeros((len(sample), width), dtype=np.float32)
    _put(table.read(tasks[sample]), tasks[sample], drawn)
    mean = _means(drawn, is_read[sample], places)
    if len(tasks) * width <= MOST_DESCRIPTORS:
        values = np.zeros((len(tasks), width), dtype=np.float32)
        for rows in table.parts():
            _put(rows, tasks, values)
        _fill(values, is_read, mean, places)
    else:
        _fill(drawn, is_read[sample], mean, places)
        number = min(FILE_COMPONENTS, *drawn.shape)
        reducer = make_pipeline(StandardScaler(), PCA(number, random_state=0)).fit(drawn)
        values = np.tile(reducer.transform(mean[None, :]).astype(np.float32), (len(tasks), 1))
        for rows in table.parts():
            there = np.flatnonzero(np.isin(tasks, rows["task"]))
            some = np.zeros((len(there), width), dtype=np.float32)
            _put(rows, tasks[there], some)
            _fill(some, is_read[there], mean, places)
            values[there] = reducer.transform(some)
    is_vector = are_vectors(media, models)
    if values.shape[1] != width:  # descriptors and vectors are mixed
        is_vector = np.zeros(values.shape[1], dtype=bool)
    marks = _marks(is_read)
    is_vector = np.pad(is_vector, (0, marks.shape[1]))
    return np.hstack([values, marks]), np.asarray(is_read.any(axis=1)), is_vector


def _put(rows: Arrays, tasks: NDArray[np.int64], values: Dense) -> None:
    """Write the descriptors of tasks into their rows."""
    rows = select(rows, np.isin(rows["task"], tasks))
    values[np.searchsorted(tasks, rows["task"])] = rows["values"]


def _means(values: Dense, is_read: NDArray[np.bool_], places: Sequence[slice]) -> Dense:
    """Mean descriptor of each source, over the files that were read."""
    mean = np.zeros(values.shape[1], dtype=np.float32)
    for number, place in enumerate(places):
        if is_read[:, number].any():
            mean[place] = values[is_read[:, number], place].mean(axis=0, dtype=np.float64)
    return mean


def _fill(values: Dense, is_read: NDArray[np.bool_], mean: Dense, places: Sequence[slice]) -> None:
    """Put the mean in the place of files that were not read."""
    for number, place in enumerate(places):
        values[~is_read[:, number], place] = mean[place]


def _which_are_read(
    table: TaskTable, tasks: NDArray[np.int64], num_sources: int
) -> NDArray[np.bool_]:
    """Whether each file of each task was read, shape (N, S)."""
    rows: dict[str, Any] = table.read(tasks)
    is_read = np.zeros((len(tasks), num_sources), dtype=bool)
    is_read[np.searchsorted(tasks, rows["task"])] = rows["outcome"] == Outcome.READ
    return is_read
