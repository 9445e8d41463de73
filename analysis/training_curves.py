"""Loss over the steps of every run on the mixture, and on each source's held-out rows where a run evaluates them.

reads   build/runs/<run>/run.json; writes nothing
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import style
from analysis.reading import Artefacts

SMOOTHED_OVER = 20  # a curve is smoothed over a twentieth of its points


def smoothed(values: list[float]) -> list[float]:
    """The centred mean over a twentieth of the values (at the ends over fewer).

    >>> smoothed([1.0] * 3), smoothed([0.0, 3.0] + [0.0] * 58)[:2]
    ([1.0, 1.0, 1.0], [1.5, 1.0])
    """
    half = len(values) // SMOOTHED_OVER // 2
    return [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def numbers(artefacts: Artefacts) -> dict[str, Any] | None:
    """Run -> steps and loss (nats per supervised token), held-out loss by source, what it trained on."""
    runs = {}
    for run in artefacts.runs:
        record = run.record
        losses = record.get("losses", [])
        if len(losses) < 2:
            continue
        runs[run.name] = {
            "steps": record["loss_steps"],
            "loss": losses,
            "held_out": record.get("eval_losses") or {},
            "rows": record["rows"],
            "tokens": record["tokens"],
        }
    if not runs:
        return None
    said = "; ".join(f"{name}: n = {of['rows']:,} rows, {of['tokens']:,} tokens" for name, of in runs.items())
    return {"title": "Training", "caption": f"loss in nats per supervised token; {said}", "runs": runs}


def draw(figure: Figure, found: style.Numbers) -> None:
    """Left: training loss, as logged and smoothed. Right: held-out loss by source."""
    runs = found["runs"]
    has_held_out = any(of["held_out"] for of in runs.values())
    panels = figure.subplots(1, 2 if has_held_out else 1, squeeze=False)[0]
    for place, (name, of) in enumerate(runs.items()):
        panels[0].plot(of["steps"], of["loss"], color=style.colour(place), alpha=0.35, linewidth=1)
        panels[0].plot(of["steps"], smoothed(of["loss"]), color=style.colour(place), label=name)
    panels[0].set_title("training loss")
    if has_held_out:
        several = len(runs) > 1
        lines = [
            (f"{name}, {source}" if several else source, points)
            for name, of in runs.items()
            for source, points in of["held_out"].items()
        ]
        for place, (label, points) in enumerate(lines):
            mark = style.MARKERS[place % len(style.MARKERS)]
            panels[1].plot(*np.array(points).T, marker=mark, markersize=4, color=style.colour(place), label=label)
        panels[1].set_title("loss on held-out rows, by source")
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("step")
        axes.set_ylabel("nats per token")
        axes.grid(True, axis="both")
        axes.legend()
