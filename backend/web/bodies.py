"""Request bodies: JSON objects, read strictly and within limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from backend.errors import BadRequestError, BodyTooLargeError, EncodedBodyError

JSON = dict[str, Any]

MAX_LEVELS = 64
"""Objects and lists inside one another that a body may have; Label Studio's have a dozen."""

BYTES_PER_VALUE = 16
"""Values that a body may have follow from its limit in bytes: Label Studio's have one per 20
bytes, while the shortest ones take 30 times as much memory as bytes."""

_MEGABYTE = 1024 * 1024
_PIECE = 1024 * 1024

MAX_API_BYTES = _MEGABYTE
"""Bytes that a body for the API may have."""

_TYPES = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class StrictRequest(Request):
    """A request whose body is read by `read_object` where the API asks for JSON."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """JSON of the body.

        Raises
        ------
        BadRequestError
            The API got a body that `read_object` refuses.
        """
        if self.blueprint == "api":
            return read_object(self, MAX_API_BYTES)
        return super().get_json(force, silent, cache)


def read_object(request: Request, max_bytes: int, hint: str = "") -> JSON:
    """Read a request's JSON object.

    Parameters
    ----------
    max_bytes
        Bytes that the body may have; no more are read.
    hint
        What to do about a body that has more.

    Raises
    ------
    EncodedBodyError
        The body is compressed.
    BodyTooLargeError
        It has more than `max_bytes`, or very many values.
    BadRequestError
        It broke off, or `parse_object` refuses it.
    """
    _refuse_encoded(request)
    raw = _read(request, max_bytes, hint)
    # Every value but the first of its object or list follows a comma.
    values = raw.count(b",") + raw.count(b"{") + raw.count(b"[")
    if values > max_bytes // BYTES_PER_VALUE:
        raise BodyTooLargeError(
            f"The request body has some {values:,} values; at most "
            f"{max_bytes // BYTES_PER_VALUE:,} are allowed.",
            hint,
        )
    return parse_object(raw)


def save_body(request: Request, path: Path, max_bytes: int) -> None:
    """Write the body of a request into a file, piece by piece.

    Raises
    ------
    EncodedBodyError, BodyTooLargeError, BadRequestError
        See `read_object`.
    """
    _refuse_encoded(request)
    length = request.content_length
    hint = "Divide it, or raise CROWDLAB_MAX_UPLOAD_MB."
    if length is not None and length > max_bytes:
        raise _too_large(f"{length / _MEGABYTE:,.1f} MB", max_bytes, hint)
    request.max_content_length = max_bytes + 1
    written = 0
    try:
        with path.open("wb") as file:
            while piece := request.stream.read(_PIECE):
                written += len(piece)
                if written > max_bytes:
                    raise _too_large("more", max_bytes, hint)
                file.write(piece)
    except (ClientDisconnected, ParseException):
        raise BadRequestError("The request body broke off or is chunked wrongly.") from None
    except RequestEntityTooLarge:
        raise _too_large("more", max_bytes, hint) from None
    if length is not None and written < length:
        raise BadRequestError(
            f"The request body broke off: {written:,} of {length:,} bytes arrived."
        )
    if not written:
        raise BadRequestError("The request body is empty.", "Send the file as the body.")


def parse_object(raw: bytes) -> JSON:
    """Parse a JSON object.

    Integers beyond 64 bits become floating-point numbers, and so are no ids; of equal keys
    the last counts.

    Raises
    ------
    BadRequestError
        `raw` is not UTF-8 or not JSON (which has no NaN and no Infinity), not an object, or
        nested deeper than `MAX_LEVELS`.
    """
    if not raw:
        raise BadRequestError("The request body is empty.", "Send a JSON object.")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(
            f"The request body is not valid JSON: {error}.",
            "Send a JSON object in UTF-8, without NaN and Infinity.",
        ) from None
    if not isinstance(body, dict):
        found = _TYPES.get(type(body), "a number")
        raise BadRequestError(f"The request body must be a JSON object, not {found}.")
    # Every level begins with a bracket, so that small bodies need no second look.
    if raw.count(b"{") + raw.count(b"[") > MAX_LEVELS and _is_deeper(body, MAX_LEVELS):
        raise BadRequestError(
            f"The request body is nested too deeply: at most {MAX_LEVELS} objects and lists "
            "may stand inside one another."
        )
    return body


def _refuse_encoded(request: Request) -> None:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        raise EncodedBodyError(
            f"The request body has the Content-Encoding {encoding[:50]!r}.",
            "Send it as it is, without Content-Encoding.",
        )


def _read(request: Request, max_bytes: int, hint: str) -> bytes:
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(f"{length / _MEGABYTE:,.1f} MB", max_bytes, hint)
    # A chunked body is cut at this limit without a word, so that one byte more tells.
    request.max_content_length = max_bytes + 1
    try:
        raw = request.get_data(cache=False)
    except (ClientDisconnected, ParseException):
        raise BadRequestError("The request body broke off or is chunked wrongly.") from None
    if len(raw) > max_bytes:
        raise _too_large("more", max_bytes, hint)
    if length is not None and len(raw) < length:
        raise BadRequestError(
            f"The request body broke off: {len(raw):,} of {length:,} bytes arrived."
        )
    return raw


def _too_large(size: str, max_bytes: int, hint: str) -> BodyTooLargeError:
    allowed = f"{max_bytes / _MEGABYTE:,.0f} MB"
    return BodyTooLargeError(f"The request body has {size}; at most {allowed} are allowed.", hint)


def _is_deeper(body: JSON, levels: int) -> bool:
    """Whether objects and lists stand inside one another on more than `levels` levels."""
    level: list[Any] = [body]
    for _ in range(levels):
        level = [
            part
            for whole in level
            for part in (whole.values() if type(whole) is dict else whole)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return False
    return True
