from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.agreement import PairSums
from crowdlab_engine.spam import OthersSums, spam_scores
from tests.crowdlab_engine.crowds import Crowd, MixedCrowd, one_coins
from tests.crowdlab_engine.problems import Problem, problems

HONEST = ["good"] * 16 + ["biased"] * 4 + ["fast"] * 3 + ["hard"] * 2
SPAM = ["source", "copy", "random", "constant", "nearly constant", "too fast"]
NUM_CROWDS = 30
SCORES = ["spam_score", "random", "constant", "copy", "too_fast"]


def scores_of(labels: MultiannotatorLabels, **times: np.ndarray) -> pd.DataFrame:
    return spam_scores(OthersSums.of(labels), PairSums.of(labels), **times)


def scores_of_crowds(num_classes: int, labels_each: int, **options: object) -> pd.DataFrame:
    """Scores of everybody with thirty labels or more in some crowds."""
    frames = []
    for seed in range(NUM_CROWDS):
        crowd = MixedCrowd(HONEST + SPAM, num_classes, labels_each, seed, **options)  # type: ignore[arg-type]
        scores = scores_of(
            crowd.labels, lead_time=crowd.lead_time, num_timed=crowd.num_labels
        ).assign(kind=crowd.kinds, num_labels=crowd.num_labels)
        frames.append(scores[scores.num_labels >= 30])
    return pd.concat(frames)


def found(scores: pd.DataFrame) -> dict[str, float]:
    return (scores.spam_score >= 0.5).groupby(scores.kind).mean().to_dict()


CROWDS: dict[str, dict[str, object]] = {
    "four classes": {"num_classes": 4, "labels_each": 40},
    "ten classes": {"num_classes": 10, "labels_each": 40},
    "two classes": {"num_classes": 2, "labels_each": 200, "worst": 0.65},
    "one of two classes frequent": {
        "num_classes": 2,
        "labels_each": 300,
        "worst": 0.75,
        "prevalence": [0.9, 0.1],
    },
    "one of four classes frequent": {
        "num_classes": 4,
        "labels_each": 100,
        "worst": 0.7,
        "prevalence": [0.9, 0.04, 0.03, 0.03],
    },
}


@pytest.mark.parametrize("options", CROWDS.values(), ids=CROWDS.keys())
def test_honest_annotators_are_not_accused(options: dict[str, int]) -> None:
    scores = scores_of_crowds(**options)
    honest = scores[scores.kind.isin(HONEST)]
    assert len(honest) > 500
    assert (honest.spam_score >= 0.5).mean() < 0.02
    assert (honest.reason == "constant").mean() < 0.005


def test_spammers_are_found() -> None:
    scores = scores_of_crowds(num_classes=4, labels_each=40, share_hard=0)
    rates = found(scores)
    assert all(rates[kind] >= 0.9 for kind in SPAM if kind not in ("source", "copy")), rates
    spam = scores[(scores.spam_score >= 0.5) & (scores.kind != "source")]
    named = spam.kind.replace("nearly constant", "constant")
    assert (spam.reason == named).mean() >= 0.95


def test_copies_are_found() -> None:
    """With forty labels, copies of colleagues who hardly err are not to be told from them."""
    rates = found(scores_of_crowds(num_classes=4, labels_each=100))
    assert rates["copy"] >= 0.9
    rates = found(scores_of_crowds(num_classes=2, labels_each=200, worst=0.65))
    assert rates["copy"] >= 0.9


def test_spammers_are_found_where_a_class_is_frequent() -> None:
    scores = scores_of_crowds(**CROWDS["one of two classes frequent"])  # type: ignore[arg-type]
    rates = found(scores)
    assert min(rates[kind] for kind in ("random", "constant", "nearly constant", "too fast")) >= 0.9


def test_a_copy_names_the_colleague() -> None:
    crowd = MixedCrowd(["good"] * 20 + ["source", "copy"], 4, 60, seed=0, worst=0.6)
    scores = scores_of(crowd.labels)
    assert scores.reason[20:].tolist() == ["copy", "copy"]
    assert scores.copy_of[20:].tolist() == [21, 20]
    assert (scores.spam_score[:20] < 0.5).all()


