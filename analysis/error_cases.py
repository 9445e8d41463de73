"""Error cases of a run's evaluations, side by side: what goes wrong, and how often.

reads   build/runs/<run>/errors.json, which `python -m evaluation.errors --out` writes; writes nothing
"""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import style
from analysis.reading import Artefacts
from artefacts import read_json

PASSES = "passes"


def numbers(artefacts: Artefacts) -> dict[str, Any] | None:
    """Run -> evaluation -> case -> samples, cases in the order of how often they occur."""
    runs = {run.name: read_json(run.folder / "errors.json") for run in artefacts.runs}
    counted = {
        run: {name: {case: len(tasks) for case, tasks in cases.items()} for name, cases in of.items()}
        for run, of in runs.items()
        if of
    }
    if not counted:
        return None
    total: dict[str, int] = {}
    for of in counted.values():
        for cases in of.values():
            for case, n in cases.items():
                total[case] = total.get(case, 0) + n
    order = sorted(total, key=lambda case: (case != PASSES, -total[case], case))
    samples = [sum(cases.values()) for of in counted.values() for cases in of.values()]
    return {
        "title": "Error cases",
        "caption": f"samples of a benchmark; n = {min(samples):,}"
        + (f" to {max(samples):,}" if len(set(samples)) > 1 else "")
        + " in every evaluation",
        "height_inches": 1.4 + 0.42 * len(order) * max(1, sum(map(len, counted.values())) / 2),
        "order": order,
        "runs": counted,
    }


def draw(figure: Figure, found: style.Numbers) -> None:
    """A group of bars a case, a bar an evaluation."""
    axes = figure.subplots()
    several = len(found["runs"]) > 1
    series = [
        (f"{run}, {name}" if several else name, cases)
        for run, of in found["runs"].items()
        for name, cases in of.items()
    ]
    width = 0.8 / len(series)
    for place, (name, cases) in enumerate(series):
        heights = [row + width * (place - (len(series) - 1) / 2) for row in range(len(found["order"]))]
        values = [cases.get(case, 0) for case in found["order"]]
        drawn = axes.barh(heights, values, height=width * 0.9, color=style.colour(place), label=name)
        axes.bar_label(drawn, padding=3, fontsize=8)
    axes.set_yticks(range(len(found["order"])), found["order"])
    axes.invert_yaxis()
    axes.set_xlabel("samples")
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
