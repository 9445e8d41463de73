"""A grid of ablations: pass@1 over the share of prompts, differences to the baseline, held-out loss by source.

reads   build/ablations/<grid>/result.json (recipes/ablation_table.py), and the grid's file for the mixture it is of;
        writes nothing

The lines are those cells that differ in share and mode alone; controls and selections stand beside them, and every
cell stands in the list of differences.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts
from artefacts import ROOT, read_mapping

SHARE, MODE = "alchemist_share", "mode"
GRIDS = ROOT / "recipes" / "ablations"


def of_mixture(artefacts: Artefacts) -> dict[str, dict[str, Any]]:
    """Grid -> result, of the grids on this mixture that have a finished cell."""
    found = {}
    for name, result in artefacts.ablations.items():
        file = ROOT / result["file"]
        is_ours = not file.is_file() or Path(read_mapping(file)["mixture"]).stem == artefacts.mixture["name"]
        if is_ours and result["cells"]:
            found[name] = result
    return found


def grids_for(mixture: str) -> list[str]:
    """Files of recipes/ablations that are grids over a mixture, as a command names them."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in sorted(GRIDS.glob("*.yaml"))
        if Path(read_mapping(path)["mixture"]).stem == mixture
    ]


def numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of every cell: pass@1 and its error, the difference to the baseline, the held-out losses of its seeds."""
    cells = [
        {
            "name": cell["name"],
            "settings": cell["settings"],
            "score": 100 * cell["mean"],
            "standard_error": 100 * cell["standard_error"],
            "tasks": len(cell["scores"]),
            "difference": cell["difference"]
            and {k: 100 * cell["difference"][k] for k in ("difference", "low", "high")},
            "held_out_loss": {source: found["seeds"] for source, found in cell["held_out"].items()},
            "held_out_rows": {source: found["rows"] for source, found in cell["held_out"].items()},
            "held_out_difference": {source: found["difference"] for source, found in cell["held_out"].items()},
        }
        for cell in result["cells"]
    ]
    failed = f"; {len(result['failed'])} cells failed" if result["failed"] else ""
    tasks = max(cell["tasks"] for cell in cells)
    sources = {source for cell in cells for source in cell["held_out_loss"]}
    rows = 0.26 * len(cells) + 1.4
    return {
        "title": f"Ablation: {result['grid']}",
        "caption": "pass@1 in %, bars: one standard error over tasks; "
        f"differences to {result['baseline']} with paired 95 % intervals, dots: a seed each; "
        f"n = {tasks} tasks of {result['benchmark']} and {len(result['seeds'])} seeds a cell, "
        f"{result['train_tokens']:,} tokens a run, {result['recipe']}{failed}",
        "height_inches": max(4.0, rows) * (2 if sources else 1),
        "baseline": result["baseline"],
        "cells": cells,
        "curves": curves(cells),
        "failed": result["failed"],
    }


def curves(cells: list[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Mode -> [share in %, score, standard error] of the cells that differ in share and mode alone.

    A share of 0 has no mode: it is the beginning of every line.
    """
    plain = [cell for cell in cells if SHARE in cell["settings"] and set(cell["settings"]) <= {SHARE, MODE}]
    point = {cell["name"]: [100 * cell["settings"][SHARE], cell["score"], cell["standard_error"]] for cell in plain}
    modes = sorted({cell["settings"].get(MODE, "as the mixture") for cell in plain if cell["settings"][SHARE]})
    return {
        mode: sorted(
            point[cell["name"]]
            for cell in plain
            if not cell["settings"][SHARE] or cell["settings"].get(MODE, "as the mixture") == mode
        )
        for mode in modes
    }


