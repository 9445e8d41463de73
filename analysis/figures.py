"""All figures of a mixture and of what was made from it: PNG in two themes, and their numbers as JSON.

reads   see the module of each figure; writes FOLDER/<name>.{light,dark}.png and <name>.json

A figure whose artefacts are not there is not drawn; the report says which command makes them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import (
    ablation_curves,
    concepts,
    cpd_density,
    distribution,
    embedding,
    error_cases,
    funnel,
    leak_table,
    lengths,
    style,
    training_curves,
)
from analysis.reading import Artefacts


@dataclass(frozen=True)
class Kind:
    """A figure: how its numbers are found, how they are drawn, and what makes them where they are missing.

    Attributes:
        numbers: artefacts -> numbers, None where the artefacts are not there.
        remedy: the command that makes the artefacts.
    """

    numbers: Callable[[Artefacts], dict[str, Any] | None]
    draw: style.Draw
    remedy: str


KINDS = {
    "funnel": Kind(funnel.numbers, funnel.draw, "make mixture"),
    "distribution": Kind(distribution.numbers, distribution.draw, "make mixture"),
    "concepts": Kind(concepts.numbers, concepts.draw, "make mixture"),
    "lengths": Kind(lengths.numbers, lengths.draw, "make mixture"),
    "embedding": Kind(embedding.numbers, embedding.draw, "make mixture"),
    "leaks": Kind(leak_table.numbers, leak_table.draw, "make mixture"),
    "cpd_density": Kind(cpd_density.numbers, cpd_density.draw, "make harmony"),
    "training": Kind(training_curves.numbers, training_curves.draw, "make train-demo"),
    "error_cases": Kind(error_cases.numbers, error_cases.draw, "make evaluate-demo"),
}


def make(artefacts: Artefacts, folder: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Draw one figure after the other into `folder`; yields its name and numbers, or None where it is missing.

    The figures of KINDS in their order, then one for every grid of ablations on the mixture (`ablation_<grid>`).
    """
    for name, kind in KINDS.items():
        found = kind.numbers(artefacts)
        if found is not None:
            style.save(kind.draw, found, folder, name)
        yield name, found
    for grid, result in ablation_curves.of_mixture(artefacts).items():
        found = ablation_curves.numbers(result)
        style.save(ablation_curves.draw, found, folder, f"ablation_{grid}")
        yield f"ablation_{grid}", found
