"""Fetching contents from servers that behave well and badly."""

import base64
import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.features.fetch import (
    MOST_FAILURES,
    AllowedHosts,
    ContentFetcher,
    FetchLimits,
)
from backend.features.outcome import Outcome, UnreadableError
from tests.backend.features.files import SVG
from tests.backend.features.hosts import Host, drop_by_drop, endless, file, running_host, status
from tests.tls import make_certificates

PATH = "/data/upload/1/a.png"


@pytest.fixture
def studio() -> Iterator[Host]:
    with running_host() as host:
        yield host


@pytest.fixture
def other() -> Iterator[Host]:
    with running_host() as host:
        yield host


def fetcher(studio: Host, allowed: str = "", public_url: str = "", **limits: Any) -> ContentFetcher:
    values: dict[str, Any] = {"max_bytes": 100_000, "seconds": 2.0, "concurrency": 4, **limits}
    return ContentFetcher(
        studio.url,
        lambda: "Bearer token",
        FetchLimits(AllowedHosts.parse(allowed), **values),
        public_url,
    )


def same(content: bytes, kind: str) -> bytes:
    return content


def read(fetching: ContentFetcher, value: Any, kind: str = "image") -> bytes | int | None:
    """Content of one value, or the outcome."""
    (answer,) = fetching.read_all([(value, kind)], same)
    return answer.outcome if isinstance(answer, UnreadableError) else answer


def test_an_upload_is_fetched_with_the_token(studio: Host) -> None:
    studio.answers[PATH] = file(b"content")
    fetching = fetcher(studio)
    assert read(fetching, PATH) == b"content"
    assert read(fetching, studio.url + PATH) == b"content"
    assert [headers["authorization"] for _, headers in studio.asked] == ["Bearer token"] * 2
    assert {headers["accept"] for _, headers in studio.asked} == {"*/*"}


@pytest.mark.parametrize(
    "path",
    [
        "/data/local-files/?d=folder/a.png",
        "/tasks/5/resolve/?fileuri=czM6Ly9idWNrZXQvYS5wbmc=",
        "/projects/2/presign/?fileuri=abc",
        "/storage-data/uploaded/?filepath=upload/1/a.png",
    ],
)
def test_every_way_in_which_label_studio_serves_contents(studio: Host, path: str) -> None:
    studio.answers[path] = file(b"content")
    assert read(fetcher(studio), path) == b"content"


@pytest.mark.parametrize(
    "path",
    [
        "/api/users/",
        "/api/projects/1/next",
        "/user/logout",
        "/data/../api/users/",
        "/data/%2e%2e/api/users/",
        "/data/..%2fapi/users/",
        "/data/..\\api/users/",
        "/tasks/5/",
    ],
)
def test_the_token_opens_nothing_but_contents(studio: Host, path: str) -> None:
    assert read(fetcher(studio), path) == Outcome.NOT_CONTENT
    assert not studio.asked


def test_label_studio_under_a_path_of_its_host(studio: Host) -> None:
    studio.answers["/studio" + PATH] = file(b"content")
    fetching = ContentFetcher(f"{studio.url}/studio", lambda: "Token x", fetcher(studio)._limits)
    assert read(fetching, PATH) == b"content"
    assert read(fetching, "/studio" + PATH) == b"content"
    assert read(fetching, "/studio/api/users/") == Outcome.NOT_CONTENT


