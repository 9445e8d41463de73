"""A recipe file: flat, complete, strict. Its keys are ours (`Recipe`) and TRL's (`trl.SFTConfig`), nothing else.

TRL's own command line ignores keys it does not know; here an unknown key is an error that names it, a wrong type
too, and what would undermine a run (pushing before the result is verified, code from the Hub) is refused.
"""

import argparse
import dataclasses
import logging
import typing
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError, model_validator

from artefacts import ROOT, Refusal, StrictModel, read_mapping, validate


class Recipe(StrictModel):
    """The keys of a recipe that are ours."""

    base: str  # folder or Hub id of the base model
    base_revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")  # commit on the Hub; null: main
    data: str  # folder or Hub id of the published mixture
    data_config: str  # configuration of the mixture: sft (permissive rows), sft_research (all), or another of its card
    data_revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")  # likewise, of a mixture on the Hub
    chat_template: str | None = Field(
        pattern=r"^[a-z0-9_]+\.jinja$"
    )  # of recipes/chat_templates; null: the base's own
    loss_on: Literal["completion", "full_sequence"]  # full_sequence supervises the prompt too (OctoCoder)
    pad_token: str  # never the EOS token: a model whose EOS is padding learns to go on for ever
    max_row_tokens: PositiveInt  # longer rows are dropped and counted, never cut; max_length is that of a packed row
    sample_tokens: PositiveInt | None = None  # a seeded sample of rows of about this many tokens; null for all
    method: Literal["full", "lora"]
    quantisation: Literal["none", "int8", "nf4"]  # of the frozen base under LoRA (bitsandbytes)
    lora_r: PositiveInt | None = None
    lora_alpha: PositiveInt | None = None
    lora_dropout: float | None = Field(None, ge=0, lt=1)
    lora_target_modules: list[str] | None = Field(None, min_length=1)
    sharding: Literal["none", "fsdp2"]
    attention: Literal["auto", "sdpa", "flash_attention_2"]  # auto: flash_attention_2 where it is installed, else sdpa
    save_dtype: Literal["bfloat16", "float32"]
    world_size: PositiveInt  # processes that the recipe is written for
    hardware: str  # one of recipes/throughput.yaml: what a process runs on, for the plan
    planned_tokens: PositiveInt  # tokens of one epoch, for the plan before the data is there

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        lora = {k: v for k, v in self.model_dump().items() if k.startswith("lora_")}
        given = [key for key, value in lora.items() if value is not None]
        if self.method == "lora" and len(given) < len(lora):
            raise ValueError(f"method lora needs the key '{next(k for k in lora if k not in given)}'")
        if self.method == "full" and (given or self.quantisation != "none"):
            raise ValueError(f"method full trains every weight: take out '{(given or ['quantisation'])[0]}'")
        if self.sharding == "fsdp2" and self.method == "lora":
            raise ValueError("adapters are trained on one GPU here: sharding none, or method full")
        if self.sharding == "none" and self.world_size != 1:
            raise ValueError("without sharding a recipe is for one process: world_size 1, or sharding fsdp2")
        return self


# What a run reads of trl.SFTConfig and must therefore be said: a default may change between versions of TRL.
REQUIRED = (
    "max_length", "packing", "packing_strategy", "num_train_epochs", "per_device_train_batch_size",
    "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "optim", "weight_decay", "seed", "data_seed",
    "bf16", "activation_checkpointing", "use_cpu", "logging_steps", "eval_strategy", "save_strategy", "report_to",
)  # fmt: skip
FORBIDDEN = {
    "output_dir": "the command line says where a run goes (--output)",
    "push_to_hub": "publishing is a step of its own, after the checkpoint was verified",
    "trust_remote_code": "no code from the Hub is run",
    "resume_from_checkpoint": "a run resumes by itself from its last complete checkpoint (--fresh starts over)",
    "chat_template_path": "the key chat_template names a file of recipes/chat_templates",
    "model_init_kwargs": "the keys base, base_revision, attention and quantisation say how the model is loaded",
    "fsdp": "the key sharding says it, recipes/accelerate/ holds the settings",
    "completion_only_loss": "the key loss_on says it, and the labels are made before training",
    "assistant_only_loss": "the key loss_on says it, and the labels are made before training",
    "padding_free": "packing says it",
    "ignore_data_skip": "a resumed run would see other rows",
    "save_only_model": "a checkpoint without its optimiser resumes silently with other weights",
    "load_best_model_at_end": "the last step is what is saved",
    "auto_find_batch_size": "it changes the effective batch without a word",
}
CHAT_TEMPLATES = ROOT / "recipes" / "chat_templates"


