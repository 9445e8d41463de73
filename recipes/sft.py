"""Fine-tune a base model on a published mixture: audit -> train -> verified save.

reads   a recipe (recipes/sft/<base>/<variant>.yaml), the base model, a dataset repository (folder or Hub)
writes  build/runs/<base>-<variant>/: audit.json, model/ (safetensors, tokenizer), run.json last

A run is done when its checkpoint was loaded again and generates the same tokens; run.json then holds its numbers.
"""

import argparse
import os
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, command_line, hash_of, read_json, read_mapping, sha256_of_file, write_json
from recipes import recipe as recipes
from recipes.recipe import Recipe
from recipes.tokenise import audit, select, show_mask

PINS = ("torch", "transformers", "trl", "accelerate", "datasets")
CHECKED_TOKENS = 20  # greedy tokens that the reloaded checkpoint must repeat


def data_revision(data: str) -> str:
    """What exactly is trained on: a digest of the files of a folder, or the commit of a Hub repository.

    Raises:
        Refusal: neither a folder with a dataset card nor a repository that the Hub gives.
    """
    folder = Path(data)
    if (folder / "README.md").is_file():
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return hash_of([[str(p.relative_to(folder)), sha256_of_file(p)] for p in files])
    if folder.is_dir() or folder.is_absolute() or data.startswith(("build/", ".")):
        raise Refusal(f"data '{data}': no dataset repository there (README.md is missing); run `make mixture` first.")
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(data, timeout=20).sha
    except Exception as error:  # whatever the client raises, the sentence is the same
        said = type(error).__name__
        raise Refusal(f"data '{data}': no such folder, and the Hub does not give it ({said}).") from None


def base_digest(base: str) -> str:
    """What exactly is trained: a digest of a folder's files, else the name (the revision is a key of the recipe)."""
    folder = Path(base)
    if folder.is_dir():
        return hash_of([[p.name, sha256_of_file(p)] for p in sorted(folder.iterdir()) if p.is_file()])
    if base.startswith(("build/", ".", "/")):
        raise Refusal(f"base '{base}': there is no such folder; run `make base-model` first.")
    return base


def read_rows(recipe: Recipe, revision: str, cache: Path) -> Any:
    """The split `train` of the mixture, through the same call for a folder and for the Hub."""
    import datasets

    # A folder's cache key ignores its files, so a rewritten Parquet would give the old rows: one cache per revision.
    is_folder = Path(recipe.data).is_dir()
    options = {"cache_dir": str(cache / revision[:16])} if is_folder else {"revision": revision}
    return datasets.load_dataset(recipe.data, recipe.data_config, split="train", **options)


def is_done(output: Path, key: str) -> dict[str, Any] | None:
    """The run's record when it was finished under this key and its weights are still there."""
    found = read_json(output / "run.json")
    weights = output / "model" / "model.safetensors"
    if found and found["key"] == key and weights.is_file() and weights.stat().st_size == found["checkpoint"]["bytes"]:
        return found
    return None


def show_audit(counts: dict[str, Any], steps: int, minutes: float, decoded: str) -> str:
    """The audit as a text for a person."""
    dropped = ", ".join(f"{sum(n.values())} {reason}" for reason, n in counts["rows_dropped"].items()) or "none"
    shown = decoded if len(decoded) <= 1200 else f"{decoded[:800]}\n[...]\n{decoded[-300:]}"
    return (
        f"audit\n"
        f"  rows        {counts['rows']:,} of {counts['rows_in']:,} (dropped: {dropped}; "
        f"not in the sample: {counts['rows_not_sampled']:,})\n"
        f"  tokens      {counts['tokens']:,}, of them {counts['supervised_share']:.0%} supervised\n"
        f"  steps       {steps}, about {minutes:.0f} min as planned in the recipe\n"
        f"  a row, what is supervised between >>> and <<<:\n" + "\n".join(f"    {line}" for line in shown.splitlines())
    )


