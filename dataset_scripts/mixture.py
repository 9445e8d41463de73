"""09_mixture: which rows carry their AlchemistPrompt, whose, and how; which are held out (`split`).

reads   08_customise/{kept,facts}; writes build/<mixture>/09_mixture/

Upstream every row has its prompts in columns of their own; here a seeded share of each source keeps one. Samples are
nested: the rows chosen at 5 % are among those chosen at 20 %, so an ablation compares shares and not luck, and since
nothing is asked here, an ablation of share, mode, selection or control is a mixture file that sends no request.

    add      every row without a prompt, and a copy of each chosen row with its prompt (own id, parent = the row)
    replace  every row once, the chosen ones with their prompt

A source or a task can be left out here (`without_sources`, `without_tasks`): what an ablation takes away costs no
stage before this one, and its rows count as rejected.

The facts name the split of every row, `train` or `test` (a copy is on the side of its row; see `splits`), and count
its tokens (see `kinds`).
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from artefacts import Refusal, StrictModel, sha256_of_file
from dataset_scripts import controls, splits
from dataset_scripts.commit_tokens import code_pieces
from dataset_scripts.sample import nested_sample
from dataset_scripts.schema import messages, published_instruction, row_id
from dataset_scripts.stage import Prepared, Rows

PINS = ("datasets", "numpy", "pyarrow")
FACTS = pa.schema({"split": pa.string(), "tokens": pa.int64()})  # tokens of what is published, see `kinds`
Share = Annotated[float, Field(ge=0, le=1)]


class Config(StrictModel):
    """Settings of `09_mixture` in a mixture file."""

    alchemist_share: Share  # of the rows; the paper finds 0.05 near-optimal
    mode: Literal["add", "replace"]
    alchemist: Literal["any", "teacher", "static"] = "any"  # any: the teacher's where it is good, else the static one
    select: Literal["random", "cpd_band", "source_gap"] = "random"
    cpd_scores: str | None = None  # Parquet with `id` and `cpd` of every row, for the last two
    # quantiles within a source, such as [0.5, 0.9]; never the extremes
    cpd_band: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None
    prompt: Literal["own", "shuffled", "placebo"] = "own"  # controls: another row's, or words of the same length
    without_sources: list[str] = []  # whose rows are left out
    without_tasks: list[str] = []  # likewise
    split: splits.Config | None = None  # null: nothing is held out


def check(config: Config, where: str) -> None:
    """What no single key can say.

    Raises:
        Refusal: a selection without its scores or band, scores that nothing reads, or no such file: before any
            stage is run or paid for.
    """
    if config.cpd_scores is not None and config.select != "random" and not Path(config.cpd_scores).is_file():
        raise Refusal(f"{where}: 09_mixture.cpd_scores: there is no file {config.cpd_scores}; score the rows first.")
    if config.select == "random" and config.cpd_scores is not None:
        raise Refusal(f"{where}: 09_mixture.cpd_scores is set, but select: random reads no scores; leave it out.")
    if config.select != "random" and config.cpd_scores is None:
        raise Refusal(f"{where}: 09_mixture.select is {config.select}, which needs cpd_scores (Parquet).")
    if (config.select == "cpd_band") != (config.cpd_band is not None):
        raise Refusal(f"{where}: 09_mixture.cpd_band belongs to select: cpd_band, and only to it.")
    if config.cpd_band and not 0 < config.cpd_band[0] < config.cpd_band[1] < 1:
        raise Refusal(
            f"{where}: 09_mixture.cpd_band is {config.cpd_band}; it wants two rising quantiles between 0 and 1, "
            "for the extremes of perplexity are worse than chance (InverseCoder, arXiv 2407.05700)."
        )


def left_out(config: Config, row: dict) -> str | None:
    """Why the row is no part of this mixture; None where it is."""
    if row["source"] in config.without_sources:
        return "source_left_out"
    return "task_left_out" if row["task"] in config.without_tasks else None


def check_left_out(config: Config, rows: pa.Table, where: str) -> None:
    """A misspelt name would leave nothing out.

    Raises:
        Refusal: no row is of a source or task that is to be left out, or no row would be left.
    """
    for key, column in (("without_sources", "source"), ("without_tasks", "task")):
        known = set(rows[column].to_pylist())
        if missing := sorted(set(getattr(config, key)) - known):
            raise Refusal(
                f"{where}: 09_mixture.{key} names '{missing[0]}', and no row is of it; known: "
                f"{', '.join(sorted(known))}."
            )
    if all(left_out(config, row) for row in rows.select(["source", "task"]).to_pylist()):
        raise Refusal(f"{where}: 09_mixture leaves every row out; take a name away.")


def inputs(config: Config, where: str) -> list[str]:
    """Digests of the files that this stage reads besides its input."""
    return [] if config.cpd_scores is None else [sha256_of_file(Path(config.cpd_scores))]


def prompts_of(config: Config, rows: pa.Table, facts: pa.Table) -> dict[str, str]:
    """Row id -> the prompt that it may carry under `alchemist`."""
    own = dict(zip(rows["id"].to_pylist(), rows["alchemist_prompt"].to_pylist(), strict=True))
    if config.alchemist == "any":
        return {i: prompt for i, prompt in own.items() if prompt}
    columns = ("id", "alchemist", "static_prompt")
    found = zip(*(facts[name].to_pylist() for name in columns), strict=True)
    if config.alchemist == "static":
        return {i: static for i, _, static in found if static and i in own}
    return {i: own[i] for i, who, _ in found if who not in (None, "static") and i in own}


def scores(path: Path, ids: list[str], where: str) -> dict[str, float]:
    """CPD of every row of `ids`.

    Raises:
        Refusal: the file is no such table, or rows are missing in it.
    """
    try:
        table = pq.read_table(path, columns=["id", "cpd"])
    except (pa.ArrowException, KeyError) as error:
        raise Refusal(f"{where}: {path} is no Parquet table with the columns id and cpd ({error}).") from None
    found = dict(zip(table["id"].to_pylist(), table["cpd"].to_pylist(), strict=True))
    missing = [i for i in ids if found.get(i) is None]
    if missing:
        raise Refusal(
            f"{where}: {path} has no CPD for {len(missing)} of {len(ids)} rows, {missing[0]} among them; score "
            "the rows of this mixture again."
        )
    return {i: found[i] for i in ids}


def in_band(candidates: list[tuple[str, str]], cpd: dict[str, float], band: list[float]) -> set[str]:
    """Ids of the candidates whose CPD lies between two quantiles of their source's candidates."""
    by_source = defaultdict(list)
    for i, source in candidates:
        by_source[source].append(i)
    kept: set[str] = set()
    for ids in by_source.values():
        ranked = sorted(ids, key=lambda i: (cpd[i], i))
        kept |= set(ranked[round(band[0] * len(ranked)) : round(band[1] * len(ranked))])
    return kept


