"""Connect a project of Label Studio with this service."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from backend.errors import LabelStudioError
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import LabelingConfig, parse_config
from backend.settings import SECRET_HEADER, Settings

JSON = dict[str, Any]

BACKEND_TITLE = "Crowdlab"
TAB_TITLE = "Crowdlab consensus"
REVIEW_TAB_TITLE = "Crowdlab: needs review"
UNCERTAINTY_SAMPLING = "Uncertainty sampling"

_SHOWN_COLUMNS = {
    "tasks:id",
    "tasks:total_annotations",
    "tasks:annotators",
    "tasks:predictions_score",
    "tasks:predictions_results",
}


def check_project(client: LabelStudioClient, project_id: int) -> tuple[JSON, LabelingConfig]:
    """Look at a project before anything is changed in it.

    Raises
    ------
    ProjectNotFoundError, AuthenticationError, LabelStudioUnreachableError
        Label Studio does not give the project.
    UnsupportedProjectError
        The project asks no question that has a consensus.
    """
    project = client.project(project_id)
    config = parse_config(project["label_config"])
    config.require_questions(project_id)
    return project, config


def connect_backend(client: LabelStudioClient, project_id: int, settings: Settings) -> str:
    """Register this service as the project's ML backend, with its webhook.

    Doing it again changes nothing but the credentials, and removes what no longer serves:
    surplus registrations of the same address, and ours of addresses that Label Studio no
    longer reaches, with their webhooks.

    Returns
    -------
    str
        What was done, in words.

    Raises
    ------
    AddressRefusedError
        Label Studio does not call addresses in local networks; the message names the
        settings that allow it.
    LabelStudioError
        Label Studio cannot reach this service, or refuses it.
    """
    url = settings.public_url
    body: JSON = {"url": url, "title": BACKEND_TITLE, "is_interactive": False}
    if settings.basic_auth_user:
        body |= {
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": settings.basic_auth_user,
            "basic_auth_pass": settings.basic_auth_pass.get_secret_value(),
        }
    backends = client.ml_backends(project_id)
    present = [one for one in backends if same_address(one["url"], url)]
    try:
        if present:
            client.update_ml_backend(present[0]["id"], project_id, body)
        else:
            client.create_ml_backend(project_id, body)
    except LabelStudioError as error:
        if "connect to ML backend" in error.message or "Can't connect" in error.message:
            raise LabelStudioError(
                f"Label Studio cannot reach this service at {url}.",
                "Start it (`crowdlab start`), and set BACKEND_URL to an address that works from "
                f"where Label Studio runs. Label Studio said: {error.message}",
            ) from None
        raise
    _set_up_webhook(client, project_id, settings)
    done = f"{'updated' if present else 'connected'} the ML backend {url}"
    if surplus := present[1:]:
        for one in surplus:
            client.delete_ml_backend(one["id"])
        done += f", removed {len(surplus)} more of the same address"
    for one in backends:
        if _is_left_behind(one, url):
            remove_backend(client, project_id, one)
            done += f", removed {one['url']}, which Label Studio cannot reach"
    return done


def disconnect_backend(client: LabelStudioClient, project_id: int, url: str) -> list[str]:
    """Remove this service from a project's ML backends, with its webhook.

    Registrations of ours at other addresses go as well if Label Studio cannot reach them.

    Returns
    -------
    list of str
        What was removed, and what was left, in words.
    """
    done = []
    for one in client.ml_backends(project_id):
        if same_address(one["url"], url) or _is_left_behind(one, url):
            remove_backend(client, project_id, one)
            done.append(f"removed the ML backend {one['url']} and its webhook")
        elif one["title"] == BACKEND_TITLE:
            done.append(
                f"left the ML backend {one['url']}, which answers; --url {one['url']} removes it"
            )
    if _remove_webhooks(client, project_id, url):
        done.append(f"removed the webhook {url}/webhook")
    return done


def _is_left_behind(backend: JSON, url: str) -> bool:
    """Whether a backend is one of ours at another address that no longer works."""
    return (
        backend["title"] == BACKEND_TITLE
        and not same_address(backend["url"], url)
        and backend["state"] != "CO"
    )


def remove_backend(client: LabelStudioClient, project_id: int, backend: JSON) -> None:
    """Disconnect an ML backend and remove its webhook, which Label Studio leaves."""
    client.delete_ml_backend(backend["id"])
    _remove_webhooks(client, project_id, backend["url"])


def _remove_webhooks(client: LabelStudioClient, project_id: int, url: str) -> int:
    """Remove the webhooks to a backend's address and return their number."""
    address = f"{url.rstrip('/')}/webhook"
    hooks = [one for one in client.webhooks(project_id) if same_address(one["url"], address)]
    for hook in hooks:
        client.delete_webhook(hook["id"])
    return len(hooks)


