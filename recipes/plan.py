"""What a recipe will need, before anything is downloaded: GPUs, steps, tokens, GiB per rank, hours, disk, gates.

reads   a recipe, recipes/bases.yaml, recipes/throughput.yaml, the machine (nvidia-smi, free disk); writes nothing

    DRY_RUN=1 make train-ds67b        (python -m recipes.launch recipes/sft/deepseek-coder-6.7b/full.yaml --dry-run)

Memory is arithmetic (recipes/memory.py), hours come from cited or measured rows (recipes/throughput.yaml).
"""

import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from artefacts import ROOT, Refusal, StrictModel, read_json, read_mapping, validate
from recipes import inputs
from recipes.memory import FITS_SHARE, Base, disk_gib, gib_per_rank
from recipes.recipe import Recipe, for_world, load, ours, refuse_longer_than

THROUGHPUT = ROOT / "recipes" / "throughput.yaml"


class Rate(StrictModel):
    """Tokens a second that somebody measured."""

    tokens_per_s: PositiveInt
    parameters: PositiveInt  # of the model it was measured with
    source: str = Field(min_length=10)


class Hardware(StrictModel):
    """What a process runs on."""

    memory_gib: PositiveFloat | PositiveInt
    full: Rate | None = None
    lora: Rate | None = None


@dataclass(frozen=True)
class Machine:
    """What is here: names and GiB of the GPUs, GiB of free disk."""

    gpus: list[tuple[str, float]]
    free_gib: float


def machine(folder: Path = Path(".")) -> Machine:
    """Look at this machine, without importing torch (nvidia-smi, statvfs)."""
    gpus = []
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
        for line in done.stdout.splitlines() if done.returncode == 0 else []:
            name, _, mib = line.rpartition(",")
            if mib.strip().isdigit():
                gpus.append((name.strip(), int(mib) / 1024))
    existing = next(p for p in [folder.resolve(), *folder.resolve().parents] if p.exists())
    return Machine(gpus, shutil.disk_usage(existing).free / 2**30)


def base_of(path: Path, recipe: Recipe) -> Base:
    """Shape of the recipe's base: of recipes/bases.yaml, or of the config.json of a folder or of the Hub.

    Raises:
        Refusal: none of them knows it.
    """
    if entry := inputs.entry_of_base(recipe.base):
        return validate(Base, entry, f"recipes/bases.yaml: {recipe.base}")
    config = read_json(Path(recipe.base) / "config.json")
    if config is None and not inputs.is_local(recipe.base):
        config = inputs.config_on_hub(recipe)
    if config is None:
        raise Refusal(
            f"{path}: base '{recipe.base}' is not in recipes/bases.yaml, and neither a folder nor the Hub gives its "
            f"config.json; known: {', '.join(read_mapping(inputs.BASES))}."
        )
    if config.get("model_type") not in ("llama", "glm"):
        raise Refusal(
            f"{recipe.base}/config.json: a plan knows the shapes of llama and glm, not of "
            f"{config.get('model_type')!r}; add the base to recipes/bases.yaml."
        )
    return shape_of(config)


