import pytest

from backend.errors import UnknownProjectError, UnknownQuestionError
from backend.insights.lookup import class_code, known_project, question_number
from backend.service import Service


def test_names_are_found(service: Service) -> None:
    info = known_project(service, 25)
    assert [question_number(info, name) for name in (None, "mood", "tense")] == [0, 0, 1]
    assert class_code(info.questions[1], "later") == 2


def test_unknown_names_are_errors_that_tell_the_known_ones(service: Service) -> None:
    info = known_project(service, 25)
    with pytest.raises(UnknownProjectError, match=r"26 is not known.*crowdlab connect 26"):
        known_project(service, 26)
    with pytest.raises(UnknownQuestionError, match=r"no question 'moo'. It asks: mood, tense"):
        question_number(info, "moo")
    with pytest.raises(UnknownQuestionError, match=r"no class 'ok'. Its classes: good, bad"):
        class_code(info.questions[0], "ok")
