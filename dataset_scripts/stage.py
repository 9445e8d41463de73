"""The stage contract: rows in = kept + rejected by reason, in shards that survive `kill -9`.

reads   the kept shards of an earlier stage (or, for the first stage, whatever the sources give)
writes  build/<mixture>/NN_stage/{kept,rejected,facts}/00000.parquet, manifest.json, ledger.json, run.json

The input is cut into units of a fixed number of rows, whatever shards it comes in. One unit goes through the stage's
pure batch function and becomes one shard of kept rows, one of rejected rows and, where the stage learned something
about its rows, one of facts beside their ids:

    input rows      0 ............ 999 | 1000 .......... 1999 | 2000 ... 2413
                        unit 0         |       unit 1         |    unit 2
    kept/           00000.parquet      | 00001.parquet        | 00002.parquet
    rejected/       00000.parquet      |  (none rejected)     | 00002.parquet

A unit is finished when its record in units/ is; a rerun skips finished units, and a stage whose key (code,
configuration, package versions, digests of the input) is unchanged is not run at all. Since a unit depends on its
rows alone, the shards are the same for one worker or many, on a laptop or on a cluster (`engine.py`). No process
holds more than a unit and what the stage has prepared.
"""

import functools
import hashlib
import io
import itertools
import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from artefacts import hash_of, read_json, write_bytes, write_json
from dataset_scripts import ledger
from dataset_scripts.engine import Engine
from dataset_scripts.schema import COLUMNS, REDACTED_REASONS, SCHEMA
from dataset_scripts.stage_files import Units, is_whole, parquet_bytes, read_rows, shards

BATCH_ROWS = 500  # rows a call of the batch function sees; no result may depend on it

Columns = dict[str, list[Any]]
BatchFunction = Callable[..., Columns]
MapFunction = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Stage:
    """What a stage is, before it runs.

    Attributes:
        name: folder below build/<mixture>, e.g. `03_clean`.
        key: hash of everything that shapes the output (`artefacts.code_key`).
        rows_per_shard: input rows per unit.
        facts: schema of what the stage learns about a row, beside its id; None when it learns nothing.
        notes: JSON-able facts about the stage as a whole (revisions, sizes of reference sets), kept in the manifest.
        started: when work on the stage began, preparation included; for run.json.
    """

    name: str
    key: str
    rows_per_shard: int
    facts: pa.Schema | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic, compare=False)

    @property
    def out_schema(self) -> pa.Schema:
        return pa.schema([*SCHEMA, *(self.facts or ())])


@dataclass(frozen=True)
class Prepared:
    """What a stage has worked out before its first row, from its settings and from all rows of its input.

    Attributes:
        arguments: keyword arguments of the batch function; must pickle.
        notes: see `Stage.notes`.
        conversations: how many a stage that asks a teacher has (`dataset_scripts.teacher`).
    """

    arguments: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    conversations: int = 0


ReadColumns = Callable[..., pa.Table]  # columns of all rows of a stage's input, in order: `Rows` is one


@dataclass(frozen=True)
class Rows:
    """All rows of a stage's input, as `prepare` reads them.

    Attributes:
        stage: the stage that reads.
        build: folder of the mixture.
        source: folder of the stage whose kept rows are read.
    """

    stage: Stage
    build: Path
    source: Path
    engine: Engine

    def __call__(self, columns: list[str], kind: str = "kept") -> pa.Table:
        """Some columns of all rows, in order, in memory; or, of kind `facts`, of what the stage before learned."""
        return read_rows(self.source, kind, columns)

    def parents(self) -> Iterator[tuple[str, list[str]]]:
        """Id and parents of every row that was made from others, of this input and of all stages before: an ancestor
        may have been rejected on the way."""
        before = sorted(f for f in self.build.glob("[0-9][0-9]_*/") if f.name < self.stage.name)
        for path in (path for folder in before for kind in ("kept", "rejected") for path in shards(folder, kind)):
            table = pq.read_table(path, columns=["id", "parents"])
            some = table.filter(pc.greater(pc.list_value_length(table["parents"]), 0))
            yield from zip(some["id"].to_pylist(), some["parents"].to_pylist(), strict=True)

    def map(self, function: MapFunction, columns: list[str]) -> pa.Table:
        """`function` of every unit, one after the other, mapped into memory and not read until it is looked at.

        The units are done by the engine and survive `kill -9`; they go when the stage is finished.

        Args:
            function: table of the named columns -> table; its name and the stage's key say what it computes.
        """
        folder = self.build / self.stage.name
        _claim(folder, self.stage.key)
        name = getattr(function, "func", function).__name__
        target = folder / "prepared" / name
        units = Units.of(self.source, self.stage.rows_per_shard)
        missing = [n for n in range(len(units)) if not (target / f"{n:05d}.arrow").is_file()]
        task = functools.partial(_map_unit, target, units, columns, function)
        label = f"{self.stage.name}: {name}"
        with tqdm(total=len(units), desc=label, unit=" units", leave=False, disable=None) as bar:
            bar.update(len(units) - len(missing))
            for _ in self.engine.run(task, missing, f"{self.stage.name}-{name}", self.stage.key):
                bar.update()
        return pa.concat_tables([_mapped(target / f"{n:05d}.arrow") for n in range(len(units))])