def _set_up_webhook(client: LabelStudioClient, project_id: int, settings: Settings) -> None:
    """Keep exactly one webhook to this service, carrying the secret."""
    url = f"{settings.public_url}/webhook"
    headers: JSON = {}
    if secret := settings.webhook_secret.get_secret_value():
        headers[SECRET_HEADER] = secret
    elif settings.basic_auth_user:
        headers["Authorization"] = basic_credentials(settings)
    body = {
        "url": url,
        "headers": headers,
        "send_payload": True,
        "send_for_all_actions": True,
        "is_active": True,
    }
    present = [one for one in client.webhooks(project_id) if same_address(one["url"], url)]
    if not present:
        client.create_webhook(project_id, body)
        return
    client.update_webhook(present[0]["id"], body)
    for surplus in present[1:]:
        client.delete_webhook(surplus["id"])


def set_up_tab(client: LabelStudioClient, project_id: int) -> JSON:
    """Make or mend the Data Manager tab that shows consensus and score.

    It holds the tasks that have a prediction of the project's model version, the most
    doubtful first. Call it when the model version is set: before, all scores are empty.
    """
    return _set_up_tab(client, project_id, TAB_TITLE, operator="empty", value=False)


def set_up_review_tab(client: LabelStudioClient, project_id: int, up_to: float) -> JSON:
    """Make or mend the Data Manager tab of the tasks that need review, the most doubtful first.

    Parameters
    ----------
    up_to
        Largest score of a task that it shows, 0 to 1.
    """
    return _set_up_tab(client, project_id, REVIEW_TAB_TITLE, operator="less_or_equal", value=up_to)


def _set_up_tab(
    client: LabelStudioClient, project_id: int, title: str, *, operator: str, value: float | bool
) -> JSON:
    """Make or mend a tab of tasks chosen by their score, the lowest first."""
    data = {
        "title": title,
        "type": "list",
        "target": "tasks",
        "columnsWidth": {"tasks:predictions_results": 420},
        "hiddenColumns": _hidden_columns(client.columns(project_id)),
        "filters": {
            "conjunction": "and",
            "items": [
                {
                    "filter": "filter:tasks:predictions_score",
                    "operator": operator,
                    "type": "Number",
                    "value": value,
                }
            ],
        },
        "ordering": ["tasks:predictions_score"],
    }
    views = client.views(project_id)
    if not views:
        # Label Studio shows its own default tab only as long as there is no other.
        client.create_view(project_id, {"title": "Default"})
    for view in views:
        if view["data"].get("title") == title:
            return client.update_view(view["id"], project_id, {**view["data"], **data})
    return client.create_view(project_id, data)


def set_up_uncertainty_sampling(client: LabelStudioClient, project_id: int) -> tuple[str, str]:
    """Let Label Studio give annotators the tasks of the lowest score first.

    Returns
    -------
    replaced : str
        How it chose tasks before.
    said : str
        What it does in this project now and what it does not, in words.
    """
    project = client.project(project_id)
    client.update_project(project_id, sampling=UNCERTAINTY_SAMPLING)
    said = (
        "Label Studio now gives annotators the tasks with the lowest consensus quality first, "
        "among those that have a prediction and are open for labels. Tasks that nobody has "
        "labelled have no prediction and come last."
    )
    if int(project["maximum_annotations"]) > 1:
        said += (
            f" But as this project collects {project['maximum_annotations']} labels per task, "
            "Label Studio first hands out, at random, the open tasks that have the most labels "
            "already; scores decide only when no task with a label is open."
        )
    return str(project["sampling"]), said


def _hidden_columns(columns: Sequence[JSON]) -> JSON:
    """Columns to hide: all but the task's data and those that tell of the consensus."""
    names = [
        f"tasks:{'data.' if column.get('parent') == 'data' else ''}{column['id']}"
        for column in columns
        if column.get("target") == "tasks"
    ]
    hidden = [
        name for name in names if name not in _SHOWN_COLUMNS and not name.startswith("tasks:data")
    ]
    return {"explore": hidden, "labeling": hidden}


def basic_credentials(settings: Settings) -> str:
    """Value of an Authorization header with the settings' user and password."""
    pair = f"{settings.basic_auth_user}:{settings.basic_auth_pass.get_secret_value()}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def same_address(url: str, other: str) -> bool:
    """Whether two addresses are the same but for a slash at the end."""
    return url.rstrip("/") == other.rstrip("/")
