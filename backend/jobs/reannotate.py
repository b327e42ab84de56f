"""Ask for one more label of the tasks that it would tell most of, and take that back.

A policy leads to a plan, which changes nothing. Applying the plan notes its requests in the
store and then opens the tasks in Label Studio, one by one. What a process that was cut short
leaves behind says so, and is finished by the next one: `finish_requests`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np

from backend.errors import RequestRefusedError, ReviewPolicyError
from backend.jobs.requests import has_new_label
from backend.jobs.review_plan import ReviewPlan, counts_skips, plan_review
from backend.jobs.write_back import SCORE_DIGITS
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.project_setup import set_up_review_tab, set_up_uncertainty_sampling
from backend.progress import Progress, silent
from backend.service import Service
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectStore, Work
from backend.store.review import (
    PENDING,
    UNFINISHED,
    AutomaticReview,
    RequestState,
    ReviewPolicy,
)
from backend.store.tables import select

log = logging.getLogger(__name__)

_TASKS_AT_ONCE = 25
"""Tasks that Label Studio is asked about in one request, just before they are changed."""

_LOOK_AGAIN_SECONDS = 3600.0
"""How long an automatic review leaves scores alone that have not changed."""


@dataclass(frozen=True)
class ReviewReport:
    """What was done about requests, by the number of tasks."""

    opened: int = 0
    """Open for one more label in Label Studio."""
    withdrawn: int = 0
    """As they were before."""
    answered: int = 0
    """Labelled by somebody meanwhile, so that nothing is left to ask or to undo."""
    changed: int = 0
    """Left as they are, as somebody else has changed their overlap."""
    gone: int = 0
    """Deleted in Label Studio."""
    not_withdrawn: tuple[int, ...] = ()
    """Tasks that could not be taken back: labelled meanwhile, changed, or deleted."""

    def __str__(self) -> str:
        said = {
            "opened for one more label": self.opened,
            "as before the request": self.withdrawn,
            "labelled meanwhile": self.answered,
            "left, as somebody else changed their overlap": self.changed,
            "deleted in Label Studio": self.gone,
        }
        parts = [f"{number:,} task(s) {what}" for what, number in said.items() if number]
        return "; ".join(parts) or "nothing to do"


def apply_plan(
    service: Service, plan: ReviewPlan, *, by: str, why: str = "", progress: Progress = silent
) -> ReviewReport:
    """Open the tasks of a plan for one more label each.

    What was noted and not done by a process that was cut short is done first. Where a task
    has got a label since the plan was made, it is left.

    Parameters
    ----------
    by
        Who wants it, for the audit trail.
    why
        For the audit trail.

    Raises
    ------
    ReviewPolicyError
        The plan's policy names neither budget nor threshold nor tasks.
    ProjectBusyError
        Another process asks for labels, or takes that back.
    LabelStudioError
        Label Studio does not take it; the rest stays noted.
    """
    if not plan.policy.is_bounded:
        raise ReviewPolicyError(
            "The policy does not say how much to ask for.",
            "Set a budget, a threshold, or name tasks.",
        )
    store = service.store(plan.project)
    with store.lock(Work.REVIEW):
        report = _carry_out(service, store, progress)
        return _sum_of(report, _ask(service, store, plan, by, why, None, progress))


def _ask(
    service: Service,
    store: ProjectStore,
    plan: ReviewPlan,
    by: str,
    why: str,
    automatic: AutomaticReview | None,
    progress: Progress,
) -> ReviewReport:
    """Note the requests of a plan, with what is left of the automatic budget, and make them."""
    if not plan.to_ask:
        return ReviewReport()
    _set_blindness(service, store, blind=plan.policy.blind)
    with store.lock():
        new = _new_requests(store, plan)
        with store.transaction() as changes:
            if automatic is not None:
                store.stage_automatic_review(changes, automatic)
            store.requests.stage_replacement(changes, new["task"], new)
            store.stage_audit(
                changes,
                "ask again",
                by=by,
                why=why,
                policy=asdict(plan.policy),
                tasks=new["task"].tolist(),
            )
    report = _carry_out(service, store, progress)
    _show_tab(service, store)
    return report


def _new_requests(store: ProjectStore, plan: ReviewPlan) -> Arrays:
    """Rows of the table of requests for what a plan asks, but for what is asked already."""
    asked = {one.task: one for one in plan.to_ask}
    before = store.requests.read(sorted(asked))
    for task in before["task"][np.isin(before["state"], PENDING)].tolist():
        del asked[task]
    tasks = np.asarray(sorted(asked), dtype=np.int64)
    ordered = [asked[task] for task in tasks.tolist()]
    num_extra = np.zeros(len(tasks), dtype=np.int64)
    is_again = np.isin(before["task"], tasks)
    num_extra[np.searchsorted(tasks, before["task"][is_again])] = before["num_extra"][is_again]
    quality = [np.nan if one.quality is None else one.quality for one in ordered]
    return {
        "task": tasks,
        "state": np.full(len(tasks), RequestState.NOTED),
        "requested_at": np.full(len(tasks), time.time()),
        "was_labeled": np.asarray([one.was_labeled for one in ordered]),
        "old_overlap": np.asarray([one.overlap for one in ordered]),
        "new_overlap": np.asarray([one.new_overlap for one in ordered]),
        "num_annotators": np.asarray([one.num_annotators for one in ordered]),
        "last_annotation": np.asarray([one.last_annotation for one in ordered]),
        "num_extra": num_extra,
        "score": np.asarray([one.score for one in ordered]),
        "quality": np.asarray(quality),
    }


def _set_blindness(service: Service, store: ProjectStore, *, blind: bool) -> None:
    """Show no predictions to those who label, or show them.

    Scores go on being shown in the Data Manager: Label Studio forgets the project's model
    version when predictions are hidden, so it is set again in the same request.
    """
    client = service.label_studio
    with store.lock(Work.WRITE):
        project = client.project(store.project_id)
        if bool(project["show_collab_predictions"]) != blind:
            return
        version = str(project.get("model_version") or "")
        store.check_lock(Work.WRITE)
        client.update_project(
            store.project_id,
            show_collab_predictions=not blind,
            **({"model_version": version} if version else {}),
        )
        with store.transaction() as changes:
            action = "hide predictions" if blind else "show predictions"
            store.stage_audit(changes, action, reason="re-annotation", model_version=version)


def withdraw_requests(
    service: Service,
    project_id: int,
    *,
    tasks: tuple[int, ...] = (),
    by: str,
    progress: Progress = silent,
) -> ReviewReport:
    """Undo requests that nobody has answered: tasks are as they were before.

    Parameters
    ----------
    tasks
        Whose requests; empty for all that are open.
    by
        Who wants it, for the audit trail.

    Raises
    ------
    ProjectBusyError
        Another process asks for labels.
    LabelStudioError
        Label Studio does not take it; the rest stays noted.
    """
    store = service.store(project_id)
    with store.lock(Work.REVIEW):
        with store.lock():
            rows = store.requests.read(tasks or None)
            rows = select(rows, np.isin(rows["state"], PENDING))
            if len(rows["task"]):
                rows["state"] = np.full(len(rows["task"]), RequestState.WITHDRAWING)
                with store.transaction() as changes:
                    store.requests.stage_replacement(changes, rows["task"], rows)
                    store.stage_audit(changes, "withdraw", by=by, tasks=rows["task"].tolist())
        report = _carry_out(service, store, progress)
        lost = sorted(set(tasks) - set(rows["task"].tolist()))
        return replace(report, not_withdrawn=tuple(sorted({*report.not_withdrawn, *lost})))


def finish_requests(
    service: Service, project_id: int, *, progress: Progress = silent
) -> ReviewReport:
    """Do what an earlier process noted and, being cut short, did not do."""
    store = service.store(project_id)
    with store.lock(Work.REVIEW):
        return _carry_out(service, store, progress)


def _carry_out(service: Service, store: ProjectStore, progress: Progress) -> ReviewReport:
    """Bring all requests that are noted, or to be withdrawn, into Label Studio.

    Each task is looked at just before it is changed, so that doing it again is harmless. The
    caller holds the lock of `Work.REVIEW`.
    """
    client = service.label_studio
    noted = store.requests.read()
    noted = select(noted, np.isin(noted["state"], UNFINISHED))
    if not len(noted["task"]):
        return ReviewReport()
    errand = _Errand(store, client, counts_skips(client.project(store.project_id)))
    for start in range(0, len(noted["task"]), _TASKS_AT_ONCE):
        some = select(noted, slice(start, start + _TASKS_AT_ONCE))
        present = {
            int(one["id"]): one
            for one in client.tasks_by_id(store.project_id, some["task"].tolist())
        }
        for place, task in enumerate(some["task"].tolist()):
            progress("Changing tasks", start + place, len(noted["task"]))
            errand.settle(task, select(some, slice(place, place + 1)), present.get(task))
    log.info("project %s: re-annotation: %s", store.project_id, errand.report())
    return errand.report()


class _Errand:
    """Requests that are brought into Label Studio one by one.

    Parameters
    ----------
    store, client
        Of the project; the lock of `Work.REVIEW` is held.
    are_skips_counted
        Whether Label Studio counts a skip as one of the labels that it collects.
    """

    def __init__(
        self, store: ProjectStore, client: LabelStudioClient, are_skips_counted: bool
    ) -> None:
        self._store = store
        self._client = client
        self._are_skips_counted = are_skips_counted
        self._counts: Counter[str] = Counter()
        self._not_withdrawn: list[int] = []

    def report(self) -> ReviewReport:
        """What was done."""
        return ReviewReport(**self._counts, not_withdrawn=tuple(self._not_withdrawn))

    def settle(self, task: int, request: Arrays, present: JSON | None) -> None:
        """Make a task what its request says, or find that it cannot be.

        Parameters
        ----------
        request
            One row of the table of requests.
        present
            The task as Label Studio holds it now; None if it was deleted.
        """
        is_withdrawal = bool(request["state"][0] == RequestState.WITHDRAWING)
        try:
            if present is None:
                outcome = "gone"
            elif self._is_answered(request, present):
                outcome = "answered"
            elif is_withdrawal:
                outcome = self._close(task, request, present)
            else:
                outcome = self._open(task, request, present)
        except RequestRefusedError:  # deleted since
            outcome = "gone"
        self._counts[outcome] += 1
        if is_withdrawal and outcome != "withdrawn":
            self._not_withdrawn.append(task)
        self._keep(task, request, outcome)

    def _is_answered(self, request: Arrays, present: JSON) -> bool:
        last = int(request["last_annotation"][0])
        return any(
            int(one["id"]) > last and not one["was_cancelled"] and not one["ground_truth"]
            for one in present["annotations"]
        )

    def _open(self, task: int, request: Arrays, present: JSON) -> str:
        taken = sum(
            not one["ground_truth"] and (self._are_skips_counted or not one["was_cancelled"])
            for one in present["annotations"]
        )
        overlap = int(present["overlap"])
        if present["is_labeled"] or overlap <= taken:
            if (overlap, bool(present["is_labeled"])) != _before(request):
                # Somebody changed it since the plan; that is what an undo goes back to.
                request["old_overlap"] = np.asarray([overlap])
                request["was_labeled"] = np.asarray([present["is_labeled"]])
            request["new_overlap"] = np.asarray([max(overlap, taken + 1)])
            self._save(task, request)
            # Either alone would give the task to nobody.
            self._change(task, int(request["new_overlap"][0]), is_labeled=False)
        return "opened"

    def _close(self, task: int, request: Arrays, present: JSON) -> str:
        overlap, was_labeled = _before(request)
        if present["overlap"] not in (overlap, int(request["new_overlap"][0])):
            return "changed"
        if (present["overlap"], present["is_labeled"]) != (overlap, was_labeled):
            self._change(task, overlap, is_labeled=was_labeled)
        return "withdrawn"

    def _change(self, task: int, overlap: int, *, is_labeled: bool) -> None:
        self._store.check_lock(Work.REVIEW)
        self._client.update_task(task, overlap=overlap, is_labeled=is_labeled)

    def _keep(self, task: int, request: Arrays, outcome: str) -> None:
        state = {
            "opened": RequestState.OPEN,
            "answered": RequestState.ANSWERED,
            "withdrawn": RequestState.WITHDRAWN,
            "changed": RequestState.WITHDRAWN,
        }.get(outcome)
        if state is None:
            self._save(task, select(request, slice(0)))
            return
        with self._store.lock():
            if state is RequestState.OPEN and self._has_come(task, request):
                state = RequestState.ANSWERED
            extra = int(state is RequestState.ANSWERED)
            new = {"state": np.asarray([state]), "num_extra": request["num_extra"] + extra}
            self._save(task, {**request, **new})

    def _has_come(self, task: int, request: Arrays) -> bool:
        """Whether an event has brought the label before the request was known to be open."""
        info = self._store.read_info()
        if info is None:
            return False
        annotations = self._store.annotations(len(info.questions)).read([task])
        return bool(has_new_label(request, annotations)[0])

    def _save(self, task: int, request: Arrays) -> None:
        with self._store.lock(), self._store.transaction() as changes:
            self._store.requests.stage_replacement(changes, [task], request)


def _before(request: Arrays) -> tuple[int, bool]:
    """Overlap of a task before its request, and whether it was done."""
    return int(request["old_overlap"][0]), bool(request["was_labeled"][0])


def _sum_of(first: ReviewReport, second: ReviewReport) -> ReviewReport:
    return ReviewReport(
        opened=first.opened + second.opened,
        withdrawn=first.withdrawn + second.withdrawn,
        answered=first.answered + second.answered,
        changed=first.changed + second.changed,
        gone=first.gone + second.gone,
        not_withdrawn=first.not_withdrawn + second.not_withdrawn,
    )


def _show_tab(service: Service, store: ProjectStore) -> None:
    """Let the Data Manager's tab show tasks as doubtful as those that are asked for."""
    rows = store.requests.read()
    quality = rows["quality"][(rows["state"] == RequestState.OPEN) & ~np.isnan(rows["quality"])]
    if len(quality):
        step = 10.0**-SCORE_DIGITS
        below = min(1.0, float(np.ceil(quality.max() / step) * step))
        set_up_review_tab(service.label_studio, store.project_id, round(below, SCORE_DIGITS))


