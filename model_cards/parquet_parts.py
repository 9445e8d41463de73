"""Rows -> Parquet files, parted so that every config of a dataset card is a pattern over the same files.

    data/<permissive|research>/<source>/<rows|comprehension>/<split>-00000-of-00002.parquet
    rejected/train-00000-of-00001.parquet

No row is written twice: `sft` is `data/permissive/*/*`, `sft_research` is `data/*/*/*`, and so on (`configs`).
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 5_000  # what a writer holds in memory, and what a streaming reader fetches at once


class Part(NamedTuple):
    """Where a row belongs."""

    terms: str  # permissive or research
    source: str
    kind: str  # rows or comprehension
    split: str

    @property
    def folder(self) -> str:
        return f"data/{self.terms}/{self.source}/{self.kind}"


class Config(NamedTuple):
    """One configuration of the card: which parts it reads, as a pattern, and what it is."""

    name: str
    folders: str
    about: str

    def holds(self, part: Part) -> bool:
        wanted = self.folders.split("/")[1:]
        return all(w in ("*", p) for w, p in zip(wanted, part[:3], strict=True))


def configs(parts: list[Part]) -> list[Config]:
    """The configurations that hold rows, the default first.

    `sft_research` is left out where it would equal `sft`, and `sft` where no row is permissive.
    """
    known = [
        Config("sft", "data/permissive/*/*", "rows whose licences, and those of all their parents, are permissive"),
        Config("sft_research", "data/*/*/*", "all rows: copyleft, use-restricted and non-commercial terms too"),
        Config("comprehension", "data/*/*/comprehension", "code comprehension tasks: evolution, filtering, review"),
    ]  # fmt: skip
    if all(part.terms == "permissive" for part in parts):
        known = [config for config in known if config.name != "sft_research"]
    sources = sorted({part.source for part in parts})
    known += [Config(name, f"data/*/{name}/*", f"rows of `{name}`, and those made from them") for name in sources]
    return [config for config in known if any(config.holds(part) for part in parts)]


@dataclass
class Shards:
    """A growing set of Parquet files of at most ROWS_PER_FILE rows, called `<split>-<n>-of-<all>` in the end."""

    folder: Path
    split: str
    schema: pa.Schema
    rows: int = 0
    bytes: int = 0  # of the Arrow data, as the Hub counts `num_bytes`
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _open: pq.ParquetWriter | None = None
    _files: list[Path] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        self.rows += 1
        self._waiting.append(row)
        if len(self._waiting) == ROWS_PER_GROUP or self.rows % ROWS_PER_FILE == 0:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._open is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files.append(self.folder / f"{self.split}-{len(self._files):05d}.parquet")
            self._open = pq.ParquetWriter(self._files[-1], self.schema, compression="zstd")
        table = pa.Table.from_pylist(self._waiting, schema=self.schema)
        self._open.write_table(table)
        self.bytes += table.nbytes
        self._waiting = []
        if self.rows % ROWS_PER_FILE == 0:
            self._close_file()

    def _close_file(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def close(self) -> list[Path]:
        """Finish; returns the files under their final names."""
        self._flush()
        self._close_file()
        named = [p.with_name(f"{p.stem}-of-{len(self._files):05d}.parquet") for p in self._files]
        for old, new in zip(self._files, named, strict=True):
            old.rename(new)
        return named


def splits_of(config: Config, rows_of: Counter) -> dict[str, int]:
    """Rows of a configuration by split, `train` first."""
    found: Counter[str] = Counter()
    for part, rows in rows_of.items():
        if config.holds(part):
            found[part.split] += rows
    return {split: found[split] for split in sorted(found, key=lambda split: (split != "train", split))}
