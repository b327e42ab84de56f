"""The connections to Redis: the user's, or an embedded server's."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from backend.errors import StoreError
from backend.settings import Settings, environment_name
from backend.store.cluster import Cluster, DataRedis, as_connection_errors
from backend.store.embedded import EmbeddedRedis
from backend.store.schema import ensure_schema

OLDEST_RELEASE = (6, 2)
"""The first release of Redis that has all commands of the store; every Valkey has them."""

_QUEUE = environment_name("redis_url")
_DATA = environment_name("data_redis_url")
_WITHOUT = {
    _QUEUE: "leave it unset for an embedded server",
    _DATA: f"leave it unset to keep the data where {_QUEUE} is",
}
_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 5, "health_check_interval": 30}


class RedisConnection:
    """Redis as the settings say; a context manager that stops what it started.

    Parameters
    ----------
    settings
        `REDIS_URL` names the server; without it, an embedded one is used.
        `CROWDLAB_DATA_REDIS_URL` names another server or a cluster for the projects' data.
    own
        Whether the embedded server must be this process's own, as others depend on it.

    Raises
    ------
    StoreError
        Redis cannot be reached, started or used, or refuses the password.
    """

    def __init__(self, settings: Settings, *, own: bool = False) -> None:
        self._embedded: EmbeddedRedis | None = None
        self._redis: Redis | None = None
        self._data: DataRedis | None = None
        self.url = settings.redis_url.get_secret_value()
        if not self.url:
            self._embedded = EmbeddedRedis(settings.data_dir)
            self._embedded.start(own=own)
            self.url = self._embedded.url
        try:
            self._redis = connect(self.url, settings.ca_file)
            self._data = connect_data(settings)
            ensure_schema(self.data)
        except BaseException:
            self.close()
            raise

    @property
    def redis(self) -> Redis:
        """Connection that returns bytes, to the server of the queue."""
        assert self._redis is not None
        return self._redis

    @property
    def data(self) -> DataRedis:
        """Connection that returns bytes, to what holds the projects' data."""
        return self.redis if self._data is None else self._data

    @property
    def owns_server(self) -> bool:
        """Whether an embedded server runs because of this connection."""
        return self._embedded is not None and self._embedded.owns_server

    def keep_running(self) -> None:
        """Start the embedded server again if this connection started it and it has ended.

        Raises
        ------
        StoreError
            It does not start.
        """
        if self._embedded is not None:
            self._embedded.keep_running()

    def close(self) -> None:
        """Disconnect, and stop the embedded server if this connection started it."""
        if self._data is not None:
            self._data.close()
        if self._redis is not None:
            self._redis.close()
        if self._embedded is not None:
            self._embedded.stop()

    def __enter__(self) -> RedisConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(url: str, ca_file: Path | None = None) -> Redis:
    """Connect to the server of the queue and check that it can be used.

    Parameters
    ----------
    ca_file
        Certificates of the authorities that its own may be signed by; None for those that this
        machine trusts.

    Raises
    ------
    StoreError
        It does not answer, is too old or part of a cluster, or refuses the password.
    """
    redis, is_cluster = _connect(url, _QUEUE, ca_file)
    if is_cluster:
        redis.close()
        raise StoreError(
            f"Redis at {without_password(url)} is part of a Redis Cluster, where the queue of jobs "
            "cannot be.",
            f"Set {_DATA} to the cluster and {_QUEUE} to a single server, or leave {_QUEUE} unset "
            "for an embedded one.",
        )
    return redis


def connect_data(settings: Settings) -> DataRedis | None:
    """Connect to the server or the cluster that the projects' data have to themselves.

    Returns
    -------
    Redis, Cluster or None
        None if the data are where the queue is.

    Raises
    ------
    StoreError
        It does not answer, is too old, or refuses the password.
    """
    url = settings.data_redis_url.get_secret_value()
    if url in {"", settings.redis_url.get_secret_value()}:
        return None
    redis, is_cluster = _connect(url, _DATA, settings.ca_file)
    if not is_cluster:
        return redis
    redis.close()
    try:
        with as_connection_errors():
            return Cluster(url=url, **_options(url, settings.ca_file))
    except RedisError as error:
        raise StoreError(
            f"The Redis Cluster at {without_password(url)} cannot be used: {_reason_of(error)}.",
            "See that it is complete (`redis-cli --cluster check HOST:PORT`), and that its nodes "
            "can be reached from here at the addresses that they announce.",
        ) from None


def _connect(url: str, setting: str, ca_file: Path | None) -> tuple[Redis, bool]:
    """Connect to a server and tell whether it is part of a cluster."""
    redis: Redis | None = None
    try:
        redis = Redis.from_url(url, **_options(url, ca_file))
        info: Any = redis.info()
    except AuthenticationError as error:
        if redis is not None:
            redis.close()
        raise StoreError(
            f"Redis at {without_password(url)} refuses the password: {_reason_of(error)}.",
            f"Correct {setting}: redis://:PASSWORD@HOST:PORT/0.",
        ) from None
    except (RedisError, ValueError) as error:
        raise StoreError(
            f"Redis at {without_password(url)} cannot be used: {_reason_of(error)}.",
            f"Check {setting} and that the server runs; {_WITHOUT[setting]}.",
        ) from None
    if not is_recent(info):
        redis.close()
        raise StoreError(
            f"Redis at {without_password(url)} is of release {info['redis_version']}, which lacks "
            "commands that are needed.",
            f"Use Redis {OLDEST_RELEASE[0]}.{OLDEST_RELEASE[1]} or newer, or Valkey.",
        )
    return redis, bool(info.get("cluster_enabled"))


def _options(url: str, ca_file: Path | None) -> dict[str, Any]:
    if ca_file is None or not url.startswith("rediss://"):
        return _OPTIONS
    return {**_OPTIONS, "ssl_ca_certs": str(ca_file)}


def is_recent(info: dict[str, Any]) -> bool:
    """Whether a server that tells this about itself has all commands of the store."""
    numbers = [int(number) for number in re.findall(r"\d+", str(info["redis_version"]))]
    return tuple(numbers[:2]) >= OLDEST_RELEASE


def _reason_of(error: Exception) -> str:
    return str(error).rstrip(". ")


def without_password(url: str) -> str:
    """Address without its credentials."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()
