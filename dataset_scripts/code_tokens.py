"""Words of text and tokens of code, as arrays of 64-bit hashes: what N-grams and TF-IDF are made of.

Pure functions over many texts at once (numpy, about 10 ns a character), since a row at a time costs more than the
look-up that follows. Three views of a text, the same for every language and for both sides of a comparison:

    text   "# Sum.\\ndef total(xs):\\n    return sum(xs) + 10"
    words  sum | def | total | xs | return | sum | xs | 10              all words, comments and strings included
    code         def | total | xs | return | sum | xs | 0               without comments and signs, literals as one
    blind        def | v ( v ) : | return | sum ( v ) + 0               with signs; names that anybody may choose as v

Upper and lower case are the same. A sign never counts as a token of `words` and `code`: thirteen brackets and commas
in a row prove nothing.
"""

import builtins
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Comments and literals of Python and of the C family in one pattern, because a row need not say its language. What is
# never closed runs to the end (of the line, or of the text): a fallback to the next character would cost quadratic
# time on a megabyte of quotes.
_MASKED = re.compile(
    r"""["'/\#](?:
      (?<=\#)[^\n]*+
    | (?<=/)(?:/[^\n]*+|\*[\s\S]*?(?:\*/|\Z))
    | (?<=")(?:""[\s\S]*?(?:\"""|\Z)|([^"\\\n]*+(?:\\[\s\S]?[^"\\\n]*+)*+"?))
    | (?<=')(?:''[\s\S]*?(?:\'\'\'|\Z)|([^'\\\n]*+(?:\\[\s\S]?[^'\\\n]*+)*+'?))
    )""",
    re.VERBOSE,
)

# Words that a copy cannot rename: keywords of six languages, Python's built-ins, common types of the others. Types
# that Python's people call their variables (`result`, `string`, `char`, `mod`) are names: as fixed words they hid
# renamed copies.
_KEYWORDS_OF_OTHERS = """
abstract as auto async await bool boolean break byte case catch class const continue default defer delete do
double dyn else enum export extends extern false final finally float fn for func function go goto if impl implements
import in include instanceof int interface let long loop map match module mut namespace new nil null nullptr
operator override package private protected pub public range return self short signed size_t sizeof static std
struct super switch template this throw throws trait true try type typedef typename undefined unsafe unsigned use
using var vec vector void while yield i8 i16 i32 i64 u8 u16 u32 u64 usize isize f32 f64 str option some none
ok err println printf fmt math console log list arraylist integer hashmap
"""
_BUILTINS = (name for name in dir(builtins) if not name.startswith("_"))
FIXED_WORDS = frozenset(w.lower() for w in (*keyword.kwlist, *_BUILTINS, *_KEYWORDS_OF_OTHERS.split()))

_SPACE, _WORD, _SIGN = 0, 1, 2
_CLASS = np.full(256, _SIGN, np.uint8)
_CLASS[[c for c in range(256) if chr(c).isspace()]] = _SPACE
_CLASS[[c for c in range(256) if chr(c).isalnum() or chr(c) == "_"]] = _WORD
_LOWER = np.array([ord(chr(c).lower()) if c < 128 else c for c in range(256)], np.uint64)
_DIGIT = np.array([chr(c) in "0123456789" for c in range(256)])
_QUOTE, _DOT = ord('"'), ord(".")

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, hence invertible modulo 2 ** 64
_INVERSE = np.uint64(pow(int(_BASE), -1, 2**64))


@dataclass(frozen=True)
class Tokens:
    """Tokens of many texts, in order. Arrays of one length; offsets count characters from the start of their text.

    Attributes:
        hashes: uint64, equal for equal tokens.
        text: int32, which of the texts the token belongs to; never falls.
        start: int32, first character.
        end: int32, one past the last character.
    """

    hashes: np.ndarray
    text: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    def where(self, keep: np.ndarray | slice) -> "Tokens":
        return Tokens(self.hashes[keep], self.text[keep], self.start[keep], self.end[keep])


def mask(code: str) -> str:
    """The code with comments and docstrings blanked and one-line strings as a lone quote; no character moves.

    >>> mask("x = 'a#b'  # why")
    'x = "           '
    """
    return _MASKED.sub(_blank, code)


def _blank(found: re.Match) -> str:
    size = found.end() - found.start()
    return '"' + " " * (size - 1) if found.lastindex else " " * size


def words(texts: Sequence[str]) -> Tokens:
    """All words of each text."""
    tokens, kind = _tokens(texts, signs=False)
    return tokens


