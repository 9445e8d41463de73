"""The end of the demo: one table of what happened. reads stages, run and results; writes nothing."""

import argparse
from pathlib import Path

from analysis import funnel, report_scores
from artefacts import Refusal, command_line, read_json


def summary(build: Path, run_folder: Path, hub: Path) -> str:
    """The table.

    Raises:
        Refusal: a part of the demo is not finished.
    """
    paths = {
        "run": run_folder / "run.json",
        "base": run_folder / "eval-base" / "result.json",
        "tuned": run_folder / "eval-tuned" / "result.json",
    }
    found = {name: read_json(path) for name, path in paths.items()}
    for name, value in found.items():
        if value is None:
            raise Refusal(f"{paths[name]} is missing; run `make demo`.")
    run, base, tuned = found["run"], found["base"], found["tuned"]
    seconds = {
        path.parent.name: read_json(path)["seconds"] for path in sorted(build.glob("[0-9][0-9]_*/run.json"))
    } | {
        "train": run["seconds"],
        "evaluate base": base["seconds"]["all"],
        "evaluate tuned": tuned["seconds"]["all"],
    }
    sandboxes = ", ".join(sorted({base["sandbox"], tuned["sandbox"]}))
    loss = f"loss {run['loss_first']:.3f} -> {run['loss_last']:.3f}"
    is_part = tuned["problems"] < tuned["problems_in_benchmark"]
    lines = [
        "",
        f"== {build.name}: the whole way ".ljust(100, "="),
        funnel.table(build),
        "",
        f"trained     {run['tokens']:,} tokens ({run['supervised_share']:.0%} supervised) of {run['rows']:,} rows in "
        f"{run['steps']} steps, {loss}, {run['tokens_per_s']:.0f} tokens/s",
        "seconds     " + ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()),
        "",
        f"{'pass@1, %':12}{'base':>16}{'tuned':>16}",
        f"{tuned['benchmark']:12}" + "".join(f"{_score(result):>16}" for result in (base, tuned)),
        f"            {tuned['problems']} of {tuned['problems_in_benchmark']} problems, sandbox: {sandboxes}",
        f"            {_difference(base, tuned)}",
        "",
        f"stages      {build}/",
        f"dataset     {hub}/datasets/{build.name}/     load_dataset({str(hub / 'datasets' / build.name)!r}, 'sft')",
        f"model       {hub}/models/{run_folder.name}/",
        "",
        "try next    make peek                          rows before and after harmonising, rejected rows",
        "            make report                        a page of all this: figures, rows, leaks, scores",
        *["            EVAL_LIMIT=164 make demo           all of HumanEval; everything before it is reused"] * is_part,
        "            DRY_RUN=1 make train-ds67b         what the real thing takes",
    ]
    return "\n".join(lines)


def _difference(base: dict, tuned: dict) -> str:
    """What the two scores say about each other; what one says of itself where they share fewer than two problems."""
    one = report_scores.gain(base, tuned)
    if one is None:
        return tuned["caveat"]
    verdict = {
        "better": "better than its base",
        "worse": "worse than its base",
        "open": "cannot be told from its base on these problems",
    }[one["verdict"]]
    interval = f"95 % interval {one['low']:+.1f} to {one['high']:+.1f}"
    counted = f"{one['gained']} gained, {one['lost']} lost, p = {one['p']:.3f}"
    return f"tuned - base {one['difference']:+.1f} points, {interval} ({counted}): {verdict}"


def _score(result: dict) -> str:
    unscored = f" ({len(result['unscored'])} not scored)" if result["unscored"] else ""
    return f"{100 * result['pass_at_1']:.1f} +- {100 * result['standard_error']:.1f}{unscored}"


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m analysis.summary", description=__doc__.split(". ")[0])
    parser.add_argument("build", type=Path, help="build/<mixture>")
    parser.add_argument("run", type=Path, help="build/runs/<base>-<variant>")
    parser.add_argument("hub", type=Path, help="build/hub")
    given = parser.parse_args()
    print(summary(given.build, given.run, given.hub))


if __name__ == "__main__":
    raise SystemExit(main())
