"""The row: one schema from the first stage to the Hub, and how a row becomes a conversation.

Everything above (`recipes`, `analysis`, `model_cards`) may import this module, and only this one, from
`dataset_scripts`.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from datasets import Features, List, Value

FEATURES = Features(
    {
        "id": Value("string"),  # hash of source, instruction, response and occurrence
        "source": Value("string"),  # key of the source file, e.g. `evol_instruct_code`
        "license": Value("string"),  # SPDX id of this row, `unknown` if so
        "generator": Value("string"),  # who wrote the response: `human`, `gpt-4`, a model id, `static`
        "language": Value("string"),  # programming language of the code in the response
        "task": Value("string"),  # one of TASKS
        "instruction": Value("string"),
        "response": Value("string"),
        "alchemist_prompt": Value("string"),  # hindsight prompt, apart from the instruction until publishing
        "parents": List(Value("string")),  # ids of the rows this one was made from
        "reason": Value("string"),  # why a stage rejected it; null on kept rows
    }
)
COLUMNS = tuple(FEATURES)
SCHEMA = FEATURES.arrow_schema
COMPREHENSION_TASKS = ("instruction_evolution", "data_filtering", "code_review")
TASKS = ("generation", "commit", *COMPREHENSION_TASKS)
MADE_SOURCES = ("evolcode", *COMPREHENSION_TASKS)  # `source` of rows that stages make out of others

MESSAGE = {"role": Value("string"), "content": Value("string")}
PUBLISHED_FEATURES = Features({**FEATURES, "messages": List(MESSAGE)})

# What a licence lets a user do, by SPDX id. Copyleft and field-of-use terms pass on to what is made from a row, hence
# neither is called permissive here, though OctoPack's own list of "permissive" licences holds four copyleft ones.
LICENCE_TERMS = {
    **dict.fromkeys(
        ("0BSD", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-3.0", "CC-BY-4.0",
         "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
        "permissive",
    ),
    **dict.fromkeys(
        ("AGPL-3.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "EPL-1.0", "EPL-2.0", "GPL-2.0", "GPL-3.0", "LGPL-2.1",
         "LGPL-3.0", "MPL-2.0"),
        "copyleft",
    ),
    **dict.fromkeys(("bigcode-openrail-m", "bigscience-openrail-m", "openrail"), "use-restricted"),
    **dict.fromkeys(
        ("CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0"),
        "non-commercial",
    ),
}  # fmt: skip
LICENCE_POLICIES = {  # `license_policy` of a mixture -> the terms it admits; an unknown licence is admitted by none
    "permissive": ("permissive",),
    "research": ("permissive", "copyleft", "use-restricted", "non-commercial"),
}
_TERMS_OF = {licence.lower(): terms for licence, terms in LICENCE_TERMS.items()}
GENERATOR_POLICIES = {  # `generator_policy` of a mixture -> the writers it admits
    "any": ("person", "program", "open model", "closed model", "unknown"),
    "no_closed_models": ("person", "program", "open model"),
}
# Names of models whose weights nobody can download, however a gateway spells them (`openai/gpt-4`); `gpt-oss` is open.
_CLOSED_MODEL = re.compile(
    r"(^|[/._-])(chatgpt|gpt-?[345]|(text-|code-)?davinci|codex|o[1-9](-|$)|claude|gemini|nova-(micro|lite|pro|premier)"
    r"|sonar|qwen-?(max|plus|turbo)|mistral-(small|medium|large)-latest|grok-[34])"
)
_GATEWAYS = re.compile(r"(azure|bedrock|vertex(_ai)?|amazon|perplexity|openrouter|anthropic|openai(?!/gpt-oss))/.*")
_HUB_MODEL = re.compile(r"[\w.-]+/[\w.-]+")

# A row rejected for one of these leaves its id, source and reason alone: its text is neither kept nor taught from.
REDACTED_REASONS = frozenset(
    {"contaminated", "secret", "email_address", "licence", "source_left_out", "task_left_out"}
)


def licence_terms(licence: str) -> str:
    """`permissive`, `copyleft`, `use-restricted`, `non-commercial`; `unknown` for an id that is not in the table."""
    return _TERMS_OF.get(licence.lower().removesuffix("-only").removesuffix("-or-later"), "unknown")


def writer(generator: str) -> str:
    """Who wrote a response: `person`, `program` (a template of ours), `open model`, `closed model` or `unknown`.

    OctoPack's question - how to tune code models without GPT data - is answered by the first three alone. A model
    counts as open when its id has the form of a repository of the Hub and is not known to be closed (the Hub itself is
    not asked); any other id is `unknown`.
    """
    if generator in ("human", "static"):
        return {"human": "person", "static": "program"}[generator]
    if _CLOSED_MODEL.search(generator.lower()) or _GATEWAYS.fullmatch(generator.lower()):
        return "closed model"
    return "open model" if _HUB_MODEL.fullmatch(generator) else "unknown"


def row_id(source: str, instruction: str, response: str, occurrence: int = 0) -> str:
    """Stable id of a row: 20 hex characters (80 bits; a collision among 10 M rows has odds of about 1 in 24 billion).

    Args:
        source: key of the source.
        instruction: text as the source says it; lone surrogates are allowed.
        response: likewise.
        occurrence: 0 for the first row of this source with this text, 1 for the second, ...
    """
    parts = (source, instruction, response, str(occurrence))
    sized = b"".join(len(b).to_bytes(8, "big") + b for b in (p.encode("utf-8", "surrogatepass") for p in parts))
    return hashlib.sha256(sized).hexdigest()[:20]


def make_row(
    *, source: str, instruction: str, response: str, license: str, generator: str, language: str,
    task: str = "generation", occurrence: int = 0, alchemist_prompt: str | None = None, parents: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """A row of FEATURES with its id; `reason` is null until a stage rejects it."""
    return {
        "id": row_id(source, instruction, response, occurrence),
        "source": source,
        "license": license,
        "generator": generator,
        "language": language,
        "task": task,
        "instruction": instruction,
        "response": response,
        "alchemist_prompt": alchemist_prompt,
        "parents": list(parents),
        "reason": None,
    }


def published_instruction(instruction: str, alchemist_prompt: str | None) -> str:
    """The AlchemistPrompt is prepended to the unchanged instruction (AlchemistCoder, arXiv 2405.19265, section 2)."""
    return f"{alchemist_prompt}\n\n{instruction}" if alchemist_prompt else instruction


def messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The row as a conversation of two turns: `[{"role": "user", ...}, {"role": "assistant", ...}]`."""
    return [
        {"role": "user", "content": published_instruction(row["instruction"], row["alchemist_prompt"])},
        {"role": "assistant", "content": row["response"]},
    ]
