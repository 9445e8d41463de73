"""Grids of ablations: what a grid may say, which cells run again, what is pooled; and a tiny grid for real."""

import importlib
import json
from pathlib import Path

import pytest
import yaml

from artefacts import ROOT, Refusal, read_json, read_mapping, read_yaml, write_bytes, write_json
from dataset_scripts import mixture
from evaluation import compare
from recipes import ablate
from recipes.ablation_cells import Runner
from recipes.grid import Grid, mixture_of, read_grid, recipe_of
from tests.conftest import code_rows
from tests.recipes.conftest import DEMO

GRIDS = sorted((ROOT / "recipes/ablations").glob("*.yaml"))


@pytest.fixture
def grid_file(tmp_path):
    """Write a grid of the demo's recipe over a mixture file `toy`; keywords replace keys."""

    def write(**changes) -> Path:
        (tmp_path / "toy.yaml").write_text(
            yaml.safe_dump({"name": "toy", "seed": 0, "09_mixture": {"alchemist_share": 0.0, "mode": "add"}})
        )
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(read_mapping(DEMO) | {"base": "lab/tiny"}))
        values = {
            "name": "tiny", "mixture": str(tmp_path / "toy.yaml"), "recipe": str(tmp_path / "recipe.yaml"),
            "train_tokens": 4000, "seeds": [0, 1], "protocol": "demo", "limit": 2, "baseline": "none",
            "cells": {"none": {}, "half": {"mixture": {"alchemist_share": 0.5}}},
        } | changes  # fmt: skip
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_a_shipped_grid_says_only_what_09_mixture_knows(path):
    grid = read_yaml(path, Grid)
    assert grid.name == path.stem and grid.baseline in grid.cells
    for cell in grid.cells.values():
        assert set(cell.mixture) <= set(mixture.Config.model_fields)
        mixture.Config(**{"alchemist_share": 0.05, "mode": "add"} | cell.mixture)
    if (ROOT / grid.mixture).is_file():
        assert read_grid(path) == grid
        named = {entry["source"] for entry in read_mapping(ROOT / grid.mixture)["01_sources"]}
        left_out = [set(cell.mixture.get("without_sources", ())) for cell in grid.cells.values()]
        assert all(sources < named for sources in left_out)


def test_the_grid_of_shares_holds_the_papers_shares_both_modes_and_the_controls():
    cells = read_yaml(ROOT / "recipes/ablations/alchemist_share.yaml", Grid).cells
    plain = {tuple(c.mixture.values()) for c in cells.values() if list(c.mixture) == ["alchemist_share", "mode"]}
    assert plain == {(n / 100, mode) for mode in ("add", "replace") for n in (1, 2, 3, 4, 5, 10, 15, 20)}
    assert {c.mixture.get("prompt") for c in cells.values()} >= {"shuffled", "placebo"}
    assert {c.mixture.get("select") for c in cells.values()} >= {"cpd_band", "source_gap"}


