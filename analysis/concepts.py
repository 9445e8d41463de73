"""What the code of the mixture uses, by language: algorithms, forms and data structures read off its syntax trees.

reads   the kept rows of the last finished stage, facts of 08_customise; writes nothing

A row is counted under the language of its code, once for every concept, and only where its code can be read: prose,
bare fragments and languages without a grammar are not. What counts as what: `dataset_scripts/fact_table.py`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts

STAGE = "08_customise"
MOST_CONCEPTS = 20  # of a language; what is rarer is no bar, for concepts of one row add up to nothing
MOST_LANGUAGES = 6
PANELS_ABREAST = 2


def numbers(artefacts: Artefacts) -> dict[str, Any] | None:
    """Rows by language and concept, and of how many rows the code was read."""
    if "concepts" not in artefacts.names(STAGE, "facts"):
        return None
    concepts_of = dict(_concepts(artefacts))
    counts: dict[str, Counter] = {}
    read: Counter[str] = Counter()
    rows = 0
    for batch in artefacts.columns(artefacts.last_stage, "kept", ["id", "parents", "language"]):
        for row_id, parents, language in zip(*batch.values(), strict=True):
            rows += 1
            # a copy of `add` was made after the stage looked: its code is its original's
            found = next((concepts_of[i] for i in (row_id, *parents) if i in concepts_of), None)
            if found is not None:
                read[language] += 1
                counts.setdefault(language, Counter()).update(found)
    languages = [language for language, _ in read.most_common(MOST_LANGUAGES)]
    if not languages:
        return None
    shown = {language: dict(counts[language].most_common(MOST_CONCEPTS)) for language in languages}
    return {
        "title": f"What the code uses ({artefacts.last_stage})",
        "caption": f"rows whose code uses it, and their share of the language's; the {MOST_CONCEPTS} most common; "
        f"n = {rows:,} rows, {read.total():,} of them with code that was read",
        "height_inches": 0.8 + sum(0.2 * max(map(len, line)) + 0.7 for line in _lines(list(shown.values()))),
        "rows": rows,
        "read": dict(read.most_common()),
        "concepts": shown,
    }


def _concepts(artefacts: Artefacts) -> Iterator[tuple[str, list[str]]]:
    for batch in artefacts.columns(STAGE, "facts", ["id", "concepts"]):
        yield from ((i, found) for i, found in zip(*batch.values(), strict=True) if found is not None)


def _lines(panels: list) -> list[list]:
    return [panels[i : i + PANELS_ABREAST] for i in range(0, len(panels), PANELS_ABREAST)]


def draw(figure: Figure, found: style.Numbers) -> None:
    """A panel of bars a language, the most common first."""
    lines = _lines(list(found["concepts"].items()))
    room = [max(len(of) for _, of in line) for line in lines]
    grid = figure.subplots(len(lines), len(lines[0]), squeeze=False, height_ratios=[bars + 2 for bars in room])
    for line, bars, row in zip(lines, room, grid, strict=True):
        for axes, (language, of) in zip(row, line, strict=False):
            n = found["read"][language]
            said = [f"{count:,} ({100 * count / n:.1f} %)" for count in of.values()]
            style.bars(axes, [(name.replace("_", " "), count) for name, count in of.items()], said=said, room=bars)
            axes.set_title(f"{language} (n = {n:,})")
        for axes in row[len(line) :]:
            axes.set_axis_off()
