"""What changed between two releases: rows by source, settings, revisions, scores. Pure functions over facts."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def entry(release: dict[str, Any], previous: dict[str, Any] | None, rows: dict[str, Counter] | None) -> dict[str, Any]:
    """The changelog's entry of a release.

    Args:
        previous: facts of the release before; None for the first.
        rows: source -> counts of added, removed and changed rows (`compare_rows`); None where there is nothing to
            compare (a model, a first release).
    """
    lines = [f"rows: {release['rows']}"] if previous is None and "rows" in release else []
    for source, counts in (rows or {}).items():
        lines.append(f"rows of {source}: " + ", ".join(f"{counts[k]} {k}" for k in ("added", "removed", "changed")))
    if previous is not None:
        was, now = (flat(_compared(r)) for r in (previous, release))
        for key in sorted(was.keys() | now.keys()):
            if was.get(key) != now.get(key):
                lines.append(f"{key}: {_said(was, key)} -> {_said(now, key)}")
    return {
        "tag": release["tag"],
        "previous": previous and previous["tag"],
        "lines": lines or (["nothing but the card"] if previous else ["the first"]),
    }


def _said(values: dict[str, Any], key: str) -> str:
    return f"{values[key]}"[:200] if key in values else "not set"


def _compared(release: dict[str, Any]) -> dict[str, Any]:
    """The part of a release's facts in which a change is news."""
    if release["kind"] == "dataset":
        sources = release["sources"].items()
        return {
            "revision": {name: source["revision"] for name, source in sources},
            "licence": {name: source["licence"] for name, source in sources},
            **release["settings"],
            "config": {config["name"]: sum(config["splits"].values()) for config in release["configs"]},
        }
    scores = {
        protocol: {which: round(100 * pair[which]["pass_at_1"], 1) for which in ("base", "tuned") if pair[which]}
        for protocol, pair in release["results"].items()
    }
    return {"data": release["run"]["data_revision"], "pass@1": scores, **release["settings"]}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys.

    >>> flat({"a": {"b": 1, "c": [2]}, "d": None})
    {'a.b': 1, 'a.c': [2], 'd': None}
    """
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def compare_rows(now: Path, before: Path) -> dict[str, Counter]:
    """Rows added, removed and changed by source, from two `index.parquet`; sources without a change are left out.

    A row is changed when its id stayed and its licence, generator, language, prompt, parents or split did not.
    """
    new, old = ({row["id"]: row for row in pq.read_table(path).to_pylist()} for path in (now, before))
    found: dict[str, Counter] = {}
    for row_id in new.keys() | old.keys():
        if row_id not in old:
            what = "added"
        elif row_id not in new:
            what = "removed"
        elif new[row_id] != old[row_id]:
            what = "changed"
        else:
            continue
        source = (new.get(row_id) or old[row_id])["source"]
        found.setdefault(source, Counter())[what] += 1
    return dict(sorted(found.items()))
