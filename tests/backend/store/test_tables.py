"""Tables of rows that belong to tasks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from backend.errors import StoreError
from backend.store.changes import Changes
from backend.store.tables import BLOCK_TASKS, TaskTable

COLUMNS: dict[str, Any] = {"value": ("f8", None), "pair": ("i4", 2)}


def rows_of(pairs: list[tuple[int, float]]) -> dict[str, np.ndarray]:
    return {
        "task": np.asarray([task for task, _ in pairs], dtype=np.int64),
        "value": np.asarray([value for _, value in pairs]),
        "pair": np.asarray([[task, int(value)] for task, value in pairs]).reshape(-1, 2),
    }


def write(table: TaskTable, redis: Redis, pairs: list[tuple[int, float]]) -> None:
    changes = Changes(redis, {})
    table.stage_all(changes, rows_of(pairs))
    changes.execute()


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


def test_nothing_changes_before_the_changes_are_executed(redis: Redis) -> None:
    table = TaskTable(redis, "t", COLUMNS)
    write(table, redis, [(1, 1.0)])
    changes = Changes(redis, {})
    table.stage_all(changes, rows_of([(2, 2.0)]))
    assert table.read()["task"].tolist() == [1]
    changes.execute()
    assert table.read()["task"].tolist() == [2]
    assert redis.ttl("t") == -1
    assert redis.keys("*") == [b"t"]


def test_a_table_is_replaced_part_by_part(redis: Redis) -> None:
    table = TaskTable(redis, "t", COLUMNS)
    write(table, redis, [(1, 1.0), (7 * BLOCK_TASKS, 2.0)])
    changes = Changes(redis, {})
    table.stage_parts(changes, [rows_of([(1, 5.0)]), rows_of([(3 * BLOCK_TASKS, 6.0)])])
    changes.execute()
    assert table.read()["task"].tolist() == [1, 3 * BLOCK_TASKS]
    assert table.block_numbers() == [0, 3]
    assert [part["value"].tolist() for part in table.parts()] == [[5.0, 6.0]]
    changes = Changes(redis, {})
    table.stage_parts(changes, [])
    changes.execute()
    assert redis.keys("*") == []


def test_a_draft_that_is_never_put_in_place_expires(redis: Redis) -> None:
    TaskTable(redis, "t", COLUMNS).stage_all(Changes(redis, {}), rows_of([(1, 1.0)]))
    (draft,) = redis.keys("*")
    assert 0 < redis.ttl(draft) <= 3600


def test_a_draft_that_redis_lost_changes_nothing(redis: Redis) -> None:
    table = TaskTable(redis, "t", COLUMNS)
    write(table, redis, [(1, 1.0)])
    changes = Changes(redis, {})
    changes.set("other", "x")
    table.stage_all(changes, rows_of([(2, 2.0)]))
    (draft,) = redis.keys("t:draft:*")
    redis.delete(draft)
    with pytest.raises(StoreError, match="lost blocks"):
        changes.execute()
    assert table.read()["task"].tolist() == [1]
    assert not redis.exists("other")


def test_a_column_of_the_wrong_shape_is_refused(redis: Redis) -> None:
    rows = {**rows_of([(1, 1.0)]), "pair": np.zeros((1, 3))}
    with pytest.raises(ValueError, match=r"'pair' has shape \(1, 3\), expected \(1, 2\)"):
        TaskTable(redis, "t", COLUMNS).stage_all(Changes(redis, {}), rows)


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
    changes = Changes(redis, {})
    table.stage_replacement(changes, sorted(replaced), rows_of(new))
    changes.execute()
    expected = sorted([row for row in before if row[0] not in replaced] + new, key=lambda r: r[0])
    rows = table.read()
    assert list(zip(rows["task"].tolist(), rows["value"].tolist(), strict=True)) == expected


def test_a_column_may_be_wider_than_when_it_was_written(redis: Redis) -> None:
    write(TaskTable(redis, "t", COLUMNS), redis, [(1, 5.0), (3, 7.0)])
    wider = TaskTable(redis, "t", {**COLUMNS, "pair": ("i4", 3)})
    assert wider.read()["pair"].tolist() == [[1, 5, 0], [3, 7, 0]]
    changes = Changes(redis, {})
    rows = {"task": [3], "value": [1.0], "pair": [[1, 2, 3]]}
    wider.stage_replacement(changes, [3], {name: np.asarray(one) for name, one in rows.items()})
    changes.execute()
    assert wider.read()["pair"].tolist() == [[1, 5, 0], [1, 2, 3]]
    narrower = TaskTable(redis, "t", {**COLUMNS, "pair": ("i4", 1)})
    assert narrower.read()["pair"].tolist() == [[1], [1]]
