"""The Label Studio of the end-to-end tests, in an environment of its own."""

import os
import sys
from pathlib import Path

from backend.demo.label_studio_server import DemoError, ensure_environment

FOLDER = Path(
    os.environ.get("LABEL_STUDIO_ENV", Path(__file__).resolve().parents[2] / ".venv-label-studio")
)
"""Shared with `make demo`; LABEL_STUDIO_ENV names another."""

if __name__ == "__main__":
    try:
        print(f"Label Studio: {ensure_environment(FOLDER)}")
    except DemoError as error:
        sys.exit(str(error))
