import numpy as np

from backend.jobs.answer_regions import AnswerRegions
from backend.label_studio.questions import NO_LABEL, AnswerType, Question
from backend.store.project import ProjectInfo, ProjectStore

MOOD = Question("mood", "text", ("good", "bad"))
TOPICS = Question("topics", "text", ("price", "quality"), type=AnswerType.CHOICES)


def test_each_answered_question_has_its_regions(store: ProjectStore) -> None:
    (both, none) = store.answer_book.numbers_of(['["price","quality"]', "[]"])
    rows = {
        "task": np.array([3, 5, 8]),
        "label": np.array([[1, both], [NO_LABEL, none], [0, NO_LABEL]]),
    }
    regions = AnswerRegions(store, ProjectInfo("t", "", (MOOD, TOPICS)), rows)
    mood = {"from_name": "mood", "to_name": "text", "type": "choices"}
    topics = {**mood, "from_name": "topics"}
    assert regions.of(0) == [
        {**mood, "value": {"choices": ["bad"]}},
        {**topics, "value": {"choices": ["price", "quality"]}},
    ]
    assert regions.of(1) == []
    assert regions.of(2) == [{**mood, "value": {"choices": ["good"]}}]
