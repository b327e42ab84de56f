"""The connection to Redis: the user's, or an embedded server's."""

from __future__ import annotations

from types import TracebackType
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from backend.errors import StoreError
from backend.settings import Settings
from backend.store.embedded import EmbeddedRedis


class RedisConnection:
    """Redis as the settings say; a context manager that stops what it started.

    Parameters
    ----------
    settings
        `REDIS_URL` names the server; without it, an embedded one is used.
    own
        Whether the embedded server must be this process's own, as others depend on it.

    Raises
    ------
    StoreError
        Redis cannot be reached or started, or refuses the password.
    """

    def __init__(self, settings: Settings, *, own: bool = False) -> None:
        self._embedded: EmbeddedRedis | None = None
        self._redis: Redis | None = None
        self.url = settings.redis_url.get_secret_value()
        if not self.url:
            self._embedded = EmbeddedRedis(settings.data_dir)
            self._embedded.start(own=own)
            self.url = self._embedded.url
        try:
            self._redis = connect(self.url)
        except BaseException:
            self.close()
            raise

    @property
    def redis(self) -> Redis:
        """Connection that returns bytes."""
        assert self._redis is not None
        return self._redis

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


def connect(url: str) -> Redis:
    """Connect to a Redis server and check that it answers.

    Raises
    ------
    StoreError
        It does not, or it refuses the password.
    """
    redis: Redis | None = None
    try:
        redis = Redis.from_url(url, socket_connect_timeout=5, health_check_interval=30)
        redis.ping()
    except AuthenticationError as error:
        if redis is not None:
            redis.close()
        raise StoreError(
            f"Redis at {without_password(url)} refuses the password: {_reason_of(error)}.",
            "Correct REDIS_URL: redis://:PASSWORD@HOST:PORT/0.",
        ) from None
    except (RedisError, ValueError) as error:
        raise StoreError(
            f"Redis at {without_password(url)} cannot be used: {_reason_of(error)}.",
            "Check REDIS_URL and that the server runs; leave it unset for an embedded server.",
        ) from None
    return redis


def _reason_of(error: Exception) -> str:
    return str(error).rstrip(". ")


def without_password(url: str) -> str:
    """Address without its credentials."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()
