"""Rows that resemble a benchmark, beside the item that they resemble, for the report.

reads   facts of the stages that noted evidence (04_decontaminate and whatever checks again), and beside them
        benchmark_items.parquet, the texts of the benchmarks that the evidence refers to; writes nothing

Of a removed row the text is nobody's to show: the benchmark, its item and text, scores and the places of the matching
stretches are. Of a row that was kept although it is close, the stretches are marked in its text.
"""

import random
from typing import Any

import pyarrow.parquet as pq

from analysis.reading import Artefacts
from analysis.report_rows import evidence_line

MOST_REMOVED, MOST_BORDERLINE = 200, 100  # rows on the page
MOST_ITEM_CHARS = 1_200  # of a benchmark's text
AROUND_CHARS = 80  # of text on either side of a stretch


def hits(artefacts: Artefacts, seed: int = 0) -> dict[str, Any]:
    """A seeded sample of removed and of borderline rows.

    Returns:
        `removed`, `borderline`: rows with id, source, stage, pieces; `of`: how many there are of each.
    """
    found: dict[str, list[dict]] = {"removed": [], "borderline": []}
    items: dict[str, dict[str, Any]] = {}
    for stage in artefacts.manifests:
        if "evidence" not in artefacts.names(stage, "facts"):
            continue
        path = artefacts.build / stage / "benchmark_items.parquet"
        items |= {item["key"]: item for item in pq.read_table(path).to_pylist()} if path.is_file() else {}
        removed = {i: s for b in artefacts.columns(stage, "rejected", ["id", "source", "reason"])
                   for i, s, r in zip(*b.values(), strict=True) if r == "contaminated"}  # fmt: skip
        for batch in artefacts.columns(stage, "facts", ["id", "evidence", "borderline"]):
            for row_id, evidence, borderline in zip(*batch.values(), strict=True):
                if evidence and row_id in removed:
                    row = {"id": row_id, "source": removed[row_id], "stage": stage, "evidence": evidence}
                    found["removed"].append(row)
                elif evidence and borderline:
                    found["borderline"].append({"id": row_id, "stage": stage, "evidence": evidence})
    shown = {
        "removed": _some(found["removed"], MOST_REMOVED, seed),
        "borderline": _some(found["borderline"], MOST_BORDERLINE, seed),
    }
    kept = artefacts.find(artefacts.last_stage, "kept", {row["id"] for row in shown["borderline"]})
    for row in shown["removed"]:
        row["pieces"] = [_piece(piece, None, items) for piece in row.pop("evidence")]
    for row in shown["borderline"]:
        text = kept.get(row["id"])
        row["source"] = text["source"] if text else None  # None: a later stage rejected it, for another reason
        row["pieces"] = [_piece(piece, text, items) for piece in row.pop("evidence")]
    return shown | {"of": {name: len(rows) for name, rows in found.items()}}


def _some(rows: list[dict], most: int, seed: int) -> list[dict]:
    places = sorted(random.Random(seed).sample(range(len(rows)), min(most, len(rows))))
    return [rows[place] for place in places]


def _piece(piece: dict[str, Any], text: dict[str, Any] | None, items: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A piece of evidence: items, their text, numbers, places of the match, and the marked text if it may be had."""
    item = items.get(piece["reference"])
    said = item and (item["text"] if piece["signal"] == "ngram" else item["program"])
    where = [f"{span['field']}, characters {span['start']:,} to {span['end']:,}" for span in piece["spans"]]
    fields = dict.fromkeys(span["field"] for span in piece["spans"])
    return {
        "items": piece["names"],
        "line": evidence_line(piece),
        "item_text": said and said[:MOST_ITEM_CHARS] + (" [...]" if len(said) > MOST_ITEM_CHARS else ""),
        "where": where,
        "marked": {
            name: marked(text[name], [(s["start"], s["end"]) for s in piece["spans"] if s["field"] == name])
            for name in fields
        }
        if text
        else {},
    }


def marked(text: str, spans: list[tuple[int, int]]) -> list[tuple[str, bool]]:
    """The text around its spans, cut into stretches that are in a span or not; what is left out becomes ` [...] `.

    >>> marked("sum of two numbers", [(7, 10)])
    [('sum of ', False), ('two', True), (' numbers', False)]
    """
    out: list[tuple[str, bool]] = []
    at = 0
    for start, end in sorted(spans):
        start = max(start, at)
        if start >= end:
            continue
        before = text[at:start]
        if len(before) > 2 * AROUND_CHARS:
            head = before[:AROUND_CHARS] if out else ""
            before = f"{head} [...] {before[-AROUND_CHARS:]}"
        out += [(before, False)] if before else []
        out.append((text[start:end], True))
        at = end
    after = text[at:]
    after = after if len(after) <= AROUND_CHARS else f"{after[:AROUND_CHARS]} [...]"
    return [*out, *([(after, False)] if after else [])]
