"""The front door: make targets, plan and refusal without a GPU, the command for one machine and for four."""

import os
import re
import subprocess

import pytest
import yaml

from artefacts import ROOT, Refusal
from recipes import launch
from recipes.recipe import load

DS67B = ROOT / "recipes/sft/deepseek-coder-6.7b/full.yaml"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(launch.plan, "machine", lambda folder: launch.plan.Machine([], 1000.0))


def test_a_dry_run_prints_the_plan_and_a_run_without_gpus_is_refused_in_one_sentence(in_process, no_gpu):
    dry = in_process(launch, DS67B, "--dry-run")
    assert dry.code == 0 and "763 steps" in dry.out and dry.err == ""
    done = in_process(launch, DS67B)
    assert done.code == 2 and done.out == dry.out
    assert "needs 32 x A100-80GB and there is no GPU here" in done.last and "make train-demo" in done.last
    smaller = in_process(launch, DS67B, "--dry-run", "--nproc", 8)
    assert "8 x A100-80GB" in smaller.out and "524,288 tokens a step, 763 steps" in smaller.out


@pytest.mark.parametrize(
    "key", ["train-l7b", "train-cl7b", "train-ds67b", "train-octocoder", "train-octogeex", "train-demo"]
)
def test_make_targets_name_recipes_that_exist_and_pass_their_settings(key):
    settings = ["DRY_RUN=1", "NPROC=4", "NNODES=2", "BASE=b", "DATA=d", "DATA_CONFIG=c"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-n", key, *settings]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    line = done.stdout.strip().splitlines()[-1]
    assert (ROOT / re.search(r"recipes/sft/\S+\.yaml", line)[0]).is_file()
    if key != "train-demo":
        assert "--nproc 4 --nnodes 2 --base b --data d --data-config c" in line and line.endswith("--dry-run")


def test_the_command_of_one_process_of_eight_and_of_four_machines():
    recipe, _ = load(DS67B)
    slurm = {"SLURM_NODEID": "2", "MASTER_ADDR": "node0", "MASTER_PORT": "20001"}
    one = launch.command_of(recipe.model_copy(update={"world_size": 8}), False, ["r.yaml"], 1, {})
    four = launch.command_of(recipe, False, ["r.yaml"], 4, slurm)
    assert "fsdp2.yaml" in " ".join(one) and one[-3:] == ["-m", "recipes.sft", "r.yaml"]
    assert " ".join(four).split("fsdp2_multinode.yaml ")[1] == (
        "--num_processes 32 --num_machines 4 --machine_rank 2 --main_process_ip node0 --main_process_port 20001 "
        "-m recipes.sft r.yaml"
    )
    with pytest.raises(Refusal, match="NNODES=4: MASTER_PORT is not set"):
        launch.command_of(recipe, False, [], 4, {"NODE_RANK": "0", "MASTER_ADDR": "a"})
    single = launch.command_of(recipe.model_copy(update={"sharding": "none", "world_size": 1}), False, [], 1, {})
    assert "single.yaml" in " ".join(single)
    assert launch.command_of(recipe, True, ["r.yaml"], 1, {})[1:] == ["-m", "recipes.sft", "r.yaml"]


@pytest.mark.parametrize("name", ["single", "fsdp2", "fsdp2_multinode"])
def test_accelerate_knows_every_key_of_our_settings(name):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    path = ROOT / f"recipes/accelerate/{name}.yaml"
    config = load_config_from_file(str(path))  # refuses unknown keys
    values = yaml.safe_load(path.read_text())
    known = {action.dest for action in launch_command_parser()._actions}
    assert set(values.get("fsdp_config", {})) <= known, "accelerate drops unknown keys of fsdp_config without a word"
    if name != "single":
        assert config.fsdp_config["fsdp_version"] == 2
        other = yaml.safe_load((ROOT / "recipes/accelerate/fsdp2.yaml").read_text())
        assert values["fsdp_config"] == other["fsdp_config"], "several machines shard as one does"


def test_the_slurm_script_is_shell_and_requeues_on_the_code_of_a_stopped_run():
    from recipes.trainer import STOPPED_EXIT_CODE

    path = ROOT / "recipes/launch.slurm"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    assert f'"$code" -eq {STOPPED_EXIT_CODE}' in text and "--signal=USR1@" in text and "--requeue" in text