def test_the_other_grids_hold_the_arms_that_their_papers_name():
    grids = {
        name: read_yaml(ROOT / f"recipes/ablations/{name}.yaml", Grid)
        for name in ("octopack_sources", "comprehension")
    }
    octopack = grids["octopack_sources"].cells
    named = {source for cell in octopack.values() for source in cell.mixture.get("without_sources", ())}
    kept = {
        name: named - set(cell.mixture["without_sources"]) for name, cell in octopack.items() if not cell.untrained
    }
    assert octopack["none"].untrained and {name: len(sources) for name, sources in kept.items()} == {
        "self_instruct": 1, "oasst": 1, "self_instruct_oasst": 2, "xp3x_oasst": 2, "commitpackft_oasst": 2
    }  # fmt: skip
    assert kept["commitpackft_oasst"] & kept["xp3x_oasst"] == kept["oasst"]
    left_out = {name: set(c.mixture.get("without_tasks", ())) for name, c in grids["comprehension"].cells.items()}
    tasks = {"instruction_evolution", "data_filtering", "code_review"}
    assert left_out == {"all_tasks": set(), "without_all": tasks} | {f"without_{task}": {task} for task in tasks}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"baseline": "nome"}, "baseline 'nome' is none of the cells: none, half"),
        ({"seeds": [0, 0]}, "name one twice"),
        ({"seed": [0]}, "unknown key 'seed'; did you mean 'seeds'"),
        ({"name": "other"}, "a grid is called as its file is: tiny"),
        ({"protocol": "humanevil"}, "there is no evaluation/protocols/humanevil.yaml"),
        ({"recipe_keys": {"seed": 3}}, "recipe_keys.seed: the grid itself decides it"),
        ({"recipe_keys": {"packing": False}}, "packing"),
        ({"cells": {"none": {}, "again": {}}}, "the cells 'none' and 'again' are the same"),
        ({"cells": {"none": {"untrained": True, "mixture": {"mode": "add"}}}}, "cell 'none' is untrained"),
    ],
)
def test_a_senseless_grid_is_refused(grid_file, changes, says):
    with pytest.raises(Refusal, match=says):
        read_grid(grid_file(**changes))


def test_a_cell_differs_from_the_base_in_its_keys_and_a_run_in_its_seed(grid_file):
    grid = read_grid(grid_file(recipe_keys={"learning_rate": 0.5}))
    final = {"alchemist_share": 0.5, "mode": "add"}
    assert mixture_of(grid, "half") == {"name": "half", "seed": 0, "09_mixture": final}
    first, second = recipe_of(grid, 0), recipe_of(grid, 1)
    assert {k for k in first if first[k] != second[k]} == {"seed", "data_seed"}
    assert first["sample_tokens"] == 4000 and first["num_train_epochs"] == 1 and first["learning_rate"] == 0.5


class Commands:
    """Stands for the commands of other rooms: writes what they would write, and remembers them."""

    def __init__(self, build: Path) -> None:
        self.said, self.not_sampled, self.broken, self.holds_out, self.scored = [], 5, None, None, []
        write_json(build / "toy/mixture.json", {"stages": ["01_sources", "09_mixture"]})
        write_json(build / "toy/01_sources/manifest.json", {"digest": "d"})

    def __call__(self, module, *arguments):
        arguments = [str(a) for a in arguments]
        self.said.append(module)
        if self.broken and self.broken in " ".join([module, *arguments]):
            raise Refusal("it broke")
        if module == "dataset_scripts.build":
            folder = Path(arguments[0]).with_suffix("")
            assert (folder / "01_sources/manifest.json").is_file(), "the stages of the base mixture are there"
            write_json(folder / "09_mixture/manifest.json", {"notes": {"rows_chosen": 3}})
        if module == "recipes.sft":
            facts = {"tokens": 3990, "seconds": 1.0, "loss_last": 2.0}
            facts |= {"settings": {"method": "full"}, "rows_not_sampled": self.not_sampled}
            write_json(Path(arguments[-1]) / "run.json", facts)
        if module == "model_cards.render":
            folder = Path(arguments[1]) / "datasets" / Path(arguments[-1]).name
            configs = [
                {"config_name": name, "data_files": [{"split": "test", "path": f"{name}/test*.parquet"}]}
                for name in ("sft", "sft_research")
            ]
            write_bytes(folder / "README.md", f"---\n{yaml.safe_dump({'configs': configs})}---\n".encode())
            if self.holds_out:
                write_bytes(folder / self.holds_out / "test-0.parquet", b"")
        if module == "recipes.held_out":
            self.scored.append(arguments[arguments.index("--data") + 1 :: 2])
            loss = 1.0 if "half" in arguments[2] else 2.0
            rows = [
                {"row_id": f"r{n}", "source": "toy", "nll_nats": loss + n, "supervised_tokens": 1} for n in range(2)
            ]
            left_out = {"trained_on": {"toy": 3}} if "--trained" in arguments else {}
            write_json(Path(arguments[arguments.index("--out") + 1]), {"rows": rows, "left_out": left_out})
        if module == "evaluation.evaluate":
            passes = ["half" in arguments[0], "half-seed-1" in arguments[0]]  # of the two tasks
            tasks = {f"t{i}": {"verdicts": [{"status": "ok" if ok else "failed"}]} for i, ok in enumerate(passes)}
            result = {"benchmark": "b", "version": "1", "tasks": tasks, "pass_at_1": sum(passes) / 2}
            folder = Path(arguments[arguments.index("--output") + 1])
            write_json(folder / "result.json", result | {"seconds": {"all": 2.0}})
        if module == "evaluation.compare":
            found = compare.compare(*(read_json(Path(a)) for a in arguments[:2]))
            write_json(Path(arguments[arguments.index("--out") + 1]), found)


