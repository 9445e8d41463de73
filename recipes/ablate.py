"""A grid of ablations: every cell is built, trained with k seeds at equal tokens, evaluated, compared with one cell.

reads   recipes/ablations/<grid>.yaml, its built base mixture (build/<mixture>), a recipe, a base model
writes  build/ablations/<grid>/: mixtures/, hub/, recipes/ and runs/ of the cells, cells/<cell>.json when one is done,
        result.json and table.md after every cell; log.txt holds what the commands said

    make ablation GRID=recipes/ablations/alchemist_share.yaml        (DRY_RUN=1: cells, tokens, hours)

No request is sent: a cell is the base mixture with other keys of 09_mixture, and what stands before that stage is
shared, teachers' answers included. Every run trains on a seeded sample of `train_tokens` tokens; a mixture that has
not as many makes its cell fail rather than differ. A failing cell is named and the others go on; a finished one is
skipped as long as nothing that shapes it has changed.

result.json: grid, benchmark, version, protocol, limit, recipe, base, train_tokens, seeds, baseline, failed (cell ->
sentence), and `cells`, a list in the order of the grid, each with
    name, settings       what differs from the base mixture (`untrained`: the base model as it is)
    seeds                a list of {seed, pass_at_1, tokens, loss_last}, one a run
    scores               task -> share of its samples that pass, over all seeds
    mean, standard_error pooled pass@1 and its error over tasks; seeds_standard_deviation of the runs' pass@1, or null
    difference           to the baseline: {difference, low, high, p}, paired bootstrap over tasks; its own is null
    held_out             source -> loss on the same held-out rows in every cell, see `recipes.held_out.compared`
    rows_with_a_prompt   rows of the mixture that carry one; tokens: of all runs; seconds: of training and evaluating
"""

import argparse
import functools
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from artefacts import (
    Refusal,
    code_key,
    command_line,
    hash_of,
    read_json,
    read_mapping,
    sha256_of_file,
    write_bytes,
    write_json,
)
from recipes import held_out, plan
from recipes import recipe as recipes
from recipes.grid import PROTOCOLS, STAGE, mixture_of, read_grid, recipe_of
from recipes.inputs import is_local
from recipes.sft import PINS


