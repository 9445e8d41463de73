"""Commits of any set of clones, or of an export of BigQuery's GitHub tables, as CommitPack's and CommitPackFT's rows.

    01_sources:
      - source: git_commits
        options:
          clones:
            - {name: owner/project, path: ../clones/project}
          exports: [commits.parquet]
          chain: commitpackft

A clone is read, never run, see `git_history`. An export is Parquet or JSON Lines with CommitPack's columns. Every
commit is a row in the ledger: those that CommitPack or CommitPackFT leave out are rejected with the name of the rule.

`python -m dataset_scripts.sources.git_commits owner/project=PATH ...` prints the counts per rule and writes nothing.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from artefacts import Refusal, StrictModel, command_line, sha256_of_file
from dataset_scripts import commitpackft_filters, commits, git_history, licence_text
from dataset_scripts.commit_tokens import CODE_PIECES, counter
from dataset_scripts.languages import language_of_file
from dataset_scripts.raw_rows import rows_of_file, sample
from dataset_scripts.sources import Raw, Source, Unreadable

MAX_BLOB_BYTES = 1_000_000
_FILE_MODES = {"100644", "100755"}
_OF_STATUS = {"A": "file_added", "D": "file_deleted", "R": "file_renamed", "C": "file_added", "T": "not_a_file"}
REASONS = (
    "message_not_utf8",
    *commits.MESSAGE_RULES,
    "merge",
    "no_file_changed",
    "several_files",
    "file_added",
    "file_deleted",
    "file_renamed",
    "not_a_file",
    "language_unknown",
    "too_large",
    "binary",
    "not_utf8",
    "commit_seen_before",
    *commitpackft_filters.REASONS,
)  # fmt: skip - in order


class Clone(StrictModel):
    """A clone: bare or with a work tree, which is not looked at."""

    name: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")  # as rows name it: owner/project
    path: str
    revision: str = "HEAD"  # branch, tag or commit whose history is read
    licence: str | None = None  # SPDX id; null: read off the licence file at that revision


class Options(StrictModel):
    """Options of `git_commits` in a mixture file. Paths are relative to the folder that the command runs in."""

    clones: list[Clone] = []
    exports: list[str] = []
    chain: commits.Chain = "commitpackft"
    tokenizer: str = CODE_PIECES


def source(options: Options) -> Source:
    """The commits of the clones, then those of the exports, each commit once."""
    if not options.clones and not options.exports:
        raise Refusal("git_commits: options name neither clones nor exports; one of them must be given.")
    count_tokens, noted = counter(options.tokenizer) if options.chain == "commitpackft" else (len, {})

    def read(revision: str, sample_rows: int | None, seed: int) -> Iterator[Raw]:
        if (now := find_revision(options)) != revision:
            raise Refusal(f"git_commits: {revision} was asked for, but the clones and exports are at {now}.")
        rows = _each_commit_once(_raw_rows(options))
        yield from sample((commits.judged(row, options.chain, count_tokens, seed) for row in rows), sample_rows, seed)

    return Source(
        licence="other",
        generator="human",
        find_revision=lambda: find_revision(options),
        read=read,
        pair=commits.exchange,
        checks=("compiles",),
        notes={"chain": options.chain, **noted},
    )


def find_revision(options: Options) -> str:
    """Names and commits of the clones, names and digests of the exports."""
    heads = [f"{clone.name}@{git_history.resolve(Path(clone.path), clone.revision)}" for clone in options.clones]
    return ", ".join(heads + [f"{Path(path).name}@{_digest(Path(path))}" for path in options.exports])


def _digest(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise Refusal(f"{path}: cannot be read ({error.strerror}).") from None


def _raw_rows(options: Options) -> Iterator[Raw]:
    for clone in options.clones:
        yield from rows_of_clone(clone)
    for path in options.exports:
        for number, raw in enumerate(rows_of_file(Path(path)), start=1):
            missing = [] if isinstance(raw, Unreadable) else [c for c in commits.COLUMNS if c not in raw]
            if missing:
                raise Refusal(f"{path}, row {number}: no column {', '.join(missing)}; an export has CommitPack's.")
            yield raw


def _each_commit_once(rows: Iterator[Raw]) -> Iterator[Raw]:
    """A commit that several clones (forks, mirrors) hold is used once."""
    seen: set[bytes] = set()
    for raw in rows:
        if not isinstance(raw, Unreadable) and isinstance(raw["commit"], str):
            key = raw["commit"].encode(errors="backslashreplace")
            if key in seen:
                raw = {**raw, "reason": raw.get("reason") or "commit_seen_before"}
            seen.add(key)
        yield raw


def rows_of_clone(clone: Clone) -> Iterator[dict[str, Any]]:
    """Every commit as CommitPack's columns, with a `reason` where its history rules it out; contents are read last."""
    path = Path(clone.path)
    head = git_history.resolve(path, clone.revision)
    with git_history.Blobs(path, MAX_BLOB_BYTES) as blobs:
        licence = clone.licence or _licence(blobs, path, head)
        for commit in git_history.commits(path, head):
            row, is_text = _columns(commit, clone.name, licence)
            reason = None if is_text else "message_not_utf8"
            reason = reason or commits.reason_of(commits.MESSAGE_RULES, row) or _history_reason(commit)
            reason = reason or commits.reason_of(commits.FILE_RULES, row)
            if reason is None:
                (change,) = commit.changes
                row["old_contents"], reason = _text(blobs.read(change.old_blob))
                if reason is None:
                    row["new_contents"], reason = _text(blobs.read(change.blob))
            yield row | {"reason": reason}