def ablated(path: Path, commands: Commands, build: Path):
    """Run all cells as `main` does; returns result.json."""
    runner = Runner(path, build, commands)
    return ablate.run_all(runner)


def test_seeds_are_pooled_by_task_and_compared_with_the_baseline(grid_file, tmp_path):
    commands = Commands(tmp_path / "build")
    result = ablated(grid_file(), commands, tmp_path / "build")
    none, half = result["cells"]
    assert half["scores"] == {"t0": 1.0, "t1": 0.5} and half["mean"] == 0.75 and none["mean"] == 0.0
    assert half["difference"]["difference"] == 0.75 and none["difference"] is None
    assert [run["pass_at_1"] for run in half["seeds"]] == [0.5, 1.0]
    assert half["seeds_standard_deviation"] == pytest.approx(0.3536, abs=1e-4)
    assert (half["rows_with_a_prompt"], half["tokens"], half["seconds"]) == (3, 7980, 6.0)
    assert "| half | 75.0 +- 17.7 | +75.0 [+50.0, +100.0] | 35.4 |" in (
        tmp_path / "build/ablations/tiny/table.md"
    ).read_text()  # fmt: skip
    assert result == read_json(tmp_path / "build/ablations/tiny/result.json") and not result["failed"]


def test_every_arm_is_scored_on_the_rows_that_the_base_mixture_holds_out(grid_file, tmp_path):
    commands = Commands(tmp_path / "build")
    commands.holds_out = "sft"
    cells = {"base": {"untrained": True}, "none": {}, "half": {"mixture": {"alchemist_share": 0.5}}}
    result = ablated(grid_file(cells=cells), commands, tmp_path / "build")
    assert len(commands.scored) == 5 and {Path(said[0]).name for said in commands.scored} == {"held-out"}
    trained = [Path(said[2]).name for said in commands.scored if len(said) == 3]
    assert trained == ["none", "none", "half", "half"], "what an arm was trained on is left out"
    held_out = {cell["name"]: cell["held_out"]["toy"] for cell in result["cells"]}
    assert held_out["none"]["difference"] is None and held_out["base"]["seeds"] == [2.5]
    assert [held_out[name]["of"] for name in ("base", "none", "half")] == [2, 5, 5]  # what was left out counts
    assert held_out["half"]["difference"] == {"difference": -1.0, "low": -1.0, "high": -1.0}
    table = (tmp_path / "build/ablations/tiny/table.md").read_text()
    assert "| half | 2 of 5, toy | 1.5000 | -1.0000 [-1.0000, -1.0000] | 0.0000 |" in table


def test_rows_held_out_of_a_configuration_that_no_run_reads_are_none(grid_file, tmp_path):
    commands = Commands(tmp_path / "build")
    commands.holds_out = "sft_research"
    result = ablated(grid_file(), commands, tmp_path / "build")
    assert not commands.scored and [cell["held_out"] for cell in result["cells"]] == [{}, {}] and not result["failed"]
    assert commands.said.index("model_cards.render") < commands.said.index("recipes.sft"), "asked before any training"


