"""One file per benchmark: load, extract, program. `dataset_scripts` reads them to decontaminate."""

import importlib
import pkgutil
from dataclasses import dataclass

from artefacts import Refusal


@dataclass(frozen=True)
class Problem:
    """One task of a benchmark.

    Attributes:
        task_id: the benchmark's own id, `HumanEval/0`.
        prompt: what the model is given.
        solution: the reference solution.
        test: code that checks a solution.
        entry_point: name of the function under test.
    """

    task_id: str
    prompt: str
    solution: str
    test: str
    entry_point: str


def names() -> list[str]:
    """Names of all benchmarks, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def module(name: str, where: str):
    """The module of a benchmark.

    Raises:
        Refusal: there is none; `where` says which file asked.
    """
    if name not in names():
        raise Refusal(f"{where}: there is no benchmark '{name}'; known benchmarks: {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}")


def load(name: str, where: str) -> list[Problem]:
    """All problems of a benchmark, in its own order."""
    return module(name, where).load()
