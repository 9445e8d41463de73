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


FORBIDDEN = {
    "output_dir": "the command line says where a run goes (--output)",
    "push_to_hub": "publishing is a step of its own, after the checkpoint was verified",
    "trust_remote_code": "no code from the Hub is run",
    "resume_from_checkpoint": "a run resumes by itself",
    "do_train": "sft.py trains",
}


def load(path: Path, overrides: dict[str, Any] | None = None) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file.

    Args:
        overrides: keys given on the command line (`base`, `data`), checked like those of the file.

    Returns:
        Our keys, and the arguments of `trl.SFTConfig`.

    Raises:
        Refusal: an unknown, forbidden or missing key, or a value of the wrong type; names file and key.
    """
    from trl import SFTConfig  # imports torch (5 s): only when a recipe is really read

    values = read_mapping(path) | (overrides or {})
    for key, why in FORBIDDEN.items():
        if key in values:
            raise Refusal(f"{path}: the key '{key}' has no place in a recipe: {why}.")
    theirs = {f.name for f in dataclasses.fields(SFTConfig) if f.init}
    unknown = [key for key in values if key not in theirs and key not in Recipe.model_fields]
    if unknown:
        raise Refusal(
            f"{path}: unknown key '{unknown[0]}': neither a key of recipes.recipe.Recipe nor of trl.SFTConfig."
        )
    recipe = validate(Recipe, {k: v for k, v in values.items() if k in Recipe.model_fields}, str(path))
    hints = typing.get_type_hints(SFTConfig)
    arguments = {}
    for key in (k for k in values if k not in Recipe.model_fields):
        try:
            arguments[key] = TypeAdapter(hints[key], config=_STRICT).validate_python(values[key])
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise Refusal(f"{path}: key '{key}': {said}, got {values[key]!r} (write 1.0e-4, not 1e-4).") from None
    return recipe, arguments


_STRICT = ConfigDict(strict=True)
