"""The web application: routes, and the one place where errors become HTTP answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, request
from flask.typing import ResponseReturnValue
from flask_openapi3 import OpenAPI
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from backend.errors import CrowdlabError
from backend.logs import GunicornLogger
from backend.service import Service
from backend.settings import Settings
from backend.web.api.document import INFO, SECURITY, make_document
from backend.web.api.routes import PROBLEM, make_api, refuse_parameters
from backend.web.attempts import FailedAttempts
from backend.web.auth import is_allowed, may_look
from backend.web.bodies import StrictRequest
from backend.web.contract import contract, health
from backend.web.cross_site import is_from_another_site
from backend.web.dashboard.application import mount_dashboard
from backend.web.headers import add_security_headers
from backend.web.operations import log_requests, make_operations, may_watch

log = logging.getLogger(__name__)

_OPEN_PATHS = {"/health"}
_RULES: dict[str | None, Callable[[Request, Settings], bool]] = {
    "contract": is_allowed,
    "operations": may_watch,
}
"""Who may use the routes of a blueprint; for all others see `may_look`."""


def create_app(service: Service) -> Flask:
    """Make the WSGI application."""
    app = OpenAPI(
        __name__,
        static_folder=None,
        info=INFO,
        security_schemes=SECURITY,
        doc_ui=False,
        validation_error_status=400,
        validation_error_model=PROBLEM,
        validation_error_callback=refuse_parameters,
    )
    app.request_class = StrictRequest
    app.config["MAX_CONTENT_LENGTH"] = service.settings.max_body_bytes
    app.extensions["crowdlab"] = service
    if hops := service.settings.trusted_proxies:
        # An address in X-Forwarded-For is believed only as far as our own proxies wrote it.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    log_requests(app)
    app.register_blueprint(contract)
    app.register_blueprint(make_operations(service))
    app.register_api(make_api(service))
    app.register_blueprint(make_document())

    attempts = FailedAttempts(service.settings.failed_logins_per_minute)

    @app.before_request
    def check_credentials() -> ResponseReturnValue | None:
        if request.path in _OPEN_PATHS:
            return None
        if wait := attempts.seconds_to_wait(request):
            body = {"error": f"Too many wrong credentials; try again in {wait} seconds."}
            return body, 429, {"Retry-After": str(wait)}
        if _RULES.get(request.blueprint, may_look)(request, service.settings):
            return None
        attempts.count(request)
        body = {"error": "Wrong or missing credentials."}
        return body, 401, {"WWW-Authenticate": 'Basic realm="crowdlab"'}

    @app.before_request
    def refuse_other_sites() -> ResponseReturnValue | None:
        is_for_programs = request.blueprint == contract.name
        if is_for_programs or not is_from_another_site(request, service.settings):
            return None
        body = {
            "error": "This request was sent by a page of another site. If a reverse proxy stands "
            "before this service, set CROWDLAB_PUBLIC_URL to the address that browsers ask for."
        }
        return body, 403

    @app.before_request
    def greet_programs() -> ResponseReturnValue | None:
        is_page = request.accept_mimetypes.accept_html
        return health() if request.path == "/" and not is_page else None

    # After the checks above, which come first.
    add_security_headers(
        app,
        script_hashes=mount_dashboard(app, service),
        media_origin=service.settings.label_studio_origin,
    )

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
        "logger_class": GunicornLogger,
        "proc_name": "crowdlab-web",
        "control_socket_disable": True,
    }
