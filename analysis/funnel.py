"""The funnel: rows in, kept and rejected at every stage, as a text. reads build/<mixture>/NN_stage/ledger.json."""

from pathlib import Path

from artefacts import Refusal, read_json


def ledgers(build: Path) -> list[dict]:
    """Ledgers of all finished stages, in order.

    Raises:
        Refusal: no stage is finished.
    """
    found = [read_json(path) for path in sorted(build.glob("[0-9][0-9]_*/ledger.json"))]
    if not found:
        raise Refusal(f"{build}: no finished stage there; run `make mixture` first.")
    return found


def table(build: Path) -> str:
    """One line a stage, with a bar whose length is the share of rows that came out."""
    stages = ledgers(build)
    most = max(s["rows_in"] + s["new"]["kept"] for s in stages)
    lines = [f"{'stage':18} {'rows in':>8} {'kept':>8} {'new':>6}  {'':24} rejected"]
    for stage in stages:
        out = stage["kept"] + stage["new"]["kept"]
        bar = "█" * max(1, round(24 * out / most)) if out else ""
        rejected = ", ".join(f"{n} {reason}" for reason, n in stage["rejected"].items()) or "-"
        numbers = f"{stage['rows_in']:>8,} {stage['kept']:>8,} {stage['new']['kept']:>6,}"
        lines.append(f"{stage['stage']:18} {numbers}  {bar:24} {rejected}")
    return "\n".join(lines)
