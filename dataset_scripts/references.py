"""What rows are compared with: prompts, solutions and tests of benchmarks, apart, each text once.

    HumanEval/0  prompt          ->  words                         (docstring, signature and examples)
                 solution        ->  code; blind code; syntax tree (with its signature, which the prompt may hold)
                 buggy_solution  ->  as a solution                 (HumanEvalPack shows it and asks for a fix)
                 test            ->  words                         (its numbers make it one test and not another)

All versions of a benchmark that can be had are read: MBPP's sanitised prompts are other texts than the full set's.
A text that several benchmarks, versions or items share is one reference with several names.
"""

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from artefacts import Refusal, hash_of
from evaluation import benchmarks
from evaluation.benchmarks import Problem

Part = Literal["prompt", "solution", "buggy_solution", "test"]
PARTS: tuple[Part, ...] = ("prompt", "solution", "buggy_solution", "test")
CODE_PARTS = frozenset({"solution", "buggy_solution"})
FAMILIES = ("humaneval", "mbpp")  # benchmarks named so hold the same problems


@dataclass(frozen=True)
class Reference:
    """One text that must not be trained on.

    Attributes:
        names: (benchmark, item) of everybody who has this text as this part; the first gives it its name.
        part: one of PARTS.
        text: as the benchmark says it.
        language: of the code.
        entry_point: name of the function under test; may be empty.
        program: the whole code of the solution: one that only continues its prompt is put behind it.
        signature: `name(parameters)` of the function; empty where that is not seen.
        problems: what its names stand for, each once: HumanEval/5 and Java/5 are both `humaneval/5`.
    """

    names: tuple[tuple[str, str], ...]
    part: Part
    text: str
    language: str
    entry_point: str
    program: str
    signature: str
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{'/'.join(self.names[0])} {self.part}"

    @property
    def is_code(self) -> bool:
        return self.part in CODE_PARTS

    @property
    def key(self) -> str:
        """16 hex characters that stand for the text as this part: names are no key, as versions share them."""
        return hash_of([self.part, self.language, self.text])[:16]


def load(names: Sequence[str], folder: Path | None, parts: Sequence[Part], where: str) -> list[Reference]:
    """References of the benchmarks, in their order.

    Raises:
        Refusal: a benchmark is unknown or cannot be loaded, or nothing is left to compare with.
    """
    found: dict[tuple, Reference] = {}
    for benchmark in names:
        for problem in benchmarks.load_every_version(benchmark, folder, where).problems:
            for part in parts:
                add(found, benchmark, problem, part)
    if not found:
        raise Refusal(
            f"{where}: 04_decontaminate has nothing to compare with (benchmarks: {', '.join(names) or 'none'}; "
            f"parts: {', '.join(parts) or 'none'}); name at least one benchmark and one part."
        )
    return list(found.values())


def coverage(names: Sequence[str], folder: Path | None, where: str) -> dict[str, dict[str, Any]]:
    """Benchmark -> `items` that can be had here, `of` how many, and what is `absent`.

    Raises:
        Refusal: see `load`.
    """
    held = {name: benchmarks.load_every_version(name, folder, where) for name in names}
    return {
        name: {"items": len({problem.task_id for problem in of.problems}), "of": of.items, "absent": of.absent}
        for name, of in held.items()
    }


def add(found: dict[tuple, Reference], benchmark: str, problem: Problem, part: Part) -> None:
    """Add one part of a problem to `found`; a text that is there already only gains a name."""
    if part == "buggy_solution":
        problem = replace(problem, solution=problem.extra.get(part, ""))
    text = problem.solution if part in CODE_PARTS else getattr(problem, part)
    if not text.strip():
        return
    program = whole_program(problem)
    key = (part, problem.language, " ".join((program if part in CODE_PARTS else text).split()))
    family = next((family for family in FAMILIES if benchmark.startswith(family)), benchmark)
    known = found.get(key) or Reference(
        (), part, text, problem.language, problem.entry_point, program, signature(program, problem.entry_point), ()
    )
    names = tuple(dict.fromkeys((*known.names, (benchmark, problem.task_id))))
    problems = tuple(dict.fromkeys((*known.problems, f"{family}/{problem.task_id.rsplit('/', 1)[-1]}")))
    found[key] = replace(known, names=names, problems=problems)


def whole_program(problem: Problem) -> str:
    """The solution with its signature: behind its prompt, unless it defines the entry point itself.

    >>> whole_program(Problem("x", "def f(a):\\n", "    return a\\n", "", "f"))
    'def f(a):\\n    return a\\n'
    """
    name = re.escape(problem.entry_point)
    if not name or re.search(rf"\b(?:def|class|function|func|fn)\s+{name}\b", problem.solution):
        return problem.solution
    return problem.prompt + problem.solution


def signature(code: str, entry_point: str) -> str:
    """`name(parameters)` where `code` first defines or calls `entry_point`, empty where it does not.

    >>> signature("x = 1\\ndef add(a: int, b=(0)):\\n    return a", "add")
    'add(a: int, b=(0))'
    """
    found = re.search(rf"\b{re.escape(entry_point)}\s*\(", code) if entry_point else None
    if found is None:
        return ""
    depth = 0
    for place in range(found.end() - 1, len(code)):
        depth += (code[place] == "(") - (code[place] == ")")
        if not depth:
            return code[found.start() : place + 1]
    return ""


def digest(references: Sequence[Reference]) -> str:
    """Key of everything that is built from the references."""
    return hash_of([astuple(reference) for reference in references])


def problems(references: Sequence[Reference]) -> dict[str, int]:
    """Benchmark -> how many of its items are among the references."""
    items: dict[str, set[str]] = {}
    for reference in references:
        for benchmark, item in reference.names:
            items.setdefault(benchmark, set()).add(item)
    return {benchmark: len(found) for benchmark, found in items.items()}
