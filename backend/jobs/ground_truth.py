"""Accept a consensus as ground truth, and take that back.

It is said by an annotation of the service's own account, marked as ground truth. An annotator's
own annotation is not marked: it would no longer count as that person's label.
"""

from __future__ import annotations

from backend.answers.words import answer_words
from backend.errors import NotAcceptedError, ProjectNotFoundError
from backend.jobs.answer_regions import AnswerRegions
from backend.label_studio.questions import NO_LABEL
from backend.service import Service
from backend.store.project import Work


def accept_consensus(service: Service, project_id: int, task: int, *, by: str) -> int:
    """Make the consensus of a task its ground truth in Label Studio.

    Doing it again changes nothing. Consensus and annotators' labels stay as they are.

    Parameters
    ----------
    by
        Who accepts it, for the audit trail.

    Returns
    -------
    int
        Id of the annotation that says so.

    Raises
    ------
    NotAcceptedError
        The task has no consensus, or has ground truth already that this service did not make.
    ProjectNotFoundError
        The project has no such task.
    LabelStudioError
        Label Studio does not take it.
    """
    store, client = service.store(project_id), service.label_studio
    with store.lock(Work.REVIEW):
        if task in (known := store.accepted()):
            return known[task]
        info = store.read_info()
        rows = None if info is None else store.consensus(len(info.questions)).read([task])
        if info is None or rows is None or not len(rows["task"]):
            raise NotAcceptedError(
                f"Task {task} of project {project_id} has no consensus.",
                "Accept it when somebody has labelled the task.",
            )
        present = next(client.tasks_by_id(project_id, [task]), None)
        if present is None:
            raise ProjectNotFoundError(f"Project {project_id} has no task {task} any more.")
        result = AnswerRegions(store, info, rows).of(0)
        own = int(client.current_user()["id"])
        truths = [one for one in present["annotations"] if one["ground_truth"]]
        # One of ours that is not known was made just before a process was killed.
        ours = [one for one in truths if one["completed_by"] == own]
        if len(ours) < len(truths):
            raise NotAcceptedError(
                f"Task {task} has ground truth already, which somebody else gave.",
                "Change it in Label Studio if it is wrong.",
            )
        store.check_lock(Work.REVIEW)
        for one in ours:
            client.delete_annotation(int(one["id"]))
        annotation = client.create_annotation(task, result, ground_truth=True)
        with store.transaction() as changes:
            store.stage_accepted(changes, task, annotation)
            store.stage_audit(
                changes,
                "accept consensus",
                by=by,
                tasks=[task],
                annotation=annotation,
                labels=[
                    answer_words(store, question, [task], [code])[0]
                    for question, code in zip(
                        info.questions, rows["label"][0].tolist(), strict=True
                    )
                    if code != NO_LABEL
                ],
            )
    return annotation


def unaccept_consensus(service: Service, project_id: int, task: int, *, by: str) -> None:
    """Take back `accept_consensus`.

    Raises
    ------
    NotAcceptedError
        The consensus of the task was not accepted here.
    LabelStudioError
        Label Studio does not take it.
    """
    store = service.store(project_id)
    with store.lock(Work.REVIEW):
        annotation = store.accepted().get(task)
        if annotation is None:
            raise NotAcceptedError(
                f"The consensus of task {task} was not accepted as ground truth here.",
                "Ground truth that was given in Label Studio is taken back there.",
            )
        store.check_lock(Work.REVIEW)
        service.label_studio.delete_annotation(annotation)
        with store.transaction() as changes:
            store.stage_accepted(changes, task, None)
            store.stage_audit(
                changes, "unaccept consensus", by=by, tasks=[task], annotation=annotation
            )
