"""Where the rows of a benchmark come from: a folder, else a pinned origin. The only code here that needs a network.

A folder is searched by file name, itself and one level down, so that a download of any shape fits. A file of GitHub
is pinned by commit and sha256 of its bytes; a file of the Hub by revision. Downloads are kept in build/benchmarks.
"""

import functools
import gzip
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from artefacts import ROOT, Refusal, sha256_of_file, write_bytes

GITHUB = os.environ.get("GITHUB_RAW_ENDPOINT", "https://raw.githubusercontent.com")
CACHE = ROOT / "build" / "benchmarks"
_TIMEOUT_S = 60


class Absent(Refusal):
    """A file can be had from nowhere: the folder lacks it, or its origin does not give it."""


@dataclass(frozen=True)
class GitHub:
    """One file of a repository at a commit; sha256 is that of its bytes (`content`: of what a .gz holds)."""

    repo: str
    commit: str
    path: str
    sha256: str

    def __str__(self) -> str:
        return f"github:{self.repo}@{self.commit}:{self.path}"

    def fetch(self) -> Path:
        """The file, downloaded once and checked.

        Raises:
            Absent: it cannot be had.
            Refusal: its bytes are others.
        """
        target = CACHE / self.sha256[:16] / Path(self.path).name
        if target.is_file() and sha256_of_file(target) == self.sha256:
            return target
        url = f"{GITHUB}/{self.repo}/{self.commit}/{self.path}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is ours
                data = answer.read()
        except (urllib.error.URLError, OSError) as error:
            said = getattr(error, "reason", None) or error
            raise Absent(
                f"{url} cannot be fetched ({said}); check the network, or name a folder that has it."
            ) from None
        write_bytes(target, data)
        found = sha256_of_file(target)
        if found != self.sha256:
            target.unlink()
            raise Refusal(f"{url}: its sha256 is {found}, expected {self.sha256}; do not use it, report it.")
        return target


@dataclass(frozen=True)
class Hub:
    """One file of a dataset repository of the Hub at a revision."""

    repo_id: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hf:{self.repo_id}@{self.revision}:{self.path}"

    def fetch(self) -> Path:
        """The file, out of the Hub's own cache after the first time.

        Raises:
            Absent: the Hub does not give it.
        """
        import httpx2  # the client of huggingface_hub 2.x
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

        try:
            return Path(hf_hub_download(self.repo_id, self.path, repo_type="dataset", revision=self.revision))
        except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.HTTPError, OSError) as error:
            raise Absent(
                f"{self.repo_id}: {constants.ENDPOINT} did not give {self.path} at {self.revision} "
                f"({type(error).__name__}); check the network, or name a folder that has it."
            ) from None


@dataclass(frozen=True)
class File:
    """One file of a benchmark.

    Attributes:
        names: what it may be called in a folder, the first that is there is taken.
        origin: where it is fetched from.
        rows: how many rows it must hold; None where parts of it go round.
    """

    names: tuple[str, ...]
    origin: GitHub | Hub
    rows: int | None


def in_folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of `names` in the folder or one level down, None without one."""
    for name in names:
        for path in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if path.is_file():
                return path
    return None


def data_folder(folder: Path | None) -> Path | None:
    """`folder`, else REAL_DATA_DIR, else None."""
    known = os.environ.get("REAL_DATA_DIR")
    return folder or (Path(known) if known else None)


def find(file: File, folder: Path | None, benchmark: str) -> Path:
    """The file of a benchmark in `folder`, in REAL_DATA_DIR, or fetched.

    Raises:
        Absent: the folder lacks it, or the origin does not give it.
        Refusal: the origin gives other bytes.
    """
    if folder is not None:
        found = in_folder(folder, file.names)
        if found is None:
            raise Absent(
                f"{benchmark}: {folder} has no {' or '.join(file.names)}, nor has a folder in it; put it there."
            )
        return found
    known = data_folder(None)
    return (known and in_folder(known, file.names)) or _fetched(file.origin, benchmark)


def _fetched(origin: GitHub | Hub, benchmark: str) -> Path:
    try:
        return origin.fetch()
    except Refusal as refusal:
        raise type(refusal)(f"{benchmark}: {refusal}") from None


@functools.lru_cache(maxsize=32)
def _rows_of(path: Path, stamp: tuple[int, int]) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    return json.loads(text)


def read(file: File, folder: Path | None, benchmark: str) -> list[dict[str, Any]]:
    """Rows of a file of a benchmark.

    Raises:
        Refusal: it cannot be had, cannot be read, or holds another number of rows.
    """
    path = find(file, folder, benchmark)
    try:
        status = path.stat()
        rows = _rows_of(path, (status.st_mtime_ns, status.st_size))
    except (OSError, ValueError, EOFError) as error:
        raise Refusal(
            f"{benchmark}: {path} cannot be read ({type(error).__name__}: {error}); fetch it again."
        ) from None
    if file.rows is not None and len(rows) != file.rows:
        raise Refusal(f"{benchmark}: {path} holds {len(rows)} problems, not {file.rows}; fetch it again.")
    return rows