def sample_by_uncertainty(service: Service, project_id: int, *, by: str) -> str:
    """Let Label Studio hand out the most doubtful open tasks first.

    Returns
    -------
    str
        What that does in this project and what it does not, in words.
    """
    store = service.store(project_id)
    with store.lock(Work.REVIEW):
        replaced, said = set_up_uncertainty_sampling(service.label_studio, project_id)
        with store.transaction() as changes:
            store.stage_audit(changes, "uncertainty sampling", by=by, replaces=replaced)
    return said


def requests_of(store: ProjectStore, states: tuple[RequestState, ...] = PENDING) -> list[JSON]:
    """Requests in some states, the newest first, each as plain values.

    Returns
    -------
    list of dict
        The columns of `REQUEST_COLUMNS` with `task`; `state` by its name in small letters,
        `quality` None without labels.
    """
    rows = store.requests.read()
    rows = select(rows, np.isin(rows["state"], states))
    order = np.argsort(-rows["requested_at"], kind="stable")
    plain = {name: values[order].tolist() for name, values in rows.items()}
    return [
        {
            **dict(zip(plain, values, strict=True)),
            "state": RequestState(state).name.lower(),
            "was_labeled": bool(was_labeled),
            "quality": None if np.isnan(quality) else quality,
        }
        for values, state, was_labeled, quality in zip(
            zip(*plain.values(), strict=True),
            plain["state"],
            plain["was_labeled"],
            plain["quality"],
            strict=True,
        )
    ]


