"""Descriptors of sounds: what a spectrum looks like on average, and how it varies."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, rfft
from scipy.io import wavfile

from backend.features.outcome import Outcome, UnreadableError

SECONDS = 60
"""From its beginning on, so much of a sound is described."""

BANDS = 40
"""Mel bands, from 0 to `HIGHEST` Hz."""

HIGHEST = 8000.0
"""Upper end of the spectrum that is described, in Hz."""

COEFFICIENTS = 13
"""Cepstral coefficients, the first of which is loudness."""

_FRAME_SECONDS = 0.025
_HOP_SECONDS = 0.010
_RATES = (1_000, 192_000)
_MOST_CHANNELS = 32
_FLOOR = 1e-8
_CURVES = 6

WIDTH = 2 * BANDS + 3 * COEFFICIENTS + 2 * _CURVES + 1
"""Number of features."""

Samples = NDArray[np.float32]


def describe_audio(content: bytes) -> Samples:
    """Describe a sound.

    Frames of 25 ms, one every 10 ms, are described by the logarithms of their power in mel
    bands, by cepstral coefficients, and by loudness, zero crossings, and centre, spread,
    flatness and upper end of their spectrum. Channels are averaged.

    Parameters
    ----------
    content
        A WAV file of uncompressed samples (8 to 64 bits, whole or floating-point numbers); with
        the package soundfile also FLAC, Ogg and MP3.

    Returns
    -------
    ndarray of float32, shape (WIDTH,)
        Mean and deviation of each band's power and each coefficient, mean absolute change of
        the coefficients between frames, mean and deviation of the other curves, logarithm of
        the duration in seconds.

    Raises
    ------
    UnreadableError
        It is not such a file, holds no sample, or samples that are not finite.
    """
    samples, rate, seconds = _decode(content)
    length, hop = round(_FRAME_SECONDS * rate), round(_HOP_SECONDS * rate)
    if len(samples) < length:
        samples = np.pad(samples, (0, length - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    spectrum = np.abs(rfft(frames * np.hanning(length).astype(np.float32), axis=1)) / length
    power = spectrum * spectrum
    bands = np.log(power @ _mel_bands(length, rate) + _FLOOR)
    cepstrum = dct(bands, axis=1, norm="ortho")[:, :COEFFICIENTS]
    changes = np.abs(np.diff(cepstrum, axis=0)) if len(cepstrum) > 1 else np.zeros_like(cepstrum)
    curves = _curves(frames, power, rate)
    described: Samples = np.concatenate(
        [
            bands.mean(axis=0),
            bands.std(axis=0),
            cepstrum.mean(axis=0),
            cepstrum.std(axis=0),
            changes.mean(axis=0),
            curves.mean(axis=0),
            curves.std(axis=0),
            [np.log(seconds)],
        ]
    ).astype(np.float32)
    return described


def _decode(content: bytes) -> tuple[Samples, int, float]:
    """Samples from -1 to 1 of the first `SECONDS`, samples per second, whole duration."""
    if content[:4] in {b"RIFF", b"RIFX", b"RF64"}:
        values, rate, size = _read_wav(content)
    elif content[:4] in {b"fLaC", b"OggS"} or _is_mp3(content):
        values, rate, size = _read_compressed(content)
    else:
        raise UnreadableError(Outcome.UNKNOWN_FORMAT)
    samples = values.astype(np.float32).mean(axis=1)
    if not np.isfinite(samples).all():
        raise UnreadableError(Outcome.NOT_NUMBERS)
    if values.dtype.kind == "u":
        samples = samples / 128 - 1
    elif values.dtype.kind == "i":
        samples = samples / float(np.iinfo(values.dtype).max)
    return np.clip(samples, -1, 1).astype(np.float32), rate, size / rate


def _is_mp3(content: bytes) -> bool:
    return content[:3] == b"ID3" or (content[:1] == b"\xff" and content[1:2] >= b"\xe0")


def _read_wav(content: bytes) -> tuple[NDArray[Any], int, int]:
    """Beginning of a WAV file, shape (samples, channels), its rate and its whole length."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, values = wavfile.read(io.BytesIO(content))
    except Exception:  # the reader raises whatever a broken file leads it to
        raise UnreadableError(Outcome.BROKEN) from None
    if not values.size:
        raise UnreadableError(Outcome.NO_SOUND)
    if not _RATES[0] <= rate <= _RATES[1]:
        raise UnreadableError(Outcome.BROKEN)
    beginning = values[: SECONDS * rate]
    return beginning.reshape(len(beginning), -1), rate, len(values)


def _read_compressed(content: bytes) -> tuple[NDArray[Any], int, int]:
    """Beginning of a FLAC, Ogg or MP3 file, like that of a WAV file."""
    try:
        import soundfile
    except (ImportError, OSError):
        raise UnreadableError(Outcome.NEEDS_SOUNDFILE) from None
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            rate = sound.samplerate
            if not _RATES[0] <= rate <= _RATES[1] or sound.channels > _MOST_CHANNELS:
                raise UnreadableError(Outcome.BROKEN)
            values = sound.read(SECONDS * rate, dtype="float32", always_2d=True)
            size = max(int(sound.frames), len(values))
    except (RuntimeError, ValueError, OSError, MemoryError):
        raise UnreadableError(Outcome.BROKEN) from None
    if not values.size:
        raise UnreadableError(Outcome.NO_SOUND)
    return values, rate, size


@lru_cache(maxsize=8)
def _mel_bands(length: int, rate: int) -> Samples:
    """Weight of each frequency in each mel band, shape (length // 2 + 1, BANDS)."""
    highest_mel = 2595 * np.log10(1 + HIGHEST / 700)
    corners = 700 * (10 ** (np.linspace(0, highest_mel, BANDS + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(length, 1 / rate)[:, None]
    rising = (frequency - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequency) / (corners[2:] - corners[1:-1])
    weights: Samples = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return weights


def _curves(frames: Samples, power: Samples, rate: int) -> Samples:
    """Six numbers of each frame, shape (F, _CURVES)."""
    loudness = np.log((frames * frames).mean(axis=1) + _FLOOR)
    crossings = (np.signbit(frames[:, 1:]) != np.signbit(frames[:, :-1])).mean(axis=1)
    frequency = (np.fft.rfftfreq(frames.shape[1], 1 / rate) / HIGHEST).astype(np.float32)
    share = power + _FLOOR
    share /= share.sum(axis=1, keepdims=True)
    centre = share @ frequency
    spread = np.sqrt(np.maximum(share @ (frequency * frequency) - centre * centre, 0))
    flatness = np.log(share).mean(axis=1) - np.log(share.mean(axis=1))
    upper_end = frequency[
        (np.cumsum(share, axis=1) < 0.85).sum(axis=1).clip(max=len(frequency) - 1)
    ]
    return np.stack([loudness, crossings, centre, spread, flatness, upper_end], axis=1)