def test_too_little_data_is_no_bad_score() -> None:
    # Nine labels each, all against all others.
    task, annotator = np.divmod(np.arange(9 * 4), 4)
    label = np.where(annotator == 3, 1, 0)
    scores = scores_of(
        MultiannotatorLabels.from_codes(task, annotator, label), lead_time=np.array([9, 9, 9, 0.1])
    )
    assert scores[SCORES].isna().all(axis=None)
    assert (scores.reason == "too little data").all()


def test_without_classes_nobody_is_accused() -> None:
    labels = MultiannotatorLabels.from_codes(
        [], [], [], num_tasks=2, num_annotators=3, num_classes=0
    )
    found = spam_scores(OthersSums.of(labels), PairSums.of(labels))
    assert found["reason"].tolist() == ["too little data"] * 3


def test_who_shares_no_task_has_no_score() -> None:
    labels = MultiannotatorLabels.from_codes(
        np.arange(100), np.repeat([0, 1], 50), np.zeros(100, dtype=int), num_annotators=3
    )
    scores = scores_of(labels)
    assert scores.spam_score.isna().all()
    assert (scores.copy_of == -1).all()
    assert not len(scores_of(MultiannotatorLabels.from_codes([], [], [])))


def test_where_all_votes_are_tied_nothing_is_known() -> None:
    tied = MultiannotatorLabels.from_codes([0, 0, 0], [0, 1, 2], [0, 1, 2])
    sums = OthersSums.of(tied)
    assert not len(sums.counts.code)
    assert sums.other_pairs.tolist() == [2, 2, 2]
    assert scores_of(tied).spam_score.isna().all()


def test_labels_that_tell_nothing_are_no_reason() -> None:
    """All say the only class that occurs: nobody can know who looked at the tasks."""
    task, annotator = np.divmod(np.arange(50 * 4), 4)
    scores = scores_of(
        MultiannotatorLabels.from_codes(task, annotator, np.zeros(200, dtype=int), num_classes=2)
    )
    assert (scores.spam_score < 0.5).all()
    assert (scores.reason == "none").all()


def test_more_data_make_a_spammer_more_certain() -> None:
    random = [
        scores_of(Crowd(confusion(0.25), num_tasks, 5, seed=1).labels).spam_score.iloc[-1]
        for num_tasks in (60, 300, 3000)
    ]
    assert random[0] < random[1] < random[2]
    assert random[2] > 0.99
    honest = scores_of(Crowd(confusion(0.4), 3000, 5, seed=1).labels).spam_score.iloc[-1]
    assert honest < 0.01


def confusion(accuracy_of_the_last: float) -> np.ndarray:
    return one_coins([0.8] * 14 + [accuracy_of_the_last], 4)


def test_being_fast_is_no_spam() -> None:
    crowd = Crowd(one_coins([0.8] * 14 + [0.25], 4), 400, 5, seed=3)
    lead_time = np.full(15, 20.0)
    lead_time[[0, 14]] = 1.0
    scores = scores_of(crowd.labels, lead_time=lead_time)
    assert scores.too_fast[0] < 0.01
    assert scores.too_fast[14] > 0.9
    assert scores.reason[14] in ("too fast", "random")
    slow = scores_of(crowd.labels, lead_time=np.full(15, 20.0))
    assert (slow.too_fast < 0.01).all()
    few_times = scores_of(crowd.labels, lead_time=lead_time, num_timed=np.full(15, 9))
    assert few_times.too_fast.isna().all()
    unknown = scores_of(crowd.labels, lead_time=np.where(np.arange(15) == 14, np.nan, 20.0))
    assert np.isnan(unknown.too_fast[14])
    assert unknown.reason[14] == "random"


