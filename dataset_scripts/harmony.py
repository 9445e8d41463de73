"""Do AlchemistPrompts make responses easier to predict, and sources harder to tell apart? A table of controls.

reads   build/<mixture>/{08_customise/{kept,facts},asked}; writes build/<mixture>/harmony/{harmony.json, scores/*.json}

Five conditions on the same rows: the plain instruction, and the instruction behind the row's static prompt, its LLM
prompt (where the build has them), another row's prompt (`shuffled`) and as many words that say nothing (`placebo`).

The primary outcome is fixed beforehand: the paired difference in response-only CPD between a condition and the plain
instruction, in units of perplexity, with a bootstrap interval. CPD = PPL(response | prompt, instruction) -
PPL(response), so the second term cancels in differences. A lower CPD is a sign of harmony, not the paper's claim
(pass@1): a prompt that restates the response lowers it by construction, hence the leak rate beside it.
Chunks of scores are kept as they are made; a rerun goes on after the last one.
"""

import argparse
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from artefacts import Refusal, code_key, command_line, read_json, write_json
from dataset_scripts import alchemist, controls, cpd, static_alchemist
from dataset_scripts.schema import published_instruction
from dataset_scripts.stage_files import manifest, read_rows, shards

PINS = ("torch", "transformers", "scikit-learn", "numpy")
ROWS_PER_CHUNK = 16
RESAMPLES = 10_000
LEAK_LIMIT = 0.3  # a prompt with a larger share of words out of the code alone counts as leaking, as in 08_customise
MODEL_FILES = ("config.json", "tokenizer.json", "model.safetensors")


def chosen(folder: Path, rows_per_source: int, seed: int) -> list[dict[str, Any]]:
    """A seeded sample of rows that have a prompt, equally many of every source.

    Raises:
        Refusal: no row has one.
    """
    rows = [row for row in read_rows(folder / "08_customise").to_pylist() if row["alchemist_prompt"]]
    if not rows:
        raise Refusal(f"{folder}/08_customise: no row has an AlchemistPrompt; there is nothing to measure.")
    found = []
    for source in sorted({row["source"] for row in rows}):
        some = sorted((row for row in rows if row["source"] == source), key=lambda row: row["id"])
        found += random.Random(seed).sample(some, min(rows_per_source, len(some)))
    return found


def conditions(rows: list[dict[str, Any]], writers: Mapping[str, str], seed: int) -> dict[str, dict[str, str]]:
    """Condition -> row id -> prompt (empty for `none`), over the rows that have a static prompt.

    Args:
        writers: row id -> who wrote its `alchemist_prompt` (`static`, or a teacher).
    """
    static = {}
    for row in rows:
        said = static_alchemist.prompt(row["instruction"], row["response"], row["language"], row["id"], max_named=3)
        if said:
            static[row["id"]] = said
    by_teacher = {row["id"]: row["alchemist_prompt"] for row in rows if writers.get(row["id"], "static") != "static"}
    found = {
        "none": dict.fromkeys(static, ""),
        "static": static,
        "llm": {row_id: by_teacher[row_id] for row_id in static if row_id in by_teacher},
        "shuffled": controls.shuffled(static, seed),
        "placebo": {i: controls.placebo(said, random.Random(f"{seed}:{i}")) for i, said in static.items()},
    }
    return {name: prompts for name, prompts in found.items() if prompts}


def interval(differences: np.ndarray, seed: int) -> dict[str, float]:
    """Mean of paired differences with the 95 % percentile interval of a seeded bootstrap over rows."""
    draws = np.random.default_rng(seed)
    places = (draws.integers(0, len(differences), len(differences)) for _ in range(RESAMPLES))
    means = np.array([differences[some].mean() for some in places])
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(differences.mean()), "low": float(low), "high": float(high), "n": len(differences)}


