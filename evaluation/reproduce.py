"""A published checkpoint -> its protocols -> a table beside the published figures: difference, error, verdict.

    DRY_RUN=1 make reproduce-ds67b     what it takes: download, memory, answers, hours; nothing is fetched
    make reproduce-ds67b MODEL=DIR     the same for a folder of your own

A checkpoint without a proven commit in published.yaml is resolved at the run: the Hub names the commit of its main
branch, all files are taken of it, and it stands in the result. --revision (REVISION= of make) names another.

reads evaluation/published.yaml, writes build/reproduce/<name>/<protocol>/result.json. A figure counts as reproduced
when it is within two standard errors of ours (scores.noise); that is stated, not hidden: 164 tasks cannot tell more.
"""

import argparse
from pathlib import Path
from typing import Any

from artefacts import ROOT, Refusal, StrictModel, command_line, read_mapping, validate
from evaluation import benchmarks, generate, protocol
from evaluation.checkpoint import evaluate
from evaluation.generator import Generator
from evaluation.plan import answers_of, problems_of
from evaluation.scores import noise
from evaluation.selection import Selection

PUBLISHED = ROOT / "evaluation" / "published.yaml"
# Assumptions of a plan, not measured: it names them.
_STEP_MS_PER_BILLION = 4.5  # one token for a whole batch, transformers on one data-centre GPU: 30 ms for 7B
_MEAN_SHARE = 0.5  # of max_new_tokens that an answer uses on average
_PROMPT_TOKENS = 1000  # of the longest prompt


class Checkpoint(StrictModel):
    """One entry of published.yaml. A figure's key is its protocol; with + it is that of the plus inputs."""

    model: str
    revision: str | None
    source: str
    first: str | None
    weights_gb: float
    parameters: float
    kv_bytes_per_token: int
    gated: bool
    figures: dict[str, float]


def names_of(checkpoint: Checkpoint) -> list[str]:
    """Protocols that the figures need, in order."""
    return list(dict.fromkeys(key.removesuffix("+") for key in checkpoint.figures))


