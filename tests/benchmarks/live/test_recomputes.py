from redis import Redis

from backend.jobs.queue import JobKind
from backend.jobs.worker import run_worker
from backend.service import Service
from backend.store.project import ProjectStore
from benchmarks.live import recomputes
from benchmarks.live.recorded import RecordedRequests


def test_a_worker_recomputes_what_was_filled_in(redis: Redis, make_service: object) -> None:
    assert callable(make_service)
    service = make_service()
    assert isinstance(service, Service)
    store = ProjectStore(redis, 5)
    tasks = recomputes.fill(store, RecordedRequests(1, "").label_config, 50)
    rows = store.consensus(1).read()
    assert rows["task"].tolist() == tasks
    assert (rows["num_annotations"] >= 3).all()
    before = store.read_summary()
    (queue,) = service.queue.queues(JobKind.REFRESH)
    job = queue.enqueue(recomputes.JOB, 5, 0.1)
    run_worker(service, only=JobKind.REFRESH, burst=True)
    result = job.return_value()
    assert result is not None
    assert len(result["seconds"]) >= 1
    after = store.read_summary()
    assert before is not None
    assert after is not None
    assert after.data_version == before.data_version + len(result["seconds"])
