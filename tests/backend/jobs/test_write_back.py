"""What Label Studio should hold; the writing itself is tested on a real one."""

import numpy as np

from backend.jobs.write_back import (
    WriteBackReport,
    _differing,
    _unfinished,
    expected_predictions,
    version_name,
)
from backend.label_studio.questions import Question
from backend.store.project import Publication

QUESTIONS = (Question("a", "text", ("x", "y")), Question("b", "text", ("p", "q")))


def test_versions_sort_as_their_numbers() -> None:
    names = [version_name(number) for number in (2, 10, 999_999)]
    assert names == sorted(names) == ["crowdlab-000002", "crowdlab-000010", "crowdlab-999999"]


def test_only_our_newer_versions_are_unfinished() -> None:
    versions = {"crowdlab-000001": 3, "crowdlab-000003": 3, "crowdlab-x": 1, "bert": 4, "": 1}
    current = Publication("crowdlab-000002", 2, 0.0, 3)
    assert _unfinished(versions, current, "") == ["crowdlab-000003"]
    assert _unfinished(versions, current, "crowdlab-000003") == []
    assert _unfinished(versions, None, "bert") == ["crowdlab-000001", "crowdlab-000003"]
    assert _unfinished(versions, None, "crowdlab-000001") == ["crowdlab-000003"]


def test_the_score_is_the_most_doubtful_answers() -> None:
    consensus = {
        "task": np.array([1, 2]),
        "label": np.array([[0, 1], [-1, 0]]),
        "quality": np.array([[0.9, 0.333333], [np.nan, 1.0000001]]),
    }
    expected = expected_predictions(consensus)
    assert expected["score"].tolist() == [0.3333, 1.0]


def test_differences_are_found() -> None:
    def rows(*entries: tuple[int, int, float]) -> dict[str, np.ndarray]:
        return {
            "task": np.array([task for task, _, _ in entries]),
            "label": np.array([[label] for _, label, _ in entries]).reshape(-1, 1),
            "score": np.array([score for _, _, score in entries]),
        }

    old = rows((1, 0, 0.5), (2, 0, 0.5), (3, 0, 0.5), (4, 0, 0.5), (6, 0, 0.5))
    new = rows((1, 0, 0.5), (2, 1, 0.5), (3, 0, 0.6), (5, 0, 0.5), (6, 0, 0.52))
    # Missing and surplus ones first, then other labels, then the scores that moved most.
    assert _differing(old, new).tolist() == [4, 5, 2, 3, 6]
    assert _differing(old, new, tolerance=0.05).tolist() == [4, 5, 2, 3]
    assert _differing(old, old).tolist() == []


def test_reports_read_as_sentences() -> None:
    assert str(WriteBackReport("v", 3, created=3, is_new_version=True)) == (
        "published 3 predictions as v"
    )
    assert str(WriteBackReport("v", 3)) == "nothing changed; v is up to date"
    assert "rolled back" in str(WriteBackReport("v", 3, is_pinned=True))
    assert "1 predictions changed" in str(WriteBackReport("v", 3, changed=1))
    assert (
        str(WriteBackReport("v", 3, num_waiting=4)) == "nothing changed in v; 4 more follow later"
    )


def test_reports_of_successive_bites_add_up() -> None:
    first = WriteBackReport("v", 9, changed=5, created=1, num_waiting=3)
    both = first.then(WriteBackReport("v", 10, changed=3))
    assert both == WriteBackReport("v", 10, changed=8, created=1)
    assert (both.num_amended, both.num_waiting) == (9, 0)
    published = WriteBackReport("w", 10, created=10, is_new_version=True)
    assert published.num_amended == 0
    assert published.then(WriteBackReport("w", 10)).is_new_version
