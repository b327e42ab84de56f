"""The command that runs end-to-end tests on other Label Studios; it is not run whole here."""

import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import postgresql as module
from tests.compatibility import OLDEST, ROOT, TESTS, label_studio, main, newest
from tests.e2e import environment
from tests.postgresql import NoPostgreSQLError, find_programs, postgresql


def test_it_knows_the_releases_and_the_tests() -> None:
    assert [int(part) for part in OLDEST.split(".")] < [int(part) for part in newest().split(".")]
    assert all((ROOT / test).exists() for test in TESTS)


def test_a_release_is_installed_once(tmp_path: Path) -> None:
    program = tmp_path / "1.2.3" / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.touch()
    assert label_studio("1.2.3", tmp_path) == program


def test_what_is_no_release_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--label-studio", "newest"])
    assert ended.value.code == 2
    assert "'newest' is not a version such as" in capsys.readouterr().err


def test_the_tests_take_the_label_studio_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.DATABASE, raising=False)
    assert environment.database() == {}
    monkeypatch.setenv(environment.PROGRAM, "/opt/label-studio")
    monkeypatch.setenv(environment.DATABASE, "postgresql://ann:secret@127.0.0.1:5460/studio")
    assert environment.label_studio() == Path("/opt/label-studio")
    assert environment.database() == {
        "DJANGO_DB": "default",
        "POSTGRE_HOST": "127.0.0.1",
        "POSTGRE_PORT": "5460",
        "POSTGRE_NAME": "studio",
        "POSTGRE_USER": "ann",
        "POSTGRE_PASSWORD": "secret",
    }


def test_the_newest_postgresql_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_programs(tmp_path) is None
    for release in ("9.6", "15"):
        (tmp_path / release / "bin").mkdir(parents=True)
        (tmp_path / release / "bin" / "initdb").touch()
    assert find_programs(tmp_path) == tmp_path / "15" / "bin"


def test_without_postgresql_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_programs", lambda: None)
    with pytest.raises(NoPostgreSQLError, match="apt install postgresql"), postgresql(tmp_path):
        pass


@pytest.mark.skipif(find_programs() is None, reason="There is no PostgreSQL here.")
def test_postgresql_runs_while_it_is_needed() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        with postgresql(Path(name) / "postgresql") as url:
            parts = urlsplit(url)
            assert parts.hostname == "127.0.0.1"
            socket.create_connection((parts.hostname, parts.port or 0), timeout=10).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((parts.hostname, parts.port or 0), timeout=10)
