"""Pages of tasks, against sorting and filtering all of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.errors import BadRequestError, UnknownProjectError, UnknownQuestionError
from backend.insights.tasks import TaskQuery, TaskRow, TaskSort, task_page
from backend.jobs.recompute import recompute_project
from backend.service import Service
from backend.store.project import ProjectStore
from tests.backend.insights.conftest import NUM_TASKS

KEYS = {
    TaskSort.QUALITY: "quality",
    TaskSort.ACTIVE_LEARNING: "active_learning_score",
    TaskSort.AGREEMENT: "agreement",
    TaskSort.NUM_ANNOTATIONS: "num_annotations",
    TaskSort.TASK: "task",
}

queries = st.fixed_dictionaries(
    {},
    optional={
        "question": st.sampled_from(["mood", "tense"]),
        "sort": st.sampled_from(TaskSort),
        "is_descending": st.booleans(),
        "min_quality": st.sampled_from([0.0, 0.5, 0.9]),
        "max_quality": st.sampled_from([0.7, 0.95, 1.0]),
        "is_disputed": st.booleans(),
        "min_annotations": st.integers(0, 3),
        "text": st.sampled_from(["", "1", "42", "x"]),
        "offset": st.integers(0, 100),
        "limit": st.integers(1, 50),
    },
)


def every(service: Service, question: str = "mood") -> list[TaskRow]:
    return list(task_page(service, 25, TaskQuery(question, TaskSort.TASK, limit=1000)).rows)


def expected(rows: list[TaskRow], query: TaskQuery) -> list[TaskRow]:
    """What plain Python finds."""
    kept = [
        row
        for row in rows
        if query.min_quality <= row.quality <= query.max_quality
        and row.num_annotations >= query.min_annotations
        and (row.agreement < 1 or not query.is_disputed)
        and query.text in str(row.task)
    ]
    sign = -1 if query.is_descending else 1
    return sorted(kept, key=lambda row: (sign * getattr(row, KEYS[query.sort]), row.task))


@given(queries)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pages_are_slices_of_all_tasks_in_order(service: Service, options: dict[str, Any]) -> None:
    query = TaskQuery(**options)
    page = task_page(service, 25, query)
    found = expected(every(service, page.question), query)
    assert list(page.rows) == found[query.offset : query.offset + query.limit]
    assert page.num_matching == len(found)
    assert page.num_tasks == (NUM_TASKS // 3 if page.question == "tense" else NUM_TASKS)


def test_rows_are_what_the_tables_hold(service: Service, computed: ProjectStore) -> None:
    rows = computed.consensus(2).read()
    found = every(service)
    assert [row.task for row in found] == rows["task"].tolist()
    assert [row.quality for row in found] == rows["quality"][:, 0].tolist()
    assert {row.consensus for row in found} == {"good", "bad"}
    assert {row.agreement for row in found} == {1.0, 2 / 3}


def test_tasks_of_one_class(service: Service) -> None:
    page = task_page(service, 25, TaskQuery(consensus="bad", limit=1000))
    assert (
        page.num_matching == len(page.rows) == sum(row.consensus == "bad" for row in every(service))
    )
    with pytest.raises(UnknownQuestionError, match="no class 'later'"):
        task_page(service, 25, TaskQuery(consensus="later"))
    with pytest.raises(UnknownProjectError):
        task_page(service, 26, TaskQuery())


def test_many_blocks_keep_ties_in_order_of_ids(service: Service, computed: ProjectStore) -> None:
    tasks = np.arange(1, 400_000, 3)
    quality = (tasks % 7 / 10.0)[:, None].repeat(2, axis=1)
    with computed.transaction() as changes:
        computed.consensus(2).stage_all(
            changes,
            {
                "task": tasks,
                "label": np.zeros((len(tasks), 2)),
                "quality": quality,
                "agreement": quality,
                "num_annotations": np.ones((len(tasks), 2)),
            },
        )
    order = np.lexsort((tasks, quality[:, 0]))
    for offset in (0, 19_000, len(tasks) - 5):
        page = task_page(service, 25, TaskQuery(offset=offset, limit=40))
        assert [row.task for row in page.rows] == tasks[order[offset : offset + 40]].tolist()
        assert page.num_matching == len(tasks)
    assert task_page(service, 25, TaskQuery(offset=len(tasks))).rows == ()


def test_without_weights_there_is_no_active_learning_score(
    service: Service, computed: ProjectStore
) -> None:
    info = computed.read_info()
    assert info is not None
    computed.touch(info, data_version=99)
    recompute_project(computed, method="fusion")
    page = task_page(service, 25, TaskQuery(sort=TaskSort.ACTIVE_LEARNING))
    assert [row.task for row in page.rows] == list(range(1, 51))
    assert {row.active_learning_score for row in page.rows} == {None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "`limit` is 0: choose 1 to 1,000"),
        ({"limit": 1001}, "`limit` is 1001"),
        ({"offset": -1}, "`offset` is -1: choose 0 to 1,000,000"),
        ({"offset": 1_000_001}, "`offset` is 1000001.*by filters"),
        ({"min_quality": 1.5}, "`min_quality` is 1.5: choose 0 to 1"),
        ({"max_quality": float("nan")}, "`max_quality` is nan"),
    ],
)
def test_impossible_queries_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        TaskQuery(**options)
