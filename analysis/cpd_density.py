"""What prompts do to perplexity: the density of CPD without and with them, and with the controls.

reads   build/<mixture>/harmony/harmony.json; writes nothing

CPD = PPL(response | prompt, instruction) - PPL(response); lower means that the context helps (arXiv 2405.19265). The
differences to the plain instruction are paired, by row.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from analysis import style
from analysis.reading import Artefacts

POINTS = 200
SHOWN = (1, 99)  # percentiles of all values: perplexity has long tails
NAMES = {
    "none": "no prompt", "static": "static prompt", "llm": "a teacher's prompt", "shuffled": "another row's prompt",
    "placebo": "words that say nothing",
}  # fmt: skip


def numbers(artefacts: Artefacts) -> dict[str, Any] | None:
    """Density of the CPD of every condition, and its paired difference to `none` with its 95 % interval."""
    report = artefacts.harmony
    if report is None:
        return None
    values = {name: np.array(of["values"]["cpd_response"]) for name, of in report["conditions"].items()}
    low, high = np.percentile(np.concatenate(list(values.values())), SHOWN)
    grid = np.linspace(low, high, POINTS)
    return {
        "title": "Do prompts make responses easier to predict?",
        "caption": f"CPD of the response in units of perplexity (lower: the context helps more); {report['model']}, "
        f"n = {report['rows']:,} rows, the middle {SHOWN[1] - SHOWN[0]} % shown; intervals: 95 %, paired",
        "cpd": grid.round(4).tolist(),
        "density": {name: density(of, grid) for name, of in values.items()},
        "mean": {name: of["cpd_response"]["mean"] for name, of in report["conditions"].items()},
        "n": {name: of["n"] for name, of in report["conditions"].items()},
        "difference_to_none": {
            name: of["difference_to_none"]["cpd_response"]
            for name, of in report["conditions"].items()
            if "difference_to_none" in of
        },
    }


def density(values: np.ndarray, grid: np.ndarray) -> list[float] | None:
    """Kernel density on the grid; None where the values are too few or all the same."""
    if len(values) < 3 or np.ptp(values) == 0:
        return None
    return gaussian_kde(values)(grid).round(6).tolist()


def draw(figure: Figure, found: style.Numbers) -> None:
    """Left: densities. Right: differences with intervals."""
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for place, (name, density_) in enumerate(found["density"].items()):
        if density_ is not None:
            label, line = f"{NAMES[name]}, n = {found['n'][name]:,}", ("-", "-", "-.", "--", ":")[place]
            left.plot(found["cpd"], density_, line, color=style.colour(place), label=label)
    left.set_xlabel("CPD (perplexity)")
    left.set_ylabel("density")
    left.legend()
    places = list(found["density"])
    for row, (name, one) in enumerate(found["difference_to_none"].items()):
        at = places.index(name)
        error = [[one["mean"] - one["low"]], [one["high"] - one["mean"]]]
        right.errorbar(one["mean"], row, xerr=error, fmt=style.MARKERS[at], color=style.colour(at), capsize=4)
        right.annotate(f"{one['mean']:+.2f}", (one["mean"], row), xytext=(0, 7), textcoords="offset points",
                       ha="center", fontsize=8)  # fmt: skip
    names = [NAMES[name] for name in found["difference_to_none"]]
    right.set_yticks(range(len(names)), names)
    right.set_ylim(len(names) - 0.5, -0.7)
    right.axvline(0, color=style.ink(), linewidth=1)
    right.set_title("difference to no prompt, 95 % interval")
    right.set_xlabel("CPD (perplexity)")
