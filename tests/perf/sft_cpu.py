"""Supervised tokens a CPU-second: this project's step against TRL's SFTTrainer, padded and packed, on the same rows.

    python tests/perf/sft_cpu.py        (after `make demo`; about four minutes on 2 cores)

One process of one thread a contestant and repeat, taking turns; CPU-seconds and not wall time, so that a busy machine
does not decide; the median of the ratios of neighbours is printed. Padded is SFTTrainer with its default batch of 8
rows, padded to the longest; packed is SFTTrainer with bfd packing. All train the same rows of the demo, once.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

ROWS_TOKENS = 4_000
BATCH_ROWS = 8  # SFTConfig's default


def rows_of(base: str, data: str, tokens: int) -> list[dict]:
    """Rows of the demo's mixture, tokenised and masked by the recipe, of about `tokens` tokens."""
    from datasets import load_dataset

    from recipes import inputs, prepare
    from recipes.recipe import load

    path = ROOT / "recipes/sft/smollm2-135m/full.yaml"
    recipe, _ = load(path, {"base": base, "data": data, "sample_tokens": tokens})
    rows = load_dataset(data, recipe.data_config, split="train")
    found = prepare.sampled(rows, inputs.load_tokenizer(recipe), recipe, seed=0)
    return [{"input_ids": r["input_ids"], "labels": r["labels"]} for r in found if r["reason"] is None]


def run(contestant: str, bf16: bool, base: str, data: str, tokens: int) -> dict:
    """Train the rows once and count: supervised tokens, CPU-seconds of training alone, first loss."""
    import datasets
    import torch
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from recipes import inputs
    from recipes.packing import pack
    from recipes.recipe import load
    from recipes.trainer import RowsCollator, trainer_class

    recipe, arguments = load(ROOT / "recipes/sft/smollm2-135m/full.yaml", {"base": base})
    tokenizer, rows = inputs.load_tokenizer(recipe), datasets.Dataset.from_list(rows_of(base, data, tokens))
    supervised = sum(label != -100 for labels in rows["labels"] for label in labels)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="sdpa")
    changes = {"bf16": bf16, "disable_tqdm": True, "save_strategy": "no", "gradient_accumulation_steps": 1}
    if contestant == "ours":
        rows, changes = (
            pack(rows, arguments["max_length"]),
            changes | {"dataset_kwargs": {"skip_prepare_dataset": True}},
        )
    elif contestant == "trl padded":
        changes |= {"packing": False, "per_device_train_batch_size": BATCH_ROWS}
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(**(arguments | changes), output_dir=folder)
        kind = trainer_class(True) if contestant == "ours" else SFTTrainer
        trainer = kind(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
        if contestant == "ours":
            trainer.data_collator = RowsCollator(trainer.data_collator)
        before = resource.getrusage(resource.RUSAGE_SELF)
        trainer.train()
        after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"supervised": supervised, "cpu_s": seconds, "loss": trainer.state.log_history[0]["loss"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--base", default=str(ROOT / "build/models/SmolLM2-135M-Instruct"))
    parser.add_argument("--data", default=str(ROOT / "build/hub/datasets/demo"))
    parser.add_argument("--tokens", type=int, default=ROWS_TOKENS, help="tokens of the rows (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--precision", choices=["bf16", "fp32", "both"], default="both")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # one contestant, in the process that is measured
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run(given.one, given.precision == "bf16", given.base, given.data, given.tokens)))
        return
    # threads that wait for each other on a busy machine spin, and their spinning would count as work
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for precision in ("bf16", "fp32") if given.precision == "both" else (given.precision,):
        speeds: dict[str, list[float]] = {"ours": [], "trl padded": [], "trl bfd": []}
        for _ in range(given.repeats):
            for name, found in speeds.items():
                command = [sys.executable, __file__, "--one", name, "--precision", precision, "--base", given.base]
                command += ["--data", given.data, "--tokens", str(given.tokens)]
                done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=one_thread)
                result = json.loads(done.stdout.strip().splitlines()[-1])
                found.append(result["supervised"] / result["cpu_s"])
                print(
                    f"{precision} {name:10} {found[-1]:7.1f} supervised tokens/CPU-s, first loss {result['loss']}",
                    flush=True,
                )
        for peer in ("trl padded", "trl bfd"):
            ratio = statistics.median(o / p for o, p in zip(speeds["ours"], speeds[peer], strict=True))
            print(f"{precision}: ours is {ratio:.2f} x {peer}", flush=True)


if __name__ == "__main__":
    main()
