"""Rows of earlier stages by their ids, and what 03_clean found against them.

reads   build/<mixture>/NN_stage/{kept,rejected,facts}, shard by shard; writes nothing
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_scripts.stage_files import shards


def findings_of(cleaned: Path) -> dict[str, list[str]]:
    """Row id -> what 03_clean found against it, for rows with findings."""
    found = {}
    for path in shards(cleaned, "facts"):
        facts = pq.read_table(path, columns=["id", "findings"])
        some = facts.filter(pc.greater(pc.list_value_length(facts["findings"]), 0))
        found |= dict(zip(some["id"].to_pylist(), some["findings"].to_pylist(), strict=True))
    return found


def texts_of(folder: Path, kind: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Whole rows of a stage by their ids, read shard by shard."""
    wanted = pa.array(sorted(ids), pa.string())
    found = {}
    for path in shards(folder, kind) if ids else ():
        table = pq.read_table(path)
        found |= {row["id"]: row for row in table.filter(pc.is_in(table["id"], wanted)).to_pylist()}
    return found
