"""The front door: make targets, plan and refusal without a GPU, the command for one machine and for four."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from artefacts import ROOT, Refusal, read_json
from recipes import launch
from recipes.recipe import load
from recipes.supervise import SIGNALS, STOPPED_EXIT_CODE

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
    settings = ["DRY_RUN=1", "NPROC=4", "NNODES=2", "BASE=b", "DATA=d", "DATA_CONFIG=c", "OUTPUT=o"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-n", key, *settings]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    line = done.stdout.strip().splitlines()[-1]
    assert (ROOT / re.search(r"recipes/sft/\S+\.yaml", line)[0]).is_file()
    assert " ".join(line.split()).endswith(
        "--nproc 4 --nnodes 2 --base b --data d --data-config c --output o --dry-run"
    )


TARGETS = re.findall(
    r"^((?:train|merge|chat|convert|rebuild)[a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_of_whatever_takes_time_is_a_plan(target):
    assert len(TARGETS) == 6 + 4 + 6 + 2
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    for dry_run in ("0", "1"):
        command = ["make", "-n", target, f"DRY_RUN={dry_run}", "MODEL=m"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        started = [line for line in done.stdout.splitlines() if " -m " in line]
        assert ["--dry-run" in line for line in started[-1:]] == [dry_run == "1"]
        assert dry_run == "0" or len(started) == 1, "and nothing is made first"


@pytest.mark.parametrize("dry_run", ["0", "1"])
@pytest.mark.parametrize(
    ("given", "options", "makes"),
    [
        ({}, ["build/models/SmolLM2-135M-Instruct", "build/hub/datasets/demo", "build/runs/smollm2-135m-full"], True),
        (
            {"MIXTURE": "octopack", "BUILD": "/x"},
            ["/x/models/SmolLM2-135M-Instruct", "/x/hub/datasets/octopack", "/x/runs/smollm2-135m-full-octopack"],
            True,
        ),
        ({"BASE": "b", "DATA": "d", "OUTPUT": "o"}, ["b", "d", "o"], False),
    ],
)
def test_the_demo_is_trained_on_what_make_builds_or_on_what_is_named_and_planned_so_too(
    given, options, makes, dry_run
):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    settings = [f"{name}={value}" for name, value in given.items()]
    command = ["make", "-n", "train-demo", f"DRY_RUN={dry_run}", *settings]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.strip().splitlines()[-1].split()
    assert [words[words.index(f"--{name}") + 1] for name in ("base", "data", "output")] == options
    assert (ROOT / words[3]).is_file() and ("--dry-run" in words) == (dry_run == "1")
    made = [f"-m {module}" in done.stdout for module in ("recipes.base_model", "dataset_scripts.build")]
    assert made == [makes and dry_run == "0"] * 2


def test_a_recipe_of_the_demo_that_is_not_there_is_refused_before_anything_is_built_for_it():
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "train-demo", "RECIPE=nope", "PYTHON=true", f"PY={sys.executable}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout, done.stdout
    assert (
        "recipes/sft/smollm2-135m/nope.yaml: there is no such file; recipes/sft/smollm2-135m has full" in done.stderr
    )


def test_the_command_of_one_process_of_eight_and_of_four_machines():
    recipe, _ = load(DS67B)
    slurm = {"SLURM_NODEID": "2", "MASTER_ADDR": "node0", "MASTER_PORT": "20001"}
    one = launch.command_of(recipe.model_copy(update={"world_size": 8}), ["r.yaml"], 1, {})
    four = launch.command_of(recipe, ["r.yaml"], 4, slurm)
    assert one[1:3] == four[1:3] == ["-m", "recipes.supervise"]
    assert "fsdp2.yaml" in " ".join(one) and one[-3:] == ["-m", "recipes.sft", "r.yaml"]
    assert " ".join(four).split("fsdp2_multinode.yaml ")[1] == (
        "--num_processes 32 --num_machines 4 --machine_rank 2 --main_process_ip node0 --main_process_port 20001 "
        "-m recipes.sft r.yaml"
    )
    with pytest.raises(Refusal, match="NNODES=4: MASTER_PORT is not set"):
        launch.command_of(recipe, [], 4, {"NODE_RANK": "0", "MASTER_ADDR": "a"})
    single = launch.command_of(recipe.model_copy(update={"sharding": "none", "world_size": 1}), ["r.yaml"], 1, {})
    assert single[1:] == ["-m", "recipes.sft", "r.yaml"], "itself the process that is signalled and exits with 75"


@pytest.mark.parametrize(("given", "seen"), [({}, "0"), ({"CUDA_VISIBLE_DEVICES": "2,3"}, "2")])
def test_one_process_sees_one_gpu(recipe_file, in_process, tmp_path, monkeypatch, given, seen):
    became = []
    blocked = []
    monkeypatch.setattr(launch.os, "execve", lambda *arguments: blocked.append(mask()) or became.append(arguments))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert in_process(launch, recipe_file(), "--output", tmp_path / "run").code == 0
    [(_, command, environment)] = became
    assert command[1:3] == ["-m", "recipes.sft"] and environment["CUDA_VISIBLE_DEVICES"] == seen
    assert blocked == [{*SIGNALS}] and not mask() & {*SIGNALS}, "no stop is lost while the next interpreter starts"


def mask() -> set:
    """The stop signals that this thread blocks."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, []) & {*SIGNALS}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_that_came_while_the_interpreter_of_the_run_started_is_kept(recipe_file, tmp_path, number):
    """As recipes.launch becomes recipes.sft: the signal is there before the first line of Python runs."""
    became = [sys.executable, "-m", "recipes.sft", str(recipe_file()), "--output", str(tmp_path / "run")]
    script = (
        f"import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, {[int(n) for n in SIGNALS]});"
        f"os.kill(os.getpid(), {number}); os.execv({sys.executable!r}, {became!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == STOPPED_EXIT_CODE and f"stopped by {number.name}" in done.stderr, done.stderr[-2000:]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--nproc", "--nnodes", "--world-size"])
