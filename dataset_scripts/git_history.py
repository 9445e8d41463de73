"""Reading commits and files out of a clone, without trusting it.

A repository can carry configuration that runs programs: hooks, filters, textconv, external diffs, pagers, signature
checks, remote helpers. Only `git log` and `git cat-file` are called, on the object store alone: no work tree is made,
nothing is fetched, and every setting that could start something is overruled on the command line.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from artefacts import Refusal

_SETTINGS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null", "core.pager=cat",
    "core.sshCommand=false", "diff.external=", "diff.orderFile=/dev/null", "gc.auto=0", "maintenance.auto=false",
    "gpg.program=false", "gpg.ssh.program=false", "log.showRoot=true", "log.showSignature=false",
    "protocol.allow=never", "safe.directory=*",
)  # fmt: skip
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "false", "LC_ALL": "C",
}  # fmt: skip
_FORMAT = "%H%x00%P%x00%s%x00%B%x00"


class Change(NamedTuple):
    """One line of a commit's raw diff; `status` is one of A C D M R T, `mode` the file's new mode."""

    old_mode: str
    mode: str
    old_blob: str
    blob: str
    status: str
    old_path: bytes
    path: bytes


class Commit(NamedTuple):
    """A commit against its only parent; a merge has no changes here."""

    sha: str
    parents: list[str]
    subject: bytes
    message: bytes
    changes: list[Change]


def _command(clone: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    git_dir = clone / ".git" if (clone / ".git").exists() else clone
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return ["git", f"--git-dir={git_dir}", *settings, *arguments], inherited | _ENVIRONMENT


def _output(clone: Path, *arguments: str) -> bytes:
    command, environment = _command(clone, *arguments)
    try:
        done = subprocess.run(command, env=environment, capture_output=True)
    except FileNotFoundError:
        raise Refusal("git is not installed; install it to read commits out of clones.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Refusal(f"{clone}: git cannot read it ({said[-1] if said else done.returncode}); is it a clone?")
    return done.stdout


def resolve(clone: Path, revision: str) -> str:
    """The 40-hex commit that `revision` (a branch, a tag, HEAD) means in the clone.

    Raises:
        Refusal: the folder is no clone, or has no such revision.
    """
    return _output(clone, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()


def root_files(clone: Path, commit: str) -> dict[str, str]:
    """Names of the files at the root of the tree -> their blobs."""
    found = {}
    for entry in _output(clone, "ls-tree", "-z", commit).split(b"\0")[:-1]:
        facts, _, name = entry.partition(b"\t")
        _, kind, blob = facts.decode().split()
        if kind == "blob":
            found[name.decode(errors="replace")] = blob
    return found


def commits(clone: Path, revision: str) -> Iterator[Commit]:
    """All commits that `revision` (40-hex) reaches, newest first, with their raw diffs.

    Raises:
        Refusal: git stopped before the end (a damaged or shallow object store).
    """
    command, environment = _command(
        clone, "log", "--topo-order", "--no-color", "--no-show-signature", "--no-ext-diff", "--no-textconv",
        "--no-mailmap", "--no-notes", "--no-relative", "--raw", "-z", "--no-abbrev", "-M", "--encoding=UTF-8",
        f"--format={_FORMAT}", revision, "--",
    )  # fmt: skip
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield from _parse(_fields(process.stdout))
    if process.returncode:
        raise Refusal(f"{clone}: git log of {revision} stopped with {process.returncode}; is the clone whole?")


def _fields(file: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := file.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _parse(fields: Iterator[bytes]) -> Iterator[Commit]:
    """`sha NUL parents NUL subject NUL message NUL NUL`, then for every change `:modes blobs status NUL path NUL`."""
    field = next(fields, None)
    while field is not None:
        sha, (parents, subject, message, _) = field.decode(), (next(fields) for _ in range(4))
        changes = []
        while (field := next(fields, None)) is not None and field.lstrip(b"\n").startswith(b":"):
            old_mode, mode, old_blob, blob, status = field.decode().strip().lstrip(":").split()
            old_path = next(fields)
            path = next(fields) if status[0] in "RC" else old_path
            changes.append(Change(old_mode, mode, old_blob, blob, status[0], old_path, path))
        yield Commit(sha, parents.decode().split(), subject, message.strip(), changes)


class Blobs:
    """File contents by blob id, of one `git cat-file --batch`: `with Blobs(clone, 99) as blobs: blobs.read(id)`."""

    def __init__(self, clone: Path, max_bytes: int) -> None:
        self.clone, self.max_bytes = clone, max_bytes

    def __enter__(self) -> "Blobs":
        command, environment = _command(self.clone, "cat-file", "--batch")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, env=environment, **pipes)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def read(self, blob: str) -> bytes | None:
        """The blob; None where it is larger than `max_bytes`, and is not held in memory then.

        Raises:
            Refusal: the clone does not have it (a partial or shallow clone), or git died.
        """
        try:
            self._process.stdin.write(f"{blob}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Refusal(f"{self.clone}: git cat-file ended early; is the clone whole?") from None
        header = self._process.stdout.readline().split()
        if len(header) != 3:
            raise Refusal(f"{self.clone}: the blob {blob} is not there; a partial clone must be completed first.")
        size = int(header[2])
        if size > self.max_bytes:
            left = size + 1
            while left:
                left -= len(self._process.stdout.read(min(left, 1 << 20)))
            return None
        return self._process.stdout.read(size + 1)[:-1]
