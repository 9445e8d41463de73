"""The rows of a dataset repository: parted Parquet, the rejected ones, an index of row ids.

reads   the kept and rejected shards of build/<mixture>/; writes below the folder of the repository

A row that was made from others inherits their licences; a rejected row goes without its text where that must not be
passed on. `index.parquet` (id, source, split, digest of the row) is what the next release's changelog is made from.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from artefacts import Refusal
from dataset_scripts.schema import (
    COMPREHENSION_TASKS,
    FEATURES,
    PUBLISHED_FEATURES,
    REDACTED_REASONS,
    SCHEMA,
    messages,
)
from model_cards import licences, parquet_parts
from model_cards.parquet_parts import Config, Part, Shards

LOOKS_FOR_SECRETS = "03_clean"  # rows rejected before this stage were never searched
MAKERS = frozenset({"05_evolve", "06_comprehend"})  # nor were the rows that a stage made and rejected itself
_TEXTS = ("instruction", "response", "alchemist_prompt")
_REJECTED = Config("rejected", "rejected", "what the stages rejected, with the reason")
_INDEX = pa.schema({"id": pa.string(), "source": pa.string(), "split": pa.string(), "digest": pa.string()})


def shards(stage: Path, manifest: dict[str, Any], kind: str) -> list[Path]:
    """Files of a finished stage, by its manifest."""
    return [stage / shard["path"] for shard in manifest["shards"] if shard["path"].startswith(f"{kind}/")]


def inherited(final: Iterable[Path], everything: Iterable[Path]) -> dict[str, str]:
    """For rows that were made from others: row id -> all licences that hold for it, as one expression.

    Args:
        final: shards of the rows in question.
        everything: shards of all stages, kept and rejected, where their ancestors stand.

    Raises:
        Refusal: an ancestor is nowhere, so that nobody can say under which licence it stands.
    """
    known = _find(final, None)
    derived = {row_id: row for row_id, row in known.items() if row["parents"]}
    pending = {parent for row in derived.values() for parent in row["parents"]} - known.keys()
    while pending:
        found = _find(everything, pending)
        if missing := sorted(pending - found.keys()):
            child = next(i for i, row in known.items() if missing[0] in row["parents"])
            raise Refusal(
                f"row {child} was made from {missing[0]}, which no stage holds, so nobody can say under which licence "
                "it stands; delete the mixture's folder and build it again."
            )
        known |= found
        pending = {parent for row in found.values() for parent in row["parents"]} - known.keys()

    def all_licences(row_id: str, seen: set[str]) -> set[str]:
        if row_id in seen:
            return set()
        seen.add(row_id)
        row = known[row_id]
        return {row["license"]}.union(*(all_licences(parent, seen) for parent in row["parents"]))

    return {row_id: licences.joined(all_licences(row_id, set())) for row_id in derived}


def _find(paths: Iterable[Path], wanted: set[str] | None) -> dict[str, dict]:
    found = {}
    for path in paths:
        table = pq.read_table(path, columns=["id", "license", "parents"])
        if wanted is not None:
            table = table.filter(pc.is_in(table["id"], pa.array(sorted(wanted))))
        found |= {row["id"]: row for row in table.to_pylist()}
    return found


def write(target: Path, stages: list[Path], manifests: dict[str, Any]) -> dict[str, Any]:
    """Write all rows of a repository and the index; returns what was counted while doing so."""
    final = stages[-1]
    kept = shards(final, manifests[final.name], "kept")
    everything = [p for s in stages for kind in ("kept", "rejected") for p in shards(s, manifests[s.name], kind)]
    # a mixture that says nothing about splits is all `train`
    licence_of, split_of = inherited(kept, everything), _facts(shards(final, manifests[final.name], "facts"), "split")
    writers: dict[Part, Shards] = {}
    counts: dict[str, Counter] = defaultdict(Counter)
    index = []
    for row in tqdm(_rows(kept), desc="rows", total=_count(kept), unit=" rows", leave=False, disable=None):
        row["license"] = licence_of.get(row["id"], row["license"])
        part = _part_of(row, split_of.get(row["id"], "train"))
        counts["parts"][part] += 1
        for column in ("license", "generator", "language", "task"):
            counts[column][row[column]] += 1
            counts[f"{column} of {row['source']}"][row[column]] += 1
        counts["prompts"][row["alchemist_prompt"] is not None] += 1
        index.append({"id": row["id"], "source": row["source"], "split": part.split, "digest": _digest(row)})
        if part not in writers:
            writers[part] = Shards(target / part.folder, part.split, PUBLISHED_FEATURES.arrow_schema)
        writers[part].add({**row, "messages": messages(row)})
    files = {part: writer.close() for part, writer in writers.items()}
    pq.write_table(pa.Table.from_pylist(index, schema=_INDEX), target / "index.parquet", compression="zstd")
    rejected, redacted = _write_rejected(target / "rejected", stages, manifests)
    described = [
        _describe_config(config, writers, files, PUBLISHED_FEATURES) for config in parquet_parts.configs(list(writers))
    ]
    if rejected.rows:
        described.append(_describe_rejected(rejected))
    by_source = {
        source: {column: dict(counts[f"{column} of {source}"].most_common()) for column in ("license", "generator")}
        for source in sorted({part.source for part in writers})
    }
    columns = ("license", "generator", "language", "task")
    return {
        "rows": len(index),
        "rows_with_prompt": counts["prompts"][True],
        "rows_rejected": rejected.rows,
        "rows_redacted": redacted,
        "configs": described,
        "rows_by": {column: dict(counts[column].most_common()) for column in columns},
        "rows_by_source": by_source,
    }  # fmt: skip


def _rows(paths: list[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from pq.read_table(path, schema=SCHEMA).to_pylist()


def _count(paths: list[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def _facts(paths: list[Path], name: str) -> dict[str, str]:
    """Row id -> what the stages have noted about the row under this name, where they have."""
    found = {}
    for path in paths:
        if name in pq.read_schema(path).names:
            table = pq.read_table(path, columns=["id", name])
            found |= {
                i: v for i, v in zip(*(column.to_pylist() for column in table.columns), strict=True) if v is not None
            }
    return found


def _part_of(row: dict[str, Any], split: str) -> Part:
    is_permissive = licences.terms(row["license"]) == "permissive"
    kind = "comprehension" if row["task"] in COMPREHENSION_TASKS else "rows"
    return Part("permissive" if is_permissive else "research", row["source"], kind, split)


def _digest(row: dict[str, Any]) -> str:
    """16 hex characters over all that is published of a row: the id covers its text, this also licence, prompt, ..."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]


