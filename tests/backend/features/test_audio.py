"""Descriptors of sounds."""

import io
import struct
import sys

import numpy as np
import pytest

from backend.features.audio import BANDS, WIDTH, describe_audio
from backend.features.outcome import Outcome, UnreadableError
from tests.backend.features.files import tone, wav

BAND_MEANS = slice(0, BANDS)


def test_higher_tones_are_in_higher_bands() -> None:
    peaks = [int(describe_audio(tone(hertz))[BAND_MEANS].argmax()) for hertz in (200, 1000, 4000)]
    assert peaks == sorted(set(peaks))


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_the_sampling_rate_hardly_matters(rate: int) -> None:
    wanted = describe_audio(tone(440))[BAND_MEANS].argmax()
    assert describe_audio(tone(440, rate=rate))[BAND_MEANS].argmax() == wanted


def test_the_number_format_hardly_matters() -> None:
    wave = np.sin(np.arange(16_000) / 5)
    floats = describe_audio(wav(wave.astype(np.float32)))
    for samples in (
        (wave * 32_767).astype(np.int16),
        (wave * (2**31 - 1)).astype(np.int32),
        np.stack([wave, wave], axis=1),
    ):
        np.testing.assert_allclose(describe_audio(wav(samples)), floats, atol=0.05)
    coarse = describe_audio(wav((wave * 127 + 128).astype(np.uint8)))
    assert coarse[BAND_MEANS].argmax() == floats[BAND_MEANS].argmax()


@pytest.mark.parametrize("size", [1, 3, 100, 401])
def test_short_and_silent_sounds_are_described(size: int) -> None:
    found = describe_audio(wav(np.zeros(size, dtype=np.int16)))
    assert found.shape == (WIDTH,)
    assert np.isfinite(found).all()


def test_of_a_long_sound_the_beginning_counts() -> None:
    rate = 2_000
    start = np.sin(np.arange(60 * rate) / 3).astype(np.float32)
    longer = np.concatenate([start, np.random.RandomState(0).rand(30 * rate).astype(np.float32)])
    one, other = describe_audio(wav(start, rate)), describe_audio(wav(longer, rate))
    np.testing.assert_array_equal(one[:-1], other[:-1])
    assert other[-1] - one[-1] == pytest.approx(np.log(1.5), abs=1e-5)


def header(rate: int, size: int, channels: int = 1) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
    )


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (b"", Outcome.UNKNOWN_FORMAT),
        (b"<html>", Outcome.UNKNOWN_FORMAT),
        (b"RIFF", Outcome.BROKEN),
        (b"RIFF\xff\xff\xff\xffWAVE", Outcome.BROKEN),
        (wav(np.zeros(0, dtype=np.int16)), Outcome.NO_SOUND),
        (wav(np.asarray([0.1, np.nan, 0.2], dtype=np.float32)), Outcome.NOT_NUMBERS),
        (wav(np.asarray([0.1, np.inf], dtype=np.float64)), Outcome.NOT_NUMBERS),
        (header(2_000_000_000, 8) + b"\0" * 8, Outcome.BROKEN),
        (header(0, 8) + b"\0" * 8, Outcome.BROKEN),
    ],
)
def test_what_is_no_readable_sound_is_refused(content: bytes, outcome: Outcome) -> None:
    with pytest.raises(UnreadableError) as refused:
        describe_audio(content)
    assert refused.value.outcome == outcome


def test_a_cut_file_is_described_as_far_as_it_goes_or_refused() -> None:
    whole = tone(440)
    for length in (50, 1_001, 20_000):
        try:
            found = describe_audio(whole[:length])
        except UnreadableError:
            continue
        assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_compressed_sounds_are_described(kind: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    stream = io.BytesIO()
    wave = np.sin(np.arange(16_000) / 5).astype(np.float32) / 2
    soundfile.write(stream, wave, 16_000, format=kind)
    content = stream.getvalue()
    wanted, found = describe_audio(wav(wave)), describe_audio(content)
    assert abs(int(found[BAND_MEANS].argmax()) - int(wanted[BAND_MEANS].argmax())) <= 1
    with pytest.raises(UnreadableError):
        describe_audio(content[:30])


@pytest.mark.parametrize("start", [b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb\x90"])
def test_without_soundfile_compressed_sounds_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UnreadableError, match="package soundfile") as refused:
        describe_audio(start + b"\0" * 100)
    assert refused.value.outcome == Outcome.NEEDS_SOUNDFILE