def start_automatic(
    service: Service, project_id: int, policy: ReviewPolicy, *, by: str
) -> AutomaticReview:
    """Let the service ask for labels by itself, up to the policy's budget on each day (UTC).

    What was asked today stays counted where an earlier policy is replaced.

    Raises
    ------
    ReviewPolicyError
        The policy has no budget, or names tasks.
    """
    if policy.budget is None or policy.tasks:
        raise ReviewPolicyError(
            "An automatic review needs a budget per day, and chooses among all tasks.",
            "Give --budget-per-day, and no --tasks.",
        )
    store = service.store(project_id)
    with store.lock(Work.REVIEW), store.transaction() as changes:
        old = store.read_automatic_review()
        review = AutomaticReview(
            policy,
            started_by=by,
            day=old.day if old else "",
            num_asked=old.num_asked if old else 0,
        )
        store.stage_automatic_review(changes, review)
        store.stage_audit(changes, "automatic review on", by=by, policy=asdict(policy))
    return review


def stop_automatic(service: Service, project_id: int, *, by: str) -> bool:
    """Let the service ask for nothing more by itself; False if it did not. Requests stay."""
    store = service.store(project_id)
    with store.lock(Work.REVIEW):
        if store.read_automatic_review() is None:
            return False
        with store.transaction() as changes:
            store.stage_automatic_review(changes, None)
            store.stage_audit(changes, "automatic review off", by=by)
    return True