def shape_of(config: dict[str, Any]) -> Base:
    """Shape of a Llama or a GLM from its config.json, its parameters counted."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    kv_heads, tied = config.get("num_key_value_heads") or heads, config.get("tie_word_embeddings", False)
    kv = hidden * kv_heads // heads
    biases = hidden + 2 * kv if config["model_type"] == "glm" and config["attention_bias"] else 0
    layer = 2 * hidden * hidden + 2 * hidden * kv + biases + 3 * hidden * inner + 2 * hidden  # two norms
    embeddings = config["vocab_size"] * hidden * (1 if tied else 2)
    return Base(
        architecture=config["model_type"], hidden_size=hidden, intermediate_size=inner,
        layers=config["num_hidden_layers"], heads=heads, kv_heads=kv_heads, vocab_size=config["vocab_size"], tied=tied,
        gated=False, context_tokens=config["max_position_embeddings"],
        parameters=embeddings + config["num_hidden_layers"] * layer + hidden,
    )  # fmt: skip


def hardware_of(path: Path, recipe: Recipe) -> Hardware:
    """The row of recipes/throughput.yaml that the recipe names.

    Raises:
        Refusal: there is none.
    """
    rows = read_mapping(THROUGHPUT)
    if recipe.hardware not in rows:
        raise Refusal(
            f"{path}: hardware '{recipe.hardware}' is not in recipes/throughput.yaml; known: {', '.join(rows)}."
        )
    return validate(Hardware, rows[recipe.hardware], f"recipes/throughput.yaml: {recipe.hardware}")


def hours(base: Base, recipe: Recipe, hardware: Hardware, tokens: float) -> tuple[float | None, str]:
    """Planned hours and where the figure is from; None where nobody measured.

    The rate of a model of another size is scaled by its parameters. LoRA on unquantised weights does less than full
    fine-tuning, so that without a row of its own the full row bounds it.
    """
    rate = getattr(hardware, recipe.method)
    bounded = rate is None and recipe.method == "lora" and recipe.quantisation == "none" and hardware.full is not None
    rate = hardware.full if bounded else rate
    if rate is None or recipe.quantisation != "none":
        return None, f"not known: no row for {recipe.method} ({recipe.quantisation}) on {recipe.hardware}"
    per_s = rate.tokens_per_s * rate.parameters / base.parameters * recipe.world_size
    return (
        tokens / per_s / 3600,
        f"{'at most: ' if bounded else ''}{rate.tokens_per_s:,} tokens/s a process, {rate.source}",
    )


def plan(path: Path, recipe: Recipe, arguments: dict[str, Any]) -> dict[str, Any]:
    """Steps, tokens, hours, memory and disk of a recipe.

    Raises:
        Refusal: the base or the hardware is not known, or rows may be longer than the base's context.
    """
    base, hardware = base_of(path, recipe), hardware_of(path, recipe)
    refuse_longer_than(base.context_tokens, path, recipe)
    per_step = recipe.world_size * arguments["gradient_accumulation_steps"] * arguments["max_length"]
    tokens = recipe.planned_tokens * arguments["num_train_epochs"]
    duration, source = hours(base, recipe, hardware, tokens)
    return {
        "epochs": arguments["num_train_epochs"],
        "tokens_per_step": per_step,
        "tokens": tokens,
        "steps": math.ceil(tokens / per_step),
        "hours": duration,
        "hours_source": source,
        "gib_per_rank": gib_per_rank(base, recipe, arguments),
        "gib_of_hardware": hardware.memory_gib,
        "disk_gib": disk_gib(base, recipe, arguments),
        "gated": base.gated,
    }


def show(path: Path, recipe: Recipe, planned: dict[str, Any], here: Machine) -> str:
    """The plan as a text for a person."""
    memory, disk = planned["gib_per_rank"], planned["disk_gib"]
    no_base, no_data = (" (not there yet)" if is_missing(name) else "" for name in (recipe.base, recipe.data))
    found = ", ".join(f"{name} ({gib:.0f} GiB)" for name, gib in here.gpus) or "none"
    took = "?" if planned["hours"] is None else f"{planned['hours']:.{1 if planned['hours'] >= 0.1 else 2}f}"
    how = recipe.method + ("" if recipe.quantisation == "none" else f" on {recipe.quantisation}")
    gated = " (gated)" if planned["gated"] else ""
    lines = [
        f"plan of {path}",
        f"  base            {recipe.base}{gated}{no_base}, {how}, saved as {recipe.save_dtype}",
        f"  data            {recipe.data}{no_data}, about {recipe.planned_tokens:,} tokens an epoch (planned)",
        f"  processes       {recipe.world_size} x {recipe.hardware} ({recipe.sharding}); GPUs here: {found}",
        f"  batch           {planned['tokens_per_step']:,} tokens a step, {planned['steps']:,} steps, "
        f"{planned['epochs']:g} epoch(s)",
        f"  hours           {took} ({planned['hours_source']})",
        f"  GiB per rank    {sum(memory.values()):.1f} of {planned['gib_of_hardware']:g} (arithmetic, not measured)",
        *(f"    {gib:8.2f}  {what}" for what, gib in memory.items()),
        f"  GiB of disk     {sum(disk.values()):.1f}, free here: {here.free_gib:.0f}",
        *(f"    {gib:8.2f}  {what}" for what, gib in disk.items()),
    ]
    first = what_to_do_first(recipe)
    return "\n".join([*lines, f"  first           {first}"] if first else lines)


def is_missing(name: str) -> bool:
    """Whether base or data can only be a folder, and there is none."""
    return inputs.is_local(name) and not Path(name).is_dir()


def what_to_do_first(recipe: Recipe) -> str:
    """The commands that make the folders of base and data that are not there yet, where this project has them."""
    named = (("data", recipe.data), ("base", recipe.base))
    return " && ".join(how for what, name in named if is_missing(name) and (how := inputs.how_to_make(what, name)))


def what_would_fit(path: Path, here: Machine) -> str:
    """The recipe beside `path` that this machine's GPUs could run, as the end of a sentence."""
    count, smallest = len(here.gpus), min(gib for _, gib in here.gpus)
    for sibling in [path, *sorted(p for p in path.parent.glob("*.yaml") if p != path)]:
        recipe, arguments = load(sibling)
        for nproc in sorted({count, 1}, reverse=True):
            if recipe.sharding == "none" and nproc != recipe.world_size:
                continue
            try:
                at_size = for_world(sibling, recipe, arguments, nproc)
            except Refusal:
                continue
            need = sum(gib_per_rank(base_of(sibling, at_size[0]), *at_size).values())
            if need <= FITS_SHARE * smallest:
                sized = "" if at_size[0].world_size == recipe.world_size else f" NPROC={nproc}"
                return f"RECIPE={sibling.stem}{sized} would fit ({need:.1f} GiB of {smallest:.0f})"
    return "the recipe that runs here is make train-demo"


