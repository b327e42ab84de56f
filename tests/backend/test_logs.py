"""The log: its two forms, the ids of what is worked on, and no secret anywhere."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from gunicorn.config import Config
from pydantic import SecretStr

from backend import logs
from backend.errors import SettingsError
from backend.logs import HIDDEN, GunicornLogger, configure_logging, logged_as, secrets_of
from backend.settings import Settings, load_settings

log = logging.getLogger("backend.jobs.tested")

SECRETS = {
    "label_studio_api_key": "zulu'yankee\"xray\\1/2",
    "basic_auth_pass": "whiskey victor %1",
    "webhook_secret": "uniform+tango=3",
    "metrics_token": "sierra-romeo-4",
    "api_token": "oscar_november.7",
}
REDIS_PASSWORD = "quebec:papa/5"
WORDS = re.findall("[a-z]+", " ".join([*SECRETS.values(), REDIS_PASSWORD]))
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl"

Configure = Callable[..., None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configure logging by settings; all as before after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    hooks = sys.excepthook, threading.excepthook

    def by_settings(**settings: Any) -> None:
        configure_logging(load_settings(**settings))

    yield by_settings
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)


def all_secrets() -> dict[str, Any]:
    address = f"redis://:{quote(REDIS_PASSWORD, safe='')}@localhost:6379/0"
    return {**SECRETS, "basic_auth_user": "someone", "redis_url": address}


def test_a_json_line_has_the_ids_and_the_order_that_people_look_for(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="json")
    with logged_as(project=25, job="job-1"), logged_as(task=7):
        log.info("project %s: %s events", 25, 3)
    (line,) = capsys.readouterr().err.splitlines()
    plain = json.loads(line)
    moment = datetime.fromisoformat(plain.pop("timestamp"))
    assert abs(datetime.now(tz=UTC) - moment) < timedelta(minutes=1)
    assert moment.utcoffset() == timedelta(0)
    assert plain == {
        "level": "info",
        "logger": "backend.jobs.tested",
        "event": "project 25: 3 events",
        "project": 25,
        "job": "job-1",
        "task": 7,
    }
    assert list(json.loads(line)) == list(logs._FIRST_KEYS)


def test_ids_end_with_their_block_and_belong_to_one_thread(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="json")
    with logged_as(project=1):
        with pytest.raises(ZeroDivisionError), logged_as(project=2, task=3):
            log.info("inner %s", 1 / 0)
        log.info("outer")
        thread = threading.Thread(target=log.info, args=("elsewhere",))
        thread.start()
        thread.join()
    log.info("after")
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["event"], one.get("project"), one.get("task")) for one in said] == [
        ("outer", 1, None),
        ("elsewhere", None, None),
        ("after", None, None),
    ]


def test_an_exception_is_part_of_its_json_line(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="json")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    plain = json.loads(line)
    assert plain["level"] == "error"
    assert plain["exception"].startswith("Traceback (most recent call last):")
    assert plain["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_console_line_is_for_people(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    with logged_as(project=25):
        log.warning("something %s", "is odd")
    said = capsys.readouterr().err
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[warning {2}\] something is odd", said)
    assert "[backend.jobs.tested] project=25\n" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(("no_color", "is_colored"), [("", True), ("1", False)])
def test_only_a_terminal_gets_colors(
    monkeypatch: pytest.MonkeyPatch, no_color: str, is_colored: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as terminal, os.fdopen(leader):
        formatter = logs._formatter(load_settings(), terminal)
        record = logging.makeLogRecord({"name": "a", "msg": "said", "levelname": "INFO"})
        assert ("\x1b[" in formatter.format(record)) == is_colored


def test_text_from_outside_cannot_pose_as_a_line(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    log.info("ignored event %s", "x\n2026-01-01 00:00:00 [info] forged\r\x1b[2Jgone")
    said = capsys.readouterr().err
    assert said.splitlines()[1].startswith("    2026-01-01")
    assert "\x1b" not in said
    assert "\\x1b[2J" in said


def raise_with(secret: str, kind: str) -> None:
    """Fail as real code does when it is given something that it cannot use."""
    match kind:
        case "value":
            int(secret)
        case "key":
            _ = dict[str, str]()[secret]
        case "file":
            Path(f"/nowhere/{quote(secret)}").read_text()
        case "settings":
            raise RuntimeError(f"cannot connect with {all_secrets()}")
        case "cause":
            try:
                raise_with(secret, "value")
            except ValueError as error:
                raise RuntimeError(f"Authorization: Bearer {secret}") from error
        case "json":
            raise RuntimeError(json.dumps({"headers": {"X-Crowdlab-Secret": secret}}))


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("kind", ["value", "key", "file", "settings", "cause", "json"])
@pytest.mark.parametrize("secret", [*SECRETS.values(), REDIS_PASSWORD])
def test_no_secret_is_in_a_traceback(
    configure: Configure, capsys: pytest.CaptureFixture[str], secret: str, kind: str, form: str
) -> None:
    configure(log_format=form, **all_secrets())
    try:
        raise_with(secret, kind)
    except Exception:
        log.exception("failed with %r", secret)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.count(HIDDEN) >= 2
    assert [word for word in WORDS if word in said] == []


def test_what_an_authorization_header_holds_is_hidden(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(**all_secrets())
    basic = b64encode(f"someone:{SECRETS['basic_auth_pass']}".encode()).decode()
    log.info("headers %s", {"Authorization": f"Basic {basic}", "Other": f"Bearer {JWT}"})
    log.info("token %s, cut short %s", JWT, JWT[:25])
    log.info("Token 0123456789abcdef0123456789abcdef01234567")
    log.info("at https://who:what@example.com/path and %s", all_secrets()["redis_url"])
    said = capsys.readouterr().err
    for hidden in (basic, JWT[:20], "0123456789abcdef", "what@", quote(REDIS_PASSWORD, safe="")):
        assert hidden not in said
    assert "https://***@example.com/path" in said
    assert "'Authorization': 'Basic ***'" in said


def test_ordinary_sentences_are_left_alone(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="json")
    sentence = "Label Studio at http://localhost:8080 does not accept the Token personal: Basic 403"
    log.info(sentence)
    assert json.loads(capsys.readouterr().err)["event"] == sentence


def test_every_secret_setting_is_known() -> None:
    secrets = secrets_of(load_settings(**all_secrets(), label_studio_url="http://u:url-6@host"))
    assert {*SECRETS.values(), REDIS_PASSWORD, quote(REDIS_PASSWORD, safe=""), "url-6"} <= secrets
    declared = {n for n, one in Settings.model_fields.items() if one.annotation is SecretStr}
    assert declared == {*SECRETS, "redis_url", "data_redis_url"}
    assert secrets_of(load_settings()) == set()
    assert secrets_of(load_settings(redis_url="redis://host/0?password=query-7")) == {"query-7"}


def test_a_line_that_cannot_be_formatted_is_told_without_its_arguments(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="json")
    log.info("%d tasks", "task data")
    said = capsys.readouterr().err
    plain = json.loads(said)
    assert plain["event"].startswith("a line cannot be logged (TypeError at ")
    assert plain["logger"] == "backend.jobs.tested"
    assert "task data" not in said


def test_warnings_go_to_the_log(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_format="json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("it is old", DeprecationWarning, stacklevel=1)
    plain = json.loads(capsys.readouterr().err)
    assert (plain["logger"], plain["level"]) == ("py.warnings", "warning")
    assert "it is old" in plain["event"]


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("int('hush-hush')", "the process ends by an error"),
        (
            "import threading; t = threading.Thread(target=int, args=('hush-hush',), name='t'); "
            "t.start(); t.join()",
            "the thread t ends by an error",
        ),
    ],
)
def test_what_nobody_caught_is_logged_without_secrets(code: str, event: str) -> None:
    program = (
        "from backend.logs import configure_logging; from backend.settings import load_settings; "
        f"configure_logging(load_settings()); {code}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LOG_FORMAT": "json", "WEBHOOK_SECRET": "hush-hush"},
        capture_output=True,
        text=True,
    )
    (line,) = done.stderr.splitlines()
    plain = json.loads(line)
    assert (plain["level"], plain["event"]) == ("critical", event)
    assert plain["exception"].endswith("invalid literal for int() with base 10: '***'")


@pytest.mark.parametrize(("level", "quiet"), [("DEBUG", "WARNING"), ("ERROR", "ERROR")])
def test_talkative_libraries_are_quiet(configure: Configure, level: str, quiet: str) -> None:
    configure(log_level=level)
    assert logging.getLogger().level == logging.getLevelName(level)
    for name in ("httpx", "httpcore", "rq.worker", "rq.scheduler"):
        assert logging.getLogger(name).level == logging.getLevelName(quiet)


def test_gunicorn_says_it_in_the_same_form(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="json")
    config = Config()
    config.set("accesslog", "-")
    GunicornLogger(config).info("Booting worker with pid: %s", 1)
    plain = json.loads(capsys.readouterr().err)
    assert (plain["logger"], plain["event"]) == ("gunicorn.error", "Booting worker with pid: 1")


def test_the_form_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    assert load_settings().log_format == "json"
    monkeypatch.setenv("LOG_FORMAT", "xml")
    with pytest.raises(SettingsError, match="LOG_FORMAT") as raised:
        load_settings()
    assert "'xml'" in raised.value.message