def test_the_public_address_of_label_studio_leads_to_it(studio: Host) -> None:
    studio.answers[PATH] = file(b"content")
    fetching = fetcher(studio, public_url="https://studio.example.com")
    assert read(fetching, f"https://studio.example.com{PATH}") == b"content"
    assert read(fetching, f"http://studio.example.com{PATH}") == Outcome.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("file:///etc/passwd", Outcome.NOT_AN_ADDRESS),
        ("s3://bucket/a.png", Outcome.NOT_AN_ADDRESS),
        ("ftp://example.com/a.png", Outcome.NOT_AN_ADDRESS),
        ("javascript:alert(1)", Outcome.NOT_AN_ADDRESS),
        ("gopher://127.0.0.1:6379/_FLUSHALL", Outcome.NOT_AN_ADDRESS),
        ("no address", Outcome.NOT_AN_ADDRESS),
        ("http://", Outcome.NOT_AN_ADDRESS),
        ("http://[::1", Outcome.NOT_AN_ADDRESS),
        ("http://example.com:port/", Outcome.NOT_AN_ADDRESS),
        ("//example.com/a.png", Outcome.NOT_AN_ADDRESS),
        ("a\0b", Outcome.NOT_AN_ADDRESS),
        (7, Outcome.NOT_AN_ADDRESS),
        ({"url": PATH}, Outcome.NOT_AN_ADDRESS),
        ("http://example.com/a.png", Outcome.HOST_NOT_ALLOWED),
        ("http://127.0.0.1:1/a.png", Outcome.HOST_NOT_ALLOWED),
        ("http://169.254.169.254/latest/meta-data/", Outcome.HOST_NOT_ALLOWED),
        ("http://2130706433/", Outcome.HOST_NOT_ALLOWED),
        ("http://user:secret@media.example.com/a.png", Outcome.CREDENTIALS),
    ],
)
def test_addresses_that_are_not_asked(studio: Host, value: Any, outcome: Outcome) -> None:
    assert read(fetcher(studio, "media.example.com"), value) == outcome
    assert not studio.asked


def test_credentials_are_not_sent_to_label_studio_either(studio: Host) -> None:
    studio.answers[PATH] = file(b"content")
    with_password = f"http://user:secret@127.0.0.1:{studio.port}{PATH}"
    assert read(fetcher(studio), with_password) == b"content"
    assert studio.asked[0][1]["authorization"] == "Bearer token"


def test_an_allowed_host_is_asked_without_the_token(studio: Host, other: Host) -> None:
    other.answers["/a.png?size=1"] = file(b"content")
    fetching = fetcher(studio, f"127.0.0.1:{other.port}")
    assert read(fetching, f"{other.url}/a.png?size=1") == b"content"
    ((_, headers),) = other.asked
    assert "authorization" not in headers
    assert headers["host"] == f"127.0.0.1:{other.port}"


def test_a_name_that_leads_into_a_private_network(studio: Host, other: Host) -> None:
    other.answers["/a.png"] = file(b"content")
    url = f"http://localhost:{other.port}/a.png"
    assert read(fetcher(studio, f"localhost:{other.port}"), url) == Outcome.PRIVATE_ADDRESS
    assert not other.asked
    networks = f"localhost:{other.port}, 127.0.0.0/8, ::1/128"
    assert read(fetcher(studio, networks), url) == b"content"
    assert other.asked[0][1]["host"] == f"localhost:{other.port}"


def test_another_port_is_another_host(studio: Host, other: Host) -> None:
    fetching = fetcher(studio, f"127.0.0.1:{other.port}")
    assert read(fetching, f"http://127.0.0.1:{other.port + 1}/a") == Outcome.HOST_NOT_ALLOWED


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("http://169.254.169.254/latest/meta-data/", Outcome.REDIRECTED_AWAY),
        ("https://elsewhere.example.com/a.png", Outcome.REDIRECTED_AWAY),
        ("//elsewhere.example.com/a.png", Outcome.REDIRECTED_AWAY),
        ("file:///etc/passwd", Outcome.REDIRECTED_AWAY),
        ("/user/login/?next=/", Outcome.NOT_CONTENT),
        ("/api/users/", Outcome.NOT_CONTENT),
        (PATH, Outcome.TOO_MANY_REDIRECTS),
        ("http://[", Outcome.REDIRECTED_AWAY),
    ],
)
def test_every_redirect_is_checked(studio: Host, location: str, outcome: Outcome) -> None:
    studio.answers[PATH] = status(302, Location=location)
    assert read(fetcher(studio), PATH) == outcome
    assert set(studio.paths) == {PATH}


def test_redirects_within_the_rules_are_followed(studio: Host, other: Host) -> None:
    studio.answers[PATH] = status(303, Location="/data/upload/1/b.png")
    studio.answers["/data/upload/1/b.png"] = status(307, Location=f"{other.url}/signed?a=b")
    other.answers["/signed?a=b"] = file(b"content")
    assert read(fetcher(studio, f"127.0.0.1:{other.port}"), PATH) == b"content"
    assert "authorization" not in other.asked[0][1]


