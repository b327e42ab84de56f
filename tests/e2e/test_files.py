"""Images and sounds in a real Label Studio: fetched through its token, and learned from."""

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from backend.features.media import media_of, recipe_of, width_of
from backend.features.outcome import Outcome
from backend.jobs.pipeline import refresh
from backend.overview import project_overview
from backend.service import Service
from backend.store.project import ProjectStore
from tests.backend.features.files import SVG, bomb, encoded, tone
from tests.backend.features.hosts import Host, running_host
from tests.e2e.conftest import Studio

pytestmark = pytest.mark.e2e

CLASSES = ("low", "high")
PEOPLE = ("anna", "ben", "carla")


def config(tag: str) -> str:
    return (
        f'<View><{tag} name="file" value="$file"/><Choices name="label" toName="file">'
        '<Choice value="low"/><Choice value="high"/></Choices></View>'
    )


def picture(is_high: bool, generator: np.random.RandomState) -> bytes:
    """A blot that stands high or low, in any colour, size and column."""
    image = Image.new("RGB", (64, 64), tuple(generator.randint(120, 256, 3)))
    x, size = generator.randint(8, 56), generator.randint(4, 8)
    y = generator.randint(8, 22) if is_high else generator.randint(42, 56)
    box = (x - size, y - size, x + size, y + size)
    ImageDraw.Draw(image).ellipse(box, fill=tuple(generator.randint(0, 100, 3)))
    return encoded(image)


def sound(is_high: bool, generator: np.random.RandomState) -> bytes:
    return tone(generator.uniform(900, 1500) if is_high else generator.uniform(200, 600), 0.4)


def upload(studio: Studio, project: int, files: dict[str, tuple[bytes, str]]) -> dict[str, int]:
    """Import files, each with its type, as a browser does; returns the task of each."""
    known = set(studio.client.task_ids(project))
    answer = httpx.post(
        f"{studio.url}/api/projects/{project}/import",
        headers={"Authorization": studio.client.authorization()},
        files={name: (name, *file) for name, file in files.items()},
        timeout=120,
    )
    answer.raise_for_status()
    data = studio.client.task_data(project, set(studio.client.task_ids(project)) - known)
    addresses = {one["file"]: task for task, one in data.items()}
    assert all(address.startswith("/data/upload/") for address in addresses)
    return {address.rpartition("-")[2]: task for address, task in addresses.items()}


def label(studio: Studio, project: int, classes: dict[int, bool]) -> None:
    """Let three people label tasks; each errs in one of eight."""
    for number, (task, is_high) in enumerate(sorted(classes.items())):
        for place, name in enumerate(PEOPLE):
            said = is_high ^ ((number + 3 * place) % 8 == 0)
            region = {
                "from_name": "label",
                "to_name": "file",
                "type": "choices",
                "value": {"choices": [CLASSES[int(said)]]},
            }
            studio.client.create_annotation(task, [region], completed_by=studio.person(name))


@dataclass
class Labelled:
    """A project, its tasks' classes, and those whose file cannot be read."""

    project: int
    is_high: dict[int, bool]
    troubled: dict[int, int]
    """Task to what its outcome must be."""
    store: ProjectStore
    service: Service

    def described(self) -> dict[int, tuple[float, int]]:
        """When each task's file was tried, and the outcome."""
        info = self.store.read_info()
        assert info is not None
        media = media_of(info.questions[0].sources)
        rows = self.store.described(recipe_of(media), 1).read()
        moments = zip(rows["tried_at"].tolist(), rows["outcome"][:, 0].tolist(), strict=True)
        return dict(zip(rows["task"].tolist(), moments, strict=True))

    def num_descriptors(self) -> int:
        info = self.store.read_info()
        assert info is not None
        media = media_of(info.questions[0].sources)
        return len(self.store.descriptors(recipe_of(media), width_of(media)).read()["task"])

    def classifier(self) -> str:
        summary = self.store.read_summary()
        assert summary is not None
        return summary.questions[0].classifier

    def accuracy(self) -> float:
        """Share of readable tasks that the classifier gets right, out of sample."""
        rows = self.store.pred_probs(0, 2).read()
        said = dict(zip(rows["task"].tolist(), rows["probs"].argmax(axis=1), strict=True))
        tasks = [task for task in self.is_high if task not in self.troubled]
        return float(np.mean([said[task] == self.is_high[task] for task in tasks]))


@pytest.fixture
def forbidden() -> Iterator[Host]:
    """A host of a private network, which nobody may be led to."""
    with running_host() as host:
        yield host


