"""Fetch contents that tasks name by their address, through Label Studio or from allowed hosts.

Whoever can import tasks chooses these addresses, so they are not trusted: only Label Studio's
own contents and hosts that a setting names are asked, every redirect is checked like a new
address, a host name must not lead into a private network, and size, time and type are limited.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, unquote_to_bytes

import httpx

from backend.features.outcome import Outcome, UnreadableError

MOST_REDIRECTS = 5
MOST_FAILURES = 5
"""After so many failures in a row a host is not asked again by the same fetcher."""

_OVERLOADED = frozenset({429, 502, 503, 504})
_UNSPECIFIC_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_PORTS = {"http": 80, "https": 443}

_CONTENT_PATHS = re.compile(
    r"/(?:data/|storage-data/|static/|(?:tasks|projects)/\d+/(?:resolve|presign)/"
    r"|api/projects/\d+/file-proxy/)"
)
"""Where Label Studio serves contents; its token opens more than these."""

IPAddress = IPv4Address | IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")


class _LabelStudioGaveUpError(Exception):
    """Label Studio failed several times in a row."""


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts other than Label Studio from which contents may come."""

    hosts: frozenset[str]
    """`host:port` in lower case."""
    networks: tuple[IPNetwork, ...]
    """Private networks into which the hosts' names may lead."""

    @classmethod
    def parse(cls, text: str) -> AllowedHosts:
        """Read a list such as `media.example.com, minio:9000, 10.0.0.0/8`.

        A host without a port is allowed on those of http and https. A network, or the address
        of a host, says that names may lead there.

        Raises
        ------
        ValueError
            An entry is none of these.
        """
        hosts: set[str] = set()
        networks: list[IPNetwork] = []
        for entry in filter(None, (one.strip().lower() for one in text.split(","))):
            if "/" in entry:
                try:
                    networks.append(ipaddress.ip_network(entry))
                except ValueError:
                    raise ValueError(
                        f"{entry!r} is neither host, host:port nor a network such as 10.0.0.0/8"
                    ) from None
                continue
            bracketed = f"[{entry}]" if isinstance(_address_of(entry), IPv6Address) else entry
            found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\s:@/\[\]?#]+)(?::(\d{1,5}))?", bracketed)
            if found is None:
                raise ValueError(f"{entry!r} is neither host, host:port nor a network")
            host, port = found[1].strip("[]"), found[2]
            hosts |= {f"{host}:{one}" for one in ([port] if port else _PORTS.values())}
            if (address := _address_of(host)) is not None:
                networks.append(ipaddress.ip_network(address))
        return cls(frozenset(hosts), tuple(networks))

    def has(self, url: httpx.URL) -> bool:
        """Whether contents may come from this address's host and port."""
        return f"{url.host}:{_port_of(url)}" in self.hosts

    def may_reach(self, address: IPAddress) -> bool:
        """Whether a host's name may lead to this network address."""
        address = _embedded(address)
        if any(address in network for network in self.networks):
            return True
        return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class FetchLimits:
    """How much may be fetched, and from where."""

    allowed: AllowedHosts
    max_bytes: int
    """Bytes of one content."""
    seconds: float
    """Seconds that one content may take, redirects included."""
    concurrency: int
    """Contents that are fetched at the same time."""