def test_no_other_host_says_what_is_asked_of_label_studio(studio: Host, other: Host) -> None:
    studio.answers[PATH] = file(b"content")
    other.answers["/a"] = status(302, Location=studio.url + PATH)
    fetching = fetcher(studio, f"127.0.0.1:{other.port}")
    assert read(fetching, f"{other.url}/a") == Outcome.REDIRECTED_AWAY
    assert not studio.asked


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (status(404), 404),
        (status(401), 401),
        (status(500), 500),
        (status(302), 302),
        (file(b"<html>", "text/html; charset=utf-8"), Outcome.WRONG_TYPE),
        (file(b"{}", "application/json"), Outcome.WRONG_TYPE),
        (file(b"sound", "audio/wav"), Outcome.WRONG_TYPE),
        (file(SVG, "image/svg+xml"), Outcome.SVG),
        (file(b"x" * 100_001), Outcome.TOO_LARGE),
        (file(b"x", Content_Length="9" * 15), Outcome.TOO_LARGE),
        (endless(), Outcome.TOO_LARGE),
        (file(b"\x1f\x8b", Content_Encoding="gzip"), Outcome.ENCODED),
        (file(b"x" * 10, Content_Length="50"), Outcome.UNREACHABLE),
        (lambda request: request.wfile.write(b"not HTTP\r\n\r\n"), Outcome.UNREACHABLE),
    ],
)
def test_answers_that_are_no_content(studio: Host, answer: Any, outcome: int) -> None:
    studio.answers[PATH] = answer
    studio.answers["/data/b.png"] = file(b"fine")
    one, other = fetcher(studio).read_all([(PATH, "image"), ("/data/b.png", "image")], same)
    assert isinstance(one, UnreadableError)
    assert one.outcome == outcome
    assert other == b"fine"


@pytest.mark.parametrize("media_type", ["image/png", "", "application/octet-stream", "IMAGE/X-NEW"])
def test_content_types_that_can_be_an_image(studio: Host, media_type: str) -> None:
    studio.answers[PATH] = file(b"content", media_type)
    assert read(fetcher(studio), PATH) == b"content"


@pytest.mark.parametrize("in_head", [True, False])
def test_a_server_that_sends_drop_by_drop(studio: Host, in_head: bool) -> None:
    studio.answers[PATH] = drop_by_drop(in_head=in_head)
    began = time.monotonic()
    assert read(fetcher(studio, seconds=0.5), PATH) == Outcome.TOO_SLOW
    assert time.monotonic() - began < 5  # of the ten seconds that it would go on


def test_a_port_where_nobody_listens(studio: Host) -> None:
    fetching = fetcher(studio, "127.0.0.1:1")
    assert read(fetching, "http://127.0.0.1:1/a.png") == Outcome.UNREACHABLE


def test_a_host_that_fails_again_and_again_is_left_alone(studio: Host, other: Host) -> None:
    other.answers["/a"] = status(503)
    fetching = fetcher(studio, f"127.0.0.1:{other.port}", concurrency=1)
    answers = fetching.read_all([(f"{other.url}/a", "image")] * 8, same)
    outcomes = [one.outcome for one in answers if isinstance(one, UnreadableError)]
    assert outcomes == [Outcome.UNREACHABLE] * MOST_FAILURES + [Outcome.HOST_GAVE_UP] * 3
    assert len(other.asked) == MOST_FAILURES


def test_label_studio_that_fails_again_and_again_is_asked_later(studio: Host) -> None:
    studio.answers[PATH] = status(503)
    answers = fetcher(studio, concurrency=1).read_all([(PATH, "image")] * 8, same)
    assert answers[MOST_FAILURES:] == [None] * 3


def test_missing_files_are_no_failure_of_the_host(studio: Host) -> None:
    answers = fetcher(studio, concurrency=1).read_all([(PATH, "image")] * 8, same)
    assert all(isinstance(one, UnreadableError) and one.outcome == 404 for one in answers)


