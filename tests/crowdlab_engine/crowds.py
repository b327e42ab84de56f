"""Simulated crowds with known truth, for tests of models."""

import numpy as np

from crowdlab_engine import MultiannotatorLabels


class Crowd:
    """Tasks whose labels follow given confusion matrices.

    Parameters
    ----------
    confusion : ndarray, shape (M, K, K)
        Probability of each label given the true class, of each annotator.
    """

    def __init__(
        self,
        confusion: np.ndarray,
        num_tasks: int,
        labels_per_task: int,
        seed: int = 0,
        prevalence: np.ndarray | None = None,
    ) -> None:
        rng = np.random.RandomState(seed)
        num_annotators, num_classes, _ = confusion.shape
        self.truth = rng.choice(num_classes, size=num_tasks, p=prevalence)
        chosen = np.array(
            [rng.permutation(num_annotators)[:labels_per_task] for _ in range(num_tasks)]
        )
        task, annotator = np.repeat(np.arange(num_tasks), labels_per_task), chosen.ravel()
        cumulative = confusion[annotator, self.truth[task]].cumsum(axis=1)
        label = (rng.uniform(size=(len(task), 1)) > cumulative).sum(axis=1)
        self.labels = MultiannotatorLabels.from_codes(
            task,
            annotator,
            np.minimum(label, num_classes - 1),
            num_tasks=num_tasks,
            num_annotators=num_annotators,
            num_classes=num_classes,
        )

    def accuracy(self, consensus: np.ndarray) -> float:
        return float((consensus == self.truth).mean())


def one_coins(accuracies: list[float], num_classes: int) -> np.ndarray:
    """Confusion matrices of annotators who err evenly."""
    right = np.array(accuracies)[:, None, None]
    others = (1 - np.eye(num_classes)) / (num_classes - 1)
    return right * np.eye(num_classes) + (1 - right) * others


class MixedCrowd:
    """Honest annotators of several kinds, and spammers of several kinds.

    Accuracies of honest annotators are uniform. On hard tasks they know four tenths of what
    they know on the others. Everybody but the kinds "hard" (hard tasks alone) and "copy" (the
    tasks of the "source" before them) labels tasks drawn at random.

    Parameters
    ----------
    kinds : list of str
        Kind of each annotator, see `_says`.
    labels_each : int
        Labels of an annotator, about.
    worst : float
        Lowest accuracy of honest annotators; the highest is 0.95.
    """

    def __init__(
        self,
        kinds: list[str],
        num_classes: int,
        labels_each: int,
        seed: int,
        *,
        prevalence: list[float] | None = None,
        share_hard: float = 0.1,
        worst: float = 0.6,
        labels_per_task: int = 5,
    ) -> None:
        rng = self._rng = np.random.default_rng(seed)
        self.kinds = np.array(kinds)
        num_annotators, num_tasks = len(kinds), len(kinds) * labels_each // labels_per_task
        self._shares = prevalence or [1 / num_classes] * num_classes
        self.truth = rng.choice(num_classes, size=num_tasks, p=self._shares)
        self._is_hard = rng.random(num_tasks) < share_hard
        self.accuracy = rng.uniform(worst, 0.95, num_annotators)
        is_given = rng.random((num_tasks, num_annotators)).argsort(axis=1).argsort(axis=1)
        is_given = is_given < labels_per_task
        wide = np.full((num_tasks, num_annotators), -1)
        for annotator, kind in enumerate(kinds):
            if kind == "hard":
                is_given[:, annotator] = self._is_hard
            if kind == "copy":
                is_given[:, annotator] = is_given[:, annotator - 1]
            tasks = np.flatnonzero(is_given[:, annotator])
            original = wide[tasks, annotator - 1]
            wide[tasks, annotator] = self._says(kind, annotator, tasks, original)
        task, annotator = np.nonzero(wide >= 0)
        self.labels = MultiannotatorLabels.from_codes(
            task,
            annotator,
            wide[task, annotator],
            num_tasks=num_tasks,
            num_annotators=num_annotators,
            num_classes=num_classes,
        )
        self.num_labels = np.bincount(annotator, minlength=num_annotators)
        usual = np.where(np.isin(self.kinds, ["fast", "too fast"]), 2.0, 20.0)
        self.lead_time = usual * rng.lognormal(0, 0.3, num_annotators)
        self.lead_time *= rng.lognormal(0, 1 / np.sqrt(np.maximum(self.num_labels, 1)))

    def _says(
        self, kind: str, annotator: int, tasks: np.ndarray, original: np.ndarray
    ) -> np.ndarray:
        rng, num_classes, size = self._rng, len(self._shares), len(tasks)
        truth, accuracy = self.truth[tasks], self.accuracy[annotator]
        hard = 1 / num_classes + 0.4 * (accuracy - 1 / num_classes)
        knows = rng.random(size) < np.where(self._is_hard[tasks], hard, accuracy)
        wrong = (truth + rng.integers(1, num_classes, size)) % num_classes
        favourite = rng.choice(num_classes, p=self._shares)
        guess = rng.integers(num_classes, size=size)
        is_rare = rng.random(size) < 0.07
        says = {
            "biased": np.where(knows, truth, favourite),
            "random": guess,
            "constant": np.full(size, favourite),
            "nearly constant": np.where(is_rare, guess, favourite),
            "too fast": np.where(knows & is_rare, truth, guess),
            "copy": np.where(is_rare, wrong, original),
        }
        return says.get(kind, np.where(knows, truth, wrong))