def review_automatically(
    service: Service, project_id: int, *, now: float | None = None
) -> ReviewReport:
    """Ask for what the automatic review of a project allows today, if it is switched on.

    Scores that have not changed are looked at once an hour.

    Parameters
    ----------
    now
        Seconds since 1970. Default: the clock.
    """
    store = service.store(project_id)
    moment = time.time() if now is None else now
    day = datetime.fromtimestamp(moment, tz=UTC).date().isoformat()
    with store.lock(Work.REVIEW, wait=0):
        review, summary = store.read_automatic_review(), store.read_summary()
        if review is None or summary is None:
            return ReviewReport()
        report = _carry_out(service, store, silent)
        is_seen = day <= review.day and review.computed_at == summary.computed_at
        is_recent = moment - review.looked_at < _LOOK_AGAIN_SECONDS
        left = review.left_on(day)
        if not left or (is_seen and is_recent):
            return report
        plan = plan_review(service, project_id, replace(review.policy, budget=left))
        asked = replace(
            review,
            day=max(day, review.day),
            num_asked=review.asked_on(day) + len(plan.to_ask),
            looked_at=moment,
            computed_at=summary.computed_at,
        )
        if not plan.to_ask:
            with store.transaction() as changes:
                store.stage_automatic_review(changes, asked)
            return report
        more = _ask(service, store, plan, "the service", "automatic review", asked, silent)
    return _sum_of(report, more)
