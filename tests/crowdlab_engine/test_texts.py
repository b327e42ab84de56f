import unicodedata
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from crowdlab_engine.texts import TextConsensus, edit_closeness, normalised
from tests.crowdlab_engine.transcriptions import draw


def fit(*answers: tuple[int, int, str], **parameters: Any) -> TextConsensus:
    task, annotator, texts = zip(*answers, strict=True)
    return TextConsensus(**parameters).fit(task, annotator, texts)


def test_the_answer_closest_to_the_others_is_the_consensus() -> None:
    fitted = fit((0, 0, "the cat sat"), (0, 1, "teh cat sat"), (0, 2, "the cat sad"), (1, 0, "a"))
    assert fitted.consensus_ == ["the cat sat", "a"]
    assert fitted.consensus_answer_.tolist() == [0, 3]
    assert fitted.num_annotations_.tolist() == [3, 1]
    assert fitted.annotator_agreement_.tolist() == [1 / 3, 1]
    assert fitted.answer_quality_[0] == fitted.consensus_quality_score_[0]
    assert fitted.answer_quality_[0] > max(fitted.answer_quality_[1:3])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The  Cat\n", "the cat"),
        ("STRASSE", "straße"),
        ("ﬁn", "fin"),
        (unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é")),
        ("１２", "12"),
    ],
)
def test_differences_that_are_not_meant(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    fitted = fit((0, 0, one), (0, 1, other))
    assert fitted.consensus_ == [one]
    assert fitted.annotator_agreement_.tolist() == [1]
    assert fitted.consensus_quality_score_.tolist() == [1]


def test_the_consensus_is_as_its_annotator_wrote_it() -> None:
    answers = [(0, 1, "Das Haus"), (0, 0, "das haus "), (0, 2, "nichts")]
    assert fit(*answers).consensus_ == ["das haus "]


def test_closeness() -> None:
    found = edit_closeness(["kitten", "", "abc", ""], ["sitting", "", "xyz", "a"])
    np.testing.assert_allclose(found, [1 - 3 / 7, 1, 0, 0])


def test_annotators_count_by_how_close_they_usually_are() -> None:
    answers = []
    for task in range(20):
        right, wrong = f"text number {task} of many", f"q{task * 7919}zz"
        answers += [(task, 0, right), (task, 1, right), (task, 2, wrong)]
    answers += [(20, 0, "what a good one says"), (20, 2, "something else altogether")]
    fitted = fit(*answers)
    assert fitted.consensus_[20] == "what a good one says"
    assert fitted.annotator_weight_[0] > 3 * fitted.annotator_weight_[2]
    stats = fitted.annotator_stats_
    assert stats.index.tolist()[0] == 2
    assert stats.index.name == "annotator"
    assert stats["num_examples_labeled"].loc[[0, 1, 2]].tolist() == [21, 20, 21]
    assert stats["agreement_with_consensus"].loc[[0, 1, 2]].tolist() == [1, 1, 0]
    assert (stats["worst_class"] == -1).all()
    assert stats["enough_data"].all()
    assert stats["annotator_quality"].between(0, 1).all()


def test_a_single_answer_is_as_good_as_its_annotator() -> None:
    answers = [(task, person, f"same {task}") for task in range(9) for person in (0, 1)]
    fitted = fit(*answers, (9, 0, "alone"))
    stats = fitted.annotator_stats_["annotator_quality"]
    assert fitted.consensus_quality_score_[9] == pytest.approx(stats[0])


def test_tasks_and_annotators_without_answers() -> None:
    fitted = TextConsensus().fit(
        [2, 2], [0, 2], ["a", "a"], num_tasks=4, annotator_ids=["x", "y", "z"]
    )
    assert fitted.consensus_ == [None, None, "a", None]
    assert np.isnan(fitted.consensus_quality_score_).tolist() == [True, True, False, True]
    stats = fitted.annotator_stats_
    assert stats.index.tolist()[-1] == "y"
    assert np.isnan(stats["annotator_quality"]["y"])
    assert stats["enough_data"][["x", "y", "z"]].tolist() == [True, False, True]


def test_answers_stay_in_the_callers_order() -> None:
    answers = [(1, 0, "abcd"), (0, 1, "wrong!"), (1, 1, "abce"), (0, 0, "efgh"), (0, 2, "efgh")]
    fitted = fit(*answers)
    assert fitted.consensus_[0] == "efgh"
    assert answers[fitted.consensus_answer_[0]] == (0, 0, "efgh")
    assert fitted.answer_quality_[1] < min(np.delete(fitted.answer_quality_, 1))


def test_only_the_beginning_of_a_long_text_is_compared() -> None:
    long = "x" * 10_000_000
    fitted = fit((0, 0, long), (0, 1, long + "y"), (0, 2, "z"), longest=50)
    assert fitted.consensus_ == [long]
    assert fitted.annotator_agreement_.tolist() == [2 / 3]


def test_empty_texts_are_answers() -> None:
    fitted = fit((0, 0, ""), (0, 1, " "), (0, 2, "noise"))
    assert fitted.consensus_ == [""]
    assert fitted.annotator_agreement_.tolist() == [2 / 3]


def test_another_closeness() -> None:
    asked: list[tuple[str, str]] = []

    def synonyms(first: Any, second: Any) -> list[float]:
        asked.extend(zip(first, second, strict=True))
        return [float({one, other} == {"car", "auto"}) for one, other in zip(first, second)]  # noqa: B905

    answers = [(0, 0, "tree"), (0, 1, "car"), (0, 2, "auto"), (1, 0, "car"), (1, 1, "car")]
    assert fit(*answers, closeness=synonyms).consensus_ == ["car", "car"]
    assert all(one != other for one, other in asked)


def test_on_simulated_transcriptions() -> None:
    data = draw(200, 5, 0.2, seed=3)
    table = data.answers
    fitted = TextConsensus().fit(table["task"], table["worker"], table["text"].tolist())
    plain = [normalised(text or "") for text in fitted.consensus_]
    is_wrong = np.array(plain) != np.array(data.truth)
    of_answers = table["text"].map(normalised).to_numpy() != np.array(data.truth)[table["task"]]
    assert is_wrong.mean() < 0.5 * of_answers.mean()
    assert roc_auc_score(is_wrong, -fitted.consensus_quality_score_) >= 0.8
    assert roc_auc_score(of_answers, -fitted.answer_quality_) >= 0.8
    again = clone(fitted).fit(table["task"], table["worker"], table["text"].tolist())
    assert again.consensus_ == fitted.consensus_
    np.testing.assert_array_equal(again.answer_quality_, fitted.answer_quality_)


@pytest.mark.parametrize(
    ("answers", "parameters", "error", "message"),
    [
        ([(0, 0, 5)], {}, TypeError, "texts holds 5"),
        ([(0, 0, "a"), (0, 0, "b")], {}, ValueError, "labelled task 0 more than once"),
        ([(0, 0, "a")], {"strictness": 0}, ValueError, "strictness is 0"),
        (
            [(0, 0, "a"), (0, 1, "b")],
            {"closeness": lambda one, other: [2.0]},
            ValueError,
            r"closeness returned an array of shape \(1,\) for 1 pairs",
        ),
        (
            [(0, 0, "a"), (0, 1, "b")],
            {"closeness": lambda one, other: [float("nan")]},
            ValueError,
            "it has to return one number",
        ),
    ],
)
def test_refuses(
    answers: Any, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(*answers, **parameters)


def test_there_has_to_be_an_answer() -> None:
    with pytest.raises(ValueError, match="there is no answer"):
        TextConsensus().fit([], [], [], num_tasks=3)