def test_a_finished_cell_is_skipped_and_a_changed_one_runs_again(grid_file, tmp_path):
    commands = Commands(tmp_path / "build")
    first = ablated(grid_file(), commands, tmp_path / "build")
    commands.said.clear()
    assert ablated(grid_file(), commands, tmp_path / "build") == first
    assert not commands.said
    commands.said.clear()
    ablated(grid_file(seeds=[0, 1, 2]), commands, tmp_path / "build")
    assert commands.said.count("recipes.sft") == 2, "one more run a cell, the others are kept"
    commands.said.clear()
    cells = {"none": {}, "half": {"mixture": {"alchemist_share": 0.6}}}
    ablated(grid_file(seeds=[0, 1, 2], cells=cells), commands, tmp_path / "build")
    assert commands.said.count("recipes.sft") == 3, "of the changed cell alone"
    commands.said.clear()
    write_json(tmp_path / "build/toy/01_sources/manifest.json", {"digest": "another"})
    ablated(grid_file(seeds=[0, 1, 2], cells=cells), commands, tmp_path / "build")
    assert commands.said.count("recipes.sft") == 6


def test_a_failing_cell_is_named_and_the_others_go_on(grid_file, tmp_path, capsys):
    commands = Commands(tmp_path / "build")
    commands.broken = "recipes/seed-1.yaml --data " + str(tmp_path / "build/ablations/tiny/hub/datasets/half")
    result = ablated(grid_file(), commands, tmp_path / "build")
    assert [cell["name"] for cell in result["cells"]] == ["none"] and result["failed"] == {"half": "it broke"}
    assert "ablate: cell 'half': it broke" in capsys.readouterr().err
    commands.broken = None
    commands.said.clear()
    assert not ablated(grid_file(), commands, tmp_path / "build")["failed"]
    assert commands.said.count("recipes.sft") == 1, "the seed that was done is kept"


def test_a_mixture_with_too_few_tokens_fails_rather_than_differs(grid_file, tmp_path):
    commands = Commands(tmp_path / "build")
    commands.not_sampled = 0
    failed = ablated(grid_file(), commands, tmp_path / "build")["failed"]
    assert "its mixture has only 3,990 tokens and every cell is trained on 4,000" in failed["none"]


def test_the_untrained_base_is_evaluated_once(grid_file, tmp_path):
    commands = Commands(tmp_path / "build")
    cells = {"none": {"untrained": True}, "half": {"mixture": {"alchemist_share": 0.5}}}
    result = ablated(grid_file(cells=cells), commands, tmp_path / "build")
    assert commands.said.count("evaluation.evaluate") == 3 and commands.said.count("recipes.sft") == 2
    assert result["cells"][0]["settings"] == {"untrained": True}
    assert result["cells"][0]["seeds_standard_deviation"] is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda toy: (toy / "mixture.json").unlink(), "the base mixture is not built; run `make mixture MIXTURE=toy`"),
        (
            lambda toy: write_json(toy / "asked/05_evolve.json", {"open": {"rate": 2}}),
            "05_evolve still has unans",
        ),
    ],
)
def test_a_base_mixture_that_would_still_ask_is_refused(grid_file, tmp_path, change, says):
    commands = Commands(tmp_path / "build")
    change(tmp_path / "build/toy")
    assert says in ablated(grid_file(), commands, tmp_path / "build")["failed"]["none"]
    assert "dataset_scripts.build" not in commands.said


def test_the_plan_counts_runs_tokens_and_hours_and_runs_nothing(grid_file, tmp_path):
    runner = Runner(grid_file(), tmp_path / "build", call=None)
    said = ablate.planned(runner)
    assert "half                        2        8,000" in said and "requests    none" in said
    assert not runner.folder.exists()


