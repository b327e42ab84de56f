"""The log: lines for people or JSON objects for machines, with ids and without secrets."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

from gunicorn.glogging import Logger
from pydantic import SecretStr
from structlog import dev, processors, stdlib
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import EventDict, Processor

from backend.settings import Settings

log = logging.getLogger(__name__)

_SHORTEST_SECRET = 4
"""What is shorter occurs in most lines, and hides nothing from anybody who guesses."""

HIDDEN = "***"
"""Stands in the log where a secret was."""

_QUIET = ("httpx", "httpcore", "rq.worker", "rq.scheduler")
"""They say nothing about our work below warnings, and a lot."""

_FIRST_KEYS = ("timestamp", "level", "logger", "event", "project", "job", "task")

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

_CREDENTIALS = (
    # A JSON Web Token, be it cut short.
    re.compile(r"()eyJ[\w-]{8,}(?:\.[\w-]*){0,2}"),
    re.compile(r"\b((?:Bearer|Basic|Token) +)[\w.~+/=-]{16,}"),
    # User name and password in an address.
    re.compile(r"(\w://)[^\s/@]*:[^\s/@]*(?=@)"),
)
"""What looks like credentials, whosever they are."""


def configure_logging(settings: Settings) -> None:
    """Send the log to stderr in the form that the settings ask for.

    Warnings of libraries and exceptions that nobody caught go the same way, so that every
    line has the same form and none carries a secret.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(_formatter(settings, sys.stderr))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in _QUIET:
        level = max(logging.WARNING, logging.getLevelName(settings.log_level))
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


@contextmanager
def logged_as(
    *, project: int | None = None, job: str | None = None, task: int | None = None
) -> Iterator[None]:
    """Add ids to every line that this thread logs inside, whichever module logs it."""
    ids = {"project": project, "job": job, "task": task}
    with bound_contextvars(**{name: one for name, one in ids.items() if one is not None}):
        yield


class GunicornLogger(Logger):  # type: ignore[misc]
    """Lets gunicorn's lines go where all others go."""

    def setup(self, cfg: Any) -> None:
        """Leave gunicorn's own handlers out."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True


class Redaction:
    """A processor that hides secrets, in whatever text of a line they are.

    Parameters
    ----------
    secrets
        What must not be seen, as it is; also found where it is quoted or escaped.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms_of(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, logger: Any, method: str, event: EventDict) -> EventDict:
        """Hide secrets in all values of a line but those that cannot hold any."""
        safe = {"timestamp", "level", "logger"}
        return {
            name: value if name in safe else self._without_secrets(value)
            for name, value in event.items()
        }

    def _without_secrets(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        text = value if isinstance(value, str) else repr(value)
        text = self._secrets.sub(HIDDEN, text)
        for credentials in _CREDENTIALS:
            text = credentials.sub(rf"\g<1>{HIDDEN}", text)
        return text


def secrets_of(settings: Settings) -> set[str]:
    """Every secret that the settings hold: tokens, passwords, Authorization values."""
    values = [getattr(settings, name) for name in Settings.model_fields]
    servers = (settings.redis_url, settings.data_redis_url)
    addresses = [
        *(one.get_secret_value() for one in servers),
        *(v for v in values if type(v) is str),
    ]
    secrets = {password for address in addresses for password in _passwords_in(address)}
    for value in values:
        if isinstance(value, SecretStr) and not any(value is one for one in servers):
            secrets |= {value.get_secret_value(), value.get_secret_value().strip()}
    password = settings.basic_auth_pass.get_secret_value()
    if password:
        pair = f"{settings.basic_auth_user}:{password}"
        secrets.add(b64encode(pair.encode()).decode())
    return {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}


def _passwords_in(address: str) -> set[str]:
    """Passwords of an address, written as there and decoded."""
    if "://" not in address:
        return set()
    parts = urlsplit(address)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    return {password, unquote(password), *parse_qs(parts.query).get("password", [])}


def _forms_of(secret: str) -> set[str]:
    """How a secret looks in texts: as it is, escaped by repr or JSON, quoted for an address."""
    return {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    }


def _formatter(settings: Settings, stream: TextIO) -> stdlib.ProcessorFormatter:
    chain: list[Processor] = [
        stdlib.ProcessorFormatter.remove_processors_meta,
        processors.format_exc_info,
        Redaction(secrets_of(settings)),
    ]
    if settings.log_format == "json":
        stamp = processors.TimeStamper(fmt="iso", utc=True)
        chain += [_in_order, processors.JSONRenderer()]
    else:
        stamp = processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False)
        colors = stream.isatty() and not os.environ.get("NO_COLOR")
        chain += [
            _as_one_entry,
            # Its other ways to show an exception print the values of variables.
            dev.ConsoleRenderer(colors=colors, exception_formatter=dev.plain_traceback),
        ]
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[merge_contextvars, stdlib.add_log_level, stdlib.add_logger_name, stamp],
        processors=chain,
    )


def _in_order(logger: Any, method: str, event: EventDict) -> EventDict:
    """Bring the keys into the order in which people look for them."""
    first = {name: event[name] for name in _FIRST_KEYS if name in event}
    return {**first, **event}


def _as_one_entry(logger: Any, method: str, event: EventDict) -> EventDict:
    """Let no text from outside look like a line of its own or steer the terminal."""
    return {
        name: _indented(value) if isinstance(value, str) else value for name, value in event.items()
    }


def _indented(text: str) -> str:
    escaped = _CONTROL_CHARACTERS.sub(lambda found: ascii(found[0])[1:-1], text)
    return escaped.replace("\n", "\n    ")


class _Handler(logging.StreamHandler[TextIO]):
    """Tells of a line that cannot be formatted without its arguments, which it could hold."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if error is None or isinstance(error, OSError):  # the stream itself is gone
            return
        place = f"{record.pathname}:{record.lineno}"
        told = {
            "name": record.name,
            "levelno": logging.ERROR,
            "levelname": "ERROR",
            "msg": f"a line cannot be logged ({type(error).__name__} at {place})",
        }
        self.stream.write(self.format(logging.makeLogRecord(told)) + self.terminator)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    log.critical("the process ends by an error", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread else "unknown"
    error = (args.exc_type, args.exc_value, args.exc_traceback)
    log.critical("the thread %s ends by an error", name, exc_info=error)