def gaps(ids: list[str], sources: list[str], cpd: dict[str, float]) -> dict[str, float]:
    """Weight of each source: its rows times how far its mean CPD lies above that of the source with the lowest.

    Instructions of a low CPD predict their responses; a source far above the best one has most to gain from prompts.
    """
    by_source = defaultdict(list)
    for i, source in zip(ids, sources, strict=True):
        by_source[source].append(cpd[i])
    means = {source: statistics.fmean(values) for source, values in sorted(by_source.items())}
    lowest = min(means.values())
    return {source: len(by_source[source]) * (mean - lowest) for source, mean in means.items()}


def choose(config: Config, rows: pa.Table, prompts: dict[str, str], seed: int, where: str) -> set[str]:
    """Ids of the rows that carry a prompt: round(share * rows) of them, by source, where there are enough."""
    ids, sources = rows["id"].to_pylist(), rows["source"].to_pylist()
    candidates = [pair for pair in zip(ids, sources, strict=True) if pair[0] in prompts]
    weights = None
    if config.select != "random":
        cpd = scores(Path(config.cpd_scores), ids, where)
        if config.select == "cpd_band":
            band = in_band(candidates, cpd, config.cpd_band)
            candidates = [pair for pair in candidates if pair[0] in band]
        else:
            weights = gaps(ids, sources, cpd)
    return nested_sample(candidates, sources, config.alchemist_share, seed, weights)


def prepare(config: Config, rows: Rows, seed: int, where: str) -> Prepared:
    """Choose the rows that are held out; of the others those that carry a prompt, and the prompt of each.

    Held-out rows carry none: mixtures that differ in their prompts have the same held-out rows, and losses on them
    can be compared.

    Raises:
        Refusal: `alchemist: teacher`, and no teacher has written any.
    """
    table, facts = rows(["id", "source", "task", "alchemist_prompt"]), None
    check_left_out(config, table, where)
    table = table.filter(pa.array([left_out(config, row) is None for row in table.to_pylist()]))
    if config.alchemist != "any":
        facts = rows(["id", "alchemist", "static_prompt"], "facts")
    prompts = prompts_of(config, table, facts)
    if config.alchemist == "teacher" and config.alchemist_share and not prompts:
        raise Refusal(f"{where}: 09_mixture.alchemist is teacher, but none of a teacher's prompts was accepted.")
    test, held_out = splits.held_out(config.split, rows, seed, where) if config.split else (set(), {})
    prompts = {i: prompt for i, prompt in prompts.items() if i not in test}
    picked = choose(config, table, prompts, seed, where)
    chosen = {i: prompts[i] for i in table["id"].to_pylist() if i in picked}
    if config.prompt == "shuffled":
        chosen = controls.shuffled(chosen, seed)
    elif config.prompt == "placebo":
        chosen = {i: controls.placebo(prompt, random.Random(f"{seed}:{i}")) for i, prompt in chosen.items()}
    wanted = round(config.alchemist_share * len(table))
    notes = {"rows_with_a_prompt": len(prompts), "rows_wanted": wanted, "rows_chosen": len(chosen), **held_out}
    return Prepared({"config": config, "chosen": chosen, "test": test}, notes)


def batch(columns: dict, *, config: Config, chosen: dict[str, str], test: Collection[str] = ()) -> dict:
    """Apply the choice: `add` puts the copy right behind its row, `replace` lets the row keep its prompt."""
    out: dict[str, list] = {name: [] for name in (*columns, *FACTS.names)}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        row["split"] = "test" if row["id"] in test else "train"
        row["reason"] = left_out(config, row)
        for made in _rows_of(row, config.mode, chosen):
            made["tokens"] = sum(code_pieces(message["content"]) for message in messages(made))
            for name, value in made.items():
                out[name].append(value)
    return out


def _rows_of(row: dict, mode: str, chosen: dict[str, str]) -> Iterator[dict]:
    prompt = chosen.get(row["id"])
    if prompt is None or mode == "add":
        yield row | {"alchemist_prompt": None}
    if prompt is not None and mode == "replace":
        yield row | {"alchemist_prompt": prompt}
    elif prompt is not None:
        instruction = published_instruction(row["instruction"], prompt)
        copy_id = row_id(row["source"], instruction, row["response"])
        yield row | {"id": copy_id, "parents": [row["id"]], "alchemist_prompt": prompt}
