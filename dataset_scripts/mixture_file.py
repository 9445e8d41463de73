"""What a mixture file may say: the stages it can name, their settings, and what does not go together.

reads   recipes/mixtures/<name>.yaml, the only place of sources, shares and thresholds
"""

from pathlib import Path
from types import ModuleType
from typing import Literal

from pydantic import Field, PositiveInt, create_model

from artefacts import Refusal, StrictModel, read_mapping, read_yaml
from dataset_scripts import clean, collect, comprehend, customise, decontaminate, dedup, evolve, mixture, recheck
from evaluation import benchmarks

STAGES = {
    "02_dedup": dedup,
    "03_clean": clean,
    "04_decontaminate": decontaminate,
    "05_evolve": evolve,
    "06_comprehend": comprehend,
    "07_recheck": recheck,
    "08_customise": customise,
    "09_mixture": mixture,
}  # in order; a module has PINS, FACTS, Config, `prepare` and `batch`


class MixtureHead(StrictModel):
    """What every mixture file says, whatever stages it names."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    seed: int
    rows_per_shard: PositiveInt
    license_policy: Literal["permissive", "research"] = "research"  # see schema.LICENCE_POLICIES
    generator_policy: Literal["any", "no_closed_models"] = "any"  # see schema.GENERATOR_POLICIES
    sources: list[collect.SourceConfig] = Field(alias="01_sources", min_length=1)


# A mixture file: the only place of sources, shares and thresholds. A stage that it does not name is not run, but
# without 09_mixture there is no mixture.
Mixture = create_model(
    "Mixture",
    __base__=MixtureHead,
    **{name: (module.Config | None, None) for name, module in STAGES.items() if name != "09_mixture"},
    **{"09_mixture": (mixture.Config, ...)},
)


def read(path: Path) -> MixtureHead:
    """A mixture file, checked as far as its text goes.

    Raises:
        Refusal: a key, a stage or a benchmark that does not exist, or settings that do not go together.
    """
    recipe, values = read_yaml(path, Mixture), read_mapping(path)
    if recipe.name != path.stem:
        raise Refusal(f"{path}: key 'name' is '{recipe.name}', but a mixture is called as its file is: {path.stem}.")
    for name in STAGES:
        if name in values and values[name] is None:
            raise Refusal(f"{path}: the key '{name}' is empty; write its settings ({{}} for none), or leave it out.")
        for other, wanted_by in also_read(STAGES[name], getattr(recipe, name)).items():
            if other in STAGES and getattr(recipe, other) is None:
                raise Refusal(
                    f"{path}: {name}.{wanted_by} reads {other}, which this mixture does not name; name it, or leave "
                    f"{wanted_by} out."
                )
    for name in getattr(recipe, "04_decontaminate").benchmarks if "04_decontaminate" in values else ():
        benchmarks.module(name, str(path))  # a misspelt one costs no stage
    recheck.check([name for name in STAGES if name in values], str(path))
    final = getattr(recipe, "09_mixture")
    mixture.check(final, str(path))
    if final.alchemist_share > 0 and getattr(recipe, "08_customise") is None:
        raise Refusal(
            f"{path}: 09_mixture.alchemist_share is {final.alchemist_share}, but no 08_customise writes prompts."
        )
    return recipe


def also_read(module: ModuleType, config: StrictModel | None) -> dict[str, str]:
    """Stages that a stage reads besides the one before -> the key of its settings that wants them."""
    return module.reads(config) if config is not None and hasattr(module, "reads") else {}