@pytest.fixture
def images(
    studio: Studio, make_service: Callable[..., Service], forbidden: Host
) -> Iterator[Labelled]:
    generator = np.random.RandomState(0)
    project = studio.make_project(config("Image"))
    classes = {f"{number}.png": bool(number % 2) for number in range(60)}
    tasks = upload(
        studio,
        project,
        {name: (picture(one, generator), "image/png") for name, one in classes.items()},
    )
    is_high = {tasks[name]: one for name, one in classes.items()}
    broken = encoded(Image.effect_noise((300, 300), 90))[:5000]
    hostile = {
        "broken.png": (broken, "image/png", Outcome.BROKEN),
        "script.svg": (SVG, "image/svg+xml", Outcome.SVG),
        "bomb.png": (bomb(), "image/png", Outcome.TOO_MANY_PIXELS),
    }
    tasks = upload(studio, project, {name: file[:2] for name, file in hostile.items()})
    troubled = {tasks[name]: outcome for name, (*_, outcome) in hostile.items()}
    again = picture(True, generator)
    values: list[tuple[Any, int]] = [
        (f"{forbidden.url}/a.png", Outcome.HOST_NOT_ALLOWED),
        ("file:///etc/passwd", Outcome.NOT_AN_ADDRESS),
        ("http://169.254.169.254/latest/meta-data/", Outcome.HOST_NOT_ALLOWED),
        ("/api/users/", Outcome.NOT_CONTENT),
        ("/data/upload/1/gone.png", 500),
        ("", Outcome.EMPTY),
        ("data:image/png;base64," + base64.b64encode(again).decode(), Outcome.READ),
    ]
    added = studio.client.import_tasks(project, [{"data": {"file": one}} for one, _ in values])
    troubled |= dict(zip(added, (outcome for _, outcome in values), strict=True))
    label(studio, project, is_high | {task: task % 2 == 0 for task in troubled})
    service = make_service(label_studio_url=studio.url, label_studio_api_key=studio.api_key)
    yield Labelled(project, is_high, troubled, service.store(project), service)
    service.close()


def test_a_classifier_learns_from_uploaded_images(
    studio: Studio, images: Labelled, forbidden: Host
) -> None:
    refresh(images.service, images.project)
    assert "log loss" in images.classifier()
    assert images.accuracy() >= 0.9
    found = images.described()
    assert {task: found[task][1] for task in images.troubled} == images.troubled
    assert all(found[task][1] == Outcome.READ for task in images.is_high)
    assert images.num_descriptors() == len(images.is_high) + 1
    assert not forbidden.asked
    report = images.store.read_media()
    assert report is not None
    (sentence,) = report.sentences()
    assert sentence.startswith("8 of 70 images (file) could not be read: 2 of a host that is not")
    assert sentence.removesuffix(".") in images.classifier()
    assert project_overview(images.service, images.project).unread_files == (sentence,)


def test_files_are_read_once(studio: Studio, images: Labelled) -> None:
    refresh(images.service, images.project)
    before = images.described()
    first, second, *_ = images.is_high
    data = studio.client.task_data(images.project, [first, second])
    studio.client.update_task(first, data={"file": data[second]["file"]})
    studio.client._request("DELETE", f"api/tasks/{second}/")
    refresh(images.service, images.project)
    after = images.described()
    assert {task for task in after if after[task] != before[task]} == {first}
    assert set(before) - set(after) == {second}
    assert images.num_descriptors() == len(images.is_high)

    time.sleep(0.01)
    refresh(images.service, images.project, full_sync=True)
    again = images.described()
    failed = {
        task
        for task, outcome in images.troubled.items()
        if outcome not in (Outcome.READ, Outcome.EMPTY)
    }
    assert {task for task in again if again[task][0] != after[task][0]} == failed


def test_sounds_are_learned_from(studio: Studio, make_service: Callable[..., Service]) -> None:
    generator = np.random.RandomState(1)
    project = studio.make_project(config("Audio"))
    classes = {f"{number}.wav": bool(number % 2) for number in range(30)}
    tasks = upload(
        studio,
        project,
        {name: (sound(one, generator), "audio/wav") for name, one in classes.items()},
    )
    is_high = {tasks[name]: one for name, one in classes.items()}
    label(studio, project, is_high)
    service = make_service(label_studio_url=studio.url, label_studio_api_key=studio.api_key)
    sounds = Labelled(project, is_high, {}, service.store(project), service)
    refresh(service, project)
    assert "log loss" in sounds.classifier()
    assert sounds.accuracy() >= 0.9
    service.close()


def test_numbers_that_a_setting_names_are_learned_from(
    studio: Studio, make_service: Callable[..., Service]
) -> None:
    project = studio.make_project(config("Video"))
    data = [
        {"file": "/data/upload/1/a.mp4", "size": 10 * (number % 2) + number % 7}
        for number in range(40)
    ]
    tasks = studio.client.import_tasks(project, [{"data": one} for one in data])
    is_high = {task: bool(number % 2) for number, task in enumerate(tasks)}
    label(studio, project, is_high)
    access = {"label_studio_url": studio.url, "label_studio_api_key": studio.api_key}
    service = make_service(**access)
    numbers = Labelled(project, is_high, {}, service.store(project), service)
    refresh(service, project)
    assert numbers.classifier().startswith("none: the tasks hold no text, number, image or sound")
    labels = numbers.store.annotations(1).read()
    service.close()

    service = make_service(**access, number_keys="size")
    refresh(service, project)
    assert "log loss" in numbers.classifier()
    assert numbers.accuracy() >= 0.9
    np.testing.assert_array_equal(numbers.store.annotations(1).read()["codes"], labels["codes"])
    service.close()