def _mapped(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:  # the mapping outlives the open file: thousands of units, few descriptors
        return pa.ipc.open_file(file).read_all()


def run_on_rows(stage: Stage, build: Path, source: Path, batch: BatchFunction, engine: Engine, **kwargs: Any) -> dict:
    """Run a row-local batch function over the kept rows of `source`, unit by unit.

    Args:
        stage: name, key and shape of the output.
        build: folder of the mixture, `build/<mixture>`.
        source: folder of the stage whose kept rows are read.
        batch: pure function, dict of columns -> dict of columns (those of the schema, plus those of `stage.facts`);
            a row that it rejects comes back with its `reason` filled.
        engine: does the units; the result does not depend on it.
        kwargs: passed to `batch` (configuration, reference sets); must pickle where the engine is a cluster.

    Returns:
        The manifest.
    """
    folder = build / stage.name
    _claim(folder, stage.key)
    units = Units.of(source, stage.rows_per_shard)
    missing = [number for number in range(len(units)) if _finished_unit(folder, number) is None]
    task = functools.partial(_do_unit, stage, folder, units, batch, kwargs)
    with tqdm(total=units.rows, desc=stage.name, unit=" rows", leave=False, disable=None) as bar:
        bar.update(units.rows - sum(units.size(number) for number in missing))
        for number in engine.run(task, missing, stage.name, stage.key):
            bar.update(units.size(number))
    records = [_finished_unit(folder, number) for number in range(len(units))]
    return _finish(stage, folder, records, engine.workers, resumed=len(units) - len(missing))


def run_on_stream(stage: Stage, build: Path, rows: Iterable[dict[str, Any]], total: int | None) -> dict:
    """Run the first stage: `rows` come from the sources, some already rejected; they are cut into units as they come.

    Args:
        total: number of rows for the progress bar, None where the sources do not say.
    """
    folder, stream = build / stage.name, iter(rows)
    _claim(folder, stage.key)
    records, resumed = [], 0
    with tqdm(total=total, desc=stage.name, unit=" rows", leave=False, disable=None) as bar:
        while chunk := list(itertools.islice(stream, stage.rows_per_shard)):
            record = _finished_unit(folder, len(records))
            resumed += record is not None
            if record is None:
                table = pa.Table.from_pylist(chunk, schema=stage.out_schema)
                record = _write_unit(stage, folder, len(records), len(chunk), table, [False] * len(chunk))
            records.append(record)
            bar.update(len(chunk))
    return _finish(stage, folder, records, 1, resumed)


def _claim(folder: Path, key: str) -> None:
    """Make `folder` the stage's under this key: what another key left there goes."""
    if read_json(folder / "key.json") != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / "key.json", key)


def _finish(stage: Stage, folder: Path, records: list, workers: int, resumed: int) -> dict:
    found = _write_manifest(stage, folder, records)
    shutil.rmtree(folder / "prepared", ignore_errors=True)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = round(time.monotonic() - stage.started, 2)
    run_facts = {"seconds": seconds, "workers": workers, "peak_mib": round(peak / 1024), "units_resumed": resumed}
    write_json(folder / "run.json", run_facts)
    return found


def _do_unit(stage: Stage, folder: Path, units: Units, batch: BatchFunction, kwargs: dict, number: int) -> None:
    if _finished_unit(folder, number) is not None:  # by an earlier run of the same task of a cluster
        return
    rows = units.read(number)
    parts = [rows.slice(start, BATCH_ROWS).to_pydict() for start in range(0, len(rows), BATCH_ROWS)]
    schema = pa.schema([*stage.out_schema])
    result = pa.concat_tables([pa.Table.from_pydict(batch(part, **kwargs), schema=schema) for part in parts])
    new = _new_rows(stage.name, rows["id"].to_pylist(), result)
    _write_unit(stage, folder, number, len(rows), result, new)


