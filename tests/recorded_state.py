"""The state of the service as a release left it, for later releases to read.

    python -m tests.recorded_state

records what this release writes under `tests/data/state/`: every key of a project in Redis, the
file of `crowdlab export-state`, and the facts that must be found in both. Do so once for each
layout of the store, before its release; a recorded state is never written anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis

from backend import __version__
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.service import Service
from backend.settings import load_settings
from backend.state import write_state
from backend.store.embedded import EmbeddedRedis
from backend.store.project import ModelVersion, ProjectStore, Publication
from backend.store.review import AutomaticReview, RequestState, ReviewPolicy
from backend.store.schema import SCHEMA_VERSION, ensure_schema
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task
from tests.backend.jobs.test_requests import request_rows

JSON = dict[str, Any]
PROJECT = 25

_FOLDER = Path(__file__).parent / "data" / "state"
_NUM_TASKS = 40


@dataclass(frozen=True)
class RecordedState:
    """What a release left."""

    folder: Path

    @property
    def layout(self) -> int:
        """Number of the layout in Redis."""
        return int(self.folder.name.removeprefix("layout-"))

    @property
    def file(self) -> Path:
        """File of `crowdlab export-state`."""
        return self.folder / "state.zip"

    @property
    def facts(self) -> JSON:
        """What `facts` found when it was recorded."""
        found: JSON = json.loads((self.folder / "facts.json").read_text())
        return found

    def load(self, redis: Redis) -> None:
        """Put every recorded key into an empty Redis."""
        with zipfile.ZipFile(self.folder / "redis.zip") as keys:
            for name in keys.namelist():
                redis.restore(name, 0, keys.read(name))


def recorded_states() -> list[RecordedState]:
    """Every recorded state, the oldest layout first."""
    return sorted(map(RecordedState, _FOLDER.glob("layout-*")), key=lambda one: one.layout)


def facts(store: ProjectStore) -> JSON:
    """What a user would miss after an upgrade."""
    publication, review = store.read_publication(), store.read_automatic_review()
    requests, consensus = store.requests.read(), store.consensus(2).read()
    info = store.read_info()
    return {
        "questions": [one.name for one in info.questions] if info else [],
        "consensus": np.column_stack([consensus["task"], consensus["label"]]).tolist(),
        "publication": publication.model_version if publication else None,
        "versions": [one.name for one in store.model_versions()],
        "kept_versions": store.kept_versions(),
        "actions": [entry["action"] for entry in store.audit_trail()],
        "dead_letters": [one.event.decode() for one in store.inbox.dead_letters()],
        "requests": np.column_stack([requests["task"], requests["state"]]).tolist(),
        "budget": review.policy.budget if review else None,
        "accepted": sorted(store.accepted().items()),
        "names": sorted(store.annotator_names().items()),
        "events": len(store.inbox),
    }


def _draw(store: ProjectStore) -> None:
    """Make a project that has been in use for a while."""
    tenses = {1: "past", 4: "now"}
    fill(store, [raw_task(n, moods(n), tenses) for n in range(1, _NUM_TASKS + 1)], FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    store.save_annotator_names({1: "ann@example.com", 2: "bob@example.com"})
    rows = store.consensus(2).read()
    said = {
        "task": rows["task"],
        "label": rows["label"],
        "score": rows["quality"].mean(axis=1),
        "prediction": rows["task"] + 1000,
    }
    asked = request_rows(task=[1, 2], state=[RequestState.OPEN, RequestState.ANSWERED])
    with store.lock(), store.transaction() as changes:
        store.published(2).stage_all(changes, said)
        store.requests.stage_all(changes, asked)
    with store.lock(), store.transaction() as changes:
        store.stage_keep_published(changes, "crowdlab-000001")
        for number in (1, 2):
            name = f"crowdlab-{number:06d}"
            version = ModelVersion(name, 1.5, _NUM_TASKS, "recompute", "f", "r")
            store.stage_model_version(changes, version)
            store.stage_audit(changes, "publish", model_version=name)
        store.stage_publication(changes, Publication("crowdlab-000002", 2, 1.5, _NUM_TASKS))
        review = AutomaticReview(ReviewPolicy(budget=5), "ann", "2026-01-01", 3)
        store.stage_automatic_review(changes, review)
        store.stage_accepted(changes, 2, 77)
    store.inbox.add(b"no event")
    store.inbox.bury(store.inbox.take(1)[0], "not JSON")
    store.inbox.add(b"{}")


def record(folder: Path, redis_folder: Path) -> RecordedState:
    """Record what this release writes."""
    server = EmbeddedRedis(redis_folder)
    server.start()
    with Redis.from_url(server.url) as redis:
        service = Service(load_settings(redis_url=server.url), redis)
        ensure_schema(redis)
        _draw(service.store(PROJECT))
        folder.mkdir(parents=True)
        state = RecordedState(folder)
        write_state(service, state.file)
        with zipfile.ZipFile(folder / "redis.zip", "w", zipfile.ZIP_DEFLATED) as keys:
            for key in sorted(redis.scan_iter()):
                if redis.ttl(key) == -1:
                    keys.writestr(key.decode(), redis.dump(key))
        (folder / "facts.json").write_text(json.dumps(facts(service.store(PROJECT)), indent=1))
        service.close()
    server.stop()
    return state


if __name__ == "__main__":
    target = _FOLDER / f"layout-{SCHEMA_VERSION}"
    if target.exists():
        sys.exit(f"{target} is recorded already, and later releases must read it as it is.")
    with tempfile.TemporaryDirectory() as name:
        record(target, Path(name))
    print(f"{target}: written by {__version__}")
