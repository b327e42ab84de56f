"""Who may call.

Label Studio shows HTTP Basic credentials, and a secret with its webhooks; people and programs
show the same credentials, or a token, for pages and API.
"""

from __future__ import annotations

import hmac
import ipaddress

from flask import Request

from backend.settings import SECRET_HEADER, Settings


def is_allowed(request: Request, settings: Settings) -> bool:
    """Whether a request of Label Studio carries the credentials that the settings ask for.

    Label Studio sends Basic credentials with every ML request but not with webhooks, which
    can carry headers of their own instead; so a webhook may show either.
    """
    if request.path.rstrip("/").endswith("/webhook"):
        if not settings.protects_requests:
            return True
        return _has_secret(request, settings) or _has_password(request, settings)
    return not settings.basic_auth_user or _has_password(request, settings)


def may_look(request: Request, settings: Settings) -> bool:
    """Whether a request may use pages and API.

    They ask for the Basic credentials or the API token, whichever is set.
    """
    if not settings.protects_pages:
        return True
    return _has_password(request, settings) or _has_token(request, settings)


def user_name(request: Request, settings: Settings) -> str:
    """Name that a request has proved by its password; empty if none, as with a token."""
    return settings.basic_auth_user if _has_password(request, settings) else ""


def exposure_warning(settings: Settings) -> str:
    """Say what everybody on the network may do with the service; empty if that is nothing."""
    if is_loopback(settings.host):
        return ""
    open_to_all, missing = [], []
    if not settings.protects_pages:
        open_to_all.append("read its projects and act on them")
        missing.append("BASIC_AUTH_USER and BASIC_AUTH_PASS")
    if not settings.protects_requests:
        open_to_all.append("send events in Label Studio's name")
        missing.append("WEBHOOK_SECRET")
    if not missing:
        return ""
    return (
        f"This service listens on {settings.host}, where other machines reach it, without asking "
        f"for credentials: anybody there can {' and '.join(open_to_all)}. "
        f"Set {' and '.join(missing)}."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _has_secret(request: Request, settings: Settings) -> bool:
    expected = settings.webhook_secret.get_secret_value()
    return bool(expected) and _equal(request.headers.get(SECRET_HEADER, ""), expected)


def _has_password(request: Request, settings: Settings) -> bool:
    given = request.authorization
    if not settings.basic_auth_user or given is None or given.type != "basic":
        return False
    # Both are compared, so that the time taken tells nothing of either.
    user_fits = _equal(given.username or "", settings.basic_auth_user)
    password_fits = _equal(given.password or "", settings.basic_auth_pass.get_secret_value())
    return user_fits and password_fits


def _has_token(request: Request, settings: Settings) -> bool:
    """Whether the API token is shown; browsers, which send none, give it as a password."""
    expected = settings.api_token.get_secret_value()
    given = request.authorization
    if not expected or given is None:
        return False
    shown = given.token if given.type == "bearer" else given.password
    return _equal(shown or "", expected)


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
