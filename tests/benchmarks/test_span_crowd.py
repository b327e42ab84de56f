from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.span_crowd import REGIMES, SpanRegime, invented_texts, real_texts, simulate
from benchmarks.spans import COLUMNS, best_single, f1, is_wrong
from crowdlab_engine.tokens import tokenize

TEXTS = invented_texts(400, 0)


@pytest.mark.parametrize("name", REGIMES)
def test_regimes_have_the_sizes_they_state(name: str) -> None:
    regime = REGIMES[name]
    crowd = simulate(regime, TEXTS, 0)
    given = crowd.answers.given
    assert len(crowd.texts) == min(regime.num_tasks, len(TEXTS)) == given.num_tasks
    assert given.num_annotators == regime.num_annotators
    assert (given.num_annotations == regime.answers_per_task).all()
    assert crowd.truth["label"].max() < regime.num_classes
    assert crowd.truth["label"].nunique() > 1
    crowd.answers.check_against(tokenize(crowd.texts))
    again = simulate(regime, TEXTS, 0)
    np.testing.assert_array_equal(crowd.answers.start, again.answers.start)


def test_a_perfect_annotator_says_the_truth() -> None:
    crowd = simulate(SpanRegime(skill=(1.0, 1.0)), TEXTS, 0)
    best, scores = best_single(crowd)
    assert best == 1
    assert (scores == 1).all()


def test_errors_grow_with_lack_of_skill() -> None:
    weak = best_single(simulate(SpanRegime(skill=(0.2, 0.2)), TEXTS, 0))[1].mean()
    strong = best_single(simulate(SpanRegime(skill=(0.8, 0.8)), TEXTS, 0))[1].mean()
    assert weak < 0.4 < 0.6 < strong


def test_f1_and_wrong_tasks() -> None:
    truth = pd.DataFrame([[0, 0, 3, 1], [1, 0, 3, 1]], columns=COLUMNS)
    found = pd.DataFrame([[0, 0, 3, 1], [2, 0, 3, 1]], columns=COLUMNS)
    assert f1(found, truth) == 0.5
    assert is_wrong(found, truth, 4).tolist() == [False, True, True, False]


def test_texts_are_read(tmp_path: Path) -> None:
    pd.DataFrame({"task": [1, 2], "text": ["a b", "c"]}).to_parquet(tmp_path / "tasks.parquet")
    assert real_texts(tmp_path) == ["a b", "c"]
    pd.DataFrame({"task": [1]}).to_parquet(tmp_path / "tasks.parquet")
    with pytest.raises(ValueError, match="has no texts"):
        real_texts(tmp_path)
