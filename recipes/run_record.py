"""The record of a run: what it was made with, what it ran on, what came out.

reads   this machine, the installed packages, git, a trainer; run.json of a finished run; writes nothing
"""

import os
import platform
import re
import resource
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from artefacts import ROOT, read_json
from recipes import save
from recipes.recipe import Recipe

PINS = ("torch", "transformers", "trl", "accelerate", "datasets", "peft")
OPTIONAL = ("bitsandbytes", "liger-kernel", "flash-attn", "kernels")  # used where they are installed
WHERE = ("base", "data")  # where rows and base lie may change between start and resume; their digests may not


def is_done(output: Path, key: str) -> dict[str, Any] | None:
    """The run's record when it was finished under this key and its weights are still there."""
    found = read_json(output / "run.json")
    sizes = sum(path.stat().st_size for path in save.weight_files(output / "model"))
    return found if found and found["key"] == key and sizes == found["checkpoint"]["bytes"] else None


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


def outcome_of(
    trainer: Any, counts: dict[str, Any], done_before: int, seconds: float, saved: dict[str, Any]
) -> dict[str, Any]:
    """What came out: steps, losses, speed, the saved model, machine and packages.

    Args:
        counts: of the prepared rows.
        done_before: steps of earlier sittings; `seconds` are those of this one.
        saved: facts of the verified model.
    """
    state = trainer.state
    logged = [log for log in state.log_history if "loss" in log]
    losses = [log["loss"] for log in logged]
    epochs = state.epoch * (1 - done_before / state.global_step)  # in this sitting
    speed = counts["tokens"] * epochs / seconds
    return {
        "steps": state.global_step,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "losses": losses,
        "loss_steps": [log["step"] for log in logged],
        "eval_losses": eval_losses(state.log_history),
        "resumed_from_step": done_before or None,
        "seconds": round(seconds, 1),
        "tokens_per_s": round(speed, 1),
        "supervised_tokens_per_s": round(speed * counts["supervised_share"], 1),
        "checkpoint": saved,
        "hardware": hardware(trainer),
        "versions": versions(),
    }


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