def told_apart(texts: list[str], labels: list[str], seed: int) -> dict[str, float]:
    """Accuracy of a linear classifier of the source, over five seeded folds, with the share of the largest source.

    Raises:
        Refusal: fewer than two sources, or fewer than five rows of one.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    counted = Counter(labels)
    if len(counted) < 2 or min(counted.values()) < 5:
        raise Refusal(
            f"telling sources apart needs two sources with five rows or more, not {dict(counted)}; measure a mixture "
            "of several sources."
        )
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    accuracy = cross_val_score(model, texts, labels, cv=folds)
    return {
        "accuracy": float(accuracy.mean()),
        "standard_error": float(accuracy.std(ddof=1) / len(accuracy) ** 0.5),
        "largest_source": max(counted.values()) / len(labels),
    }


def measure(
    rows: list[dict[str, Any]],
    prompts: Mapping[str, Mapping[str, str]],
    score: Callable[[list[cpd.Text]], list[cpd.Score]],
    tokenise: Callable[[str, str], cpd.Text],
    max_length_tokens: int,
    folder: Path,
    seed: int,
) -> dict[str, Any]:
    """Score all conditions of all rows, chunk by chunk, and sum up.

    Args:
        prompts: see `conditions`.
        tokenise: (context, response) -> text.
        max_length_tokens: rows that are longer in any condition are left out of all, and counted.
        folder: where chunks are kept; those that are there already are read, not made again.
    """
    by_id = {row["id"]: row for row in rows}
    texts: dict[str, dict[str, cpd.Text]] = {}
    for row_id in prompts["none"]:
        row = by_id[row_id]
        texts[row_id] = {"alone": tokenise("", row["response"])}
        for name, said in prompts.items():
            if row_id in said:
                texts[row_id][name] = tokenise(
                    published_instruction(row["instruction"], said[row_id]), row["response"]
                )
    fitting = sorted(i for i, t in texts.items() if max(len(text.ids) for text in t.values()) <= max_length_tokens)
    if not fitting:
        raise Refusal(f"all {len(texts)} rows are longer than {max_length_tokens} tokens; raise --max-length-tokens.")
    scored: dict[str, dict[str, cpd.Score]] = {}
    starts = range(0, len(fitting), ROWS_PER_CHUNK)
    for start in tqdm(starts, desc="harmony", unit="chunk", disable=len(starts) < 2):
        path = folder / "scores" / f"{start // ROWS_PER_CHUNK:05d}.json"
        kept = read_json(path)
        if kept is None:
            places = [(i, name) for i in fitting[start : start + ROWS_PER_CHUNK] for name in texts[i]]
            made = score([texts[i][name] for i, name in places])
            kept = [[i, name, *one] for (i, name), one in zip(places, made, strict=True)]
            write_json(path, kept)
        for i, name, *one in kept:
            scored.setdefault(i, {})[name] = cpd.Score(*one)
    report = {name: _condition(name, scored, prompts, by_id, seed) for name in prompts}
    left_out = {"no_static_prompt": len(rows) - len(texts), "longer_than_limit": len(texts) - len(fitting)}
    return {"rows": len(fitting), "left_out": left_out, "conditions": report}


def _condition(name: str, scored: Mapping, prompts: Mapping, by_id: Mapping, seed: int) -> dict[str, Any]:
    ids = sorted(i for i in scored if name in scored[i])
    response = np.array([scored[i][name].response_perplexity - scored[i]["alone"].response_perplexity for i in ids])
    joint = np.array([scored[i][name].joint_perplexity - scored[i]["alone"].response_perplexity for i in ids])
    found: dict[str, Any] = {
        "n": len(ids),
        "cpd_response": {"mean": float(response.mean()), "median": float(np.median(response))},
        "cpd_joint": {"mean": float(joint.mean()), "median": float(np.median(joint))},
        "nll_per_response_token": float(
            np.mean([scored[i][name].response_nll / scored[i][name].response_tokens for i in ids])
        ),
        "values": {"cpd_response": response.round(4).tolist(), "cpd_joint": joint.round(4).tolist()},
    }
    if name != "none":
        plain = [scored[i]["none"] for i in ids]
        own = [scored[i][name] for i in ids]
        pairs = list(zip(own, plain, strict=True))
        found["difference_to_none"] = {
            "cpd_response": interval(
                np.array([a.response_perplexity - b.response_perplexity for a, b in pairs]), seed
            ),
            "cpd_joint": interval(np.array([a.joint_perplexity - b.joint_perplexity for a, b in pairs]), seed),
            "nats_per_response_token": interval(
                np.array([(a.response_nll - b.response_nll) / a.response_tokens for a, b in pairs]), seed
            ),
        }
        leaks = [alchemist.leak(prompts[name][i], by_id[i]["instruction"], by_id[i]["response"]) for i in ids]
        found["leaked_share_mean"] = float(np.mean(leaks))
        found["leak_rate"] = float(np.mean([leak > LEAK_LIMIT for leak in leaks]))
    texts = [published_instruction(by_id[i]["instruction"], prompts[name][i]) for i in ids]
    sources = [by_id[i]["source"] for i in ids]
    if len(set(sources)) > 1 and min(Counter(sources).values()) >= 5:
        found["source_classifier"] = told_apart(texts, sources, seed)
    return found


def dollars(build: Path) -> float:
    """What the prompts of a build have cost: the bill of the role that writes them; 0 where nobody was asked."""
    asked = read_json(build / "asked" / "08_customise.json") or {"bill": []}
    return math.fsum(line["usd"] for line in asked["bill"] if line["role"] == alchemist.ROLE)


def table(report: Mapping[str, Any]) -> str:
    """The report as a text: one line a condition."""
    lines = [
        f"{report['rows']} rows of {', '.join(report['sources'])}; {report['model']}; left out: {report['left_out']}; "
        f"prompts cost ${report['usd']:.4f}",
        f"{'prompt':10} {'CPD response':>13} {'difference to none, 95 %':>32} {'CPD joint':>10} {'leak rate':>10} "
        f"{'source told':>16}",
    ]
    for name, found in report["conditions"].items():
        change = found.get("difference_to_none", {}).get("cpd_response")
        shown = f"{change['mean']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]" if change else "-"
        leak = f"{found['leak_rate']:.3f}" if "leak_rate" in found else "-"
        told = found.get("source_classifier")
        accuracy = f"{told['accuracy']:.3f} +- {told['standard_error']:.3f}" if told else "-"
        lines.append(
            f"{name:10} {found['cpd_response']['mean']:>13.3f} {shown:>32} {found['cpd_joint']['mean']:>10.3f} "
            f"{leak:>10} {accuracy:>16}"
        )
    return "\n".join(lines)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.harmony", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("build", type=Path, help="build/<mixture>")
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal language model")
    parser.add_argument("--rows-per-source", type=int, default=200, help="seeded sample (default: 200)")
    parser.add_argument("--max-length-tokens", type=int, default=512, help="longer rows are left out, and counted")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if min(given.rows_per_source, given.max_length_tokens) < 1:
        parser.error("--rows-per-source and --max-length-tokens must be at least 1")
    if missing := [name for name in MODEL_FILES if not (given.model / name).is_file()]:
        raise Refusal(f"{given.model}: {missing[0]} is not there; give a model folder (make base-model makes one).")
    print(table(run(given.build, given.model, given.rows_per_source, given.max_length_tokens, given.seed)))


def run(build: Path, model_folder: Path, rows_per_source: int, max_length_tokens: int, seed: int) -> dict[str, Any]:
    """Measure a built mixture and write `harmony/harmony.json`; returns what it holds."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = chosen(build, rows_per_source, seed)
    files = shards(build / "08_customise", "facts")
    writers = {row["id"]: row["alchemist"] for path in files for row in pq.read_table(path).to_pylist()}
    settings = {"rows_per_source": rows_per_source, "max_length_tokens": max_length_tokens, "seed": seed}
    size = {name: (model_folder / name).stat().st_size for name in MODEL_FILES}
    digest = manifest(build / "08_customise")["digest"]
    key = code_key([__name__], [settings, size], PINS, [digest])
    folder = build / "harmony" / key[:12]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32  # of a CPU, fp32 is the faster one
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=dtype).to(device).eval()
    report = measure(
        rows,
        conditions(rows, writers, seed),
        lambda texts: cpd.scores(model, texts),
        lambda context, response: cpd.tokenised(tokenizer, context, response),
        max_length_tokens,
        folder,
        seed,
    )
    report = {
        "model": model_folder.name, "settings": settings, "input": digest,
        "sources": sorted({row["source"] for row in rows}), "usd": dollars(build), **report,
    }  # fmt: skip
    write_json(build / "harmony" / "harmony.json", report)
    return report


if __name__ == "__main__":
    raise SystemExit(main())
