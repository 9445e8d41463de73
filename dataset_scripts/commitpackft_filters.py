"""The CommitPackFT chain: which commits read like an instruction and its solution (OctoPack, arXiv 2308.07124).

Pure functions over one commit with CommitPack's columns, in the paper's order; the first that rejects names the
reason. Where the paper leaves something to the reader, the choice is ours and stands here: the list of verbs, the two
lists of messages, and the seed of the one random step, which depends on the commit alone, so that neither order nor
number of workers changes what is kept. Three filters (version, hash, under four words) can reject nothing where the
paper has them, for a subject that passed the length and begins with a verb is none of these; they keep their places.

    "[api] docs: Fix the example of walk"  --tidied-->  "Fix the example of walk"
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dataset_scripts.commit_verbs import IMPERATIVE_VERBS
from dataset_scripts.languages import extension_fits

Row = Mapping[str, Any]
CountTokens = Callable[[str], int]
END_OF_TEXT = "<|endoftext|>"  # stands between old and new file when tokens are counted
VERSION_BUMPS_KEPT = 0.1

EXACT_SUBJECTS = frozenset({
    "clean up the code a bit", "fix a bug in the code", "fix some of the tests", "make the tests pass again",
    "update the readme file", "update the version of the package", "update to the latest version",
})  # fmt: skip
LISTED_TEXTS = (
    "auto-generated", "automatic commit", "co-authored-by", "commit message", "initial commit", "merge branch",
    "merge pull request", "merge remote", "readme.md", "signed-off-by", "to-do list", "update contributing",
)  # fmt: skip
_VERSION = re.compile(r"v?\d+(\.\d+)+\b")
_HASH = re.compile(r"[0-9a-f]{4,}(-[0-9a-f]+)*")
_FORTY_HEX = re.compile(r"\b[0-9a-f]{40}\b")
_FIRST_PERSON = re.compile(r"\b(i|i'm|i've|i'll|i'd|me|my|mine|myself)\b")
_NUMBERED = re.compile(r"\b(issue|bug|feature)s?:?\s*(no\.?\s*)?\d+")
_URL = re.compile(r"https?://|\bwww\.")
_BUMP = re.compile(r"(bump|set version|update version)\b")


@dataclass(frozen=True)
class Verdict:
    """What the chain says of a commit: the tidied subject, and the filter that rejects it or None."""

    subject: str
    reason: str | None


def tidied(subject: str) -> str:
    """The subject without `[skip ci]`, bracket tokens at either end, and a leading `word:`.

    >>> tidied("[skip ci] [api] docs: Fix the example of walk [minor]")
    'Fix the example of walk'
    """
    words = subject.replace("[skip ci]", "").split()
    if words and _is_bracketed(words[0]):
        words = words[1:]
    if words and words[0].endswith(":"):
        words = words[1:]
    if words and _is_bracketed(words[-1]):
        words = words[:-1]
    return " ".join(words)


def _is_bracketed(word: str) -> bool:
    return word.startswith("[") and word.endswith("]")


def names_the_file(subject: str, path: str) -> bool:
    """True when the stem of the changed file stands in the subject ("Fix walk" of `src/walk.py`)."""
    return PurePosixPath(path).stem in subject


def has_fair_length(subject: str) -> bool:
    """More than 10 characters and more than 4 words, both below 1,000."""
    return 10 < len(subject) < 1000 and 4 < len(subject.split()) < 1000


def starts_with_verb(subject: str) -> bool:
    """True when the first word, or the first two ("set up"), are an imperative of our list."""
    words = subject.lower().split()
    return bool(words) and (words[0] in IMPERATIVE_VERBS or " ".join(words[:2]) in IMPERATIVE_VERBS)


def is_version(subject: str) -> bool:
    """`v1.2.0`, or a subject that begins with one."""
    return _VERSION.match(subject.lower()) is not None


def is_hash(subject: str) -> bool:
    """Nothing but hexadecimal groups with a digit in them: `0239a-2a41`, but not "decade"."""
    lower = subject.lower()
    return _HASH.fullmatch(lower) is not None and any(c.isdigit() for c in lower)


def is_thanks(subject: str) -> bool:
    """Thanks to somebody for something."""
    return re.search(r"\bthanks to\b.*\bfor\b", subject.lower()) is not None


def survives_the_draw(commit: str, seed: int) -> bool:
    """One in ten, by a hash of seed and commit: the same draw in any order and on any machine."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{commit}".encode()).digest()[:8])
    return drawn < VERSION_BUMPS_KEPT * 2**64


def _steps(row: Row, count_tokens: CountTokens, seed: int) -> Iterator[tuple[str, bool]]:
    """(reason, whether it rejects) of every filter in order, each worked out when it is asked for."""
    old, new, subject = row["old_contents"], row["new_contents"], row["subject"]
    yield "old_file_too_long", len(old) >= 50_000
    yield "new_file_empty", not new
    yield "nothing_changed", old == new
    yield "subject_has_hash_sign", "#" in subject
    yield "extension_of_another_language", not extension_fits(row["new_file"], row["lang"])
    yield "subject_names_the_file", names_the_file(subject, row["new_file"])
    yield "subject_length", not has_fair_length(subject)
    subject = tidied(subject)
    lower = subject.lower()
    yield "subject_length_when_tidied", not has_fair_length(subject)
    yield "subject_not_capitalised", not subject[:1].isupper()
    yield "token_count", not 50 <= count_tokens(old + END_OF_TEXT + new) <= 768
    yield "subject_without_imperative", not starts_with_verb(subject)
    yield "subject_on_the_list", lower.rstrip(".!") in EXACT_SUBJECTS
    yield "subject_holds_listed_text", any(text in lower for text in LISTED_TEXTS)
    yield "subject_is_a_version", is_version(subject)
    yield "subject_is_a_hash", is_hash(subject)
    yield "cherry_pick", "cherry pick" in lower or "cherry-pick" in lower
    yield "names_a_commit", _FORTY_HEX.search(lower) is not None
    yield "first_person", _FIRST_PERSON.search(lower.replace("\u2019", "'")) is not None
    yield "thanks_somebody", is_thanks(subject)
    yield "code_review", re.search(r"\bcode[- ]review", lower) is not None
    yield "numbered_issue", _NUMBERED.search(lower) is not None
    yield "work_in_progress", re.search(r"\bwip\b|\bwork in progress\b", lower) is not None
    yield "holds_a_url", _URL.search(lower) is not None
    yield "leetcode", "leetcode" in lower
    yield "under_four_words", len(subject.split()) < 4
    yield "version_bump_not_drawn", _BUMP.match(lower) is not None and not survives_the_draw(row["commit"], seed)


def verdict(row: Row, count_tokens: CountTokens, seed: int) -> Verdict:
    """Put one commit through the chain.

    Args:
        row: CommitPack's columns.
        count_tokens: of the StarCoder tokenizer in the paper, see `commit_tokens`.
        seed: of the draw among version bumps.
    """
    reason = next((reason for reason, rejects in _steps(row, count_tokens, seed) if rejects), None)
    return Verdict(row["subject"] if reason else tidied(row["subject"]), reason)


def _names() -> tuple[str, ...]:
    empty = dict.fromkeys(("old_contents", "new_contents", "subject", "new_file", "lang", "commit"), "")
    return tuple(reason for reason, _ in _steps(empty, len, 0))


REASONS = _names()  # in the order of the chain
