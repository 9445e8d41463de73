"""The files of a stage as others read them: shards of kept, rejected and facts, and the manifest that names them.

reads   build/<mixture>/NN_stage/{kept,rejected,facts}/00000.parquet, manifest.json; `stage.py` writes them
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artefacts import Refusal, read_json
from dataset_scripts.schema import COLUMNS, SCHEMA

ROWS_AT_ONCE = 500  # rows in memory at once where rows are read one by one


def shards(folder: Path, kind: str = "kept") -> list[Path]:
    """Shards of a stage in order."""
    return sorted((folder / kind).glob("*.parquet"))


def read_rows(folder: Path, kind: str = "kept", columns: list[str] | None = None) -> pa.Table:
    """All rows of a finished stage as one table, in order."""
    tables = [pq.read_table(path, columns=columns) for path in shards(folder, kind)]
    if tables:
        return pa.concat_tables(tables)
    return SCHEMA.empty_table().select(columns or COLUMNS)


def iterate_rows(folder: Path, kind: str = "kept") -> Iterator[dict[str, Any]]:
    """Rows of a finished stage one by one, in order; a batch at a time is in memory."""
    for path in shards(folder, kind):
        for part in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE):
            yield from part.to_pylist()


def manifest(folder: Path) -> dict[str, Any]:
    """Manifest of a finished stage.

    Raises:
        Refusal: the stage has not been finished.
    """
    found = read_json(folder / "manifest.json")
    if found is None:
        raise Refusal(f"{folder}: this stage is not finished; run `make mixture MIXTURE={folder.parent.name}` first.")
    return found


def is_finished(folder: Path, key: str) -> bool:
    """True when the stage was finished under this key and every shard is still there with its size."""
    found = read_json(folder / "manifest.json")
    return bool(found) and found["key"] == key and all(is_whole(folder, shard) for shard in found["shards"])


def is_whole(folder: Path, shard: dict[str, Any]) -> bool:
    """True when a shard of a manifest is on disk with its recorded size."""
    path = folder / shard["path"]
    return path.is_file() and path.stat().st_size == shard["bytes"]


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet; the same rows give the same bytes, however they were chunked in memory."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    return sink.getvalue()


@dataclass(frozen=True)
class Units:
    """The kept rows of a finished stage, cut into units of `rows_per_unit` rows, whatever shards they lie in."""

    files: tuple[Path, ...]
    counts: tuple[int, ...]
    rows_per_unit: int

    @classmethod
    def of(cls, source: Path, rows_per_unit: int) -> "Units":
        """The units of the stage in `source`."""
        files = shards(source)
        return cls(tuple(files), tuple(pq.read_metadata(path).num_rows for path in files), rows_per_unit)

    @property
    def rows(self) -> int:
        return sum(self.counts)

    def __len__(self) -> int:
        return -(-self.rows // self.rows_per_unit)

    def size(self, number: int) -> int:
        """Rows of a unit: `rows_per_unit`, less in the last."""
        return min(self.rows_per_unit, self.rows - number * self.rows_per_unit)

    def read(self, number: int, columns: list[str] | None = None) -> pa.Table:
        """The rows of a unit, in order."""
        start = number * self.rows_per_unit
        parts, first = [], 0
        for path, count in zip(self.files, self.counts, strict=True):
            low, high = max(start, first), min(start + self.rows_per_unit, first + count)
            if low < high:
                parts.append(pq.read_table(path, columns=columns).slice(low - first, high - low))
            first += count
        return pa.concat_tables(parts).combine_chunks()
