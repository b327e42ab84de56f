"""Tokens of texts in any script, with the offsets at which they stand.

A token is a run of letters and digits, or a single sign. Scripts that are written without
spaces (Chinese, Japanese, Thai, Khmer, …) give a token for each character. What a reader
sees as one character stays whole: a letter with its combining marks, an emoji with its
modifiers and what joiners add to it, a flag, a pair of surrogates. Whitespace belongs to no
token. Offsets count code points, as Python does.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crowdlab_engine._typing import AnyArray, BoolArray, IntArray

_SPACE, _WORD, _SIGN, _FLAG, _EXTENSION, _JOINER = range(6)

_JOINER_CODE = 0x200D
_ZERO_WIDTH_SPACE = 0x200B
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_EXTENSIONS = (
    range(0x1F3FB, 0x1F400),  # skin tones
    range(0xDC00, 0xE000),  # second halves of surrogate pairs
    range(0xFF9E, 0xFFA0),  # voice marks of halfwidth katakana
    range(0x0E33, 0x0E34),  # Thai and Lao am
    range(0x0EB3, 0x0EB4),
)
"""Characters that continue the one before, besides those that Unicode calls marks."""

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x31FF),  # radicals, kana, bopomofo
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # halfwidth katakana
    (0x1AFF0, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # Han
)
"""Blocks of scripts that are written without spaces, first and last character, ascending."""

_HANGUL_IN_UNSPACED = range(0x3130, 0x3190)
_UNSPACED_STARTS = [first for first, _ in _UNSPACED]

_NUM_CODES = 0x110000
_CHARACTERS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Tokens:
    """Where the tokens of N texts stand.

    Attributes
    ----------
    length : ndarray of int64, shape (N,)
        Code points of each text.
    num_tokens : ndarray of int64, shape (N,)
        Tokens of each text.
    start, end : ndarray of int64, shape (T,)
        First code point of each token, and the one after its last, counted from the
        beginning of its text. In the order of texts, then ascending.
    """

    length: IntArray
    num_tokens: IntArray
    start: IntArray
    end: IntArray

    @property
    def num_texts(self) -> int:
        """Number of texts N."""
        return len(self.num_tokens)

    def __len__(self) -> int:
        """Number of tokens T."""
        return len(self.start)

    @cached_property
    def text(self) -> IntArray:
        """Text of each token, shape (T,)."""
        return np.repeat(np.arange(self.num_texts), self.num_tokens)

    @cached_property
    def _origin(self) -> IntArray:
        """Where each text begins if all follow each other with a gap between."""
        return np.cumsum(self.length + 1) - self.length - 1

    def covered(self, text: IntArray, start: IntArray, end: IntArray) -> tuple[IntArray, IntArray]:
        """Find the tokens of which some spans hold a part.

        Parameters
        ----------
        text, start, end : ndarray of int64, shape (S,)
            Text of each span, its first code point and the one after its last.

        Returns
        -------
        first, stop : ndarray of int64, shape (S,)
            First token, and the one after the last; not above `first` if there is none.
        """
        origin = self._origin[text]
        first = np.searchsorted(self._origin[self.text] + self.end, origin + start, side="right")
        stop = np.searchsorted(self._origin[self.text] + self.start, origin + end, side="left")
        return first, stop

    def split(self, token: IntArray, position: IntArray) -> Tokens:
        """Cut tokens in two.

        Parameters
        ----------
        token, position : ndarray of int64, shape (C,)
            Tokens, and a code point inside each at which the second part begins; in any
            order, a token as often as it has cuts, every cut once.
        """
        start = np.concatenate([self.start, position])
        text = np.concatenate([self.text, self.text[token]])
        order = np.lexsort((start, text))
        start, text = start[order], text[order]
        is_cut = order >= len(self)
        end = np.empty_like(start)
        end[~is_cut] = self.end
        # The last part of a token ends where the token did, any other where the next begins.
        last = np.cumsum(~is_cut) - 1
        end = self.end[last]
        before_cut = np.flatnonzero(is_cut) - 1
        end[before_cut] = start[before_cut + 1]
        return Tokens(self.length, np.bincount(text, minlength=self.num_texts), start, end)


def tokenize(texts: Sequence[str]) -> Tokens:
    """Find the tokens of texts.

    Parameters
    ----------
    texts : sequence of str, length N
        Texts of any script; may be empty.

    Returns
    -------
    Tokens

    Examples
    --------
    >>> text = "Ada’s 東京 trip"
    >>> tokens = tokenize([text])
    >>> [text[start:end] for start, end in zip(tokens.start, tokens.end)]
    ['Ada', '’', 's', '東', '京', 'trip']
    """
    kinds = np.full(_NUM_CODES, -1, dtype=np.int8)
    parts = [_tokenize(some, kinds) for some in _lots(texts)]
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return Tokens(nothing, nothing, nothing, nothing)
    return Tokens(
        np.concatenate([part.length for part in parts]),
        np.concatenate([part.num_tokens for part in parts]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.end for part in parts]),
    )


def _lots(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divide texts into lots of a bounded number of characters."""
    begin = size = 0
    for number, text in enumerate(texts):
        size += len(text) + 1
        if size >= _CHARACTERS_AT_ONCE:
            yield texts[begin : number + 1]
            begin, size = number + 1, 0
    if begin < len(texts):
        yield texts[begin:]


