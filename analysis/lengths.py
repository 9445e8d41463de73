"""How long rows are, by source: words, lines of fenced code and, where a trained tokenizer is there, tokens.

reads   the kept rows of the last finished stage, a run's model/tokenizer.json; writes nothing

Words are counted in every row, tokens in a seeded sample. A line of code is a non-empty line between ``` fences; rows
without a fence have none and are counted apart.
"""

import re
from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from analysis import style
from analysis.reading import Artefacts, chosen, rows_at

TOKEN_ROWS = 2_000  # of the seeded sample
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PANELS = {
    "instruction_words": "words of the instruction", "response_words": "words of the response",
    "code_lines": "lines of code in fences", "response_tokens": "tokens of the response (a sample)",
}  # fmt: skip
_FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)


def code_lines(response: str) -> int | None:
    """Non-empty lines inside code fences; None where there is no fence.

    >>> code_lines("Here:\\n```python\\nx = 1\\n\\ny = 2\\n```\\nDone."), code_lines("Prose.")
    (2, None)
    """
    if "```" not in response:
        return None
    blocks = _FENCE.findall(response)
    return sum(1 for block in blocks for line in block.split("\n") if line.strip()) if blocks else None


def quantiles(values: list[int]) -> dict[str, float]:
    """n, mean and QUANTILES of some lengths."""
    found = np.quantile(values, QUANTILES)
    named = {f"p{round(100 * q)}": float(v) for q, v in zip(QUANTILES, found, strict=True)}
    return {"n": len(values), "mean": float(np.mean(values)), **named}


def numbers(artefacts: Artefacts, seed: int = 0) -> dict[str, Any] | None:
    """Quantiles of every length by source."""
    stage = artefacts.last_stage
    lengths: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in PANELS}
    fenceless: dict[str, int] = defaultdict(int)
    rows = 0
    for batch in artefacts.columns(stage, "kept", ["source", "instruction", "response"]):
        for source, instruction, response in zip(*batch.values(), strict=True):
            lengths["instruction_words"][source].append(len(instruction.split()))
            lengths["response_words"][source].append(len(response.split()))
            lines = code_lines(response)
            if lines is None:
                fenceless[source] += 1
            else:
                lengths["code_lines"][source].append(lines)
        rows += len(batch["source"])
    if not rows:
        return None
    sampled = 0
    if artefacts.tokenizer is not None:
        for source, tokens in _tokens(artefacts, stage, rows, seed):
            lengths["response_tokens"][source].append(tokens)
            sampled += 1
    said = f"; tokens of a seeded sample of {sampled:,} rows" if sampled else "; tokens: not counted before a training"
    found = {name: {s: quantiles(v) for s, v in sorted(of.items())} for name, of in lengths.items() if of}
    sources = len(found["response_words"])
    return {
        "title": "How long rows are, by source",
        "caption": f"dot: median, thick: half of the rows, thin: 90 % of them; n = {rows:,} rows, "
        f"{sum(fenceless.values()):,} of them without a code fence{said}",
        "height_inches": 1.2 + (0.3 * sources + 0.8) * (2 if len(found) > 2 else 1),
        "rows": rows,
        "without_fence": dict(sorted(fenceless.items())),
        "lengths": found,
    }


def _tokens(artefacts: Artefacts, stage: str, rows: int, seed: int):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(artefacts.tokenizer))
    some = rows_at(artefacts, stage, "kept", chosen(range(rows), TOKEN_ROWS, seed))
    encoded = tokenizer.encode_batch_fast([row["response"] for row in some], add_special_tokens=False)
    yield from ((row["source"], len(one.ids)) for row, one in zip(some, encoded, strict=True))


def draw(figure: Figure, found: style.Numbers) -> None:
    """A panel a length, a line a source, on a logarithmic axis."""
    panels = found["lengths"]
    grid = list(figure.subplots(2 if len(panels) > 2 else 1, 2, squeeze=False).flat)
    for axes, name in zip(grid, panels, strict=False):
        by_source = panels[name]
        for place, of in enumerate(by_source.values()):
            low, quarter, middle, three, high = (max(of[f"p{round(100 * q)}"], 1) for q in QUANTILES)
            axes.plot([low, high], [place, place], color=style.colour(0), linewidth=1)
            axes.plot([quarter, three], [place, place], color=style.colour(0), linewidth=5, solid_capstyle="butt")
            axes.plot(middle, place, "o", color=style.colour(1), markersize=6)
            axes.annotate(f"{middle:,.0f}", (middle, place), xytext=(0, 6), textcoords="offset points",
                          ha="center", fontsize=7)  # fmt: skip
        axes.set_yticks(range(len(by_source)), [style.shortened(source) for source in by_source])
        axes.set_ylim(len(by_source) - 0.4, -0.7)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(PANELS[name])
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
