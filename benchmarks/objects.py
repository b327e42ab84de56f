"""Consensus of drawn objects in simulated crowds: ours, a majority vote, the best annotator.

    python -m benchmarks.objects [--short]

The ceiling is what a task's probability would find that follows from the true skills.
Against crowd-kit's aggregators of segmentations it runs where there is one object on each
image, as they know of no more.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.metrics import auroc, calibration_error
from benchmarks.object_crowds import (
    REGIMES,
    BoolArray,
    FloatArray,
    Found,
    ObjectCrowd,
    ObjectRegime,
    ceiling,
    check,
    draw,
)
from crowdlab_engine import Drawings, ObjectConsensus

SEEDS = (0, 1, 2)
PIXELS = 200
SEGMENTERS = ("SegmentationMajorityVote", "SegmentationRASA", "SegmentationEM")


def ours(crowd: ObjectCrowd) -> Found:
    """Run `ObjectConsensus`."""
    fitted = ObjectConsensus(crowd.regime.shape).fit(crowd.drawings)
    return Found(
        fitted.object_task_,
        fitted.object_label_,
        fitted.object_coordinates_,
        fitted.object_quality_,
        fitted.task_quality_,
    )


def majority(crowd: ObjectCrowd) -> Found:
    """Cluster greedily; keep what half of the annotators drew, with its plain mean.

    Each drawing joins the first object of its task that it is alike to and that its annotator
    has not drawn yet.
    """
    drawings, shape = crowd.drawings, crowd.regime.shape
    rows: list[tuple[int, int, FloatArray, float]] = []
    worst = np.ones(drawings.num_tasks)
    num_answers = np.bincount(drawings.answer_task, minlength=drawings.num_tasks)
    for task in range(drawings.num_tasks):
        clusters: list[list[int]] = []
        for drawing in np.flatnonzero(drawings.task == task):
            for cluster in clusters:
                first = drawings.coordinates[[cluster[0]]]
                alike = shape.similarity(
                    first, drawings.coordinates[[drawing]], drawings.diagonal[[task]]
                )
                if alike[0] >= shape.threshold and (
                    drawings.annotator[drawing] not in drawings.annotator[cluster]
                ):
                    cluster.append(int(drawing))
                    break
            else:
                clusters.append([int(drawing)])
        for cluster in clusters:
            share = len(cluster) / num_answers[task]
            if share >= 0.5:
                counts = np.bincount(drawings.label[cluster])
                agreed = float(counts.max() / num_answers[task])
                mean = drawings.coordinates[cluster].mean(axis=0)
                rows.append((task, int(counts.argmax()), mean, agreed))
                worst[task] = min(worst[task], agreed)
            else:
                worst[task] = min(worst[task], 1 - share)
    return _found(rows, worst)


def best_annotator(crowd: ObjectCrowd) -> float:
    """Return the F1 of whoever has the best one on their own tasks."""
    drawings = crowd.drawings
    nothing = np.ones(drawings.num_drawings)
    scores = []
    for annotator in range(drawings.num_annotators):
        own = drawings.annotator == annotator
        found = Found(
            drawings.task[own],
            drawings.label[own],
            drawings.coordinates[own],
            nothing[own],
            np.ones(drawings.num_tasks),
        )
        tasks = drawings.answer_task[drawings.answer_annotator == annotator]
        scores.append(check(crowd, found, tasks).f1)
    return max(scores)


def segmented(crowd: ObjectCrowd, name: str) -> Found:
    """Run an aggregator of crowd-kit on rasterised boxes, and put a box around what it finds.

    Each annotator's first box is taken, and the class that most annotators gave.
    """
    import crowdkit.aggregation

    drawings = crowd.drawings
    _, first = np.unique(drawings.answer, return_index=True)
    frame = pd.DataFrame(
        {
            "task": drawings.task[first],
            "worker": drawings.annotator[first],
            "segmentation": [_raster(box) for box in drawings.coordinates[first]],
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = getattr(crowdkit.aggregation, name)().fit_predict(frame)
    rows = []
    for task, mask in masks.items():
        labels = drawings.label[first][drawings.task[first] == task]
        place = np.argwhere(mask)
        if len(place):
            (top, left), (bottom, right) = place.min(axis=0), place.max(axis=0) + 1
            box = np.array([left, top, right - left, bottom - top, 0]) * (100 / PIXELS)
            rows.append((int(task), int(np.bincount(labels).argmax()), box, 1.0))
    return _found(rows, np.ones(drawings.num_tasks))


def _raster(box: FloatArray) -> BoolArray:
    centre = (np.arange(PIXELS) + 0.5) * (100 / PIXELS)
    across = (centre >= box[0]) & (centre < box[0] + box[2])
    down = (centre >= box[1]) & (centre < box[1] + box[3])
    mask: BoolArray = down[:, None] & across
    return mask


def _found(rows: list[tuple[int, int, FloatArray, float]], task_quality: FloatArray) -> Found:
    task, label, coordinates, quality = zip(*rows, strict=True)
    return Found(
        np.array(task), np.array(label), np.array(coordinates), np.array(quality), task_quality
    )


METHODS: dict[str, Callable[[ObjectCrowd], Found]] = {"ours": ours, "majority": majority}


def scores(crowd: ObjectCrowd, found: dict[str, Found]) -> dict[tuple[str, str], float]:
    """Return one row of the table: columns by score, then method."""
    checks = {name: check(crowd, one) for name, one in found.items()}
    # Who finds more objects finds harder ones, so places are compared where all found some.
    is_common = ~np.isnan(np.stack([one.similarity for one in checks.values()])).any(axis=0)
    row = {("F1", name): one.f1 for name, one in checks.items()}
    for name, one in checks.items():
        row["similarity", name] = float(one.similarity[is_common].mean())
    for name, one in checks.items():
        row["AUROC object", name] = auroc(~one.is_right, found[name].quality)
    for name, one in checks.items():
        row["AUROC task", name] = auroc(~one.is_task_right, found[name].task_quality)
    best = ceiling(crowd, found["ours"])
    row["AUROC task", "ceiling"] = auroc(~checks["ours"].is_task_right, best)
    row["task", "right"] = float(checks["ours"].is_task_right.mean())
    row["task", "quality"] = float(found["ours"].task_quality.mean())
    row["task", "ECE"] = calibration_error(checks["ours"].is_task_right, found["ours"].task_quality)
    return row


def simulated_table(seeds: tuple[int, ...]) -> pd.DataFrame:
    """Compare ours with a majority vote in each regime, mean over draws."""
    rows = {}
    for name, regime in REGIMES.items():
        each = []
        for seed in seeds:
            crowd = draw(regime, seed)
            row = scores(crowd, {name: method(crowd) for name, method in METHODS.items()})
            row["F1", "best annotator"] = best_annotator(crowd)
            each.append(row)
        rows[name] = pd.DataFrame(each).mean()
    table = pd.DataFrame(rows).T
    table.loc["mean"] = table.mean()
    table.columns = pd.MultiIndex.from_tuples([tuple(column) for column in table.columns])
    return table.sort_index(axis=1, level=0, sort_remaining=False)


def segmentation_table(seeds: tuple[int, ...], num_tasks: int) -> pd.DataFrame:
    """Compare with crowd-kit where there is one object on each image."""
    each = []
    for seed in seeds:
        crowd = draw(ObjectRegime(num_tasks=num_tasks, is_single=True), seed)
        found = {name: method(crowd) for name, method in METHODS.items()}
        found |= {name: segmented(crowd, name) for name in SEGMENTERS}
        checks = {name: check(crowd, one) for name, one in found.items()}
        each.append(
            pd.DataFrame(
                {
                    "F1": {name: one.f1 for name, one in checks.items()},
                    "mean IoU, 0 where nothing is right": {
                        name: float(np.nan_to_num(one.similarity).mean())
                        for name, one in checks.items()
                    },
                }
            )
        )
    return sum(each[1:], each[0]) / len(each)


def speed_table(num_tasks: int) -> pd.DataFrame:
    """Time a project of five answers of five objects a task."""
    rng = np.random.default_rng(0)
    truth = np.concatenate(
        [rng.uniform(0, 80, (num_tasks, 5, 2)), rng.uniform(5, 20, (num_tasks, 5, 2))], axis=2
    )
    boxes = np.repeat(truth[:, None], 5, axis=1) + rng.normal(0, 0.5, (num_tasks, 5, 5, 4))
    turn = np.zeros((*boxes.shape[:3], 1))
    rows = {}
    for name, size in (("upright boxes", 0), ("turned boxes", 10)):
        drawn = np.concatenate([boxes, turn + rng.uniform(-1, 1, turn.shape) * size], axis=3)
        drawings = Drawings.from_codes(
            np.repeat(np.arange(num_tasks), 5),
            np.tile(np.arange(5), num_tasks),
            np.repeat(np.arange(num_tasks * 5), 5),
            np.tile(np.arange(5), num_tasks * 5),
            drawn.reshape(-1, 5),
        )
        started = time.process_time()
        ObjectConsensus().fit(drawings)
        rows[name] = {"drawings": drawings.num_drawings, "CPU s": time.process_time() - started}
    return pd.DataFrame(rows).T


def main(arguments: list[str] | None = None) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--short", action="store_true", help="one draw, and fewer tasks")
    options = parser.parse_args(arguments)
    seeds = SEEDS[:1] if options.short else SEEDS
    with pd.option_context("display.width", 250, "display.max_columns", 30, "display.precision", 3):
        print("Simulated crowds (similarity: where both are right)\n")
        print(simulated_table(seeds).to_string(), "\n")
        print("One object on each image\n")
        print(segmentation_table(seeds, 100 if options.short else 400).to_string(), "\n")
        print("Speed\n")
        print(speed_table(2_000 if options.short else 20_000).to_string())


if __name__ == "__main__":
    main()
