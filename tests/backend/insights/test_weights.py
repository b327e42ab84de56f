"""Weights of a question, against the engine's on the same labels."""

import numpy as np
import pytest

from backend.insights.weights import QuestionWeights
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.store.project import ProjectStore
from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.active_learning import score_tasks
from tests.backend.store.test_prediction_sources import uploaded


def moods_of(store: ProjectStore) -> MultiannotatorLabels:
    """Labels of the first question, in the engine's form."""
    rows = store.label_quality(2).read()
    counts = rows["label"][:, 0] >= 0
    return MultiannotatorLabels.from_codes(
        rows["task"][counts] - 1, rows["annotator"][counts] - 1, rows["label"][counts, 0]
    )


def engine_on(store: ProjectStore) -> Crowdlab:
    return Crowdlab().fit(moods_of(store), store.pred_probs(0, 2).read()["probs"])


def test_weights_are_the_engines(computed: ProjectStore) -> None:
    found = QuestionWeights.read(computed, 0)
    engine = engine_on(computed)
    assert found is not None
    assert found.annotators.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found.weights.annotator, engine.annotator_weight_)
    assert found.weights.model.tolist() == [engine.model_weight_]
    assert found.of(np.array([3, 1])).tolist() == engine.annotator_weight_[[2, 0]].tolist()
    assert found.of(np.array([0, 99])).tolist() == [found.newcomer] * 2
    assert found.codes_of(np.array([2, 99, 0])).tolist() == [1, -1, -1]


def test_active_learning_scores_are_the_engines_by_uncalibrated_pred_probs(
    computed: ProjectStore,
) -> None:
    found = QuestionWeights.read(computed, 0)
    assert found is not None
    consensus, labels = computed.consensus(2).read(), moods_of(computed)
    scores = found.active_learning_scores(
        consensus["task"], consensus["quality"][:, 0], labels.task + 1, labels.annotator + 1
    )
    # Without pred_probs, the engine takes the fitted quality as it is.
    expected = score_tasks(engine_on(computed), labels, None, None, random_state=0).labeled
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    assert len(np.unique(scores)) > 2


@pytest.mark.parametrize("number", [0, 1])
def test_there_are_none_by_a_method_without_them(computed: ProjectStore, number: int) -> None:
    info = computed.read_info()
    assert info is not None
    computed.touch(info, data_version=99)
    recompute_project(computed, method="fusion")
    assert QuestionWeights.read(computed, number) is None


def test_a_classifier_counts_where_it_says_something(computed: ProjectStore) -> None:
    source, rows = uploaded(range(1, 31))
    with computed.lock(), computed.transaction() as changes:
        computed.prediction_sources.stage(changes, source, rows)
    recompute_project(computed, train_classifiers(computed))
    found = QuestionWeights.read(computed, 0)
    assert found is not None
    nobody = np.empty(0, dtype=np.int64)
    scores = found.active_learning_scores(np.array([30, 31]), np.ones(2), nobody, nobody)
    own, theirs = found.weights.model.tolist()
    for score, spoken in zip(scores.tolist(), (own + theirs, own), strict=True):
        assert score == pytest.approx(
            (spoken + found.newcomer / found.num_classes) / (spoken + found.newcomer)
        )
