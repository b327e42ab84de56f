"""What a sync tells; the pulling itself is tested on a real Label Studio."""

from typing import Any

import numpy as np

from backend.jobs.labels import counted_labels
from backend.jobs.sync import SyncReport, TaskRows, forget_tasks, replace_tasks
from backend.label_studio.questions import Question, Source
from backend.sources.report import Fault
from backend.store.project import ProjectInfo, ProjectStore

QUESTION = Question("label", "text", ("positive", "negative", "neutral"), (Source("text", "text"),))
INFO = ProjectInfo("t", "<View/>", (QUESTION,), feature_width=2**18)


def put(store: ProjectStore, tasks: list[dict[str, Any]], *gone: int) -> SyncReport:
    rows = TaskRows((QUESTION,))
    rows.add(tasks)
    replaced = np.union1d(rows.task_ids, np.asarray(gone, dtype=np.int64))
    return replace_tasks(
        store, store.read_info() or INFO, replaced, *rows.arrays(store.answer_book)
    )


def test_the_recorded_page_is_stored_and_seen_as_unchanged(
    store: ProjectStore, recorded: Any
) -> None:
    page = recorded("tasks_api_fields_all_page.json")["tasks"]
    first = put(store, page)
    assert first.tasks_added == len(page)
    assert first.annotations_added == sum(len(task["annotations"]) for task in page)
    again = put(store, page)
    assert not again.is_change
    assert str(again) == "nothing changed"
    info = store.read_info()
    assert info is not None
    assert info.data_version == 1


def test_page_and_export_hold_the_same(store: ProjectStore, recorded: Any) -> None:
    page = recorded("tasks_api_fields_all_page.json")["tasks"]
    ids = [task["id"] for task in page]
    put(store, page)
    export = [task for task in recorded("export_60_tasks.json") if task["id"] in ids]
    assert not put(store, export).is_change


def test_every_kind_of_change_is_told(store: ProjectStore, recorded: Any) -> None:
    export = recorded("export_60_tasks.json")
    put(store, export)
    first, second, third = export[:3]
    first["annotations"][0]["result"][0]["value"]["choices"] = ["neutral"]
    del second["annotations"][0]
    third["data"]["text"] += "!"
    report = put(store, [first, second, third], export[3]["id"])
    assert report.annotations_changed == 1
    assert report.annotations_removed == 1 + len(export[3]["annotations"])
    assert (report.tasks_changed, report.tasks_removed) == (1, 1)
    assert report.tasks == {first["id"], second["id"], export[3]["id"]}
    assert "1 annotations changed" in str(report)
    assert len(store.features.read([export[3]["id"]])["task"]) == 0


def test_reports_add_up() -> None:
    one = SyncReport(tasks_added=1, tasks=frozenset({1}))
    two = SyncReport(tasks_added=2, config_changed=True, tasks=frozenset({2}))
    both = one + two
    assert (both.tasks_added, both.tasks) == (3, {1, 2})
    assert str(both) == "labeling config changed, 3 tasks added"


def test_an_annotation_saved_again_becomes_the_newest(store: ProjectStore) -> None:
    def annotation(number: int, choice: str, minute: int) -> dict[str, Any]:
        return {
            "id": number,
            "completed_by": 1,
            "updated_at": f"2026-11-24T00:{minute:02}:00Z",
            "result": [{"from_name": "label", "value": {"choices": [choice]}}],
        }

    def task(*annotations: dict[str, Any]) -> dict[str, Any]:
        return {"id": 1, "data": {"text": "x"}, "annotations": list(annotations)}

    put(store, [task(annotation(1, "positive", 1), annotation(2, "negative", 2))])
    report = put(store, [task(annotation(1, "positive", 3), annotation(2, "negative", 2))])
    assert report.annotations_changed == 1
    (label,) = counted_labels(store.annotations(1).read(), 0)["codes"]
    assert label.tolist() == [0]


def bring(store: ProjectStore, *tasks: dict[str, Any]) -> SyncReport:
    rows = TaskRows((QUESTION,), "probs")
    rows.add(tasks)
    return replace_tasks(
        store, store.read_info() or INFO, rows.task_ids, *rows.arrays(store.answer_book)
    )


def brought(number: int, probs: Any) -> dict[str, Any]:
    return {"id": number, "data": {"text": "x", "probs": probs}}


def test_probabilities_in_the_tasks_data_are_kept(store: ProjectStore) -> None:
    report = bring(store, brought(1, [0.25, 0.5, 0.25]), brought(2, [1, 0]), brought(3, None))
    assert (report.tasks_added, report.predictions_changed) == (3, 2)
    rows = store.brought(0, 3).read()
    assert rows["task"].tolist() == [1, 2]
    assert rows["fault"].tolist() == [Fault.NONE, Fault.LENGTH]
    assert rows["probs"][0].tolist() == [0.25, 0.5, 0.25]
    assert not bring(store, brought(1, [0.25, 0.5, 0.25]), brought(2, [1, 0])).is_change

    report = bring(store, brought(1, {"neutral": 1.0}), brought(2, None))
    assert (report.tasks_changed, report.predictions_changed) == (0, 2)
    assert "2 predictions changed" in str(report)
    assert store.brought(0, 3).read()["probs"].tolist() == [[0, 0, 1]]
    info = store.read_info()
    assert info is not None
    assert info.data_version == 2
    forget_tasks(store, np.array([1]))
    assert not len(store.brought(0, 3).read()["task"])
