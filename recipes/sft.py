"""Fine-tune a base model on prepared rows: prove -> train or resume -> verified save.

reads   a recipe (recipes/sft/<base>/<variant>.yaml), the base model, prepared rows (recipes/prepare.py)
writes  build/runs/<base>-<variant>/: audit.json, checkpoint-<step>/ while it trains, model/, run.json last

A run is done when its model was loaded again and repeats itself; run.json then holds its numbers. Stopped by SIGTERM,
SIGUSR1 or kill -9, the same command goes on from the last whole checkpoint. Exit code 75 says so.
"""

import argparse
import fcntl
import math
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from artefacts import ROOT, Refusal, code_key, command_line, read_json, write_json
from recipes import checkpoints, inputs, packing, save
from recipes import recipe as recipes
from recipes.prepare import prepare, show_audit
from recipes.recipe import Recipe, refuse_longer_than
from recipes.supervise import STOPPED_EXIT_CODE, is_supervised, note_stopped
from recipes.tokenise import IGNORED
from recipes.trainer import RowsCollator, Stopped, stop_on_signals, stopping_at_once, trainer_class

PINS = ("torch", "transformers", "trl", "accelerate", "datasets", "peft")
OPTIONAL = ("bitsandbytes", "liger-kernel", "flash-attn", "kernels")  # used where they are installed
WHERE = ("base", "data")  # where rows and base lie may change between start and resume; their digests may not


def is_done(output: Path, key: str) -> dict[str, Any] | None:
    """The run's record when it was finished under this key and its weights are still there."""
    found = read_json(output / "run.json")
    sizes = sum(path.stat().st_size for path in save.weight_files(output / "model"))
    return found if found and found["key"] == key and sizes == found["checkpoint"]["bytes"] else None