def test_the_plan_names_what_is_not_there_yet_and_how_to_make_it(grid_file, tmp_path):
    scores = str(tmp_path / "build/toy/cpd.parquet")
    by_cpd = {"select": "source_gap", "cpd_scores": scores}
    runner = Runner(grid_file(cells={"none": {}, "gap": {"mixture": by_cpd}}), tmp_path / "build")
    said = ablate.planned(runner)
    assert f"first       {tmp_path}/build/toy is not built: run `make mixture MIXTURE=toy`" in said
    assert f"{scores}, which gap read, is not there: run `python -m dataset_scripts.cpd {tmp_path}/build/toy" in said
    write_json(tmp_path / "build/toy/mixture.json", {"stages": []})
    Path(scores).write_bytes(b"")
    assert "first " not in ablate.planned(runner)


def test_a_command_that_fails_says_its_last_line_and_the_log_holds_the_rest(grid_file, tmp_path):
    runner = Runner(grid_file(), tmp_path / "build")
    with pytest.raises(Refusal, match=r"evaluation.compare failed \(.*log.txt\): compare: nowhere.*: no result of an"):
        runner.call("evaluation.compare", "nowhere", "nowhere")
    assert "-m evaluation.compare nowhere nowhere" in (runner.folder / "log.txt").read_text()


@pytest.mark.slow
def test_a_tiny_grid_runs_end_to_end(recipe_file, mixture_file, tmp_path, grid_file, in_process):
    """Two cells x two seeds: mixtures, runs, HumanEval and comparison by the real commands; a rerun does nothing."""
    rows = [{"instruction": i, "output": r} for i, r in code_rows(80)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"files": [str(tmp_path / "rows.jsonl")], "licence": "MIT", "generator": "human"}
    cells = {"none": {"mixture": {"alchemist_share": 0.0}}, "half": {"mixture": {"alchemist_share": 0.5}}}
    path = grid_file(recipe=str(recipe_file()), recipe_keys={"learning_rate": 1.0e-3}, cells=cells)
    final = {"alchemist_share": 0.1, "mode": "add", "split": {"test_share": 0.1, "twin_jaccard": 1.0}}
    sources = [{"source": "jsonl", "options": options}]
    base = mixture_file(_01_sources=sources, _04_decontaminate=None, _09_mixture=final)
    said = []

    def command(module, *arguments):
        said.append(module)
        done = in_process(importlib.import_module(module), *arguments)
        if done.code:
            raise Refusal(done.err)

    command("dataset_scripts.build", base, "--build", tmp_path / "build", "--workers", "1")
    result = ablated(path, command, tmp_path / "build")
    folder = tmp_path / "build/ablations/tiny"
    assert [cell["name"] for cell in result["cells"]] == ["none", "half"] and not result["failed"]
    none, half = result["cells"]
    assert (none["rows_with_a_prompt"], half["rows_with_a_prompt"]) == (0, 40)
    for cell in (none, half):
        assert [run["seed"] for run in cell["seeds"]] == [0, 1]
        assert set(cell["scores"]) == {"HumanEval/0", "HumanEval/1"}
        assert all(3_000 < run["tokens"] <= 4_000 for run in cell["seeds"])
        assert cell["held_out"]["jsonl"]["rows"] == none["held_out"]["jsonl"]["rows"] > 0
        assert len(cell["held_out"]["jsonl"]["seeds"]) == 2
    losses = [run["loss_last"] for cell in (none, half) for run in cell["seeds"]]
    assert len(set(losses)) == 4, "another seed or other rows give another model"
    assert half["difference"]["low"] <= half["difference"]["difference"] <= half["difference"]["high"]
    assert not list(folder.glob("runs/*/run")), "weights are not kept"
    made = len(said)
    assert ablated(path, command, tmp_path / "build") == result and len(said) == made