@pytest.mark.parametrize("value", ["0", "-3", "two", "1.5"])
def test_a_number_of_processes_that_is_none_is_refused(in_process, flag, value):
    done = in_process(launch, DS67B, "--dry-run", f"{flag}={value}")
    assert done.code == 2 and f"'{value}' is no number of processes or machines" in done.last and not done.out


@pytest.mark.parametrize("name", ["fsdp2", "fsdp2_multinode"])
def test_accelerate_knows_every_key_of_our_settings(name):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    path = ROOT / f"recipes/accelerate/{name}.yaml"
    config = load_config_from_file(str(path))  # refuses unknown keys
    values = yaml.safe_load(path.read_text())
    known = {action.dest for action in launch_command_parser()._actions}
    assert set(values.get("fsdp_config", {})) <= known, "accelerate drops unknown keys of fsdp_config without a word"
    assert config.fsdp_config["fsdp_version"] == 2
    other = yaml.safe_load((ROOT / "recipes/accelerate/fsdp2.yaml").read_text())
    assert values["fsdp_config"] == other["fsdp_config"], "several machines shard as one does"


@pytest.fixture
def slurm(tmp_path):
    """Run recipes/launch.slurm with stand-ins for scontrol and srun; the latter runs `task` as a task of one node."""

    def start(task: str, *arguments) -> subprocess.Popen:
        stubs = {
            "scontrol": 'echo "$@" >> "$STUBS/scontrol.log"; echo node0',
            "srun": 'while [[ $1 == --* ]]; do shift; done\necho $$ >> "$STUBS/tasks"; ' + task,
        }
        for name, script in stubs.items():
            (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
            (tmp_path / name).chmod(0o755)
        job = {
            "STUBS": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_NODELIST": "node0", "SLURM_JOB_ID": "41", "SLURM_NNODES": "1", "SLURM_GPUS_ON_NODE": "1",
            "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = ["bash", ROOT / "recipes/launch.slurm", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, env=os.environ | job, text=True, **pipes)

    start.tasks = lambda: [int(pid) for pid in (tmp_path / "tasks").read_text().split()]
    start.scontrol = lambda: (tmp_path / "scontrol.log").read_text().splitlines()
    return start


@pytest.mark.parametrize(
    ("prepared", "trained", "code", "requeued"),
    [(0, 75, 75, True), (75, 0, 75, True), (0, 0, 0, False), (0, 1, 1, False)],
)
def test_a_job_requeues_itself_when_its_run_was_stopped_and_never_else(slurm, prepared, trained, code, requeued):
    job = slurm(f'if [[ "$*" == *--prepare-only* ]]; then exit {prepared}; else exit {trained}; fi', "recipe.yaml")
    job.communicate(timeout=60)
    assert job.returncode == code and ("requeue 41" in slurm.scontrol()) == requeued


@pytest.mark.slow
def test_a_job_that_is_signalled_before_its_time_is_up_requeues_and_goes_on(slurm, recipe_file, tmp_path):
    recipe, run = recipe_file(save_steps=2, max_steps=60), tmp_path / "run"
    arguments = ['exec "$@"', recipe, "--output", run]
    job = slurm(*arguments)
    while not (run / "checkpoint-4/complete.json").exists() and job.poll() is None:
        time.sleep(0.02)
    for process in (job.pid, slurm.tasks()[-1]):  # a scheduler may signal the shell too
        os.kill(process, signal.SIGUSR1)
    said = job.communicate(timeout=240)[0]
    assert job.returncode == 75 and "stopped at step" in said, said[-3000:]
    assert slurm.scontrol().count("requeue 41") == 1
    again = slurm(*arguments)
    said = again.communicate(timeout=240)[0]
    assert again.returncode == 0 and "resuming from" in said, said[-3000:]
    assert slurm.scontrol().count("requeue 41") == 1 and read_json(run / "run.json")["steps"] == 60
