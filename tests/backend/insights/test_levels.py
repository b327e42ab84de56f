"""Levels of answers that are paths."""

from backend.insights.levels import ancestors_of, depth_of, levels_of_path, levels_of_paths
from backend.label_studio.questions import AnswerType, Question

CLASSES = ("Animal", "Animal / Cat", "Animal / Dog", "Plant")


def test_an_ancestor_is_surer_than_what_is_below() -> None:
    first, second = levels_of_path(CLASSES, 1, [1, 2, 3], [0.1, 0.5, 0.2, 0.2])
    assert (first.level, first.ancestors) == (1, ("Animal",))
    assert first.quality == 0.1 + 0.5 + 0.2
    assert first.agreement == 2 / 3
    assert (second.ancestors, second.quality, second.agreement) == (("Animal / Cat",), 0.5, 1 / 3)


def test_levels_end_with_the_consensus() -> None:
    (only,) = levels_of_path(CLASSES, 0, [0, 1], [0.5, 0.5, 0.0, 0.0])
    assert (only.quality, only.agreement) == (1.0, 1.0)


def test_several_paths_agree_where_all_ancestors_are_the_same() -> None:
    first, second = levels_of_paths(
        ["Animal / Cat", "Plant"], [["Animal / Dog", "Plant"], ["Animal / Cat", "Plant"], []]
    )
    assert (first.ancestors, first.quality, first.agreement) == (("Animal", "Plant"), None, 2 / 3)
    assert (second.ancestors, second.agreement) == (("Animal / Cat",), 1 / 3)
    assert levels_of_paths([], [[], ["Plant"]]) == ()


def test_classes_share_ancestors() -> None:
    question = Question("path", "text", CLASSES, type=AnswerType.PATH)
    assert depth_of(question) == 2
    names, place = ancestors_of(question, 1)
    assert (names, place.tolist()) == (["Animal", "Plant"], [0, 0, 0, 1])
    _, place = ancestors_of(question, 2)
    assert (place < 0).tolist() == [True, False, False, True]
    assert depth_of(Question("paths", "text", CLASSES, type=AnswerType.PATHS)) == 0
    assert depth_of(Question("path", "text", (), type=AnswerType.PATH, is_open=True)) == 0
