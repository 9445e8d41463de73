"""The static alchemist: an AlchemistPrompt read off the code of the response, free and faithful by construction.

One to three sentences: the language and the form of the answer, the algorithm or data structure, the libraries and
what the output contains. What the instruction already says or shows is not said again, and nothing is said that
`static_facts` did not find in the syntax tree. That code prints is said of a script alone: where it defines something,
what it prints is most often an example of its use, which the instruction did not ask for.
"""

import functools
import hashlib
import random
import re

from dataset_scripts.fact_table import FACTS, Fact
from dataset_scripts.facts_of_code import code_blocks
from dataset_scripts.languages import language_name
from dataset_scripts.static_facts import Reading, read
from dataset_scripts.syntax import LANGUAGES

NAMES = {"python": "Python", "javascript": "JavaScript", "java": "Java", "go": "Go", "cpp": "C++", "rust": "Rust"}
# how a language calls what it imports; Java and Rust import types, traits and functions as well
_MODULE = {"python": "module", "javascript": "module", "go": "package", "cpp": "header"}
MAX_CONCEPTS = 2  # algorithms and data structures named in one prompt
MAX_DETAILS = 2
_FACTS = {fact.name: fact for fact in FACTS}
# Of the facts that hold, the rarer say more about an answer; these hold too often to be worth a place before others.
_PLAIN = frozenset(
    {"prints", "dynamic_array", "closure", "anonymous_function", "nested_loops", "switch", "type_hints"}
)

SAY_NOTHING = frozenset(
    {"iostream", "vector", "string", "stdio.h", "fmt", "java.util", "java.lang", "java.io"}
)  # imports
# no line of prose is like these: a definition or import of Python; a statement of C's family with a call or a value
_LINE_OF_PYTHON = re.compile(
    r"^\s*(?:def|class) \w+.*:\s*$|^\s*(?:import [\w.]+|from [\w.]+ import .+)\s*$", re.MULTILINE
)
_LINE_OF_C_FAMILY = re.compile(r"^.*[()=].*[;{]\s*$", re.MULTILINE)


@functools.lru_cache(maxsize=1)  # what is said of a row and what is noted of it are asked one after the other
def readings(response: str, language: str) -> Reading | None:
    """The reading of the response's code: its fences of the row's language joined, or the whole of bare code."""
    if language not in LANGUAGES:
        return None
    blocks = code_blocks(response)
    tagged = [code for tag, code in blocks if language_name(tag) == language]
    candidates = tagged or [code for tag, code in blocks if not tag] or ([] if blocks else [response])
    return read(language, "\n".join(candidates)) if candidates else None


def prompt(instruction: str, response: str, language: str, row_id: str, max_named: int) -> str | None:
    """One to three sentences about how `response` answers; None where its code cannot be read or all is said already.

    Args:
        row_id: decides the wording, so that a model cannot take one phrase for the signal.
        max_named: functions, modules or errors named in one prompt.

    >>> code = "def fib(n):\\n    return n if n < 2 else fib(n - 1) + fib(n - 2)"
    >>> prompt("Compute Fibonacci numbers.", code, "python", "0", 3)
    'Write it in Python and define the function `fib(n)`, using a recursive call.'
    """
    found = readings(response, language)
    if found is None or not found.tokens:  # a word or a number parses, too
        return None
    chance = random.Random(hashlib.sha256(row_id.encode()).digest())
    form = _form(found, "type" if language in ("go", "rust") else "class", instruction, max_named)
    holding = [_FACTS[name] for name in found.facts if not _is_said(_FACTS[name], instruction)]
    holding.sort(key=lambda fact: fact.name in _PLAIN)  # stable: the order of FACTS within both halves
    concepts = [chance.choice(fact.phrases) for fact in holding if fact.kind in ("concept", "data")][:MAX_CONCEPTS]
    details = [chance.choice(fact.phrases) for fact in holding if fact.kind == "detail"]
    if _functions(found) or found.methods or found.classes:
        details = [words for words in details if words not in _FACTS["prints"].phrases]
    sentences = [_opening(language, form, concepts, instruction, chance)]
    modules = [m for m in found.modules if m not in SAY_NOTHING and not _says(instruction, m)][:max_named]
    errors = [name for name in found.raises if not _says(instruction, name)][:max_named]
    if errors:
        verb = "throw" if language in ("java", "javascript", "cpp") else "raise"
        details.insert(0, f"{verb} {_listed(errors)} where it cannot go on")
    if modules:
        plural = "s" if len(modules) > 1 else ""
        noun = f"the {_MODULE[language]}{plural} " if language in _MODULE else ""
        details.insert(0, f"{chance.choice(('build on', 'use'))} {noun}{_listed(modules)}")
    if details and (sentences[0] or details[0] not in _FACTS["prints"].phrases):  # "print it" alone says nothing
        rest = " and ".join(details[:MAX_DETAILS])
        sentences.append(rest[0].upper() + rest[1:])
    said = ". ".join(sentence for sentence in sentences if sentence)
    return f"{said}." if said else None


