"""Protection against requests that another site makes a user's browser send.

A browser adds the user's credentials to them by itself, but it also says where they come
from: in `Sec-Fetch-Site`, or, when it speaks plain HTTP with another machine, in `Origin`
alone. Programs send neither.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request

from backend.settings import Settings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
"""Where a request comes from that a page of ours, or the user's own hand, has sent."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_from_another_site(request: Request, settings: Settings) -> bool:
    """Whether a request that could change something was sent by a page that is not ours.

    Behind a reverse proxy that names another host than the browser does, CROWDLAB_PUBLIC_URL
    tells what the browser's is.
    """
    if request.method in _SAFE_METHODS:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site.strip().lower() not in _OWN_SITES
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    scheme, _, place = origin.strip().lower().partition("://")
    own = {request.host.lower(), urlsplit(settings.browser_url).netloc.lower()}
    return _without_default_port(place, scheme) not in {
        _without_default_port(host, scheme) for host in own if host
    }


def _without_default_port(host: str, scheme: str) -> str:
    return host.removesuffix(_DEFAULT_PORTS.get(scheme, "\0"))