def draw(figure: Figure, found: style.Numbers) -> None:
    """Above: the curves, or every cell's score where no share varies; the differences. Below: held-out losses."""
    cells = found["cells"]
    losses = sorted({source for cell in cells for source in cell["held_out_loss"]})
    above, below = figure.subfigures(2, 1) if losses else (figure, None)
    left, right = above.subplots(1, 2)
    if any(len(points) > 2 for points in found["curves"].values()):
        _draw_curves(left, found)
    else:
        _draw_scores(left, cells)
    others = [cell for cell in cells if cell["difference"]]
    for row, cell in enumerate(others):
        one = cell["difference"]
        error = [[one["difference"] - one["low"]], [one["high"] - one["difference"]]]
        right.errorbar(one["difference"], row, xerr=error, fmt="o", color=style.colour(0), capsize=3, markersize=4)
    right.set_yticks(range(len(others)), [style.shortened(cell["name"]) for cell in others])
    right.set_ylim(max(len(others), style.LEAST_BARS) - 0.5, -0.5)
    right.axvline(0, color=style.ink(), linewidth=1)
    right.set_title(f"difference to {found['baseline']}, points")
    if below is not None:
        _draw_losses(below, found, losses)


def _draw_curves(axes: Any, found: style.Numbers) -> None:
    for place, (mode, points) in enumerate(found["curves"].items()):
        share, score, error = np.array(points).T
        axes.errorbar(share, score, yerr=error, marker=style.MARKERS[place], color=style.colour(place), capsize=3,
                      markersize=5, label=mode)  # fmt: skip
    drawn = {tuple(point) for points in found["curves"].values() for point in points}
    place = len(found["curves"])
    for cell in found["cells"]:
        point = (100 * cell["settings"].get(SHARE, -1), cell["score"], cell["standard_error"])
        if SHARE in cell["settings"] and point not in drawn:
            axes.plot(*point[:2], style.MARKERS[place % len(style.MARKERS)], color=style.colour(place),
                      label=cell["name"])  # fmt: skip
            place += 1
    axes.set_xlabel("% of rows with a prompt")
    axes.set_ylabel("pass@1, %")
    axes.grid(True, axis="both")
    axes.legend()


def _draw_scores(axes: Any, cells: list[Mapping[str, Any]]) -> None:
    for row, cell in enumerate(cells):
        axes.errorbar(cell["score"], row, xerr=cell["standard_error"], fmt="o", color=style.colour(0), capsize=3)
    axes.set_yticks(range(len(cells)), [style.shortened(cell["name"]) for cell in cells])
    axes.set_ylim(max(len(cells), style.LEAST_BARS) - 0.5, -0.5)
    axes.set_title("pass@1, %")


def _draw_losses(figure: Any, found: style.Numbers, sources: list[str]) -> None:
    """A panel a source: differences to the baseline with their intervals, and a dot a seed."""
    cells = found["cells"]
    first = next((cell for cell in cells if cell["name"] == found["baseline"]), cells[0])
    for at, axes in enumerate(figure.subplots(1, len(sources), sharey=True, squeeze=False)[0]):
        source = sources[at]
        zero = np.mean(first["held_out_loss"].get(source, [np.nan]))
        for row, cell in enumerate(cells):
            seeds = np.array(cell["held_out_loss"].get(source, [])) - zero
            axes.plot(seeds, [row] * len(seeds), "o", color=style.colour(0), markersize=3, alpha=0.6)
            if one := cell["held_out_difference"].get(source):
                error = [[one["difference"] - one["low"]], [one["high"] - one["difference"]]]
                axes.errorbar(one["difference"], row + 0.25, xerr=error, fmt="|", color=style.colour(1), capsize=3)
        axes.set_yticks(range(len(cells)), [style.shortened(cell["name"]) for cell in cells])
        axes.set_ylim(max(len(cells), style.LEAST_BARS) - 0.5, -0.5)
        axes.axvline(0, color=style.ink(), linewidth=1)
        axes.set_title(f"{style.shortened(source, 20)}, {first['held_out_rows'].get(source, 0)} rows")
        axes.set_xlabel(f"held-out loss - {style.shortened(found['baseline'], 12)}, nats a token")
