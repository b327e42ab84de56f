"""Sets of classes: each class is a binary question of its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.multilabel import MultilabelAnswers, MultilabelCrowdlab

NUM_CLASSES = 4


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[int], list[int], list[set[int]], int]:
    num_tasks = draw(st.integers(1, 8))
    pairs = draw(
        st.sets(
            st.tuples(st.integers(0, num_tasks - 1), st.integers(0, 4)), min_size=1, max_size=24
        )
    )
    task, annotator = zip(*sorted(pairs), strict=True)
    sets = st.sets(st.integers(0, NUM_CLASSES - 1))
    chosen = draw(st.lists(sets, min_size=len(pairs), max_size=len(pairs)))
    return list(task), list(annotator), chosen, num_tasks


def answers_of(crowd: tuple[list[int], list[int], list[set[int]], int]) -> MultilabelAnswers:
    task, annotator, chosen, num_tasks = crowd
    return MultilabelAnswers.from_sets(
        task,
        annotator,
        chosen,
        num_tasks=num_tasks,
        num_classes=NUM_CLASSES,
        annotator_ids=np.arange(5),
    )


@given(crowds())
@settings(deadline=None, max_examples=40)
def test_each_class_is_answered_by_crowdlab(
    crowd: tuple[list[int], list[int], list[set[int]], int],
) -> None:
    task, annotator, chosen, num_tasks = crowd
    fitted = MultilabelCrowdlab().fit(answers_of(crowd))
    has_answer = np.isin(np.arange(num_tasks), task)
    for code in range(NUM_CLASSES):
        held = [int(code in one) for one in chosen]
        if not any(held):
            assert not fitted.consensus_[:, code].any()
            continue
        labels = MultiannotatorLabels.from_codes(
            task, annotator, held, num_tasks=num_tasks, num_annotators=5, num_classes=2
        )
        binary = Crowdlab().fit(labels)
        expected = (binary.consensus_label_ == 1) & has_answer
        np.testing.assert_array_equal(fitted.consensus_[:, code], expected)
    assert np.isnan(fitted.consensus_quality_score_).tolist() == (~has_answer).tolist()
    known = fitted.consensus_quality_score_[has_answer]
    assert ((known >= 0) & (known <= 1)).all()
    assert ((fitted.answer_quality_ >= 0) & (fitted.answer_quality_ <= 1)).all()


@given(crowds(), st.permutations(range(NUM_CLASSES)))
@settings(deadline=None, max_examples=40)
def test_the_order_of_classes_does_not_matter(
    crowd: tuple[list[int], list[int], list[set[int]], int], order: list[int]
) -> None:
    task, annotator, chosen, num_tasks = crowd
    renamed = [{order[code] for code in one} for one in chosen]
    one = MultilabelCrowdlab().fit(answers_of(crowd))
    other = MultilabelCrowdlab().fit(answers_of((task, annotator, renamed, num_tasks)))
    np.testing.assert_array_equal(one.consensus_, other.consensus_[:, order])
    np.testing.assert_allclose(one.consensus_quality_score_, other.consensus_quality_score_)
    np.testing.assert_allclose(one.answer_quality_, other.answer_quality_)


def test_an_empty_set_is_an_answer() -> None:
    answers = MultilabelAnswers.from_sets(
        [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], [[], [], [0], [0, 2], [0, 2], [0, 2]],
        num_tasks=3, num_classes=3, annotator_ids=[7, 8, 9],
    )  # fmt: skip
    fitted = MultilabelCrowdlab().fit(answers)
    assert fitted.consensus_.tolist() == [[False] * 3, [True, False, True], [False] * 3]
    assert fitted.annotator_agreement_[:2].tolist() == [2 / 3, 1.0]
    assert np.isnan(fitted.annotator_agreement_[2])
    assert fitted.num_annotations_.tolist() == [3, 3, 0]
    assert fitted.answer_quality_[2] < fitted.answer_quality_[0]
    stats = fitted.annotator_stats_
    assert stats.index[0] == 9
    assert stats.loc[9, "agreement_with_consensus"] == pytest.approx(2 / 3)
    assert stats["num_examples_labeled"].tolist() == [2, 2, 2]


def test_a_classifier_decides_where_annotators_differ() -> None:
    task = np.repeat(np.arange(40), 2)
    annotator = np.tile([0, 1], 40)
    truth = np.arange(40) % 2
    chosen = [[0] if truth[t] else [] for t in task]
    chosen[1] = [0]
    probs = np.where(truth == 1, 0.97, 0.03)[:, None]
    answers = MultilabelAnswers.from_sets(task, annotator, chosen, num_tasks=40, num_classes=1)
    fitted = MultilabelCrowdlab().fit(answers, probs)
    assert not fitted.consensus_[0, 0]
    assert fitted.consensus_quality_score_.argmin() == 0
    assert (fitted.model_weight_ > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": [0, 3]}, "task code is outside 0..1"),
        ({"annotator": [0, 5]}, "annotator code is outside 0..1"),
        ({"chosen": [[0], [3]]}, "class code 3 is outside 0..2"),
        ({"chosen": [[0]]}, "2 tasks, 2 annotators and 1 sets"),
    ],
)
def test_wrong_answers_are_refused(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"task": [0, 1], "annotator": [0, 1], "chosen": [[0], [1]]}
    with pytest.raises(ValueError, match=message):
        MultilabelAnswers.from_sets(
            **{**given, **change},  # type: ignore[arg-type]
            num_tasks=2,
            num_classes=3,
            annotator_ids=[4, 5],
        )


@pytest.mark.parametrize(
    ("probs", "message"),
    [([[0.5, 0.5]], r"shape \(1, 2\), expected \(1, 3\)"), ([[0.5, 0.5, np.nan]], "NaN")],
)
def test_wrong_probabilities_are_refused(probs: object, message: str) -> None:
    answers = MultilabelAnswers.from_sets([0], [0], [[1]], num_tasks=1, num_classes=3)
    with pytest.raises(ValueError, match=message):
        MultilabelCrowdlab().fit(answers, probs)


def test_nothing_is_refused() -> None:
    answers = MultilabelAnswers.from_sets([], [], [], num_tasks=2, num_classes=3)
    with pytest.raises(ValueError, match="no answer"):
        MultilabelCrowdlab().fit(answers)


def test_a_class_that_answers_differ_in_makes_the_whole_set_doubtful() -> None:
    task, annotator = np.divmod(np.arange(60), 3)
    chosen = [{0, 1} if t % 2 else {2} for t in task]
    chosen[1] = {2, 3}
    answers = MultilabelAnswers.from_sets(task, annotator, chosen, num_tasks=21, num_classes=4)
    fitted = MultilabelCrowdlab().fit(answers)
    fused = MultilabelCrowdlab("fusion").fit(answers)
    np.testing.assert_array_equal(fitted.consensus_, fused.consensus_)
    expected = np.sqrt(fused.class_quality_.prod(axis=1))
    expected[0] *= 2 / 3
    for one in (fitted, fused):
        np.testing.assert_allclose(one.consensus_quality_score_, expected)
    assert np.isnan(fitted.consensus_quality_score_[20])
    assert np.nanargmin(fitted.consensus_quality_score_) == 0


def test_fusion_forgives_annotators_who_only_miss_classes() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    task = np.repeat(np.arange(400), 5)
    said = truth[task] & (rng.random(len(task)) < 0.4)
    answers = MultilabelAnswers.from_sets(
        task, np.tile(np.arange(5), 400), [[0] if one else [] for one in said],
        num_tasks=400, num_classes=1,
    )  # fmt: skip
    right = {
        method: (MultilabelCrowdlab(method).fit(answers).consensus_[:, 0] == truth).mean()  # type: ignore[arg-type]
        for method in ("crowdlab", "fusion")
    }
    assert right["fusion"] > right["crowdlab"] + 0.1
    assert MultilabelCrowdlab("fusion").fit(answers).model_weight_.tolist() == [0.0]


def test_an_unknown_method_is_refused() -> None:
    answers = MultilabelAnswers.from_sets([0], [0], [[1]], num_tasks=1, num_classes=3)
    with pytest.raises(ValueError, match="method is 'votes': choose one of crowdlab, fusion"):
        MultilabelCrowdlab("votes").fit(answers)  # type: ignore[arg-type]
