"""Answers that are no class, in through Label Studio and back as predictions."""

from typing import Any

import pytest

from tests.e2e.conftest import Running, Studio, wait_for
from tests.e2e.test_live import crowdlab

pytestmark = pytest.mark.e2e

TOPICS = (
    '<View><Text name="text" value="$text"/><Choices name="topics" toName="text" '
    'choice="multiple"><Choice value="price, total"/><Choice value="質 😀"/>'
    '<Choice value="speed"/></Choices></View>'
)


def connected(running: Running, project: int) -> None:
    crowdlab(running, "connect", str(project))
    wait_for(lambda: running.service.store(project).read_publication())


def topics(*choices: str) -> list[dict[str, Any]]:
    if not choices:
        return []
    value = {"choices": list(choices)}
    return [{"from_name": "topics", "to_name": "text", "type": "choices", "value": value}]


def test_several_choices(studio: Studio, running: Running) -> None:
    project = studio.make_project(TOPICS, "Several choices")
    right = [("price, total",), ("price, total", "質 😀"), ()]
    tasks = studio.add_answers(
        project,
        [
            (
                {"text": f"text {number}"},
                {
                    "ann": topics(*right[number % 3]),
                    "bob": topics(*right[number % 3]),
                    "cy": topics("speed") if number == 4 else topics(*right[number % 3]),
                },
            )
            for number in range(12)
        ],
    )
    connected(running, project)
    predictions = studio.predictions(project)
    assert sorted(predictions) == tasks
    for number, task in enumerate(tasks):
        (prediction,) = predictions[task]
        found = [one["value"]["choices"] for one in prediction["result"]]
        assert found == ([list(right[number % 3])] if right[number % 3] else [])
    scores = {task: one[0]["score"] for task, one in predictions.items()}
    assert min(scores, key=scores.__getitem__) == tasks[4]


TREE = (
    '<Choice value="Animal"><Choice value="Dog"/><Choice value="Cat"/></Choice>'
    '<Choice value="Pflanze, 植物 😀"/>'
)
CLASSES = f"""<View><Text name="a" value="$text"/><Text name="b" value="$other"/>
<Rating name="stars" toName="a" maxRating="4"/>
<Number name="number" toName="a"/>
<Pairwise name="better" toName="a,b"/>
<Taxonomy name="path" toName="a" maxUsages="1">{TREE}</Taxonomy>
<Taxonomy name="paths" toName="a">{TREE}</Taxonomy>
<Choices name="options" toName="a" value="$options"/>
<Choices name="nested" toName="a" allowNested="true">{TREE}</Choices></View>"""
PATHS = [["Animal", "Dog"], ["Animal", "Cat"], ["Animal"], ["Pflanze, 植物 😀"]]
TYPES = {
    "stars": "rating",
    "number": "number",
    "better": "pairwise",
    "path": "taxonomy",
    "paths": "taxonomy",
    "options": "choices",
}


def values_of(kind: int) -> dict[str, dict[str, Any]]:
    return {
        "stars": {"rating": kind + 1},
        "number": {"number": [10, 2.5, -1, 7][kind]},
        "better": {"selected": ["left", "right"][kind % 2]},
        "path": {"taxonomy": [PATHS[kind]]},
        "paths": {"taxonomy": PATHS[: kind + 1]},
        "options": {"choices": [f"option, {kind} 😀"]},
    }


def result_of(values: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"from_name": name, "to_name": "a", "type": TYPES[name], "value": value}
        for name, value in values.items()
    ]


def said_in(studio: Studio, project: int) -> dict[int, dict[str, Any]]:
    """What the one prediction of each task says, by control tag."""
    return {
        task: {one["from_name"]: one["value"] for one in prediction["result"]}
        for task, (prediction,) in studio.predictions(project).items()
    }


def test_every_kind_of_class_in_one_config(studio: Studio, running: Running) -> None:
    project = studio.make_project(CLASSES, "Every kind of class")
    data = [{"value": f"option, {kind} 😀"} for kind in range(4)]
    tasks = studio.add_answers(
        project,
        [
            (
                {"text": f"text {number}", "other": "other", "options": data},
                {
                    "ann": result_of(values_of(number % 4)),
                    "bob": result_of(values_of(number % 4)),
                    "cy": result_of(values_of((number + (number == 5)) % 4)),
                },
            )
            for number in range(12)
        ]
        + [({"text": "unlabelled", "other": "other", "options": data}, {})],
    )
    unlabelled = tasks.pop()
    connected(running, project)
    said = said_in(studio, project)
    assert sorted(said) == tasks
    for number, task in enumerate(tasks):
        expected = values_of(number % 4)
        expected["paths"]["taxonomy"].sort()
        said[task]["paths"]["taxonomy"].sort()
        assert said[task] == expected
    scores = {task: one[0]["score"] for task, one in studio.predictions(project).items()}
    assert min(scores, key=scores.__getitem__) == tasks[5]
    info = running.service.store(project).read_info()
    assert info is not None
    assert "nested choices" in info.unsupported["nested"]
    assert "no consensus for nested" in crowdlab(running, "status")

    # A number that nobody has given yet comes in by an event.
    body = {"result": result_of({**values_of(0), "number": {"number": 99}})}
    for name in ("ann", "bob"):
        studio.as_person(name)._request("POST", f"api/tasks/{unlabelled}/annotations/", body=body)
    expected = {**values_of(0), "number": {"number": 99}}
    wait_for(lambda: said_in(studio, project).get(unlabelled) == expected, 120)
    info = running.service.store(project).read_info()
    assert info is not None
    assert set(info.questions[1].classes) == {"10", "2.5", "-1", "7", "99"}


