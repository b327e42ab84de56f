"""The endpoints: each one function that reads the store, or asks a worker for work.

Those of re-annotation are in `backend.web.api.review`, those of other classifiers' predictions
in `backend.web.api.sources`.

A new endpoint is one more function in `make_api`: its parameters are models of
`backend.web.api.parameters`, its answer a dataclass.
"""

from __future__ import annotations

import reprlib
from http import HTTPStatus
from itertools import islice
from typing import Any, NoReturn

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import ValidationError

from backend.errors import BadRequestError, UnknownAnnotatorError
from backend.exports.export import open_export
from backend.insights.annotators import (
    annotator_profile,
    doubtful_labels,
    leaderboards,
)
from backend.insights.lookup import known_project, question_number
from backend.insights.questions import question_insights, require_summary
from backend.insights.task import TaskDetail, task_detail
from backend.insights.tasks import TaskPage, task_page
from backend.overview import ProjectOverview, project_overview
from backend.service import Service
from backend.web.api.answers import (
    Accepted,
    Annotator,
    AnnotatorAnswer,
    AuditTrail,
    DeadLetter,
    DeadLetterList,
    Leaderboards,
    Problem,
    ProjectList,
    QuestionOverview,
    Questions,
    VersionList,
    answer,
    model_of,
    shown_version,
)
from backend.web.api.parameters import (
    AnnotatorPath,
    AnnotatorQuery,
    AuditQuery,
    ExportPath,
    ExportQuery,
    PageQuery,
    ProjectPath,
    QuestionQuery,
    RefreshQuery,
    TaskPath,
    TasksQuery,
)
from backend.web.api.review import add_review_routes
from backend.web.api.sources import add_source_routes

_SHOWN_CHARACTERS = 10_000

PROBLEM = model_of(Problem)
"""Model of every refusal."""

_REFUSALS: dict[Any, Any] = {
    HTTPStatus.BAD_REQUEST: PROBLEM,
    HTTPStatus.UNAUTHORIZED: PROBLEM,
    HTTPStatus.FORBIDDEN: PROBLEM,
    HTTPStatus.NOT_FOUND: PROBLEM,
    HTTPStatus.CONFLICT: PROBLEM,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PROBLEM,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: PROBLEM,
    HTTPStatus.INTERNAL_SERVER_ERROR: PROBLEM,
    HTTPStatus.BAD_GATEWAY: PROBLEM,
    HTTPStatus.SERVICE_UNAVAILABLE: PROBLEM,
}

_FILES: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}},
    "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
    "application/x-ndjson": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    "text/html": {"schema": {"type": "string"}},
}

_PROJECTS = Tag(name="Projects", description="What the service looks after.")
_ANNOTATORS = Tag(name="Annotators", description="How good each annotator is.")
_TASKS = Tag(name="Tasks", description="Consensus of each task, and why.")
_EXPORTS = Tag(name="Exports", description="Data sets to take away.")
_UPKEEP = Tag(name="Upkeep", description="What the service did, and what it should do.")


