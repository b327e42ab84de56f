"""What those who run the service look at: metrics, readiness, slow requests."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, Request, Response, g, request
from flask.typing import ResponseReturnValue
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from backend.doctor import Finding, examine_label_studio, examine_workers
from backend.metrics import ServiceCollector
from backend.service import Service
from backend.settings import Settings
from backend.store import keys
from backend.store.cluster import DataRedis
from backend.web.auth import is_allowed

JSON = dict[str, Any]

log = logging.getLogger(__name__)

LABEL_STUDIO_SECONDS = 15.0
"""Label Studio is asked no more often."""

_LABEL_STUDIO_TIMEOUT = 5.0
_PATIENCE_SECONDS = 4.0
"""Nobody who asks whether the service is ready waits longer for Label Studio."""

_PROBE_SECONDS = 60
_SLOW_SECONDS = 1.0
"""Label Studio waits no longer for the answer to a webhook."""


def make_operations(service: Service) -> Blueprint:
    """Routes for monitoring."""
    operations = Blueprint("operations", __name__)
    collector = ServiceCollector(service)
    readiness = Readiness(service)

    @operations.get("/metrics")
    def metrics() -> ResponseReturnValue:
        """All metrics in Prometheus's text format."""
        return Response(generate_latest(collector), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    @operations.get("/ready")
    def ready() -> ResponseReturnValue:
        """Whether everything that the service needs is there; 503 if not."""
        findings = readiness.findings()
        is_ready = all(one.is_ok for one in findings)
        checks = [
            {"name": one.subject, "ok": one.is_ok, "message": one.message, "remedy": one.remedy}
            for one in findings
        ]
        return {"ready": is_ready, "checks": checks}, 200 if is_ready else 503

    return operations


def may_watch(request: Request, settings: Settings) -> bool:
    """Whether a request may read metrics and readiness.

    With METRICS_TOKEN they ask for it, or for the credentials of the other routes; without it
    they are as open as those.
    """
    token = settings.metrics_token.get_secret_value()
    if not token:
        return is_allowed(request, settings)
    given = request.authorization
    if given is not None and given.type == "bearer":
        return hmac.compare_digest((given.token or "").encode(), token.encode())
    return bool(settings.basic_auth_user) and is_allowed(request, settings)


class Readiness:
    """Looks whether Redis, workers and Label Studio are there.

    Parameters
    ----------
    service
        The service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._asked_at = float("-inf")
        self._known = Finding.fault(
            "Label Studio", "could not be asked", "The service's log has the reason."
        )

    def findings(self) -> list[Finding]:
        """What was found of each part."""
        return [*self._servers(), *self._workers(), self._label_studio()]

    def _servers(self) -> Iterator[Finding]:
        service = self._service
        yield _writes_of("Redis", service.redis)
        if service.data is not service.redis:
            yield _writes_of("Redis (data)", service.data)

    def _workers(self) -> Iterator[Finding]:
        try:
            yield from examine_workers(self._service)
        except RedisError:
            message = "not known while Redis does not answer"
            yield Finding.fault("Workers", message, "Mend Redis first.")

    def _label_studio(self) -> Finding:
        """Label Studio's state as it is known; it is asked if that is old."""
        if spared := self._spared():
            return spared
        with self._lock:
            is_old = time.monotonic() - self._asked_at > LABEL_STUDIO_SECONDS
            if is_old and not (self._asking and self._asking.is_alive()):
                self._asking = threading.Thread(target=self._ask, name="readiness", daemon=True)
                self._asking.start()
            asking = self._asking
        if asking is not None:
            asking.join(_PATIENCE_SECONDS)
            if asking.is_alive():
                message = f"has not answered within {_PATIENCE_SECONDS:g} s"
                return Finding.fault("Label Studio", message, "See whether it is overloaded.")
        return self._known

    def _spared(self) -> Finding | None:
        """What to say while nobody asks Label Studio anything, as it failed again and again."""
        breaker = self._service.breaker
        try:
            if breaker.is_due():
                return None
            message = breaker.state().banner
        except RedisError:
            return None
        return Finding.fault("Label Studio", message, "See that it runs and is not overloaded.")

    def _ask(self) -> None:
        try:
            found = examine_label_studio(self._service.settings, _LABEL_STUDIO_TIMEOUT)
            # What is found names the token's user, which is nobody else's business.
            is_up = Finding.ok(found.subject, "answers and accepts the token")
            self._known = is_up if found.is_ok else found
        finally:
            self._asked_at = time.monotonic()


def log_requests(app: Flask) -> None:
    """Log each request with its duration; those that let Label Studio wait as warnings."""

    @app.before_request
    def begin() -> None:
        g.began_at = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.monotonic() - g.began_at
        is_slow = seconds > _SLOW_SECONDS and request.blueprint != "operations"
        level = logging.WARNING if is_slow else logging.DEBUG
        status = response.status_code
        log.log(level, "%s %s: %s in %.3f s", request.method, request.path, status, seconds)
        return response


def _writes_of(subject: str, redis: DataRedis) -> Finding:
    """Whether Redis accepts writes."""
    try:
        redis.set(keys.PROBE, 1, ex=_PROBE_SECONDS)
    except OutOfMemoryError:
        remedy = "Raise its maxmemory, or disconnect projects that are done."
        return Finding.fault(subject, "has no memory left for writes", remedy)
    except ReadOnlyError:
        remedy = "Name the primary in the settings."
        return Finding.fault(subject, "is a replica, which takes no writes", remedy)
    except RedisError as error:
        remedy = "Check its address in the settings, that the server runs, and its log."
        return Finding.fault(subject, f"cannot be written: {error}", remedy)
    return Finding.ok(subject, "answers and accepts writes")
