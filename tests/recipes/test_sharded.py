"""Two ranks that really shard, over gloo: the curve of one process, whole files, a resume, and the silent failures."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from artefacts import ROOT, read_json
from recipes import checkpoints, launch, prepare, sft
from recipes.recipe import load
from recipes.supervise import STOPPED_EXIT_CODE
from tests.recipes.conftest import toy_rows, write_dataset
from tests.recipes.test_sft import same, weights

pytestmark = pytest.mark.slow
TWENTY = {"max_steps": 20, "save_steps": 8, "bf16": False, "learning_rate": 3e-3, "gradient_accumulation_steps": 1}


def two_ranks(*arguments, **env) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    script = str(ROOT / "tests/recipes/sharded_on_cpu.py")
    return subprocess.Popen(
        [*command, script, *map(str, arguments)], cwd=ROOT, env=environment | env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture
def recipes_of(recipe_file, tmp_path):
    """The same recipe for one process and for two that shard, over rows that are prepared."""
    data = write_dataset(tmp_path / "data", toy_rows(150), test=toy_rows(155)[150:])

    def make(**changes):
        one = recipe_file("one", **(TWENTY | {"data": str(data), "gradient_accumulation_steps": 2} | changes))
        two = recipe_file("two", **(TWENTY | {"data": str(data), "sharding": "fsdp2", "world_size": 2} | changes))
        for path in (one, two):
            prepare.prepare(path, *load(path), tmp_path / "prepared")
        return one, two

    return make


@pytest.mark.parametrize("base", ["tiny_model", "tiny_glm"])
def test_two_sharded_ranks_take_the_steps_of_one_process(recipes_of, in_process, tmp_path, request, base):
    one, two = recipes_of(base=str(request.getfixturevalue(base)), eval_strategy="epoch")
    assert in_process(sft, one, "--output", tmp_path / "one").code == 0
    ranks = two_ranks(two, "--output", tmp_path / "two")
    said = ranks.communicate(timeout=240)[0]
    assert ranks.returncode == 0, said[-3000:]
    alone, sharded = (read_json(tmp_path / name / "run.json") for name in ("one", "two"))
    assert len(alone["losses"]) == len(sharded["losses"]) == 20 and sharded["hardware"]["processes"] == 2
    assert sharded["hardware"]["weights_share_of_a_process"] == pytest.approx(0.5, abs=0.01), "really sharded"
    assert sharded["losses"] == pytest.approx(alone["losses"], abs=1e-4)
    assert dict(sharded["eval_losses"]["toy"]) == pytest.approx(dict(alone["eval_losses"]["toy"]), abs=1e-3)
    assert alone["losses"][0] - alone["losses"][-1] > 0.3, "the curve falls: that two agree says something"
    left, right = weights(tmp_path / "one/model"), weights(tmp_path / "two/model")
    assert left.keys() == right.keys() and all((left[n].float() - right[n].float()).abs().max() < 2e-2 for n in left)
    assert sharded["checkpoint"]["reloaded_tokens_equal"] == 20


def launched(path, output) -> subprocess.Popen:
    """The command that recipes.launch becomes, on CPU ranks that shard."""
    recipe, _ = load(path)
    arguments = [str(path), "--output", str(output)]
    command = launch.command_of(recipe, arguments, 1, {})
    shim = ["tests.recipes.sharded_on_cpu" if part == "recipes.sft" else part for part in command]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        shim, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )  # fmt: skip


def below(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [p for child in map(int, found) for p in [child, *below(child)]]


def is_running(pid: int) -> bool:
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(path, running) -> None:
    deadline = time.monotonic() + 200
    while not path.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists(), running.communicate()[0][-3000:]


@pytest.fixture
def straight(recipes_of, tmp_path):
    """The recipe of two ranks, and its run without an accident."""
    _, two = recipes_of()
    run = launched(two, tmp_path / "straight")
    said = run.communicate(timeout=240)[0]
    assert run.returncode == 0, said[-3000:]
    return two, tmp_path / "straight"


def test_two_launched_ranks_stop_when_asked_and_go_on_to_the_same_weights(straight, tmp_path):
    """Asked twice in one run: by a scheduler before the time is up (SIGUSR1), and by SIGTERM after the resume."""
    two, run = straight
    for number, marker in ((signal.SIGUSR1, "checkpoint-8"), (signal.SIGTERM, "checkpoint-16")):
        stopped = launched(two, tmp_path / "stopped")
        wait_for(tmp_path / "stopped" / marker / "complete.json", stopped)
        ranks = below(stopped.pid)
        assert len(ranks) >= 3, "the launcher and its two ranks"
        stopped.send_signal(number)
        said = stopped.communicate(timeout=240)[0]
        assert stopped.returncode == STOPPED_EXIT_CODE and "stopped at step" in said, said[-3000:]
        assert "Traceback" not in said and not any(map(is_running, ranks)), "no orphan"
    resumed = launched(two, tmp_path / "stopped")
    said = resumed.communicate(timeout=240)[0]
    assert resumed.returncode == 0 and "resuming from" in said, said[-3000:]
    assert read_json(tmp_path / "stopped/run.json")["resumed_from_step"] >= 16
    assert same(weights(run / "model"), weights(tmp_path / "stopped/model")), "bit for bit"


def test_ranks_stop_with_a_checkpoint_when_their_supervisor_is_killed(recipes_of, tmp_path):
    _, two = recipes_of(max_steps=400, save_steps=400)
    running = launched(two, tmp_path / "run")
    wait_for(tmp_path / "run/audit.json", running)
    ranks = below(running.pid)
    running.kill()
    deadline = time.monotonic() + 120
    while any(map(is_running, ranks)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(ranks) >= 3 and not any(map(is_running, ranks))
    found, _ = checkpoints.newest_complete(tmp_path / "run")
    assert found is not None or "stopped before a step" in running.communicate()[0]


def test_ranks_that_fail_are_not_taken_for_stopped_ones(recipes_of, tmp_path):
    _, two = recipes_of()
    running = launched(two, tmp_path / "run")
    wait_for(tmp_path / "run/checkpoint-8/complete.json", running)
    rank = next(p for p in below(running.pid) if "RANK=1" in open(f"/proc/{p}/environ").read().split("\0"))
    os.kill(rank, signal.SIGKILL)
    said = running.communicate(timeout=240)[0]
    assert running.returncode == 1, said[-3000:]


def test_ranks_that_accelerate_left_unsharded_are_refused(recipes_of, tmp_path):
    _, two = recipes_of()
    ranks = two_ranks(two, "--output", tmp_path / "run", SHARD="0")
    said = ranks.communicate(timeout=240)[0]
    assert ranks.returncode != 0 and "says sharding fsdp2, but the processes run as MULTI_CPU" in said, said[-3000:]
    assert not (tmp_path / "run/run.json").exists()


def test_kill_9_in_the_middle_of_a_run_costs_the_steps_since_the_last_checkpoint(recipes_of, tmp_path):
    """One process, killed as a whole wherever it is, three times; the weights are those of a straight run."""
    one, _ = recipes_of(save_steps=3)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "recipes.sft", str(one), "--output"]
    options = {"cwd": ROOT, "env": environment, "text": True}
    subprocess.run([*command, tmp_path / "straight"], check=True, capture_output=True, timeout=240, **options)
    output = tmp_path / "killed"
    for kill_at in (3, 9):
        running = subprocess.Popen([*command, output], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        while not (output / f"checkpoint-{kill_at}").exists() and running.poll() is None:
            time.sleep(0.002)
        running.kill()  # perhaps while that checkpoint is being written
        running.wait()
    done = subprocess.run([*command, output], capture_output=True, timeout=240, **options)
    assert done.returncode == 0 and "resuming from" in done.stdout, done.stderr[-2000:]
    assert same(weights(tmp_path / "straight/model"), weights(output / "model")), "bit for bit"
    assert json.loads((output / "run.json").read_text())["steps"] == 20
