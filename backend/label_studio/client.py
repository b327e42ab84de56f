"""Label Studio's HTTP API, as far as this service needs it.

Transport and authentication (personal access tokens with their short-lived access
tokens, legacy tokens) are label-studio-sdk's. Answers are read as plain JSON: the
SDK's response models belong to one server version, this service to several.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from backend.errors import (
    AddressRefusedError,
    AuthenticationError,
    LabelStudioBusyError,
    LabelStudioError,
    LabelStudioUnreachableError,
    ProjectNotFoundError,
    RequestRefusedError,
    SettingsError,
)
from backend.label_studio.annotations import microseconds_of
from backend.label_studio.breaker import Breaker
from backend.label_studio.pace import Pace

JSON = dict[str, Any]

HOW_TO_GET_ACCESS = (
    "Make a personal access token in Label Studio (user icon at the top right > Account & "
    "Settings > Personal Access Token > Create New Token) and set LABEL_STUDIO_API_KEY to it."
)
ALLOW_LOCAL_ADDRESSES = (
    "Start Label Studio with ML_BLOCK_LOCAL_IP=false (ML backends) and "
    "SSRF_PROTECTION_ENABLED=false (webhooks), or give this service an address outside the "
    "blocked networks and set BACKEND_URL to it."
)
_IDS_PER_QUERY = 500
_IDS_PER_PAGE = 10_000
_PROJECTS_PER_PAGE = 200
_SMALLEST_PAGE = 10
_RETRIES = 2

log = logging.getLogger(__name__)


class LabelStudioClient:
    """A connection to one Label Studio.

    Parameters
    ----------
    url
        Address of Label Studio.
    api_key
        Personal access token (a JWT), or a legacy token where the organization allows them.
    timeout
        Seconds to wait for one answer.
    ca_file
        Certificates of the authorities that Label Studio's own may be signed by; None for
        those that this machine trusts.
    breaker
        Decides whether requests are sent; without one, all are.
    pace
        Limits how fast things are changed; without one, nothing does.

    Raises
    ------
    SettingsError
        There is no token.
    AuthenticationError
        The token is malformed or has expired.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        timeout: float = 120.0,
        *,
        ca_file: Path | None = None,
        breaker: Breaker | None = None,
        pace: Pace | None = None,
    ) -> None:
        if not api_key:
            raise SettingsError("LABEL_STUDIO_API_KEY is not set.", HOW_TO_GET_ACCESS)
        if not re.fullmatch(r"[!-~]+", api_key):
            raise AuthenticationError(
                "The token in LABEL_STUDIO_API_KEY is not valid: it holds blanks or characters "
                "other than plain ASCII, as tokens never do.",
                HOW_TO_GET_ACCESS,
            )
        self.url = url.rstrip("/")
        self._breaker = breaker
        self._pace = pace
        self._is_legacy_token = api_key.count(".") != 2
        # A proxy from the environment does not lead to this machine.
        is_here = urlsplit(self.url).hostname in {"localhost", "127.0.0.1", "::1"}
        self._connections = httpx.Client(
            timeout=timeout,
            trust_env=not is_here,
            limits=_limits_for(self.url),
            verify=True if ca_file is None else ssl.create_default_context(cafile=ca_file),
        )
        try:
            sdk = LabelStudio(
                base_url=self.url,
                api_key=api_key,
                timeout=timeout,
                httpx_client=self._connections,
            )
        except ApiError as error:
            raise AuthenticationError(
                f"The token in LABEL_STUDIO_API_KEY is not valid: {_detail_of(error.body)}",
                HOW_TO_GET_ACCESS,
            ) from None
        self.server_time = datetime.now(tz=UTC)
        """Label Studio's clock at its last answer, to the second."""
        # The SDK has no method for several endpoints that are needed here (deletion of a
        # model version, Data Manager queries as JSON), so its transport is used throughout.
        self._http = sdk._client_wrapper.httpx_client
        self._headers = sdk._client_wrapper.get_headers

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def authorization(self) -> str:
        """Value of the header that lets one read what Label Studio serves beside its API.

        It is valid for some minutes; a personal access token is exchanged when it is due.

        Raises
        ------
        AuthenticationError, LabelStudioUnreachableError
            Label Studio does not take the token, or does not answer.
        """
        path = "api/token/refresh"
        try:
            return self._headers()["Authorization"]
        except ApiError as error:
            raise self._error_of(error.status_code or 0, error.body, "POST", path) from None
        except httpx.HTTPError as error:
            raise LabelStudioUnreachableError(
                f"Label Studio does not answer at {self.url} ({_reason_of(error)}).",
                "Check LABEL_STUDIO_URL, and that Label Studio is running.",
            ) from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: JSON | None = None,
        body: Any = None,
        retry: bool | None = None,
    ) -> Any:
        """Send one request and return the decoded answer.

        Requests that are safe to repeat are retried by the SDK, with back-off and jitter;
        others only if `retry`.
        """
        if retry is None:
            retry = method in {"GET", "DELETE"}
        if self._pace is not None and method != "GET":
            self._pace.wait()

        def send() -> Any:
            return self._send(method, path, params, body, retries=_RETRIES if retry else 0)

        return send() if self._breaker is None else self._breaker.call(send)

    def _send(self, method: str, path: str, params: JSON | None, body: Any, retries: int) -> Any:
        try:
            response = self._http.request(
                path,
                method=method,
                params=params,
                json=body,
                request_options={"max_retries": retries},
            )
        except httpx.TimeoutException as error:
            raise LabelStudioBusyError(
                f"Label Studio at {self.url} gave no answer to {method} /{path} in time.",
                "See whether it is overloaded; LABEL_STUDIO_TIMEOUT sets how long to wait.",
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise LabelStudioUnreachableError(
                f"Label Studio does not answer at {self.url} ({_reason_of(error)}).",
                "Set CROWDLAB_CA_FILE to the certificate of the authority that signed its own."
                if "CERTIFICATE_VERIFY_FAILED" in str(error)
                else "Check LABEL_STUDIO_URL, and that Label Studio is running.",
            ) from error
        except ApiError as error:  # raised while the SDK refreshes the access token
            raise self._error_of(error.status_code or 0, error.body, method, path) from None
        if "date" in response.headers:
            self.server_time = parsedate_to_datetime(response.headers["date"])
        if response.is_redirect:
            raise LabelStudioUnreachableError(
                f"{self.url} redirects to {response.headers.get('location', 'elsewhere')}.",
                "Set LABEL_STUDIO_URL to the final address.",
            )
        content = _decoded(response)
        if not response.is_success:
            raise self._error_of(response.status_code, content, method, path)
        if isinstance(content, str) and content:
            raise self._not_label_studio(f"{method} /{path} gave no JSON")
        return content

    def _not_label_studio(self, reason: str) -> LabelStudioError:
        return LabelStudioUnreachableError(
            f"What answers at {self.url} is not Label Studio: {reason}.",
            "Check LABEL_STUDIO_URL.",
        )

    def _error_of(self, status: int, body: Any, method: str, path: str) -> LabelStudioError:
        detail = _detail_of(body)
        if "reserved network" in detail:
            return AddressRefusedError(
                f"Label Studio refused this service's address: {detail}", ALLOW_LOCAL_ADDRESSES
            )
        if status == 401:
            kind = "legacy token" if self._is_legacy_token else "token"
            return AuthenticationError(
                f"Label Studio at {self.url} does not accept the {kind} in "
                f"LABEL_STUDIO_API_KEY ({detail}).",
                HOW_TO_GET_ACCESS,
            )
        if status == 403:
            return AuthenticationError(
                f"The token's user may not do this in Label Studio: {method} /{path} ({detail})."
            )
        if status in (404, 405) and not (isinstance(body, dict) and "detail" in body):
            return self._not_label_studio(f"{method} /{path} gave {status}")
        if status == 404 and (project := re.match(r"api/projects/(\d+)", path)):
            return ProjectNotFoundError(
                f"Label Studio at {self.url} has no project {project[1]} "
                "that the token's user can see.",
                "Check the number in the project's address: /projects/NUMBER/.",
            )
        if status >= 500 or status in (0, 408, 429):
            return LabelStudioBusyError(
                f"Label Studio answered {status} to {method} /{path}: {detail}",
                "See Label Studio's log; the service tries again by itself.",
            )
        message = f"Label Studio answered {status} to {method} /{path}: {detail}"
        return RequestRefusedError(message) if status in (400, 404) else LabelStudioError(message)

    def version(self) -> str:
        """Release of Label Studio."""
        return str(self._request("GET", "api/version").get("release", "unknown"))

    def current_user(self) -> JSON:
        """User whom the token belongs to."""
        user: JSON = self._request("GET", "api/current-user/whoami")
        return user

    def users(self) -> list[JSON]:
        """All users that the token's user can see."""
        users: list[JSON] = self._request("GET", "api/users/")
        return users

    def project(self, project_id: int) -> JSON:
        """One project with its labeling config, model version and counts."""
        project: JSON = self._request("GET", f"api/projects/{project_id}/")
        return project

    def project_ids(self) -> list[int]:
        """Ids of all projects that the token's user can see, ascending."""
        ids: list[int] = []
        page = 1
        while True:
            params = {"page": page, "page_size": _PROJECTS_PER_PAGE, "include": "id"}
            answer = self._request("GET", "api/projects/", params=params)
            ids += [int(project["id"]) for project in answer["results"]]
            if not answer.get("next"):
                return sorted(ids)
            page += 1

    def create_project(self, title: str, label_config: str, *, overlap: int) -> int:
        """Make a project and return its id; each task wants `overlap` annotations."""
        body = {"title": title, "label_config": label_config, "maximum_annotations": overlap}
        return int(self._request("POST", "api/projects/", body=body)["id"])

    def import_tasks(self, project_id: int, tasks: list[JSON]) -> list[int]:
        """Add tasks, with annotations if they carry some, and return their ids."""
        path = f"api/projects/{project_id}/import"
        answer = self._request("POST", path, params={"return_task_ids": True}, body=tasks)
        return [int(task) for task in answer["task_ids"]]

    def create_user(self, email: str) -> int:
        """Make a user without a password and return their id."""
        body = {"email": email, "username": email.partition("@")[0]}
        return int(self._request("POST", "api/users/", body=body)["id"])

    def update_project(self, project_id: int, **changes: Any) -> None:
        """Change fields of a project."""
        self._request("PATCH", f"api/projects/{project_id}/", body=changes, retry=True)

    def tasks(
        self,
        project_id: int,
        *,
        page_size: int,
        after: int = 0,
    ) -> Iterator[tuple[list[JSON], int]]:
        """Pages of a project's tasks with all annotations, by ascending task id.

        Each page asks for ids past the last one seen, so tasks created or deleted
        meanwhile neither shift nor repeat the others. Where Label Studio is too slow for a
        page, smaller ones are asked for.

        Parameters
        ----------
        page_size
            Most tasks of a page.
        after
            Only tasks whose id is larger.

        Yields
        ------
        tasks
            Tasks of one page.
        remaining
            Number of tasks from this page on, as Label Studio counted them.
        """
        size = page_size
        while True:
            query = _query([_condition("id", "greater", "Number", after)])
            try:
                page = self._tasks_page(project_id, query, size, "all")
            except LabelStudioBusyError as error:
                size = _smaller(size, project_id, error)
                continue
            if not page["tasks"]:
                return
            yield page["tasks"], int(page["total"])
            after = max(task["id"] for task in page["tasks"])
            if len(page["tasks"]) < size and page["total"] <= len(page["tasks"]):
                return
            size = min(page_size, 2 * size)

    def task_contents(self, project_id: int, *, page_size: int) -> Iterator[list[JSON]]:
        """Pages of a project's tasks with `id`, `data` and `meta` alone, by ascending id.

        Like those of `tasks`, but at a fraction of their cost.
        """
        size, after = page_size, 0
        while True:
            query = _query([_condition("id", "greater", "Number", after)])
            try:
                page = self._tasks_page(
                    project_id, query, size, "task_only", include="id,data,meta"
                )
            except LabelStudioBusyError as error:
                size = _smaller(size, project_id, error)
                continue
            if not page["tasks"]:
                return
            yield page["tasks"]
            after = max(task["id"] for task in page["tasks"])
            size = min(page_size, 2 * size)

    def tasks_by_id(self, project_id: int, task_ids: Iterable[int]) -> Iterator[JSON]:
        """Those of the given tasks which exist in the project, with all annotations."""
        wanted = sorted(set(task_ids))
        size = _IDS_PER_QUERY
        while wanted:
            some = wanted[:size]
            query = _query([_condition("id", "in_list", "List", some)])
            try:
                page = self._tasks_page(project_id, query, len(some), "all")
            except LabelStudioBusyError as error:
                size = _smaller(size, project_id, error)
                continue
            yield from page["tasks"]
            wanted = wanted[len(some) :]
            size = min(_IDS_PER_QUERY, 2 * size)

    def task_data(self, project_id: int, task_ids: Iterable[int]) -> dict[int, JSON]:
        """Data of those of the given tasks which exist in the project.

        Addresses in a cloud storage come as addresses of Label Studio that lead there.
        """
        wanted = sorted(set(task_ids))
        data: dict[int, JSON] = {}
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            some = wanted[start : start + _IDS_PER_QUERY]
            query = _query([_condition("id", "in_list", "List", some)])
            page = self._tasks_page(project_id, query, len(some), "task_only", include="id,data")
            data |= {int(task["id"]): task.get("data") or {} for task in page["tasks"]}
        return data

    def task_states(self, project_id: int, task_ids: Iterable[int]) -> dict[int, tuple[int, bool]]:
        """Overlap of each of the given tasks that exist, and whether it is taken for done."""
        wanted = sorted(set(task_ids))
        states: dict[int, tuple[int, bool]] = {}
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            some = wanted[start : start + _IDS_PER_QUERY]
            query = _query([_condition("id", "in_list", "List", some)])
            page = self._tasks_page(
                project_id, query, len(some), "task_only", include="id,overlap,is_labeled"
            )
            for task in page["tasks"]:
                states[int(task["id"])] = (int(task["overlap"]), bool(task["is_labeled"]))
        return states

    def update_task(self, task_id: int, **changes: Any) -> None:
        """Change fields of a task."""
        self._request("PATCH", f"api/tasks/{task_id}/", body=changes, retry=True)

    def updated_tasks(self, project_id: int, since: datetime) -> dict[int, int]:
        """Tasks updated after a moment: id to the moment, microseconds since 1970, by id.

        It costs Label Studio about a fifth of giving the tasks themselves.
        """
        moments: dict[int, int] = {}
        text = since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_updated = _condition("updated_at", "greater", "Datetime", text)
        last = 0
        while True:
            query = _query([is_updated, _condition("id", "greater", "Number", last)])
            page = self._tasks_page(
                project_id, query, _IDS_PER_PAGE, "task_only", include="id,updated_at"
            )
            found = sorted((int(one["id"]), one["updated_at"]) for one in page["tasks"])
            moments |= {task: microseconds_of(moment) for task, moment in found}
            if page["total"] <= len(found):
                return moments
            last = found[-1][0]

    def task_ids(
        self,
        project_id: int,
        *,
        after: int = 0,
        up_to: int | None = None,
        page_size: int = _IDS_PER_PAGE,
    ) -> list[int]:
        """Ids of the tasks of a project, or of those in a range of ids, ascending."""
        ids: list[int] = []
        while True:
            query = _query(_id_range(ids[-1] if ids else after, up_to))
            page = self._tasks_page(project_id, query, page_size, "task_only", include="id")
            ids += sorted(task["id"] for task in page["tasks"])
            if not page["tasks"] or page["total"] <= len(page["tasks"]):
                return ids

    def count_tasks(self, project_id: int, *, after: int = 0, up_to: int | None = None) -> int:
        """Count the tasks of a project in a range of ids."""
        query = _query(_id_range(after, up_to))
        return int(self._tasks_page(project_id, query, 1, "task_only", include="id")["total"])

    def _tasks_page(
        self, project_id: int, query: JSON, page_size: int, fields: str, **params: str
    ) -> JSON:
        page: JSON = self._request(
            "GET",
            "api/tasks",
            params={
                "project": project_id,
                "fields": fields,
                "page_size": page_size,
                "query": json.dumps(query),
                **params,
            },
        )
        return page

    def create_annotation(self, task_id: int, result: list[JSON], **fields: Any) -> int:
        """Add an annotation by the token's user and return its id."""
        path = f"api/tasks/{task_id}/annotations/"
        return int(self._request("POST", path, body={"result": result, **fields})["id"])

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete an annotation, unless that was done."""
        with suppress(RequestRefusedError):
            self._request("DELETE", f"api/annotations/{annotation_id}/")

    def predictions_of_task(self, task_id: int) -> list[JSON]:
        """All predictions of a task, of every model version, by ascending id."""
        predictions = self._request("GET", "api/predictions/", params={"task": task_id})
        return sorted(predictions, key=lambda prediction: int(prediction["id"]))

    def predictions_of_version(self, project_id: int, version: str) -> list[tuple[int, int]]:
        """Ids of a project's predictions of one model version, ascending, and their tasks."""
        found = self._request("GET", "api/predictions/", params={"project": project_id})
        return sorted(
            (int(one["id"]), int(one["task"])) for one in found if one["model_version"] == version
        )

    def predictions_of_project(self, project_id: int, version: str) -> list[JSON]:
        """Predictions of one model version in a project, with their results."""
        found = self._request("GET", "api/predictions/", params={"project": project_id})
        return [one for one in found if one["model_version"] == version]

    def create_prediction(self, project_id: int, prediction: JSON) -> int:
        """Add one prediction, by its task, result, score and model version; returns its id."""
        body = {"project": project_id, **prediction}
        return int(self._request("POST", "api/predictions/", body=body)["id"])

    def update_prediction(self, project_id: int, prediction_id: int, prediction: JSON) -> None:
        """Change one prediction.

        With its validation on, Label Studio 1.23 refuses a result without the project.
        """
        path = f"api/predictions/{prediction_id}/"
        self._request("PATCH", path, body={"project": project_id, **prediction}, retry=True)

    def delete_prediction(self, prediction_id: int) -> None:
        """Delete one prediction, unless that was done."""
        with suppress(RequestRefusedError):
            self._request("DELETE", f"api/predictions/{prediction_id}/")

    def import_predictions(self, project_id: int, predictions: list[JSON]) -> int:
        """Add many predictions in one request and return how many Label Studio stored.

        Label Studio drops items that its labeling config does not allow without a word,
        so the caller must compare the returned number with the number sent.
        """
        path = f"api/projects/{project_id}/import/predictions"
        return int(self._request("POST", path, body=predictions)["created"])

    def model_versions(self, project_id: int) -> dict[str, int]:
        """Number of predictions per model version of a project."""
        path = f"api/projects/{project_id}/model-versions/"
        return {str(name): int(n) for name, n in self._request("GET", path).items()}

    def delete_model_version(self, project_id: int, version: str) -> int:
        """Delete all predictions of one model version and return their number."""
        path = f"api/projects/{project_id}/model-versions/"
        answer = self._request("DELETE", path, body={"model_version": version})
        return int(answer.get("deleted_predictions", 0))

    def ml_backends(self, project_id: int) -> list[JSON]:
        """ML backends connected to a project. Label Studio calls each of them to answer."""
        backends: list[JSON] = self._request("GET", "api/ml/", params={"project": project_id})
        return backends

    def create_ml_backend(self, project_id: int, body: JSON) -> JSON:
        """Connect an ML backend; Label Studio calls its /health and /setup meanwhile."""
        backend: JSON = self._request("POST", "api/ml/", body={"project": project_id, **body})
        return backend

    def update_ml_backend(self, backend_id: int, project_id: int, body: JSON) -> JSON:
        """Change a connected ML backend; `body` must hold its `url`.

        Label Studio 1.23 answers 500 unless both the url and the project are sent.
        """
        body = {"project": project_id, **body}
        backend: JSON = self._request("PATCH", f"api/ml/{backend_id}", body=body, retry=True)
        return backend

    def delete_ml_backend(self, backend_id: int) -> None:
        """Disconnect an ML backend; the webhook that came with it stays."""
        self._request("DELETE", f"api/ml/{backend_id}")

    def webhooks(self, project_id: int) -> list[JSON]:
        """Webhooks of a project."""
        hooks: list[JSON] = self._request("GET", "api/webhooks/", params={"project": project_id})
        return hooks

    def create_webhook(self, project_id: int, body: JSON) -> None:
        """Register a webhook."""
        self._request("POST", "api/webhooks/", body={"project": project_id, **body})

    def update_webhook(self, webhook_id: int, body: JSON) -> None:
        """Change a webhook."""
        self._request("PATCH", f"api/webhooks/{webhook_id}/", body=body, retry=True)

    def delete_webhook(self, webhook_id: int) -> None:
        """Delete a webhook."""
        self._request("DELETE", f"api/webhooks/{webhook_id}/")

    def views(self, project_id: int) -> list[JSON]:
        """Tabs of a project's Data Manager."""
        views: list[JSON] = self._request("GET", "api/dm/views/", params={"project": project_id})
        return views

    def columns(self, project_id: int) -> list[JSON]:
        """Columns of a project's Data Manager."""
        answer = self._request("GET", "api/dm/columns/", params={"project": project_id})
        columns: list[JSON] = answer["columns"]
        return columns

    def create_view(self, project_id: int, data: JSON) -> JSON:
        """Add a tab to a project's Data Manager."""
        view: JSON = self._request(
            "POST", "api/dm/views/", body={"project": project_id, "data": data}
        )
        return view

    def update_view(self, view_id: int, project_id: int, data: JSON) -> JSON:
        """Change a tab of a project's Data Manager."""
        view: JSON = self._request(
            "PATCH",
            f"api/dm/views/{view_id}/",
            params={"project": project_id},
            body={"project": project_id, "data": data},
            retry=True,
        )
        return view


def _limits_for(url: str) -> httpx.Limits:
    """How connections are kept for later requests.

    Label Studio's own server sends head and body of an answer apart and waits for the first
    to be acknowledged, which takes 44 ms on all but the first answer of a connection. Without
    encryption a new connection costs less than that.
    """
    if url.startswith("http://"):
        return httpx.Limits(max_keepalive_connections=0)
    return httpx.Limits()


def _smaller(size: int, project_id: int, error: LabelStudioBusyError) -> int:
    """Size of the next page, after one of `size` tasks was too much for Label Studio."""
    if size <= _SMALLEST_PAGE:
        raise error
    log.warning("project %s: smaller pages than %s tasks now: %s", project_id, size, error)
    return max(_SMALLEST_PAGE, size // 4)


def _condition(column: str, operator: str, kind: str, value: Any) -> JSON:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": kind,
        "value": value,
    }


def _id_range(after: int, up_to: int | None) -> list[JSON]:
    """Conditions for ids larger than `after`, and not larger than `up_to`."""
    conditions = [_condition("id", "greater", "Number", after)]
    if up_to is not None:
        conditions.append(_condition("id", "less_or_equal", "Number", up_to))
    return conditions


def _query(conditions: list[JSON]) -> JSON:
    return {
        "filters": {"conjunction": "and", "items": conditions},
        "ordering": ["tasks:id"],
    }


def _decoded(response: httpx.Response) -> Any:
    """JSON of an answer, or its text if it is not JSON."""
    try:
        return response.json()
    except ValueError:
        return response.text


def _detail_of(body: Any) -> str:
    """What Label Studio says went wrong, in one line."""
    if not isinstance(body, dict):
        return " ".join(str(body).split())[:200] or "no reason given"
    errors = body.get("validation_errors") or body.get("detail") or body
    if isinstance(errors, dict):
        errors = [
            f"{field}: {value}" if field != "non_field_errors" else value
            for field, value in errors.items()
        ]
    parts = errors if isinstance(errors, list) else [errors]
    flat = [
        str(part) for group in parts for part in (group if isinstance(group, list) else [group])
    ]
    return " ".join(" ".join(flat).split())[:1000]


def _reason_of(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
