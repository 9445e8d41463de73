"""Copies that no threshold was chosen on: other benchmarks, languages and carriers, other ways to change a copy.

`decontaminate_rows` plants copies of Python functions behind a sentence; the thresholds were read off those. Here:

    benchmarks  HumanEval-X in JavaScript, Java and C++, DS-1000, and HumanEval with MBPP again
    carriers    real rows of OASST and LeetCode: the copy stands between their words and beside their code
    edited      5 % of the words are dropped, doubled, swapped with the next or misspelt
    renamed     every name that the code declares becomes a compound of two words out of the carriers
    reordered   a third of the neighbouring simple lines of one indentation swapped
"""

import random
import re
from collections.abc import Sequence

from dataset_scripts import syntax
from dataset_scripts.references import whole_program
from evaluation import benchmarks
from evaluation.benchmarks import Problem
from tests.perf.decontaminate_rows import WORD, local_names, original_rows

WHAT = ("whole row", "solution alone", "prompt alone")
_EDIT_SHARE = 0.05
_DECLARES = frozenset(
    "variable_declarator formal_parameter formal_parameters arrow_function function_declaration method_declaration "
    "init_declarator parameter_declaration function_declarator for_in_statement enhanced_for_statement "
    "for_range_loop declaration reference_declarator array_declarator".split()
)
_LINE = re.compile(r"[ \t]*(?!return|else|break|continue|import|from|case|#|//|\*)\S.*")


def problems() -> dict[str, list[Problem]]:
    """The problems that copies are made of, by the name of their group."""
    other = [p for p in benchmarks.load("humaneval_x") if p.language != "python"]
    return {
        "HumanEval, MBPP": [p for name in ("humaneval", "mbpp") for p in benchmarks.load(name)],
        **{f"HumanEval-X {language}": [p for p in other if p.language == language]
           for language in dict.fromkeys(p.language for p in other)},
        "DS-1000": benchmarks.load("ds1000"),
    }  # fmt: skip


def carriers() -> list[tuple[str, str]]:
    """Rows that a copy is put into."""
    found = original_rows()
    return [pair for source in ("oasst_octopack", "leetcode") for pair in found[source] if len(pair[1]) < 2000]


def held_out(problem: Problem, way: str, what: str, rows: Sequence[tuple[str, str]], seed: int) -> tuple | None:
    """A changed copy inside one of `rows` as (instruction, response); None where the way leaves it as it is."""
    chance = random.Random(f"held out/{seed}/{problem.task_id}/{way}/{what}")
    prompt, code = problem.prompt, whole_program(problem)
    if way == "edited":
        prompt, code = _edited(prompt, chance), _edited(code, chance)
    elif way == "renamed":
        names = local_names(code) if problem.language == "python" else _declared(code, problem.language)
        new = _compounds(names, rows, chance)
        if not new:
            return None
        prompt, code = (WORD.sub(lambda m: new.get(m.group(), m.group()), text) for text in (prompt, code))
    elif way == "reordered":
        changed = _reordered(code, chance)
        if changed == code or what == "prompt alone":
            return None
        code = changed
    instruction, response = chance.choice(rows)
    first = " ".join(instruction.split()[:40])
    block = f"```{problem.language}\n{code.strip(chr(10))}\n```"
    return (
        f"{first}\n\n{prompt}" if what != "solution alone" else instruction,
        f"{response}\n\n{block}\n\nI hope this helps." if what != "prompt alone" else response,
    )


def _edited(text: str, chance: random.Random) -> str:
    words = list(WORD.finditer(text))
    out, at = [], 0
    places = set(chance.sample(range(len(words)), max(1, round(_EDIT_SHARE * len(words))))) if words else set()
    for number, found in enumerate(words):
        word = found.group()
        if number in places:
            letter = chance.randrange(len(word))
            word = chance.choice(
                [
                    "",
                    f"{word} {word}",
                    words[number + 1].group() if number + 1 < len(words) else "",
                    f"{word[:letter]}{chance.choice('abcdefghijklmnopqrstuvwxyz')}{word[letter + 1 :]}",
                ]
            )
        out += [text[at : found.start()], word]
        at = found.end()
    return "".join([*out, text[at:]])


def _declared(code: str, language: str) -> set[str]:
    """Names that the code declares: functions, parameters and variables."""
    tree = syntax.parse(language, code)
    return {
        node.text.decode()
        for node in (syntax.walk(tree) if tree else ())
        if node.type == "identifier" and node.parent.type in _DECLARES
        and node.parent.child_by_field_name("value") != node and node.parent.child_by_field_name("right") != node
    } - {"main"}  # fmt: skip


def _compounds(names: set[str], rows: Sequence[tuple[str, str]], chance: random.Random) -> dict[str, str]:
    new: dict[str, str] = {}
    for name in sorted(names):
        text = chance.choice(rows)[0]
        parts = chance.choices([w.lower() for w in WORD.findall(text) if len(w) > 3] or ["name"], k=2)
        new[name] = f"{parts[0]}{parts[1].capitalize()}{len(new)}"
    return new


def _reordered(code: str, chance: random.Random) -> str:
    lines = code.split("\n")

    def simple(at: int) -> str | None:
        line = lines[at]
        movable = _LINE.fullmatch(line) and not line.rstrip().endswith((":", "{", "}", ",", "(", "["))
        return line[: len(line) - len(line.lstrip())] if movable else None

    pairs = [at for at in range(len(lines) - 1) if simple(at) is not None and simple(at) == simple(at + 1)]
    for at in sorted(chance.sample(pairs, -(-len(pairs) // 3))):
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return "\n".join(lines)
