"""DS-1000 (arXiv 2211.11501): 1,000 questions on seven data-science libraries, the solution goes into a context."""

import importlib.metadata
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import File, Hub, read

VERSIONS = ("v1",)
ITEMS = 1000
ENTRY = "__evaluation_run__"
FILE = File(
    ("ds1000.jsonl.gz", "ds1000.jsonl", "DS-1000/test.jsonl"),
    Hub("xlangai/DS-1000", "4416080ac5cb80bdf7576aefb8f9a0b4d5426a44", "test.jsonl"),
    None,  # the whole set is 1,000; parts of it by library go round
)
PARTS = {
    "Pandas": 291, "Numpy": 220, "Matplotlib": 155, "Sklearn": 115, "Scipy": 106, "Pytorch": 68, "Tensorflow": 45,
}  # problems by library; table 1 of the paper  # fmt: skip
MODULES = {
    "Pandas": "pandas", "Numpy": "numpy", "Tensorflow": "tensorflow", "Scipy": "scipy", "Sklearn": "sklearn",
    "Pytorch": "torch", "Matplotlib": "matplotlib",
}  # library as the set calls it -> what is imported  # fmt: skip


def installed(problems: Iterable[Problem]) -> dict[str, str]:
    """Versions of the packages that these problems import, of those that are here; empty for other sets.

    The set was made with versions of 2023: what a newer one no longer does fails here.
    """
    modules = {MODULES[p.extra["library"]] for p in problems if "library" in p.extra}
    brought_by = importlib.metadata.packages_distributions() if modules else {}  # sklearn -> scikit-learn
    names = sorted(name for module in modules for name in brought_by.get(module, ())[:1])
    return {name: importlib.metadata.version(name) for name in names}


def missing(problem: Problem) -> str | None:
    """The module that a problem needs and that is not installed here, None when it is there."""
    module = MODULES[problem.extra["library"]]
    return None if importlib.util.find_spec(module) else module


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """All problems that the file holds; `test` is the code context, `extra` says the library.

    `benchmarks.absent` names the libraries that the file lacks.

    Raises:
        Refusal: the file can be had from nowhere.
    """
    return [
        Problem(
            f"DS-1000/{row['metadata']['problem_id']}", row["prompt"], row["reference_code"], row["code_context"], "",
            extra={"library": row["metadata"]["library"], "perturbation": row["metadata"]["perturbation_type"]},
        )
        for row in read(FILE, folder, "ds1000")
    ]  # fmt: skip


def program(code: str, problem: Problem) -> tuple[str, str]:
    """(program, test) of a solution: the problem's own context runs it, in the candidate's process.

    Data frames and figures are compared by the context itself, so such a verdict is not as hard as others.
    """
    strings = "    test_string(solution)\n" if "def test_string(" in problem.test else ""
    text = (
        f"{problem.test}\n\n\ndef {ENTRY}():\n    solution = {code!r}\n    test_execution(solution)\n{strings}"
        "    return True\n"
    )
    return text, "assert candidate() is True\n"
