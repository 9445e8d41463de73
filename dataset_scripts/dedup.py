"""02_dedup: of rows that say the same, or nearly the same, the best is kept.

reads   01_sources/kept; writes build/<mixture>/02_dedup/

    duplicate        instruction and response are equal to another row's, after Unicode NFC and with runs of white
                     space folded
    near_duplicate   five-word grams as similar as `near_duplicate_similarity` or more, see `near_duplicates`

A rejected row names in its facts the row that was kept (`twin`) and how similar that is to itself (`similarity`); the
twin stays in the mixture as far as this stage is concerned. Of two such rows the better is kept: first one that
`03_clean` will keep before one that it will reject, lest both be lost, then by licence (`LICENCES`), then by who wrote
the response (`WRITERS`), then one with code before one without, then the longer response, since what was cut off is a
copy too, then the earlier in the mixture file.

The same instruction with another response is not a duplicate: a second way to solve a task teaches something, and
which of two answers is right is not for this stage to say. (Splits keep the two together, see `splits`.)
"""

import functools
import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from artefacts import StrictModel
from dataset_scripts import clean
from dataset_scripts.facts_of_code import has_code
from dataset_scripts.near_duplicates import Grams, fold, grams, grams_of_column, keep_best
from dataset_scripts.schema import licence_terms, writer
from dataset_scripts.sources import Check
from dataset_scripts.stage import Prepared, Rows
from dataset_scripts.stage_files import shards

PINS = tuple(dict.fromkeys(("datasets", "numpy", "pyarrow", *clean.PINS)))
FACTS = pa.schema({"twin": pa.string(), "similarity": pa.float64()})
GRADES = ("licence", "writer", "code", "length")  # of a row, the smaller the better, the first counts most
LICENCES = ("permissive", "copyleft", "use-restricted", "unknown", "non-commercial")  # best first
WRITERS = ("person", "program", "open model", "unknown", "closed model")  # best first
READ = ["id", "instruction", "response", "license", "generator"]


class Config(StrictModel):
    """Settings of `02_dedup` in a mixture file."""

    near_duplicate_similarity: float | None = Field(None, ge=0.3, le=1)  # null: equal rows only


class Settings(Config):
    """What it goes by: its own settings, and those of 03_clean, by which a row that has no future is known."""

    cleaning: clean.Config | None  # None: the mixture names no 03_clean
    checks: dict[str, list[Check]]  # source -> what its rows are asked there


def fingerprint(instruction: str, response: str) -> bytes:
    """Hash (16 bytes) that two rows share exactly when they are equal in the sense above."""
    return hashlib.sha256("\0".join((fold(instruction), fold(response))).encode()).digest()[:16]


def sketch(rows: pa.Table, *, with_grams: bool) -> pa.Table:
    """What this stage must know about rows: id, fingerprint, grades, and the hashes of their grams."""
    _, instructions, responses, licences, generators = (rows[name].to_pylist() for name in READ)
    found = grams(instructions, responses) if with_grams else Grams(np.zeros(len(rows) + 1, np.int64), np.zeros(0))
    columns = {
        "id": rows["id"].combine_chunks(),
        "fingerprint": pa.array(map(fingerprint, instructions, responses), pa.binary(16)),
        "licence": pa.array([LICENCES.index(licence_terms(licence)) for licence in licences], pa.int32()),
        "writer": pa.array([WRITERS.index(writer(generator)) for generator in generators], pa.int32()),
        "code": pa.array([int(not has_code(response)) for response in responses], pa.int32()),
        "length": pa.array([-len(response) for response in responses], pa.int32()),
        "grams": pa.LargeListArray.from_arrays(found.offsets, found.hashes.astype(np.uint64)),
    }
    return pa.table(columns)


def find_twins(
    sketches: pa.Table, similarity: float | None, by: tuple[str, ...] = GRADES
) -> dict[str, tuple[str, float, str]]:
    """Id of every row to reject -> (id of the row kept in its place, similarity, reason), over all rows.

    Args:
        by: columns that say which of two rows is the better, see GRADES.
    """
    ids = sketches["id"].to_pylist()
    grades = [sketches[name].to_numpy() for name in by]
    best_first = np.lexsort(grades[::-1])  # stable: equals stay in the order of the mixture file
    fingerprints = sketches["fingerprint"].to_pylist()
    first: dict[bytes, int] = {}
    copies = {row: kept for row in best_first.tolist() if (kept := first.setdefault(fingerprints[row], row)) != row}
    near: dict[int, tuple[int, float]] = {}
    if similarity is not None:
        rows = np.fromiter(first.values(), np.int64)  # unequal ones, best first
        found = keep_best(grams_of_column(sketches["grams"]).take(rows), similarity)
        near = {int(rows[row]): (int(rows[twin]), value) for row, (twin, value) in found.items()}
    twins = {ids[row]: (ids[twin], value, "near_duplicate") for row, (twin, value) in near.items()}
    for row, kept in copies.items():  # what equals a near-duplicate has the same twin
        twins[ids[row]] = twins.get(ids[kept], (ids[kept], 1.0, "duplicate"))
    return twins


def find_lasting_twins(
    sketches: pa.Table, source: Path, settings: Settings
) -> tuple[dict[str, tuple[str, float, str]], dict[str, int]]:
    """As `find_twins`, but of two twins one that cleaning will keep; and what the manifest should say.

    Only rows that have a twin are cleaned here, and of these first the kept ones: where one has no future its twins
    are tried in its place, until whoever is kept lasts, or none of them does. Rows' own tests are not run for this.

    Args:
        source: folder of the stage that holds the rows.
    """
    faulty: set[str] = set()
    judged: set[str] = set()
    while True:
        grade = pa.array([int(row_id in faulty) for row_id in sketches["id"].to_pylist()], pa.int32())
        graded = sketches.append_column("faulty", grade)
        twins = find_twins(graded, settings.near_duplicate_similarity, ("faulty", *GRADES))
        kept = {twin for twin, _, _ in twins.values()}
        found = set() if settings.cleaning is None else rejects(source, kept - judged, settings)
        judged |= kept
        if not found:
            return twins, {"kept_twins_that_cleaning_will_reject": len(kept & faulty)}
        faulty |= found


def rejects(source: Path, ids: Collection[str], settings: Settings) -> set[str]:
    """Those of `ids` that 03_clean will reject."""
    found: set[str] = set()
    for path in shards(source) if ids else ():
        table = pq.read_table(path)
        some = table.filter(pc.is_in(table["id"], pa.array(sorted(ids)))).to_pydict()
        cleaned = clean.batch(some, config=settings.cleaning, checks=settings.checks)
        found |= {i for i, reason in zip(cleaned["id"], cleaned["reason"], strict=True) if reason is not None}
    return found


def prepare(settings: Settings, rows: Rows, seed: int, where: str) -> Prepared:
    """Find the twins among all rows."""
    with_grams = settings.near_duplicate_similarity is not None
    sketches = rows.map(functools.partial(sketch, with_grams=with_grams), READ)
    twins, notes = find_lasting_twins(sketches, rows.source, settings)
    return Prepared({"twins": twins}, notes)


def batch(columns: dict, *, twins: dict[str, tuple[str, float, str]]) -> dict:
    """Reject the rows that have a twin."""
    found = [twins.get(row_id, (None, None, None)) for row_id in columns["id"]]
    twin, similarity, reason = zip(*found, strict=True)
    return {**columns, "reason": list(reason), "twin": list(twin), "similarity": list(similarity)}
