"""Label Studio's HTTP API, as far as this service needs it.

Transport and authentication (personal access tokens with their short-lived access
tokens, legacy tokens) are label-studio-sdk's. Answers are read as plain JSON: the
SDK's response models belong to one server version, this service to several.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from backend.errors import (
    AddressRefusedError,
    AuthenticationError,
    LabelStudioError,
    LabelStudioUnreachableError,
    ProjectNotFoundError,
    RequestRefusedError,
    SettingsError,
)

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

    Raises
    ------
    SettingsError
        There is no token.
    AuthenticationError
        The token is malformed or has expired.
    """

    def __init__(self, url: str, api_key: str, timeout: float = 120.0) -> None:
        if not api_key:
            raise SettingsError("LABEL_STUDIO_API_KEY is not set.", HOW_TO_GET_ACCESS)
        if not re.fullmatch(r"[!-~]+", api_key):
            raise AuthenticationError(
                "The token in LABEL_STUDIO_API_KEY is not valid: it holds blanks or characters "
                "other than plain ASCII, as tokens never do.",
                HOW_TO_GET_ACCESS,
            )
        self.url = url.rstrip("/")
        self._is_legacy_token = api_key.count(".") != 2
        # A proxy from the environment does not lead to this machine.
        is_here = urlsplit(self.url).hostname in {"localhost", "127.0.0.1", "::1"}
        self._connections = httpx.Client(timeout=timeout, trust_env=not is_here)
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

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

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

        Requests that are safe to repeat are retried by the SDK; others only if `retry`.
        """
        if retry is None:
            retry = method in {"GET", "DELETE"}
        try:
            response = self._http.request(
                path,
                method=method,
                params=params,
                json=body,
                request_options={"max_retries": 2 if retry else 0},
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise LabelStudioUnreachableError(
                f"Label Studio does not answer at {self.url} ({_reason_of(error)}).",
                "Check LABEL_STUDIO_URL, and that Label Studio is running.",
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
        self, project_id: int, *, page_size: int, updated_after: datetime | None = None
    ) -> Iterator[tuple[list[JSON], int]]:
        """Pages of a project's tasks with all annotations, by ascending task id.

        Each page asks for ids past the last one seen, so tasks created or deleted
        meanwhile neither shift nor repeat the others.

        Yields
        ------
        tasks
            Tasks of one page.
        remaining
            Number of tasks from this page on, as Label Studio counted them.
        """
        conditions = []
        if updated_after is not None:
            moment = updated_after.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            conditions.append(_condition("updated_at", "greater", "Datetime", moment))
        last_id = 0
        while True:
            query = _query([*conditions, _condition("id", "greater", "Number", last_id)])
            page = self._tasks_page(project_id, query, page_size, "all")
            if not page["tasks"]:
                return
            yield page["tasks"], int(page["total"])
            last_id = max(task["id"] for task in page["tasks"])
            if len(page["tasks"]) < page_size and page["total"] <= len(page["tasks"]):
                return

    def tasks_by_id(self, project_id: int, task_ids: Iterable[int]) -> Iterator[JSON]:
        """Those of the given tasks which exist in the project, with all annotations."""
        wanted = sorted(set(task_ids))
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            some = wanted[start : start + _IDS_PER_QUERY]
            query = _query([_condition("id", "in_list", "List", some)])
            yield from self._tasks_page(project_id, query, len(some), "all")["tasks"]

    def task_ids(self, project_id: int, *, page_size: int = 10_000) -> list[int]:
        """Ids of all tasks of a project, ascending."""
        ids: list[int] = []
        while True:
            query = _query([_condition("id", "greater", "Number", ids[-1] if ids else 0)])
            page = self._tasks_page(project_id, query, page_size, "task_only", include="id")
            ids += sorted(task["id"] for task in page["tasks"])
            if not page["tasks"] or page["total"] <= len(page["tasks"]):
                return ids

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

    def predictions_of_task(self, task_id: int) -> list[JSON]:
        """All predictions of a task, of every model version, by ascending id."""
        predictions = self._request("GET", "api/predictions/", params={"task": task_id})
        return sorted(predictions, key=lambda prediction: int(prediction["id"]))

    def predictions_of_version(self, project_id: int, version: str) -> list[int]:
        """Ids of a project's predictions of one model version, ascending."""
        found = self._request("GET", "api/predictions/", params={"project": project_id})
        return sorted(int(one["id"]) for one in found if one["model_version"] == version)

    def create_prediction(self, project_id: int, prediction: JSON) -> None:
        """Add one prediction: its task, result, score and model version."""
        self._request("POST", "api/predictions/", body={"project": project_id, **prediction})

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


def _condition(column: str, operator: str, kind: str, value: Any) -> JSON:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": kind,
        "value": value,
    }


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
