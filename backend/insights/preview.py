"""What a task shows to annotators, as far as a page can show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from backend.errors import UnknownTaskError
from backend.features.extract import sources_of
from backend.insights.lookup import known_project
from backend.service import Service

MOST_CHARACTERS = 20_000
"""Characters of a text that are shown."""

_MOST_VALUES = 6
"""Values that are shown of a task whose content is not known."""

_RASTER = re.compile(r"data:image/(?:png|jpeg|gif|webp|bmp);base64,[A-Za-z0-9+/=\s]+")


@dataclass(frozen=True)
class TaskPreview:
    """Content of a task."""

    texts: tuple[tuple[str, str], ...]
    """Names and texts."""
    images: tuple[str, ...]
    """Addresses: raster images as data URIs, or files that Label Studio serves."""


def task_preview(service: Service, project_id: int, task: int) -> TaskPreview:
    """Ask Label Studio for the content of a task.

    Images of other hosts are given as text, since a page loads nothing from elsewhere.

    Raises
    ------
    UnknownProjectError, UnknownTaskError
        There is no such project or task.
    LabelStudioError, SettingsError
        Label Studio does not give the task.
    """
    info = known_project(service, project_id)
    found = list(service.label_studio.tasks_by_id(project_id, [task]))
    if not found:
        raise UnknownTaskError(
            f"Label Studio has no task {task} in project {project_id} any more.",
            "The next sync removes it here, too.",
        )
    data: dict[str, Any] = found[0].get("data") or {}
    kinds = {source.key: source.kind for source in sources_of(info.questions)}
    wanted = [key for key in kinds if key in data] or list(data)[:_MOST_VALUES]
    texts: list[tuple[str, str]] = []
    images: list[str] = []
    for key in wanted:
        value = data[key]
        text = value if isinstance(value, str) else repr(value)
        address = _image_address(text, service.settings.label_studio_url)
        if kinds.get(key) == "image" and address:
            images.append(address)
        elif len(text) > MOST_CHARACTERS:
            texts.append((key, f"{text[:MOST_CHARACTERS]} …"))
        else:
            texts.append((key, text))
    return TaskPreview(tuple(texts), tuple(images))


def _image_address(text: str, label_studio: str) -> str:
    """Address that a page may load an image from; empty for all others."""
    if _RASTER.fullmatch(text):
        return text
    address = urljoin(label_studio + "/", text)
    same = urlsplit(address)[:2] == urlsplit(label_studio)[:2]
    return address if same and not text.startswith("data:") else ""
