"""Descriptors of images and sounds: what they cost, and what classifiers learn from them.

    python -m benchmarks.features [--short]

A crowd of three annotators, each right on 65 % of the tasks, labels images and sounds. The
classifier learns from their majority vote, by cross-validation, as the service's does. It is
compared with what the service had before: the brightness of 16 x 16 cells. The digits are
real, scanned from handwriting (scikit-learn's `load_digits`); shapes, colours and sounds are
drawn here. Times are of one core.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table
from scipy.io import wavfile
from sklearn.datasets import load_digits

from backend.features.audio import describe_audio
from backend.features.image import describe_image
from crowdlab_engine import (
    Crowdlab,
    MultiannotatorLabels,
    majority_vote,
    out_of_sample_pred_probs,
)

_RIGHT = 0.65
_GRID = 16
_RATE = 16_000

Numbers = NDArray[Any]


@dataclass(frozen=True)
class DataSet:
    """Files with their classes."""

    name: str
    files: Sequence[bytes]
    truth: Numbers


def png(pixels: Numbers, side: int = 64) -> bytes:
    """Encode pixels, 0 to 255, at a size."""
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize((side, side))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def digits(number: int) -> DataSet:
    """Handwritten digits."""
    found = load_digits()
    files = [png(pixels * 15.9) for pixels in found.images[:number]]
    return DataSet("digits (real)", files, found.target[:number])


def shapes(number: int) -> DataSet:
    """Circle, triangle, square or hexagon of any colour, size, place and rotation, in noise."""
    generator = np.random.RandomState(0)
    truth = generator.randint(0, 4, number)
    files = []
    for sides in np.asarray([0, 3, 4, 6])[truth]:
        image = Image.new("RGB", (64, 64), tuple(generator.randint(0, 256, 3)))
        size = generator.randint(8, 22)
        x, y = generator.randint(size, 64 - size, 2)
        turned = generator.rand() * 2 * np.pi + 2 * np.pi * np.arange(sides or 60) / (sides or 60)
        corners = np.stack([x + size * np.cos(turned), y + size * np.sin(turned)], axis=1)
        colour = tuple(generator.randint(0, 256, 3))
        ImageDraw.Draw(image).polygon([tuple(one) for one in corners.tolist()], fill=colour)
        files.append(png(np.asarray(image) + generator.normal(0, 10, (64, 64, 3))))
    return DataSet("shapes", files, truth)


def colours(number: int) -> DataSet:
    """A patch of one of five colours somewhere on a background of any colours."""
    generator = np.random.RandomState(1)
    truth = generator.randint(0, 5, number)
    palette = [[200, 60, 60], [60, 180, 60], [60, 60, 200], [200, 200, 60], [170, 60, 170]]
    files = []
    for colour in np.asarray(palette)[truth]:
        background = Image.fromarray(generator.randint(0, 256, (8, 8, 3)).astype(np.uint8))
        pixels = np.asarray(background.resize((64, 64))).astype(float)
        x, y = generator.randint(0, 40, 2)
        pixels[y : y + 24, x : x + 24] = colour + generator.normal(0, 30, 3)
        files.append(png(pixels))
    return DataSet("colours", files, truth)


def sounds(number: int) -> DataSet:
    """A tone, a rising tone, a beating tone or a click train, of any pitch, in noise."""
    generator = np.random.RandomState(2)
    truth = generator.randint(0, 4, number)
    moment = np.arange(_RATE) / _RATE
    files = []
    for kind in truth:
        pitch = generator.uniform(200, 2000)
        wave = np.sin(2 * np.pi * pitch * (moment + (0.5 * moment**2 if kind == 1 else 0)))
        if kind == 2:
            wave *= np.sin(2 * np.pi * generator.uniform(3, 12) * moment)
        if kind == 3:
            wave *= (moment * generator.uniform(5, 15)) % 1 < 0.1
        wave = generator.uniform(0.1, 1) * (wave + generator.normal(0, 1.0, _RATE)) / 5
        stream = io.BytesIO()
        wavfile.write(stream, _RATE, (np.clip(wave, -1, 1) * 32_767).astype(np.int16))
        files.append(stream.getvalue())
    return DataSet("sounds", files, truth)


def brightness(content: bytes) -> Numbers:
    """Brightness of coarse cells, as the service had it before."""
    with Image.open(io.BytesIO(content)) as image:
        small = image.convert("L").resize((_GRID, _GRID), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel() / 255


def crowd_of(truth: Numbers) -> MultiannotatorLabels:
    """Labels of three annotators who err at random."""
    generator = np.random.RandomState(3)
    num_classes = int(truth.max()) + 1
    wrong = (truth[:, None] + generator.randint(1, num_classes, (len(truth), 3))) % num_classes
    said = np.where(generator.rand(len(truth), 3) < _RIGHT, truth[:, None], wrong)
    tasks, annotators = np.indices(said.shape)
    return MultiannotatorLabels.from_codes(tasks.ravel(), annotators.ravel(), said.ravel())


def accuracies(files: DataSet, describe: Callable[[bytes], Numbers]) -> tuple[float, float]:
    """Accuracy of the classifier, and of CROWDLAB with it."""
    labels = crowd_of(files.truth)
    features = np.stack([describe(one) for one in files.files])
    num_classes = int(files.truth.max()) + 1
    probs = out_of_sample_pred_probs(features, majority_vote(labels), num_classes=num_classes)
    consensus = Crowdlab().fit(labels, probs).consensus_label_
    return float((probs.argmax(axis=1) == files.truth).mean()), float(
        (consensus == files.truth).mean()
    )


def learning(number: int) -> Table:
    """What classifiers learn."""
    table = Table(title="Accuracy: classifier / consensus with it")
    for name in ("data", "tasks", "majority vote", "brightness of 16 x 16", "descriptors"):
        table.add_column(name, justify="left" if name == "data" else "right")
    for files in (digits(number), shapes(number), colours(number), sounds(number)):
        labels = crowd_of(files.truth)
        alone = float((majority_vote(labels) == files.truth).mean())
        is_sound = files.name == "sounds"
        before = (
            "–" if is_sound else " / ".join(f"{one:.3f}" for one in accuracies(files, brightness))
        )
        now = accuracies(files, describe_audio if is_sound else describe_image)
        table.add_row(
            files.name,
            f"{len(files.truth):,}",
            f"{alone:.3f}",
            before,
            " / ".join(f"{one:.3f}" for one in now),
        )
    return table


def costs(*, is_short: bool) -> Table:
    """What descriptors cost."""
    generator = np.random.RandomState(4)
    photo = Image.fromarray(generator.randint(0, 256, (96, 128, 3)).astype(np.uint8))
    stream = io.BytesIO()
    photo.resize((4000, 3000)).save(stream, "JPEG", quality=90)
    small = [png(generator.randint(0, 256, (64, 64, 3))) for _ in range(200)]
    cases: list[tuple[str, Callable[[bytes], Numbers], Sequence[bytes], int]] = [
        ("images of 64 x 64, PNG", describe_image, small, 10_000),
        ("images of 4000 x 3000, JPEG", describe_image, [stream.getvalue()], 20),
        ("images of 1024 x 1024, PNG", describe_image, [png(np.asarray(photo), 1024)], 50),
        ("sounds of 1 s", describe_audio, sounds(50).files, 200 if is_short else 2_000),
    ]
    table = Table(title="Seconds")
    for name in ("what", "number", "processor", "clock"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, describe, files, number in cases:
        spent, began = time.process_time(), time.perf_counter()
        for position in range(number):
            describe(files[position % len(files)])
        spent, took = time.process_time() - spent, time.perf_counter() - began
        table.add_row(name, f"{number:,}", f"{spent:.1f}", f"{took:.1f}")
    return table


def main() -> None:
    """Print what descriptors cost and what is learned from them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="fewer files to learn from")
    arguments = parser.parse_args()
    console = Console()
    console.print(costs(is_short=arguments.short))
    console.print(learning(500 if arguments.short else 1_797))


if __name__ == "__main__":
    main()
