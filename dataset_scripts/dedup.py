"""02_dedup: exact duplicates, the first of equals is kept.

reads   01_sources/kept; writes build/<mixture>/02_dedup/

Two rows are equal when instruction and response are, after Unicode NFC and with runs of white space folded. A
rejected row names the row that was kept in its facts (`twin`).
"""

import hashlib
import unicodedata

import pyarrow as pa

from artefacts import StrictModel
from dataset_scripts.stage import Prepared, ReadColumns

PINS = ("datasets", "pyarrow")
FACTS = pa.schema({"twin": pa.string()})


class Config(StrictModel):
    """Nothing to set: exact equality has no threshold."""


def fingerprint(instruction: str, response: str) -> str:
    """Hash that two rows share exactly when they are equal in the sense above."""
    folded = (" ".join(unicodedata.normalize("NFC", text).split()) for text in (instruction, response))
    return hashlib.sha256("\0".join(folded).encode()).hexdigest()


def find_twins(rows: pa.Table) -> dict[str, str]:
    """Id of every duplicate -> id of the row kept in its place, over all rows of the input (n rows, O(n) memory)."""
    first: dict[str, str] = {}
    twins = {}
    for row_id, instruction, response in zip(
        *(rows[c].to_pylist() for c in ("id", "instruction", "response")), strict=True
    ):
        kept = first.setdefault(fingerprint(instruction, response), row_id)
        if kept != row_id:
            twins[row_id] = kept
    return twins


def prepare(config: Config, rows: ReadColumns, seed: int, where: str) -> Prepared:
    """Find the twins among all rows."""
    return Prepared({"twins": find_twins(rows(["id", "instruction", "response"]))})


def batch(columns: dict, *, twins: dict[str, str]) -> dict:
    """Reject the rows that have a twin."""
    twin = [twins.get(row_id) for row_id in columns["id"]]
    return {**columns, "reason": ["duplicate" if t else None for t in twin], "twin": twin}
