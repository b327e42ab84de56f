import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import combinations

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from irrCAC.raw import CAC
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss_kappa

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine import agreement as module
from crowdlab_engine.agreement import (
    AgreementSums,
    Estimate,
    PairSums,
    agreement,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pair_agreement,
    percent_agreement,
)
from tests.crowdlab_engine.crowds import Crowd, one_coins
from tests.crowdlab_engine.problems import Problem, problems

NUM_TABLES = 50
VALUES = np.array([-3.5, 0.25, 1.0, 7.0, 40.0])


class RandomTable:
    """Labels as the peers take them: tasks by annotators, NaN where there is none."""

    def __init__(self, seed: int, missing: float) -> None:
        rng = np.random.RandomState(seed)
        self.num_classes = int(rng.randint(2, 6))
        shape = (int(rng.randint(5, 40)), int(rng.randint(2, 8)))
        truth = rng.randint(self.num_classes, size=(shape[0], 1))
        is_right = rng.uniform(size=shape) < rng.uniform(0.1, 0.95)
        self.cells = np.where(is_right, truth, rng.randint(self.num_classes, size=shape))
        self.cells = self.cells.astype(np.float64)
        self.cells[rng.uniform(size=shape) < missing] = np.nan
        task, annotator = np.nonzero(~np.isnan(self.cells))
        self.labels = MultiannotatorLabels.from_codes(
            task,
            annotator,
            self.cells[task, annotator],
            num_tasks=shape[0],
            num_annotators=shape[1],
            num_classes=self.num_classes,
        )
        self.sums = AgreementSums.of(self.labels)

    def cac(self) -> CAC:
        frame = pd.DataFrame(self.cells)
        return CAC(frame, categories=list(range(self.num_classes)), digits=15)

    def class_counts(self) -> np.ndarray:
        return (self.cells[..., None] == np.arange(self.num_classes)).sum(axis=1)


@pytest.fixture(params=range(NUM_TABLES))
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[0.0, 0.5], ids=["complete", "missing"])
def table(seed: int, request: pytest.FixtureRequest) -> RandomTable:
    return RandomTable(seed, request.param)


