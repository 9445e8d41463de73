"""How `code_pieces`, by which tokens per kind are counted, compares with SmolLM2's tokenizer on real instruction rows.

REAL_DATA_DIR=/path/to/data python -m tests.perf.token_rule build/models/SmolLM2-135M-Instruct    # make base-model
"""

import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path

from transformers import AutoTokenizer

from dataset_scripts.commit_tokens import code_pieces

SETS = {
    "evol_instruct_code": "evol_instruct_code/evol-codealpaca-2k-1.json.gz",
    "code_alpaca": "code_alpaca/code_alpaca_2k.json.gz",
    "leetcode_dataset": "leetcode_dataset/LeetCodeDataset-v0.1.0-train.jsonl.gz",
    "gpteacher_codegen": "gpteacher_codegen/codegen-instruct.json.gz",
}
ROWS = 1500


def texts(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = json.load(file) if path.name.endswith(".json.gz") else [json.loads(line) for line in file]
    names = ("instruction", "query", "input", "output", "response")
    return ["\n\n".join(row[name] for name in names if row.get(name)) for row in rows[:ROWS]]


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    for name, file in SETS.items():
        rows = texts(Path(os.environ["REAL_DATA_DIR"], file))
        begun = time.process_time()
        ours = [code_pieces(text) for text in rows]
        seconds = time.process_time() - begun
        theirs = [len(tokenizer(text, verbose=False)["input_ids"]) for text in rows]
        ratios = statistics.quantiles((a / b for a, b in zip(ours, theirs, strict=True)), n=20)
        print(
            f"{name}: {len(rows)} rows, {sum(theirs):,} tokens; ours {sum(ours) / sum(theirs):.3f} times as many, "
            f"rows from {ratios[0]:.2f} to {ratios[-1]:.2f} (nine in ten); "
            f"{sum(map(len, rows)) / 1e6 / seconds:.1f} MB per CPU-second"
        )


if __name__ == "__main__":
    main()
