"""Canonical and buggy solutions of HumanEvalPack, canonical ones of HumanEval-X, in every language they come in.

    REAL_DATA_DIR=/path/to/data python tests/perf/sandbox_languages.py [python java go ...] [--part 1/4]

Programs are put together and judged as evaluation does it, with the limits of evaluation/limits.yaml. Prints a table,
and to stderr every exception by id with its cause: a canonical solution that does not pass, a buggy one that does.
--part takes the problems whose place in the set leaves that remainder: four short runs instead of a long one.
"""

import argparse
import collections
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from evaluation import benchmarks, extract  # noqa: E402
from evaluation.benchmarks.humaneval_x import LANGUAGES  # noqa: E402
from evaluation.judge import UNSCORED, judge  # noqa: E402
from evaluation.score_file import limits_for  # noqa: E402


def main(languages: list[str], number: int, parts: int) -> None:
    """Prints the table and, at once, the exceptions; of every `parts`th problem, from the `number`th on."""
    print("| benchmark | language | canonical ok | buggy fails | statuses of the buggy | s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for benchmark in ("humanevalpack", "humaneval_x"):
        limits, _ = limits_for(benchmark)
        known = benchmarks.load(benchmark)
        for language in languages:
            problems = [p for p in known if p.language == language][number - 1 :: parts]
            started = time.time()
            if not problems:
                print(f"| {benchmark} | {language} | not in this folder | - | - | - |")
                continue
            texts = {p.task_id: [p.solution, p.extra.get("buggy_solution")] for p in problems}
            programs = {
                p.task_id: [extract.program(text, p) for text in texts[p.task_id] if text is not None]
                for p in problems
            }
            records = judge(problems, programs, limits)
            good = {task_id: rows[0] for task_id, rows in records.items()}
            bad = {task_id: rows[1] for task_id, rows in records.items() if len(rows) > 1}
            for task_id, record in good.items():
                if record["status"] != "ok":
                    said = f"{record['status']} {record['exception'] or ''}: {record['reason']}"
                    print(f"{task_id} {benchmark} canonical: {said}", file=sys.stderr, flush=True)
            for task_id, record in bad.items():
                if record["status"] in ("ok", *UNSCORED):
                    print(f"{task_id} {benchmark} buggy: {record['status']}", file=sys.stderr, flush=True)
            failing = sum(r["status"] not in ("ok", *UNSCORED) for r in bad.values())
            counted = collections.Counter(r["status"] for r in bad.values())
            statuses = ", ".join(f"{status} {count}" for status, count in counted.most_common())
            held = sum(r["status"] == "ok" for r in good.values())
            print(f"| {benchmark} | {language} | {held}/{len(problems)} | {f'{failing}/{len(bad)}' if bad else '-'} |"
                  f" {statuses or '-'} | {time.time() - started:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", default=list(LANGUAGES.values()))
    parser.add_argument("--part", default="1/1", help="which of how many: 1/4, 2/4, ...")
    given = parser.parse_args()
    main(given.languages, *map(int, given.part.split("/")))