class ContentFetcher:
    """Reads contents, many at a time.

    Parameters
    ----------
    label_studio
        Address of Label Studio.
    authorization
        Gives the `Authorization` header for Label Studio; nobody else is sent it.
    limits
        How much may be fetched, and from where.
    public_url
        Address under which browsers reach Label Studio, if it is another one.
    ca_file
        Certificates of the authorities that Label Studio's own may be signed by, and those of
        other hosts beside the authorities that this machine trusts; None for the latter alone.
    """

    def __init__(
        self,
        label_studio: str,
        authorization: Callable[[], str],
        limits: FetchLimits,
        public_url: str = "",
        *,
        ca_file: Path | None = None,
    ) -> None:
        self._base = httpx.URL(label_studio)
        self._own = {_origin_of(self._base)}
        if public_url:
            self._own.add(_origin_of(httpx.URL(public_url)))
        self._authorization = authorization
        self._limits = limits
        self._ca_file = ca_file
        self._failures: Counter[str] = Counter()

    def read_all(
        self, contents: Sequence[tuple[Any, str]], describe: Callable[[bytes, str], T]
    ) -> list[T | UnreadableError | None]:
        """Fetch contents and describe each as it comes, so that few are held at a time.

        Parameters
        ----------
        contents
            Values of tasks' data, and the kind that each should be: `image` or `audio`.
        describe
            Called in another thread, one call at a time; may raise `UnreadableError`.

        Returns
        -------
        list
            What `describe` gave, or why there is nothing. None where Label Studio was not asked,
            as it had failed `MOST_FAILURES` times in a row.

        Raises
        ------
        LabelStudioError
            Label Studio does not accept the token, or gives no access token for it.
        """
        return asyncio.run(self._read_all(contents, describe))

    async def _read_all(
        self, contents: Sequence[tuple[Any, str]], describe: Callable[[bytes, str], T]
    ) -> list[T | UnreadableError | None]:
        free = asyncio.Semaphore(self._limits.concurrency)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as describer:
            async with self._clients() as clients:

                async def read(value: Any, kind: str) -> T | UnreadableError | None:
                    async with free:
                        try:
                            content = await self._content_of(value, kind, clients)
                            return await loop.run_in_executor(describer, describe, content, kind)
                        except UnreadableError as error:
                            return error
                        except _LabelStudioGaveUpError:
                            return None

                tasks = [asyncio.create_task(read(value, kind)) for value, kind in contents]
                try:
                    return list(await asyncio.gather(*tasks))
                finally:
                    for task in tasks:
                        task.cancel()

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
        """Connections to Label Studio, and to other hosts."""
        limits = httpx.Limits(max_connections=self._limits.concurrency, max_keepalive_connections=0)
        # A proxy from the environment does not lead to this machine, and would resolve the names
        # of other hosts by itself.
        is_here = self._base.host in {"localhost", "127.0.0.1", "::1"}
        options: dict[str, Any] = {"limits": limits, "timeout": None}
        own_tls, other_tls = self._tls
        async with (
            httpx.AsyncClient(trust_env=not is_here, verify=own_tls, **options) as own,
            httpx.AsyncClient(trust_env=False, verify=other_tls, **options) as other,
        ):
            yield own, other

    @cached_property
    def _tls(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """How certificates of Label Studio, and of other hosts, are checked."""
        usual = httpx.create_ssl_context()
        if self._ca_file is None:
            return usual, usual
        usual.load_verify_locations(self._ca_file)
        return ssl.create_default_context(cafile=self._ca_file), usual

    async def _content_of(
        self, value: Any, kind: str, clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    ) -> bytes:
        if not isinstance(value, str):
            raise UnreadableError(Outcome.NOT_AN_ADDRESS)
        if value[:5].lower() == "data:":
            return self._inline(value, kind)
        try:
            url = self._absolute(value)
            async with asyncio.timeout(self._limits.seconds):
                return await self._follow(url, kind, clients)
        except TimeoutError:
            self._note_failure(url)
            raise UnreadableError(Outcome.TOO_SLOW) from None

    def _inline(self, uri: str, kind: str) -> bytes:
        """Content of a data URI."""
        head, separator, body = uri[5:].partition(",")
        if not separator:
            raise UnreadableError(Outcome.BROKEN)
        media_type, *parameters = head.lower().split(";")
        _check_type(media_type.strip(), kind)
        is_base64 = "base64" in (one.strip() for one in parameters)
        if len(body) > self._limits.max_bytes * (4 / 3 if is_base64 else 3) + 4:
            raise UnreadableError(Outcome.TOO_LARGE)
        content = unquote_to_bytes(body)
        if is_base64:
            try:
                content = base64.b64decode(content)
            except (ValueError, binascii.Error):
                raise UnreadableError(Outcome.BROKEN) from None
        if len(content) > self._limits.max_bytes:
            raise UnreadableError(Outcome.TOO_LARGE)
        return content

    def _absolute(self, value: str) -> httpx.URL:
        """Address that a task's value is; one without a host is Label Studio's."""
        value = value.strip()
        try:
            if value.startswith("/") and not value.startswith(("//", "/\\")):
                return self._own_address(httpx.URL(value))
            url = httpx.URL(value)
        except (httpx.InvalidURL, UnicodeError):
            raise UnreadableError(Outcome.NOT_AN_ADDRESS) from None
        if url.scheme not in _PORTS or not url.host:
            raise UnreadableError(Outcome.NOT_AN_ADDRESS)
        return self._own_address(url) if _origin_of(url) in self._own else url

    def _own_address(self, url: httpx.URL) -> httpx.URL:
        """The address with the scheme, host and port by which this service reaches Label Studio."""
        prefix = self._base.path.rstrip("/")
        path = url.raw_path.decode("ascii")
        if prefix and not path.startswith(f"{prefix}/"):
            path = prefix + path
        return self._base.copy_with(raw_path=path.encode("ascii"), userinfo=b"")

    def _is_own(self, url: httpx.URL) -> bool:
        return _origin_of(url) == _origin_of(self._base)

    def _check(self, url: httpx.URL, *, is_redirect: bool) -> None:
        """Refuse an address from which nothing may be fetched."""
        if url.userinfo:
            raise UnreadableError(Outcome.CREDENTIALS)
        if self._is_own(url):
            path = unquote(url.path).removeprefix(self._base.path.rstrip("/"))
            if ".." in path.split("/") or "\\" in path or not _CONTENT_PATHS.match(path):
                raise UnreadableError(Outcome.NOT_CONTENT)
        elif not self._limits.allowed.has(url):
            refused = Outcome.REDIRECTED_AWAY if is_redirect else Outcome.HOST_NOT_ALLOWED
            raise UnreadableError(refused)

    async def _follow(
        self, url: httpx.URL, kind: str, clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    ) -> bytes:
        """Content of an address, wherever it is redirected to."""
        began_here = self._is_own(url)
        for hop in range(MOST_REDIRECTS + 1):
            self._check(url, is_redirect=hop > 0)
            if self._is_own(url) and not began_here:
                # No other host chooses what is asked of Label Studio with its token.
                raise UnreadableError(Outcome.REDIRECTED_AWAY)
            answer = await self._ask(url, kind, clients)
            if isinstance(answer, bytes):
                return answer
            try:
                url = url.join(answer)
            except (httpx.InvalidURL, UnicodeError):
                raise UnreadableError(Outcome.NOT_AN_ADDRESS) from None
            if url.scheme not in _PORTS or not url.host:
                raise UnreadableError(Outcome.REDIRECTED_AWAY)
            if _origin_of(url) in self._own:
                url = self._own_address(url)
        raise UnreadableError(Outcome.TOO_MANY_REDIRECTS)

    async def _ask(
        self, url: httpx.URL, kind: str, clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    ) -> bytes | str:
        """Content of one address, or where it is redirected to."""
        own, other = clients
        origin = _origin_of(url)
        if self._failures[origin] >= MOST_FAILURES:
            if self._is_own(url):
                raise _LabelStudioGaveUpError
            raise UnreadableError(Outcome.HOST_GAVE_UP)
        # Label Studio refuses to serve files to those who accept images alone.
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        try:
            if self._is_own(url):
                headers["Authorization"] = self._authorization()
                request = own.build_request("GET", url, headers=headers)
                response = await own.send(request, stream=True)
            else:
                request = other.build_request(
                    "GET",
                    url.copy_with(host=str(await self._address_behind(url))),
                    headers={**headers, "Host": url.netloc.decode("ascii")},
                    extensions={"sni_hostname": url.raw_host.decode("ascii")},
                )
                response = await other.send(request, stream=True)
            try:
                answer = await self._read(response, kind)
            finally:
                await response.aclose()
        except (httpx.TransportError, OSError):
            self._note_failure(url)
            raise UnreadableError(Outcome.UNREACHABLE) from None
        except UnreadableError:
            self._failures[origin] = 0
            raise
        self._failures[origin] = 0
        return answer

    async def _address_behind(self, url: httpx.URL) -> IPAddress:
        """Network address that a host's name leads to, which is the one then connected to."""
        loop = asyncio.get_running_loop()
        name = url.raw_host.decode("ascii")
        found = await loop.getaddrinfo(name, _port_of(url), type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
        if not addresses:
            raise OSError(f"{url.host} has no address")
        if not all(self._limits.allowed.may_reach(address) for address in addresses):
            raise UnreadableError(Outcome.PRIVATE_ADDRESS)
        return addresses[0]

    async def _read(self, response: httpx.Response, kind: str) -> bytes | str:
        if response.is_redirect and "location" in response.headers:
            return response.headers["location"]
        if not response.is_success:
            if response.status_code in _OVERLOADED:
                raise httpx.RemoteProtocolError(f"status {response.status_code}")
            raise UnreadableError(response.status_code)
        _check_type(response.headers.get("content-type", "").partition(";")[0], kind)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise UnreadableError(Outcome.ENCODED)
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limits.max_bytes:
            raise UnreadableError(Outcome.TOO_LARGE)
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self._limits.max_bytes:
                raise UnreadableError(Outcome.TOO_LARGE)
        return bytes(content)

    def _note_failure(self, url: httpx.URL) -> None:
        self._failures[_origin_of(url)] += 1


def _check_type(media_type: str, kind: str) -> None:
    media_type = media_type.strip().lower()
    if media_type == "image/svg+xml":
        raise UnreadableError(Outcome.SVG)
    if media_type not in _UNSPECIFIC_TYPES and not media_type.startswith(f"{kind}/"):
        raise UnreadableError(Outcome.WRONG_TYPE)


def _origin_of(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.host}:{_port_of(url)}"


def _port_of(url: httpx.URL) -> int:
    return url.port or _PORTS.get(url.scheme, 0)


def _address_of(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _embedded(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address leads to by translation, else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
