"""Pictures of the pages for the documentation: runs the demo and looks at it in a browser.

    python -m docs.screenshots [--data-dir FOLDER]

Needs Chromium and a few minutes the first time. The PNGs in docs/images are committed; run this
again when pages have changed.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from backend.processes import own_command
from tests.e2e.chromium import find_chromium
from tests.e2e.conftest import wait_for

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1200, 800
COLOURS = 128
START_SECONDS = 900


def main() -> None:
    """Run the demo and take every picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data-dir", type=Path, default=ROOT / ".demo", help="folder of the demo's data"
    )
    folder = parser.parse_args().data_dir.absolute()
    IMAGES.mkdir(exist_ok=True)
    with running_demo(folder) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        take_pages(page, demo)
        take_label_studio(page, demo)
        browser.close()
    for file in sorted(IMAGES.glob("*.png")):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB")


@contextmanager
def running_demo(folder: Path) -> Iterator[dict[str, Any]]:
    """Run `crowdlab demo` and give what it printed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    printed = folder / "demo-output.json"
    studio = ROOT / ".venv-label-studio"
    command = own_command(
        "demo", "--json", "--data-dir", str(folder), "--label-studio-env", str(studio)
    )
    with printed.open("w") as output, subprocess.Popen(command, stdout=output) as demo:
        try:
            wait_for(lambda: _parsed(printed), START_SECONDS)
            yield _parsed(printed)
        finally:
            demo.send_signal(signal.SIGINT)


def _parsed(file: Path) -> dict[str, Any]:
    """What it printed, once that is complete."""
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except ValueError:
        return {}
    return found


def take_pages(page: Page, demo: dict[str, Any]) -> None:
    """Each page of the dashboard, once what takes longest is drawn."""
    base = f"{demo['backend']}/projects/{demo['project']}"
    spammer = demo["worst_annotators"][-2]["annotator"]
    doubtful = demo["most_doubtful"][0]["task"]
    for name, address, drawn, height in (
        ("projects", demo["backend"], ".card.linked", 420),
        ("overview", base, ".matrix td", None),
        ("annotators", f"{base}/annotators", ".ag-center-cols-container .ag-row", None),
        ("annotator", f"{base}/annotators/{spammer}", ".matrix td", 1280),
        ("review", f"{base}/review", ".ag-center-cols-container .cell-link", None),
        ("task", f"{base}/tasks/{doubtful}", ".parts tfoot td", None),
        ("models", f"{base}/models", "main tbody tr", 640),
        ("activity", f"{base}/activity", "main tbody tr", 600),
    ):
        page.goto(address)
        page.wait_for_selector(drawn)
        page.wait_for_load_state("networkidle")
        save(page, name, height)


def take_label_studio(page: Page, demo: dict[str, Any]) -> None:
    """The tab in Label Studio's Data Manager that `crowdlab connect` makes."""
    page.goto(f"{demo['label_studio']}/user/login/")
    page.fill("input[name=email]", demo["login"]["email"])
    page.fill("input[name=password]", demo["login"]["password"])
    page.click("button[type=submit]")
    page.goto(demo["consensus_tab"])
    page.wait_for_selector("text=Crowdlab consensus")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)
    save(page, "label-studio", 620)


def save(page: Page, name: str, height: int | None) -> None:
    """Write a picture with few colours: the whole page, or its upper part."""
    whole = page.screenshot(full_page=True)
    picture = Image.open(io.BytesIO(whole)).convert("RGB")
    if height is not None:
        picture = picture.crop((0, 0, picture.width, min(height, picture.height)))
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
