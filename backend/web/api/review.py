"""The endpoints of re-annotation: ask for labels, take that back, accept a consensus.

They act in Label Studio while the request waits, so that one request does no more than
`MOST_TASKS` tasks.
"""

from __future__ import annotations

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag

from backend.errors import ReviewPolicyError
from backend.insights.lookup import known_project
from backend.jobs.ground_truth import accept_consensus, unaccept_consensus
from backend.jobs.reannotate import ReviewReport, apply_plan, requests_of, withdraw_requests
from backend.jobs.review_plan import plan_review
from backend.service import Service
from backend.web.api.answers import (
    AppliedPlan,
    Done,
    GroundTruth,
    ReviewRequest,
    ReviewRequestList,
    ShownPlan,
    Withdrawal,
    answer,
    model_of,
)
from backend.web.api.parameters import (
    MOST_TASKS,
    PageQuery,
    PolicyBody,
    ProjectPath,
    TaskPath,
    UndoBody,
)
from backend.web.auth import user_name

_REVIEW = Tag(name="Re-annotation", description="Ask annotators for more labels, and undo that.")


def add_review_routes(api: APIBlueprint, service: Service) -> None:
    """Add the endpoints to those of the API."""

    @api.post(
        "/projects/<project>/review/plan", tags=[_REVIEW], responses={200: model_of(ShownPlan)}
    )
    def plan_reannotation(path: ProjectPath, body: PolicyBody) -> Response:
        """Show which tasks should be labelled once more, and why; nothing is changed."""
        known_project(service, path.project)
        return answer(ShownPlan.of(plan_review(service, path.project, body.to_policy())))

    @api.post(
        "/projects/<project>/review/apply", tags=[_REVIEW], responses={200: model_of(AppliedPlan)}
    )
    def apply_reannotation(path: ProjectPath, body: PolicyBody) -> Response:
        """Open tasks for one more label each; budget, threshold or tasks must be given."""
        known_project(service, path.project)
        if not body.is_bounded:
            raise ReviewPolicyError(
                "The policy does not say how much to ask for.",
                "Give `budget`, `threshold` or `tasks`.",
            )
        plan = plan_review(service, path.project, body.to_policy())
        report = apply_plan(service, plan, by=_person(service), why="API")
        return answer(AppliedPlan(ShownPlan.of(plan), report))

    @api.post(
        "/projects/<project>/review/undo", tags=[_REVIEW], responses={200: model_of(Withdrawal)}
    )
    def undo_reannotation(path: ProjectPath, body: UndoBody) -> Response:
        """Take back requests that nobody has answered: those of some tasks, or the newest."""
        known_project(service, path.project)
        store = service.store(path.project)
        newest = [one["task"] for one in requests_of(store)[:MOST_TASKS]]
        tasks = tuple(body.tasks or newest)
        report = ReviewReport()
        if tasks:
            report = withdraw_requests(service, path.project, tasks=tasks, by=_person(service))
        return answer(Withdrawal(path.project, report, len(requests_of(store))))

    @api.get(
        "/projects/<project>/review/requests",
        tags=[_REVIEW],
        responses={200: model_of(ReviewRequestList)},
    )
    def list_requests(path: ProjectPath, query: PageQuery) -> Response:
        """List the requests that wait for a label, the newest first."""
        known_project(service, path.project)
        found = requests_of(service.store(path.project))
        some = found[query.offset : query.offset + query.limit]
        shown = tuple(ReviewRequest(**one) for one in some)
        return answer(ReviewRequestList(path.project, len(found), shown))

    @api.post(
        "/projects/<project>/tasks/<task>/ground-truth",
        tags=[_REVIEW],
        responses={200: model_of(GroundTruth)},
    )
    def accept_as_ground_truth(path: TaskPath) -> Response:
        """Make the consensus of a task its ground truth in Label Studio."""
        known_project(service, path.project)
        annotation = accept_consensus(service, path.project, path.task, by=_person(service))
        return answer(GroundTruth(path.project, path.task, annotation))

    @api.delete(
        "/projects/<project>/tasks/<task>/ground-truth",
        tags=[_REVIEW],
        responses={200: model_of(Done)},
    )
    def unaccept_ground_truth(path: TaskPath) -> Response:
        """Take back that the consensus of a task was accepted as ground truth."""
        known_project(service, path.project)
        unaccept_consensus(service, path.project, path.task, by=_person(service))
        effect = f"Task {path.task} has no ground truth of this service any more."
        return answer(Done(path.project, effect))


def _person(service: Service) -> str:
    """Who asks, for the audit trail."""
    return user_name(request, service.settings) or "api"
