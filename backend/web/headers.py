"""Headers that tell a browser what a page may do: little, and nothing outside this machine."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask, Response, request

_NO_SENSORS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def add_security_headers(
    app: Flask, *, script_hashes: Sequence[str] = (), media_origin: str = ""
) -> None:
    """Send security headers with every answer.

    Parameters
    ----------
    script_hashes
        Hashes of inline scripts that may run, such as `dash.Dash.csp_hashes()` gives, each
        as `'sha256-…'`.
    media_origin
        Another site from which images, sound and film of tasks may come, as
        `https://label-studio.example`; empty for none.
    """
    headers = {
        "Content-Security-Policy": content_security_policy(script_hashes, media_origin),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": _NO_SENSORS,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        if request.path.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def content_security_policy(script_hashes: Sequence[str] = (), media_origin: str = "") -> str:
    """Content-Security-Policy of all pages; parameters as in `add_security_headers`."""
    media = " ".join(filter(None, ("'self'", media_origin)))
    directives = {
        "default-src": "'self'",
        "script-src": " ".join(("'self'", *script_hashes)),
        # Mantine and AG Grid set styles from their scripts.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": f"{media} data:",
        "media-src": media,
        "font-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())
