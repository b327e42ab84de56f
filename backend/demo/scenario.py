"""What the demonstration shows: tasks, annotators, their labels, and the truth."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from backend.demo.label_studio_server import DemoError

JSON = dict[str, Any]

_SIDE_PIXELS = 160
_NUM_DIGITS = 750
_NUM_UNLABELED = 50
_NUM_SINGLE = 60
_NUM_GROUND_TRUTH = 40
_CONFUSED_WITH = {4: 9, 9: 4, 3: 8, 8: 3, 1: 7, 7: 1}

# Share of right labels; the two bad ones are made apart.
_SKILLS = {
    "ada": 0.97, "bela": 0.95, "chen": 0.93, "dora": 0.91, "emeka": 0.89, "fatou": 0.87,
    "goran": 0.84, "hanna": 0.81, "ivan": 0.77, "jun": 0.73, "kofi": 0.69, "lena": 0.65,
    "mara": 0.60,
}  # fmt: skip
_RANDOM = "rando"
_CONSTANT = "sam-one"


@dataclass(frozen=True)
class Label:
    """One annotator's label of one task."""

    task: int
    """Position of the task."""
    annotator: int
    """Position of the annotator."""
    label: int
    """Class code, or -1 if the annotator skipped the task."""
    seconds: float


@dataclass(frozen=True)
class Scenario:
    """Everything that is put into Label Studio, and the truth, which is not."""

    title: str
    label_config: str
    question: str
    classes: tuple[str, ...]
    tasks: tuple[JSON, ...]
    """Task data; nothing in it tells the truth."""
    annotators: tuple[str, ...]
    """Names for e-mail addresses."""
    labels: tuple[Label, ...]
    truth: tuple[int, ...]
    """Class code per task, -1 if unknown."""
    ground_truth: tuple[int, ...]
    """Positions of tasks for which an expert's annotation is given."""
    bad_annotators: Mapping[str, str] = field(default_factory=dict)
    """Annotators made bad on purpose: name to what they do."""


def digits_scenario(seed: int = 7) -> Scenario:
    """Handwritten digits, labelled by 15 annotators of different skill.

    One of them answers at random, one always the same digit; the others mostly err
    between digits that look alike.
    """
    random = np.random.default_rng(seed)
    images, digits = load_digits(return_X_y=True)
    chosen = random.choice(len(digits), _NUM_DIGITS, replace=False)
    truth = digits[chosen]
    names = [*_SKILLS, _RANDOM, _CONSTANT]
    labels = []
    order = random.permutation(_NUM_DIGITS)
    for place, task in enumerate(order.tolist()):
        if place < _NUM_UNLABELED:
            continue
        wanted = 1 if place < _NUM_UNLABELED + _NUM_SINGLE else int(random.integers(3, 6))
        for annotator in random.choice(len(names), wanted, replace=False).tolist():
            label = _simulated_label(random, names[annotator], int(truth[task]))
            seconds = round(float(random.lognormal(1.6, 0.5)), 2)
            labels.append(Label(task, annotator, label, seconds))
    expert = random.choice(order[_NUM_UNLABELED:], _NUM_GROUND_TRUTH, replace=False)
    choices = "".join(f'<Choice value="{digit}" hotkey="{digit}"/>' for digit in range(10))
    return Scenario(
        title="Handwritten digits (Crowdlab demo)",
        label_config=(
            '<View><Header value="Which digit is this?"/>'
            '<Image name="image" value="$image" width="240px"/>'
            f'<Choices name="digit" toName="image" choice="single" showInline="true">{choices}'
            "</Choices></View>"
        ),
        question="digit",
        classes=tuple(str(digit) for digit in range(10)),
        tasks=tuple({"image": _data_uri(images[one])} for one in chosen),
        annotators=tuple(names),
        labels=tuple(labels),
        truth=tuple(int(digit) for digit in truth),
        ground_truth=tuple(sorted(int(task) for task in expert)),
        bad_annotators={_RANDOM: "answers at random", _CONSTANT: "always answers 1"},
    )


