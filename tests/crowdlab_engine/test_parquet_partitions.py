from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyarrow")

from crowdlab_engine.parquet_partitions import parquet_partitions
from tests.crowdlab_engine.problems import Problem

SIZES = {"num_tasks": 50, "num_annotators": 6, "num_classes": 3}


class Files:
    """Labels and predictions of a problem, as frames and as files."""

    def __init__(self, folder: Path) -> None:
        self.problem = Problem(5, 50, 6, 3)
        self.labels = pd.DataFrame(
            {name: getattr(self.problem, name) for name in ("task", "annotator", "label")}
        ).sort_values(["task", "annotator"], ignore_index=True)
        self.probs = pd.DataFrame(self.problem.pred_probs, columns=["p0", "p1", "p2"])
        self.label_path = folder / "labels.parquet"
        self.prob_path = folder / "probs.parquet"
        self.write()

    def write(self, **options: Any) -> None:
        self.labels.to_parquet(self.label_path, row_group_size=17, **options)
        self.probs.to_parquet(self.prob_path, row_group_size=7)

    def read(self, **changes: Any) -> list[tuple[pd.DataFrame, np.ndarray | None]]:
        """Labels and predictions of each partition, when it is called."""
        paths = {"labels": self.label_path, "pred_probs": self.prob_path}
        found = []
        for partition in parquet_partitions(
            **{**paths, **SIZES, "tasks_per_partition": 9, **changes}
        ):
            block = partition()
            labels = block.labels
            table = {
                "task": labels.task_ids[labels.task],
                "annotator": labels.annotator,
                "label": labels.label,
            }
            found.append((pd.DataFrame(table), block.pred_probs))
        return found

    def check(self, found: list[tuple[pd.DataFrame, np.ndarray | None]]) -> None:
        """See that nothing is lost or doubled."""
        expected = self.labels.sort_values(["task", "annotator"], ignore_index=True)
        joined = pd.concat([table for table, _ in found], ignore_index=True)
        pd.testing.assert_frame_equal(joined, expected, check_dtype=False)
        probs = [rows for _, rows in found if rows is not None]
        if probs:
            np.testing.assert_array_equal(np.concatenate(probs), self.problem.pred_probs)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize("tasks_per_partition", [1, 9, 50, 1000])
def test_partitions_hold_everything_once(files: Files, tasks_per_partition: int) -> None:
    files.check(files.read(tasks_per_partition=tasks_per_partition))
    files.check(files.read(tasks_per_partition=tasks_per_partition, pred_probs=None))


def test_only_row_groups_with_some_of_the_tasks_are_read(files: Files) -> None:
    partitions = parquet_partitions(files.label_path, files.prob_path, **SIZES,
                                    tasks_per_partition=10)  # fmt: skip
    num_groups = -(-len(files.labels) // 17)
    for partition in partitions:
        assert len(partition.labels) < num_groups
        assert partition.pred_probs is not None
        assert len(partition.pred_probs) <= 3


def test_labels_in_any_order(files: Files) -> None:
    files.labels = files.labels.sample(frac=1, random_state=0)
    files.write()
    files.check(files.read())


def test_folders_and_a_column_of_tasks(files: Files, tmp_path: Path) -> None:
    files.probs.insert(0, "task", np.arange(50))
    for name, frame in (("labels", files.labels), ("probs", files.probs.iloc[::-1])):
        (tmp_path / name).mkdir()
        half = len(frame) // 2
        frame.iloc[half:].to_parquet(tmp_path / name / "b.parquet", row_group_size=8)
        frame.iloc[:half].to_parquet(tmp_path / name / "a.parquet", row_group_size=8)
        (tmp_path / name / "_metadata.parquet").write_bytes(b"not for readers")
    files.check(files.read(labels=tmp_path / "labels", pred_probs=tmp_path / "probs"))


def without_a_value(files: Files) -> None:
    files.labels["label"] = files.labels["label"].astype("Int64")
    files.labels.loc[3, "label"] = pd.NA


def without_a_task(files: Files) -> None:
    files.labels["task"] = files.labels["task"].astype("Int64")
    files.labels.loc[3, "task"] = pd.NA


WRONG: dict[str, tuple[Callable[[Files], object], dict[str, Any], str]] = {
    "no column": (
        lambda files: files.labels.insert(0, "class", files.labels.pop("label")),
        {},
        r"has the columns \['class', .*\]: it needs task, annotator, label",
    ),
    "no value": (without_a_value, {}, "has 1 rows without a value of label"),
    "no task": (without_a_task, {}, "has 1 rows without a task: drop them"),
    "no integers": (
        lambda files: files.labels.__setitem__("label", files.labels["label"] / 2),
        {},
        "column label of .* holds double: pass integer codes",
    ),
    "tasks that are no integers": (
        lambda files: files.labels.__setitem__("task", files.labels["task"] + 0.5),
        {},
        "write the column task as integers, with statistics",
    ),
    "task too high": (
        lambda files: files.labels.__setitem__("task", files.labels["task"] + 1),
        {},
        "holds task 50, but tasks go from 0 to 49: correct the file or num_tasks",
    ),
    "annotator too high": (lambda _: None, {"num_annotators": 2}, "annotator code .* is outside"),
    "classes": (lambda _: None, {"num_classes": 4}, "has probabilities of 3 classes: .* the 4"),
    "too few predictions": (
        lambda files: setattr(files, "probs", files.probs.iloc[:-1]),
        {},
        "pred_probs have 49 rows for 50 tasks: pass one row per task",
    ),
    "a prediction is missing": (
        lambda files: (
            files.probs.insert(0, "task", np.arange(50)),
            setattr(files, "probs", files.probs.drop(index=[12])),
        ),
        {},
        "pred_probs have 8 rows for the 9 tasks from 9 to 17: pass one row per task",
    ),
    "partitions": (lambda _: None, {"tasks_per_partition": 0}, "tasks_per_partition is 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_do_not_fit(files: Files, name: str) -> None:
    spoil, changes, message = WRONG[name]
    spoil(files)
    files.write()
    with pytest.raises(ValueError, match=message):
        files.read(**changes)


def test_files_without_statistics(files: Files) -> None:
    files.write(write_statistics=False)
    with pytest.raises(ValueError, match="does not tell the lowest and highest task"):
        files.read()


def test_no_file(files: Files, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "none.parquet"):
        with pytest.raises(FileNotFoundError, match="is no Parquet file and no folder"):
            files.read(labels=path)
