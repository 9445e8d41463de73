"""What a recipe will need, before anything is downloaded: GPUs, steps, tokens, GiB per rank, hours.

reads   a recipe and recipes/bases.yaml; writes nothing

    DRY_RUN=1 make train-ds67b        (or: python -m recipes.plan recipes/sft/deepseek-coder-6.7b/full.yaml)

Memory is arithmetic, not a measurement: fp32 weights, gradients and two Adam moments (16 bytes a parameter) over the
ranks, the hidden states that checkpointing keeps, and the logits of one micro-batch.
"""

import argparse
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

from artefacts import ROOT, Refusal, StrictModel, command_line, read_mapping, validate
from recipes.recipe import Recipe, load

GIB = 2**30


class Base(StrictModel):
    """Shape of a base model, from its config.json; for the plan only."""

    parameters: PositiveInt
    hidden_size: PositiveInt
    layers: PositiveInt
    vocab_size: PositiveInt


def gpus_found() -> list[str]:
    """Names of the GPUs of this machine, without importing torch."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def gib_per_rank(base: Base, arguments: dict[str, Any], world_size: int) -> dict[str, float]:
    """GiB that one rank holds, by purpose, when everything is sharded over `world_size` ranks."""
    tokens = arguments["per_device_train_batch_size"] * arguments["max_length"]
    kept = (
        base.layers if arguments["activation_checkpointing"] else base.layers * 17
    )  # 34 bytes a token and unit, bf16
    return {
        "weights, gradients, Adam (fp32, sharded)": 16 * base.parameters / world_size / GIB,
        "activations (bf16)": 2 * tokens * base.hidden_size * kept / GIB,
        "one layer unsharded (bf16) and its workings": 2 * base.parameters / base.layers / GIB * 2,
        "logits and their gradient (fp32)": 2 * 4 * tokens * base.vocab_size / GIB,
    }


def plan(path: Path, recipe: Recipe, arguments: dict[str, Any]) -> dict[str, Any]:
    """Steps, tokens, hours and memory of a recipe.

    Raises:
        Refusal: the shape of the base is not in recipes/bases.yaml.
    """
    bases = read_mapping(ROOT / "recipes" / "bases.yaml")
    if recipe.base not in bases:
        raise Refusal(f"{path}: base '{recipe.base}' is not in recipes/bases.yaml; known: {', '.join(bases)}.")
    base = validate(Base, bases[recipe.base], f"recipes/bases.yaml: {recipe.base}")
    per_step = (
        recipe.world_size
        * arguments["per_device_train_batch_size"]
        * arguments["gradient_accumulation_steps"]
        * arguments["max_length"]
    )
    tokens = recipe.planned_tokens * arguments["num_train_epochs"]
    return {
        "epochs": arguments["num_train_epochs"],
        "tokens_per_step": per_step,
        "tokens": tokens,
        "steps": math.ceil(tokens / per_step),
        "hours": tokens / (recipe.planned_tokens_per_s * recipe.world_size) / 3600,
        "gib_per_rank": gib_per_rank(base, arguments, recipe.world_size),
        "checkpoint_gib": base.parameters * (2 if recipe.save_dtype == "bfloat16" else 4) / GIB,
    }


def show(path: Path, recipe: Recipe, planned: dict[str, Any], gpus: list[str]) -> str:
    """The plan as a text for a person."""
    memory = planned["gib_per_rank"]
    missing = " (not there yet)" if recipe.data.startswith("build/") and not Path(recipe.data).exists() else ""
    steps = f"{planned['steps']:,} steps, {planned['epochs']:g} epoch(s)"
    lines = [
        f"plan of {path}",
        f"  base            {recipe.base}, saved as {recipe.save_dtype} ({planned['checkpoint_gib']:.1f} GiB)",
        f"  data            {recipe.data}{missing}, about {recipe.planned_tokens:,} tokens an epoch (planned)",
        f"  processes       {recipe.world_size} in the recipe; GPUs here: {', '.join(gpus) or 'none'}",
        f"  batch           {planned['tokens_per_step']:,} tokens a step, {steps}",
        f"  hours           {planned['hours']:.1f} at {recipe.planned_tokens_per_s:,} tokens/s a process, planned",
        f"  GiB per rank    {sum(memory.values()):.1f} (arithmetic, not measured)",
        *(f"    {gib:8.2f}  {what}" for what, gib in memory.items()),
    ]
    return "\n".join(lines)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.plan", description=__doc__.split("\n\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop, whatever the machine")
    arguments = parser.parse_args()
    recipe, sft = load(arguments.recipe)
    gpus = gpus_found()
    print(show(arguments.recipe, recipe, plan(arguments.recipe, recipe, sft), gpus))
    if arguments.dry_run or recipe.world_size == 1:
        return
    raise Refusal(
        f"{arguments.recipe}: launching {recipe.world_size} processes is not built yet, only planned (GPUs needed: "
        f"{recipe.world_size}, here: {len(gpus)}); the recipe that runs today is make train-demo."
    )


if __name__ == "__main__":
    raise SystemExit(main())
