"""Tables to export: the consensus of each task, every label, the leaderboard.

They are read some blocks of tasks at a time. What changes meanwhile is exported as it was or
as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from backend.answers.likeness import agrees, likeness_of_codes
from backend.answers.paths import path_of
from backend.answers.words import answer_words
from backend.errors import NothingToComputeError
from backend.exports.names import DataSetName
from backend.insights.annotators import AnnotatorInsight, leaderboards
from backend.insights.levels import ancestors_of, depth_of
from backend.insights.lookup import known_project
from backend.insights.names import AnnotatorNames
from backend.insights.weights import QuestionWeights
from backend.jobs.labels import counted_labels
from backend.jobs.predictions import StoredPredictions
from backend.label_studio.questions import NO_LABEL, Question
from backend.service import Service
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import BLOCKS_AT_ONCE
from crowdlab_engine.taxonomy import level_quality


@dataclass(frozen=True)
class DataSet:
    """A table that comes in parts."""

    schema: pa.Schema
    parts: Callable[[], Iterator[pa.Table]]
    """Tables of this schema, together the whole one."""


def open_data_set(service: Service, project_id: int, name: DataSetName) -> DataSet:
    """Make ready a data set; it is read as it is used.

    Columns of the consensus are `task`, and for each question, its name before a dot,
    `consensus_label`, `consensus_quality_score`, `annotator_agreement`, `num_annotations`,
    `active_learning_score` and `ground_truth`, where classes are numbers `expected_value`, and
    where they are paths `level_1`, `level_1_quality`, …: the ancestor on each level and the
    probability that it is right; empty where the question has no answer. Columns
    of the leaderboard are `question` and the single values of
    `backend.insights.annotators.AnnotatorInsight`.

    Raises
    ------
    UnknownProjectError
        The service does not look after the project.
    NothingToComputeError
        Nothing was computed for it yet.
    """
    info = known_project(service, project_id)
    store = service.store(project_id)
    if not store.has_results():
        raise NothingToComputeError(
            f"Nothing was computed for project {project_id} yet.",
            f"Run `crowdlab connect {project_id}`; the project needs tasks with labels.",
        )
    if name is DataSetName.CONSENSUS:
        consensus = _Consensus(store, info)
        return DataSet(consensus.schema, consensus.parts)
    if name is DataSetName.LABELS:
        names = AnnotatorNames.read(store, show_names=service.settings.show_names)
        return DataSet(_Labels.schema, _Labels(store, info, names).parts)
    board = _leaderboard(store, show_names=service.settings.show_names)
    return DataSet(board.schema, lambda: iter((board,)))


def _column_types(content: type) -> dict[str, pa.DataType]:
    """Columns for the fields of a dataclass that hold one value, with their types."""
    kinds = {
        int: pa.int64(),
        float: pa.float64(),
        float | None: pa.float64(),
        int | None: pa.int64(),
        str: pa.string(),
        bool: pa.bool_(),
    }
    hints = get_type_hints(content)
    return {one.name: kinds[hints[one.name]] for one in fields(content) if hints[one.name] in kinds}


def _leaderboard(store: ProjectStore, *, show_names: bool) -> pa.Table:
    columns = _column_types(AnnotatorInsight)
    columns["last_active"] = pa.timestamp("us", tz="UTC")
    rows = [
        {"question": board.question, **{name: getattr(one, name) for name in columns}}
        for board in leaderboards(store, show_names=show_names)
        for one in board.annotators
    ]
    for row in rows:
        row["last_active"] = round(row["last_active"] * 1e6) or None
    return pa.Table.from_pylist(rows, pa.schema({"question": pa.string(), **columns}))


class _Consensus:
    """Rows of tasks."""

    def __init__(self, store: ProjectStore, info: ProjectInfo) -> None:
        self._store = store
        self._questions = info.questions
        self._weights = [QuestionWeights.read(store, n) for n in range(len(info.questions))]
        columns = {
            "consensus_label": pa.string(),
            "consensus_quality_score": pa.float64(),
            "annotator_agreement": pa.float64(),
            "num_annotations": pa.int32(),
            "active_learning_score": pa.float64(),
            "ground_truth": pa.string(),
        }
        fields = [("task", pa.int64())]
        for question in info.questions:
            fields += [(f"{question.name}.{name}", kind) for name, kind in columns.items()]
            if question.type.is_number:
                fields.append((f"{question.name}.expected_value", pa.float64()))
            for level in range(1, depth_of(question) + 1):
                fields.append((f"{question.name}.level_{level}", pa.string()))
                fields.append((f"{question.name}.level_{level}_quality", pa.float64()))
        self.schema = pa.schema(fields)

    def parts(self) -> Iterator[pa.Table]:
        """Some blocks of tasks at a time."""
        num_questions = len(self._questions)
        table = self._store.consensus(num_questions)
        for some in _lots(table.block_numbers()):
            rows = table.read_blocks(some)
            annotations = self._store.annotations(num_questions).read_blocks(some)
            labels = self._store.label_quality(num_questions).read_blocks(some)
            columns = [pa.array(rows["task"])]
            for number, question in enumerate(self._questions):
                columns += self._columns_of(number, rows, annotations, labels)
                if question.type.is_number:
                    columns.append(self._expected_values(number, some, rows, labels))
                columns += self._levels(number, some, rows, labels)
            yield pa.table(columns, schema=self.schema)

    def _columns_of(
        self, number: int, rows: Arrays, annotations: Arrays, labels: Arrays
    ) -> list[pa.Array]:
        question = self._questions[number]
        weights = self._weights[number]
        codes, quality = rows["label"][:, number], rows["quality"][:, number]
        is_open = codes == NO_LABEL
        scores: NDArray[np.float64] = np.full(len(codes), np.nan)
        if weights is not None:
            counts = labels["label"][:, number] != NO_LABEL
            scores = weights.active_learning_scores(
                rows["task"], quality, labels["task"][counts], labels["annotator"][counts]
            )
        known = counted_labels(annotations, number, ground_truth=True)
        truth = np.full(len(codes), NO_LABEL)
        is_told = np.isin(known["task"], rows["task"])
        truth[np.searchsorted(rows["task"], known["task"][is_told])] = known["codes"][
            is_told, number
        ]
        return [
            _answers(self._store, question, rows["task"], codes),
            pa.array(quality, mask=is_open),
            pa.array(rows["agreement"][:, number], mask=is_open),
            pa.array(rows["num_annotations"][:, number]),
            pa.array(scores, mask=is_open | np.isnan(scores)),
            _answers(self._store, question, rows["task"], truth),
        ]

    def _expected_values(
        self, number: int, blocks: list[int], rows: Arrays, labels: Arrays
    ) -> pa.Array:
        weights = self._weights[number]
        values = self._questions[number].values
        if weights is None or values is None:
            return pa.nulls(len(rows["task"]), pa.float64())
        said = self._said(number, weights, blocks, rows, labels)
        expected = weights.expected_values(*said, values=values[: weights.num_classes])
        return pa.array(expected, mask=(rows["label"][:, number] == NO_LABEL) | np.isnan(expected))

    def _levels(
        self, number: int, blocks: list[int], rows: Arrays, labels: Arrays
    ) -> list[pa.Array]:
        """The consensus' ancestors level by level, and how probable it is that each is right."""
        question, weights = self._questions[number], self._weights[number]
        depth = depth_of(question)
        if not depth:
            return []
        codes = rows["label"][:, number].astype(np.int64)
        quality = np.full((len(codes), depth), np.nan)
        if weights is not None:
            of_classes = weights.posterior(*self._said(number, weights, blocks, rows, labels))
            known = np.where(codes < weights.num_classes, codes, NO_LABEL)
            paths = [path_of(name) for name in question.classes[: weights.num_classes]]
            found = level_quality(of_classes, known, paths)
            quality[:, : found.shape[1]] = found
        columns = []
        for level in range(1, depth + 1):
            names, place = ancestors_of(question, level)
            columns.append(_words(np.append(place, NO_LABEL)[codes], names))
            columns.append(pa.array(quality[:, level - 1], mask=np.isnan(quality[:, level - 1])))
        return columns

    def _said(
        self,
        number: int,
        weights: QuestionWeights,
        blocks: list[int],
        rows: Arrays,
        labels: Arrays,
    ) -> tuple[
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[Any],
        NDArray[Any],
        NDArray[np.float64] | None,
    ]:
        """What annotators and classifier say of the tasks, for `QuestionWeights.posterior`."""
        num_classes = weights.num_classes
        is_known = labels["label"][:, number] != NO_LABEL
        is_known &= labels["label"][:, number] < num_classes
        is_known &= np.isin(labels["task"], rows["task"])
        predicted = None
        if len(weights.weights.model):
            stored = StoredPredictions.read(self._store, number, num_classes)
            predicted = stored.of(rows["task"], blocks)
        return (
            rows["task"],
            labels["task"][is_known],
            labels["annotator"][is_known],
            labels["label"][is_known, number],
            predicted,
        )


