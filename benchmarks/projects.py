"""Projects of any size in the store, as a sync and a training leave them."""

from __future__ import annotations

import numpy as np

from backend.label_studio.questions import Question
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore, QuestionSummary, Summary
from backend.store.tables import BLOCK_TASKS, BLOCKS_AT_ONCE
from benchmarks.large import LargeCrowd, Size, draw

FIRST_TASK = 1
FIRST_ANNOTATOR = 1


def question_of(size: Size) -> Question:
    """A question with as many classes as wanted."""
    return Question("label", "text", tuple(f"class {n}" for n in range(size.num_classes)))


def fill_project(
    store: ProjectStore, size: Size, seed: int = 0, *, microseconds_apart: int = 1
) -> LargeCrowd:
    """Put tasks, annotations and pred_probs of a drawn crowd into the store.

    Annotations are saved one by one, some microseconds apart.
    """
    crowd = draw(size, seed)
    question = question_of(size)
    info = ProjectInfo(
        title=f"{size.num_tasks:,} tasks",
        label_config=config_of(question),
        questions=(question,),
        cursor=1,
        data_version=1,
    )
    step = BLOCK_TASKS * BLOCKS_AT_ONCE
    starts = range(0, size.num_tasks, step)
    with store.lock(), store.transaction() as changes:
        store.stage_info(changes, info)
        store.stage_summary(changes, _trained(question, size))
        store.tasks.stage_parts(changes, [_tasks(size)])
        store.annotations(1).stage_parts(
            changes,
            (
                _annotations(crowd, start, start + step - FIRST_TASK, microseconds_apart)
                for start in starts
            ),
        )
        store.pred_probs(0, size.num_classes).stage_parts(changes, [_pred_probs(crowd)])
    return crowd


def config_of(question: Question) -> str:
    """A labeling config that asks the question."""
    choices = "".join(f'<Choice value="{name}"/>' for name in question.classes)
    return (
        '<View><Text name="text" value="$text"/>'
        f'<Choices name="{question.name}" toName="text" choice="single">{choices}</Choices></View>'
    )


def _trained(question: Question, size: Size) -> Summary:
    """What a recompute left whose labels have changed since."""
    return Summary(
        data_version=0,
        trained_version=1,
        recipe="drawn",
        computed_at=0.0,
        questions=(
            QuestionSummary(
                name=question.name,
                classes=question.classes,
                num_tasks=size.num_tasks,
                num_labeled=0,
                num_labels=0,
                num_ground_truth=0,
                mean_quality=None,
                ground_truth_accuracy=None,
                classifier="drawn",
                model_weight=None,
                annotators=(),
            ),
        ),
    )


def _tasks(size: Size) -> Arrays:
    ids = np.arange(size.num_tasks) + FIRST_TASK
    return {"task": ids, "content": ids.astype(np.uint64)}


def _pred_probs(crowd: LargeCrowd) -> Arrays:
    return {"task": np.arange(crowd.size.num_tasks) + FIRST_TASK, "probs": crowd.pred_probs}


def _annotations(crowd: LargeCrowd, start: int, end: int, microseconds_apart: int) -> Arrays:
    """Annotations of the tasks from position `start` (less the first id) to `end`."""
    low, high = max(0, start - FIRST_TASK), min(end, crowd.size.num_tasks)
    first, last = np.searchsorted(crowd.task, [low, high])
    number = last - first
    return {
        "task": crowd.task[first:last] + FIRST_TASK,
        "annotation": np.arange(first, last) + 1,
        "annotator": crowd.annotator[first:last] + FIRST_ANNOTATOR,
        "updated_at": np.arange(first, last) * microseconds_apart,
        "lead_time": np.full(number, 5.0),
        "is_cancelled": np.zeros(number),
        "is_ground_truth": np.zeros(number),
        "codes": crowd.label[first:last, None],
    }
