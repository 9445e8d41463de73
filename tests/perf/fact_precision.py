"""How often the static alchemist's statements are true, by language, and how fast it reads; docs/harmony.md has both.

    REAL_DATA_DIR=... python -m tests.perf.fact_precision

Verdicts are a reader's (tests/dataset_scripts/judged_facts.json); the rate is of CPU time on the same real code.
"""

import os
import time
from pathlib import Path

from dataset_scripts import static_alchemist
from tests.dataset_scripts.test_detectors import real_rows
from tests.dataset_scripts.test_fact_precision import JUDGED, all_pairs, go_examples, precision, real_code


def main() -> None:
    folder = os.environ.get("REAL_DATA_DIR")
    if not folder:
        raise SystemExit("fact_precision: set REAL_DATA_DIR to the folder of real rows.")
    for number in (1, 2, 3, 4):
        rows = [row for row in JUDGED if row["sample"] == number]
        wrong = sum("mended" in row or not row["right"] for row in rows)
        print(f"sample {number}: {len(rows)} statements not read before, {wrong} wrong as they were worded then")
    code = real_code(Path(folder)) | go_examples()
    print("\n| language | pieces of code | statements made | read | true |\n| --- | --- | --- | --- | --- |")
    pairs = all_pairs(code)
    for language, (judged, right) in precision(pairs).items():
        pieces = sum(known == language for _, known, _ in code.values())
        made = sum(pair.language == language for pair in pairs)
        print(f"| {language} | {pieces:,} | {made:,} | {judged} | {right} |")
    rows = [(instruction, response) for _, instruction, response in real_rows(Path(folder)) if "```python" in response]
    began = time.process_time()
    for instruction, response in rows:
        static_alchemist.prompt(instruction, response, "python", response, max_named=3)
    print(f"\n{len(rows) / (time.process_time() - began):,.0f} rows/s of CPU, {len(rows):,} real Python rows")


if __name__ == "__main__":
    main()
