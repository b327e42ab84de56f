"""Tables of rows that belong to tasks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from backend.store.tables import BLOCK_TASKS, TaskTable

COLUMNS: dict[str, Any] = {"value": ("f8", None), "pair": ("i4", 2)}


def rows_of(pairs: list[tuple[int, float]]) -> dict[str, np.ndarray]:
    return {
        "task": np.asarray([task for task, _ in pairs], dtype=np.int64),
        "value": np.asarray([value for _, value in pairs]),
        "pair": np.asarray([[task, int(value)] for task, value in pairs]).reshape(-1, 2),
    }


def write(table: TaskTable, redis: Redis, pairs: list[tuple[int, float]]) -> None:
    with redis.pipeline() as pipe:
        table.stage_all(pipe, rows_of(pairs))
        pipe.execute()


def test_an_empty_table_has_its_columns(redis: Redis) -> None:
    rows = TaskTable(redis, "t", COLUMNS).read()
    assert rows["task"].dtype == np.int64
    assert rows["pair"].shape == (0, 2)


def test_rows_come_back_by_task(redis: Redis) -> None:
    table = TaskTable(redis, "t", COLUMNS)
    far = 5 * BLOCK_TASKS + 3
    write(table, redis, [(far, 1.0), (2, 2.0), (2, 3.0), (1, 4.0)])
    rows = table.read()
    assert rows["task"].tolist() == [1, 2, 2, far]
    assert rows["value"].tolist() == [4.0, 2.0, 3.0, 1.0]
    assert rows["pair"].tolist() == [[1, 4], [2, 2], [2, 3], [far, 1]]


def test_a_part_is_read_without_the_rest(redis: Redis) -> None:
    table = TaskTable(redis, "t", COLUMNS)
    write(table, redis, [(1, 1.0), (2, 2.0), (9 * BLOCK_TASKS, 3.0)])
    assert table.read([2, 9 * BLOCK_TASKS, 77])["value"].tolist() == [2.0, 3.0]
    assert table.read([])["value"].tolist() == []


def test_nothing_changes_before_the_pipeline_is_executed(redis: Redis) -> None:
    table = TaskTable(redis, "t", COLUMNS)
    write(table, redis, [(1, 1.0)])
    with redis.pipeline() as pipe:
        table.stage_all(pipe, rows_of([(2, 2.0)]))
        assert table.read()["task"].tolist() == [1]


def test_a_column_of_the_wrong_shape_is_refused(redis: Redis) -> None:
    rows = {**rows_of([(1, 1.0)]), "pair": np.zeros((1, 3))}
    with pytest.raises(ValueError, match=r"'pair' has shape \(1, 3\), expected \(1, 2\)"):
        TaskTable(redis, "t", COLUMNS).stage_all(redis.pipeline(), rows)


ROWS = st.lists(st.tuples(st.integers(0, 4 * BLOCK_TASKS), st.integers(0, 9).map(float)))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=ROWS, replaced=st.sets(st.integers(0, 4 * BLOCK_TASKS)), new=ROWS)
def test_replacing_equals_a_plain_list(
    redis: Redis,
    before: list[tuple[int, float]],
    replaced: set[int],
    new: list[tuple[int, float]],
) -> None:
    replaced |= {task for task, _ in before[:3]}
    new = [row for row in new if row[0] in replaced]
    table = TaskTable(redis, "t", COLUMNS)
    write(table, redis, before)
    with redis.pipeline() as pipe:
        table.stage_replacement(pipe, sorted(replaced), rows_of(new))
        pipe.execute()
    expected = sorted([row for row in before if row[0] not in replaced] + new, key=lambda r: r[0])
    rows = table.read()
    assert list(zip(rows["task"].tolist(), rows["value"].tolist(), strict=True)) == expected