class _Labels:
    """Rows of labels, by task, question and annotator."""

    schema = pa.schema(
        [
            ("task", pa.int64()),
            ("question", pa.string()),
            ("annotator", pa.int64()),
            ("annotator_name", pa.string()),
            ("label", pa.string()),
            ("label_quality", pa.float64()),
            ("likeness_to_consensus", pa.float64()),
            ("agrees_with_consensus", pa.bool_()),
            ("annotation", pa.int64()),
            ("updated_at", pa.timestamp("us", tz="UTC")),
            ("lead_time", pa.float32()),
        ]
    )

    def __init__(self, store: ProjectStore, info: ProjectInfo, names: AnnotatorNames) -> None:
        self._store = store
        self._questions = info.questions
        self._names = names

    def parts(self) -> Iterator[pa.Table]:
        """Some blocks of tasks at a time."""
        num_questions = len(self._questions)
        table = self._store.label_quality(num_questions)
        for some in _lots(table.block_numbers()):
            labels = table.read_blocks(some)
            consensus = self._store.consensus(num_questions).read_blocks(some)
            annotations = self._store.annotations(num_questions).read_blocks(some)
            every = [
                self._part_of(number, labels, consensus, annotations)
                for number in range(num_questions)
            ]
            yield pa.concat_tables(every).sort_by(
                [("task", "ascending"), ("question", "ascending"), ("annotator", "ascending")]
            )

    def _part_of(
        self, number: int, labels: Arrays, consensus: Arrays, annotations: Arrays
    ) -> pa.Table:
        question = self._questions[number]
        counts = labels["label"][:, number] != NO_LABEL
        task, annotation = labels["task"][counts], labels["annotation"][counts]
        annotator, codes = labels["annotator"][counts], labels["label"][counts, number]
        said = _looked_up(task, consensus["task"], consensus["label"][:, number], NO_LABEL)
        alike = likeness_of_codes(self._store.answer_book, question, codes, said)
        order = np.argsort(annotations["annotation"])
        ids = annotations["annotation"][order]
        moments = _looked_up(annotation, ids, annotations["updated_at"][order], 0)
        seconds = _looked_up(annotation, ids, annotations["lead_time"][order], np.nan)
        return pa.table(
            [
                pa.array(task),
                pa.repeat(question.name, len(task)),
                pa.array(annotator.astype(np.int64)),
                self._names_of(annotator),
                _answers(self._store, question, task, codes),
                pa.array(labels["quality"][counts, number]),
                pa.array(alike, mask=said == NO_LABEL),
                pa.array(agrees(alike)),
                pa.array(annotation),
                pa.array(moments, mask=moments == 0).cast(pa.timestamp("us", tz="UTC")),
                pa.array(seconds, mask=np.isnan(seconds)),
            ],
            schema=self.schema,
        )

    def _names_of(self, annotators: NDArray[Any]) -> pa.Array:
        people, codes = np.unique(annotators, return_inverse=True)
        return _words(codes, [self._names.of(one) for one in people.tolist()])


def _lots(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), BLOCKS_AT_ONCE):
        yield numbers[start : start + BLOCKS_AT_ONCE]


def _looked_up(
    wanted: NDArray[Any], known: NDArray[Any], values: NDArray[Any], otherwise: float
) -> NDArray[Any]:
    """Values that belong to what is wanted, given those of what is known, ascending."""
    found = np.full(len(wanted), otherwise, dtype=values.dtype)
    if len(known):
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        is_known = known[place] == wanted
        found[is_known] = values[place[is_known]]
    return found


def _answers(
    store: ProjectStore, question: Question, tasks: NDArray[Any], codes: NDArray[Any]
) -> pa.Array:
    """Answers in words, null for `NO_LABEL`."""
    if question.type.is_class:
        return _words(codes, question.classes)
    words = answer_words(store, question, tasks.tolist(), codes.tolist())
    return pa.array(words, type=pa.string())


def _words(codes: NDArray[Any], vocabulary: Sequence[str]) -> pa.Array:
    """Texts by code, null for a negative one."""
    indices = pa.array(codes, type=pa.int32(), mask=codes < 0)
    return pa.array(vocabulary, type=pa.string()).take(indices)