@contextmanager
def peers_may_warn() -> Iterator[None]:
    """They do where something is not defined, as irrCAC's standard error of few tasks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_alpha_equals_krippendorff(table: RandomTable) -> None:
    counts = table.class_counts()
    values = VALUES[: table.num_classes]
    ours = {
        "nominal": krippendorff_alpha(table.sums),
        "ordinal": krippendorff_alpha(table.sums, "ordinal"),
        "interval": krippendorff_alpha(table.sums, "interval", values=values),
    }
    for level, value in ours.items():
        with peers_may_warn():
            peer = krippendorff.alpha(
                value_counts=counts,
                value_domain=values if level == "interval" else np.arange(table.num_classes),
                level_of_measurement=level,
            )
        assert value == pytest.approx(peer, abs=1e-9, nan_ok=True), level


def test_fleiss_and_gwet_equal_irrcac(table: RandomTable) -> None:
    with peers_may_warn():
        fleiss = table.cac().fleiss()["est"]
        gwet = table.cac().gwet()["est"]["coefficient_value"]
    assert fleiss_kappa(table.sums) == pytest.approx(fleiss["coefficient_value"], abs=1e-9)
    assert percent_agreement(table.sums) == pytest.approx(fleiss["pa"], abs=1e-9)
    assert gwet_ac1(table.sums) == pytest.approx(gwet, abs=1e-9)


def test_fleiss_equals_statsmodels_without_missing_labels(seed: int) -> None:
    table = RandomTable(seed, 0)
    peer = statsmodels_fleiss_kappa(table.class_counts())
    assert fleiss_kappa(table.sums) == pytest.approx(peer, abs=1e-9)


def test_pairs_equal_scikit_learn(table: RandomTable) -> None:
    pairs = pair_agreement(PairSums.of(table.labels))
    seen = []
    for position, (one, other) in enumerate(zip(pairs.annotator_a, pairs.annotator_b, strict=True)):
        ours, theirs = table.cells[:, one], table.cells[:, other]
        is_shared = ~np.isnan(ours) & ~np.isnan(theirs)
        ours, theirs = ours[is_shared].astype(int), theirs[is_shared].astype(int)
        assert pairs.shared[position] == len(ours)
        assert pairs.agreeing[position] == (ours == theirs).sum()
        assert pairs.agreement[position] == pytest.approx((ours == theirs).mean())
        seen.append((one, other))
        if len({*ours, *theirs}) == 1:
            assert np.isnan(pairs.cohen_kappa[position])
        else:
            peer = cohen_kappa_score(ours, theirs)
            assert pairs.cohen_kappa[position] == pytest.approx(peer, abs=1e-9)
    is_labelled = ~np.isnan(table.cells)
    every = combinations(range(table.cells.shape[1]), 2)
    assert seen == [(a, b) for a, b in every if (is_labelled[:, a] & is_labelled[:, b]).any()]


def test_sums_list_the_multisets() -> None:
    # Tasks: {1, 0}, {0, 1}, {2}, {}, {1, 1}.
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 1, 2, 4, 4], [0, 1, 0, 1, 0, 0, 1], [1, 0, 0, 1, 2, 1, 1]
    )
    sums = AgreementSums.of(labels)
    assert sums.num_labels.tolist() == [1, 2, 2]
    assert sums.label.tolist() == [2, 0, 1, 1, 1]
    assert sums.num_tasks.tolist() == [1, 2, 1]
    result = agreement(sums)
    assert (result.num_tasks, result.num_shared) == (4, 3)
    assert result.percent.value == pytest.approx(1 / 3)


def test_many_labels_of_many_classes_have_codes_of_their_own() -> None:
    # 40 labels of 1,000 classes are more than fit 64 bits.
    rng = np.random.RandomState(0)
    first, second = np.sort(rng.randint(1000, size=(2, 40)), axis=1)
    label = np.concatenate([rng.permutation(first), second, rng.permutation(first)])
    labels = MultiannotatorLabels.from_codes(
        np.repeat([0, 1, 2], 40), np.tile(np.arange(40), 3), label, num_classes=1000
    )
    sums = AgreementSums.of(labels)
    expected = sorted([(first.tolist(), 2), (second.tolist(), 1)])
    assert sums.label.reshape(2, 40).tolist() == [one for one, _ in expected]
    assert sums.num_tasks.tolist() == [count for _, count in expected]


COEFFICIENTS: list[Callable[[AgreementSums], float]] = [
    percent_agreement,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    lambda sums: krippendorff_alpha(sums, "ordinal"),
    lambda sums: krippendorff_alpha(sums, "interval", values=np.arange(sums.num_classes)),
]


def assert_same_pairs(one: PairSums, other: PairSums) -> None:
    assert one.counts.code.tolist() == other.counts.code.tolist()
    assert one.counts.count.tolist() == other.counts.count.tolist()


def assert_same_sums(one: AgreementSums, other: AgreementSums) -> None:
    for field in fields(AgreementSums):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@given(problems, st.integers(0, 2**31 - 1), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_blocks_add_up_to_the_whole_and_subtract(
    problem: Problem, seed: int, num_blocks: int
) -> None:
    labels = problem.labels
    tasks = np.random.RandomState(seed).permutation(labels.num_tasks)
    blocks = [labels.take(part) for part in np.array_split(tasks, num_blocks)]
    sums, pairs = AgreementSums.of(labels), PairSums.of(labels)
    merged, merged_pairs = AgreementSums.of(blocks[0]), PairSums.of(blocks[0])
    for block in blocks[1:]:
        merged = AgreementSums.of(block) + merged
        merged_pairs = PairSums.of(block) + merged_pairs
    assert_same_sums(merged, sums)
    assert_same_pairs(merged_pairs, pairs)
    last = AgreementSums.of(blocks[-1]), PairSums.of(blocks[-1])
    assert_same_sums(sums - last[0] + last[0], sums)
    assert_same_pairs(pairs - last[1] + last[1], pairs)
    # Estimates are dataclasses, NaN included, so equal text is equal to the last bit.
    assert repr(agreement(merged, num_replicates=20)) == repr(agreement(sums, num_replicates=20))


@given(problems, st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=60)
def test_names_do_not_matter(problem: Problem, seed: int) -> None:
    rng = np.random.RandomState(seed)
    classes = rng.permutation(problem.sizes["num_classes"])
    annotators = rng.permutation(problem.sizes["num_annotators"])
    renamed = MultiannotatorLabels.from_codes(
        problem.task, annotators[problem.annotator], classes[problem.label], **problem.sizes
    )
    sums, others = AgreementSums.of(problem.labels), AgreementSums.of(renamed)
    for coefficient in COEFFICIENTS[:4]:
        assert coefficient(sums) == pytest.approx(coefficient(others), abs=1e-12, nan_ok=True)
    # Ordinal and interval classes may be turned round, and numbers moved and stretched.
    turned = MultiannotatorLabels.from_codes(
        problem.task,
        problem.annotator,
        problem.sizes["num_classes"] - 1 - problem.label,
        **problem.sizes,
    )
    for coefficient in COEFFICIENTS:
        value = coefficient(AgreementSums.of(turned))
        assert coefficient(sums) == pytest.approx(value, abs=1e-9, nan_ok=True)
    values = rng.uniform(size=problem.sizes["num_classes"])
    one = krippendorff_alpha(sums, "interval", values=values)
    other = krippendorff_alpha(sums, "interval", values=1e6 - 3 * values)
    assert one == pytest.approx(other, abs=1e-6, nan_ok=True)


@given(problems)
@settings(deadline=None, max_examples=60)
def test_bounds(problem: Problem) -> None:
    sums = AgreementSums.of(problem.labels)
    for coefficient in COEFFICIENTS:
        value = coefficient(sums)
        assert np.isnan(value) or value <= 1 + 1e-12
    assert np.isnan(percent_agreement(sums)) or 0 <= percent_agreement(sums) <= 1
    pairs = pair_agreement(PairSums.of(problem.labels))
    assert (pairs.agreeing <= pairs.shared).all()
    assert ((pairs.chance >= 0) & (pairs.chance <= 1)).all()


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_full_agreement_is_one(coefficient: Callable[[AgreementSums], float]) -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1, 1], [0, 1, 0, 1, 2], [2, 2, 0, 0, 0])
    assert coefficient(AgreementSums.of(labels)) == pytest.approx(1)


DEGENERATE = {
    "no label": ([], [], []),
    "no shared task": ([0, 1], [0, 1], [0, 1]),
    "one task": ([0], [0], [1]),
}


@pytest.mark.parametrize("codes", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_without_shared_tasks_nothing_is_known(codes: tuple[list[int], ...]) -> None:
    labels = MultiannotatorLabels.from_codes(*codes, num_classes=2)
    sums = AgreementSums.of(labels)
    assert all(np.isnan(coefficient(sums)) for coefficient in COEFFICIENTS)
    assert not len(pair_agreement(PairSums.of(labels)).shared)
    result = agreement(sums)
    assert np.isnan([result.percent.value, result.percent.low, result.percent.high]).all()


def test_with_one_class_only_percent_agreement_and_ac1_are_known() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1])
    sums = AgreementSums.of(labels)
    values = [coefficient(sums) for coefficient in COEFFICIENTS]
    assert values[0] == values[2] == 1
    assert np.isnan([values[1], *values[3:]]).all()
    pairs = pair_agreement(PairSums.of(labels))
    assert pairs.agreement.tolist() == [1]
    assert np.isnan(pairs.cohen_kappa).all()
    single = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 0])
    assert np.isnan(gwet_ac1(AgreementSums.of(single)))


def test_intervals_cover() -> None:
    # The true coefficient of these annotators, who are right in 3 of 4 cases: two agree in
    # 0.75² + 3 (0.25/3)² of tasks, and in 1/4 by chance.
    agreeing = 0.75**2 + 3 * (0.25 / 3) ** 2
    true = (agreeing - 1 / 4) / (1 - 1 / 4)
    confusion = one_coins([0.75] * 8, 4)
    num_crowds, covered = 300, {"percent": 0, "fleiss_kappa": 0, "gwet_ac1": 0, "alpha_nominal": 0}
    for seed in range(num_crowds):
        crowd = Crowd(confusion, num_tasks=150, labels_per_task=3, seed=seed)
        result = agreement(AgreementSums.of(crowd.labels), num_replicates=300)
        for name in covered:
            estimate: Estimate = getattr(result, name)
            target = agreeing if name == "percent" else true
            covered[name] += estimate.low <= target <= estimate.high
    # Three standard errors of a count around 95 % of 300 are 11.
    for name, count in covered.items():
        assert 0.90 * num_crowds <= count <= 0.99 * num_crowds, (name, count)


def test_intervals_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = RandomTable(3, 0.3).sums
    values = np.arange(sums.num_classes)
    one = agreement(sums, values=values, num_replicates=40, seed=1)
    assert agreement(sums, values=values, num_replicates=40, seed=1) == one
    assert agreement(sums, values=values, num_replicates=40, seed=2) != one
    monkeypatch.setattr(module, "_WEIGHTS_AT_ONCE", 1)
    few = agreement(sums, values=values, num_replicates=40, seed=1)
    for field in fields(one)[2:]:
        ours, theirs = getattr(one, field.name), getattr(few, field.name)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_multiset_counts_as_often_as_tasks_have_it() -> None:
    """Rare and frequent multisets are drawn in two ways, from the same distribution."""
    task = np.repeat(np.arange(30), 2)
    label = np.where(task < 5, np.tile([0, 1], 30), 0)
    labels = MultiannotatorLabels.from_codes(task, np.tile([0, 1], 30), label)
    sums = AgreementSums.of(labels)
    assert sums.num_tasks.tolist() == [25, 5]
    drawn = np.concatenate([one.weights.T for one in module._replicates(sums, 20_000, 0)])
    assert drawn.mean(axis=0) == pytest.approx([25, 5], rel=0.02)
    assert drawn.var(axis=0) == pytest.approx([25, 5], rel=0.05)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03


def test_documented_defaults() -> None:
    parameters = inspect.signature(agreement).parameters
    defaults = {name: one.default for name, one in parameters.items() if name != "sums"}
    assert defaults == {"values": None, "confidence": 0.95, "num_replicates": 1000, "seed": 0}


def test_matrix_of_pairs() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1, 2], [0, 2, 0, 2, 1], [0, 0, 1, 0, 1])
    pairs = pair_agreement(PairSums.of(labels))
    expected = np.full((3, 3), np.nan)
    expected[0, 2] = expected[2, 0] = 0.5
    np.testing.assert_array_equal(pairs.matrix(pairs.agreement, 3), expected)
    with pytest.raises(ValueError, match="2001 annotators are too many"):
        pairs.matrix(pairs.agreement, 2001)


def test_pairs_are_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = PairSums.of(RandomTable(4, 0.2).labels)
    whole = pair_agreement(sums)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 1)
    pieces = pair_agreement(sums)
    for field in fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(pieces, field.name))


SUMS = RandomTable(0, 0).sums
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "level": (lambda: krippendorff_alpha(SUMS, "ratio"), "level is 'ratio': choose one of"),  # type: ignore[arg-type]
    "no values": (lambda: krippendorff_alpha(SUMS, "interval"), 'needed for "interval"'),
    "unwanted values": (lambda: krippendorff_alpha(SUMS, values=[1, 2]), "for nothing else"),
    "number of values": (lambda: agreement(SUMS, values=[1.0]), r"has shape \(1,\): pass one"),
    "infinite value": (
        lambda: agreement(SUMS, values=[np.inf] + [0] * (SUMS.num_classes - 1)),
        "values holds inf for class 0: pass a finite number",
    ),
    "confidence": (lambda: agreement(SUMS, confidence=95), "confidence is 95: choose a number"),
    "replicates": (lambda: agreement(SUMS, num_replicates=0), "num_replicates is 0: draw"),
    "not included": (lambda: SUMS - (SUMS + SUMS), "subtract only what was added"),
    "classes": (
        lambda: SUMS + AgreementSums.of(MultiannotatorLabels.from_codes([0], [0], [9])),
        "and 10 classes: build them from the same vocabulary",
    ),
    "annotators": (
        lambda: (
            PairSums.of(MultiannotatorLabels.from_codes([0], [0], [0]))
            - PairSums.of(MultiannotatorLabels.from_codes([0], [2], [1]))
        ),
        "1 annotators and 1 classes, and 3 and 2",
    ),
    "too many": (
        lambda: PairSums.of(
            MultiannotatorLabels.from_codes([0], [99_999], [0], num_classes=100_000)
        ),
        "100000 annotators with 100000 classes are too many to count pairs",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_sums_add_to_their_own_kind_only() -> None:
    pairs = PairSums.of(RandomTable(0, 0).labels)
    with pytest.raises(TypeError):
        SUMS + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        pairs + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        pairs - 1  # type: ignore[operator]