def train(path: Path, recipe: Recipe, arguments: dict[str, Any], output: Path, key: str) -> dict[str, Any]:
    """Audit, train, save, load again; returns the run's record (also written to run.json).

    Raises:
        Refusal: the audit fails, or the reloaded checkpoint does not repeat the trained model's tokens.
    """
    import torch
    import transformers
    from datasets import Dataset
    from trl import SFTConfig

    revision = data_revision(recipe.data)
    tokenizer = transformers.AutoTokenizer.from_pretrained(recipe.base, revision=recipe.base_revision or "main")
    tokenizer.pad_token = recipe.pad_token
    rows = read_rows(recipe, revision, output.parent / "cache")
    selection = select(rows, tokenizer, arguments["max_length"], recipe.sample_tokens, arguments["seed"])
    counts = audit(selection, tokenizer, str(path))
    dataset = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in selection.rows])

    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    transformers.set_seed(arguments["seed"])
    model = transformers.AutoModelForCausalLM.from_pretrained(
        recipe.base, revision=recipe.base_revision or "main", dtype=torch.float32, attn_implementation="sdpa"
    )
    config = SFTConfig(**arguments, output_dir=str(output / "checkpoints"), disable_tqdm=not sys.stderr.isatty())
    trainer = trainer_class(config)(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)
    world_size = trainer.accelerator.num_processes
    if world_size != recipe.world_size:
        raise Refusal(f"{path} is written for world_size {recipe.world_size}, launched with {world_size} process(es).")
    _check_labels(trainer)
    steps = len(trainer.get_train_dataloader()) // config.gradient_accumulation_steps * int(config.num_train_epochs)
    minutes = counts["tokens"] * config.num_train_epochs / (recipe.planned_tokens_per_s * recipe.world_size) / 60
    print(show_audit(counts, steps, minutes, show_mask(selection.rows[0], tokenizer)), flush=True)
    write_json(output / "audit.json", counts)

    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    checkpoint = _save_and_reload(trainer.model, tokenizer, recipe, output / "model")
    record = {
        "key": key,
        "recipe": str(path),
        "settings": recipe.model_dump() | arguments,
        "data_revision": revision,
        **counts,
        "steps": trainer.state.global_step,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "losses": losses,
        "seconds": round(seconds, 1),
        "tokens_per_s": round(counts["tokens"] * config.num_train_epochs / seconds, 1),
        "checkpoint": checkpoint,
        "versions": {name: version(name) for name in PINS},
    }
    write_json(output / "run.json", record)
    return record


def trainer_class(config: Any) -> type:
    """TRL's SFTTrainer; on a CPU with the model's own loss instead of TRL's chunked one.

    The chunked loss saves GPU memory by computing the logits twice, and without Triton also those of masked tokens.
    The two take the same steps (tests/recipes/test_sft.py); what the chunked one costs on a CPU is printed by
    tests/perf/sft_cpu_loss.py.
    """
    import transformers
    from trl import SFTTrainer

    class OwnLossSFTTrainer(SFTTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            inputs["use_cache"] = False  # a cache would let packed rows see each other
            return transformers.Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)

    return OwnLossSFTTrainer if config.use_cpu else SFTTrainer


def _check_labels(trainer: Any) -> None:
    """The first batch as the trainer builds it must leave most prompts out of the loss.

    TRL can silently supervise every token (it does with `messages` and `completion_only_loss`); this looks at what
    it really does, after packing and collating.
    """
    labels = next(iter(trainer.get_train_dataloader()))["labels"]
    ignored = (labels == -100).sum().item()
    assert 0 < ignored < labels.numel(), f"{ignored} of {labels.numel()} labels of the first batch are masked"


def _save_and_reload(model: Any, tokenizer: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
    import torch
    import transformers

    model.eval().config.use_cache = True
    for parameter in model.parameters():  # not model.to(): it would round the rotary frequencies too, a buffer
        parameter.data = parameter.data.to(getattr(torch, recipe.save_dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        os.chmod(path, 0o644)  # safetensors files are written 0600
    again = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(model.device).eval()
    assert next(again.parameters()).dtype == getattr(torch, recipe.save_dtype), "the checkpoint has another dtype"
    question = [{"role": "user", "content": "Write a Python function that adds two numbers."}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt").to(model.device)
    options = {"max_new_tokens": CHECKED_TOKENS, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    texts = [m.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :].tolist() for m in (model, again)]
    if texts[0] != texts[1]:
        raise Refusal(f"{folder}: the reloaded checkpoint generates other tokens than the trained model; not done.")
    weights = folder / "model.safetensors"
    return {
        "bytes": weights.stat().st_size,
        "sha256": sha256_of_file(weights),
        "dtype": recipe.save_dtype,
        "reloaded_tokens_equal": len(texts[0]),
        "sample": tokenizer.decode(texts[0]),
    }


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.sft", description=__doc__.split("\n\n")[0])
    parser.add_argument("recipe", type=Path, help="e.g. recipes/sft/smollm2-135m/full.yaml")
    parser.add_argument("--base", help="another base model than the recipe's (folder or Hub id)")
    parser.add_argument("--data", help="another dataset repository than the recipe's (folder or Hub id)")
    parser.add_argument("--output", type=Path, help="default: build/runs/<base>-<variant>")
    given = parser.parse_args()
    output = given.output or Path("build/runs") / f"{given.recipe.parent.name}-{given.recipe.stem}"
    overrides = {name: value for name in ("base", "data") if (value := getattr(given, name))}
    settings = read_mapping(given.recipe) | overrides
    inputs = [data_revision(str(settings.get("data"))), base_digest(str(settings.get("base")))]
    key = code_key(["recipes.sft"], settings, PINS, inputs)
    if done := is_done(output, key):
        print(f"{output}: unchanged ({done['tokens']:,} tokens, {done['steps']} steps)")
        return
    recipe, arguments = recipes.load(given.recipe, overrides)
    record = train(given.recipe, recipe, arguments, output, key)
    print(
        f"{output}: {record['tokens']:,} tokens in {record['seconds'] / 60:.1f} min, "
        f"loss {record['loss_first']:.3f} -> {record['loss_last']:.3f}; the reloaded checkpoint repeats "
        f"{record['checkpoint']['reloaded_tokens_equal']} tokens"
    )


if __name__ == "__main__":
    raise SystemExit(main())
