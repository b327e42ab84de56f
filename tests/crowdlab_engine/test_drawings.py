import re
from typing import Any

import numpy as np
import pytest

from crowdlab_engine import Drawings

RIGHT: dict[str, Any] = {
    "task": [1, 0],
    "annotator": [0, 0],
    "answer": [0, 1, 0],
    "label": [0, 1, 0],
    "coordinates": [[1, 2], [3, 4], [5, 6]],
}


def test_codes_stay_in_the_callers_order() -> None:
    drawings = Drawings.from_codes(**RIGHT, num_tasks=3, annotator_ids=["ann"], classes=["a", "b"])
    assert drawings.answer_task.tolist() == [1, 0]
    assert drawings.task.tolist() == [1, 0, 1]
    assert drawings.annotator.tolist() == [0, 0, 0]
    assert drawings.annotator_ids.tolist() == ["ann"]
    assert drawings.diagonal == pytest.approx([20000**0.5] * 3)
    with pytest.raises(ValueError, match="read-only"):
        drawings.coordinates[0, 0] = 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": [0, 0]}, "twice|more than"),
        ({"answer": [0, 2, 0], "annotator": [0, 0]}, "2"),
        ({"label": [0, 1]}, "entries"),
        ({"coordinates": [[1, 2]]}, r"coordinates have shape \(1, 2\): they need one row for each"),
        ({"image_size": [[1, 1]]}, r"image_size has shape \(1, 2\)"),
        ({"image_size": (10, 0)}, r"the image of task 0 has the size \[10.0, 0.0\]"),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.compile(message)):
        Drawings.from_codes(**{**RIGHT, **change})


def test_answers_without_drawings() -> None:
    drawings = Drawings.from_codes([0], [0], [], [], [], num_classes=2)
    assert (drawings.num_answers, drawings.num_drawings, drawings.num_classes) == (1, 0, 2)
    assert np.array_equal(drawings.image_size, [[100, 100]])
