"""Training of a project's classifiers."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.features.media import media_of, recipe_of
from backend.features.models import Models, load_models
from backend.features.outcome import Outcome
from backend.jobs import train
from backend.jobs.recompute import recompute_project
from backend.jobs.train import WITH_VECTORS, TrainedClassifiers, train_classifiers
from backend.label_studio.questions import Question, Source
from backend.store.project import ProjectInfo, ProjectStore, Summary
from crowdlab_engine import Crowdlab, MultiannotatorLabels
from tests.backend.features.disk_models import save_text_model
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task


def trained_of(store: ProjectStore, **options: Any) -> TrainedClassifiers:
    trained = train_classifiers(store, **options)
    assert trained is not None
    return trained


def summary_of(store: ProjectStore) -> Summary:
    summary = store.read_summary()
    assert summary is not None
    return summary


@pytest.fixture
def labelled(store: ProjectStore) -> ProjectStore:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 61)], FIRST)
    return store


def test_the_description_says_which_and_how_good(labelled: ProjectStore) -> None:
    trained = trained_of(labelled)
    (one,) = trained.questions
    assert one.name in {"naive Bayes", "logistic regression"}
    assert one.description.startswith(f"{one.name}: log loss 0.")
    assert "of the class shares 0.69" in one.description
    recompute_project(labelled, trained)
    (question,) = summary_of(labelled).questions
    assert (question.classifier, question.classifier_name) == (one.description, one.name)
    assert question.model_weight is not None
    assert question.model_weight > 0


def test_tasks_with_nothing_to_read_are_left_out(labelled: ProjectStore) -> None:
    (before,) = trained_of(labelled).questions
    empty = [raw_task(n, moods(n + 1), {}) | {"data": {"text": " !"}} for n in range(61, 81)]
    fill(labelled, empty, FIRST)
    (after,) = trained_of(labelled).questions
    assert after.tasks.tolist() == before.tasks.tolist()
    assert before.pred_probs is not None
    assert after.pred_probs is not None
    np.testing.assert_allclose(after.pred_probs, before.pred_probs, atol=1e-3)
    assert after.description == (
        f"{before.description}. 20 of 80 tasks hold nothing that can be read, and are left out: "
        "annotators alone decide on them"
    )


def test_without_an_answer_that_goes_with_a_content_nothing_is_trained(
    store: ProjectStore,
) -> None:
    full = [raw_task(n, {}, {}) for n in range(1, 31)]
    empty = [raw_task(n, moods(n), {}) | {"data": {}} for n in range(31, 61)]
    fill(store, full + empty, FIRST)
    (found,) = trained_of(store).questions
    assert found.pred_probs is None
    assert "none of the tasks with an answer holds anything" in found.description


def test_the_annotators_consensus_is_learnt_by_its_quality(
    labelled: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Spy(train.Portfolio):
        def train(self, features: Any, labels: Any, consensus: Any, **options: Any) -> Any:
            seen.update(options, labels=labels, consensus=consensus)
            return super().train(features, labels, consensus, **options)

    monkeypatch.setattr(train, "Portfolio", Spy)
    recompute_project(labelled, trained_of(labelled))
    labels: MultiannotatorLabels = seen["labels"]
    alone = Crowdlab().fit(labels)
    np.testing.assert_array_equal(seen["consensus"], alone.consensus_label_)
    np.testing.assert_array_equal(seen["sample_weight"], alone.consensus_quality_score_)


def test_while_people_label_only_the_previous_choice_is_trained(labelled: ProjectStore) -> None:
    first = trained_of(labelled)
    assert first.is_complete
    recompute_project(labelled, first)
    labelled_more(labelled, seconds_ago=1e6)
    busy = trained_of(labelled, is_busy=True)
    assert not busy.is_complete
    assert busy.questions[0].name == first.questions[0].name
    recompute_project(labelled, busy)
    assert train_classifiers(labelled, is_busy=True) is None
    assert trained_of(labelled).is_complete


def test_while_people_label_training_rests_ten_times_as_long_as_it_takes(
    labelled: ProjectStore,
) -> None:
    recompute_project(labelled, trained_of(labelled))
    labelled_more(labelled, seconds_ago=95, training_seconds=10)
    assert train_classifiers(labelled, is_busy=True) is None
    labelled_more(labelled, seconds_ago=105, training_seconds=10)
    assert train_classifiers(labelled, is_busy=True) is not None
    labelled_more(labelled, seconds_ago=0, training_seconds=10)
    assert train_classifiers(labelled) is not None


def labelled_more(
    store: ProjectStore, *, seconds_ago: float, training_seconds: float = 10.0
) -> None:
    """Add a label, and put the last training to another time."""
    fill(store, [raw_task(1, dict.fromkeys(range(1, 9), "bad"), {})], FIRST)
    summary = replace(
        summary_of(store), trained_at=time.time() - seconds_ago, training_seconds=training_seconds
    )
    with store.transaction() as changes:
        store.stage_summary(changes, summary)


def test_other_settings_train_anew(labelled: ProjectStore) -> None:
    recompute_project(labelled, trained_of(labelled))
    assert train_classifiers(labelled) is None
    assert train_classifiers(labelled, folds=3) is not None
    assert train_classifiers(labelled, seconds=30) is not None


def test_questions_share_the_time(store: ProjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, [raw_task(n, moods(n), {1: "now"}) for n in range(1, 31)], FIRST, SECOND)
    given: list[float] = []

    class Spy(train.Portfolio):
        def train(self, *arguments: Any, **options: Any) -> Any:
            given.append(self.seconds)
            return super().train(*arguments, **options)

    monkeypatch.setattr(train, "Portfolio", Spy)
    trained = trained_of(store, seconds=40)
    assert given[0] == pytest.approx(20, abs=2)
    assert 20 < given[1] <= 40
    assert trained.questions[1].pred_probs is None
    assert trained.questions[1].description.startswith("none: 1 classes have labels")


def test_pairs_of_texts_are_compared(store: ProjectStore) -> None:
    """Whether two texts say the same is not told by their words alone."""
    rng = np.random.RandomState(0)
    words = [f"w{number}x" for number in range(200)]
    question = Question(
        "mood", "one", ("good", "bad"), (Source("text", "one"), Source("text", "two"))
    )
    tasks = []
    for number in range(1, 121):
        one = rng.choice(words, 5)
        other = one if number % 2 else rng.choice(words, 5)
        task = raw_task(number, dict.fromkeys((1, 2), ["bad", "good"][number % 2]), {})
        tasks.append({**task, "data": {"one": " ".join(one), "two": " ".join(other)}})
    info = ProjectInfo("t", "<View/>", (question,), feature_width=2**19 + 5)
    with store.transaction() as changes:
        store.stage_info(changes, info)
    fill(store, tasks, question)
    (found,) = trained_of(store).questions
    assert found.pred_probs is not None
    assert (found.pred_probs.argmax(axis=1) == np.arange(120) % 2).mean() > 0.95


def put_vectors(store: ProjectStore, models: Models, vectors: np.ndarray) -> None:
    """Store vectors of tasks 0, 1, … as if their texts had been described."""
    media = media_of(FIRST.sources, models)
    recipe = recipe_of(media, models)
    numbers = np.arange(len(vectors))
    rows = {
        "task": numbers,
        "content": numbers,
        "tried_at": np.zeros(len(numbers)),
        "outcome": np.full((len(numbers), 1), Outcome.READ),
    }
    with store.transaction() as changes:
        store.descriptors(recipe, 4).stage_all(changes, {"task": numbers, "values": vectors})
        store.described(recipe, 1).stage_all(changes, rows)


def test_a_text_model_tells_what_words_that_occur_once_mean(
    store: ProjectStore, tmp_path: Path
) -> None:
    words = tuple(f"w{number}" for number in range(100))
    models = load_models(save_text_model(tmp_path / "model", words), None)
    assert models.text is not None
    vectors = models.text.vectors(words)
    tasks = [
        raw_task(n, dict.fromkeys((1, 2), "good" if vectors[n][0] > 0 else "bad"), {})
        | {"data": {"text": words[n]}}
        for n in range(100)
    ]
    fill(store, tasks, FIRST)
    put_vectors(store, models, vectors)
    without, trained = trained_of(store), trained_of(store, models=models)
    assert trained.recipe != without.recipe
    assert log_loss(without.questions[0].description) > 0.6
    assert log_loss(trained.questions[0].description) < 0.4
    assert trained.questions[0].name.endswith(WITH_VECTORS)
    recompute_project(store, trained)
    fill(store, [*tasks[:50], raw_task(200, moods(200), {})], FIRST)
    (again,) = trained_of(store, models=models, is_busy=True, seconds=0.1).questions
    assert again.name == trained.questions[0].name


def test_vectors_that_tell_nothing_do_no_harm(labelled: ProjectStore, tmp_path: Path) -> None:
    models = load_models(save_text_model(tmp_path / "model"), None)
    put_vectors(labelled, models, np.random.RandomState(0).normal(size=(61, 4)))
    without, trained = trained_of(labelled), trained_of(labelled, models=models)
    assert trained.questions[0].description == without.questions[0].description
    assert not trained.questions[0].name.endswith(WITH_VECTORS)


def log_loss(description: str) -> float:
    return float(description.partition("log loss ")[2].partition(",")[0])
