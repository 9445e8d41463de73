"""The leak table: which share of every source decontamination removed, and which signal said so.

reads   build/<mixture>/04_decontaminate/leaks.json; writes nothing
"""

from typing import Any

from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts, Noted

SIGNALS = {"ngram": "N-grams", "cosine": "cosine of code", "tree": "syntax trees"}


def numbers(artefacts: Artefacts) -> dict[str, Any] | None:
    """Rows, removed rows and removed rows by signal, of every source; None where nothing was decontaminated."""
    path = artefacts.build / "04_decontaminate" / "leaks.json"
    if not path.is_file():
        return None
    leaks = Noted(path)
    kept = ("rows", "removed", "by_signal", "borderline", "items")
    sources = {name: {key: of[key] for key in kept} for name, of in leaks["by_source"].items()}
    whole = leaks["total"]
    return {
        "title": "Leaks: rows that hold a benchmark",
        "caption": f"% of the rows of a source; n = {whole['rows']:,} rows, {whole['removed']:,} removed; compared "
        f"with {leaks['compared_with']}; several signals may remove one row",
        "height_inches": 1.4 + 0.55 * len(sources),
        "total": {key: whole[key] for key in kept},
        "by_source": sources,
        "problems": leaks["problems"],
        "paper_removed_share": leaks["paper_removed_share"],
    }


def draw(figure: Figure, found: style.Numbers) -> None:
    """Three bars a source, and the share that the paper removed as a line."""
    axes = figure.subplots()
    sources = found["by_source"]
    for place, (signal, name) in enumerate(SIGNALS.items()):
        heights = [at + 0.25 * (place - 1) for at in range(len(sources))]
        shares = [100 * of["by_signal"][signal] / max(of["rows"], 1) for of in sources.values()]
        drawn = axes.barh(heights, shares, height=0.23, color=style.colour(place), label=name)
        labels = [f"{of['by_signal'][signal]:,} of {of['rows']:,}" for of in sources.values()]
        axes.bar_label(drawn, labels=labels, padding=3, fontsize=7)
    paper = 100 * found["paper_removed_share"]
    axes.axvline(paper, color=style.ink(), linewidth=1, linestyle=":", label="the paper: about 6 % in all")
    axes.set_yticks(range(len(sources)), [style.shortened(name) for name in sources])
    axes.invert_yaxis()
    axes.set_xlim(0, max(axes.get_xlim()[1], paper) * 1.15)
    axes.set_xlabel("% removed")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
