"""Who may call: HTTP Basic for Label Studio's requests, a secret for its webhooks."""

from __future__ import annotations

import hmac

from flask import Request

from backend.settings import SECRET_HEADER, Settings


def is_allowed(request: Request, settings: Settings) -> bool:
    """Whether a request carries the credentials that the settings ask for.

    Label Studio sends Basic credentials with every ML request but not with webhooks, which
    can carry headers of their own instead; so a webhook may show either.
    """
    if request.path.rstrip("/").endswith("/webhook"):
        if not settings.protects_requests:
            return True
        return _has_secret(request, settings) or _has_password(request, settings)
    return not settings.basic_auth_user or _has_password(request, settings)


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


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
