"""Whose terms hold for a row or a model: those of everything it was made from, the strictest first.

A row that was made from others keeps to all their licences; its `license` becomes the SPDX expression that says so
(`Apache-2.0 AND CC-BY-NC-SA-4.0`). What a licence of rows lets a user do stands in `dataset_scripts.schema`, what a
licence of weights asks in WEIGHTS, here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from artefacts import Refusal
from dataset_scripts.schema import LICENCE_TERMS, licence_terms

# From the freest to the strictest; an id that the table does not know may not be passed on at all.
STRICTNESS = ("permissive", "copyleft", "use-restricted", "non-commercial", "unknown")


@dataclass(frozen=True)
class OfWeights:
    """A licence of base models that lets us pass on what was tuned from them, and what it asks for that.

    Attributes:
        terms: one of STRICTNESS.
        note: what whoever uses the tuned model must know; a sentence of its card.
        source: where the licence's text is.
        notice: line that the file NOTICE must hold; None where the licence asks for none.
    """

    terms: str
    note: str
    source: str
    notice: str | None = None


# Each of these asks that its own text goes along with the weights. Any other licence of a base must be one of
# `dataset_scripts.schema`, or it lets us pass on nothing.
WEIGHTS = {
    "llama2": OfWeights(  # also CodeLlama's; it asks for a notice and a copy, and says nothing of how a model is named
        "use-restricted",
        "its acceptable use policy goes along, its outputs may improve no other language model than Llama 2 and what "
        "is made of it, and whoever has 700 million users needs a licence from Meta.",
        "github.com/meta-llama/llama, LICENSE, 1.b and 2",
        "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms, Inc. All Rights "
        "Reserved.",
    ),
    "deepseek-license": OfWeights(
        "use-restricted",
        "the uses of its Attachment A are forbidden to you and to everybody whom you pass the model on to.",
        "github.com/deepseek-ai/DeepSeek-Coder, LICENSE-MODEL, 4 and 5",
        "These weights were changed from those of DeepSeek; they are subject to paragraph 5 of the DeepSeek License "
        "Agreement, Copyright (c) 2023 DeepSeek.",
    ),
    "bigcode-openrail-m": OfWeights(
        "use-restricted",
        "the uses of its Attachment A are forbidden to you and to everybody whom you pass the model on to.",
        "huggingface.co/spaces/bigcode/bigcode-model-license-agreement, 4 and 5",
        "These weights were changed from those of BigCode; they are subject to paragraph 5 of the BigCode OpenRAIL-M "
        "License Agreement.",
    ),
    "codegeex2-6b": OfWeights(
        "non-commercial",
        "research without commercial purpose only, unless Zhipu AI has registered you; no military use.",
        "github.com/THUDM/CodeGeeX2, MODEL_LICENSE",
    ),
}
_ALIASES = {"deepseek": "deepseek-license"}  # what cards of the Hub call it, too
# Bases whose card on the Hub names no licence, while their repository's licence file does.
LICENCE_OF_BASE = {"THUDM/codegeex2-6b": "codegeex2-6b", "zai-org/codegeex2-6b": "codegeex2-6b"}
_AND = " AND "
_SPDX = {licence.lower(): licence for licence in LICENCE_TERMS}
# the Hub writes the others in small letters
_UNKNOWN_TO_THE_HUB = frozenset({"0BSD", "MIT-0", "PSF-2.0", "Python-2.0", "deepseek-license", "codegeex2-6b"})


def parts(expression: str) -> list[str]:
    """The licences that an expression joins.

    >>> parts("Apache-2.0 AND CC-BY-NC-SA-4.0")
    ['Apache-2.0', 'CC-BY-NC-SA-4.0']
    """
    return expression.split(_AND)


def canonical(licence: str) -> str:
    """The SPDX spelling of an id of the Hub; others as they are.

    >>> canonical("apache-2.0"), canonical("llama2"), canonical("deepseek")
    ('Apache-2.0', 'llama2', 'deepseek-license')
    """
    return _SPDX.get(licence.lower(), _ALIASES.get(licence, licence))


def joined(expressions: Iterable[str]) -> str:
    """The expression that says all of them, sorted.

    >>> joined(["MIT AND Apache-2.0", "MIT"])
    'Apache-2.0 AND MIT'
    """
    return _AND.join(sorted({part for expression in expressions for part in parts(expression)}))


def terms(expression: str) -> str:
    """The strictest terms among the licences of an expression, one of STRICTNESS."""
    return max(map(_terms_of_one, parts(expression)), key=STRICTNESS.index)


def _terms_of_one(licence: str) -> str:
    return WEIGHTS[licence].terms if licence in WEIGHTS else licence_terms(licence)


def note_of(licence: str) -> str | None:
    """What a card must tell its reader of a licence; None of a permissive one."""
    if licence in WEIGHTS:
        return f"{WEIGHTS[licence].note} Its text: {WEIGHTS[licence].source}."
    return {
        "non-commercial": "no commercial use.",
        "copyleft": "what is made of it stays under the same licence.",
        "use-restricted": "some uses are forbidden; its text says which.",
    }.get(licence_terms(licence))


def notices(of_the_base: str) -> list[str]:
    """The lines that the file NOTICE must hold for the licence of a base model."""
    return [WEIGHTS[p].notice for p in parts(of_the_base) if p in WEIGHTS and WEIGHTS[p].notice]


def declared(licence: str, expressions: Iterable[str]) -> str:
    """The licence that somebody wants to publish a model under, once nothing it was made from forbids it.

    Only a permissive licence lets go: what was made under any other stays under it.

    Raises:
        Refusal: nobody knows the licence, or the base or a source is under one that it would break.
    """
    wanted = canonical(licence)
    if any(_terms_of_one(p) == "unknown" for p in parts(wanted)):
        known = ", ".join([*LICENCE_TERMS, *WEIGHTS])
        raise Refusal(f"LICENCE '{licence}' is none that is known here; known: {known}.")
    kept = sorted({p for expression in expressions for p in parts(expression)} - set(parts(wanted)))
    if forbidding := next((p for p in kept if _terms_of_one(p) != "permissive"), None):
        raise Refusal(
            f"the base model or the rows are under the licence '{forbidding}' ({_terms_of_one(forbidding)}), which "
            f"forbids to publish the model under '{wanted}'; leave LICENCE away, or train on others."
        )
    return wanted


def forbids_publishing(expression: str) -> str | None:
    """The licence of an expression that does not let us pass on what we made of a row, None if all do.

    An unknown licence grants nothing, and a no-derivatives licence (`-ND`) forbids mixing and harmonising.
    """
    return next((p for p in parts(expression) if _terms_of_one(p) == "unknown" or "-ND" in p.upper()), None)


def hub_licence(expressions: Iterable[str]) -> str:
    """Licence id for a card: the common one where the Hub has an id for it, else `other`."""
    found = sorted({part for expression in expressions for part in parts(expression)})
    known = (LICENCE_TERMS.keys() | WEIGHTS.keys()) - _UNKNOWN_TO_THE_HUB
    return found[0].lower() if len(found) == 1 and found[0] in known else "other"
