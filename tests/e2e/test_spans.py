"""Spans of texts, in through Label Studio and back as predictions that its editor shows."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Running, Studio, wait_for
from tests.e2e.test_answers import connected

pytestmark = pytest.mark.e2e

PERSON, PLACE, MOOD = "person, alive", "場所 с пробелом", "😀 mood"
CONFIG = (
    '<View><Labels name="ner" toName="text">'
    f'<Label value="{PERSON}"/><Label value="{PLACE}"/><Label value="{MOOD}"/></Labels>'
    '<Text name="text" value="$text"/></View>'
)
TEXTS = (
    "😀👩‍👩‍👧 Ada lived in 東京, happy\nin 🇩🇪 Berlin",
    "अदा लंदन में रहती थी 🎉",
    "Nobody is here",
)
SPANS = (
    (("Ada", PERSON), ("東京", PLACE), ("happy", MOOD), ("Berlin", PLACE)),
    (("अदा", PERSON), ("लंदन", PLACE), ("🎉", MOOD)),
    (),
)


def region(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]}
    return {"from_name": "ner", "to_name": "text", "type": "labels", "value": value}


def result(number: int) -> list[dict[str, Any]]:
    text = TEXTS[number]
    return [
        region(text.index(word), text.index(word) + len(word), label)
        for word, label in SPANS[number]
    ]


def read(prediction: dict[str, Any]) -> list[tuple[int, int, str]]:
    values = [one["value"] for one in prediction["result"]]
    return [(value["start"], value["end"], *value["labels"]) for value in values]


@pytest.fixture(scope="module")
def project(studio: Studio, running: Running) -> tuple[int, list[int]]:
    """A project whose predictions are published, and its tasks."""
    number = studio.make_project(CONFIG, "Spans")
    odd = [region(0, 10_000, PLACE), region(9, 3, PLACE), region(0, 3, "gone")]
    answers = [
        (
            {"text": TEXTS[n]},
            {
                "ann": result(n),
                "bob": result(n) + (odd if n == 2 else []),
                "cy": result(n)[:1] if n == 0 else result(n),
            },
        )
        for n in range(3)
    ]
    tasks = studio.add_answers(number, answers)
    connected(running, number)
    return number, tasks


def test_consensus_spans_come_back_as_predictions(
    studio: Studio, project: tuple[int, list[int]]
) -> None:
    number, tasks = project
    predictions = studio.predictions(number)
    assert sorted(predictions) == tasks
    for place, task in enumerate(tasks):
        (prediction,) = predictions[task]
        expected = [(*_place(one), one["value"]["labels"][0]) for one in result(place)]
        assert read(prediction) == expected
        assert all(0 < one["score"] <= 1 for one in prediction["result"])
        assert [one["value"]["text"] for one in prediction["result"]] == [
            word for word, _ in SPANS[place]
        ]
    scores = [predictions[task][0]["score"] for task in tasks]
    assert min(scores) == scores[0]
    assert all(0 <= score <= 1 for score in scores)


def _place(one: dict[str, Any]) -> tuple[int, int]:
    return one["value"]["start"], one["value"]["end"]


def test_what_cannot_be_used_is_counted(running: Running, project: tuple[int, list[int]]) -> None:
    summary = running.service.store(project[0]).read_summary()
    assert summary is not None
    (question,) = summary.questions
    assert question.not_counted == (
        "spans (1 of a class that the config does not have, 1 outside their text, 1 that end "
        "before they begin)"
    )


def test_the_editor_shows_the_spans_where_they_are(
    studio: Studio, running: Running, studio_page: Page, project: tuple[int, list[int]]
) -> None:
    """Label Studio counts code points: a span after an emoji is at its place."""
    number, tasks = project
    version = studio.client.project(number)["model_version"]
    for place in (0, 1):
        studio_page.goto(f"{studio.url}/projects/{number}/data?task={tasks[place]}")
        shown = studio_page.locator(".htx-highlight")
        shown.first.wait_for()
        # The table beside the editor names the version, too.
        studio_page.get_by_text(version).last.click()
        wait_for(lambda shown=shown, place=place: shown.count() == len(SPANS[place]), 90)
        studio_page.screenshot(path=running.folder / f"spans-{place}.png")
        assert [text.strip() for text in shown.all_inner_texts()] == [
            word for word, _ in SPANS[place]
        ]
