"""Fine-tune a base model on prepared rows: prove -> train or resume -> verified save.

reads   a recipe (recipes/sft/<base>/<variant>.yaml), the base model, prepared rows (recipes/prepare.py)
writes  build/runs/<base>-<variant>/: audit.json, checkpoint-<step>/ while it trains, model/, run.json last

A run is done when its model was loaded again and repeats itself; run.json then holds its numbers. Stopped by SIGTERM,
SIGUSR1 or kill -9, the same command goes on from the last whole checkpoint. Exit code 75 says so.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, command_line
from recipes import checkpoints, inputs
from recipes import recipe as recipes
from recipes.run_record import PINS, is_done
from recipes.supervise import STOPPED_EXIT_CODE, is_supervised, note_stopped
from recipes.trainer import Stopped, stopping_at_once
from recipes.training_run import train


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


def at_least_one(text: str) -> int:
    """A number of processes or machines, as a command line gives it.

    Raises:
        Refusal: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise Refusal(f"'{text}' is no number of processes or machines (NPROC=, NNODES=); name a whole one from 1 on.")
    return int(text)


def arguments_of(description: str) -> argparse.ArgumentParser:
    """The arguments that sft, launch and rebuild share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("recipe", type=Path, help="e.g. recipes/sft/smollm2-135m/full.yaml")
    recipes.add_overrides(parser)
    parser.add_argument("--output", type=Path, help="default: build/runs/<base>-<variant>")
    parser.add_argument("--world-size", type=at_least_one, help="processes in all, when not those of the recipe")
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
    key = code_key(["recipes.training_run"], recipe.model_dump() | theirs, PINS, revisions.values())
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
    sys.stdout.reconfigure(line_buffering=True)  # a log shows a step when it was taken
    raise SystemExit(main())
