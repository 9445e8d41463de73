"""Scores for the report: evaluations beside published figures, and a verdict for every task with what was judged.

reads   build/runs/<run>/eval-*/{result.json, samples.jsonl, result.programs.jsonl}, evaluation/published.yaml; writes
        nothing

Of a task with several samples the first that fails is shown, and the first of all where none fails.
"""

import json
import math
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import scipy.stats

from analysis.reading import Artefacts, Evaluation, Run
from artefacts import ROOT, read_mapping

PUBLISHED = ROOT / "evaluation" / "published.yaml"
TEXTS = {"answer": "samples.jsonl", "program": "result.programs.jsonl"}  # of a sample, and the file that keeps it
MOST_CHARS = 4_000  # of a text
MOST_BYTES = 6_000_000  # of all of them
BASE, TUNED = "eval-base", "eval-tuned"  # folders of a run: what `make evaluate-demo` and `make evaluate-run` write
NORMAL_95 = 1.96  # standard errors on either side of a mean
CHANCE = 0.05  # a difference that chance makes at least so often proves nothing


def table(artefacts: Artefacts) -> list[dict[str, Any]]:
    """A row an evaluation: score and error in %, of how many problems, under which protocol, by which command."""
    return [_row(run, evaluation) for run in artefacts.runs for evaluation in run.evaluations]