def make_api(service: Service) -> APIBlueprint:
    """Routes under /api/."""
    api = APIBlueprint(
        "api",
        __name__,
        url_prefix="/api",
        abp_responses=_REFUSALS,
        abp_security=[{}, {"basic": []}, {"bearer": []}],
        operation_id_callback=_operation_id,
    )

    @api.get("/projects", tags=[_PROJECTS], responses={200: model_of(ProjectList)})
    def list_projects(query: PageQuery) -> Response:
        """List the projects that the service looks after."""
        numbers = service.projects()
        some = numbers[query.offset : query.offset + query.limit]
        shown = tuple(project_overview(service, number) for number in some)
        return answer(ProjectList(len(numbers), shown))

    @api.get("/projects/<project>", tags=[_PROJECTS], responses={200: model_of(ProjectOverview)})
    def get_project(path: ProjectPath) -> Response:
        """Show one project."""
        known_project(service, path.project)
        return answer(project_overview(service, path.project))

    @api.get(
        "/projects/<project>/questions",
        tags=[_PROJECTS],
        responses={200: model_of(Questions)},
    )
    def list_questions(path: ProjectPath) -> Response:
        """Show each question at a glance: how good its labels are, and how that came about."""
        known_project(service, path.project)
        found = question_insights(service.store(path.project))
        return answer(Questions(path.project, tuple(map(QuestionOverview.of, found))))

    @api.get(
        "/projects/<project>/annotators",
        tags=[_ANNOTATORS],
        responses={200: model_of(Leaderboards)},
    )
    def list_annotators(path: ProjectPath, query: QuestionQuery) -> Response:
        """Show the annotators of each question, the best first."""
        info = known_project(service, path.project)
        boards = leaderboards(service.store(path.project), show_names=service.settings.show_names)
        if query.question is not None:
            question_number(info, query.question)
            boards = [one for one in boards if one.question == query.question]
        some = slice(query.offset, query.offset + query.limit)
        return answer(Leaderboards(path.project, tuple(one.part(some) for one in boards)))

    @api.get(
        "/projects/<project>/annotators/<annotator>",
        tags=[_ANNOTATORS],
        responses={200: model_of(Annotator)},
    )
    def get_annotator(path: AnnotatorPath, query: AnnotatorQuery) -> Response:
        """Show one annotator closely: the part in each question, confusion, doubtful labels."""
        known_project(service, path.project)
        store = service.store(path.project)
        found = [
            AnnotatorAnswer.of(
                question.name,
                annotator_profile(
                    store, number, path.annotator, show_names=service.settings.show_names
                ),
                doubtful_labels(store, number, path.annotator, query.doubtful)
                if query.doubtful
                else [],
            )
            for number, question in enumerate(require_summary(store).questions)
            if any(row["annotator"] == path.annotator for row in question.annotators)
        ]
        if not found:
            raise UnknownAnnotatorError(
                f"No label by annotator {path.annotator} counts in project {path.project}.",
                f"/api/projects/{path.project}/annotators lists the annotators.",
            )
        name = found[0].statistics.name
        return answer(Annotator(path.project, path.annotator, name, tuple(found)))

    @api.get("/projects/<project>/tasks", tags=[_TASKS], responses={200: model_of(TaskPage)})
    def list_tasks(path: ProjectPath, query: TasksQuery) -> Response:
        """List tasks with a consensus, the most doubtful first, or sorted and filtered."""
        return answer(task_page(service, path.project, query.to_query()))

    @api.get(
        "/projects/<project>/tasks/<task>", tags=[_TASKS], responses={200: model_of(TaskDetail)}
    )
    def get_task(path: TaskPath) -> Response:
        """Show one task: who said what, how good each label is, why this consensus."""
        return answer(task_detail(service, path.project, path.task))

    @api.get(
        "/projects/<project>/exports/<what>.<export_format>",
        tags=[_EXPORTS],
        responses={200: {"description": "The file.", "content": _FILES}},
    )
    def get_export(path: ExportPath, query: ExportQuery) -> Response:
        """Download a data set."""
        export = open_export(
            service, path.project, path.what, path.export_format, query.consensus_as
        )
        headers = {"Content-Disposition": f'attachment; filename="{export.file_name}"'}
        return Response(export.chunks, headers=headers, content_type=export.content_type)

    @api.get("/projects/<project>/versions", tags=[_UPKEEP], responses={200: model_of(VersionList)})
    def list_versions(path: ProjectPath) -> Response:
        """List the model versions, with what produced each of them."""
        known_project(service, path.project)
        store = service.store(path.project)
        publication = store.read_publication()
        current = publication.model_version if publication else ""
        kept = set(store.kept_versions())
        versions = tuple(shown_version(one, current, kept) for one in store.model_versions())
        return answer(VersionList(path.project, versions))

    @api.get("/projects/<project>/audit", tags=[_UPKEEP], responses={200: model_of(AuditTrail)})
    def list_audit(path: ProjectPath, query: AuditQuery) -> Response:
        """Show what the service did to the project in Label Studio, the newest first."""
        known_project(service, path.project)
        entries = service.store(path.project).audit_trail(query.limit)
        return answer(AuditTrail(path.project, tuple(entries)))

    @api.get(
        "/projects/<project>/dead-letters",
        tags=[_UPKEEP],
        responses={200: model_of(DeadLetterList)},
    )
    def list_dead_letters(path: ProjectPath, query: PageQuery) -> Response:
        """Show the events that could not be applied."""
        known_project(service, path.project)
        inbox = service.store(path.project).inbox
        some = islice(inbox.dead_letters(), query.offset, query.offset + query.limit)
        letters = tuple(
            DeadLetter(
                one.died_at, one.reason, one.event.decode(errors="replace")[:_SHOWN_CHARACTERS]
            )
            for one in some
        )
        return answer(DeadLetterList(path.project, inbox.num_dead_letters(), letters))

    @api.post(
        "/projects/<project>/dead-letters", tags=[_UPKEEP], responses={202: model_of(Accepted)}
    )
    def replay_dead_letters(path: ProjectPath) -> Response:
        """Try all events again that could not be applied."""
        known_project(service, path.project)
        number = service.store(path.project).inbox.replay()
        service.queue.apply_events(path.project)
        return answer(
            Accepted(path.project, f"{number:,} dead letter(s) will be tried again."), 202
        )

    @api.post("/projects/<project>/refresh", tags=[_UPKEEP], responses={202: model_of(Accepted)})
    def refresh_project(path: ProjectPath, query: RefreshQuery) -> Response:
        """Pull the project's changes from Label Studio, recompute, and write back."""
        known_project(service, path.project)
        service.queue.refresh(path.project, full_sync=query.full)
        pull = "Everything" if query.full else "What has changed"
        effect = f"{pull} will be pulled, and the consensus computed and published anew."
        return answer(Accepted(path.project, effect), 202)

    add_review_routes(api, service)
    add_source_routes(api, service)
    return api


def refuse_parameters(error: ValidationError) -> NoReturn:
    """Say in our words which parameter is wrong."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        raise BadRequestError(f"There is no parameter `{name}`.", "/api/docs lists them.")
    raise BadRequestError(f"`{name}` is {reprlib.repr(first['input'])}: {first['msg']}.")


def _operation_id(*, name: str, path: str, method: str) -> str:
    return name
