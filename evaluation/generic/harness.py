"""MMLU, BBH and GSM8K of a model by lm-eval, with the paper's shots: has tuning on code cost anything?

    python -m evaluation.generic.harness MODEL --output DIR [--benchmarks mmlu,bbh,gsm8k] [--limit N]
    make compare A=BASE_DIR/mmlu B=DIR/mmlu

reads   a model, evaluation/generic/rules.yaml, the questions (rows.py)
writes  DIR/<benchmark>/result.json, schema as evaluation/result.py; DIR/<benchmark>/tasks/, what lm-eval was given

Nothing that a model says is run. lm-eval is in requirements-extras.txt.
"""

import argparse
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import NonNegativeInt, PositiveInt

from artefacts import (
    Refusal,
    StrictModel,
    code_key,
    command_line,
    hash_of,
    read_json,
    read_mapping,
    validate,
    write_bytes,
    write_json,
)
from evaluation import result
from evaluation.generate import pinned, resolved
from evaluation.generator import Generator, answers_digest, model_digest
from evaluation.generic import rows

RULES = Path(__file__).with_name("rules.yaml")
PINS = ("torch", "transformers", "lm-eval")


class Rules(StrictModel):
    """One entry of rules.yaml."""

    about: str
    task: str
    shots: NonNegativeInt
    metric: str
    filter: str
    max_new_tokens: PositiveInt | None
    chat: bool
    dtype: Literal["bfloat16", "float32", "float16"]
    batch_size: PositiveInt


def rules_of(name: str) -> Rules:
    """A benchmark's entry in rules.yaml.

    Raises:
        Refusal: a key is unknown, missing or of a wrong type.
    """
    return validate(Rules, read_mapping(RULES)[name], f"{RULES}: {name}")


def task_files(name: str, rules: Rules, found: Mapping[str, Mapping[str, rows.Rows]], folder: Path) -> list[str]:
    """Write lm-eval's task files: its own, with our rows; returns the names of the tasks."""
    tasks = Path(importlib.util.find_spec("lm_eval").origin).parent / "tasks"
    names = []
    for part, splits in found.items():
        base = tasks / rules.task.format(name=part)
        if not base.is_file():
            raise Refusal(f"{name}: lm-eval has no task file {base.relative_to(tasks)} for '{part}'.")
        data = {}
        for split, questions in splits.items():
            path = folder.resolve() / f"{part}-{split}.jsonl"
            write_bytes(path, "".join(json.dumps(row) + "\n" for row in questions).encode())
            data[split] = str(path)
        names.append(f"ours_{name}_{part}")
        own = {"include": str(base), "task": names[-1], "dataset_path": "json", "dataset_name": None,
               "dataset_kwargs": {"data_files": data}}  # fmt: skip
        write_bytes(folder / f"{names[-1]}.yaml", yaml.safe_dump(own).encode())
    return names


def answers(name: str, rules: Rules, samples: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[result.Answered]]:
    """lm-eval's samples as (id, right, what was expected and what came), by subject or task."""
    found: dict[str, list[result.Answered]] = {}
    for task, logged in samples.items():
        part = task.removeprefix(f"ours_{name}_")
        for sample in sorted((s for s in logged if s["filter"] == rules.filter), key=lambda s: s["doc_id"]):
            said = sample["filtered_resps"]
            if rules.metric == "acc":  # log-likelihoods of the choices
                said = "ABCD"[max(range(4), key=lambda i: float(said[i][0]))]
                expected = "ABCD"[int(sample["target"])]
            else:
                said, expected = str(said[0] if isinstance(said, list) else said), str(sample["target"])
            right = float(sample[rules.metric]) == 1.0
            found.setdefault(part, []).append((f"{part}/{sample['doc_id']}", right, expected, said))
    return found


def evaluate(name: str, model: str, output: Path, data: Path | None, limit: int | None) -> dict[str, Any]:
    """One benchmark; returns the result (also in result.json). Unchanged inputs recompute nothing.

    Raises:
        Refusal: lm-eval, the model or the questions are not there.
    """
    rules = rules_of(name)
    if importlib.util.find_spec("lm_eval") is None:
        raise Refusal("lm-eval is not installed; run .venv/bin/pip install -r requirements-extras.txt.")
    found = rows.load(name, data)
    model = resolved(model)
    digest = answers_digest(Generator(model), model_digest(model, "transformers"))
    key = code_key(["evaluation.generic.harness"], [rules.model_dump(), limit], PINS, [digest, hash_of(found)])
    known = read_json(output / "result.json")
    if known and known.get("key") == key:
        print(f"{output}: unchanged")
        return known
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    names = task_files(name, rules, found, output / "tasks")
    repo, revision = pinned(model)
    done = simple_evaluate(
        model="hf",
        # of a folder the revision is not read, but lm-eval wants one
        model_args={"pretrained": repo, "revision": revision or "main", "dtype": rules.dtype, "use_safetensors": True},
        tasks=names,
        task_manager=TaskManager(include_path=str(output / "tasks"), include_defaults=False),
        num_fewshot=rules.shots,
        gen_kwargs={"max_gen_toks": rules.max_new_tokens} if rules.max_new_tokens else None,
        apply_chat_template=rules.chat,
        batch_size=rules.batch_size,
        device="cuda" if torch.cuda.is_available() else "cpu",
        limit=limit,
        bootstrap_iters=0,
        log_samples=True,
    )
    counts = {part: len(splits["test"]) for part, splits in found.items()}
    built = {
        "key": key,
        "benchmark": name,
        "version": f"lm-eval {importlib.metadata.version('lm-eval')}",
        "protocol": rules.model_dump(),
        "model": model,
        **result.build_answers(answers(name, rules, done["samples"])),
        **result.published(sum(counts.values()), rows.absent(name, counts)),
    }
    write_json(output / "result.json", built)
    return built


def plan(names: list[str], model: str, limit: int | None) -> str:
    """What would be asked of a model; nothing is loaded or fetched."""
    lines = [f"model      {model}", "", f"{'benchmark':12}{'questions':>10}{'shots':>7}{'most tokens':>13}"]
    for name in names:
        rules = rules_of(name)
        questions, parts = rows.published(name)
        questions = min(questions, parts * limit) if limit else questions
        most = questions * (rules.max_new_tokens or 0)
        lines.append(f"{name:12}{questions:>10,}{rules.shots:>7}{f'{most:,}' if most else 'likelihoods':>13}")
    return "\n".join([*lines, "", "a plan: nothing was asked and nothing was run"])


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.generic.harness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="model folder, or Hub id (owner/name, owner/name@revision)")
    parser.add_argument("--output", type=Path, required=True, help="folder; each benchmark gets one in it")
    parser.add_argument("--benchmarks", default=",".join(rows.NAMES), help=f"(default: {','.join(rows.NAMES)})")
    parser.add_argument("--limit", type=int, help="only the first questions of each task")
    parser.add_argument("--data", type=Path, help="folder with the questions (default: REAL_DATA_DIR)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, load and ask nothing")
    given = parser.parse_args()
    names = [name for name in given.benchmarks.split(",") if name]
    for name in names:
        if name not in rows.NAMES:
            parser.error(f"--benchmarks: there is no '{name}'; known benchmarks: {', '.join(rows.NAMES)}")
    if given.dry_run:
        print(plan(names, given.model, given.limit))
        return
    for name in names:
        print(result.line(evaluate(name, given.model, given.output / name, given.data, given.limit)))


if __name__ == "__main__":
    raise SystemExit(main())
