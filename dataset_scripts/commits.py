"""A commit of one file as a row: CommitPack's columns, its rules, and OctoPack's mapping to instruction and response.

    subject       Add a default for `step`          instruction   Add a default for `step`
    old_contents  def walk(step): ...          ->                 def walk(step): ...
    new_contents  def walk(step=1): ...             response      def walk(step=1): ...

CommitPack (OctoPack, arXiv 2308.07124, appendix D) keeps commits of permissively licensed repositories that change one
file in place, with a message of a certain length that is neither a merge nor noise, each commit once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from dataset_scripts import commitpackft_filters
from dataset_scripts.languages import language_name
from dataset_scripts.sources import Exchange, Raw, Unreadable

Chain = Literal["commitpack", "commitpackft"]

COLUMNS = (
    "commit", "old_file", "new_file", "old_contents", "new_contents", "subject", "message", "lang", "license", "repos",
)  # fmt: skip
LICENCES = frozenset({
    "AGPL-3.0", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "EPL-1.0", "ISC", "LGPL-2.1",
    "MIT", "MPL-2.0", "Unlicense",
})  # fmt: skip
_SPDX_OF = {licence.lower(): licence for licence in LICENCES}

# Whole messages that say nothing about the change. Our own list: the paper names the rule, not the messages.
NOISE = frozenset({
    "add files", "add files via upload", "auto commit", "autocommit", "changes", "commit", "create readme.md",
    "delete file", "first commit", "fix typo", "fixes", "initial commit", "initial import", "minor changes",
    "more changes", "no message", "small changes", "small fix", "typo fix", "update", "update file", "update readme",
    "update readme.md", "updates", "version bump", "work in progress",
})  # fmt: skip


def exchange(raw: Mapping[str, Any]) -> Exchange:
    """A row with CommitPack's columns (and `reason`, where it was filtered before) as instruction and response."""
    repos = raw["repos"] if isinstance(raw["repos"], str) else ",".join(raw["repos"] or ())
    return Exchange(
        f"{raw['subject']}\n{raw['old_contents']}",
        raw["new_contents"],
        reason=raw.get("reason"),
        licence=spdx(raw["license"]),
        generator="human",
        language=language_name(raw["lang"]) if raw["lang"] else "unknown",
        task="commit",
        origin=f"{repos.split(',')[0]}@{raw['commit']}:{raw['new_file']}",
    )


def spdx(licence: str | None) -> str:
    """CommitPack writes licences in small letters (`apache-2.0`); unknown ones come out as they are.

    >>> spdx("apache-2.0"), spdx("other"), spdx("")
    ('Apache-2.0', 'other', 'unknown')
    """
    return _SPDX_OF.get((licence or "").lower(), licence or "unknown")


def _is_noise(row: Mapping[str, Any]) -> bool:
    folded = " ".join(row["message"].lower().split()).rstrip(".!")
    return folded in NOISE or folded.startswith(("merge branch", "merge pull request", "merge remote", "merge tag"))


# CommitPack's rules in order. Those of the file come after what only the history can tell (a merge, how many files).
MESSAGE_RULES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "licence": lambda row: spdx(row["license"]) not in LICENCES,
    "message_too_short": lambda row: len(row["message"]) <= 5,
    "message_too_long": lambda row: len(row["message"]) >= 10_000,
    "message_is_noise": _is_noise,
}
FILE_RULES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "file_renamed": lambda row: row["old_file"] != row["new_file"],
    "language_unknown": lambda row: not row["lang"],
}


def reason_of(rules: Mapping[str, Callable[[Mapping[str, Any]], bool]], row: Mapping[str, Any]) -> str | None:
    """The first of `rules` that rejects the row, None where it stays."""
    return next((reason for reason, rejects in rules.items() if rejects(row)), None)


def judged(raw: Raw, chain: Chain, count_tokens: Callable[[str], int], seed: int) -> Raw:
    """A row with CommitPack's columns and the `reason` why CommitPack or, if asked for, CommitPackFT leaves it out.

    A row that has a reason already keeps it.

    Raises:
        KeyError: a column is missing.
    """
    if isinstance(raw, Unreadable) or raw.get("reason"):
        return raw
    texts = [raw[column] for column in COLUMNS if column not in ("lang", "license", "repos")]
    if not all(isinstance(text, str) for text in texts):
        return Unreadable(repr(dict(raw)), "wrong_type")
    if reason := reason_of(MESSAGE_RULES, raw) or reason_of(FILE_RULES, raw):
        return {**raw, "reason": reason}
    if chain == "commitpack":
        return raw
    found = commitpackft_filters.verdict(raw, count_tokens, seed)
    return {**raw, "subject": found.subject, "reason": found.reason}