def test_so_many_at_once_and_no_more(studio: Host) -> None:
    def slowly(request: Any) -> None:
        time.sleep(0.05)
        file(b"content")(request)

    studio.answers[PATH] = slowly
    answers = fetcher(studio, concurrency=3).read_all([(PATH, "image")] * 12, same)
    assert answers == [b"content"] * 12
    assert studio.most_at_once == 3


def test_a_description_can_refuse(studio: Host) -> None:
    def refuse(content: bytes, kind: str) -> bytes:
        raise UnreadableError(Outcome.BROKEN)

    studio.answers[PATH] = file(b"content")
    (answer,) = fetcher(studio).read_all([(PATH, "image")], refuse)
    assert isinstance(answer, UnreadableError)
    assert answer.outcome == Outcome.BROKEN


def uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (uri(b"content", "image/png"), "image", b"content"),
        (uri(b"content", "audio/wav"), "audio", b"content"),
        ("DATA:image/png;charset=x;BASE64,YQ==", "image", b"a"),
        ("data:image/png,a%20b", "image", b"a b"),
        ("data:,a", "image", b"a"),
        (uri(b"content", "audio/wav"), "image", Outcome.WRONG_TYPE),
        (uri(b"content", "text/html"), "image", Outcome.WRONG_TYPE),
        (uri(SVG, "image/svg+xml"), "image", Outcome.SVG),
        ("data:image/png;base64,a", "image", Outcome.BROKEN),
        ("data:image/png;base64", "image", Outcome.BROKEN),
        (uri(b"x" * 100_001, "image/png"), "image", Outcome.TOO_LARGE),
        ("data:image/png," + "x" * 100_001, "image", Outcome.TOO_LARGE),
        (uri(b"x" * 10_000_000, "image/png"), "image", Outcome.TOO_LARGE),
    ],
)
def test_data_uris(studio: Host, value: str, kind: str, result: bytes | int) -> None:
    assert read(fetcher(studio), value, kind) == result


@pytest.mark.parametrize(
    "text", ["http://a.example.com", "a b", "user@host", "host:port", "10.0.0.1/33", "a/b", "[::1"]
)
def test_entries_that_name_no_host(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        AllowedHosts.parse(f"media.example.com, {text}")


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("172.16.5.5", True),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
    ],
)
def test_where_a_name_may_lead(address: str, is_allowed: bool) -> None:
    allowed = AllowedHosts.parse("media.example.com, 10.1.0.0/16, 172.16.5.5:9000")
    assert allowed.may_reach(ipaddress.ip_address(address)) is is_allowed


def test_addresses_of_both_kinds_are_hosts_and_networks() -> None:
    allowed = AllowedHosts.parse("::1, [fd00::2]:9000, 10.0.0.7")
    assert allowed.hosts == {
        "::1:80", "::1:443", "fd00::2:9000", "10.0.0.7:80", "10.0.0.7:443",
    }  # fmt: skip
    assert all(allowed.may_reach(ipaddress.ip_address(one)) for one in ("::1", "fd00::2"))


def test_a_certificate_is_checked_by_the_name_of_the_host(studio: Host, tmp_path: Path) -> None:
    files = make_certificates(tmp_path, "localhost")
    with running_host((files.certificate, files.key)) as host:
        host.answers["/a.png"] = host.answers[PATH] = file(b"content")
        limits = fetcher(studio, f"localhost:{host.port}, 127.0.0.1:{host.port}, ::1")._limits

        def ask(label_studio: str, value: str, ca_file: Path | None) -> bytes | int | None:
            return read(
                ContentFetcher(label_studio, lambda: "Token x", limits, ca_file=ca_file), value
            )

        by_name, by_address = f"https://localhost:{host.port}", f"https://127.0.0.1:{host.port}"
        assert ask(studio.url, f"{by_name}/a.png", None) == Outcome.UNREACHABLE
        assert ask(studio.url, f"{by_name}/a.png", files.authority) == b"content"
        assert ask(studio.url, f"{by_address}/a.png", files.authority) == Outcome.UNREACHABLE
        assert ask(by_name, PATH, None) == Outcome.UNREACHABLE
        assert ask(by_name, PATH, files.authority) == b"content"
