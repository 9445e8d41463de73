"""Recorded scores of public generations against ours, task by task.

    make rescore                       all of evaluation/recorded.yaml
    python -m evaluation.rescore wizardcoder-15b evol-teacher

reads   evaluation/recorded.yaml, and each file from REAL_DATA_DIR or at its pinned commit on GitHub
writes  build/rescore/<name>.json (the result, with its programs beside it, as evaluate writes them) and a table; exit
        code 1 when a score is not met
"""

import argparse
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from artefacts import ROOT, Refusal, StrictModel, command_line, read_mapping, validate, write_json
from evaluation.benchmarks import files
from evaluation.generic import recorded as texts
from evaluation.judge import UNSCORED
from evaluation.result import write_programs
from evaluation.score_file import score_samples
from evaluation.selection import Selection

RECORDED = ROOT / "evaluation" / "recorded.yaml"


class Verdicts(StrictModel):
    """EvalPlus's result file of the same samples."""

    file: str
    path: str
    sha256: str


class Record(StrictModel):
    """One entry of recorded.yaml."""

    model: str
    benchmark: str
    version: str
    file: str
    repo: str
    commit: str
    path: str
    sha256: str
    licence: str
    scores: dict[str, float]
    tolerance: dict[str, float]
    verdicts: Verdicts | None
    differs: dict[str, str]


def find(record: Record, file: str, path: str, sha256: str) -> Path:
    """A file in REAL_DATA_DIR or fetched, with the content that is pinned.

    Raises:
        Refusal: it cannot be had, or its content is another.
    """
    folder = files.data_folder(None)
    known = folder / file if folder else None
    found = known if known and known.is_file() else files.GitHub(record.repo, record.commit, path, sha256).fetch()
    data = found.read_bytes()
    digest = hashlib.sha256(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).hexdigest()
    if digest != sha256:
        raise Refusal(f"{found}: sha256 of its content is {digest}, expected {sha256}; fetch it again.")
    return found


def recorded_verdicts(path: Path) -> dict[str, dict[str, list[bool]]]:
    """EvalPlus's verdicts: {"base": {task: [passed, ...]}, "plus": ...}; plus needs both."""
    data = path.read_bytes()
    rows = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)["eval"]
    base = {task_id: [s["base_status"] == "pass" for s in samples] for task_id, samples in rows.items()}
    plus = {
        task_id: [s["base_status"] == s["plus_status"] == "pass" for s in samples] for task_id, samples in rows.items()
    }
    return {"base": base, "plus": plus}


def ours(result: dict[str, Any], part: str) -> dict[str, list[bool]]:
    """Our verdicts on base or plus inputs, or as a whole."""
    key = "base" if part == "base" else "status"
    return {task_id: [v.get(key) == "ok" for v in task["verdicts"]] for task_id, task in result["tasks"].items()}


def compare(record: Record, result: dict[str, Any], said: dict[str, dict[str, list[bool]]]) -> dict[str, Any]:
    """Recorded against ours: each score, the tasks that differ, whether all is met.

    A score that misses only by the tasks of `differs` is met: it is what is recorded, put right.
    """
    measured = {f"pass@{k}": 100 * value["value"] for k, value in result["pass_at_k"].items()}
    measured["accuracy"] = measured["pass@1"]  # what it is called where texts are compared
    measured |= {name: 100 * group["pass_at_1"] for name, group in result["scores"].items()}
    other: dict[str, set[str]] = {}
    for part, verdicts in said.items():
        mine = ours(result, part)
        other[part] = {task_id for task_id in verdicts if mine.get(task_id) != verdicts[task_id]}
    explained = set(record.differs)
    unexplained = sorted(set().union(*other.values()) - explained) if other else []
    missed = []
    for name, value in record.scores.items():
        allowed = record.tolerance[name] + 100 * len(explained & other.get(name, set())) / result["problems"]
        if abs(measured[name] - value) > allowed:
            missed.append(name)
    unscored = [t for t, task in result["tasks"].items() if any(v["status"] in UNSCORED for v in task["verdicts"])]
    return {
        "scores": {
            name: {"recorded": value, "ours": round(measured[name], 2)} for name, value in record.scores.items()
        },
        "tasks_compared": {part: len(verdicts) for part, verdicts in said.items()},
        "tasks_that_differ": {part: sorted(ids) for part, ids in other.items()},
        "unexplained": unexplained,
        "unscored": unscored,
        "met": not missed and not unexplained and not unscored,
    }


