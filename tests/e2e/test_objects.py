"""Boxes and key points, in through Label Studio and back as predictions."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page

from crowdlab_engine.shapes import Boxes
from tests.e2e.conftest import Running, Studio
from tests.e2e.test_answers import connected

pytestmark = pytest.mark.e2e

CONFIG = (
    '<View><Image name="img" value="$image"/>'
    '<RectangleLabels name="box" toName="img"><Label value="car, red" background="red"/>'
    '<Label value="人 😀" background="blue"/></RectangleLabels>'
    '<KeyPointLabels name="point" toName="img"><Label value="wheel"/></KeyPointLabels>'
    '<Choices name="state" toName="img" perRegion="true" whenTagName="box">'
    '<Choice value="new"/><Choice value="old"/></Choices>'
    "</View>"
)
WIDTH, HEIGHT = 320, 200
CAR, PERSON, WHEEL = [10, 30, 40, 35, 0], [65, 20, 15, 60, 0], [20, 62]


def picture() -> str:
    """An image with a car and a person, as a data URI."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    for (x, y, width, height, _), colour in ((CAR, "salmon"), (PERSON, "lightblue")):
        corners = (x, y), (x + width, y + height)
        draw.rectangle([(a * WIDTH / 100, b * HEIGHT / 100) for a, b in corners], fill=colour)
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def box(
    number: int, at: list[float], label: str, shift: float, state: str = ""
) -> list[dict[str, Any]]:
    x, y, width, height, rotation = at
    place = {"x": x + shift, "y": y + shift, "width": width, "height": height}
    shared = {
        "id": f"r{number}",
        "to_name": "img",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
    }
    value = {**place, "rotation": rotation, "rectanglelabels": [label]}
    found = [{**shared, "from_name": "box", "type": "rectanglelabels", "value": value}]
    if state:
        value = {**place, "rotation": rotation, "choices": [state]}
        found.append({**shared, "from_name": "state", "type": "choices", "value": value})
    return found


def point(at: list[float], shift: float) -> dict[str, Any]:
    x, y = at
    return {
        "id": "p",
        "from_name": "point",
        "to_name": "img",
        "type": "keypointlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": {"x": x + shift, "y": y, "width": 1.5, "keypointlabels": ["wheel"]},
    }


def test_drawn_objects(studio: Studio, running: Running, studio_page: Page, tmp_path: Path) -> None:
    project = studio.make_project(CONFIG, "Objects")
    image = {"image": picture()}
    alike = {
        name: [*box(1, CAR, "car, red", shift, "new"), *box(2, PERSON, "人 😀", shift, "old")]
        for name, shift in (("ann", 0.0), ("bob", 1.0), ("cy", -1.0))
    }
    with_point = {name: [*one, point(WHEEL, 0.5)] for name, one in alike.items()}
    doubtful = {
        "ann": [*box(1, CAR, "car, red", 0, "new")],
        "bob": [*box(1, CAR, "人 😀", 2, "old"), *box(2, PERSON, "人 😀", 0)],
        "cy": [],
    }
    broken = {
        **alike,
        "cy": [*alike["cy"], *box(3, [90, 90, -5, 5, 0], "car, red", 0), *box(4, CAR, "gone", 0)],
    }
    nothing: dict[str, list[dict[str, Any]]] = {name: [] for name in alike}
    tasks = studio.add_answers(
        project,
        [(image, with_point), (image, doubtful), (image, broken), (image, nothing)]
        + [(image, alike)] * 4,
    )
    connected(running, project)
    predictions = {task: found for task, (found,) in studio.predictions(project).items()}
    assert sorted(predictions) == tasks

    for task in (tasks[0], tasks[2], *tasks[4:]):
        result = predictions[task]["result"]
        boxes = [one for one in result if one["type"] == "rectanglelabels"]
        assert [one["value"]["rectanglelabels"] for one in boxes] == [["car, red"], ["人 😀"]]
        for one, truth in zip(boxes, (CAR, PERSON), strict=True):
            keys = ("x", "y", "width", "height", "rotation")
            found = np.array([[one["value"][key] for key in keys]])
            assert Boxes().similarity(found, np.array([truth]), np.ones(1))[0] > 0.95
            assert (one["original_width"], one["original_height"]) == (WIDTH, HEIGHT)
        states = {one["id"]: one["value"]["choices"] for one in result if one["type"] == "choices"}
        assert [states[one["id"]] for one in boxes] == [["new"], ["old"]]
        assert all(0.5 < one["score"] <= 1 for one in result if one["type"] == "choices")
    (wheel,) = [one for one in predictions[tasks[0]]["result"] if one["type"] == "keypointlabels"]
    assert wheel["value"]["x"] == pytest.approx(20.5)
    assert predictions[tasks[3]]["result"] == []
    scores = {task: one["score"] for task, one in predictions.items()}
    assert min(scores, key=scores.__getitem__) == tasks[1]

    summary = running.service.store(project).read_summary()
    assert summary is not None
    assert summary.questions[0].not_counted == (
        "1 of a class that the config does not have; 1 whose width or height is not above 0"
    )

    version = studio.client.project(project)["model_version"]
    studio_page.goto(f"{studio.url}/projects/{project}/data?task={tasks[0]}")
    studio_page.locator(".lsf-annotation-button__name", has_text=version).click()
    studio_page.locator("canvas").first.wait_for()
    studio_page.get_by_role("tree").get_by_text("car, red").click()
    studio_page.locator("input[name=new]").wait_for()
    studio_page.screenshot(path=tmp_path / "editor.png")
    assert studio_page.locator("input[name=new]").is_checked()
    assert not studio_page.locator("input[name=old]").is_checked()
