"""Fixtures that all tests share: a real redis-server, clean before and after each test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from redis import Redis

from backend.service import Service
from backend.settings import Settings, environment_name, load_settings
from backend.store.embedded import EmbeddedRedis
from backend.store.project import ProjectStore
from tests.e2e.chromium import find_chromium

DATA = Path(__file__).parent / "data"
OWN_LABEL_STUDIO = "tests/e2e/test_demo.py"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Start one Label Studio only: whoever runs one of its tests, runs them all."""
    from xdist.scheduler import LoadFileScheduling

    class ByLabelStudio(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            is_shared = file.startswith("tests/e2e/") and file != OWN_LABEL_STUDIO
            return "Label Studio" if is_shared else file

    return ByLabelStudio(config, log)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a redis-server that runs for the session."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("r"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Connection to an empty Redis."""
    connection = Redis.from_url(redis_url)
    connection.flushall()
    yield connection
    connection.flushall()
    connection.close()


@pytest.fixture
def store(redis: Redis) -> ProjectStore:
    """Store of project 25, the recorded one."""
    return ProjectStore(redis, 25)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's environment and .env file out of the tests."""
    for field in Settings.model_fields:
        name = environment_name(field)
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setenv("CROWDLAB_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def make_service(redis: Redis, redis_url: str) -> Callable[..., Service]:
    """Build a service on the test's Redis with other settings than the defaults."""

    def make(**settings: Any) -> Service:
        return Service(load_settings(redis_url=redis_url, **settings), redis)

    return make


@pytest.fixture
def recorded() -> Callable[[str], Any]:
    """Read a recorded Label Studio payload by file name."""

    def read(name: str) -> Any:
        return json.loads((DATA / "label_studio" / name).read_text())

    return read


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Not for the session: its event loop would be in the way of other tests."""
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=find_chromium(), args=options)
        yield program
        program.close()