def rescore(name: str, record: Record, output: Path, workers: int | None) -> dict[str, Any]:
    """Score one entry; writes and returns the comparison."""
    path = find(record, record.file, record.path, record.sha256)
    said: dict[str, dict[str, list[bool]]] = {}
    if record.benchmark == texts.BENCHMARK:
        result = texts.score(path, record.version)
    else:
        result, held = score_samples(path, record.benchmark, record.version, Selection(workers=workers))
        said = {"pass@1": held.recorded} if held.recorded else {}
        write_programs(output / f"{name}.json", held.programs)
    if record.verdicts:
        more = record.verdicts
        said = recorded_verdicts(find(record, more.file, more.path, more.sha256))
    compared = compare(record, result, said)
    write_json(output / f"{name}.json", {"recorded": record.model_dump(), "comparison": compared, **result})
    return compared


def rows_of(name: str, record: Record, compared: dict[str, Any]) -> list[str]:
    """Lines of the table, and a line for each task that differs."""
    lines = []
    for measure, pair in compared["scores"].items():
        part = measure if measure in compared["tasks_compared"] else None
        count = compared["tasks_compared"].get(part)
        agree = f"{count - len(compared['tasks_that_differ'][part])}/{count}" if count else "-"
        what = f"{record.benchmark} {record.version} {measure}"
        lines.append(f"{name:22}{what:34}{pair['recorded']:>9.1f}{pair['ours']:>8.1f}{agree:>12}")
    for task_id in sorted(
        set().union(*compared["tasks_that_differ"].values()) if compared["tasks_that_differ"] else ()
    ):
        lines.append(f"  {task_id}: {record.differs.get(task_id, 'differs, not explained')}")
    return lines


def plan(names: list[str], known: dict[str, Record]) -> str:
    """What would be scored, and where each file comes from; nothing is fetched."""
    folder = files.data_folder(None)
    lines = [f"{'generations':22}{'measure':30}from"]
    for name in names:
        record = known[name]
        is_here = folder is not None and (folder / record.file).is_file()
        where = str(folder / record.file) if is_here else f"github:{record.repo}@{record.commit}:{record.path}"
        lines.append(f"{name:22}{f'{record.benchmark} {record.version}':30}{where}")
    return "\n".join([*lines, "a plan: nothing was fetched and nothing was run"])


@command_line
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.rescore", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="entries of recorded.yaml (default: all)")
    parser.add_argument("--output", type=Path, default=Path("build/rescore"), help="folder (default: build/rescore)")
    parser.add_argument("--workers", type=int, help="sandbox workers (default: one per core)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be scored, fetch and run nothing")
    given = parser.parse_args()
    known = {name: validate(Record, row, f"{RECORDED}: {name}") for name, row in read_mapping(RECORDED).items()}
    for name in given.names:
        if name not in known:
            raise Refusal(f"{RECORDED}: there is no entry '{name}'; known entries: {', '.join(known)}.")
    if given.dry_run:
        print(plan(given.names or list(known), known))
        return 0
    met, lines = True, []
    for name in given.names or known:
        compared = rescore(name, known[name], given.output, given.workers)
        met &= compared["met"]
        lines += rows_of(name, known[name], compared)
    print(f"{'generations':22}{'measure, %':34}{'recorded':>9}{'ours':>8}{'tasks agree':>12}")
    print("\n".join(lines))
    print("every recorded score is met" if met else "NOT every recorded score is met")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
