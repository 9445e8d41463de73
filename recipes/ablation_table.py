"""What a grid says so far: its cells compared with the baseline, as result.json and as a table.

reads   the records of finished cells (`ablation_cells`)
writes  build/ablations/<grid>/: compared/, result.json, table.md

result.json: grid, benchmark, version, protocol, limit, recipe, base, train_tokens, seeds, baseline, failed (cell ->
sentence), and `cells`, a list in the order of the grid, each with
    name, settings       what differs from the base mixture (`untrained`: the base model as it is)
    seeds                a list of {seed, pass_at_1, tokens, loss_last}, one a run
    scores               task -> share of its samples that pass, over all seeds
    mean, standard_error pooled pass@1 and its error over tasks; seeds_standard_deviation of the runs' pass@1, or null
    difference           to the baseline: {difference, low, high, p}, paired bootstrap over tasks; its own is null
    held_out             source -> loss on the held-out rows that it and the baseline were both scored on (of `of` that
                         are held out), see `compared`
    rows_with_a_prompt   rows of the mixture that carry one; tokens: of all runs; seconds: of training and evaluating
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artefacts import code_key, read_json, write_bytes, write_json
from recipes.ablation_cells import Runner

RESAMPLES = 10_000

Losses = Mapping[str, Mapping[str, Any]]  # row id -> {source, nll_nats, supervised_tokens}


def report(runner: Runner, records: Mapping[str, dict[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    """What is known of the grid so far, with differences to the baseline; also result.json and table.md."""
    first = records.get(runner.grid.baseline)
    cells = [_compared(runner, records[name], first) for name in runner.grid.cells if name in records]
    pooled_result = next(iter(records.values()))["pooled"] if records else {}
    described = {
        "grid": runner.grid.name,
        "file": str(runner.path),
        "benchmark": pooled_result.get("benchmark"),
        "version": pooled_result.get("version"),
        "protocol": runner.grid.protocol,
        "limit": runner.grid.limit,
        "recipe": runner.grid.recipe,
        "base": runner.base_model,
        "train_tokens": runner.grid.train_tokens,
        "seeds": runner.grid.seeds,
        "baseline": runner.grid.baseline,
        "cells": cells,
        "failed": dict(failed),
    }
    write_json(runner.folder / "result.json", described)
    write_bytes(runner.folder / "table.md", (table(described) + "\n").encode())
    return described


def _compared(runner: Runner, record: Mapping[str, Any], first: Mapping[str, Any] | None) -> dict[str, Any]:
    """A cell of result.json; evaluation.compare counts, over the samples of all seeds of a task."""
    against, folder = first or record, runner.folder / "compared"
    key = code_key(["evaluation.compare"], None, inputs=[record["key"], against["key"]])
    out = folder / f"{record['name']}-{key[:12]}.json"
    if not out.is_file():
        for one in (record, against):
            write_json(folder / f"{one['name']}.json", one["pooled"])
        pair = [folder / f"{one['name']}.json" for one in (against, record)]
        runner.call("evaluation.compare", *pair, "--out", out)
    found, passes = read_json(out), [run["pass_at_1"] for run in record["seeds"]]
    is_other = first is not None and first["name"] != record["name"]
    return {
        "name": record["name"],
        "settings": record["settings"],
        "seeds": record["seeds"],
        "scores": found["second_by_task"],
        "mean": found["second"],
        "standard_error": found["second_standard_error"],
        "seeds_standard_deviation": statistics.stdev(passes) if len(passes) > 1 else None,
        "difference": {k: found[k] for k in ("difference", "low", "high", "p")} if is_other else None,
        "held_out": _held_out(record, against if is_other else None),
        "rows_with_a_prompt": record["rows_with_a_prompt"],
        "tokens": record["tokens"],
        "seconds": record["seconds"],
    }


def _held_out(record: Mapping[str, Any], against: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """`compared` of two cells, and `of` how many held-out rows; empty where one was not scored."""
    cells = [cell["held_out"] for cell in (record, against) if cell]
    if not all(cells):
        return {}
    losses = [[{row["row_id"]: row for row in run["rows"]} for run in runs] for runs in cells]
    first = record["held_out"][0]  # all seeds of a cell train on one mixture, hence are scored on the same rows
    of = Counter(row["source"] for row in first["rows"])
    for by_source in first["left_out"].values():
        of.update(by_source)
    found = compared(losses[0], losses[1] if against else None)
    return {source: one | {"of": of[source]} for source, one in found.items()}


def compared(runs: Sequence[Losses], against: Sequence[Losses] | None, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Of every source the loss of some runs, and the difference to those of another arm on the same rows.

    Args:
        runs: one entry a training seed.
        against: likewise; rows that are not scored in all runs of both do not count. None: no difference.

    Returns:
        source -> {rows, tokens, loss (nats per supervised token, mean over seeds), seeds: [loss], difference: None or
        {difference, low, high}}: the 95 % percentile interval of 10,000 draws of rows, in pairs, and of seeds.
    """
    everything = [*runs, *(against or ())]
    common = sorted(set.intersection(*(set(run) for run in everything)))
    by_source: dict[str, list[str]] = {}
    for row_id in common:
        by_source.setdefault(runs[0][row_id]["source"], []).append(row_id)
    draws, found = np.random.default_rng(seed), {}
    for source, ids in sorted(by_source.items()):
        tokens = np.array([runs[0][i]["supervised_tokens"] for i in ids])
        ours, theirs = (
            np.array([[run[i]["nll_nats"] for i in ids] for run in some]) for some in (runs, against or runs)
        )
        of_seeds = ours.sum(axis=1) / tokens.sum()
        found[source] = {
            "rows": len(ids), "tokens": int(tokens.sum()), "loss": float(of_seeds.mean()),
            "seeds": of_seeds.tolist(), "difference": None,
        }  # fmt: skip
        if against is None:
            continue
        differences = np.empty(RESAMPLES)
        for n in range(RESAMPLES):
            rows = draws.integers(0, len(ids), len(ids))
            means = [nll[draws.integers(0, len(nll), len(nll))][:, rows].mean(axis=0) for nll in (ours, theirs)]
            differences[n] = (means[0] - means[1]).sum() / tokens[rows].sum()
        low, high = np.percentile(differences, [2.5, 97.5])
        point = float((ours.mean(axis=0) - theirs.mean(axis=0)).sum() / tokens.sum())
        found[source]["difference"] = {"difference": point, "low": float(low), "high": float(high)}
    return found