def _map_unit(folder: Path, units: Units, columns: list[str], function: MapFunction, number: int) -> None:
    path = folder / f"{number:05d}.arrow"
    if not path.is_file():
        result, sink = function(units.read(number, columns)), io.BytesIO()
        with pa.ipc.new_file(sink, result.schema) as writer:
            writer.write_table(result)
        write_bytes(path, sink.getvalue())


def _finished_unit(folder: Path, number: int) -> dict | None:
    record = read_json(folder / "units" / f"{number:05d}.json")
    if record and all(is_whole(folder, shard) for shard in record["shards"]):
        return record
    return None


def _write_unit(stage: Stage, folder: Path, number: int, rows_in: int, rows: pa.Table, new: list[bool]) -> dict:
    rejected = pc.is_valid(rows["reason"])
    parts = {
        "kept": rows.filter(pc.invert(rejected)).select(COLUMNS),
        "rejected": _redact(rows.filter(rejected).select(COLUMNS)),
    }
    if stage.facts is not None:
        parts["facts"] = rows.select(["id", *stage.facts.names])
    written = []
    for kind, table in parts.items():
        if len(table):
            table = table.replace_schema_metadata(None if kind == "facts" else SCHEMA.metadata)
            path = f"{kind}/{number:05d}.parquet"
            write_bytes(folder / path, data := parquet_bytes(table))
            digest = hashlib.sha256(data).hexdigest()
            written.append({"path": path, "rows": len(table), "bytes": len(data), "sha256": digest})
    counted = Counter(zip(rows["source"].to_pylist(), rows["reason"].to_pylist(), new, strict=True))
    record = {"rows_in": rows_in, "shards": written, "counts": sorted(([*k, n] for k, n in counted.items()), key=str)}
    write_json(folder / "units" / f"{number:05d}.json", record)  # last: this is what makes the unit finished
    return record


def _redact(rejected: pa.Table) -> pa.Table:
    hide = pc.is_in(rejected["reason"], pa.array(sorted(REDACTED_REASONS)))
    for name in ("instruction", "response", "alchemist_prompt"):
        column = pc.if_else(hide, pa.scalar(None, pa.string()), rejected[name])
        rejected = rejected.set_column(rejected.schema.get_field_index(name), SCHEMA.field(name), column)
    return rejected


def _new_rows(name: str, ids_in: list[str], result: pa.Table) -> list[bool]:
    """Which rows the stage made itself; every row that came in must come out exactly once, kept or rejected.

    Raises:
        AssertionError: the batch function lost or doubled a row, or made one that names no parent. A bug of ours.
    """
    known, seen = set(ids_in), Counter(result["id"].to_pylist())
    lost = [i for i in ids_in if seen[i] == 0]
    doubled = [i for i, n in seen.items() if n > 1]
    assert not lost, f"{name}: {len(lost)} row(s) came in and did not come out, the first is {lost[0]}"
    assert not doubled, f"{name}: {len(doubled)} row id(s) came out more than once, the first is {doubled[0]}"
    new = [row_id not in known for row_id in result["id"].to_pylist()]
    parents = result["parents"].to_pylist()
    orphans = [i for i, p, made in zip(result["id"].to_pylist(), parents, new, strict=True) if made and not p]
    assert not orphans, f"{name}: the new row {orphans[0]} names no parent"
    return new


def _write_manifest(stage: Stage, folder: Path, records: list[dict]) -> dict:
    totals = ledger.add_up(stage.name, [count for record in records for count in record["counts"]])
    rows_in, accounted = sum(r["rows_in"] for r in records), totals["kept"] + sum(totals["rejected"].values())
    assert rows_in == accounted, f"{stage.name}: {rows_in} rows in, but {accounted} kept or rejected"
    found = [shard for record in records for shard in record["shards"]]
    rows = Counter()
    for shard in found:
        rows[shard["path"].split("/")[0]] += shard["rows"]
    made = totals["new"]
    assert rows["kept"] == totals["kept"] + made["kept"], f"{stage.name}: shards and ledger differ in kept rows"
    assert rows["rejected"] == sum(totals["rejected"].values()) + sum(made["rejected"].values()), (
        f"{stage.name}: shards and ledger differ in rejected rows"
    )
    write_json(folder / "ledger.json", totals)
    written = {
        "stage": stage.name,
        "key": stage.key,
        "digest": hash_of([[shard["path"], shard["sha256"]] for shard in found]),
        "rows_per_shard": stage.rows_per_shard,
        "notes": stage.notes,
        "shards": found,
    }
    write_json(folder / "manifest.json", written)  # last: this is what makes the stage finished
    return written