def launched_world_size() -> int:
    """Processes that torchrun or accelerate launched (1 without them)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_world(trainer: Any, path: Path, recipe: Recipe) -> None:
    """The processes that run are those of the recipe, and they shard.

    accelerate can leave each process training alone, all into one folder, without a word; transformers spreads one
    process over all GPUs that it sees.

    Raises:
        Refusal: another number of processes, several GPUs in one, or no sharding where the recipe says fsdp2.
    """
    found, kind = trainer.accelerator.num_processes, str(trainer.accelerator.distributed_type).split(".")[-1]
    if found != recipe.world_size:
        raise Refusal(
            f"{path} is written for world_size {recipe.world_size}, launched with {found} process(es); launch it with "
            "make, or python -m recipes.launch."
        )
    if trainer.args.n_gpu > 1:
        raise Refusal(
            f"{path}: a process has one GPU and this one sees {trainer.args.n_gpu}; launch it with make, or set "
            "CUDA_VISIBLE_DEVICES=0."
        )
    if recipe.sharding == "fsdp2" and (kind != "FSDP" or trainer.accelerator.state.fsdp_plugin.fsdp_version != 2):
        raise Refusal(f"{path} says sharding fsdp2, but the processes run as {kind}; launch with recipes/accelerate/.")


def check_labels(trainer: Any, supervised_tokens: int) -> None:
    """What the trainer supervises, in all rows and in a batch after collating, is what was audited.

    TRL can silently supervise every token (it does with `messages` and `completion_only_loss`).

    Raises:
        Refusal: it is not.
    """
    packed = trainer.train_dataset
    found = sum(label != IGNORED for labels in packed["labels"] for label in labels)
    if found != supervised_tokens:
        raise Refusal(f"the trainer supervises {found} tokens and the audit counted {supervised_tokens}; not started.")
    batch = trainer.data_collator([packed[0]])["labels"].flatten().tolist()
    in_row, in_batch = (sum(label != IGNORED for label in labels) for labels in (packed[0]["labels"], batch))
    if in_row != in_batch:
        raise Refusal(f"a batch supervises {in_batch} tokens of a row of {in_row}; not started.")


def settings_of(recipe: Recipe, arguments: dict[str, Any], revisions: dict[str, str]) -> dict[str, Any]:
    """What must not change between the start of a run and its end: recipe, data, base, packages."""
    ours = {k: v for k, v in recipe.model_dump().items() if k not in WHERE}
    return ours | arguments | revisions | {f"version of {name}": number for name, number in versions().items()}


def versions() -> dict[str, str]:
    """Versions of the packages that shape a run; of optional ones where they are installed."""
    found = {name: version(name) for name in PINS}
    for name in OPTIONAL:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


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


def make_trainer(path: Path, recipe: Recipe, arguments: dict[str, Any], prepared: Path, output: Path) -> Any:
    """Load base and rows and put the trainer together, checked and not started.

    Raises:
        Refusal: a wrong world, labels that are not those audited, rows that see each other, a tracker not installed.
    """
    import datasets
    import torch
    import transformers
    import trl

    if not arguments["use_cpu"] and not torch.cuda.is_available():
        raise Refusal(f"{path} needs a GPU and there is none; the recipe that runs here is make train-demo.")
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(output / "tensorboard")
    os.environ["TRACKIO_DIR"] = str(output / "trackio")
    evaluated = {p.name: datasets.load_from_disk(str(p)) for p in sorted((prepared / "eval").glob("*"))}
    fixed = {
        "output_dir": str(output),
        "per_device_eval_batch_size": 1,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "logging_nan_inf_filter": False,  # a NaN is to be seen, not averaged away
        "save_total_limit": None,  # checkpoints.rotate does it, after the marker
        "eval_strategy": arguments["eval_strategy"] if evaluated else "no",
        "trackio_static_space_id": False,  # a local database, no Space
    }
    try:
        config = trl.SFTConfig(**(arguments | fixed))
    except ValueError as error:  # no GPU, no bfloat16
        raise Refusal(f"{path}: this machine cannot run it: {' '.join(str(error).split())[:200]}") from None
    transformers.set_seed(arguments["seed"])
    tokenizer = inputs.load_tokenizer(recipe)
    model = inputs.load_base(recipe, config.use_cpu)
    refuse_longer_than(model.config.max_position_embeddings, path, recipe)
    lora = None
    if recipe.method == "lora":
        import peft

        lora = peft.LoraConfig(
            r=recipe.lora_r, lora_alpha=recipe.lora_alpha, lora_dropout=recipe.lora_dropout,
            target_modules=recipe.lora_target_modules, task_type="CAUSAL_LM",
        )  # fmt: skip
    train = datasets.load_from_disk(str(prepared / "train"))
    try:
        trainer = trainer_class(config.use_cpu)(
            model=model, args=config, train_dataset=train, eval_dataset=evaluated or None, processing_class=tokenizer,
            peft_config=lora, callbacks=[stop_on_signals()],
        )  # fmt: skip
    except (ImportError, RuntimeError) as error:
        raise Refusal(f"{path}: {' '.join(str(error).split())[:300]}") from error
    trainer.data_collator = RowsCollator(trainer.data_collator)
    check_world(trainer, path, recipe)
    packing.prove_rows_apart(model.config, recipe.attention, trainer.args.device)
    return trainer


def train(
    path: Path, recipe: Recipe, arguments: dict[str, Any], output: Path, key: str, revisions: dict[str, str]
) -> dict[str, Any]:
    """Prepare or find the rows, train or resume, save, load again; returns the run's record (also in run.json).

    Raises:
        Refusal: whatever would spoil the run; see `make_trainer`, `checkpoints`, `save`.
        Stopped: a signal came; the checkpoint is written.
    """
    import accelerate
    import datasets

    workers = 0 if launched_world_size() > 1 else os.cpu_count() or 1
    prepared = prepare(path, recipe, arguments, output.parent / "prepared", workers)
    counts = {k: v for k, v in read_json(prepared / "prepared.json").items() if k != "key"}
    recipe, arguments = inputs.resolved(recipe, arguments)
    trainer = make_trainer(path, recipe, arguments, prepared, output)
    check_labels(trainer, counts["supervised_tokens"])
    trainer.row_ids = datasets.Dataset.from_parquet(str(prepared / "rows.parquet"))["row_id"][:]
    trainer.settings = settings_of(recipe, arguments, revisions)
    config, main_process = trainer.args, trainer.accelerator.is_main_process
    # rank 0 alone reads them (75 GiB each for 7B), and its word is everybody's
    found = checkpoints.newest_complete(output) if main_process else (None, [])
    begun, said = accelerate.utils.broadcast_object_list(list(found))
    if begun:
        checkpoints.refuse_other_settings(begun, trainer.settings)
    trainer.accelerator.wait_for_everyone()
    if main_process:
        write_json(output / "audit.json", counts)
        step = config.gradient_accumulation_steps * trainer.accelerator.num_processes
        steps = math.ceil(counts["packed_rows"] / step) * config.num_train_epochs
        going_on = f"resuming from {begun}" if begun else "from the base model"
        how = f"attention {recipe.attention}" + (", Liger's kernels" if arguments.get("use_liger_kernel") else "")
        print(
            "\n".join([*said, show_audit(counts), f"training: about {steps:g} steps, {going_on}; {how}"]), flush=True
        )
        for _, folder in checkpoints.steps_of(output):
            if begun is None or int(folder.name.split("-")[1]) > int(begun.name.split("-")[1]):
                checkpoints.delete(folder)  # not whole, said above

    started = time.monotonic()
    done_before = int(begun.name.split("-")[1]) if begun else 0
    try:
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    except BaseException:
        for bar in [b for c in trainer.callback_handler.callbacks if (b := getattr(c, "training_bar", None))]:
            bar.close()  # or it would be drawn again over the sentence that says what went wrong
        raise
    seconds = time.monotonic() - started
    if next(c for c in trainer.callback_handler.callbacks if hasattr(c, "stopped")).stopped:
        raise Stopped(f"{output}: stopped at step {trainer.state.global_step}; run the same command again to go on.")

    whole = trainer.accelerator.get_state_dict(trainer.model) if recipe.method == "full" else None
    trainer.accelerator.wait_for_everyone()
    if not main_process:
        return {}
    tokenizer = trainer.processing_class
    try:
        if recipe.method == "full":
            saved = save.save_full(whole, trainer.model, tokenizer, recipe, output / "model")
        else:
            saved = save.save_adapter(trainer.model, tokenizer, recipe, config.use_cpu, output / "model")
    except (OSError, SafetensorError) as error:
        raise Refusal(
            f"{output}/model could not be saved ({str(error)[:120]}); an earlier model and the last checkpoint are "
            "intact, free some space and run the same command again."
        ) from error
    history = trainer.state.log_history
    losses = [log["loss"] for log in history if "loss" in log] or [history[-1]["train_loss"]]
    share = 1 - done_before / trainer.state.max_steps  # of the tokens, in this sitting
    speed = counts["tokens"] * config.num_train_epochs * share / seconds
    record = {
        "key": key,
        "recipe": str(path),
        "commit": commit(),
        "settings": recipe.model_dump() | arguments,
        **revisions,
        **{k: v for k, v in counts.items() if k != "mask"},
        "steps": trainer.state.global_step,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "losses": losses,
        "eval_losses": eval_losses(history),
        "resumed_from_step": done_before or None,
        "seconds": round(seconds, 1),
        "tokens_per_s": round(speed, 1),
        "supervised_tokens_per_s": round(speed * counts["supervised_share"], 1),
        "checkpoint": saved,
        "hardware": hardware(trainer),
        "versions": versions(),
    }
    write_json(output / "run.json", record)
    checkpoints.delete_all(output)
    return record


def eval_losses(history: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """source -> (step, loss on its held-out rows)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for log in history:
        for name, value in log.items():
            if name.startswith("eval_") and name.endswith("_loss"):
                found.setdefault(name[len("eval_") : -len("_loss")], []).append((log["step"], value))
    return found


