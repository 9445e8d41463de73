"""Scores of a run and of its base, protocol by protocol: for the card's table, and in the Hub's two formats.

reads   <run>/eval-base/ and <run>/eval-tuned/: a result.json in each, or in folders below; writes nothing
"""

import math
import statistics
from pathlib import Path
from typing import Any

import scipy.stats
import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from artefacts import Refusal, hash_of, read_json

# Where a benchmark lives on the Hub (data set, configuration, name): what links a score to it and to its leaderboard.
BENCHMARKS_ON_THE_HUB = {
    "humaneval": ("openai/openai_humaneval", "openai_humaneval", "HumanEval"),
    "humaneval_plus": ("evalplus/humanevalplus", "default", "HumanEval+"),
    "mbpp_plus": ("evalplus/mbppplus", "default", "MBPP+"),
}
_SHOWN = (
    "benchmark", "version", "protocol_name", "problems", "problems_in_benchmark", "pass_at_1", "standard_error",
    "sandbox", "caveat",
)  # fmt: skip


def found(run_folder: Path, run: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """protocol -> `{"tuned": ..., "base": ... or None, "difference": ... or None}`, and the keys of all results.

    Raises:
        Refusal: the tuned model was not evaluated, other weights than those of the run were, the two were evaluated
            differently, or a protocol has two results.
    """
    results = {which: _read(run_folder / f"eval-{which}") for which in ("base", "tuned")}
    if not results["tuned"]:
        raise Refusal(
            f"{run_folder}/eval-tuned holds no result.json; evaluate first (make evaluate-demo, or make evaluate-run "
            "RUN= PROTOCOL=)."
        )
    weights = [run["checkpoint"]["files"], (read_json(run_folder / "merged.json") or {}).get("files")]
    digests = [hash_of([files[name] for name in sorted(files)]) for files in weights if files]
    pairs = {}
    for name, tuned in results["tuned"].items():
        if tuned["model_digest"] not in digests:
            raise Refusal(f"{run_folder}: protocol {name} was run on other weights than this run's; evaluate again.")
        base = results["base"].get(name)
        if base and (base["protocol"], sorted(base["tasks"])) != (tuned["protocol"], sorted(tuned["tasks"])):
            raise Refusal(
                f"{run_folder}: base and tuned were evaluated differently under {name}; evaluate both again, alike."
            )
        pairs[name] = {
            "base": base and _shown(base),
            "tuned": _shown(tuned),
            "difference": base and difference(base, tuned),
        }
    return pairs, [result["key"] for some in results.values() for result in some.values()]


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("result.json")):
        result = read_json(path)
        if result["protocol_name"] in results:
            raise Refusal(
                f"{path}: the protocol {result['protocol_name']} has another result in {folder}; delete one."
            )
        results[result["protocol_name"]] = result
    return results


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in _SHOWN} | {
        "unscored": len(result["unscored"]),
        "options": options_of(result["selection"]),
    }


def options_of(selection: dict[str, Any]) -> str:
    """The options of `python -m evaluation.evaluate` that select the same problems, with a space before.

    >>> options_of({"limit": 30, "tasks": []}), options_of({"limit": None, "tasks": []})
    (' --limit 30', '')
    """
    limit = f" --limit {selection['limit']}" if selection["limit"] else ""
    return f" --tasks {','.join(selection['tasks'])}" if selection["tasks"] else limit


def difference(base: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any] | None:
    """Tuned minus base over the problems that both have scored: mean and its standard error, task by task; how many
    gained and lost, and the p of their exact sign test.

    None where fewer than two problems were scored by both.
    """
    left_out = {*base["unscored"], *tuned["unscored"]}
    shares = [
        task["passed"] / task["samples"] - base["tasks"][name]["passed"] / base["tasks"][name]["samples"]
        for name, task in tuned["tasks"].items()
        if name not in left_out
    ]
    if len(shares) < 2:
        return None
    error = statistics.stdev(shares) / math.sqrt(len(shares))
    gained, lost = sum(share > 0 for share in shares), sum(share < 0 for share in shares)
    p = float(scipy.stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    counted = {"gained": gained, "lost": lost, "p": p}
    return {"problems": len(shares), "mean": statistics.fmean(shares), "standard_error": error, **counted}


def is_whole(result: dict[str, Any]) -> bool:
    """Whether a score may stand beside others: all problems of the benchmark, all scored, in a sandbox."""
    is_all = result["problems"] == result["problems_in_benchmark"] and not result["unscored"]
    is_known = result["benchmark"] in BENCHMARKS_ON_THE_HUB
    return is_all and is_known and result["sandbox"] != "unsandboxed"


def whole(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The tuned model's scores that may stand beside others."""
    return [pair["tuned"] for pair in results.values() if is_whole(pair["tuned"])]


def _percent(result: dict[str, Any]) -> float:
    return round(100 * result["pass_at_1"], 1)


def model_index(name: str, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores as `model-index`, the older of the Hub's two formats."""
    scores = []
    for result in results:
        repo_id, config, pretty = BENCHMARKS_ON_THE_HUB[result["benchmark"]]
        scores.append(EvalResult(
            task_type="text-generation", dataset_type=repo_id, dataset_name=pretty, dataset_config=config,
            metric_type="pass@1", metric_name=f"pass@1 (%), protocol {result['protocol_name']}",
            metric_value=_percent(result),
        ))  # fmt: skip
    return eval_results_to_model_index(name, scores)


def eval_results(results: list[dict[str, Any]]) -> dict[str, str]:
    """Scores as `.eval_results/<benchmark>.yaml`, the newer format, from which the Hub makes leaderboards."""
    entries: dict[str, list[EvalResultEntry]] = {}
    for result in results:
        repo_id, config, _ = BENCHMARKS_ON_THE_HUB[result["benchmark"]]
        notes = (
            f"pass@1 in %, standard error {100 * result['standard_error']:.1f}, protocol {result['protocol_name']}, "
            f"benchmark version {result['version']}"
        )
        entry = EvalResultEntry(repo_id, config, _percent(result), notes=notes)
        entries.setdefault(result["benchmark"], []).append(entry)
    return {
        f"{benchmark}.yaml": yaml.safe_dump(eval_result_entries_to_yaml(some), sort_keys=False)
        for benchmark, some in entries.items()
    }
