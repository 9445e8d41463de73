"""What the mixture is made of: rows by source, language, task, writer, licence and AlchemistPrompt.

reads   the kept rows of the last finished stage, facts of 08_customise; writes nothing

Rows, not tokens: a source of short rows looks larger here than it weighs in training (see `lengths`).
"""

from collections import Counter
from typing import Any

from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts

COLUMNS = ("source", "language", "task", "generator", "license")
NO_PROMPT = "without a prompt"
PANELS = {
    "source": "source", "language": "programming language", "task": "task", "generator": "who wrote the response",
    "license": "licence", "prompt": "AlchemistPrompt",
}  # fmt: skip


def numbers(artefacts: Artefacts) -> dict[str, Any] | None:
    """Counts by column; a row's prompt is known by who wrote it in 08_customise, its parent's where it is a copy."""
    stage = artefacts.last_stage
    writers = dict(_writers(artefacts))
    counts: dict[str, Counter] = {name: Counter() for name in PANELS}
    for batch in artefacts.columns(stage, "kept", [*COLUMNS, "id", "parents", "alchemist_prompt"]):
        for name in COLUMNS:
            counts[name].update(batch[name])
        for row_id, parents, prompt in zip(batch["id"], batch["parents"], batch["alchemist_prompt"], strict=True):
            who = next((writers[i] for i in (row_id, *parents) if i in writers), "unknown")
            counts["prompt"][who if prompt else NO_PROMPT] += 1
    rows = counts["source"].total()
    if not rows:
        return None
    return {
        "title": f"What is in the mixture ({stage})",
        "caption": f"rows; n = {rows:,}",
        "height_inches": 0.8 + sum(0.22 * bars + 0.7 for bars in _bars(counts)),
        "rows": rows,
        **{name: dict(of.most_common()) for name, of in counts.items()},
    }


def _writers(artefacts: Artefacts):
    for batch in artefacts.columns("08_customise", "facts", ["id", "alchemist"]):
        yield from ((i, who) for i, who in zip(batch["id"], batch["alchemist"], strict=True) if who)


def _bars(counts: style.Numbers) -> list[int]:
    """Bars that the panels of each of the two lines have room for."""
    many = [max(style.LEAST_BARS, min(len(counts[name]), style.MOST_BARS)) for name in PANELS]
    return [max(many[:3]), max(many[3:])]


def draw(figure: Figure, found: style.Numbers) -> None:
    """A panel of bars for each of PANELS."""
    room = _bars(found)
    grid = figure.subplots(2, 3, height_ratios=[bars + 2 for bars in room])
    for place, (axes, (name, title)) in enumerate(zip(grid.flat, PANELS.items(), strict=True)):
        style.bars(axes, style.largest(found[name]), room=room[place // 3])
        axes.set_title(title)
