"""CPU-seconds of a training step: TRL's chunked loss against the model's own, same rows, same model, one run.

    python tests/perf/sft_cpu_loss.py        (after `make base-model`; about three minutes on 2 cores)

CPU-seconds and not wall time, so that a busy machine does not decide. recipes/sft.py takes the cheaper one on a CPU.
"""

import random
import resource
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from datasets import Dataset  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

from recipes.recipe import load  # noqa: E402
from recipes.sft import trainer_class  # noqa: E402

STEPS = 2


def cpu_seconds(kind: type, config: SFTConfig, rows: list[dict], base: str, pad_token: str) -> tuple[float, int]:
    """User and system seconds of STEPS steps, and the tokens that went through."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = pad_token
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32", attn_implementation="sdpa")
    trainer = kind(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    before = resource.getrusage(resource.RUSAGE_SELF)
    trainer.train()
    after = resource.getrusage(resource.RUSAGE_SELF)
    seen = STEPS * config.gradient_accumulation_steps
    tokens = sum(len(row["input_ids"]) for row in list(trainer.train_dataset)[:seen])
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, tokens


def main() -> None:
    recipe, arguments = load(ROOT / "recipes/sft/smollm2-135m/full.yaml")
    base, draw = str(ROOT / recipe.base), random.Random(0)
    lengths = [draw.randint(80, 300) for _ in range(60)]
    ids = [[draw.randint(10, 49_000) for _ in range(n)] for n in lengths]
    rows = [{"input_ids": row, "labels": [-100] * (len(row) * 2 // 5) + row[len(row) * 2 // 5 :]} for row in ids]
    with tempfile.TemporaryDirectory() as folder:
        changes = {"gradient_accumulation_steps": 4, "max_steps": STEPS, "disable_tqdm": True}
        config = SFTConfig(**(arguments | changes), output_dir=folder)
        theirs, tokens = cpu_seconds(SFTTrainer, config, rows, base, recipe.pad_token)
        ours, _ = cpu_seconds(trainer_class(config), config, rows, base, recipe.pad_token)
    print(f"{tokens} tokens, {STEPS} steps: SFTTrainer {theirs:.1f} CPU-s, model's own loss {ours:.1f} CPU-s")
    print(f"ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
