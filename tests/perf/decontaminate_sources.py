"""Decontaminate real instruction files against every benchmark at hand, as a mixture of `jsonl` rows would be.

    REAL_DATA_DIR=... python -m tests.perf.decontaminate_sources --build build/real [--show 10]

Prints the leak table, how many of the removed rows a reader found to be none (tests/dataset_scripts/judged_leaks.json)
and, with --show, that many removed rows of each source beside what they hold.
"""

import argparse
import random
from collections import defaultdict
from pathlib import Path

from dataset_scripts import decontaminate, leaks, references
from dataset_scripts.engine import Processes
from dataset_scripts.schema import make_row
from dataset_scripts.stage import Stage, run_on_rows, run_on_stream
from evaluation import benchmarks
from tests.dataset_scripts.test_real_leaks import JUDGED
from tests.perf.decontaminate import config
from tests.perf.decontaminate_rows import language_of, original_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=Path, required=True, help="folder to write the stages to")
    parser.add_argument("--show", type=int, default=0, help="removed rows of each source to show")
    arguments = parser.parse_args()
    settings = decontaminate.Config(**config().model_dump() | {"benchmarks": list(benchmarks.NAMES)})
    counts: dict[tuple, int] = defaultdict(int)
    rows = []
    for source, pairs in original_rows().items():
        for instruction, response in pairs:
            counts[source, instruction, response] += 1
            rows.append(
                make_row(
                    source=source, instruction=instruction, response=response, license="unknown", generator="unknown",
                    language=language_of(source), occurrence=counts[source, instruction, response],
                )
            )  # fmt: skip
    run_on_stream(Stage("03_clean", "rows", 2000), arguments.build, rows, total=len(rows))
    prepared = decontaminate.prepare(settings, None, 0, "decontaminate_sources")
    notes = {"config": settings.model_dump(), **prepared.notes}
    stage = Stage(leaks.STAGE, references.digest(decontaminate.load(settings, "x")), 2000, decontaminate.FACTS, notes)
    folder = arguments.build / stage.name
    run_on_rows(
        stage, arguments.build, arguments.build / "03_clean", decontaminate.batch, Processes(1), **prepared.arguments
    )
    leaks.write(folder)
    print((folder / "leaks.md").read_text())
    removed = defaultdict(list)
    for row in leaks.rows(folder):
        if row["removed"]:
            removed[row["source"]].append(row)
    verdicts = {row["id"]: row["leak"] for row in JUDGED}
    print("| source | removed | read | leaks | neighbours |\n| --- | --- | --- | --- | --- |")
    for source, pairs in original_rows().items():
        read = [verdicts[row["id"]] for row in removed[source] if row["id"] in verdicts]
        wrong = len(read) - sum(read)
        share = f"{wrong} ({100 * wrong / len(pairs):.2f} % of the rows)"
        print(f"| {source} | {len(removed[source])} | {len(read)} | {sum(read)} | {share} |")
    print()
    known = leaks.benchmark_items(folder)
    for _, some in sorted(removed.items()):
        some = random.Random(0).sample(some, min(arguments.show, len(some)))
        texts = leaks.texts(arguments.build / leaks.STAGE, {row["id"] for row in some})
        for row in some:
            print(leaks.side_by_side(row, texts[row["id"]], known))


if __name__ == "__main__":
    main()
