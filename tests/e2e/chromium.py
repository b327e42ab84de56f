"""A Chromium for browser tests: the one on PATH, else one installed now."""

import os
import shutil
import subprocess
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")


def find_chromium() -> str:
    """Path of a Chromium; installs one if there is none.

    Raises
    ------
    RuntimeError
        None can be had; the message says what to do.
    """
    if path := _on_path():
        return path
    tried = []
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *_PACKAGES]
        for command in (["apt-get", "update"], install):
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                tried.append(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
                break
        if path := _on_path():
            return path
    install = [sys.executable, "-m", "playwright", "install", "chromium"]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode == 0:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            return str(playwright.chromium.executable_path)
    tried.append(f"playwright install chromium: {done.stderr.strip()[-300:]}")
    raise RuntimeError(
        "The browser tests need Chromium, which is not on PATH and could not be installed: "
        f"{'; '.join(tried)}. Install the package chromium, then run the tests again."
    )


def _on_path() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


if __name__ == "__main__":
    try:
        print(f"Chromium: {find_chromium()}")
    except RuntimeError as error:
        sys.exit(str(error))
