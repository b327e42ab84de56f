"""How the reading of a content went: read, empty, or not readable for a reason."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """What became of a content; HTTP statuses of refused requests stand for themselves."""

    READ = 0
    EMPTY = 1
    NOT_AN_ADDRESS = 2
    HOST_NOT_ALLOWED = 3
    PRIVATE_ADDRESS = 4
    REDIRECTED_AWAY = 5
    TOO_MANY_REDIRECTS = 6
    TOO_SLOW = 7
    UNREACHABLE = 8
    TOO_LARGE = 9
    WRONG_TYPE = 10
    SVG = 11
    BROKEN = 12
    TOO_MANY_PIXELS = 13
    UNKNOWN_FORMAT = 14
    NO_SOUND = 15
    NOT_NUMBERS = 16
    CREDENTIALS = 17
    HOST_GAVE_UP = 18
    NOT_CONTENT = 19
    ENCODED = 20
    NEEDS_SOUNDFILE = 21
    NO_VECTOR = 22


_REASONS = {
    Outcome.NOT_AN_ADDRESS: "neither a data URI nor an http address",
    Outcome.HOST_NOT_ALLOWED: "of a host that is not in CROWDLAB_ALLOWED_HOSTS",
    Outcome.PRIVATE_ADDRESS: "of a host that leads to a private network address which is not in "
    "CROWDLAB_ALLOWED_HOSTS",
    Outcome.REDIRECTED_AWAY: "redirected to a host that is not in CROWDLAB_ALLOWED_HOSTS",
    Outcome.TOO_MANY_REDIRECTS: "redirected again and again",
    Outcome.TOO_SLOW: "not there within CROWDLAB_FETCH_SECONDS",
    Outcome.UNREACHABLE: "of a host that does not answer",
    Outcome.TOO_LARGE: "larger than CROWDLAB_MAX_CONTENT_MB",
    Outcome.WRONG_TYPE: "sent as something else by their content type",
    Outcome.SVG: "SVG, which is not read as it can hold scripts",
    Outcome.BROKEN: "broken",
    Outcome.TOO_MANY_PIXELS: "of too many pixels",
    Outcome.UNKNOWN_FORMAT: "of a format that is not read",
    Outcome.NO_SOUND: "without a single sample",
    Outcome.NOT_NUMBERS: "of samples that are no numbers",
    Outcome.CREDENTIALS: "at an address with a password in it, which is not sent",
    Outcome.HOST_GAVE_UP: "not asked for, as their host failed several times in a row",
    Outcome.NOT_CONTENT: "at an address of Label Studio where it serves no contents of tasks",
    Outcome.NEEDS_SOUNDFILE: "FLAC, Ogg or MP3, which need the package soundfile (pip install "
    "soundfile)",
    Outcome.NO_VECTOR: "such that the image model gives no vector of finite numbers for them",
    Outcome.ENCODED: "sent compressed, which nobody had asked for",
}


class UnreadableError(Exception):
    """A content that gives no features; it never leaves `backend.features`.

    Parameters
    ----------
    outcome
        Why: an `Outcome`, or the HTTP status that a host answered.
    """

    def __init__(self, outcome: int) -> None:
        super().__init__(reason_of(outcome))
        self.outcome = outcome


def reason_of(outcome: int) -> str:
    """Why contents could not be read, as the end of a sentence about them."""
    if outcome >= 100:
        return f"answered with HTTP status {outcome}"
    return _REASONS[Outcome(outcome)]
