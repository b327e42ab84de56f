"""Redis as the settings say."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from backend.errors import StoreError
from backend.settings import load_settings
from backend.store.cluster import Cluster, as_connection_errors
from backend.store.connection import RedisConnection, connect_data, is_recent, without_password
from backend.store.embedded import find_redis_server
from backend.store.project import known_projects
from backend.web.server import free_port
from tests.backend.jobs.test_worker import wait_for
from tests.redis_servers import Server, running, running_cluster


@pytest.fixture
def guarded_port(tmp_path: Path) -> Iterator[int]:
    """Port of a redis-server with the password `right`."""
    port = free_port("127.0.0.1", 6390)
    command = [find_redis_server(), "--port", str(port), "--requirepass", "right", "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    assert server.stdout is not None
    for line in server.stdout:
        if b"Ready to accept connections" in line:
            break
    yield port
    server.terminate()
    server.communicate(timeout=10)


@pytest.mark.parametrize("credentials", ["", ":wrong@"])
def test_a_refused_password_is_explained_without_showing_it(
    guarded_port: int, credentials: str
) -> None:
    url = f"redis://{credentials}127.0.0.1:{guarded_port}/0"
    with pytest.raises(StoreError, match="refuses the password") as raised:
        RedisConnection(load_settings(redis_url=url))
    assert "REDIS_URL" in raised.value.hint
    assert "wrong" not in str(raised.value)


def test_the_right_password_connects(guarded_port: int) -> None:
    url = f"redis://:right@127.0.0.1:{guarded_port}/0"
    with RedisConnection(load_settings(redis_url=url)) as connection:
        assert connection.redis.ping()
        assert not connection.owns_server
        connection.redis.close()


def test_a_server_that_is_not_there_is_explained() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/0 cannot be used") as raised:
        RedisConnection(load_settings(redis_url="redis://127.0.0.1:1/0"))
    assert ".." not in raised.value.message


def test_without_a_url_an_embedded_server_runs_as_long_as_the_connection(tmp_path: Path) -> None:
    with RedisConnection(load_settings(data_dir=tmp_path)) as connection:
        assert connection.owns_server
        connection.keep_running()
        assert connection.redis.ping()
        connection.redis.close()
    assert not (tmp_path / "redis" / "redis.sock").exists()


def test_passwords_are_cut_from_addresses() -> None:
    assert without_password("rediss://me:secret@host:1/0") == "rediss://***@host:1/0"
    assert without_password("redis://host/0") == "redis://host/0"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """The only node of a Redis Cluster."""
    with running_cluster(find_redis_server(), num_nodes=1) as (node,):
        yield node


def test_data_are_where_the_queue_is_unless_they_have_a_server(
    redis_url: str, redis: Redis
) -> None:
    with running(find_redis_server()) as server:
        settings = load_settings(redis_url=redis_url, data_redis_url=server.url)
        with RedisConnection(settings) as connection:
            assert connection.data.exists("crowdlab:schema")
            assert not connection.redis.exists("crowdlab:schema")
    for same in ("", redis_url):
        settings = load_settings(redis_url=redis_url, data_redis_url=same)
        with RedisConnection(settings) as connection:
            assert connection.data is connection.redis


def test_a_cluster_is_recognised(redis_url: str, redis: Redis, cluster: Server) -> None:
    settings = load_settings(redis_url=redis_url, data_redis_url=cluster.url)
    with RedisConnection(settings) as connection:
        assert isinstance(connection.data, Cluster)
        assert connection.data.exists("crowdlab:schema")
        assert known_projects(connection.data) == []


def test_the_queue_cannot_be_in_a_cluster(cluster: Server) -> None:
    with pytest.raises(StoreError, match="is part of a Redis Cluster") as raised:
        RedisConnection(load_settings(redis_url=cluster.url))
    assert "Set CROWDLAB_DATA_REDIS_URL to the cluster" in raised.value.hint


@pytest.mark.parametrize("credentials", ["", ":wrong@"])
def test_faults_of_the_data_server_name_its_setting(
    redis_url: str, guarded_port: int, credentials: str
) -> None:
    url = f"redis://{credentials}127.0.0.1:{guarded_port}/0"
    with pytest.raises(StoreError, match="refuses the password") as raised:
        RedisConnection(load_settings(redis_url=redis_url, data_redis_url=url))
    assert "CROWDLAB_DATA_REDIS_URL" in raised.value.hint
    assert "wrong" not in str(raised.value)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/0 cannot be used") as raised:
        connect_data(load_settings(data_redis_url="redis://127.0.0.1:1/0"))
    assert "leave it unset to keep the data where REDIS_URL is" in raised.value.hint


def test_a_cluster_without_slots_is_explained() -> None:
    with running(find_redis_server(), "--cluster-enabled", "yes") as node:
        with pytest.raises(StoreError, match=r"Redis Cluster at .* cannot be used") as raised:
            connect_data(load_settings(data_redis_url=node.url))
        assert "--cluster check" in raised.value.hint


def test_a_cluster_that_is_away_is_a_lost_connection_until_it_is_back(cluster: Server) -> None:
    data = connect_data(load_settings(data_redis_url=cluster.url))
    assert isinstance(data, Cluster)
    data.set("a", "b")
    cluster.stop()
    with pytest.raises(RedisConnectionError):
        data.get("a")
    with (
        pytest.raises(RedisConnectionError),
        as_connection_errors(),
        data.pipeline(transaction=False) as pipe,
    ):
        pipe.get("a").execute()
    cluster.restart()
    wait_for(lambda: can_be_written(data))
    assert data.get("b") == b"c"
    data.close()


def can_be_written(data: Cluster) -> bool:
    try:
        return bool(data.set("b", "c"))
    except RedisConnectionError:
        return False


@pytest.mark.parametrize(
    ("release", "is_enough"),
    [("6.0.16", False), ("5.0.7", False), ("6.2.14", True), ("7.2.4", True), ("10.0", True)],
)
def test_releases_without_needed_commands_are_told(release: str, is_enough: bool) -> None:
    assert is_recent({"redis_version": release}) == is_enough
