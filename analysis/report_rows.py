"""The rows of the sample browser: a seeded sample of what was kept and what was rejected, with what the stages said.

reads   the stages and, for texts of rejected rows, the packed dataset repository; writes nothing

Of a rejected row the report shows what the dataset repository publishes of it, and nothing where none is packed: one
rule says which texts are withheld (model_cards, docs/publishing.md). Of a row that is withheld no fact is shown
either, but for the evidence of decontamination, which names the benchmark and holds none of the row's text, and how
similar it is to a row of the mixture that was kept in its place.
"""

import json
import random
from collections import defaultdict
from typing import Any

import pyarrow.dataset as ds

from analysis.reading import Artefacts, chosen, rows_at
from dataset_scripts.schema import COLUMNS, REDACTED_REASONS

MOST_ROWS = 5_000
# of MOST_ROWS; on top of those come the originals of prompted copies and the kept twins of rejected rows
MOST_REJECTED, MOST_PROMPTED = 1_250, 1_250
MOST_CHARS = 4_000  # of a text; the data is not cut
MOST_FACT_CHARS = 300
MOST_BYTES = 18_000_000  # of all texts together, as they stand in a script
TEXTS = ("instruction", "alchemist_prompt", "response")
# signal -> what its score is, what its size counts (of the benchmark's part)
SIGNALS = {"ngram": ("share of N-grams", "tokens"), "cosine": ("cosine", "tokens"), "tree": ("tree distance", "nodes")}
IN, PROMPTED, REJECTED = "kept", "kept, with a prompt", "rejected"


def sample(artefacts: Artefacts, seed: int = 0) -> dict[str, Any]:
    """The rows and, for the page to state it, of how many they are a sample.

    Returns:
        `rows` (see `_record`), `of` (fate -> [rows shown, rows there are]), `seed`, `stages`.
    """
    stage = artefacts.last_stage
    prompts, parents = (artefacts.column(stage, "kept", name) for name in ("alchemist_prompt", "parents"))
    prompted = chosen([i for i, prompt in enumerate(prompts) if prompt], MOST_PROMPTED, seed)
    rejected = _rejected(artefacts, seed)
    ids = artefacts.column(stage, "kept", "id")
    twins = _twins(artefacts, {row["id"] for row in rejected}, set(ids))
    beside = {parent for place in prompted for parent in parents[place]} | set(twins.values())
    plain = [i for i, prompt in enumerate(prompts) if not prompt]
    wanted = [i for i in plain if ids[i] in beside]
    room = MOST_ROWS - len(prompted) - len(rejected) - len(wanted)
    wanted += chosen([i for i in plain if ids[i] not in beside], max(room, 0), seed)
    rows = [_record(row, PROMPTED if row["alchemist_prompt"] else IN, stage)
            for row in rows_at(artefacts, stage, "kept", [*prompted, *wanted])]  # fmt: skip
    rows = _fitting([*rows, *rejected], seed)
    for row in rows:
        row["twin"] = twins.get(row["id"]) if row["fate"] == REJECTED else None
    _add_facts(artefacts, rows)
    _add_children(artefacts, rows)
    gone = [n for one in artefacts.ledgers for part in (one, one["new"]) for n in part["rejected"].values()]
    there = {PROMPTED: len(prompts) - len(plain), IN: len(plain), REJECTED: sum(gone)}
    shown = {fate: sum(row["fate"] == fate for row in rows) for fate in there}
    return {
        "rows": rows,
        "of": {fate: [shown[fate], n] for fate, n in there.items()},
        "seed": seed,
        "stages": list(artefacts.manifests),
        "is_packed": artefacts.packed is not None,
    }


def _record(row: dict[str, Any], fate: str, stage: str) -> dict[str, Any]:
    """A row as the page gets it: texts cut for the eye, with the number of characters that are not shown."""
    record = {name: row[name] for name in COLUMNS} | {"fate": fate, "stage": stage, "more": {}, "facts": {}}
    record["withheld"] = row["response"] is None
    record["children"] = []
    for name in TEXTS:
        if (text := row[name]) and len(text) > MOST_CHARS:
            record[name], record["more"][name] = text[:MOST_CHARS], len(text) - MOST_CHARS
    return record


