"""The result file: one schema for our own generations, other people's, and (scores only) generic benchmarks.

    {benchmark, version, problems, pass_at_1, standard_error, caveat, scores: {group: ...}, tasks: {id: ...}, ...}

`tasks[id]` holds samples, passed and a verdict for each sample with its reason, and in a set of parts its part;
`scores` has a row a part (languages, libraries of DS-1000, subjects), or base and plus (EvalPlus's sets; the headline
is plus, which needs both).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artefacts import Refusal, write_bytes
from evaluation.benchmarks import Lacking, Problem, ds1000, part_of
from evaluation.judge import UNSCORED, is_plus
from evaluation.scores import caveat, score


def passed(record: Mapping[str, Any]) -> bool:
    """Whether a sample passes."""
    return record["status"] == "ok"


def _groups(problems: Sequence[Problem]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for p in problems:
        groups.setdefault(part_of(p), []).append(p.task_id)
    return groups if len(groups) > 1 or any("library" in p.extra for p in problems) else {}


def build(
    problems: Sequence[Problem], records: Mapping[str, Sequence[Mapping[str, Any]]], total: int, where: str,
    absent: Lacking | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores, outcomes and tasks of a run.

    Args:
        problems: those that were asked.
        records: task id -> one record a sample (judge.py).
        total: how many problems of the benchmark are there.
        absent: what else the published set has (`benchmarks.absent`); it counts as problems that were not scored.

    Raises:
        Refusal: nothing could be scored.
    """
    scored = {
        task_id: [r for r in rows if r["status"] not in UNSCORED]
        for task_id, rows in records.items()
        if any(r["status"] not in UNSCORED for r in rows)
    }
    if not scored:
        first = next((r for rows in records.values() for r in rows), {})
        said = f"{first.get('status')}: {first.get('reason')}"
        raise Refusal(f"{where}: no problem could be scored ({said}); see make doctor.")
    counts = {task_id: (len(rows), sum(map(passed, rows))) for task_id, rows in scored.items()}
    whole = score(counts)
    scores: dict[str, Any] = {}
    groups = _groups(problems)
    part = {task_id: {"part": name} for name, ids in groups.items() for task_id in ids}
    for name, ids in groups.items():
        here = {task_id: counts[task_id] for task_id in ids if task_id in counts}
        if here:
            scores[name] = score(here)
    if any(is_plus(p) for p in problems):
        base = {task_id: (len(rows), sum(r.get("base") == "ok" for r in rows)) for task_id, rows in scored.items()}
        scores = {"base": score(base), "plus": whole}
    result = {
        **whole,
        **published(total, absent or {}),
        "unscored": sorted(set(records) - set(scored)),
        "unscored_because": dict(
            Counter(r["reason"] or r["status"] for t in set(records) - set(scored) for r in records[t]).most_common()
        ),
        "caveat": caveat(whole["problems"], whole["standard_error"]),
        "scores": scores,
        "outcomes": dict(
            Counter(r["exception"] or r["status"] for rows in records.values() for r in rows).most_common()
        ),
        "tasks": {
            task_id: part.get(task_id, {})
            | {"samples": len(rows), "passed": sum(map(passed, rows)), "verdicts": list(rows)}
            for task_id, rows in records.items()
        },
    }
    if any("library" in p.extra for p in problems):  # the paper's overall figure
        result |= {"libraries": ds1000.installed(problems), **unweighted(scores)}
    return result


Answered = tuple[str, bool, str, str]  # the question's id, whether the answer is right, what was expected, the answer


def build_answers(said: Mapping[str, Sequence[Answered]], absent: Lacking | None = None) -> dict[str, Any]:
    """The same for questions whose answer is a text.

    Args:
        said: group (a subject, a task) -> its answers; at least one.
        absent: as in `build`.
    """
    scores, tasks = {}, {}
    for group, rows in said.items():
        scores[group] = score({task_id: (1, int(right)) for task_id, right, *_ in rows})
        for task_id, right, expected, found in rows:
            verdict = {"status": "ok" if right else "wrong_output", "exception": None, "shared_process": False,
                       "reason": None if right else f"expected {expected[:120]!r}, got {found[:120]!r}"}  # fmt: skip
            tasks[task_id] = {"part": group, "samples": 1, "passed": int(right), "verdicts": [verdict]}
    whole = score({task_id: (1, task["passed"]) for task_id, task in tasks.items()})
    return {
        **whole,
        **published(len(tasks), absent or {}),
        "unscored": [],
        "unscored_because": {},
        "caveat": caveat(whole["problems"], whole["standard_error"]),
        "scores": scores,
        "outcomes": {"ok": whole["passed"], "wrong_output": len(tasks) - whole["passed"]},
        **(unweighted(scores) if len(scores) > 1 else {}),
        "tasks": tasks,
    }


def published(total: int, absent: Lacking) -> dict[str, Any]:
    """How many problems the published set has, of which `total` are there, and what of it is not."""
    missing = sum(part["expected"] - part["found"] for part in absent.values())
    return {"problems_in_benchmark": total + missing, "absent": absent}


def unweighted(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The mean over groups, each counting the same, with its standard error."""
    count = len(scores)
    return {
        "unweighted_mean": math.fsum(s["pass_at_1"] for s in scores.values()) / count,
        "unweighted_standard_error": math.sqrt(math.fsum(s["standard_error"] ** 2 for s in scores.values())) / count,
    }


def programs_of(path: Path) -> Path:
    """Where the programs of a result file lie: result.json -> result.programs.jsonl."""
    return path.with_suffix(".programs.jsonl")


def write_programs(path: Path, programs: Mapping[str, Sequence[str | None]]) -> None:
    """What was judged, one program a line, beside the result file `path`; None was not run."""
    lines = [
        json.dumps({"task_id": task_id, "sample": number, "program": text}) + "\n"
        for task_id, texts in programs.items()
        for number, text in enumerate(texts)
    ]
    write_bytes(programs_of(path), "".join(lines).encode())


def line(result: Mapping[str, Any]) -> str:
    """One line for a person."""
    head = f"pass@1 {100 * result['pass_at_1']:.1f} % +- {100 * result['standard_error']:.1f}"
    more = [f"pass@{k} {100 * value['value']:.1f} %" for k, value in result["pass_at_k"].items() if k != "1"] + [
        f"{name} {100 * group['pass_at_1']:.1f} %" for name, group in result["scores"].items()
    ]
    if "unweighted_mean" in result:
        mean, error = (100 * result[f"unweighted_{name}"] for name in ("mean", "standard_error"))
        more.append(f"unweighted mean {mean:.1f} % +- {error:.1f}")
    why = "; ".join(result["unscored_because"])
    unscored = f" {len(result['unscored'])} not scored ({why})." if result["unscored"] else ""
    if absent := result.get("absent"):
        parts = [f"{name}: expected {n['expected']}, found {n['found']}" for name, n in absent.items()]
        rest = [f"and {len(parts) - 6} parts more"] if len(parts) > 6 else []
        unscored += f" Not in the data here: {', '.join(parts[:6] + rest)}."
    version = f" {result['version']}" if result.get("version") else ""
    said = f"{result['benchmark']}{version}: {result['passed']:g} of {result['problems']} pass, {head}"
    whose = f"{result['model']}, " if result.get("model") else ""
    return f"{whose}{', '.join([said, *more])}.{unscored} {result['caveat']}"
