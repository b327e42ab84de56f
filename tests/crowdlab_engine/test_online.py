import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import Crowdlab
from crowdlab_engine.block import Block
from crowdlab_engine.online import OnlineCrowdlab
from crowdlab_engine.posterior import posterior
from crowdlab_engine.statistics import Statistics, statistics

CLASSES = ["a", "b", "c"]


def assert_same(one: Statistics, other: Statistics) -> None:
    for name in Statistics.__dataclass_fields__:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-12, atol=1e-12, err_msg=name
        )


def edit(online: OnlineCrowdlab, kind: str, task: int, who: int, code: int) -> None:
    try:
        if kind == "set":
            online.set_label(task, who, CLASSES[code])
        elif kind == "remove":
            online.remove_label(task, who)
        elif kind == "truth":
            online.set_truth(task, CLASSES[code] if who % 2 else None)
        elif kind == "predict":
            online.set_prediction(task, np.eye(3)[code] * 0.7 + 0.1)
        else:
            online.remove_task(task)
    except KeyError:
        assert kind in {"remove", "forget"}


edits = st.lists(
    st.tuples(
        st.sampled_from(["set"] * 6 + ["remove", "remove", "truth", "predict", "forget"]),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=60,
)


@given(edits, st.booleans(), st.sampled_from(["frequent", "rare"]))
@settings(deadline=None, max_examples=120)
def test_after_any_edits_the_sums_are_those_of_the_whole(
    edited: list[tuple[str, int, int, int]], is_predicted: bool, ties: str
) -> None:
    online = OnlineCrowdlab(CLASSES, Crowdlab(ties=ties))  # type: ignore[arg-type]
    for one in edited:
        edit(online, *one)
    if is_predicted:
        for task in list(online._tasks):
            online.set_prediction(task, [0.2, 0.3, 0.5])
    labels = online.labels()
    if not labels.num_labels:
        with pytest.raises(ValueError, match="no label"):
            online.weights()
        return
    block = Block.of(labels, online.pred_probs(), online.ground_truth())
    consensus = np.array([known.consensus for known in online._tasks.values()])
    expected = statistics(block, consensus)
    if online.pred_probs() is not None or all(
        known.prediction is None for known in online._tasks.values()
    ):
        assert_same(online.statistics(), expected)
        probs = posterior(labels, block.pred_probs, online.weights())
        for place, task in enumerate(labels.task_ids.tolist()):
            if online.ground_truth()[place] < 0 and labels.num_annotations[place]:
                np.testing.assert_allclose(online.posterior(task), probs[place], atol=1e-12)

    batch = Crowdlab(ties=ties).fit(  # type: ignore[arg-type]
        labels, online.pred_probs(), online.ground_truth()
    )
    settled = online.settle()
    np.testing.assert_array_equal(settled.consensus_label_, batch.consensus_label_)
    pd.testing.assert_frame_equal(settled.annotator_stats_, batch.annotator_stats_)
    quality = batch.label_quality_
    if labels.sorting is not None:
        quality = quality[labels.sorting]
    for place, task in enumerate(labels.task_ids.tolist()):
        code = batch.consensus_label_[place]
        if code < 0:
            # Its own prediction is its consensus, though not every task has one.
            assert (online.consensus(task) is None) == (online._tasks[task].prediction is None)
            continue
        if online.pred_probs() is None and online._tasks[task].prediction is not None:
            continue  # which counts for it, while the whole takes predictions of all tasks or none
        assert online.consensus(task) == CLASSES[code]
        np.testing.assert_allclose(
            online.consensus_quality_score(task),
            batch.consensus_quality_score_[place],
            atol=1e-12,
        )
        in_task = labels.task == place
        expected_quality = dict(
            zip(
                labels.annotator_ids[labels.annotator[in_task]].tolist(),
                quality[in_task].tolist(),
                strict=True,
            )
        )
        assert online.label_quality(task) == pytest.approx(expected_quality, abs=1e-12)


def test_a_label_counts_at_once() -> None:
    online = OnlineCrowdlab(CLASSES)
    for task in range(8):
        for who in range(3):
            online.set_label(task, who, CLASSES[task % 2])
    online.set_label("new", 0, "a")
    before = online.consensus_quality_score("new")
    online.set_label("new", 1, "b")
    online.set_label("new", 2, "b")
    assert online.consensus("new") == "b"
    assert online.consensus_quality_score("new") < before
    online.remove_label("new", 1)
    online.remove_label("new", 2)
    assert online.consensus("new") == "a"
    assert online.consensus_quality_score("new") == pytest.approx(before)
    online.set_truth("new", "c")
    assert online.consensus("new") == "c"
    assert online.consensus_quality_score("new") == 1
    assert online.label_quality("new") == {0: 0}


def test_without_labels_the_prediction_is_the_consensus() -> None:
    online = OnlineCrowdlab(CLASSES)
    online.set_prediction("task", [0.1, 0.7, 0.2])
    assert online.consensus("task") == "b"
    assert online.consensus_quality_score("task") == 0.7
    online.set_prediction("task", None)
    assert online.consensus("task") is None
    assert np.isnan(online.consensus_quality_score("task"))
    assert np.isnan(online.posterior("task")).all()


def test_majority_vote_can_be_the_consensus() -> None:
    online = OnlineCrowdlab(CLASSES, Crowdlab("majority_vote"))
    online.set_prediction("task", [0.0, 0.0, 1.0])
    for who in range(2):
        online.set_label("task", who, "a")
    assert online.consensus("task") == "a"


def test_refusals_change_nothing() -> None:
    online = OnlineCrowdlab(CLASSES)
    online.set_label("task", "ann", "a")
    before = online.statistics()
    with pytest.raises(ValueError, match="label 'd' is not among the classes"):
        online.set_label("task", "ann", "d")
    with pytest.raises(ValueError, match="label 'd' is not among the classes"):
        online.set_truth("task", "d")
    with pytest.raises(ValueError, match="do not sum to 1"):
        online.set_prediction("task", [0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="2 classes"):
        online.set_prediction("task", [0.5, 0.5])
    for call in (
        lambda: online.remove_label("task", "bob"),
        lambda: online.remove_label("other", "ann"),
        lambda: online.remove_task("other"),
        lambda: online.consensus("other"),
    ):
        with pytest.raises(KeyError):
            call()
    assert_same(online.statistics(), before)
    assert online.consensus("task") == "a"


def test_an_estimator_whose_classifier_abstains_is_refused() -> None:
    with pytest.raises(ValueError, match="the estimator has may_abstain=True"):
        OnlineCrowdlab(["a", "b"], Crowdlab(may_abstain=True))


@pytest.mark.parametrize(
    "estimator", [Crowdlab(quality_method="agreement"), Crowdlab(calibrate_probs=True)]
)
def test_refuses_estimators_that_work_otherwise(estimator: Crowdlab) -> None:
    with pytest.raises(ValueError, match="the estimator calibrates, or scores by agreement"):
        OnlineCrowdlab(CLASSES, estimator)


def test_refuses_a_class_that_occurs_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        OnlineCrowdlab(["a", "a"])