def _columns(commit: git_history.Commit, name: str, licence: str) -> tuple[dict[str, Any], bool]:
    change = commit.changes[0] if len(commit.changes) == 1 else None
    said = (commit.subject, commit.message, change.old_path if change else b"", change.path if change else b"")
    subject, message, old_file, new_file = (text.decode("utf-8", "backslashreplace") for text in said)
    row = {
        "commit": commit.sha, "old_file": old_file, "new_file": new_file, "old_contents": "", "new_contents": "",
        "subject": subject, "message": message, "lang": language_of_file(new_file) if change else None,
        "license": licence, "repos": name,
    }  # fmt: skip
    return row, all(_is_utf8(text) for text in said)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _history_reason(commit: git_history.Commit) -> str | None:
    if len(commit.parents) > 1:
        return "merge"
    if len(commit.changes) != 1:
        return "several_files" if commit.changes else "no_file_changed"
    (change,) = commit.changes
    if change.status != "M":
        return _OF_STATUS[change.status]
    return None if {change.mode, change.old_mode} <= _FILE_MODES else "not_a_file"  # a submodule, a symbolic link


def _text(data: bytes | None) -> tuple[str, str | None]:
    if data is None:
        return "", "too_large"
    if b"\0" in data:
        return "", "binary"
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return "", "not_utf8"


def _licence(blobs: git_history.Blobs, path: Path, head: str) -> str:
    files = git_history.root_files(path, head)
    texts = (blobs.read(files[name]) or b"" for name in sorted(files) if licence_text.FILE_NAME.fullmatch(name))
    found = (licence_text.licence_of(text.decode(errors="replace")) for text in texts)
    return next((licence for licence in found if licence != "unknown"), "unknown")


def funnel(options: Options, seed: int) -> str:
    """Counts per rule and clone as a Markdown table, in the order of the chain."""
    given = source(options)
    counts: dict[str, Counter] = {}
    licences: dict[str, str] = {}
    for raw in given.read(find_revision(options), None, seed):
        counts.setdefault(raw["repos"], Counter())[raw["reason"]] += 1
        licences[raw["repos"]] = raw["license"]
    reasons = [reason for reason in REASONS if any(c[reason] for c in counts.values())]
    assert sum(c[r] for c in counts.values() for r in (*reasons, None)) == sum(c.total() for c in counts.values())
    lines = [
        ["rule", *counts], ["---", *("---:" for _ in counts)],
        ["licence of the rows", *licences.values()],
        ["**commits**", *(f"**{c.total():,}**" for c in counts.values())],
        *([f"`{reason}`", *(f"{c[reason]:,}" for c in counts.values())] for reason in reasons),
        ["**kept**", *(f"**{c[None]:,}**" for c in counts.values())],
    ]  # fmt: skip
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_scripts.sources.git_commits", description=main.__doc__)
    parser.add_argument("clones", nargs="+", metavar="OWNER/NAME=PATH")
    parser.add_argument("--revision", default="HEAD", help="branch, tag or commit to read (default: HEAD)")
    parser.add_argument("--chain", choices=("commitpack", "commitpackft"), default="commitpackft")
    parser.add_argument("--tokenizer", default=CODE_PIECES, help=f"default: {CODE_PIECES}, which needs no download")
    parser.add_argument("--seed", type=int, default=0, help="of the draw among version bumps")
    arguments = parser.parse_args()
    named = [argument.partition("=") for argument in arguments.clones]
    options = Options(
        clones=[Clone(name=name, path=path, revision=arguments.revision) for name, _, path in named],
        chain=arguments.chain,
        tokenizer=arguments.tokenizer,
    )
    print(f"Read: {find_revision(options)}. Tokens: {arguments.tokenizer}. Seed: {arguments.seed}.\n")
    print(funnel(options, arguments.seed))


if __name__ == "__main__":
    raise SystemExit(main())
