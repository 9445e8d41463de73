"""A finished, evaluated run without training: what `make model` reads."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from artefacts import hash_of, read_json, sha256_of_file, write_json

WEIGHTS = save({"weight": np.arange(64, dtype=np.float32)})


def result(pass_at_1: float, sandbox: str = "bubblewrap", name: str = "demo") -> dict:
    """An evaluation's result.json: of 30 problems the first pass."""
    return {
        "key": f"{name} {pass_at_1}", "benchmark": "humaneval", "version": "v1.0", "protocol_name": name,
        "problems": 30, "problems_in_benchmark": 164, "pass_at_1": pass_at_1, "standard_error": 0.07,
        "sandbox": sandbox, "caveat": "30 problems cannot show a gain.", "unscored": [],
        "protocol": {"benchmark": "humaneval", "about": "A toy."}, "selection": {"limit": 30, "tasks": []},
        "tasks": {f"HumanEval/{n}": {"samples": 1, "passed": int(n < 30 * pass_at_1)} for n in range(30)},
        "model_digest": hash_of([hashlib.sha256(WEIGHTS).hexdigest()]),
    }  # fmt: skip


def evaluate_again(folder: Path) -> None:
    """Let the results be those of the weights that run.json names."""
    files = read_json(folder / "run.json")["checkpoint"]["files"]
    for path in sorted(folder.glob("eval-*/**/result.json")):
        write_json(path, read_json(path) | {"model_digest": hash_of([files[name] for name in sorted(files)])})


def write_run(folder: Path, **changes) -> Path:
    """Write `folder` as a recipe and two evaluations would leave it, its base beside it; keywords replace run.json."""
    base = folder.parent / "base"
    source = {"key": "b", "name": "Tiny", "hub_id": "lab/tiny", "source": "this test", "licence": "Apache-2.0"}
    write_json(base / "source.json", source)
    (folder / "model").mkdir(parents=True)
    weights = folder / "model/model.safetensors"
    weights.write_bytes(WEIGHTS)
    write_json(folder / "model/config.json", {"model_type": "llama"})
    files = {weights.name: sha256_of_file(weights)}
    checkpoint = {"kind": "full", "dtype": "bfloat16", "reloaded_tokens_equal": 20, "files": files}
    run = {
        "key": "r", "recipe": "recipes/sft/tiny/full.yaml", "commit": "e" * 40,
        "settings": {
            "base": str(base), "data": "hub/toy", "data_config": "sft", "max_row_tokens": 512, "use_cpu": True,
        },
        "rows_dropped": {"over_max_row_tokens": {"toy": 3}}, "resumed_from_step": None,
        "hardware": {"processes": 1, "gpus": [], "cpu": "x86_64", "cores": 2, "peak_gpu_gib": None,
                     "peak_host_gib": 2.5},
        "rows": 10, "rows_in": 40, "rows_not_sampled": 30, "tokens": 5000, "supervised_share": 0.611, "steps": 12,
        "data_licences": ["MIT"], "data_revision": "d" * 64,
        "loss_first": 1.5, "loss_last": 1.25, "seconds": 30.0, "tokens_per_s": 166.7, "versions": {"trl": "1.16.0"},
        "checkpoint": checkpoint,
    }  # fmt: skip
    write_json(folder / "run.json", run | changes)
    write_json(folder / "eval-base/result.json", result(0.1))
    write_json(folder / "eval-tuned/result.json", result(0.2))
    return folder
