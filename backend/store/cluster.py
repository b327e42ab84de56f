"""The servers that hold the projects' data: a single Redis, or a Redis Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis, RedisCluster
from redis.exceptions import ClusterError, RedisClusterException
from redis.exceptions import ConnectionError as RedisConnectionError


class Cluster(RedisCluster):
    """A Redis Cluster that, where it cannot be used, fails as a single Redis does."""

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a command on the node that has its key."""
        with as_connection_errors():
            return super().execute_command(*args, **kwargs)  # type: ignore[no-untyped-call]


DataRedis = Redis | Cluster
"""Connection to what holds the projects' data; all keys of one project lie on one server."""


@contextmanager
def as_connection_errors() -> Iterator[None]:
    """Turn what a cluster's client raises where no node takes a command into redis's own error.

    Everybody who can wait for a lost server waits for that. Pipelines need it; single commands
    do it themselves.
    """
    try:
        yield
    except (RedisClusterException, ClusterError) as error:
        raise RedisConnectionError(str(error)) from error


def servers_of(redis: DataRedis) -> dict[str, Redis]:
    """Connections to all servers that take writes, by `host:port`; by "" if it is a single one."""
    if isinstance(redis, Redis):
        return {"": redis}
    nodes = redis.get_primaries()  # type: ignore[no-untyped-call]
    return {node.name: redis.get_redis_connection(node) for node in nodes}


def server_of(redis: DataRedis, key: str) -> Redis:
    """Connection to the server that has a key."""
    if isinstance(redis, Redis):
        return redis
    with as_connection_errors():
        node = redis.get_node_from_key(key)  # type: ignore[no-untyped-call]
        return redis.get_redis_connection(node)
