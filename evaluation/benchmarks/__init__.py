"""One file per benchmark: load, prompt, extract, program. `dataset_scripts` reads them to decontaminate.

    for problem in load("humaneval_plus", version="v0.1.9"):
        problem.task_id, problem.prompt, problem.solution, problem.test, problem.entry_point, problem.language

`load` reads a folder (`folder`, else the variable REAL_DATA_DIR), else what the benchmark's file pins: a commit on
GitHub with a digest, or a revision of the Hub.
"""

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artefacts import Refusal
from evaluation.benchmarks.files import Absent, data_folder

NAMES = ("humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "humaneval_x", "humanevalpack", "ds1000")


@dataclass(frozen=True)
class Problem:
    """One task of a benchmark.

    Attributes:
        task_id: the benchmark's own id, `HumanEval/0`.
        prompt: what the model is given.
        solution: the reference solution, which continues the prompt or stands alone, as the benchmark has it.
        test: code that checks a solution.
        entry_point: name of the function under test; empty where there is none (DS-1000).
        language: of the sandbox's names: python, javascript, java, go, cpp, rust.
        split: `test`, or what the benchmark calls the part that is not meant for testing.
        extra: what only this benchmark has, under its own column names.
    """

    task_id: str
    prompt: str
    solution: str
    test: str
    entry_point: str
    language: str = "python"
    split: str = "test"
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)


def module(name: str, where: str):
    """The module of a benchmark.

    Raises:
        Refusal: there is none; `where` says which file asked.
    """
    if name not in NAMES:
        raise Refusal(f"{where}: there is no benchmark '{name}'; known benchmarks: {', '.join(NAMES)}.")
    return importlib.import_module(f"{__name__}.{name}")


def version_of(name: str, version: str | None, where: str) -> str:
    """`version`, or the benchmark's first one for None.

    Raises:
        Refusal: the benchmark has no such version.
    """
    known = module(name, where).VERSIONS
    if version is not None and version not in known:
        raise Refusal(f"{where}: {name} has no version '{version}'; known versions: {', '.join(known)}.")
    return version or known[0]


@dataclass(frozen=True)
class Held:
    """What of a benchmark can be had here.

    Attributes:
        problems: of every version that can be had, the first version's first.
        items: how many different items the benchmark has in all, over its versions.
        absent: what cannot be had, in words: versions, languages, libraries.
    """

    problems: list[Problem]
    items: int
    absent: list[str]


def load_every_version(name: str, folder: Path | None = None, where: str = "benchmarks") -> Held:
    """All that can be had of a benchmark; the first version must be there.

    Raises:
        Refusal: see `load`; of another version only where it is damaged, or where no folder is known and the pinned
            origin does not answer: what a folder lacks is named instead.
    """
    of, problems, missing = module(name, where), [], []
    for version in of.VERSIONS:
        try:
            problems += load(name, folder, version, where)
        except Absent:
            if version == of.VERSIONS[0] or data_folder(folder) is None:
                raise
            missing.append(f"version {version}")
    lacks = absent(name, problems)
    return Held(
        problems, of.ITEMS, missing + [f"{part} ({n['expected'] - n['found']} items)" for part, n in lacks.items()]
    )


def load(
    name: str, folder: Path | None = None, version: str | None = None, where: str = "benchmarks"
) -> list[Problem]:
    """All problems of a benchmark, in its own order, of all splits and languages.

    Args:
        folder: where its files lie; None for REAL_DATA_DIR, or the pinned origin where that is not set.
        version: one of the module's VERSIONS; None for the first.
        where: what asks, for the sentence of a refusal.

    Raises:
        Refusal: no such benchmark or version, or it can be had from nowhere.
    """
    version = version_of(name, version, where)
    try:
        return module(name, where).load(folder, version)
    except (KeyError, TypeError) as error:
        said = f"a row has not the columns it should ({error!r})"
        raise Refusal(f"{where}: {name} {version}: {said}; fetch it again.") from None


def part_of(problem: Problem) -> str:
    """The part of its set that a problem is counted with: the library (DS-1000), else the language."""
    return str(problem.extra.get("library") or problem.language)


Lacking = dict[str, dict[str, int]]


def lacking(published: Mapping[str, int], found: Mapping[str, int]) -> Lacking:
    """Parts of a published set that are not all there.

    >>> lacking({"go": 164, "rust": 164}, {"go": 164})
    {'rust': {'expected': 164, 'found': 0}}
    """
    return {
        part: {"expected": expected, "found": found.get(part, 0)}
        for part, expected in published.items()
        if found.get(part, 0) != expected
    }


def absent(name: str, problems: Sequence[Problem], languages: Sequence[str] = ()) -> Lacking:
    """What the published set has and `problems` has not, by part: languages (of `languages`, if any) or libraries.

    Sets that go round in one piece are counted when they are read, and lack nothing.
    """
    published = getattr(module(name, "benchmarks"), "PARTS", {})
    wanted = {part: count for part, count in published.items() if not languages or part in languages}
    return lacking(wanted, Counter(map(part_of, problems)))
