"""The funnel: rows in, kept and rejected at every stage, as a text and as a figure.

reads   build/<mixture>/NN_stage/ledger.json; writes nothing
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts, ledgers


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


def numbers(artefacts: Artefacts) -> dict[str, Any]:
    """Rows out of every stage, and rejected rows by stage and reason, new ones (evolved, comprehension) included."""
    stages = [
        {
            "stage": one["stage"], "rows_in": one["rows_in"], "kept": one["kept"], "new": one["new"]["kept"],
            "rejected": {
                reason: one["rejected"].get(reason, 0) + one["new"]["rejected"].get(reason, 0)
                for reason in sorted({*one["rejected"], *one["new"]["rejected"]})
            },
        }
        for one in artefacts.ledgers
    ]  # fmt: skip
    rejected = sum(n for one in stages for n in one["rejected"].values())
    reasons = sum(len(one["rejected"]) for one in stages)
    return {
        "title": "Funnel: rows through the stages",
        "caption": f"rows; n = {stages[0]['rows_in']:,} in, {rejected:,} rejected, "
        f"{stages[-1]['kept'] + stages[-1]['new']:,} out of {stages[-1]['stage']}",
        "height_inches": max(2.6, 0.34 * max(len(stages), min(reasons, style.MOST_BARS)) + 1.2),
        "stages": stages,
    }


def draw(figure: Figure, found: style.Numbers) -> None:
    """Left: rows out of every stage, those it made in the second colour. Right: why rows were rejected."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    stages = found["stages"]
    counts = {f"{s['stage'][:2]} {reason}": n for s in stages for reason, n in s["rejected"].items()}
    pairs = style.largest(counts)
    room = max(len(stages), len(pairs))
    said = [f"{s['kept']:,}" + (f" + {s['new']:,} new" if s["new"] else "") for s in stages]
    kept, new = [(s["stage"], s["kept"]) for s in stages], [s["new"] for s in stages]
    style.bars(left, kept, more=new, said=said, room=room)
    left.set_title("rows out: kept, and made by the stage")
    if counts:
        style.bars(right, pairs, 5, room=room)
        right.set_title("rejected rows, by stage and reason")
    else:
        right.text(0.5, 0.5, "no row was rejected", ha="center", transform=right.transAxes)
        right.set_axis_off()
