"""Whether what runs on this machine is well: the health checks of containers."""

from __future__ import annotations

from ipaddress import ip_address

import httpx

from backend.errors import CrowdlabError
from backend.service import Service
from backend.settings import Settings

_WAIT_SECONDS = 4.0


class UnhealthyError(CrowdlabError):
    """Something that should run here does not."""


def check_web(settings: Settings) -> None:
    """Check that the web application answers on this machine.

    Raises
    ------
    UnhealthyError
        It does not, or another program does.
    """
    host = _address_here(settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health"
    try:
        answer = httpx.get(url, timeout=_WAIT_SECONDS, trust_env=False).raise_for_status()
        model = answer.json()["model_class"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise UnhealthyError(f"{url} does not answer as it should: {error}.") from None
    if model != "CrowdlabModel":
        raise UnhealthyError(f"{url} is another program: {model}.")


def _address_here(host: str) -> str:
    """Where to reach what listens on `host`, which may be every address of this machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def check_worker(service: Service) -> None:
    """Check that a worker runs on this machine and shows signs of life in Redis.

    Raises
    ------
    UnhealthyError
        None does.
    """
    if not service.queue.has_worker_here():
        raise UnhealthyError("No worker on this machine shows signs of life.")
