"""Error cases of any number of runs, side by side: which errors, how often, and the failing tasks behind each.

    make errors RUNS="before=build/a after=build/b" LIST=NameError PROGRAMS=3

The paper's table: fewer SyntaxError, NameError and ValueError, fewer answers with no code, fewer wrong answers.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artefacts import Refusal, command_line, write_json
from evaluation.compare import file_of, read
from evaluation.result import programs_of

NO_CODE = "no code"
_NAMES = {"ok": "passes", "wrong_output": "wrong answer", "not_code": NO_CODE, "compile_error": "SyntaxError"}


def kind(verdict: Mapping[str, Any]) -> str:
    """The error case of one sample: the exception's name, or what else went wrong in plain words."""
    if verdict.get("no_code"):
        return NO_CODE
    if verdict["status"] in ("exception", "compile_error") and verdict["exception"]:
        return {"IndentationError": "SyntaxError", "TabError": "SyntaxError"}.get(*[verdict["exception"]] * 2)
    if verdict["status"] == "wrong_output" and verdict["exception"] not in (None, "AssertionError"):
        return verdict["exception"]
    return _NAMES.get(verdict["status"], verdict["status"].replace("_", " "))


def cases(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Task ids by error case, one entry a sample."""
    found: dict[str, list[str]] = {}
    for task_id, task in result["tasks"].items():
        for verdict in task["verdicts"]:
            found.setdefault(kind(verdict), []).append(task_id)
    return found


def table(runs: Mapping[str, Mapping[str, list[str]]]) -> str:
    """A row a case, a column a run; the last column says how the last run differs from the first."""
    totals = Counter(
        {case: sum(len(run.get(case, ())) for run in runs.values()) for run in runs.values() for case in run}
    )
    order = ["passes", *(case for case, _ in totals.most_common() if case != "passes")]
    width = max(14, *(len(name) + 2 for name in runs))
    lines = [f"{'case':24}" + "".join(f"{name:>{width}}" for name in runs) + f"{'change':>10}"]
    names = list(runs)
    for case in order:
        counts = [len(runs[name].get(case, ())) for name in names]
        change = f"{counts[-1] - counts[0]:+d}" if len(counts) > 1 else ""
        lines.append(f"{case:24}" + "".join(f"{count:>{width}}" for count in counts) + f"{change:>10}")
    return "\n".join(lines)


def listing(name: str, result: Mapping[str, Any], case: str, path: Path, programs: int) -> list[str]:
    """Failing tasks of a case with their reasons, the first `programs` of them with what was judged.

    Raises:
        Refusal: programs are asked for and the run kept none.
    """
    kept = {}
    if programs:
        source = programs_of(path)
        if not source.is_file():
            raise Refusal(f"{source}: is missing; score the run again, programs are kept since then.")
        rows = (json.loads(line) for line in source.read_text(encoding="utf-8").splitlines())
        kept = {(row["task_id"], row["sample"]): row["program"] for row in rows}
    lines = []
    failing = [
        (task_id, number, verdict)
        for task_id, task in result["tasks"].items()
        for number, verdict in enumerate(task["verdicts"])
        if kind(verdict) == case
    ]
    for count, (task_id, number, verdict) in enumerate(failing):
        lines.append(f"{name}  {task_id} sample {number}  {verdict['reason'] or ''}")
        if count < programs:
            lines += [f"    {line}" for line in (kept.get((task_id, number)) or "").rstrip().split("\n")]
    return lines


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.errors", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", help="name=result.json or name=folder, in the order of the columns")
    parser.add_argument("--list", metavar="CASE", help="list the failing samples of a case, with their reasons")
    parser.add_argument("--programs", type=int, default=0, metavar="N", help="print the first N programs of the list")
    parser.add_argument("--out", type=Path, help="write the cases as JSON, for figures")
    given = parser.parse_args()
    results, paths = {}, {}
    for text in given.runs:
        name, _, path = text.rpartition("=")
        results[name or path], paths[name or path] = read(Path(path)), file_of(Path(path))
    sets = {(r["benchmark"], r.get("version")) for r in results.values()}
    if len(sets) > 1:
        raise Refusal(f"the runs are of different benchmarks: {', '.join(f'{b} {v}' for b, v in sorted(sets))}.")
    runs = {name: cases(result) for name, result in results.items()}
    print(table(runs))
    if given.list:
        for name, result in results.items():
            print("\n".join(listing(name, result, given.list, paths[name], given.programs)))
    if given.out:
        write_json(given.out, runs)


if __name__ == "__main__":
    raise SystemExit(main())
