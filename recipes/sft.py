"""Fine-tune a base model on a published mixture: audit -> train -> verified save.

reads   a recipe (recipes/sft/<base>/<variant>.yaml), the base model, a dataset repository (folder or Hub)
writes  build/runs/<base>-<variant>/: audit.json, model/ (safetensors, tokenizer), run.json last

A run is done when its checkpoint was loaded again and generates the same tokens; run.json then holds its numbers.
"""

import argparse
import fcntl
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, command_line, hash_of, read_json, sha256_of_file, write_json
from recipes import recipe as recipes
from recipes.recipe import Recipe
from recipes.tokenise import IGNORED, audit, select, show_mask

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
    if folder.is_dir() or is_local(data):
        raise Refusal(f"data '{data}': no dataset repository there (README.md is missing); run `make mixture` first.")
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(data, timeout=20).sha
    except Exception as error:  # whatever the client raises, the sentence is the same
        said = type(error).__name__
        raise Refusal(f"data '{data}': no such folder, and the Hub does not give it ({said}).") from None


def is_local(name: str) -> bool:
    """True for what can only be meant as a path, whether or not there is something."""
    return name.startswith(("build/", ".", "/", "~"))


def base_digest(recipe: Recipe) -> str:
    """What exactly is trained: a digest of a folder's files, else the pinned commit on the Hub.

    Raises:
        Refusal: the base is a path and there is nothing.
    """
    folder = Path(recipe.base)
    if folder.is_dir():
        return hash_of([[p.name, sha256_of_file(p)] for p in sorted(folder.iterdir()) if p.is_file()])
    if is_local(recipe.base):
        raise Refusal(f"base '{recipe.base}': there is no such folder; run `make base-model` first.")
    return f"{recipe.base}@{recipe.base_revision}"


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
    config = SFTConfig(**arguments, output_dir=str(output / "checkpoints"), disable_tqdm=not sys.stderr.isatty())
    tokenizer = transformers.AutoTokenizer.from_pretrained(recipe.base, revision=recipe.base_revision or "main")
    tokenizer.pad_token = recipe.pad_token
    rows = read_rows(recipe, revision, output.parent / "cache")
    selection = select(rows, tokenizer, arguments["max_length"], recipe.sample_tokens, arguments["seed"])
    counts = audit(selection, tokenizer, str(path))
    dataset = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in selection.rows])

    transformers.set_seed(arguments["seed"])
    model = transformers.AutoModelForCausalLM.from_pretrained(
        recipe.base,
        revision=recipe.base_revision or "main",
        dtype=torch.float32,
        attn_implementation="sdpa",
        use_safetensors=True,
    )
    trainer = trainer_class(config)(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)
    world_size = trainer.accelerator.num_processes
    if world_size != recipe.world_size:
        raise Refusal(f"{path} is written for world_size {recipe.world_size}, launched with {world_size} process(es).")
    check_labels(trainer, counts["supervised_tokens"])
    batches = len(trainer.get_train_dataloader()) * config.num_train_epochs
    steps = math.ceil(batches / config.gradient_accumulation_steps)
    minutes = counts["tokens"] * config.num_train_epochs / (recipe.planned_tokens_per_s * recipe.world_size) / 60
    print(show_audit(counts, steps, minutes, show_mask(selection.rows[0], tokenizer)), flush=True)
    (output / "run.json").unlink(missing_ok=True)  # from here on, what is in the folder is not finished
    write_json(output / "audit.json", counts)

    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    history = trainer.state.log_history
    losses = [log["loss"] for log in history if "loss" in log] or [history[-1]["train_loss"]]
    checkpoint = _save_and_reload(trainer.model, tokenizer, recipe, output / "model")
    record = {
        "key": key,
        "recipe": str(path),
        "settings": recipe.model_dump() | arguments,
        "data_revision": revision,
        "data_licences": sorted(rows.unique("license")),
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


def check_labels(trainer: Any, supervised_tokens: int) -> None:
    """What the trainer supervises after packing, and in a batch after collating, is what was audited.

    TRL can silently supervise every token (it does with `messages` and `completion_only_loss`).

    Raises:
        Refusal: it is not.
    """

    def supervised(labels: Any) -> int:
        return sum(label != IGNORED for label in labels)

    packed = trainer.train_dataset
    found = sum(supervised(labels) for labels in packed["labels"])
    if found != supervised_tokens:
        raise Refusal(f"the trainer supervises {found} tokens and the audit counted {supervised_tokens}; not started.")
    batch = trainer.data_collator([packed[0]])["labels"].flatten().tolist()
    if supervised(batch) != supervised(packed[0]["labels"]):
        raise Refusal(f"a batch supervises {supervised(batch)} tokens of a row of {supervised(packed[0]['labels'])}.")


@contextmanager
def claimed(output: Path) -> Iterator[None]:
    """Make `output` a run's folder and hold it, so that nothing but an earlier run is ever replaced in it.

    Raises:
        Refusal: it holds files that are no run's, or another process is training into it.
    """
    marker = output / ".run.lock"
    if output.exists() and not marker.exists() and any(output.iterdir()):
        raise Refusal(f"--output {output}: the folder holds files that are no run's; name another one.")
    output.mkdir(parents=True, exist_ok=True)
    with marker.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"{output}: another process is training into this folder; wait for it or end it.") from None
        yield


def _save_and_reload(model: Any, tokenizer: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
    import torch
    import transformers

    model.eval().config.use_cache = True
    for parameter in model.parameters():  # not model.to(): it would round the rotary frequencies too, a buffer
        parameter.data = parameter.data.to(getattr(torch, recipe.save_dtype))
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        os.chmod(path, 0o644)  # safetensors files are written 0600
    again = (
        transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True)
        .to(model.device)
        .eval()
    )
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
    recipe, theirs = recipes.ours(given.recipe, overrides)
    if recipe.base_revision is None and not Path(recipe.base).is_dir() and not is_local(recipe.base):
        raise Refusal(
            f"{given.recipe}: base '{recipe.base}' is on the Hub; pin it with base_revision (40 hex digits)."
        )
    inputs = [data_revision(recipe.data), base_digest(recipe)]
    key = code_key(["recipes.sft"], recipe.model_dump() | theirs, PINS, inputs)
    if done := is_done(output, key):
        print(f"{output}: unchanged ({done['tokens']:,} tokens, {done['steps']} steps)")
        return
    recipe, arguments = recipes.load(given.recipe, overrides)
    with claimed(output):
        record = train(given.recipe, recipe, arguments, output, key)
    print(
        f"{output}: {record['tokens']:,} tokens in {record['seconds'] / 60:.1f} min, "
        f"loss {record['loss_first']:.3f} -> {record['loss_last']:.3f}; the reloaded checkpoint repeats "
        f"{record['checkpoint']['reloaded_tokens_equal']} tokens"
    )


if __name__ == "__main__":
    raise SystemExit(main())
