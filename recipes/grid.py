"""A grid file of recipes/ablations: which cells there are, and the mixture file and the recipe of each.

reads   recipes/ablations/<grid>.yaml, the mixture and the recipe that it names; writes nothing
"""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, PositiveInt, model_validator

from artefacts import ROOT, Refusal, StrictModel, read_mapping, read_yaml
from recipes import recipe as recipes

STAGE = "09_mixture"
HELD_OUT = "held-out"  # the base mixture as it is, beside the cells
PROTOCOLS = ROOT / "evaluation" / "protocols"


class Cell(StrictModel):
    """One arm of a grid."""

    mixture: dict[str, Any] = {}  # keys of 09_mixture that differ from the base mixture
    untrained: bool = False  # the base model as it is: nothing is built or trained


class Grid(StrictModel):
    """A file of recipes/ablations."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    mixture: str  # file of the base mixture, built before (`make mixture`)
    recipe: str  # of recipes/sft: how every cell is trained
    recipe_keys: dict[str, Any] = {}  # keys of it that differ here
    train_tokens: PositiveInt  # of every run
    seeds: list[int] = Field(min_length=1)
    protocol: str  # of evaluation/protocols, one benchmark
    limit: PositiveInt | None  # its first problems; null for all
    baseline: str  # the cell that the others are compared with
    cells: dict[str, Cell] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.baseline not in self.cells:
            raise ValueError(f"baseline '{self.baseline}' is none of the cells: {', '.join(self.cells)}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} name one twice")
        for key in ("seed", "data_seed", "sample_tokens", "planned_tokens", "num_train_epochs", "base", "data"):
            if key in self.recipe_keys:
                raise ValueError(f"recipe_keys.{key}: the grid itself decides it (seeds, train_tokens, recipe)")
        if HELD_OUT in self.cells:
            raise ValueError(f"no cell may be called '{HELD_OUT}': the base mixture's held-out rows lie there")
        for name, cell in self.cells.items():
            if cell.untrained and cell.mixture:
                raise ValueError(f"cell '{name}' is untrained: take its `mixture` out")
        return self


def read_grid(path: Path) -> Grid:
    """Read a grid, and what it names.

    Raises:
        Refusal: the grid, its mixture or its recipe is wrong or not there; two cells are the same.
    """
    grid = read_yaml(path, Grid)
    if grid.name != path.stem:
        raise Refusal(f"{path}: key 'name' is '{grid.name}', but a grid is called as its file is: {path.stem}.")
    if STAGE not in read_mapping(Path(grid.mixture)):
        raise Refusal(f"{path}: key 'mixture': {grid.mixture} has no {STAGE}.")
    if not (PROTOCOLS / f"{grid.protocol}.yaml").is_file():
        raise Refusal(f"{path}: key 'protocol': there is no evaluation/protocols/{grid.protocol}.yaml.")
    seen: dict[str, str] = {}
    for name, cell in grid.cells.items():
        same = seen.setdefault(yaml.safe_dump(cell.model_dump()), name)
        if same != name:
            raise Refusal(f"{path}: the cells '{same}' and '{name}' are the same.")
    recipe_of(grid, grid.seeds[0])
    return grid


def mixture_of(grid: Grid, name: str | None) -> dict[str, Any]:
    """The mixture file of a cell: the base's, with the cell's keys of 09_mixture; None: the base's as it is."""
    base = read_mapping(Path(grid.mixture))
    if name is None:
        return base | {"name": HELD_OUT}
    return base | {"name": name, STAGE: base[STAGE] | grid.cells[name].mixture}


def recipe_of(grid: Grid, seed: int) -> dict[str, Any]:
    """The recipe of a run: the named one, on one epoch of a seeded sample of `train_tokens` tokens."""
    size = {"sample_tokens": grid.train_tokens, "planned_tokens": grid.train_tokens, "num_train_epochs": 1}
    values = read_mapping(Path(grid.recipe)) | grid.recipe_keys | size | {"seed": seed, "data_seed": seed}
    recipes.ours(Path(grid.recipe), {k: v for k, v in values.items() if v is not None})
    return values