def commit() -> str:
    """Commit of this repository, with `-dirty` where files differ from it, `unknown` without git."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def hardware(trainer: Any) -> dict[str, Any]:
    """What the run ran on, and the most memory that this process held, in GiB."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    held = sum(getattr(p, "_local_tensor", p).numel() for p in trainer.model.parameters())
    return {
        "processes": trainer.accelerator.num_processes,
        "weights_share_of_a_process": round(held / sum(p.numel() for p in trainer.model.parameters()), 4),
        "gpus": gpus,
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "peak_gpu_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if gpus else None,
        "peak_host_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def processor() -> str:
    """Model name of the processor, by Linux; its architecture where that is not said (ARM)."""
    try:
        said = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        said = None
    return said[1] if said else platform.machine()


def arguments_of(description: str) -> argparse.ArgumentParser:
    """The arguments that sft, launch and rebuild share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("recipe", type=Path, help="e.g. recipes/sft/smollm2-135m/full.yaml")
    recipes.add_overrides(parser)
    parser.add_argument("--output", type=Path, help="default: build/runs/<base>-<variant>")
    parser.add_argument("--world-size", type=int, help="processes in all, when not those of the recipe")
    parser.add_argument("--fresh", action="store_true", help="delete the run's checkpoints and start over")
    return parser


def output_of(given: argparse.Namespace) -> Path:
    """Where the run goes."""
    return given.output or Path("build/runs") / f"{given.recipe.parent.name}-{given.recipe.stem}"


def run(given: argparse.Namespace, output: Path) -> dict[str, Any] | None:
    """Train as the arguments say; the run's record, or None where there is nothing to do or to tell.

    Raises:
        Refusal, Stopped: see `train`.
    """
    recipe, theirs = recipes.ours(given.recipe, recipes.overrides_of(given))
    recipe, theirs = recipes.for_world(given.recipe, inputs.pin(recipe), theirs, given.world_size)
    revisions = {"data_revision": inputs.data_revision(recipe), "base_digest": inputs.base_digest(recipe)}
    key = code_key(["recipes.sft"], recipe.model_dump() | theirs, PINS, revisions.values())
    if done := is_done(output, key):
        print(f"{output}: unchanged ({done['tokens']:,} tokens, {done['steps']} steps)")
        return None
    pinned = {"base_revision": recipe.base_revision, "data_revision": recipe.data_revision}
    overrides = recipes.overrides_of(given) | {k: v for k, v in pinned.items() if v}
    recipe, arguments = recipes.for_world(given.recipe, *recipes.load(given.recipe, overrides), given.world_size)
    if int(os.environ.get("RANK", "0")) > 0:  # rank 0 holds the folder for all
        train(given.recipe, recipe, arguments, output, key, revisions)
        return None
    with claimed(output):
        if given.fresh:
            checkpoints.delete_all(output)
        return train(given.recipe, recipe, arguments, output, key, revisions)


@command_line
def main() -> int:
    given = arguments_of(__doc__.split("\n\n")[0]).parse_args()
    output = output_of(given)
    try:
        with stopping_at_once():
            record = run(given, output)
    except Stopped as stopped:
        if int(os.environ.get("RANK", "0")) == 0:
            print(f"sft: {stopped}", file=sys.stderr)
        if is_supervised():  # its launcher would make 1 of every other code, and the supervisor of the note 75
            note_stopped()
            return 0
        return STOPPED_EXIT_CODE
    if record is None:
        return 0
    print(
        f"{output}: {record['tokens']:,} tokens in {record['seconds'] / 60:.1f} min, "
        f"loss {record['loss_first']:.3f} -> {record['loss_last']:.3f}; the reloaded checkpoint repeats "
        f"{record['checkpoint']['reloaded_tokens_equal']} tokens"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
