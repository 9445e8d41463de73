"""How every figure looks: one palette, a light and a dark theme, title and caption in the picture, numbers beside it.

writes  FOLDER/<name>.light.png, <name>.dark.png and <name>.json

A figure module draws into a `Figure`; colours, sizes and file names are decided here and nowhere else.
"""

import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from artefacts import write_bytes, write_json

# Told apart with every common colour blindness (Okabe and Ito 2008, https://jfly.uni-koeln.de/color/); its yellow and
# black are left out, since each vanishes on one of the two backgrounds.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = ("o", "s", "^", "D", "v", "P")  # beside the colour: a print in grey tells the groups apart, too
THEMES = {
    "light": {"back": "#ffffff", "ink": "#1b1f24", "faint": "#d0d7de", "palette": PALETTE},
    # the two dark colours of the palette, lightened until they stand 4.5 : 1 on the dark background
    "dark": {
        "back": "#15191f", "ink": "#e6edf3", "faint": "#3d444d",
        "palette": ("#4AA3DF", "#E69F00", "#2BB98E", "#CC79A7", "#8FD0F5", "#EE7B30"),
    },
}  # fmt: skip
WIDTH_INCHES = 9.0
DPI = 110
CAPTION_CHARS = 140  # of a line below the picture
LEAST_BARS = 3  # that a panel has room for: one bar alone is no wall
MOST_BARS = 12  # of one panel; the rest becomes one bar, with its number in its name

Numbers = Mapping[str, Any]
Draw = Callable[[Figure, Numbers], None]


def save(draw: Draw, numbers: Numbers, folder: Path, name: str) -> None:
    """Draw in both themes and write the pictures and their numbers.

    Args:
        numbers: JSON-able; `title` and `caption` (units, n) stand in the picture, `height_inches` is optional.
    """
    for theme, colours in THEMES.items():
        with matplotlib.rc_context(_settings(colours)):
            figure = Figure(figsize=(WIDTH_INCHES, numbers.get("height_inches", 4.0)), dpi=DPI, layout="constrained")
            figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08)
            draw(figure, numbers)
            figure.suptitle(numbers["title"], x=0.01, ha="left", fontweight="bold", fontsize=11)
            figure.supxlabel(textwrap.fill(numbers["caption"], CAPTION_CHARS), x=0.01, ha="left", fontsize=8)
            picture = io.BytesIO()
            figure.savefig(picture, format="png", metadata={"Software": None})
        write_bytes(folder / f"{name}.{theme}.png", picture.getvalue())
    write_json(folder / f"{name}.json", numbers)


def _settings(colours: Mapping[str, Any]) -> dict[str, Any]:
    back, ink, faint = colours["back"], colours["ink"], colours["faint"]
    return {
        "figure.facecolor": back, "savefig.facecolor": back, "axes.facecolor": back, "text.color": ink,
        "axes.edgecolor": faint, "axes.labelcolor": ink, "axes.titlecolor": ink, "xtick.color": ink,
        "ytick.color": ink, "grid.color": faint, "legend.edgecolor": faint, "legend.facecolor": back,
        "axes.prop_cycle": matplotlib.cycler(color=colours["palette"]), "font.size": 9, "axes.titlesize": 9,
        "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "axes.grid": True, "axes.grid.axis": "x", "grid.linewidth": 0.6, "legend.frameon": False,
        "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8, "text.parse_math": False,
    }  # fmt: skip


def colour(place: int) -> str:
    """The palette's colour of a group in the theme that is being drawn; it comes round after the last."""
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return cycle[place % len(cycle)]


def ink() -> str:
    """The theme's colour of text."""
    return matplotlib.rcParams["text.color"]


def shortened(name: str, chars: int = 28) -> str:
    """A name cut for an axis.

    >>> shortened("a" * 30, 10)
    'aaaaaaaaa…'
    """
    return name if len(name) <= chars else f"{name[: chars - 1]}…"


def largest(counts: Mapping[str, int], most: int = MOST_BARS) -> list[tuple[str, int]]:
    """The largest counts, the rest as one.

    >>> largest({"a": 1, "b": 5, "c": 1, "d": 1}, 2)
    [('b', 5), ('3 others', 3)]
    """
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if len(ranked) <= most:
        return ranked
    rest = ranked[most - 1 :]
    return [*ranked[: most - 1], (f"{len(rest)} others", sum(n for _, n in rest))]


def bars(
    axes: Axes,
    pairs: Iterable[tuple[str, float]],
    place: int = 0,
    more: Sequence[float] = (),
    said: Sequence[str] = (),
    room: int = LEAST_BARS,
) -> None:
    """Horizontal bars from the top down, each with its count behind it.

    Args:
        place: colour of the bars.
        more: a second bar behind each, in the next colour.
        said: labels, where they are not the counts.
        room: bars that the panel has room for, so that bars of panels side by side are equally thick.
    """
    pairs = list(pairs)
    values, more = [value for _, value in pairs], more or [0] * len(pairs)
    ends = [value + added for value, added in zip(values, more, strict=True)]
    axes.barh(range(len(pairs)), values, color=colour(place), height=0.7)
    axes.barh(range(len(pairs)), more, left=values, color=colour(place + 1), height=0.7)
    for at, (end, label) in enumerate(zip(ends, said or [f"{value:,}" for value in values], strict=True)):
        axes.annotate(label, (end, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(pairs)), [shortened(name) for name, _ in pairs])
    axes.set_ylim(max(len(pairs), room, LEAST_BARS) - 0.5, -0.5)
    axes.set_xlim(0, max([*ends, 1e-9]) * 1.35)  # room for the labels
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