def _rejected(artefacts: Artefacts, seed: int) -> list[dict[str, Any]]:
    """A seeded sample of rejected rows: as many of every stage and reason, where there are."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for stage in artefacts.manifests:
        for batch in artefacts.columns(stage, "rejected", ["id", "source", "reason"]):
            for row_id, source, reason in zip(*batch.values(), strict=True):
                groups[stage, reason].append({"id": row_id, "source": source, "reason": reason, "stage": stage})
    for key, group in sorted(groups.items()):
        random.Random(f"{seed}:{key}").shuffle(group)
    taken: list[dict] = []
    while len(taken) < MOST_REJECTED and any(groups.values()):
        taken += [group.pop() for _, group in sorted(groups.items()) if group][: MOST_REJECTED - len(taken)]
    published = _published(artefacts, {row["id"] for row in taken})
    empty = dict.fromkeys(COLUMNS) | {"parents": []}
    return [
        _record(empty | published.get((row["id"], row["reason"]), {}) | row, REJECTED, row["stage"]) for row in taken
    ]


def _twins(artefacts: Artefacts, ids: set[str], kept: set[str]) -> dict[str, str]:
    """Rejected row -> the row in its place, where that is in the mixture: its text is published anyway."""
    found: dict[str, str] = {}
    for stage in artefacts.manifests:
        if ids and "twin" in artefacts.names(stage, "facts"):
            facts = artefacts.find(stage, "facts", ids)
            found |= {row_id: of["twin"] for row_id, of in facts.items() if of["twin"] in kept}
    return found


def _published(artefacts: Artefacts, ids: set[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """(id, reason) -> the rejected row as the packed repository has it; without text whatever may never have one."""
    files = (
        [str(path) for path in sorted((artefacts.packed / "rejected").glob("*.parquet"))] if artefacts.packed else []
    )
    if not files:
        return {}
    found = ds.dataset(files).to_table(columns=list(COLUMNS), filter=ds.field("id").isin(sorted(ids))).to_pylist()
    for row in found:
        if row["reason"] in REDACTED_REASONS:  # it has none anyway; this report never shows one
            row |= dict.fromkeys(TEXTS)
    return {(row["id"], row["reason"]): row for row in found}


def _fitting(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """As many of the rows, in a seeded order, as fill MOST_BYTES, in the order of before."""
    order, size, kept = random.Random(seed).sample(range(len(rows)), len(rows)), 0, set()
    for place in order:
        size += sum(_size(rows[place][name] or "") for name in TEXTS)
        if size > MOST_BYTES:
            break
        kept.add(place)
    return [row for place, row in enumerate(rows) if place in kept]


def _size(text: str) -> int:
    """Bytes of a text as JSON whose <, > and & are written as six characters each."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) + 5 * sum(map(text.count, "<>&"))


def _add_facts(artefacts: Artefacts, rows: list[dict[str, Any]]) -> None:
    """What every stage noted about the rows and the originals of copies; of withheld ones the evidence alone."""
    ids = {i for row in rows for i in (row["id"], *row["parents"])}
    for stage in artefacts.manifests:
        found = artefacts.find(stage, "facts", ids)
        for row in rows:
            facts = found.get(row["id"], {})
            shown = {"evidence", "similarity"} if row["twin"] else {"evidence"}  # of a row whose text is withheld
            if not facts and row["fate"] == PROMPTED:  # a copy of `add` was made after the others looked
                facts = next((found[i] for i in row["parents"] if i in found), {})
            said = {
                name: _said(name, value)
                for name, value in facts.items()
                if name != "id" and value not in (None, [], "", False) and (name in shown or not row["withheld"])
            }
            if said:
                row["facts"][stage] = said


def _said(name: str, value: Any) -> str:
    if name == "evidence":
        return "; ".join(f"{piece['names'][0]} {evidence_line(piece)}" for piece in value)
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if len(text) <= MOST_FACT_CHARS else f"{text[:MOST_FACT_CHARS]} [...]"


def evidence_line(piece: dict[str, Any]) -> str:
    """A piece of evidence in one line, without the item's name; it holds none of the row's text."""
    measure, unit = SIGNALS[piece["signal"]]
    decides = {
        "alone": "; this alone removes the row",
        "agreeing": "; with another signal on the same solution it removes the row",
        "together": "; with another part it removes the row",
    }
    said = f"{piece['part']}: {measure} {piece['score']:.3f}, {piece['size']} {unit}"
    return said + decides.get(piece["decides"], "")


def _add_children(artefacts: Artefacts, rows: list[dict[str, Any]]) -> None:
    """Ids of rows that were made from these, in the mixture or rejected."""
    by_id = {row["id"]: row for row in rows}
    places = [(artefacts.last_stage, "kept"), *((stage, "rejected") for stage in artefacts.manifests)]
    for stage, kind in places:
        for batch in artefacts.columns(stage, kind, ["id", "parents"]):
            for child, parents in zip(batch["id"], batch["parents"], strict=True):
                for parent in parents:
                    if parent in by_id:
                        by_id[parent]["children"].append(child)
