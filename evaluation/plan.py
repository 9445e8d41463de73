"""What an evaluation takes, read off its protocols alone: nothing is loaded, fetched, asked or run (--dry-run).

DRY_RUN=1 make evaluate-demo
"""

from collections.abc import Sequence
from pathlib import Path

from evaluation import benchmarks, generate, protocol
from evaluation.protocol import Protocol
from evaluation.selection import Selection

# problems of the test split where it is not the whole set
_TEST_SPLIT = {("mbpp", "full"): 500, ("mbpp", "sanitized"): 257, ("mbpp_plus", "v0.2.0"): 378}


def problems_of(rules: Protocol) -> int:
    """How many problems a protocol asks."""
    of = benchmarks.module(rules.benchmark, "plan")
    parts = getattr(of, "PARTS", {})
    if parts:
        return sum(count for part, count in parts.items() if not rules.languages or part in rules.languages)
    return _TEST_SPLIT.get((rules.benchmark, rules.version), of.ITEMS)


def answers_of(rules: Protocol, problems: int) -> int:
    """How many answers a protocol wants for so many problems: explain describes first."""
    return problems * rules.samples_per_task * (2 if rules.task == "explain" else 1)


def of_model(model: str, paths: Sequence[Path], selection: Selection, output: Path) -> str:
    """The plan for a model: a line a protocol.

    Raises:
        Refusal: a protocol is wrong.
    """
    there = "" if generate.weights_of(model) or not generate.is_path(model) else " (not there yet)"
    lines = [
        f"model      {model}{there}",
        f"output     {output}",
        "",
        f"{'protocol':28}{'benchmark':26}{'problems':>9}{'answers':>9}{'batch':>7}{'most tokens':>13}",
    ]
    for path in paths:
        rules = protocol.read(path)
        problems = len(selection.tasks) or min(problems_of(rules), selection.limit or problems_of(rules))
        answers = answers_of(rules, problems)
        lines.append(f"{protocol.name_of(path):28}{f'{rules.benchmark} {rules.version}':26}{problems:>9,}{answers:>9,}"
                     f"{rules.batch_size:>7}{answers * rules.max_new_tokens:>13,}")  # fmt: skip
    return "\n".join([*lines, "", "a plan: nothing was asked and nothing was run"])
