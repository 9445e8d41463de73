"""08_customise: an AlchemistPrompt for every row whose code can be read, by the static alchemist.

reads   04_decontaminate/kept; writes build/<mixture>/08_customise/

An AlchemistPrompt is one or two sentences, written in hindsight of the response and prepended to the unchanged
instruction, so that sources of differing habits stop contradicting each other (AlchemistCoder, arXiv 2405.19265,
section 2.2). The paper asks GPT-4; the static alchemist reads the same themes off the code with `ast`, for nothing:
the language, the form of the answer, the algorithm or concept, the modules, what the output contains. What the
instruction already says is not said again. `09_mixture` decides which rows carry their prompt.
"""

import hashlib
import re
from typing import Literal

import pyarrow as pa
from pydantic import PositiveInt

from artefacts import StrictModel
from dataset_scripts.facts_of_code import Facts, facts, python_code
from dataset_scripts.stage import Prepared, ReadColumns

PINS = ("datasets", "pyarrow")
FACTS = pa.schema({"alchemist": pa.string()})  # who wrote the prompt; null where nobody could


class Config(StrictModel):
    """Settings of `08_customise` in a mixture file."""

    alchemist: Literal["static"]
    max_named: PositiveInt = 3  # functions, modules or errors named in one prompt


def _listed(items: list[str]) -> str:
    quoted = [f"`{item}`" for item in items]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _says(instruction: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", instruction) is not None


def _form(found: Facts, instruction: str, limit: int) -> str:
    """Classes, functions or methods that the response defines and the instruction does not name; empty if none."""
    for kind, named in (("class", found.classes), ("function", found.functions), ("method", found.methods)):
        unsaid = [name for name in named[:limit] if not _says(instruction, name.partition("(")[0])]
        if unsaid:
            plural = "" if len(unsaid) == 1 else "es" if kind == "class" else "s"
            adjective = "asynchronous " if found.is_async and kind != "class" else ""
            return f"the {adjective}{kind}{plural} {_listed(unsaid)}"
        if named:
            return ""
    return ""


def _concepts(found: Facts) -> list[str]:
    named = [
        (found.recursive, "recursion"),
        (found.memoised, "memoisation, so that nothing is computed twice"),
        (found.heap, "a heap"),
        (found.dynamic_programming, "dynamic programming over a table of earlier results"),
        (found.generator, "a generator that yields its values one at a time"),
        (found.comprehension, f"a {found.comprehension} comprehension"),
    ]
    return [words for holds, words in named if holds]


def static_prompt(instruction: str, response: str, row_id: str, max_named: int) -> str | None:
    """One or two sentences about how `response` answers.

    None where its Python cannot be read, or where the instruction says all of it already.

    >>> code = "def fib(n):\\n    return n if n < 2 else fib(n - 1) + fib(n - 2)"
    >>> static_prompt("Compute Fibonacci numbers.", code, "0", 3)
    'Write it in Python and define the function `fib(n)`, using recursion.'
    """
    code = python_code(response)
    found = facts(code) if code is not None else None
    if found is None:
        return None
    # The wording varies by row, so that a model cannot take one phrase for the signal; the row's id decides.
    turn = hashlib.sha256(row_id.encode()).digest()[0] % 3
    form, concepts = _form(found, instruction, max_named), _concepts(found)[:2]
    said = _says(instruction, "Python") or _says(instruction, "python")
    sentences = []
    if form or concepts or not said:
        words = ("Answer in Python", "Use Python", "Write it in Python")[turn]
        words += f" and define {form}" if form else ""
        if concepts:
            link = ", using" if form else (" and rely on", " and solve it with", " with the help of")[turn]
            words += f"{link} {' and '.join(concepts)}"
        sentences.append(words)
    modules = [m for m in found.modules if not _says(instruction, m)][:max_named]
    errors = [e for e in found.raises if not _says(instruction, e)][:max_named]
    details = []
    if modules:
        details.append(f"build on the standard module{'s' * (len(modules) > 1)} {_listed(modules)}")
    if errors:
        details.append(f"raise {_listed(errors)} where the input is not acceptable")
    if found.printed_example and not re.search(r"\bprint|\bexample|>>>", instruction, re.IGNORECASE):
        details.append("show an example with the output it prints")
    if details:
        rest = " and ".join(details[:2])
        sentences.append(rest[0].upper() + rest[1:])
    return ". ".join(sentences) + "." if sentences else None


def prepare(config: Config, rows: ReadColumns, seed: int, where: str) -> Prepared:
    """The static alchemist looks at one row at a time."""
    return Prepared({"config": config})


def batch(columns: dict, *, config: Config) -> dict:
    """Fill `alchemist_prompt`; no row is rejected."""
    triples = zip(columns["instruction"], columns["response"], columns["id"], strict=True)
    prompts = [
        static_prompt(instruction, response, row_id, config.max_named) for instruction, response, row_id in triples
    ]
    return {**columns, "alchemist_prompt": prompts, "alchemist": ["static" if prompt else None for prompt in prompts]}
