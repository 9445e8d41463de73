"""A built mixture without building it: stages of the rows a test names, with manifests and ledgers that add up."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artefacts import write_json
from dataset_scripts import ledger
from dataset_scripts.schema import SCHEMA, make_row

CODE = "```python\ndef add_{n}(x):\n    return x + {n}\n```"


def toy_row(n: int, **changes: Any) -> dict[str, Any]:
    """Row number `n`; keywords replace columns, `reason` among them."""
    row = make_row(
        source=changes.get("source", "toy"), instruction=f"Add {n}.", response=CODE.replace("{n}", str(n)),
        license="MIT", generator="human", language="python",
    )  # fmt: skip
    return row | changes


def toy_source(**changes: Any) -> dict[str, Any]:
    """What the manifest of 01_sources notes of a source."""
    noted = {"revision": "1" * 40, "pinned": True, "repo_id": "lab/toy", "licence": "MIT", "generator": "human"}
    return noted | {"checks": ["compiles"], "about": "Toys that add."} | changes


def write_build(
    folder: Path, rows: list[dict], *, before: list[dict] = (), rejected: list[dict] = (), sources: dict | None = None,
    splits: dict[str, str] | None = None, twins: dict[str, str] | None = None, settings: dict | None = None,
    at_source: list[dict] = (),
) -> Path:  # fmt: skip
    """Write `folder` as `make mixture` would leave it.

    Args:
        rows: kept to the end.
        before: kept by 01_sources, in the mixture no more.
        settings: stage -> its configuration.
        rejected, at_source: by 03_clean, by 01_sources.
        splits, twins: row id -> split or twin, in the facts of 09_mixture and 03_clean.
    """
    everything = [*rows, *before, *rejected]
    names = sorted({row["source"] for row in everything})
    noted = {name: toy_source() for name in names} | (sources or {})
    raw = [row | {"reason": None} for row in everything if not row["parents"]]
    write_stage(folder, "01_sources", raw, list(at_source), {"sources": noted})
    gone = {row["id"] for row in rejected}
    passed = [row for row in raw if row["id"] not in gone]
    config = {"03_clean": {"secrets": "reject"}, "09_mixture": {"alchemist_share": 0.05}} | (settings or {})
    alike = [of | {"similarity": 0.75} for of in _facts("twin", twins)]
    write_stage(folder, "03_clean", passed, list(rejected), {"config": config["03_clean"]}, alike)
    new = [bool(row["parents"]) for row in rows]
    write_stage(folder, "09_mixture", list(rows), [], {"config": config["09_mixture"]}, _facts("split", splits), new)
    stages = ["01_sources", "03_clean", "09_mixture"]
    write_json(folder / "mixture.json", {"name": folder.name, "file": f"{folder.name}.yaml", "stages": stages})
    return folder


def _facts(name: str, values: dict[str, str] | None) -> list[dict]:
    return [{"id": row_id, name: value} for row_id, value in (values or {}).items()]


def write_stage(folder: Path, name: str, kept: list, rejected: list, notes=None, facts=(), new=None) -> None:
    shards = []
    for kind, rows, schema in (("kept", kept, SCHEMA), ("rejected", rejected, SCHEMA), ("facts", facts, None)):
        if rows:
            path = folder / name / kind / "00000.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
            shards.append({"path": f"{kind}/00000.parquet", "rows": len(rows), "bytes": path.stat().st_size})
    made = [*(new or [False] * len(kept)), *[False] * len(rejected)]
    counts = Counter((r["source"], r["reason"], m) for r, m in zip([*kept, *rejected], made, strict=True))
    write_json(folder / name / "ledger.json", ledger.add_up(name, [[*k, n] for k, n in counts.items()]))
    digest = f"{name} {kept} {rejected} {facts}"
    write_json(folder / name / "manifest.json", {"notes": notes or {}, "shards": shards, "digest": digest})
