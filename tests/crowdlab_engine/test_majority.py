import inspect
import re

import numpy as np
import pytest
from hypothesis import given, settings

from crowdlab_engine import MultiannotatorLabels, majority_vote
from crowdlab_engine.block import Block
from crowdlab_engine.majority import vote_totals
from tests.crowdlab_engine.golden import NAMES, Golden
from tests.crowdlab_engine.problems import Problem, problems


def labels_of(*tasks: dict[int, int], num_classes: int | None = None) -> MultiannotatorLabels:
    """Labels from one {annotator: label} per task."""
    rows = [(i, j, k) for i, given in enumerate(tasks) for j, k in given.items()]
    task, annotator, label = zip(*rows, strict=True)
    return MultiannotatorLabels.from_codes(
        task, annotator, label, num_tasks=len(tasks), num_classes=num_classes
    )


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_reference(name: str) -> None:
    golden = Golden(name)
    np.testing.assert_array_equal(
        majority_vote(golden.labels(), golden.pred_probs, ties="rare"),
        golden.field("mv", "label"),
    )
    np.testing.assert_array_equal(
        majority_vote(golden.labels(), ties="rare"), golden.field("mv_no_probs", "label")
    )


def test_the_reference_cases_hold_random_ties() -> None:
    golden = Golden("g31_random_ties")
    other_seed = majority_vote(golden.labels(), golden.pred_probs, ties="rare", random_state=1)
    assert (other_seed != golden.field("mv", "label")).any()


def test_totals_of_blocks_add_up() -> None:
    labels = labels_of({0: 1, 1: 1, 2: 0}, {0: 0, 1: 1}, {}, {1: 2, 2: 2}, {0: 1})
    whole = vote_totals(Block.of(labels))
    assert whole.class_counts.tolist() == [2, 4, 2]
    assert whole.judged.tolist() == [2, 2, 2]
    assert whole.agreed.tolist() == [2, 2, 1]
    parts = [vote_totals(Block.of(labels.take(tasks))) for tasks in ([0, 3], [1, 2, 4])]
    merged = parts[0] + parts[1]
    for field in ("class_counts", "judged", "agreed"):
        np.testing.assert_array_equal(getattr(merged, field), getattr(whole, field))


def test_tasks_without_labels_have_no_majority() -> None:
    assert majority_vote(labels_of({0: 0}, {}, {0: 1})).tolist() == [0, -1, 1]
    assert majority_vote(labels_of({0: 0}, {}, num_classes=1)).tolist() == [0, -1]
    nothing = MultiannotatorLabels.from_codes([], [], [], num_tasks=2)
    assert majority_vote(nothing).tolist() == [-1, -1]


def test_rule_1_prefers_the_class_the_classifier_prefers() -> None:
    labels = labels_of({0: 0, 1: 1}, {0: 0, 1: 0}, num_classes=3)
    # Class 2 has the largest probability but no vote.
    vote = majority_vote(labels, [[0.1, 0.2, 0.7], [1, 0, 0]])
    assert vote.tolist() == [1, 0]


def test_rule_2_prefers_the_frequent_or_the_rare_class() -> None:
    labels = labels_of({0: 0, 1: 1}, {0: 1, 1: 1})
    assert majority_vote(labels).tolist() == [1, 1]
    assert majority_vote(labels, ties="rare").tolist() == [0, 1]


def test_rule_3_prefers_the_annotator_who_agrees_with_clear_majorities() -> None:
    # Classes are equally frequent; on task 1 annotator 1 is with the majority, 0 is not.
    labels = labels_of({0: 0, 1: 1}, {0: 0, 1: 1, 2: 1}, {2: 0})
    assert np.bincount(labels.label).tolist() == [3, 3]
    assert majority_vote(labels)[0] == 1
    swapped = labels_of({0: 1, 1: 0}, {0: 0, 1: 1, 2: 1}, {2: 0})
    assert majority_vote(swapped)[0] == 0


@pytest.mark.parametrize(
    ("rival", "winner"), [pytest.param(0, 0, id="always agrees"), pytest.param(1, 1, id="never")]
)
def test_rule_3_counts_a_newcomer_as_the_mean_of_the_others(rival: int, winner: int) -> None:
    # Annotators 0, 1, 2 and 4 agree 1, 0, 1 and 1: the newcomer 3 counts 3/4.
    labels = labels_of({rival: 0, 3: 1}, {0: 1, 1: 0, 2: 1}, {4: 0})
    assert np.bincount(labels.label).tolist() == [3, 3]
    votes = [majority_vote(labels, random_state=seed)[0] for seed in range(8)]
    assert votes == [winner] * 8


def test_rule_4_draws_from_the_random_state_only() -> None:
    tied = labels_of(*[{0: 0, 1: 1}] * 50)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = majority_vote(tied)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert set(first) == {0, 1}
    np.testing.assert_array_equal(majority_vote(tied), first)
    assert (majority_vote(tied, random_state=1) != first).any()
    generator = np.random.RandomState(0)
    np.testing.assert_array_equal(majority_vote(tied, random_state=generator), first)
    assert (majority_vote(tied, random_state=generator) != first).any()


def test_rule_4_draws_like_one_choice_per_task() -> None:
    tied = labels_of(*[{0: i % 3, 1: (i + 1) % 3} for i in range(30)])
    generator = np.random.RandomState(5)
    expected = [generator.choice(sorted({i % 3, (i + 1) % 3})) for i in range(30)]
    assert majority_vote(tied, random_state=5).tolist() == expected


@pytest.mark.parametrize("ties", ["often", None, ["rare"]])
def test_refuses_unknown_ties(ties: str) -> None:
    with pytest.raises(ValueError, match="choose one of"):
        majority_vote(labels_of({0: 0}), ties=ties)  # type: ignore[arg-type]


def test_refuses_pred_probs_of_another_shape() -> None:
    with pytest.raises(ValueError, match="pred_probs has shape"):
        majority_vote(labels_of({0: 0}), np.ones((2, 1)))


def test_documented_defaults() -> None:
    documented = dict(re.findall(r"(\w+) : .*, default (\S+)$", str(majority_vote.__doc__), re.M))
    parameters = inspect.signature(majority_vote).parameters
    assert {name: repr(parameters[name].default) for name in documented} == {
        name: default.replace('"', "'") for name, default in documented.items()
    }
    assert documented.keys() == {"ties", "random_state"}


@given(problems)
@settings(deadline=None, max_examples=40)
def test_the_winner_has_the_most_votes(problem: Problem) -> None:
    labels = problem.labels
    counts = np.zeros((labels.num_tasks, labels.num_classes), dtype=int)
    np.add.at(counts, (labels.task, labels.label), 1)
    vote = majority_vote(labels, problem.pred_probs)
    has_label = labels.num_annotations > 0
    rows = np.flatnonzero(has_label)
    np.testing.assert_array_equal(counts[rows, vote[rows]], counts[rows].max(axis=1))
    assert (vote[~has_label] == -1).all()