def what_to_do_without_a_gpu(path: Path, recipe: Recipe) -> str:
    """What can be done on a machine without a GPU, as the end of a sentence: smaller recipes, other machines."""
    smaller = []
    for sibling in sorted(p for p in path.parent.glob("*.yaml") if p != path):
        other, _ = ours(sibling)
        if other.world_size == 1 and recipe.world_size > 1:
            smaller.append(f"RECIPE={sibling.stem} ({other.hardware})")
    can = [f"one GPU would do with {' or '.join(smaller)}"] if smaller else []
    if recipe.world_size > 1:
        can.append("NPROC= and NNODES= say how many GPUs there are elsewhere")
    return ", ".join([*can, f"{'and ' if can else ''}what runs here is make train-demo"])


def refuse_if_it_cannot_run(
    path: Path, recipe: Recipe, arguments: dict[str, Any], planned: dict[str, Any], here: Machine, nodes: int
) -> None:
    """Stop before the download what would stop after it.

    Raises:
        Refusal: no GPU or too few, too little memory or disk, or a gated base without a token.
    """
    if not arguments["use_cpu"] and not here.gpus:
        raise Refusal(
            f"{path} needs {recipe.world_size} x {recipe.hardware} and there is no GPU here; "
            f"{what_to_do_without_a_gpu(path, recipe)}."
        )
    if not arguments["use_cpu"]:
        per_node = recipe.world_size // nodes
        if len(here.gpus) < per_node:
            where = f"on each of {nodes} machines" if nodes > 1 else "on this machine"
            raise Refusal(
                f"{path} needs {per_node} GPU(s) {where} and there are {len(here.gpus)} here; "
                f"{what_would_fit(path, here)}, DRY_RUN=1 prints the plan alone, and recipes/launch.slurm launches it "
                "on a cluster."
            )
        smallest = min(gib for _, gib in here.gpus)
        need = sum(planned["gib_per_rank"].values())
        if need > FITS_SHARE * smallest:
            raise Refusal(
                f"{path} needs about {need:.1f} GiB on each GPU and the smallest here has {smallest:.0f}; "
                f"{what_would_fit(path, here)}."
            )
    disk = sum(planned["disk_gib"].values())
    if disk > here.free_gib:
        raise Refusal(
            f"{path} needs about {disk:.0f} GiB of disk and {here.free_gib:.0f} are free; free some, or name another "
            "disk with OUTPUT=."
        )
    if planned["gated"] and not Path(recipe.base).is_dir():
        from huggingface_hub import get_token

        if not get_token():
            raise Refusal(
                f"{path}: the base {recipe.base} is gated; accept its licence at https://huggingface.co/{recipe.base} "
                "and run `hf auth login`, or name a copy on disk with BASE=."
            )