def _write_rejected(folder: Path, stages: list[Path], manifests: dict[str, Any]) -> tuple[Shards, int]:
    """Rejected rows, stage by stage. Returns the writer and how many rows went without their text.

    Without text: rows rejected for a secret, contamination, a licence, ... (REDACTED_REASONS); rows that say the same
    as one of those, are its near-duplicate, were made from it or gave their text to it; rows that were rejected before
    anybody looked for secrets in them; rows whose licence lets nobody pass them on.
    """
    paths = {stage: shards(stage, manifests[stage.name], "rejected") for stage in stages}
    redacted_rows = [row for path in paths.values() for row in _rows(path) if row["reason"] in REDACTED_REASONS]
    hidden = {row_id for row in redacted_rows for row_id in (row["id"], *row["parents"])}
    kept = [p for s in stages for p in shards(s, manifests[s.name], "kept")]
    texts = {text for row in _of_ids(kept, hidden) for text in (row["instruction"], row["response"])}
    twin_of = _facts([p for s in stages for p in shards(s, manifests[s.name], "facts")], "twin")
    writer, redacted = Shards(folder, "train", SCHEMA), 0
    for stage in stages:
        is_unsearched = stage.name < LOOKS_FOR_SECRETS or stage.name in MAKERS
        for row in _rows(paths[stage]):
            akin = not hidden.isdisjoint([row["id"], twin_of.get(row["id"]), *row["parents"]])
            says_the_same = row["response"] in texts or row["instruction"] in texts
            if is_unsearched or akin or says_the_same or licences.forbids_publishing(row["license"]):
                row = dict.fromkeys(FEATURES) | {"parents": []} | {k: row[k] for k in ("id", "source", "reason")}
                redacted += 1
            writer.add(row)
    return writer, redacted


def _of_ids(paths: list[Path], ids: set[str]) -> Iterator[dict[str, Any]]:
    wanted = pa.array(sorted(ids), pa.string())
    for path in paths if ids else ():
        table = pq.read_table(path, columns=["id", *_TEXTS])
        yield from table.filter(pc.is_in(table["id"], wanted)).to_pylist()


def _describe_config(config: Config, writers: dict[Part, Shards], files: dict[Part, list[Path]], features) -> dict:
    chosen = [part for part in writers if config.holds(part)]
    rows = Counter({part: writers[part].rows for part in chosen})
    splits = parquet_parts.splits_of(config, rows)
    size = {split: sum(writers[p].bytes for p in chosen if p.split == split) for split in splits}
    stored = sum(path.stat().st_size for part in chosen for path in files[part])
    return _description(config, splits, size, stored, features)


def _describe_rejected(writer: Shards) -> dict:
    stored = sum(path.stat().st_size for path in writer.close())
    return _description(_REJECTED, {"train": writer.rows}, {"train": writer.bytes}, stored, FEATURES)


def _description(config: Config, splits: dict[str, int], size: dict[str, int], stored: int, features) -> dict:
    return {
        "name": config.name,
        "about": config.about,
        "splits": splits,
        "data_files": [{"split": split, "path": f"{config.folders}/{split}-*.parquet"} for split in splits],
        "dataset_info": {
            "config_name": config.name,
            "features": features._to_yaml_list(),
            "splits": [{"name": name, "num_bytes": size[name], "num_examples": rows} for name, rows in splits.items()],
            "download_size": stored,
            "dataset_size": sum(size.values()),
        },
    }
