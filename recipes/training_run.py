"""The training run itself: put together and proved -> trained or resumed -> saved and verified.

reads   prepared rows, the base model, checkpoints of the run; writes <run>/audit.json, model/, run.json last
"""

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors import SafetensorError

from artefacts import Refusal, read_json, write_json
from recipes import checkpoints, inputs, packing, save
from recipes.prepare import prepare, show_audit
from recipes.recipe import Recipe, refuse_longer_than
from recipes.run_record import commit, outcome_of, settings_of
from recipes.tokenise import IGNORED
from recipes.trainer import RowsCollator, Stopped, stop_on_signals, trainer_class


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
        "disable_tqdm": not sys.stderr.isatty(),  # a log has a line a step, no bar that overwrites it
        "logging_first_step": True,  # a run of fewer steps than logging_steps has a loss too
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


def what_comes(trainer: Any, recipe: Recipe, counts: dict[str, Any], begun: Path | None) -> str:
    """In one line, the steps that are left."""
    if begun and checkpoints.is_after_the_last_step(begun):
        return f"training: all steps were taken, see {begun}; what is left is the verified save"
    at_once = trainer.args.gradient_accumulation_steps * trainer.accelerator.num_processes
    of_epochs = math.ceil(counts["packed_rows"] / at_once) * trainer.args.num_train_epochs
    steps = trainer.args.max_steps if trainer.args.max_steps > 0 else of_epochs
    going_on = f"resuming from {begun}" if begun else "from the base model"
    liger = ", Liger's kernels" if trainer.args.use_liger_kernel else ""
    return f"training: about {steps:g} steps, {going_on}; attention {recipe.attention}{liger}"


def where_to_begin(trainer: Any, recipe: Recipe, counts: dict[str, Any]) -> Path | None:
    """The checkpoint that all ranks go on from, None for the base model; rank 0 says so, and deletes broken ones.

    Raises:
        Refusal: the checkpoint was made with other settings.
    """
    import accelerate

    output, main_process = Path(trainer.args.output_dir), trainer.accelerator.is_main_process
    # rank 0 alone reads them (75 GiB each for 7B), and its word is everybody's
    found = checkpoints.newest_complete(output) if main_process else (None, [])
    begun, said = accelerate.utils.broadcast_object_list(list(found))
    if begun:
        checkpoints.refuse_other_settings(begun, trainer.settings)
    trainer.accelerator.wait_for_everyone()
    if main_process:
        write_json(output / "audit.json", counts)
        print("\n".join([*said, show_audit(counts), what_comes(trainer, recipe, counts, begun)]), flush=True)
        for step, folder in checkpoints.steps_of(output):
            if step > checkpoints.step_of(begun):
                checkpoints.delete(folder)  # not whole, said above
    return begun


def take_steps(trainer: Any, begun: Path | None) -> float:
    """Train to the end; seconds that it took, in this sitting.

    A run that was cut off between its last checkpoint and its last evaluation is evaluated again.

    Raises:
        Refusal: a loss that is not a number, a checkpoint that could not be written.
        Stopped: a signal came; the checkpoint is written.
    """
    started = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    except BaseException:
        for bar in [b for c in trainer.callback_handler.callbacks if (b := getattr(c, "training_bar", None))]:
            bar.close()  # or it would be drawn again over the sentence that says what went wrong
        raise
    seconds = time.monotonic() - started
    if next(c for c in trainer.callback_handler.callbacks if hasattr(c, "stopped")).stopped:
        raise Stopped(
            f"{trainer.args.output_dir}: stopped at step {trainer.state.global_step}; run the same command again to "
            "go on."
        )
    evaluated = {log["step"] for log in trainer.state.log_history if any(name.startswith("eval_") for name in log)}
    if trainer.args.eval_strategy != "no" and trainer.state.global_step not in evaluated:
        trainer.evaluate()
    return seconds


def save_verified(trainer: Any, recipe: Recipe, folder: Path) -> dict[str, Any] | None:
    """Save the trained model in one piece and load it again; facts of it, None on all ranks but the first.

    Raises:
        Refusal: it could not be written, or came back different.
    """
    whole = trainer.accelerator.get_state_dict(trainer.model) if recipe.method == "full" else None
    trainer.accelerator.wait_for_everyone()
    if not trainer.accelerator.is_main_process:
        return None
    tokenizer = trainer.processing_class
    try:
        if recipe.method == "full":
            return save.save_full(whole, trainer.model, tokenizer, recipe, folder)
        return save.save_adapter(trainer.model, tokenizer, recipe, trainer.args.use_cpu, folder)
    except (OSError, SafetensorError) as error:
        raise Refusal(
            f"{folder} could not be saved ({str(error)[:120]}); an earlier model and the last checkpoint are "
            "intact, free some space and run the same command again."
        ) from error


def train(
    path: Path, recipe: Recipe, arguments: dict[str, Any], output: Path, key: str, revisions: dict[str, str]
) -> dict[str, Any] | None:
    """Prepare or find the rows, train or resume, save, load again.

    Returns:
        The run's record (also in run.json), None on all ranks but the first.

    Raises:
        Refusal: whatever would spoil the run; see `make_trainer`, `checkpoints`, `save`.
        Stopped: a signal came; the checkpoint is written.
    """
    workers = 0 if launched_world_size() > 1 else os.cpu_count() or 1
    prepared = prepare(path, recipe, arguments, output.parent / "prepared", workers)
    counts = {k: v for k, v in read_json(prepared / "prepared.json").items() if k != "key"}
    recipe, arguments = inputs.resolved(recipe, arguments)
    trainer = make_trainer(path, recipe, arguments, prepared, output)
    check_labels(trainer, counts["supervised_tokens"])
    trainer.row_ids = pq.read_table(prepared / "rows.parquet", columns=["row_id"])["row_id"].to_pylist()
    trainer.settings = settings_of(recipe, arguments, revisions)
    begun = where_to_begin(trainer, recipe, counts)
    seconds = take_steps(trainer, begun)
    saved = save_verified(trainer, recipe, output / "model")
    if saved is None:
        return None
    about = {
        "key": key,
        "recipe": str(path),
        "commit": commit(),
        "settings": recipe.model_dump() | arguments,
        **revisions,
        **{k: v for k, v in counts.items() if k != "mask"},
    }
    record = about | outcome_of(trainer, counts, checkpoints.step_of(begun), seconds, saved)
    write_json(output / "run.json", record)
    checkpoints.delete_all(output)
    return record
