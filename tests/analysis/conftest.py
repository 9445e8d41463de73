"""A toy mixture with everything a report can show: leaks, a packed repository, a run, evaluations, harmony."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import embedding
from artefacts import read_json, write_json
from dataset_scripts.schema import published_instruction, row_id
from model_cards.dataset_repository import pack_dataset
from tests.model_cards.toy_build import toy_row, write_build, write_stage
from tests.model_cards.toy_run import write_run

# What a row must not be able to do to a page: end a script, open a tag, leave an attribute, hide in JSON.
ATTACK = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> {{7*7}} \u2028'\""
)
SECRET_TEXT = "the text of a row that nobody may see"
STEPS = 6


def evidence(**changes: Any) -> dict[str, Any]:
    """A piece of what decontamination notes."""
    piece = {
        "signal": "cosine", "part": "solution", "problems": ["humaneval/5"], "reference": "r5",
        "names": ["humaneval/HumanEval/5"],
        "score": 0.97, "size": 40, "decides": "alone", "spans": [{"field": "response", "start": 10, "end": 25}],
    }  # fmt: skip
    return piece | changes


def prompted(row: dict[str, Any], prompt: str) -> dict[str, Any]:
    """The copy that 09_mixture makes of a row."""
    copy_id = row_id(row["source"], published_instruction(row["instruction"], prompt), row["response"])
    return row | {"id": copy_id, "parents": [row["id"]], "alchemist_prompt": prompt}


def harmony(digest: str) -> dict[str, Any]:
    """What `make harmony` leaves, of two conditions and eight rows."""
    values = [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 4.0]
    moved = [value - 0.5 for value in values]

    def condition(cpd: list[float]) -> dict[str, Any]:
        return {"n": len(cpd), "cpd_response": {"mean": sum(cpd) / len(cpd)}, "values": {"cpd_response": cpd}}

    difference = {"cpd_response": {"mean": -0.5, "low": -0.9, "high": -0.1, "n": 8}}
    static = condition(moved) | {"difference_to_none": difference, "leak_rate": 0.125}
    return {
        "model": "tiny", "input": digest, "rows": 8, "sources": ["toy"],
        "conditions": {"none": condition(values), "static": static},
    }  # fmt: skip


def ablation() -> dict[str, Any]:
    """What recipes/ablation_table.py leaves of a grid of five cells, one of them failed."""

    def cell(name: str, mean: float, difference: float | None, **settings: Any) -> dict[str, Any]:
        seeds = [{"seed": n, "pass_at_1": mean} for n in (0, 1)]
        losses = {"rows": 9, "tokens": 90, "loss": 2 + mean, "seeds": [1.5 + mean, 2.5 + mean], "difference": None}
        between = difference and {
            "difference": difference,
            "low": difference - 0.1,
            "high": difference + 0.1,
            "p": 0.5,
        }
        return {
            "name": name, "settings": settings, "seeds": seeds, "scores": {f"HumanEval/{n}": mean for n in range(10)},
            "mean": mean, "standard_error": 0.1, "difference": between, "held_out": {"toy": losses},
        }  # fmt: skip

    return {
        "grid": "shares", "file": "no/such/file.yaml", "benchmark": "humaneval", "recipe": "tiny/full.yaml",
        "train_tokens": 1000, "seeds": [0, 1], "baseline": "share_0", "failed": {"add_9": "it failed"},
        "cells": [
            cell("share_0", 0.2, None, alchemist_share=0.0),
            cell("add_5", 0.3, 0.1, alchemist_share=0.05, mode="add"),
            cell("add_10", 0.25, 0.05, alchemist_share=0.1, mode="add"),
            cell("add_5_shuffled", 0.22, 0.02, alchemist_share=0.05, mode="add", prompt="shuffled"),
        ],
    }  # fmt: skip


def verdict(status: str, exception: str | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "exception": exception,
        "reason": exception and f"{exception}: no",
        "shared_process": False,
    }


def evaluated(folder: Path, passing: set[int]) -> None:
    """Turn the result in a folder into one of ten tasks with verdicts and answers."""
    tasks = {
        f"HumanEval/{n}": {
            "samples": 1, "passed": int(n in passing),
            "verdicts": [verdict("ok") if n in passing else verdict("exception", "NameError")],
        }
        for n in range(10)
    }  # fmt: skip
    found = read_json(folder / "result.json")
    share = len(passing) / 10
    found |= {
        "problems": 10, "problems_in_benchmark": 164, "pass_at_1": share, "tasks": tasks, "scores": {},
        "standard_error": (share * (1 - share) / 10) ** 0.5, "caveat": "10 problems cannot show a gain.",
    }  # fmt: skip
    write_json(folder / "result.json", found)
    lines = [
        json.dumps({"key": "k", "task_id": f"HumanEval/{n}", "sample": 0, "answer": f"answer {n} {ATTACK}"})
        for n in range(10)
    ]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = [
        json.dumps({"task_id": f"HumanEval/{n}", "sample": 0, "program": f"program {n} {ATTACK}"}) for n in range(10)
    ]
    (folder / "result.programs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def umap():
    """The first two dimensions stand for UMAP's map, which costs a process 13 CPU-seconds of compilation.

    Yields the real map: one test draws it, and says whatever is to be said about it.
    """
    real = embedding._map
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "_map", lambda dense, seed: dense[:, :2])
        yield real


@pytest.fixture(scope="session")
def toy_mixture(tmp_path_factory) -> Path:
    """build/toy: 40 kept rows, 12 copies with prompts, rows rejected with and without text, leaks, a run.

    Of the kept rows the code of 20 was read: all of them sort, and 5 use a heap as well.
    """
    root = tmp_path_factory.mktemp("report")
    plain = [toy_row(n, generator="human" if n % 2 else "lab/model") for n in range(40)]
    plain[0] = plain[0] | {"instruction": f"Add 0. {ATTACK}"}
    copies = [prompted(row, f"Use plain arithmetic, as {row['id'][:4]} does. {ATTACK}") for row in plain[:12]]
    rejected = [
        toy_row(100, reason="does_not_compile"),
        toy_row(101, reason="secret", instruction=None, response=None),
        toy_row(102, reason="near_duplicate", response=f"```python\n{SECRET_TEXT}\n```"),
        toy_row(103, reason="near_duplicate", instruction="Add 3. " + plain[3]["instruction"]),
    ]
    # of a row with a secret: published without text; and of a row of the mixture
    twins = {rejected[2]["id"]: rejected[1]["id"], rejected[3]["id"]: plain[3]["id"]}
    build = write_build(root / "toy", [*plain, *copies], rejected=rejected, twins=twins)
    _decontaminated(build, plain)
    pack_dataset(build, root / "hub")
    write_json(
        build / "harmony" / "harmony.json", harmony(read_json(build / "08_customise" / "manifest.json")["digest"])
    )
    write_json(root / "ablations" / "shares" / "result.json", ablation())
    run = write_run(
        root / "runs" / "tiny-full", losses=[2.0 - 0.1 * n for n in range(3)], loss_steps=[1, 3, 6], steps=STEPS,
        eval_losses={"toy": [[3, 1.9], [6, 1.7]]},
    )  # fmt: skip
    evaluated(run / "eval-base", {0, 1})
    evaluated(run / "eval-tuned", {1, 2, 3})
    cases = {"passes": ["HumanEval/1"], "NameError": ["HumanEval/4", "HumanEval/5"]}
    write_json(run / "errors.json", {"base": cases, "tuned": {"passes": ["HumanEval/2"], "no code": ["HumanEval/3"]}})
    return build


def _decontaminated(build: Path, kept: list[dict[str, Any]]) -> None:
    """A 04_decontaminate that removed one row and kept one that is close, and a 08_customise behind it."""
    removed = toy_row(200, reason="contaminated", instruction=None, response=None)
    facts = [
        {"id": removed["id"], "evidence": [evidence()], "borderline": False},
        {"id": kept[1]["id"], "evidence": [evidence(decides=None, score=0.93)], "borderline": True},
        *({"id": row["id"], "evidence": [], "borderline": False} for row in kept[2:]),
    ]
    write_stage(build, "04_decontaminate", kept, [removed], {"config": {}}, facts)
    item = {"key": "r5", "text": "def asked(x):", "program": f"def known(x):  # {ATTACK}\n    return x"}
    pq.write_table(pa.Table.from_pylist([item]), build / "04_decontaminate" / "benchmark_items.parquet")
    prompts = [
        {"id": row["id"], "alchemist": "static", "concepts": ["sorting", "heap"] if n < 5 else ["sorting"]}
        for n, row in enumerate(kept[:20])
    ]
    prompts += [{"id": row["id"], "alchemist": None, "concepts": None} for row in kept[20:]]
    write_stage(build, "08_customise", kept, [], {"config": {}}, prompts)
    counts = {"rows": 41, "removed": 1, "by_signal": {"ngram": 0, "cosine": 1, "tree": 0}, "borderline": 1,
              "items": {"humaneval": 1}}  # fmt: skip
    table = {
        "total": counts,
        "by_source": {"toy": counts},
        "problems": {"humaneval": 164},
        "compared_with": "humaneval (164 of 164 items)",
        "paper_removed_share": 0.06,
    }
    write_json(build / "04_decontaminate" / "leaks.json", table)
    stages = ["01_sources", "03_clean", "04_decontaminate", "08_customise", "09_mixture"]
    write_json(build / "mixture.json", {"name": build.name, "file": "toy.yaml", "stages": stages})
