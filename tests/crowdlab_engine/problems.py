"""Random data sets for tests."""

import numpy as np
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels


class Problem:
    """Labels with holes, as codes in random order, and continuous pred_probs."""

    def __init__(self, seed: int, num_tasks: int, num_annotators: int, num_classes: int) -> None:
        rng = np.random.RandomState(seed)
        self.sizes = {
            "num_tasks": num_tasks,
            "num_annotators": num_annotators,
            "num_classes": num_classes,
        }
        truth = rng.randint(num_classes, size=num_tasks)
        is_labelled = rng.uniform(size=(num_tasks, num_annotators)) < 0.5
        is_labelled[0, 0] = True
        task, annotator = np.nonzero(is_labelled)
        is_right = rng.uniform(size=len(task)) < 0.7
        label = np.where(is_right, truth[task], rng.randint(num_classes, size=len(task)))
        order = rng.permutation(len(task))
        self.task, self.annotator, self.label = task[order], annotator[order], label[order]
        self.pred_probs = rng.dirichlet(np.ones(num_classes), size=num_tasks)

    @property
    def labels(self) -> MultiannotatorLabels:
        return MultiannotatorLabels.from_codes(self.task, self.annotator, self.label, **self.sizes)


problems = st.builds(
    Problem,
    seed=st.integers(0, 2**31 - 1),
    num_tasks=st.integers(1, 30),
    num_annotators=st.integers(1, 7),
    num_classes=st.integers(1, 5),
)