def pooled(results: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Results of several seeds as one result, in which every task has the samples of all."""
    tasks: dict[str, dict[str, list]] = {}
    for result in results:
        for task_id, task in result["tasks"].items():
            tasks.setdefault(task_id, {"verdicts": []})["verdicts"] += task["verdicts"]
    return {**{k: results[0].get(k) for k in ("benchmark", "version", "protocol")}, "tasks": tasks}


class Runner:
    """The commands of a grid and where their results lie.

    Args:
        build: folder of all builds; the base mixture is in it.
        call: another way to run `python -m <arguments>` than `self.module`.
    """

    def __init__(self, path: Path, build: Path, call: Callable[..., None] | None = None) -> None:
        self.path, self.grid, self.build = path, read_grid(path), build
        self.folder = build / "ablations" / self.grid.name
        self.base_mixture = build / Path(self.grid.mixture).stem
        self.call = call or self.module
        self.base_model = read_mapping(Path(self.grid.recipe))["base"]

    def key(self, name: str, seeds: Sequence[int | None]) -> str:
        """Hash of everything that shapes runs of a cell."""
        grid, cell = self.grid, self.grid.cells[name]
        modules = ["recipes.ablate", "recipes.held_out", "evaluation.evaluate", "dataset_scripts.mixture"]
        shape = [grid.limit, [recipe_of(grid, seed) for seed in seeds if seed is not None], cell.untrained]
        stages = self._stages()
        inputs = [read_json(stage / "manifest.json")["digest"] for stage in stages]
        inputs += [sha256_of_file(PROTOCOLS / f"{grid.protocol}.yaml"), *self._weights]
        mixtures = [None if cell.untrained else mixture_of(grid, name), mixture_of(grid, None)]
        return code_key(modules, [shape, *mixtures], PINS, inputs)

    @functools.cached_property
    def _held_out_data(self) -> Path | None:
        """The dataset repository of the base mixture as it is; None where it holds nothing out."""
        folder = self._dataset(None)
        return folder if list(folder.rglob("test*.parquet")) else None

    @functools.cached_property
    def _weights(self) -> list[str]:
        """Digests of the base model's files; empty for one on the Hub, which the recipe's revision pins."""
        return [sha256_of_file(path) for path in sorted(Path(self.base_model).glob("*.safetensors"))]

    def _stages(self) -> list[Path]:
        described = read_json(self.base_mixture / "mixture.json")
        if described is None:
            raise Refusal(
                f"{self.base_mixture}: the base mixture is not built; run `make mixture "
                f"MIXTURE={self.base_mixture.name}`."
            )
        opened = {
            path.stem: facts["open"]
            for path in sorted((self.base_mixture / "asked").glob("*.json"))
            if (facts := read_json(path))["open"]
        }
        if opened:
            raise Refusal(
                f"{self.base_mixture}: {', '.join(opened)} still has unanswered questions, which every cell would ask "
                "again; finish the build first."
            )
        return [self.base_mixture / name for name in described["stages"] if name != STAGE]

    def run_cell(self, name: str) -> dict[str, Any]:
        """Build, train and evaluate a cell; returns its record (also in cells/<cell>.json), or the one that is there.

        Raises:
            Refusal: a command failed, or the mixture is smaller than train_tokens.
        """
        cell, path = self.grid.cells[name], self.folder / "cells" / f"{name}.json"
        seeds = [None] if cell.untrained else self.grid.seeds
        key, found = self.key(name, seeds), read_json(path)
        if found and found["key"] == key:
            return found
        data = None if cell.untrained else self._dataset(name)
        runs, results, losses = [], [], []
        for seed in seeds:
            run, result, scored = self._seed(name, seed, data)
            runs.append(run)
            results.append(result)
            losses.append(scored)
        manifest = {} if cell.untrained else read_json(self.folder / "mixtures" / name / STAGE / "manifest.json")
        record = {
            "key": key,
            "name": name,
            "settings": {"untrained": True} if cell.untrained else cell.mixture,
            "seeds": runs,
            "rows_with_a_prompt": manifest.get("notes", {}).get("rows_chosen"),
            "tokens": sum(run["tokens"] for run in runs),
            "seconds": round(sum(run.pop("seconds") for run in runs), 1),
            "pooled": pooled(results),
            "held_out": losses if all(losses) else [],
        }
        write_json(path, record)
        return record

    def _dataset(self, name: str | None) -> Path:
        """The dataset repository of a cell, or of the base mixture; stages before 09_mixture are the base's links."""
        values = mixture_of(self.grid, name)
        mixture = self.folder / "mixtures" / values["name"]
        for stage in [*self._stages(), self.base_mixture / "asked"]:
            there, unfinished = mixture / stage.name, mixture / f".{stage.name}.unfinished"
            if stage.is_dir():
                shutil.rmtree(unfinished, ignore_errors=True)
                shutil.rmtree(there, ignore_errors=True)  # of a base mixture that was built again since
                shutil.copytree(stage, unfinished, copy_function=os.link)
                unfinished.rename(there)
        if (self.base_mixture / "teacher.json").is_file():
            shutil.copy(self.base_mixture / "teacher.json", mixture)
        file = mixture.with_suffix(".yaml")
        write_bytes(file, yaml.safe_dump(values, sort_keys=False).encode())
        self.call("dataset_scripts.build", file, "--build", file.parent)
        self.call("model_cards.render", "--hub", self.folder / "hub", "dataset", mixture)
        return self.folder / "hub" / "datasets" / mixture.name

    def _seed(self, name: str, seed: int | None, data: Path | None) -> tuple[dict[str, Any], dict[str, Any], list]:
        """One run, its result and its losses on held-out rows; the weights are deleted once all are written down."""
        folder = self.folder / "runs" / (name if seed is None else f"{name}-seed-{seed}")
        key, kept = self.key(name, [seed]), read_json(folder / "done.json")
        if kept and kept["key"] == key:
            return kept["run"], kept["result"], kept["held_out"]
        model, trained = Path(self.base_model), {"tokens": 0, "seconds": 0.0, "loss_last": None}
        file = self.folder / "recipes" / f"seed-{self.grid.seeds[0] if seed is None else seed}.yaml"
        values = recipe_of(self.grid, self.grid.seeds[0] if seed is None else seed)
        write_bytes(file, yaml.safe_dump(values, sort_keys=False).encode())
        if seed is not None:
            self.call("recipes.sft", file, "--data", data, "--output", folder / "run")
            trained = read_json(folder / "run" / "run.json")
            if not trained["rows_not_sampled"]:
                raise Refusal(
                    f"cell '{name}': its mixture has only {trained['tokens']:,} tokens and every cell is trained on "
                    f"{self.grid.train_tokens:,}; lower train_tokens."
                )
            model = folder / "run" / "model"
            if trained["settings"]["method"] == "lora":
                self.call("recipes.merge", folder / "run")
                model = folder / "run" / "merged"
        losses: list[dict[str, Any]] = []
        if self._held_out_data:
            arguments = ["--base", model, "--data", self._held_out_data, "--out", folder / "held_out.json"]
            self.call("recipes.held_out", file, *arguments, *(["--trained", data] if data else []))
            losses = read_json(folder / "held_out.json")["rows"]
        arguments = ["--protocol", self.grid.protocol, "--output", folder / "evaluation"]
        arguments += [] if self.grid.limit is None else ["--limit", self.grid.limit]
        self.call("evaluation.evaluate", model, *arguments)
        result = read_json(folder / "evaluation" / "result.json")
        run = {"seed": seed, "pass_at_1": result["pass_at_1"]}
        run |= {name: trained[name] for name in ("tokens", "loss_last")}
        run["seconds"] = trained["seconds"] + result["seconds"]["all"]
        write_json(folder / "done.json", {"key": key, "run": run, "result": result, "held_out": losses})
        for bulky in ("run", "prepared", "cache"):
            shutil.rmtree(folder / bulky, ignore_errors=True)
        return dict(run), result, losses

    def module(self, *arguments: object) -> None:
        """Run `python -m ...` of ours; what it says goes into log.txt.

        Raises:
            Refusal: it failed; with the last line that it said.
        """
        path = self.folder / "log.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as log:
            command = [sys.executable, "-m", *map(str, arguments)]
            print(f"$ {' '.join(command)}", file=log, flush=True)
            begun = log.tell()
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
            log.seek(begun)
            said = [line.strip() for line in log.read().splitlines() if line.strip()]
        if done.returncode:
            raise Refusal(f"{arguments[0]} failed ({path}): {(said or ['it said nothing'])[-1][:300]}")

    def report(self, records: Mapping[str, dict[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
        """What is known of the grid so far, with differences to the baseline; also result.json and table.md."""
        first = records.get(self.grid.baseline)
        cells = [self._compared(records[name], first) for name in self.grid.cells if name in records]
        pooled_result = next(iter(records.values()))["pooled"] if records else {}
        described = {
            "grid": self.grid.name,
            "file": str(self.path),
            "benchmark": pooled_result.get("benchmark"),
            "version": pooled_result.get("version"),
            "protocol": self.grid.protocol,
            "limit": self.grid.limit,
            "recipe": self.grid.recipe,
            "base": self.base_model,
            "train_tokens": self.grid.train_tokens,
            "seeds": self.grid.seeds,
            "baseline": self.grid.baseline,
            "cells": cells,
            "failed": dict(failed),
        }
        write_json(self.folder / "result.json", described)
        write_bytes(self.folder / "table.md", (table(described) + "\n").encode())
        return described

    def _compared(self, record: Mapping[str, Any], first: Mapping[str, Any] | None) -> dict[str, Any]:
        """A cell of result.json; evaluation.compare counts, over the samples of all seeds of a task."""
        against, folder = first or record, self.folder / "compared"
        out = folder / f"{record['name']}-{hash_of([record['key'], against['key']])[:12]}.json"
        if not out.is_file():
            for one in (record, against):
                write_json(folder / f"{one['name']}.json", one["pooled"])
            pair = [folder / f"{one['name']}.json" for one in (against, record)]
            self.call("evaluation.compare", *pair, "--out", out)
        found, passes = read_json(out), [run["pass_at_1"] for run in record["seeds"]]
        is_other = first is not None and first["name"] != record["name"]
        return {
            "name": record["name"],
            "settings": record["settings"],
            "seeds": record["seeds"],
            "scores": found["second_by_task"],
            "mean": found["second"],
            "standard_error": found["second_standard_error"],
            "seeds_standard_deviation": statistics.stdev(passes) if len(passes) > 1 else None,
            "difference": {k: found[k] for k in ("difference", "low", "high", "p")} if is_other else None,
            "held_out": _held_out(record, against if is_other else None),
            "rows_with_a_prompt": record["rows_with_a_prompt"],
            "tokens": record["tokens"],
            "seconds": record["seconds"],
        }


def _held_out(record: Mapping[str, Any], against: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """`held_out.compared` of two cells' records; empty where one was not scored."""
    some = [[{row["row_id"]: row for row in run} for run in one["held_out"]] for one in (record, against) if one]
    return held_out.compared(some[0], some[1] if against else None) if all(some) else {}


def table(result: Mapping[str, Any]) -> str:
    """result.json as Markdown: a line a cell in points of pass@1, and a line a cell and source of held-out losses."""
    lines = [
        f"{result['grid']}: pass@1 on {result['benchmark']} {result['version'] or ''} (protocol {result['protocol']}"
        f"{'' if result['limit'] is None else ', first ' + str(result['limit'])}), {result['recipe']}, "
        f"{result['train_tokens']:,} tokens a run, seeds {', '.join(map(str, result['seeds']))}",
        "",
        f"| cell | pass@1 | difference to {result['baseline']}, 95 % | between seeds |",
        "| --- | --- | --- | --- |",
    ]
    for cell in result["cells"]:
        d = cell["difference"]
        shown = f"{100 * d['difference']:+.1f} [{100 * d['low']:+.1f}, {100 * d['high']:+.1f}]" if d else "-"
        spread = cell["seeds_standard_deviation"]
        lines.append(
            f"| {cell['name']} | {100 * cell['mean']:.1f} +- {100 * cell['standard_error']:.1f} | {shown} "
            f"| {'-' if spread is None else f'{100 * spread:.1f}'} |"
        )
    lines += [f"| {name} | failed: {why} | | |" for name, why in result["failed"].items()]
    if any(cell["held_out"] for cell in result["cells"]):
        lines += [
            "",
            f"| cell | held-out rows | nats a token | difference to {result['baseline']}, 95 % | between seeds |",
            "| --- | --- | --- | --- | --- |",
        ]
    for cell in result["cells"]:
        for source, found in cell["held_out"].items():
            rows, d, seeds = f"{found['rows']} of {source}", found["difference"], found["seeds"]
            shown = f"{d['difference']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]" if d else "-"
            spread = f"{statistics.stdev(seeds):.4f}" if len(seeds) > 1 else "-"
            lines.append(f"| {cell['name']} | {rows} | {found['loss']:.4f} | {shown} | {spread} |")
    return "\n".join(lines)


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
            result = runner.report(records, failed)
        except Refusal as refusal:
            records.pop(name, None)  # one that could not be compared, too
            failed[name] = str(refusal)
            print(f"ablate: cell '{name}': {refusal}", file=sys.stderr, flush=True)
            result = runner.report(records, failed)
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
    print(table(result))
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