def table(result: Mapping[str, Any]) -> str:
    """result.json as Markdown: a line a cell in points of pass@1, and a line a cell and source of held-out losses."""
    lines = [
        f"{result['grid']}: pass@1 on {result['benchmark']} {result['version'] or ''} (protocol {result['protocol']}"
        f"{'' if result['limit'] is None else ', first ' + str(result['limit'])}), {result['recipe']}, "
        f"{result['train_tokens']:,} tokens a run, seeds {', '.join(map(str, result['seeds']))}",
        "",
        f"| cell | pass@1 | difference to {result['baseline']}, 95 % | between seeds |",
        "| --- | --- | --- | --- |",
    ]
    for cell in result["cells"]:
        d = cell["difference"]
        shown = f"{100 * d['difference']:+.1f} [{100 * d['low']:+.1f}, {100 * d['high']:+.1f}]" if d else "-"
        spread = cell["seeds_standard_deviation"]
        lines.append(
            f"| {cell['name']} | {100 * cell['mean']:.1f} +- {100 * cell['standard_error']:.1f} | {shown} "
            f"| {'-' if spread is None else f'{100 * spread:.1f}'} |"
        )
    lines += [f"| {name} | failed: {why} | | |" for name, why in result["failed"].items()]
    if any(cell["held_out"] for cell in result["cells"]):
        lines += [
            "",
            f"| cell | held-out rows | nats a token | difference to {result['baseline']}, 95 % | between seeds |",
            "| --- | --- | --- | --- | --- |",
        ]
    for cell in result["cells"]:
        for source, found in cell["held_out"].items():
            rows, d, seeds = f"{found['rows']} of {found['of']}, {source}", found["difference"], found["seeds"]
            shown = f"{d['difference']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]" if d else "-"
            spread = f"{statistics.stdev(seeds):.4f}" if len(seeds) > 1 else "-"
            lines.append(f"| {cell['name']} | {rows} | {found['loss']:.4f} | {shown} | {spread} |")
    return "\n".join(lines)
