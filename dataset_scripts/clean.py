"""03_clean: responses too short and without code, and Python that does not compile.

reads   02_dedup/kept; writes build/<mixture>/03_clean/

The AlchemistCoder paper (arXiv 2405.19265) drops responses that are too short "and" or "or" hold no code: its two
wordings differ, so it is a setting. Compiling executes nothing. A source may be exempt from a check (`Source.checks`):
answers in prose are not rejected for holding no code.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import pyarrow as pa
from pydantic import NonNegativeInt

from artefacts import StrictModel
from dataset_scripts.facts_of_code import compile_error, has_code
from dataset_scripts.sources import CHECKS, Check
from dataset_scripts.stage import Prepared, ReadColumns

PINS = ("datasets", "pyarrow")
FACTS = pa.schema({"compile_error": pa.string()})


class Config(StrictModel):
    """Settings of `03_clean` in a mixture file."""

    min_response_chars: NonNegativeInt
    short_and_codeless: Literal["and", "or"] = "and"


def reason_of(response: str, config: Config) -> str | None:
    """Why a response is rejected before compiling, None when it is not."""
    short, codeless = len(response.strip()) < config.min_response_chars, not has_code(response)
    if config.short_and_codeless == "and":
        return "too_short_without_code" if short and codeless else None
    return "too_short" if short else "no_code" if codeless else None


def prepare(config: Config, rows: ReadColumns, seed: int, where: str) -> Prepared:
    """Cleaning looks at one row at a time."""
    return Prepared({"config": config})


def batch(columns: dict, *, config: Config, checks: Mapping[str, Collection[Check]] | None = None) -> dict:
    """Reject by length and code, then by compiling; `checks` says which a source's rows face, None: both."""
    asked = [checks[s] for s in columns["source"]] if checks is not None else [CHECKS] * len(columns["response"])
    pairs = list(zip(columns["response"], asked, strict=True))
    errors = [compile_error(response) if "compiles" in apply else None for response, apply in pairs]
    reasons = [
        ("code" in apply and reason_of(response, config)) or ("does_not_compile" if error else None)
        for (response, apply), error in zip(pairs, errors, strict=True)
    ]
    return {**columns, "reason": reasons, "compile_error": errors}
