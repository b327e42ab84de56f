import numpy as np

from benchmarks.live.studio import (
    CHOICES,
    StudioProject,
    drawn_choice,
    prediction_writes,
    requests_in,
)

LOG = """\
[2026-11-24 23:46:00,124] [django.server::log_message::213] [INFO] "POST /api/token/ HTTP/1.1" 201 1
[2026-11-24 23:46:00,124] [django.server::log_message::213] [INFO] "POST /api/token/ HTTP/1.1" 201 1
[2026-11-24 23:46:01,500] [x] [INFO] "PATCH /api/predictions/12/ HTTP/1.1" 200 375
[2026-11-24 23:46:01,600] [x] [INFO] "PATCH /api/predictions/13/ HTTP/1.1" 200 375
[2026-11-24 23:46:01,500] [x] [INFO] "PATCH /api/predictions/12/ HTTP/1.1" 200 375
[2026-11-24 23:46:01,600] [x] [INFO] "PATCH /api/predictions/13/ HTTP/1.1" 200 375
[2026-11-24 23:46:02,000] [x] [INFO] "GET /api/predictions/?task=101 HTTP/1.1" 200 377
[2026-11-24 23:46:03,000] [x] [INFO] "POST /api/projects/1/import/predictions HTTP/1.1" 201 20
something else
"""


def test_requests_are_counted_once_and_by_kind() -> None:
    found = requests_in(LOG)
    assert found == {
        "POST /api/token/": 1,
        "PATCH /api/predictions/N/": 2,
        "GET /api/predictions/": 1,
        "POST /api/projects/N/import/predictions": 1,
    }
    assert prediction_writes(found) == 3


def test_tasks_are_taken_once() -> None:
    project = StudioProject(1, dict.fromkeys([3, 1, 2], "positive"), {}, np.random.default_rng(0))
    assert project.take(2) == [1, 2]
    assert project.take(2) == [3]
    assert project.take(2) == []


def test_skill_is_the_share_of_right_choices() -> None:
    random = np.random.default_rng(0)
    drawn = [drawn_choice(random, "negative", 0.8) for _ in range(2000)]
    assert set(drawn) == set(CHOICES)
    assert 0.77 < drawn.count("negative") / len(drawn) < 0.83
