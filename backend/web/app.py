"""The web application: routes, and the one place where errors become HTTP answers."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from backend.errors import CrowdlabError
from backend.service import Service
from backend.web.auth import is_allowed
from backend.web.contract import contract

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Label Studio sends all selected tasks in one request."""

_OPEN_PATHS = {"/health"}


def create_app(service: Service) -> Flask:
    """Make the WSGI application."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["crowdlab"] = service
    app.register_blueprint(contract)

    @app.before_request
    def check_credentials() -> ResponseReturnValue | None:
        if request.path in _OPEN_PATHS or is_allowed(request, service.settings):
            return None
        body = {"error": "Wrong or missing credentials."}
        return body, 401, {"WWW-Authenticate": 'Basic realm="crowdlab"'}

    @app.errorhandler(CrowdlabError)
    def answer_domain_error(error: CrowdlabError) -> ResponseReturnValue:
        return {"error": str(error)}, error.http_status

    @app.errorhandler(RedisError)
    def answer_store_error(error: RedisError) -> ResponseReturnValue:
        log.error("Redis: %s", error)
        return {"error": "The store (Redis) cannot be used now."}, 503

    @app.errorhandler(HTTPException)
    def answer_http_error(error: HTTPException) -> ResponseReturnValue:
        return {"error": error.description or error.name}, error.code or 500

    @app.errorhandler(Exception)
    def answer_unexpected_error(error: Exception) -> ResponseReturnValue:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return {"error": "Internal error; the service's log has the details."}, 500

    return app


def gunicorn_options(service: Service) -> dict[str, Any]:
    """Options of the gunicorn server, from the settings."""
    settings = service.settings
    return {
        "bind": f"{settings.host}:{settings.port}",
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": "gthread",
        "timeout": 120,
        "graceful_timeout": 5,
        "loglevel": settings.log_level.lower(),
        "proc_name": "crowdlab-web",
        "control_socket_disable": True,
    }