def ours(path: Path, overrides: dict[str, Any] | None = None) -> tuple[Recipe, dict[str, Any]]:
    """Read our keys of a recipe file, and leave the others as they are; imports neither TRL nor torch.

    Args:
        overrides: keys given on the command line (`base`, `data`), checked like those of the file.

    Raises:
        Refusal: a forbidden key, a missing key, or a value of ours that makes no sense; names file and key.
    """
    values = read_mapping(path) | (overrides or {})
    for key, why in FORBIDDEN.items():
        if key in values:
            raise Refusal(f"{path}: the key '{key}' has no place in a recipe: {why}.")
    for key in REQUIRED:
        if values.get(key) is None:
            raise Refusal(f"{path}: the key '{key}' is missing.")
    if values["packing"] is not True or values["packing_strategy"] != "bfd":
        raise Refusal(
            f"{path}: key 'packing_strategy': got {values['packing_strategy']!r} with packing {values['packing']!r}, "
            "but only packing true with bfd keeps rows whole and apart from each other without padding."
        )
    if values["per_device_train_batch_size"] != 1:
        raise Refusal(
            f"{path}: key 'per_device_train_batch_size': got {values['per_device_train_batch_size']!r}, but packed "
            "rows go one at a time (max_length says how many tokens); raise gradient_accumulation_steps instead."
        )
    if values.get("save_strategy") != "no" and values.get("save_total_limit") != 2:
        raise Refusal(
            f"{path}: key 'save_total_limit': got {values.get('save_total_limit')!r}, but a run keeps 2 checkpoints: "
            "the newest may be the one that a crash cut short."
        )
    recipe = validate(Recipe, {k: v for k, v in values.items() if k in Recipe.model_fields}, str(path))
    if isinstance(values["max_length"], int) and recipe.max_row_tokens > values["max_length"]:
        raise Refusal(
            f"{path}: key 'max_row_tokens': {recipe.max_row_tokens} tokens do not fit a packed row of max_length "
            f"{values['max_length']}; lower it."
        )
    if recipe.chat_template and not (CHAT_TEMPLATES / recipe.chat_template).is_file():
        known = ", ".join(sorted(p.name for p in CHAT_TEMPLATES.glob("*.jinja")))
        raise Refusal(
            f"{path}: key 'chat_template': recipes/chat_templates has no {recipe.chat_template}, but {known}."
        )
    return recipe, {k: v for k, v in values.items() if k not in Recipe.model_fields}


OVERRIDES = {
    "base": "another base model than the recipe's (folder or Hub id)",
    "data": "another dataset repository than the recipe's (folder or Hub id)",
    "data_config": "another configuration of it than the recipe's (sft, sft_research, ...)",
    "base_revision": "commit of a base on the Hub (default: the recipe's, else main's)",
    "data_revision": "commit of a mixture on the Hub (default: likewise)",
}


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Give a command line the keys of a recipe that it may replace."""
    for name, what in OVERRIDES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=what)


def overrides_of(given: argparse.Namespace) -> dict[str, str]:
    """The keys of a recipe that the command line gives."""
    return {name: value for name in OVERRIDES if (value := getattr(given, name))}


def load(path: Path, overrides: dict[str, Any] | None = None) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file.

    Returns:
        Our keys, and the arguments of `trl.SFTConfig`.

    Raises:
        Refusal: see `ours`; or an unknown key of TRL's, or a value of the wrong type; names file and key.
    """
    from trl import SFTConfig  # imports torch (5 s): only when a recipe is really run

    recipe, theirs = ours(path, overrides)
    known = {f.name for f in dataclasses.fields(SFTConfig) if f.init}
    hints = typing.get_type_hints(SFTConfig)
    arguments = {}
    for key, value in theirs.items():
        if key not in known:
            raise Refusal(
                f"{path}: unknown key '{key}': it is neither ours (recipes/recipe.py) nor one of trl.SFTConfig."
            )
        try:
            arguments[key] = TypeAdapter(hints[key], config=_STRICT).validate_python(value)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise Refusal(f"{path}: key '{key}': {said}, got {value!r} (write 1.0e-4, not 1e-4).") from None
    try:  # what TRL itself refuses (an unknown optimiser, a schedule), whatever this machine can do
        SFTConfig(**(arguments | {"use_cpu": True, "bf16": False}), output_dir="unused")
    except (ValueError, TypeError) as error:
        raise Refusal(f"{path}: trl.SFTConfig refuses it: {' '.join(str(error).split())}.") from None
    return recipe, arguments


_STRICT = ConfigDict(strict=True)
# bitsandbytes warns on import about a kernel of the Hub that nothing here asks for
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def refuse_longer_than(context_tokens: int, path: Path, recipe: Recipe) -> None:
    """Rows may not be longer than the base's context.

    Raises:
        Refusal: they may.
    """
    if recipe.max_row_tokens > context_tokens:
        raise Refusal(
            f"{path}: key 'max_row_tokens': {recipe.max_row_tokens} is longer than the {context_tokens} positions "
            f"that {recipe.base} knows; lower it."
        )


def for_world(
    path: Path, recipe: Recipe, arguments: dict[str, Any], world_size: int | None
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe on another number of processes: accumulation changes so that a step keeps its tokens.

    Raises:
        Refusal: the rows of a step do not divide by `world_size`, or the recipe is for one process.
    """
    if world_size is None or world_size == recipe.world_size:
        return recipe, arguments
    if recipe.sharding == "none":
        raise Refusal(f"{path} is for one process (sharding none), not for {world_size}; take NPROC and NNODES away.")
    rows = recipe.world_size * arguments["gradient_accumulation_steps"]
    if world_size < 1 or rows % world_size:
        raise Refusal(
            f"{path}: a step has {rows} packed rows, which {world_size} processes cannot share; take a divisor."
        )
    changed = {"gradient_accumulation_steps": rows // world_size}
    return recipe.model_copy(update={"world_size": world_size}), arguments | changed