def _tokenize(texts: Sequence[str], kinds: NDArray[np.int8]) -> Tokens:
    """Find the tokens of a lot; `kinds` caches what is known of characters, -1 if nothing."""
    length = np.array([len(text) for text in texts], dtype=np.int64)
    origin = np.cumsum(length + 1) - length - 1
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    is_new = np.zeros(_NUM_CODES, dtype=np.bool_)
    is_new[codes] = True
    for code in np.flatnonzero(is_new & (kinds < 0)).tolist():
        kinds[code] = _kind(code)
    kind = kinds[codes]
    begins = _begins(kind)
    first = np.flatnonzero(begins)
    # A token ends where the next begins, or the next space.
    after = (
        np.append(kind[1:] == _SPACE, True)[: len(kind)] | np.append(begins[1:], True)[: len(kind)]
    )
    last = np.flatnonzero(after & (kind != _SPACE))
    text = np.searchsorted(origin, first, side="right") - 1
    return Tokens(
        length,
        np.bincount(text, minlength=len(texts)),
        first - origin[text],
        last + 1 - origin[text],
    )


def _begins(kind: AnyArray) -> BoolArray:
    """Whether a token begins at each character, given what they are."""
    if not len(kind):
        return np.zeros(0, dtype=np.bool_)
    place = np.arange(len(kind))
    continues = kind >= _EXTENSION
    base = kind[np.maximum.accumulate(np.where(continues, 0, place))]
    before, base_before = np.roll(kind, 1), np.roll(base, 1)
    before[0] = base_before[0] = _SPACE

    is_flag = kind == _FLAG
    run_start = np.maximum.accumulate(np.where(is_flag & (before == _FLAG), 0, place))
    second_of_flag = is_flag & ((place - run_start) % 2 == 1)
    joined = (before == _JOINER) & (kind == _SIGN) & (base_before == _SIGN)
    same_word = (kind == _WORD) & (base_before == _WORD)
    is_glued = continues | same_word | joined | second_of_flag
    begins: BoolArray = (kind != _SPACE) & ((before == _SPACE) | ~is_glued)
    return begins


def _kind(code: int) -> int:
    """Return what a character is to the tokenizer."""
    if code == _JOINER_CODE:
        return _JOINER
    if code in _FLAG_LETTERS:
        return _FLAG
    if any(code in some for some in _EXTENSIONS):
        return _EXTENSION
    category = unicodedata.category(chr(code))
    if category[0] == "Z" or category == "Cc" or code == _ZERO_WIDTH_SPACE:
        return _SPACE
    if category[0] == "M" or category == "Cf":
        return _EXTENSION
    if category[0] in "LN" or category == "Pc":
        return _SIGN if _is_unspaced(code) else _WORD
    return _SIGN


def _is_unspaced(code: int) -> bool:
    block = bisect_right(_UNSPACED_STARTS, code) - 1
    return block >= 0 and code <= _UNSPACED[block][1] and code not in _HANGUL_IN_UNSPACED
