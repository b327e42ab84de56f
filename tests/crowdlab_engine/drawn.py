"""Random drawings for tests."""

import numpy as np
from hypothesis import strategies as st

from crowdlab_engine import Drawings


class Sketches:
    """Boxes that annotators of a simulated crowd draw, as codes in random order."""

    def __init__(self, seed: int, num_tasks: int, num_annotators: int, num_classes: int) -> None:
        rng = np.random.default_rng(seed)
        self.sizes = {
            "num_tasks": num_tasks,
            "num_annotators": num_annotators,
            "num_classes": num_classes,
        }
        is_answered = rng.random((num_tasks, num_annotators)) < 0.8
        is_answered[0, 0] = True
        self.task, self.annotator = np.nonzero(is_answered)
        answer, label, boxes = [], [], []
        for task in range(num_tasks):
            number = rng.integers(0, 4)
            truth = np.concatenate(
                [rng.uniform(0, 70, (number, 2)), rng.uniform(8, 30, (number, 2))], axis=1
            )
            classes = rng.integers(num_classes, size=number)
            for one in np.flatnonzero(self.task == task):
                for box, kind in zip(truth, classes, strict=True):
                    if rng.random() < 0.8:
                        answer.append(one)
                        label.append(kind if rng.random() < 0.8 else rng.integers(num_classes))
                        boxes.append([*(box + rng.normal(0, 1, 4)), rng.uniform(-30, 30)])
        self.answer, self.label = np.array(answer, dtype=int), np.array(label, dtype=int)
        self.boxes = np.array(boxes).reshape(-1, 5)

    @property
    def drawings(self) -> Drawings:
        return self.moved()

    def moved(self, scale: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Drawings:
        """Return them on images of another size, each moved by as much."""
        boxes = self.boxes * [scale, scale, scale, scale, 1]
        boxes[:, :2] += shift
        return Drawings.from_codes(
            self.task,
            self.annotator,
            self.answer,
            self.label,
            boxes,
            image_size=(100 * scale, 100 * scale),
            **self.sizes,
        )


sketches = st.builds(
    Sketches,
    seed=st.integers(0, 2**31 - 1),
    num_tasks=st.integers(1, 8),
    num_annotators=st.integers(1, 6),
    num_classes=st.integers(1, 4),
)
