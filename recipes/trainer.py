"""TRL's SFTTrainer with what a long run needs: whole checkpoints, an orderly stop, rows named when the loss is NaN.

reads   packed rows; writes checkpoints through recipes/checkpoints.py
"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artefacts import Refusal
from recipes import checkpoints, supervise


class Stopped(BaseException):
    """A stop was asked for; nothing but the sentence is to be said. No `except Exception` is to swallow it."""


class RowsCollator:
    """TRL's collator, and the indexes of the rows in a batch, which `compute_loss` takes out again."""

    def __init__(self, collate: Any):
        self.collate = collate

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collate(examples)
        batch["rows"] = [row for example in examples for row in example["rows"]]
        return batch


def trainer_class(use_cpu: bool) -> type:
    """The trainer; on a CPU with the model's own loss instead of TRL's fused one.

    The fused head saves GPU memory by computing logits in tiles, twice. The two take the same steps
    (tests/recipes/test_trainer.py); what each costs on a CPU is printed by tests/perf/sft_cpu.py.
    """
    import transformers
    from trl import SFTTrainer

    class CheckedTrainer(SFTTrainer):
        row_ids: list[str] = []  # of the rows that the packed rows' indexes mean
        settings: dict[str, Any] = {}  # what a checkpoint was made with

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            if "rows" not in self._signature_columns:
                self._signature_columns.append("rows")

        def _run_epoch(self, **of_epoch: Any) -> None:
            """An epoch; none where the run was resumed from its last step, of which transformers would add one."""
            if self.state.global_step >= self.state.max_steps:
                self.control.should_training_stop = True
                return
            super()._run_epoch(**of_epoch)

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            import torch

            rows = inputs.pop("rows")
            training = self.model.training
            if use_cpu:
                inputs["use_cache"] = False  # a cache would let packed rows see each other
                compute = transformers.Trainer.compute_loss
                found = compute(self, model, inputs, return_outputs, num_items_in_batch)
            else:
                found = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            loss = found[0] if return_outputs else found
            if training and not torch.isfinite(loss.detach()).all():
                named = ", ".join(self.row_ids[row] for row in rows[:10])
                more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
                raise Refusal(
                    f"step {self.state.global_step + 1}: the loss is {loss.item()} on the rows {named}{more}; look at "
                    "them or lower learning_rate, the last checkpoint is intact."
                )
            return found

        def create_model_card(self, *arguments: Any, **options: Any) -> None:
            """No card of TRL's at every checkpoint: ours is rendered from run.json."""

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            output = Path(self.args.output_dir)
            folder = output / f"checkpoint-{self.state.global_step}"
            try:
                super()._save_checkpoint(model, trial)
            except Exception as error:  # a full disk speaks with many tongues: OSError, SafetensorError, RuntimeError
                if self.args.should_save:
                    shutil.rmtree(folder, ignore_errors=True)
                kept, _ = checkpoints.newest_complete(output)
                free = shutil.disk_usage(output).free / 2**30
                intact = f"{kept.name} is intact" if kept else "there is no earlier one"
                raise Refusal(
                    f"{folder}: the checkpoint could not be written ({type(error).__name__}: {str(error)[:120]}; "
                    f"{free:.1f} GiB are free), {intact}; free some space and run the same command again."
                ) from error
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                checkpoints.mark_complete(folder, self.settings)
                checkpoints.rotate(output)
            self.accelerator.wait_for_everyone()

    return CheckedTrainer


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Outside of the training loop SIGTERM and SIGUSR1 raise `Stopped` wherever the process is.

    Ranks below a supervisor are left as they are: one that stopped alone would leave the others waiting, and what
    their launcher's SIGTERM means is that another rank has failed.
    """
    if supervise.is_supervised() or threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a worker that inherited the handler: pools end theirs by SIGTERM
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise Stopped(f"stopped by {signal.Signals(number).name}; run the same command again to go on.")

    before = {number: signal.signal(number, stop) for number in supervise.SIGNALS}
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, supervise.SIGNALS)  # recipes.launch blocked them over its exec
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_on_signals() -> Any:
    """A callback that ends training at a step's end, with a checkpoint, after a signal or the supervisor's word.

    The ranks agree on it at every step: a signal reaches them at different steps, and one that stops alone would
    leave the others waiting for ever. A stop asked for while they loaded the model is agreed on before the first step.
    """
    import torch
    import transformers

    class StopOnSignals(transformers.TrainerCallback):
        def __init__(self) -> None:
            self.came = False
            self.stopped = False
            self.before: dict[int, Any] = {}

        def _note(self, number: int, frame: Any) -> None:
            self.came = True

        def _agreed(self, args: Any) -> bool:
            came = self.came or supervise.asked_to_stop()
            if args.world_size > 1:
                vote = torch.tensor([float(came)], device=args.device)
                torch.distributed.all_reduce(vote)
                came = bool(vote.item())
            return came

        def on_train_begin(self, args, state, control, **kwargs):
            if threading.current_thread() is threading.main_thread():
                self.before = {n: signal.signal(n, self._note) for n in supervise.SIGNALS}
            if self._agreed(args):
                self.on_train_end(args, state, control)
                raise Stopped(f"{args.output_dir}: stopped before a step; run the same command again to go on.")

        def on_step_end(self, args, state, control, **kwargs):
            if self._agreed(args) and state.global_step < state.max_steps:
                self.stopped = control.should_save = control.should_training_stop = True
            return control

        def on_train_end(self, args, state, control, **kwargs):
            for number, handler in self.before.items():
                signal.signal(number, handler)

    return StopOnSignals()