def _simulated_label(random: Generator, name: str, digit: int) -> int:
    if name == _RANDOM:
        return int(random.integers(10))
    if name == _CONSTANT:
        return 1
    if random.random() < 0.01:
        return -1
    if random.random() < _SKILLS[name]:
        return digit
    if digit in _CONFUSED_WITH and random.random() < 0.7:
        return _CONFUSED_WITH[digit]
    return int(random.choice([other for other in range(10) if other != digit]))


def _data_uri(pixels: NDArray[np.float64]) -> str:
    """Dark ink on white, enlarged so that a person can read it, as a PNG data URI."""
    ink = 255 - np.clip(pixels.reshape(8, 8) * (255 / 16), 0, 255)
    small = Image.fromarray(ink.astype(np.uint8))
    large = small.resize((_SIDE_PIXELS, _SIDE_PIXELS), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    large.save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def dataset_scenario(folder: Path) -> Scenario:
    """Read tasks and crowd labels of a folder with labels.parquet, tasks.parquet, meta.json.

    Raises
    ------
    DemoError
        A file is missing or lacks a column, or meta.json names no classes.
    """
    for name in ("meta.json", "labels.parquet", "tasks.parquet"):
        if not (folder / name).is_file():
            raise DemoError(
                f"The data set folder {folder} has no {name}.",
                "It needs labels.parquet (task, annotator, label), tasks.parquet (task, truth, "
                "text columns) and meta.json (classes).",
            )
    meta = _meta(folder / "meta.json")
    labels = _table(folder / "labels.parquet", ("task", "annotator", "label"))
    tasks = _table(folder / "tasks.parquet", ("task",))
    classes = tuple(str(name) for name in meta["classes"])
    truth = (
        tasks["truth"].fillna(-1).astype(int) if "truth" in tasks else pd.Series(-1, tasks.index)
    )
    texts = [name for name in tasks.columns if name not in {"task", "truth"}]
    shown = tasks[texts].fillna("").astype(str)
    if not texts:
        shown = pd.DataFrame({"item": "Item " + tasks["task"].astype(str)})
    position = pd.Series(range(len(tasks)), index=tasks["task"])
    annotators, person = np.unique(labels["annotator"].astype(str), return_inverse=True)
    return Scenario(
        title=f"{meta.get('name', folder.name)} (Crowdlab demo)",
        label_config=_text_config(list(shown.columns), classes),
        question="answer",
        classes=classes,
        tasks=tuple(
            {str(key): text for key, text in row.items()} for row in shown.to_dict("records")
        ),
        annotators=tuple(annotators.tolist()),
        labels=tuple(
            Label(int(position[task]), int(annotator), int(label), 0.0)
            for task, annotator, label in zip(labels["task"], person, labels["label"], strict=True)
        ),
        truth=tuple(truth.tolist()),
        ground_truth=(),
    )


def _meta(path: Path) -> JSON:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DemoError(f"{path} is not JSON: {error}.") from None
    classes = meta.get("classes") if isinstance(meta, dict) else None
    if not isinstance(classes, list) or not classes:
        raise DemoError(
            f"{path} names no classes.",
            'It needs a list of their names, such as {"classes": ["negative", "positive"]}.',
        )
    return dict(meta)


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    missing = [name for name in columns if name not in frame]
    if missing:
        raise DemoError(f"{path} has no column {', '.join(missing)}.")
    return frame


def _text_config(columns: list[str], classes: tuple[str, ...]) -> str:
    texts = "".join(
        f"<Header value={quoteattr(name)}/>"
        f"<Text name={quoteattr(name)} value={quoteattr('$' + name)}/>"
        for name in columns
    )
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return (
        f'<View>{texts}<Choices name="answer" toName={quoteattr(columns[0])} '
        f'choice="single">{choices}</Choices></View>'
    )