@given(problems)
@settings(deadline=None, max_examples=100)
def test_votes_of_the_others(problem: Problem) -> None:
    expected: Counter[tuple[int, int, int, int]] = Counter()
    pairs = np.zeros((2, problem.sizes["num_annotators"]), dtype=int)
    for task in range(problem.sizes["num_tasks"]):
        here = problem.task == task
        for annotator, label in zip(problem.annotator[here], problem.label[here], strict=True):
            others = problem.label[here & (problem.annotator != annotator)]
            equal = (others[:, None] == others).sum() - len(others)
            pairs[:, annotator] += len(others) * (len(others) - 1), equal
            counts = np.bincount(others, minlength=problem.sizes["num_classes"] + 1)
            second, first = np.sort(counts)[-2:]
            if first > second:
                lead = min(first - second, 5) - 1
                expected[annotator, lead, label, int(counts.argmax())] += 1
    sums = OthersSums.of(problem.labels)
    num_classes = problem.sizes["num_classes"]
    shape = (problem.sizes["num_annotators"], 5, num_classes, num_classes)
    cells = np.stack(np.unravel_index(sums.counts.code, shape), axis=1)
    assert (
        dict(zip(map(tuple, cells.tolist()), sums.counts.count.tolist(), strict=True)) == expected
    )
    np.testing.assert_array_equal([sums.other_pairs, sums.other_pairs_agreeing], pairs)


@given(problems, st.integers(0, 2**31 - 1), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_blocks_add_up_to_the_whole_and_subtract(
    problem: Problem, seed: int, num_blocks: int
) -> None:
    labels = problem.labels
    whole = OthersSums.of(labels)
    tasks = np.random.RandomState(seed).permutation(labels.num_tasks)
    blocks = [OthersSums.of(labels.take(part)) for part in np.array_split(tasks, num_blocks)]
    merged = blocks[0]
    for block in blocks[1:]:
        merged = block + merged
    for other in (merged, whole - blocks[-1] + blocks[-1]):
        assert other.counts.code.tolist() == whole.counts.code.tolist()
        assert other.counts.count.tolist() == whole.counts.count.tolist()
        assert other.other_pairs.tolist() == whole.other_pairs.tolist()
        assert other.other_pairs_agreeing.tolist() == whole.other_pairs_agreeing.tolist()


@given(problems)
@settings(deadline=None, max_examples=60)
def test_bounds(problem: Problem) -> None:
    scores = scores_of(problem.labels)
    values = scores[SCORES].to_numpy()
    assert (np.isnan(values) | ((values >= 0) & (values <= 1))).all()
    assert ((scores.reason == "too little data") == scores.spam_score.isna()).all()
    is_spam = scores.spam_score >= 0.5
    assert (scores.reason.isin(["random", "constant", "copy", "too fast"]) == is_spam).all()


def test_names_do_not_matter() -> None:
    crowd = MixedCrowd(HONEST + SPAM, 4, 60, seed=5)
    labels, rng = crowd.labels, np.random.RandomState(0)
    classes, annotators = rng.permutation(4), rng.permutation(len(crowd.kinds))
    renamed = MultiannotatorLabels.from_codes(
        labels.task, annotators[labels.annotator], classes[labels.label]
    )
    one, other = scores_of(labels), scores_of(renamed).iloc[annotators]
    np.testing.assert_allclose(one[SCORES], other[SCORES], rtol=1e-6, atol=1e-9)


CROWD = Crowd(one_coins([0.8] * 3, 2), 20, 3).labels
OTHER = MultiannotatorLabels.from_codes([0], [0], [0])
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "sums": (
        lambda: spam_scores(OthersSums.of(CROWD), PairSums.of(OTHER)),
        "others has 3 annotators and 2 classes, and pairs 1 and 1: build both from the same",
    ),
    "blocks": (
        lambda: OthersSums.of(CROWD) + OthersSums.of(OTHER),
        "3 annotators and 2 classes, and 1 and 1: build them from the same vocabularies",
    ),
    "length": (
        lambda: scores_of(CROWD, lead_time=np.ones(2)),
        r"lead_time has shape \(2,\): pass one entry for each of 3 annotators",
    ),
    "counts": (
        lambda: scores_of(CROWD, lead_time=np.ones(3), num_timed=np.ones(4)),
        r"num_timed has shape \(4,\)",
    ),
    "no time": (
        lambda: scores_of(CROWD, lead_time=np.array([1, 0, 2])),
        "lead_time is 0.0 for annotator 1: pass times above 0, or NaN",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_sums_add_to_their_own_kind_only() -> None:
    with pytest.raises(TypeError):
        OthersSums.of(CROWD) + 1  # type: ignore[operator]
