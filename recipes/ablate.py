"""A grid of ablations: every cell is built, trained with k seeds at equal tokens, evaluated, compared with one cell.

reads   recipes/ablations/<grid>.yaml, and what `ablation_cells` reads
writes  build/ablations/<grid>/: the runs of the cells (`ablation_cells`), and after every cell result.json and
        table.md (`ablation_table`)

    make ablation GRID=recipes/ablations/alchemist_share.yaml        (DRY_RUN=1: cells, tokens, hours)

No request is sent: a cell is the base mixture with other keys of 09_mixture, and what stands before that stage is
shared, teachers' answers included. Every run trains on a seeded sample of `train_tokens` tokens; a mixture that has
not as many makes its cell fail rather than differ. A failing cell is named and the others go on; a finished one is
skipped as long as nothing that shapes it has changed.
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from artefacts import Refusal, command_line, read_json
from recipes import ablation_table, plan
from recipes import recipe as recipes
from recipes.ablation_cells import Runner
from recipes.grid import recipe_of
from recipes.inputs import is_local


def missing(runner: Runner) -> list[str]:
    """What the grid reads and is not there yet, each with the command that makes it."""
    found, mixture = [], runner.base_mixture
    if not (mixture / "mixture.json").is_file():
        found.append(f"{mixture} is not built: run `make mixture MIXTURE={mixture.name}`")
    readers: dict[str, list[str]] = {}
    for name, cell in runner.grid.cells.items():
        if scores := cell.mixture.get("cpd_scores"):
            readers.setdefault(scores, []).append(name)
    for scores, cells in readers.items():
        if not Path(scores).is_file():
            command = f"python -m dataset_scripts.cpd {Path(scores).parent} --model FOLDER"
            found.append(f"{scores}, which {' and '.join(cells)} read, is not there: run `{command}`")
    if is_local(runner.base_model) and not Path(runner.base_model).is_dir():
        found.append(f"the base {runner.base_model} is not there: run `make base-model`, where it is the demo's")
    return found


def planned(runner: Runner) -> str:
    """Cells, tokens and hours of a grid, and what it needs first; evaluation is timed from the cells that are done."""
    grid = runner.grid
    recipe, arguments = recipes.ours(Path(grid.recipe), recipe_of(grid, grid.seeds[0]))
    try:
        base = plan.base_of(Path(grid.recipe), recipe)
        hours, source = plan.hours(base, recipe, plan.hardware_of(Path(grid.recipe), recipe), grid.train_tokens)
    except Refusal as refusal:
        hours, source = None, str(refusal)
    lines = [f"{'cell':24} {'runs':>4} {'tokens':>12} {'training hours':>15}  differs in"]
    total = 0.0
    for name, cell in grid.cells.items():
        runs = 0 if cell.untrained else len(grid.seeds)
        total += runs * (hours or 0)
        took = f"{runs * (hours or 0):.2f}" if hours is not None or not runs else "not known"
        done = " (done)" if (runner.folder / "cells" / f"{name}.json").is_file() else ""
        differs = "the base model as it is" if cell.untrained else str(cell.mixture or "nothing")
        lines.append(f"{name:24} {runs:>4} {runs * grid.train_tokens:>12,} {took:>15}  {differs}{done}")
    done = [read_json(path)["seconds"] / 3600 for path in sorted((runner.folder / "cells").glob("*.json"))]
    whole = f"{statistics.fmean(done):.2f} hours a cell so far, evaluation included" if done else "no cell is done yet"
    lines += [
        "",
        *(f"first       {sentence}" for sentence in missing(runner)),
        f"training    {f'{total:.1f} hours' if hours is not None else 'hours not known'} in all ({source})",
        f"evaluation  not planned: its time depends on how long the answers are; {whole}",
        "requests    none: stages before 09_mixture are those of the built base mixture",
    ]
    return "\n".join(lines)


def run_all(runner: Runner) -> dict[str, Any]:
    """Run the cells, the baseline first; a failing one is named and the others go on. Returns result.json."""
    records: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    baseline, result = runner.grid.baseline, {}
    order = [baseline, *(name for name in runner.grid.cells if name != baseline)]
    for number, name in enumerate(order, start=1):
        print(f"[{number}/{len(order)}] {name}", flush=True)
        try:
            records[name] = runner.run_cell(name)
            result = ablation_table.report(runner, records, failed)
        except Refusal as refusal:
            records.pop(name, None)  # one that could not be compared, too
            failed[name] = str(refusal)
            print(f"ablate: cell '{name}': {refusal}", file=sys.stderr, flush=True)
            result = ablation_table.report(runner, records, failed)
    return result


@command_line
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m recipes.ablate", description=__doc__.split("\n\n")[0])
    parser.add_argument("grid", type=Path, help="e.g. recipes/ablations/alchemist_share.yaml")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of the builds (default: build)")
    parser.add_argument("--dry-run", action="store_true", help="print cells, tokens and hours; do nothing")
    given = parser.parse_args()
    runner = Runner(given.grid, given.build)
    if given.dry_run:
        print(planned(runner))
        return 0
    result = run_all(runner)
    print(ablation_table.table(result))
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