def test_too_many_numbers_beside_500_classes(studio: Studio, running: Running) -> None:
    names = [f"class, no. {n} 質 😀" for n in range(500)]
    choices = "".join(f'<Choice value="{name}"/>' for name in names)
    project = studio.make_project(
        '<View><Text name="a" value="$text"/><Number name="number" toName="a"/>'
        f'<Choices name="options" toName="a">{choices}</Choices></View>',
        "Too many numbers",
    )
    tasks = studio.add_answers(
        project,
        [
            (
                {"text": f"text {n}"},
                {
                    name: result_of(
                        {
                            "number": {"number": n + place / 10},
                            "options": {"choices": [names[7 * n]]},
                        }
                    )
                    for place, name in enumerate(("ann", "bob"))
                },
            )
            for n in range(60)
        ],
    )
    connected(running, project)
    said = said_in(studio, project)
    assert said == {task: {"options": {"choices": [names[7 * n]]}} for n, task in enumerate(tasks)}
    info = running.service.store(project).read_info()
    assert info is not None
    assert [one.name for one in info.questions] == ["options"]
    assert "too many distinct values" in info.unsupported["number"]


WORDS = '<View><Text name="text" value="$text"/><TextArea name="summary" toName="text"/></View>'


def summary(*texts: str) -> list[dict[str, Any]]:
    value = {"text": list(texts)}
    return [{"from_name": "summary", "to_name": "text", "type": "textarea", "value": value}]


def test_free_text(studio: Studio, running: Running) -> None:
    project = studio.make_project(WORDS, "Free text")
    right = [f"Die {number}. Zusammenfassung 質 😀" for number in range(10)]
    tasks = studio.add_answers(
        project,
        [
            (
                {"text": f"text {number}"},
                {
                    "ann": summary(said),
                    "bob": summary(said.replace("mm", "m").upper()),
                    "cy": summary("no idea" if number == 4 else said.lower()),
                },
            )
            for number, said in enumerate(right)
        ],
    )
    connected(running, project)
    predictions = studio.predictions(project)
    assert sorted(predictions) == tasks
    for task, said in zip(tasks, right, strict=True):
        (prediction,) = predictions[task]
        (found,) = prediction["result"]
        assert found["value"]["text"] == [said]
        assert found["type"] == "textarea"
    scores = {task: one[0]["score"] for task, one in predictions.items()}
    assert min(scores, key=scores.__getitem__) == tasks[4]


SOUND = (
    '<View><Audio name="sound" value="$sound"/><Image name="img" value="$image"/>'
    '<Labels name="who" toName="sound"><Label value="speech, loud"/><Label value="音楽 😀"/>'
    "</Labels>"
    '<Labels name="kind" toName="img"><Label value="photo"/><Label value="drawing"/></Labels>'
    '<Labels name="parts" toName="sound"><Label value="noise"/></Labels></View>'
)


def one_label(name: str, to: str, label: str, **value: Any) -> dict[str, Any]:
    return {
        "from_name": name,
        "to_name": to,
        "type": "labels",
        "original_length": 2.0,
        "value": {**value, "labels": [label]},
    }


def test_labels_chosen_once_per_task(studio: Studio, running: Running) -> None:
    project = studio.make_project(SOUND, "One label per task")
    labels = ("speech, loud", "音楽 😀")

    def result(number: int) -> list[dict[str, Any]]:
        return [
            one_label("who", "sound", labels[number % 2], start=0, end=2.0, channel=0),
            one_label("kind", "img", ("photo", "drawing")[number % 2]),
            one_label("parts", "sound", "noise", start=0.5, end=1.0, channel=0),
        ]

    tasks = studio.add_answers(
        project,
        [
            (
                {"sound": "sound.wav", "image": "image.png"},
                {"ann": result(n), "bob": result(n), "cy": result(n + (n == 3))},
            )
            for n in range(6)
        ],
    )
    connected(running, project)
    said = said_in(studio, project)
    assert sorted(said) == tasks
    for number, task in enumerate(tasks):
        assert {name: value["labels"] for name, value in said[task].items()} == {
            "who": [labels[number % 2]],
            "kind": [("photo", "drawing")[number % 2]],
        }
    info = running.service.store(project).read_info()
    assert info is not None
    assert "annotators label parts" in info.unsupported["parts"]
