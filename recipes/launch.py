"""Plan, refuse or go on, prepare the rows, launch: the front door of every recipe that wants a GPU.

    python -m recipes.launch recipes/sft/deepseek-coder-6.7b/full.yaml --dry-run

reads   a recipe, this machine, recipes/accelerate/*.yaml; writes what prepare and sft write
"""

import argparse
import os
import signal
import sys
from typing import Any

from artefacts import ROOT, Refusal, command_line, read_json
from recipes import inputs, plan
from recipes.prepare import prepare, show_audit
from recipes.recipe import Recipe, for_world, load, overrides_of
from recipes.sft import arguments_of, at_least_one, output_of
from recipes.supervise import SIGNALS, STOPPED_EXIT_CODE
from recipes.trainer import Stopped, stopping_at_once

ACCELERATE = ROOT / "recipes" / "accelerate"


def world_size(recipe: Recipe, nproc: int | None, nnodes: int | None, gpus: int) -> tuple[int, int]:
    """Processes in all and machines: as asked, else those of the recipe, on machines like this one.

    Args:
        gpus: GPUs of this machine; without any, eight a machine are assumed for the plan.
    """
    if nproc is None and nnodes is None:
        return recipe.world_size, 1
    each = nproc or (1 if recipe.sharding == "none" else gpus or 8)
    return each * (nnodes or 1), nnodes or 1


def command_of(recipe: Recipe, sft_arguments: list[str], nnodes: int, environment: dict[str, str]) -> list[str]:
    """The command that trains: plain Python for one process, else a supervised `accelerate launch`.

    Args:
        environment: of several machines `NODE_RANK` (or SLURM_NODEID), `MASTER_ADDR` and `MASTER_PORT`.

    Raises:
        Refusal: several machines, and one of the three is missing.
    """
    if recipe.sharding == "none":
        return [sys.executable, "-m", "recipes.sft", *sft_arguments]
    accelerate = [sys.executable, "-m", "recipes.supervise"]
    accelerate += [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    where = ["--num_processes", str(recipe.world_size), "--num_machines", str(nnodes)]
    if nnodes == 1:
        return [*accelerate, str(ACCELERATE / "fsdp2.yaml"), *where, "-m", "recipes.sft", *sft_arguments]
    told = environment | {"NODE_RANK": environment.get("NODE_RANK", environment.get("SLURM_NODEID"))}
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not told.get(name):
            raise Refusal(
                f"NNODES={nnodes}: {name} is not set; sbatch recipes/launch.slurm sets it, or set it by hand."
            )
    where += ["--machine_rank", told["NODE_RANK"], "--main_process_ip", told["MASTER_ADDR"]]
    where += ["--main_process_port", told["MASTER_PORT"]]
    return [*accelerate, str(ACCELERATE / "fsdp2_multinode.yaml"), *where, "-m", "recipes.sft", *sft_arguments]


def pinned_overrides(given: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    """The overrides of the command line with the commits of base and data on the Hub, the same for all ranks."""
    pinned = inputs.pin(recipe)
    names = ("base_revision", "data_revision")
    return overrides_of(given) | {name: value for name in names if (value := getattr(pinned, name))}


def launch(given: argparse.Namespace) -> int:
    """Plan, refuse or prepare, and become the command that trains."""
    output, here = output_of(given), plan.machine(output_of(given))
    recipe, arguments = load(given.recipe, overrides_of(given))
    size, nnodes = world_size(recipe, given.nproc, given.nnodes, len(here.gpus))
    recipe, arguments = for_world(given.recipe, recipe, arguments, given.world_size or size)
    planned = plan.plan(given.recipe, recipe, arguments)
    print(plan.show(given.recipe, recipe, planned, here), flush=True)
    if given.dry_run:
        return 0
    plan.refuse_if_it_cannot_run(given.recipe, recipe, arguments, planned, here, nnodes)
    overrides = pinned_overrides(given, recipe)
    at_commit, arguments = for_world(given.recipe, *load(given.recipe, overrides), recipe.world_size)
    prepared = prepare(given.recipe, at_commit, arguments, output.parent / "prepared", os.cpu_count() or 1)
    if given.prepare_only:
        print(show_audit(read_json(prepared / "prepared.json")))
        return 0
    sft = [str(given.recipe), "--output", str(output), "--world-size", str(recipe.world_size)]
    for name, value in overrides.items():
        sft += [f"--{name.replace('_', '-')}", value]
    command = command_of(recipe, sft + ["--fresh"] * given.fresh, nnodes, dict(os.environ))
    environment = dict(os.environ)
    if recipe.sharding == "none":  # on several GPUs transformers would split the rows of one process over all
        environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    # a signal that comes while the next interpreter starts waits for its handler: blocked signals outlive exec
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        os.execve(command[0], command, environment)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@command_line
def main() -> int:
    parser = arguments_of(__doc__.split("\n\n")[0])
    parser.prog = "python -m recipes.launch"
    parser.add_argument("--nproc", type=at_least_one, help="processes (GPUs) on a machine")
    parser.add_argument("--nnodes", type=at_least_one, help="machines")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop, whatever the machine")
    parser.add_argument("--prepare-only", action="store_true", help="tokenise and pack, and stop before training")
    given = parser.parse_args()
    try:
        with stopping_at_once():
            return launch(given)
    except Stopped as stopped:
        print(f"launch: {stopped}", file=sys.stderr)
        return STOPPED_EXIT_CODE


if __name__ == "__main__":
    raise SystemExit(main())