def _row(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    result = evaluation.result
    is_part = result["problems"] < result["problems_in_benchmark"]
    limit = f" --limit {result['problems'] + len(result['unscored'])}" if is_part else ""
    return {
        "run": run.name,
        "name": evaluation.name,
        "benchmark": " ".join(filter(None, (result["benchmark"], result.get("version")))),
        "protocol": result["protocol_name"],
        "score": 100 * result["pass_at_1"],
        "standard_error": 100 * result["standard_error"],
        "problems": result["problems"],
        "problems_in_benchmark": result["problems_in_benchmark"],
        "unscored": len(result["unscored"]),
        "sandbox": result["sandbox"],
        "caveat": result["caveat"],
        "about": result["protocol"]["about"],
        "command": f"python -m evaluation.evaluate MODEL --protocol {result['protocol_name']}{limit} --output DIR",
        "published": _beside(result),
    }


def gains(artefacts: Artefacts) -> list[dict[str, Any]]:
    """Tuned minus base of every run and protocol, in points, task by task.

    Only where both were evaluated alike (protocol, tasks), over the problems that both scored, two at the least.

    Returns:
        run, benchmark, protocol, `problems`, `problems_in_benchmark`, `difference`, and its 95 % interval `low` to
        `high`: 1.96 standard errors of the paired differences, or 3 / n where all are the same; problems `gained` and
        `lost`, and `p` of their exact sign test. `verdict`: better, worse, or open where p is at least CHANCE.
    """
    found = []
    for run in artefacts.runs:
        bases = {e.result["protocol_name"]: e.result for e in run.evaluations if e.name.split("/")[0] == BASE}
        for evaluation in run.evaluations:
            tuned = evaluation.result
            base = bases.get(tuned["protocol_name"]) if evaluation.name.split("/")[0] == TUNED else None
            if base and (one := gain(base, tuned)):
                found.append(one | {"run": run.name, "protocol": tuned["protocol_name"]})
    return found


def gain(base: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any] | None:
    """Of two results, see `gains`; None where tasks or protocols differ, or fewer than two were scored by both."""
    if (base["protocol"], base["tasks"].keys()) != (tuned["protocol"], tuned["tasks"].keys()):
        return None
    unscored = {*base["unscored"], *tuned["unscored"]}
    points = [
        100 * (task["passed"] / task["samples"] - base["tasks"][name]["passed"] / base["tasks"][name]["samples"])
        for name, task in tuned["tasks"].items()
        if name not in unscored
    ]
    if len(points) < 2:
        return None
    mean, error = statistics.fmean(points), statistics.stdev(points) / math.sqrt(len(points))
    half = NORMAL_95 * error or _unseen(len(points))
    gained, lost = sum(one > 0 for one in points), sum(one < 0 for one in points)
    # an interval is too sure where few problems changed; how many of these went up is counted exactly
    p = float(scipy.stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    kept = ("benchmark", "problems_in_benchmark")
    return {key: tuned[key] for key in kept} | {
        "problems": len(points),
        "difference": mean,
        "low": mean - half,
        "high": mean + half,
        "gained": gained,
        "lost": lost,
        "p": p,
        "verdict": "open" if p >= CHANCE else "better" if gained > lost else "worse",
    }


def _unseen(problems: int) -> float:
    """Points that a share may be away from the true one where all problems end alike, at 95 % (the rule of three)."""
    return min(100.0, 300 / max(problems, 1))


def published() -> list[dict[str, Any]]:
    """The papers' figures, % pass@1: model, benchmark, protocol, source. The papers state no standard errors."""
    return [
        {
            "model": entry["model"], "protocol": key.removesuffix("+"), "is_plus": key.endswith("+"), "score": value,
            "source": entry["source"],
        }
        for entry in read_mapping(PUBLISHED).values()
        for key, value in entry["figures"].items()
    ]  # fmt: skip


def _beside(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Published figures of the very protocol of a result, each with the difference to it in points.

    Two numbers under different protocols say nothing about each other, so other figures are never subtracted; part of
    a benchmark bears no verdict. The error is that of the figure: over libraries where the figure is their mean.
    """
    found = []
    for figure in published():
        if figure["protocol"] != result["protocol_name"]:
            continue
        ours = result["scores"].get("plus" if figure["is_plus"] else "base", result)
        value = 100 * result.get("unweighted_mean", ours["pass_at_1"])
        error = 100 * result.get("unweighted_standard_error", ours["standard_error"])
        difference = value - figure["score"]
        missing = result["problems_in_benchmark"] - result["problems"]
        noise = 2 * error or _unseen(result["problems"])
        said = "within two errors" if abs(difference) <= noise else "beyond two errors"
        if missing:
            said = f"no verdict, {missing} of {result['problems_in_benchmark']} problems were not scored"
        found.append(figure | {"difference": difference, "verdict": said})
    return found


def tasks(artefacts: Artefacts) -> dict[str, Any] | None:
    """The verdict grid: evaluations as columns, tasks as rows, and the programs that are one click away.

    Returns:
        `columns` (run, name, benchmark, counts), `rows` ([task id, [cell or None, ...]]), and `left_out`: how many
        samples have no text in the report, which has room for MOST_BYTES.
    """
    columns, cells, size, left_out = [], {}, 0, 0
    for run in artefacts.runs:
        for evaluation in run.evaluations:
            texts = {name: _texts(evaluation.folder / file, name) for name, file in TEXTS.items()}
            counts: Counter[str] = Counter()
            for task_id, task in evaluation.result["tasks"].items():
                cell = _cell(task, {name: of.get(task_id, {}) for name, of in texts.items()})
                size += sum(len(text) for text in cell["texts"].values())
                if size > MOST_BYTES and cell["texts"]:
                    cell["texts"], left_out = {}, left_out + 1
                counts["passes" if cell["passes"] else "fails"] += 1
                cells[task_id, len(columns)] = cell
            columns.append({"run": run.name, "name": evaluation.name, "benchmark": evaluation.result["benchmark"],
                            "passes": counts["passes"], "fails": counts["fails"]})  # fmt: skip
    if not columns:
        return None
    order = dict.fromkeys(task_id for task_id, _ in cells)
    rows = [[task_id, [cells.get((task_id, place)) for place in range(len(columns))]] for task_id in order]
    return {"columns": columns, "rows": rows, "left_out": left_out}


def _cell(task: dict[str, Any], texts: dict[str, dict[int, str]]) -> dict[str, Any]:
    """What is known of a task: whether its samples pass, why not, and the texts of the sample that is shown."""
    verdicts = task["verdicts"]
    shown = next((n for n, verdict in enumerate(verdicts) if verdict["status"] != "ok"), 0)
    verdict = verdicts[shown] if verdicts else {"status": "not_run", "exception": None, "reason": None}
    found = {name: of[shown] for name, of in texts.items() if of.get(shown)}
    return {
        "passes": task["passed"] == task["samples"] > 0,
        "samples": task["samples"],
        "passed": task["passed"],
        "status": verdict["exception"] or verdict["status"].replace("_", " "),
        "reason": verdict["reason"],
        "texts": {name: text[:MOST_CHARS] for name, text in found.items()},
        "more": {name: len(text) - MOST_CHARS for name, text in found.items() if len(text) > MOST_CHARS},
    }


def _texts(path: Path, name: str) -> dict[str, dict[int, str]]:
    """Task id -> sample -> its answer, as the model wrote it, or the program that was judged."""
    found: dict[str, dict[int, str]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                sample = json.loads(line)
                found.setdefault(sample["task_id"], {})[sample.get("sample", 0)] = sample[name]
    return found


def changed(grid: dict[str, Any] | None) -> dict[str, int] | None:
    """Of the first two columns, where they are of one benchmark: tasks by which of them passes."""
    if grid is None or len(grid["columns"]) < 2 or len({c["benchmark"] for c in grid["columns"][:2]}) > 1:
        return None
    pairs = [(a["passes"], b["passes"]) for _, (a, b, *_) in grid["rows"] if a and b]
    counts = Counter(pairs)
    return {"both": counts[True, True], "first": counts[True, False], "second": counts[False, True],
            "neither": counts[False, False]}  # fmt: skip
