"""Two results side by side: the difference, its 95 % interval, and the tasks that changed sides.

    make compare A=build/runs/x/eval-base B=build/runs/x/eval-tuned

reads two result.json (a folder means the one in it); only tasks that both scored are compared, the rest is listed.
Where a set has parts (languages, libraries, subjects) their mean, each counting the same, is compared as well.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artefacts import Refusal, command_line, read_json, write_json
from evaluation.judge import UNSCORED
from evaluation.scores import mean_of_parts, paired_bootstrap, standard_error

CHANCE = 0.05  # a difference that chance makes at least so often proves nothing
MOST_PARTS = 12  # a line each up to here; all of them are in the JSON


def file_of(path: Path) -> Path:
    """The result file that a file or folder means."""
    return path / "result.json" if path.is_dir() else path


def read(path: Path) -> dict[str, Any]:
    """A result file, or the one of a folder.

    Raises:
        Refusal: there is none.
    """
    path = file_of(path)
    found = read_json(path)
    if not isinstance(found, dict) or "tasks" not in found or "benchmark" not in found:
        raise Refusal(f"{path}: no result of an evaluation there; run python -m evaluation.evaluate first.")
    return found


def shares(result: Mapping[str, Any]) -> dict[str, float]:
    """Share of passing samples of each task that was scored."""
    found = {}
    for task_id, task in result["tasks"].items():
        scored = [v for v in task["verdicts"] if v["status"] not in UNSCORED]
        if scored:
            found[task_id] = sum(v["status"] == "ok" for v in scored) / len(scored)
    return found


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """What a pair of results says.

    Raises:
        Refusal: they are of different benchmarks or versions, or share no task.
    """
    for key in ("benchmark", "version"):
        if first.get(key) != second.get(key):
            raise Refusal(f"the results are of different {key}s: {first.get(key)} and {second.get(key)}.")
    a, b = shares(first), shares(second)
    common = [task_id for task_id in a if task_id in b]
    if not common:
        raise Refusal("the results share no task that both scored; evaluate the same tasks.")
    a_common, b_common = ({t: shares_of[t] for t in common} for shares_of in (a, b))
    left, right = list(a_common.values()), list(b_common.values())
    parts = {t: second["tasks"][t]["part"] for t in common if "part" in second["tasks"][t]}
    settings = first.get("protocol") or {}, second.get("protocol") or {}
    return {
        "benchmark": first["benchmark"],
        "version": first.get("version"),
        "tasks": len(common),
        "first": sum(left) / len(common),
        "second": sum(right) / len(common),
        "first_standard_error": standard_error(left),
        "second_standard_error": standard_error(right),
        "first_by_task": a_common,
        "second_by_task": b_common,
        **paired_bootstrap(left, right),
        "mean_of_parts": mean_of_parts(a_common, b_common, parts) if len(set(parts.values())) > 1 else None,
        "gained": [t for t in common if b[t] > a[t]],
        "lost": [t for t in common if b[t] < a[t]],
        "only_one_scored": sorted(set(a) ^ set(b)),
        "rules_that_differ": sorted(
            k for k in settings[0].keys() | settings[1].keys() if settings[0].get(k) != settings[1].get(k)
        ),
    }


def table(found: Mapping[str, Any], names: tuple[str, str]) -> str:
    """The comparison for a person."""
    noise = "a difference" if found["p"] < CHANCE else "may be chance"
    lines = [
        f"{found['benchmark']} {found['version'] or ''}, {found['tasks']} tasks",
        f"  A {100 * found['first']:5.1f} %   {names[0]}",
        f"  B {100 * found['second']:5.1f} %   {names[1]}",
        f"  B - A {100 * found['difference']:+.1f} points +- {100 * found['standard_error']:.1f}, 95 % interval "
        f"{100 * found['low']:+.1f} to {100 * found['high']:+.1f}, p = {found['p']:.3f}: {noise}",
        f"  gained {len(found['gained'])}: {', '.join(found['gained'][:12])}",
        f"  lost {len(found['lost'])}: {', '.join(found['lost'][:12])}",
    ]
    if found["mean_of_parts"]:
        lines += _parts(found["mean_of_parts"])
    if found["only_one_scored"]:
        lines.append(f"  only one scored {len(found['only_one_scored'])}: {', '.join(found['only_one_scored'][:12])}")
    if found["rules_that_differ"]:
        lines.append(f"  CAUTION, the protocols differ in: {', '.join(found['rules_that_differ'])}")
    return "\n".join(lines)


def _parts(found: Mapping[str, Any]) -> list[str]:
    """The mean over parts, and where there are not too many a line a part."""

    def line(name: str, row: Mapping[str, Any]) -> str:
        error = "" if row["standard_error"] is None else f" +- {100 * row['standard_error']:.1f}"
        return (
            f"  {name:26}A {100 * row['first']:5.1f} %, B {100 * row['second']:5.1f} %, B - A "
            f"{100 * row['difference']:+.1f} points{error}"
        )

    parts = found["parts"]
    whole = line(f"unweighted mean of {len(parts)}", found)
    interval = ", too few tasks for an interval"
    if found["low"] is not None:
        interval = f", 95 % interval {100 * found['low']:+.1f} to {100 * found['high']:+.1f}"
    named = [line(f"  {name} ({row['tasks']})", row) for name, row in parts.items()]
    return [whole + interval, *(named if len(parts) <= MOST_PARTS else [])]


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.compare", description=__doc__.split("\n\n")[0])
    parser.add_argument("first", type=Path, help="result.json or its folder (A)")
    parser.add_argument("second", type=Path, help="the same (B)")
    parser.add_argument("--out", type=Path, help="write what is found as JSON, too, with the share of every task")
    given = parser.parse_args()
    found = compare(read(given.first), read(given.second))
    if given.out:
        write_json(given.out, found)
    print(table(found, (str(given.first), str(given.second))))


if __name__ == "__main__":
    raise SystemExit(main())