def code(texts: Sequence[str]) -> tuple[Tokens, Tokens]:
    """The `code` and the `blind` view of each text."""
    tokens, kind = _tokens([mask(text) for text in texts], signs=True)
    number, quote = _DIGIT[kind], kind == _QUOTE
    is_word = _CLASS[kind] == _WORD
    hashes = tokens.hashes
    hashes[number] = _NUMBER
    literal = number | quote
    plain = tokens.where(is_word | quote)
    literal_run = literal[is_word | quote]
    same = np.zeros(len(plain), bool)
    same[1:] = literal_run[1:] & (plain.hashes[1:] == plain.hashes[:-1]) & (plain.text[1:] == plain.text[:-1])

    after_dot = np.zeros(len(tokens), bool)
    after_dot[1:] = (kind[:-1] == _DOT) & (tokens.text[1:] == tokens.text[:-1])
    free = is_word & ~number & ~after_dot
    free[free] = ~_FIXED.contains(hashes[free])
    blind = Tokens(np.where(free, _NAME, hashes), tokens.text, tokens.start, tokens.end)
    return plain.where(~same), blind


def ngram_hashes(tokens: Tokens, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash of the `n` tokens that begin at each place, and whether they lie in one text (one shorter than tokens)."""
    count = len(tokens) - n + 1
    if count <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, bool)
    sums = _prefix_sums(tokens.hashes)
    grams = (sums[n:] - sums[:count]) * _powers(_INVERSE, count)
    return grams, tokens.text[:count] == tokens.text[n - 1 :]


def _tokens(texts: Sequence[str], signs: bool) -> tuple[Tokens, np.ndarray]:
    """Tokens, and the first byte of each. One byte a character keeps offsets: what Latin-1 lacks becomes a sign."""
    lengths = np.fromiter((len(t) + 1 for t in texts), np.int64, len(texts))
    bytes_ = np.frombuffer("\n".join([*texts, ""]).encode("latin-1", "replace"), np.uint8)
    kind = _CLASS[bytes_]
    is_word = kind == _WORD
    first, last = is_word.copy(), is_word.copy()
    first[1:] &= ~is_word[:-1]
    last[:-1] &= ~is_word[1:]
    if signs:
        sign = kind == _SIGN
        first |= sign
        last |= sign
    start, end = np.flatnonzero(first), np.flatnonzero(last) + 1
    sums = _prefix_sums(_LOWER[bytes_])
    hashes = _mixed((sums[end] - sums[start]) * _powers(_INVERSE, len(bytes_) + 1)[start])
    begins = np.concatenate([[0], np.cumsum(lengths)])
    text = np.repeat(np.arange(len(texts), dtype=np.int32), np.diff(np.searchsorted(start, begins)))
    offset = begins[text]
    tokens = Tokens(hashes, text, (start - offset).astype(np.int32), (end - offset).astype(np.int32))
    return tokens, bytes_[start]


def _prefix_sums(values: np.ndarray) -> np.ndarray:
    """`sums[i]` = sum of values[j] * base ** j for j < i, modulo 2 ** 64: the hash of any stretch in one step."""
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(_BASE, len(values)), out=sums[1:])
    return sums


_POWERS: dict[int, np.ndarray] = {}


def _powers(base: np.uint64, count: int) -> np.ndarray:
    known = _POWERS.get(int(base))
    if known is None or len(known) < count:
        factors = np.full(max(count, 1 << 16), base, np.uint64)
        factors[0] = 1
        known = _POWERS[int(base)] = np.cumprod(factors, dtype=np.uint64)
    return known[:count]


def _mixed(hashes: np.ndarray) -> np.ndarray:
    """Spread every input bit over the word (the finaliser of MurmurHash3)."""
    hashes = hashes ^ (hashes >> np.uint64(33))
    hashes = hashes * np.uint64(0xFF51AFD7ED558CCD)
    hashes = hashes ^ (hashes >> np.uint64(33))
    hashes = hashes * np.uint64(0xC4CEB9FE1A85EC53)
    return hashes ^ (hashes >> np.uint64(33))


class HashSet:
    """A sorted set of hashes with a bitmap before it: most look-ups end at one bit.

    Attributes:
        values: uint64, sorted, without repeats.
    """

    def __init__(self, values: np.ndarray, bits: int = 16) -> None:
        self.values = np.unique(np.asarray(values, np.uint64))
        self._shift = np.uint64(64 - bits)
        self._bitmap = np.zeros(1 << bits, bool)
        self._bitmap[self.values >> self._shift] = True

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places in `hashes` that hold a value of the set, and its index in `values`."""
        maybe = np.flatnonzero(self._bitmap[hashes >> self._shift])
        if not len(self.values) or not len(maybe):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        index = np.minimum(np.searchsorted(self.values, hashes[maybe]), len(self.values) - 1)
        sure = self.values[index] == hashes[maybe]
        return maybe[sure], index[sure]

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        found = np.zeros(len(hashes), bool)
        found[self.find(hashes)[0]] = True
        return found


_FIXED = HashSet(words([" ".join(sorted(FIXED_WORDS))]).hashes)
_NUMBER, _NAME = words(["0 v"]).hashes