def duration(seconds: float) -> str:
    """A time in the unit that tells something.

    >>> duration(84), duration(3000), duration(16000)
    ('84 s', '50 min', '4.4 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def plan(checkpoint: Checkpoint, model: str) -> str:
    """What the run takes; reads protocols only."""
    step_s = _STEP_MS_PER_BILLION * checkpoint.parameters / 1e12
    weights_gib = 2 * checkpoint.parameters / 2**30
    lines = [
        f"model      {model} ({checkpoint.parameters / 1e9:.1f} B parameters)",
        f"revision   {_revision(model)}",
        f"download   {checkpoint.weights_gb:.1f} GB{', gated: needs HF_TOKEN' if checkpoint.gated else ''}",
        f"memory     {weights_gib:.1f} GiB of weights in bfloat16, and keys and values of a batch, with prompts of "
        f"{_PROMPT_TOKENS:,} tokens",
        f"time       of one data-centre GPU at an assumed {1000 * step_s:.0f} ms a token of a batch (transformers), "
        "answers using half of max_new_tokens",
        "",
        f"{'protocol':28}{'answers':>9}{'batch':>7}{'most tokens':>13}{'GPU memory':>13}{'time':>9}   published, %",
    ]
    total_s = 0.0
    for name in names_of(checkpoint):
        rules = protocol.read(protocol.find(name)[0])
        answers = answers_of(rules, problems_of(rules))
        seconds = -(-answers // rules.batch_size) * rules.max_new_tokens * _MEAN_SHARE * step_s
        total_s += seconds
        cache = rules.batch_size * (_PROMPT_TOKENS + rules.max_new_tokens) * checkpoint.kv_bytes_per_token / 2**30
        said = ", ".join(f"{v} {'plus' if k.endswith('+') else ''}".strip() for k, v in checkpoint.figures.items()
                         if k.removesuffix("+") == name)  # fmt: skip
        lines.append(f"{name:28}{answers:>9,}{rules.batch_size:>7}{answers * rules.max_new_tokens:>13,}"
                     f"{weights_gib + cache:>9.1f} GiB{duration(seconds):>9}   {said}")  # fmt: skip
    if checkpoint.first and model.partition("@")[0] == checkpoint.model:
        lines.insert(1, f"first      {checkpoint.first}, then MODEL={checkpoint.first.split()[-1]}")
    lines += [f"{'all':28}{'':42}{duration(total_s):>9}", "", f"source     {checkpoint.source}"]
    return "\n".join(lines)


def _revision(model: str) -> str:
    if generate.weights_of(model) is not None:
        return "a folder: its weights are digested, the digest stands in the result"
    return generate.pinned(model)[1] or "resolved at the run and recorded; pin it with --revision COMMIT (REVISION=)"


def row(key: str, published: float, result: dict[str, Any]) -> dict[str, Any]:
    """One figure beside ours."""
    if key.endswith("+"):
        ours = result["scores"]["plus"]
    elif "base" in result["scores"]:
        ours = result["scores"]["base"]
    else:
        ours = result
    value = 100 * result.get("unweighted_mean", ours["pass_at_1"])
    error = 100 * result.get("unweighted_standard_error", ours["standard_error"])
    near = abs(value - published) <= 100 * noise(result["problems"], error / 100)
    missing = result["problems_in_benchmark"] - result["problems"]
    within = "2 standard errors" if error else "3 / problems, all ending alike"
    verdict = f"reproduced (within {within})" if near else "NOT reproduced"
    if missing:
        verdict = f"no verdict: {missing} of {result['problems_in_benchmark']} problems were not scored"
    return {
        "key": key, "published": published, "ours": value, "standard_error": error, "difference": value - published,
        "verdict": verdict,
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The figures for a person."""
    lines = [f"{'protocol':28}{'published':>10}{'ours':>8}{'+-':>6}{'difference':>12}   verdict"]
    for r in rows:
        numbers = f"{r['published']:>10.1f}{r['ours']:>8.1f}{r['standard_error']:>6.1f}{r['difference']:>+12.1f}"
        lines.append(f"{r['key']:28}{numbers}   {r['verdict']}")
    return "\n".join(lines)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="entry of published.yaml")
    parser.add_argument("--model", default="", help="a folder (or Hub id) instead of the published checkpoint")
    parser.add_argument(
        "--revision", default="", help="commit of the checkpoint on the Hub, instead of the pinned one"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, fetch and run nothing")
    parser.add_argument("--output", type=Path, default=Path("build/reproduce"), help="(default: build/reproduce)")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--limit", type=int, help="only the first problems of each benchmark")
    given = parser.parse_args()
    known = {
        name: validate(Checkpoint, values, f"{PUBLISHED}: {name}") for name, values in read_mapping(PUBLISHED).items()
    }
    if given.name not in known:
        raise Refusal(f"{PUBLISHED}: there is no entry '{given.name}'; known entries: {', '.join(known)}.")
    checkpoint = known[given.name]
    if given.revision and generate.weights_of(given.model or checkpoint.model) is not None:
        parser.error("--revision is of a checkpoint on the Hub, --model names a folder")
    pinned = given.revision or (checkpoint.revision if not given.model else None)
    model = "@".join(part for part in (given.model or checkpoint.model, pinned) if part)
    if generate.is_main():
        print(plan(checkpoint, model))
    if given.dry_run:
        return
    if checkpoint.first and not given.model:
        raise Refusal(
            f"{checkpoint.model} is not in an architecture that can be loaded without running its own code: "
            f"`{checkpoint.first}`, then make reproduce-{given.name} MODEL={checkpoint.first.split()[-1]}."
        )
    for name in names_of(checkpoint):  # what is missing is said before hours are spent
        rules = protocol.read(protocol.find(name)[0])
        benchmarks.load(rules.benchmark, None, rules.version, f"reproduce-{given.name}")
    results = {}
    model = generate.resolved(model)
    for name in names_of(checkpoint):
        output = given.output / given.name / name
        results[name] = evaluate(
            Generator(model, given.engine), protocol.find(name)[0], Selection(given.limit), output
        )
    if not generate.is_main():
        return
    print(table([row(key, value, results[key.removesuffix("+")]) for key, value in checkpoint.figures.items()]))


if __name__ == "__main__":
    raise SystemExit(main())