def concepts(response: str, language: str) -> list[str] | None:
    """Names of the algorithms, forms and data structures that the code uses; None where it cannot be read.

    >>> concepts("def two(xs):\\n    return sorted(xs)[:2]", "python")
    ['sorting']
    """
    found = readings(response, language)
    if found is None or not found.tokens:
        return None
    return [name for name in found.facts if _FACTS[name].kind in ("concept", "data")]


def _opening(language: str, form: str, concepts: list[str], instruction: str, chance: random.Random) -> str:
    """The first sentence; empty where the instruction shows the language and there is nothing else to say."""
    name = NAMES[language]
    if not form and not concepts and (_says(instruction, name, re.IGNORECASE) or _shows_code(instruction, language)):
        return ""
    words = chance.choice((f"Answer in {name}", f"Use {name}", f"Write it in {name}"))
    words += f" and define {form}" if form else ""
    if concepts:
        links = (", using ", ", with ") if form else (" and rely on ", " and solve it with ", " with the help of ")
        words += f"{chance.choice(links)}{' and '.join(concepts)}"
    return words


def _shows_code(instruction: str, language: str) -> bool:
    """True where the instruction holds code that can be of the language: nobody needs to be told which it is.

    >>> _shows_code("Make this shorter.\\nimport os\\nos.sep", "python"), _shows_code("```java\\nf();\\n```", "python")
    (True, False)
    """
    if blocks := code_blocks(instruction):
        return any(not tag or language_name(tag) == language for tag, _ in blocks)
    line = _LINE_OF_PYTHON if language == "python" else _LINE_OF_C_FAMILY
    return line.search(instruction) is not None


def _functions(found: Reading) -> tuple[str, ...]:
    return tuple(name for name in found.functions if not name.startswith("main("))


def _form(found: Reading, type_noun: str, instruction: str, limit: int) -> str:
    """Classes, functions or methods that the response defines and the instruction does not name; empty if none.

    Args:
        type_noun: `class`, or what a language without classes has in their place.
    """
    for kind, named in ((type_noun, found.classes), ("function", _functions(found)), ("method", found.methods)):
        unsaid = [name for name in named[:limit] if not _says(instruction, name.partition("(")[0])]
        if unsaid:
            return f"the {kind}{'' if len(unsaid) == 1 else 'es' if kind == 'class' else 's'} {_listed(unsaid)}"
        if named:
            return ""
    return ""


def _is_said(fact: Fact, instruction: str) -> bool:
    """True where the instruction already asks for it, by the fact's name or either of its phrases."""
    wanted = (fact.name.replace("_", " "), *fact.phrases)
    return any(re.search(rf"\b{re.escape(words.removeprefix('a '))}", instruction, re.IGNORECASE) for words in wanted)


def _says(instruction: str, word: str, flags: int = 0) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", instruction, flags) is not None


def _listed(items: list[str]) -> str:
    quoted = [f"`{item}`" for item in items]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
