"""The runs of a grid's cells: the mixture built; a model a seed trained, scored on held-out rows, evaluated.

reads   the grid, its built base mixture (build/<mixture>), its recipe, its base model
writes  build/ablations/<grid>/: mixtures/, hub/, recipes/ and runs/ of the cells, cells/<cell>.json when one is done;
        log.txt holds what the commands said

The other rooms are called by their command lines. What is done is known by a key of everything that shapes it, so
that a rerun goes on with the cell and the seed that it stopped at.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from artefacts import Refusal, code_key, read_json, read_mapping, sha256_of_file, write_bytes, write_json
from recipes.grid import PROTOCOLS, STAGE, mixture_of, read_grid, recipe_of
from recipes.inputs import files_of_configuration
from recipes.run_record import PINS


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
        modules = [
            "recipes.ablation_cells",
            "recipes.training_run",
            "recipes.held_out",
            "recipes.merge",
            "evaluation.checkpoint",
            f"evaluation.benchmarks.{read_mapping(PROTOCOLS / f'{grid.protocol}.yaml')['benchmark']}",
            "dataset_scripts.mixture",
            "model_cards.dataset_repository",
        ]
        shape = [grid.limit, [recipe_of(grid, seed) for seed in seeds if seed is not None], cell.untrained]
        stages = self._stages()
        inputs = [read_json(stage / "manifest.json")["digest"] for stage in stages]
        inputs += [sha256_of_file(PROTOCOLS / f"{grid.protocol}.yaml"), *self._weights]
        mixtures = [None if cell.untrained else mixture_of(grid, name), mixture_of(grid, None)]
        return code_key(modules, [shape, *mixtures], PINS, inputs)

    @functools.cached_property
    def _held_out_data(self) -> Path | None:
        """The dataset repository of the base mixture as it is; None where the configuration read holds nothing out."""
        folder, read = self._dataset(None), recipe_of(self.grid, self.grid.seeds[0])["data_config"]
        files = (path for pattern in files_of_configuration(folder, read) for path in folder.glob(pattern))
        return folder if any(path.name.startswith("test") for path in files) else None

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
        done = [self._seed(name, seed, data) for seed in seeds]
        runs = [one["run"] for one in done]
        manifest = {} if cell.untrained else read_json(self.folder / "mixtures" / name / STAGE / "manifest.json")
        record = {
            "key": key,
            "name": name,
            "settings": {"untrained": True} if cell.untrained else cell.mixture,
            "seeds": runs,
            "rows_with_a_prompt": manifest.get("notes", {}).get("rows_chosen"),
            "tokens": sum(run["tokens"] for run in runs),
            "seconds": round(sum(run.pop("seconds") for run in runs), 1),
            "pooled": pooled([one["result"] for one in done]),
            "held_out": [one["held_out"] for one in done if one["held_out"]],
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

    def _seed(self, name: str, seed: int | None, data: Path | None) -> dict[str, Any]:
        """One run, as done.json has it: key, `run`, `result`, and what `recipes.held_out` says (None where the base
        mixture holds nothing out). The weights are deleted once all is written down."""
        folder = self.folder / "runs" / (name if seed is None else f"{name}-seed-{seed}")
        key, kept = self.key(name, [seed]), read_json(folder / "done.json")
        if kept and kept["key"] == key:
            return kept
        held_out = self._held_out_data  # before the first training: whatever is wrong with it costs none
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
        losses = None
        if held_out:
            arguments = ["--base", model, "--data", held_out, "--out", folder / "held_out.json"]
            self.call("recipes.held_out", file, *arguments, *(["--trained", data] if data else []))
            losses = {key: read_json(folder / "held_out.json")[key] for key in ("rows", "left_out")}
        arguments = ["--protocol", self.grid.protocol, "--output", folder / "evaluation"]
        arguments += [] if self.grid.limit is None else ["--limit", self.grid.limit]
        self.call("evaluation.evaluate", model, *arguments)
        result = read_json(folder / "evaluation" / "result.json")
        run = {"seed": seed, "pass_at_1": result["pass_at_1"]}
        run |= {name: trained[name] for name in ("tokens", "loss_last")}
        run["seconds"] = trained["seconds"] + result["seconds"]["all"]
        done = {"key": key, "run": run, "result": result, "held_out": losses}
        write_json(folder / "done.json", done)
        for bulky in ("run", "prepared", "cache"):
            shutil.rmtree(folder / bulky, ignore_errors=True)
        return done

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
