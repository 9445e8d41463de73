"""A recipe file: flat, complete, strict. Its keys are ours (`Recipe`) and TRL's (`trl.SFTConfig`), nothing else.

TRL's own command line ignores keys it does not know; here an unknown key is an error that names it, a wrong type
too, and what would undermine a run (pushing before the result is verified, code from the Hub) is refused.
"""

import dataclasses
import typing
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from artefacts import Refusal, StrictModel, read_mapping, validate


class Recipe(StrictModel):
    """The keys of a recipe that are ours."""

    base: str  # folder or Hub id of the base model
    base_revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")  # commit of a base on the Hub
    data: str  # folder or Hub id of the published mixture
    data_config: str = "sft"
    pad_token: str  # never the EOS token: a model whose EOS is padding learns to go on for ever
    sample_tokens: PositiveInt | None = None  # a seeded sample of rows of about this many tokens; null for all
    save_dtype: Literal["bfloat16", "float32"]
    world_size: PositiveInt  # processes that the recipe is written for
    planned_tokens: PositiveInt  # tokens of one epoch, for the plan before the data is there
    planned_tokens_per_s: PositiveInt  # per process; the header of the file says where the figure is from


# What a run reads of trl.SFTConfig and must therefore be said: a default may change between versions of TRL.
REQUIRED = (
    "max_length", "packing", "packing_strategy", "num_train_epochs", "per_device_train_batch_size",
    "gradient_accumulation_steps", "learning_rate", "seed", "bf16", "activation_checkpointing", "logging_steps",
)  # fmt: skip
FORBIDDEN = {
    "output_dir": "the command line says where a run goes (--output)",
    "push_to_hub": "publishing is a step of its own, after the checkpoint was verified",
    "trust_remote_code": "no code from the Hub is run",
    "resume_from_checkpoint": "a run starts from its base model; resuming is not built yet",
    "chat_template_path": "rows are tokenised by sft.py, with the template of the base model",
}


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
    if values["packing"] and values["packing_strategy"] != "bfd":
        raise Refusal(
            f"{path}: key 'packing_strategy': got {values['packing_strategy']!r}, but only bfd keeps rows whole and "
            "apart from each other."
        )
    recipe = validate(Recipe, {k: v for k, v in values.items() if k in Recipe.model_fields}, str(path))
    return recipe, {k: v for k, v in values.items() if k not in Recipe.model_fields}


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
