"""The web server: gunicorn with our application."""

from __future__ import annotations

import errno
import logging
import socket

from flask import Flask
from gunicorn.app.base import BaseApplication

from backend.errors import PortInUseError, SettingsError
from backend.service import Service
from backend.web.app import create_app, gunicorn_options
from backend.web.auth import exposure_warning

log = logging.getLogger(__name__)


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, service: Service) -> None:
        self._service = service
        super().__init__()

    def load_config(self) -> None:
        for name, value in gunicorn_options(self._service).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._service)


def run_web(service: Service) -> None:
    """Serve until the process is told to stop.

    Raises
    ------
    PortInUseError
        Something else listens on the port.
    SettingsError
        The address is not one of this machine's.
    """
    check_address(service.settings.host, service.settings.port)
    if warning := exposure_warning(service.settings):
        log.warning("%s", warning)
    _Server(service).run()


def check_address(host: str, port: int) -> None:
    """Check that `host`:`port` can be listened on.

    Raises
    ------
    PortInUseError, SettingsError
        It cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"Port {port} on {host} is in use by another program.",
                    "Stop that program, or set PORT to a free port.",
                ) from None
            raise SettingsError(
                f"Cannot listen on {host}:{port}: {error.strerror or error}.",
                "Set HOST to an address of this machine (0.0.0.0 for all) and PORT to a free port.",
            ) from None


def free_port(host: str, preferred: int) -> int:
    """Return `preferred` if it can be listened on, else some port that can."""
    try:
        check_address(host, preferred)
    except PortInUseError:
        with socket.socket() as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    return preferred
