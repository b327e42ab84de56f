"""The Label Studio of the end-to-end tests: its environment, and the database that it uses."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from backend.demo.label_studio_server import DemoError, ensure_environment

FOLDER = Path(
    os.environ.get("LABEL_STUDIO_ENV", Path(__file__).resolve().parents[2] / ".venv-label-studio")
)
"""Shared with `make demo`; LABEL_STUDIO_ENV names another."""

PROGRAM = "LABEL_STUDIO_PROGRAM"
"""Environment variable: a `label-studio` of another version, installed already."""

DATABASE = "LABEL_STUDIO_DATABASE"
"""Environment variable: address of an empty PostgreSQL database to use instead of SQLite."""


def label_studio() -> Path:
    """Path of the `label-studio` program; unless one is named, it is installed if missing."""
    named = os.environ.get(PROGRAM)
    return Path(named) if named else ensure_environment(FOLDER)


def database() -> dict[str, str]:
    """Label Studio's own variables for the database that is named; empty if none is."""
    named = os.environ.get(DATABASE)
    if not named:
        return {}
    parts = urlsplit(named)
    return {
        "DJANGO_DB": "default",
        "POSTGRE_HOST": parts.hostname or "",
        "POSTGRE_PORT": str(parts.port or 5432),
        "POSTGRE_NAME": parts.path.strip("/"),
        "POSTGRE_USER": parts.username or "",
        "POSTGRE_PASSWORD": parts.password or "",
    }


if __name__ == "__main__":
    try:
        print(f"Label Studio: {label_studio()}")
    except DemoError as error:
        sys.exit(str(error))
