"""Tokenise, audit and pack once, before anything is launched; later runs and all ranks read the same packed rows.

reads   a recipe, the tokenizer of its base, the splits `train` and `test` of a dataset repository
writes  build/runs/prepared/<key>/: train/, eval/<source>/ (Arrow, packed), rows.parquet, prepared.json last

What is held out is decided where the mixture is made (`dataset_scripts.splits`), not here. The key is a hash of the
data's revision, the tokenizer, the chat template, the packing settings and the code.
"""

import argparse
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, command_line, read_json, write_json
from recipes import inputs
from recipes import recipe as recipes
from recipes.packing import pack
from recipes.recipe import Recipe
from recipes.tokenise import DROPPED, audit, show_mask, tokenise_batch

PINS = ("transformers", "tokenizers", "trl", "datasets")
SAMPLE_BLOCK_ROWS = 500
ROWS_WORTH_WORKERS = 5000  # fewer are tokenised before a pool of processes has begun


def settings_that_shape_rows(recipe: Recipe, arguments: dict[str, Any]) -> dict[str, Any]:
    """Everything of a recipe that changes the packed rows; part of the cache's key."""
    names = ("data_config", "loss_on", "max_row_tokens", "sample_tokens")
    evaluated = {"evaluated": arguments["eval_strategy"] != "no"}
    return {name: getattr(recipe, name) for name in names} | evaluated | {
        k: arguments[k] for k in ("max_length", "seed")
    }  # fmt: skip


def tokenised(rows: Any, tokenizer: Any, recipe: Recipe, workers: int) -> Any:
    """Tokenise all rows: a dataset with the columns of `tokenise_batch`."""
    fixed = {"tokenizer": tokenizer, "loss_on": recipe.loss_on, "max_row_tokens": recipe.max_row_tokens}
    many = workers if len(rows) > ROWS_WORTH_WORKERS else None
    options = {"batched": True, "batch_size": 500, "num_proc": many, "remove_columns": rows.column_names}
    return rows.map(tokenise_batch, fn_kwargs=fixed, desc="tokenising rows", **options)


def sampled(rows: Any, tokenizer: Any, recipe: Recipe, seed: int) -> Any:
    """Tokenise a seeded sample of about `sample_tokens` tokens, in the order of the data.

    Rows are looked at in a shuffled order until the sample is full, so that a small sample of a large mixture is
    quick.
    """
    import datasets

    fixed = {"tokenizer": tokenizer, "loss_on": recipe.loss_on, "max_row_tokens": recipe.max_row_tokens}
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    taken: dict[int, dict[str, Any]] = {}
    total = 0
    for start in range(0, len(order), SAMPLE_BLOCK_ROWS):
        block = order[start : start + SAMPLE_BLOCK_ROWS]
        batch = tokenise_batch(rows[block], **fixed)
        for place, index in enumerate(block):
            total += len(batch["input_ids"][place])
            if total > recipe.sample_tokens:
                return datasets.Dataset.from_list([taken[i] for i in sorted(taken)])
            taken[index] = {name: values[place] for name, values in batch.items()}
    return datasets.Dataset.from_list([taken[i] for i in sorted(taken)])


def relatives_of(train: Iterable[Sequence[str]], test: Iterable[Sequence[str]]) -> dict[str, str]:
    """Rows to evaluate on that must not be, since they were trained on as they are or as a variant.

    Rows made from one another or from a common ancestor are relatives, and relatives of relatives too.

    Args:
        train, test: of each row its id, then the ids of all rows that it was made from.

    Returns:
        id in `test` -> id in `train` of a relative, or of that row itself.
    """
    train, test = list(train), list(test)
    above: dict[str, str] = {}

    def find(row_id: str) -> str:
        while (parent := above.setdefault(row_id, row_id)) != row_id:
            above[row_id] = above[parent]
            row_id = above[row_id]
        return row_id

    for row_id, *parents in [*train, *test]:
        for parent in parents:
            above[find(row_id)] = find(parent)
    trained = {find(row_id): row_id for row_id, *_ in train}
    return {row_id: trained[find(row_id)] for row_id, *_ in test if find(row_id) in trained}


def refuse_relatives(train: Any, test: Any, where: str) -> None:
    """What is evaluated on must not have been trained on, not even as a variant.

    Raises:
        Refusal: a row of `test` is a relative of one of `train`, or is that row.
    """
    for row_id, relative in relatives_of(train["relatives"], test["relatives"]).items():
        raise Refusal(
            f"{where}: row {row_id} of the split 'test' and row {relative} of 'train' were made from the same row, or "
            "one from the other; an evaluation loss on it would mean nothing, make the splits again."
        )


def dropped_by_source(rows: Any) -> dict[str, dict[str, int]]:
    """reason -> source -> rows, without empty reasons."""
    counted: dict[str, Counter[str]] = {reason: Counter() for reason in DROPPED}
    for reason, source in zip(rows["reason"], rows["source"], strict=True):
        if reason is not None:
            counted[reason][source] += 1
    return {reason: dict(sorted(by_source.items())) for reason, by_source in counted.items() if by_source}


def prepare(path: Path, recipe: Recipe, arguments: dict[str, Any], root: Path, workers: int = 1) -> Path:
    """Tokenise, audit and pack the rows of a recipe, or find that it was done.

    Args:
        root: folder of all prepared rows; runs side by side share it.
        workers: processes that tokenise; 0 only finds what was prepared (ranks of a launched run).

    Returns:
        Folder with `train`, `eval/<source>` (where there is a split `test` and eval_strategy is not "no"),
        `rows.parquet`, `prepared.json`: the revision of the data and counts, rows_in = rows + dropped + not sampled.

    Raises:
        Refusal: see `recipes.inputs`, `tokenise_batch`, `audit`, `refuse_relatives`; no row is left; nothing prepared
            with 0 workers.
    """
    recipe = inputs.pin(recipe)
    revision = inputs.data_revision(recipe)
    settings = settings_that_shape_rows(recipe, arguments)
    key = code_key(["recipes.prepare"], settings, PINS, [revision, inputs.tokenizer_digest(recipe)])
    folder = root / key[:20]
    if (folder / "prepared.json").is_file():
        return folder
    if workers == 0:
        raise Refusal(
            f"{path}: the rows are not prepared; run `python -m recipes.prepare` with the same settings first."
        )
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        shape = (arguments["max_length"], arguments["seed"], arguments["eval_strategy"] != "no")
        counts = _fill(path, recipe, *shape, revision, temporary, workers)
        write_json(temporary / "prepared.json", counts | {"key": key, "data_revision": revision})
        shutil.rmtree(temporary / "cache", ignore_errors=True)  # of a folder's rows; the Hub's client keeps its own
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _fill(
    path: Path, recipe: Recipe, max_length: int, seed: int, evaluated: bool, revision: str, folder: Path, workers: int
) -> dict[str, Any]:
    tokenizer = inputs.load_tokenizer(recipe)
    splits = inputs.read_splits(recipe, revision, folder / "cache")
    rows = splits["train"]
    if recipe.sample_tokens is None:
        tokens = tokenised(rows, tokenizer, recipe, workers)
    else:
        tokens = sampled(rows, tokenizer, recipe, seed)
    dropped, train = dropped_by_source(tokens), _kept(tokens)
    if not len(train):
        why = ", ".join(f"{sum(n.values())} {reason}" for reason, n in dropped.items()) or "none dropped"
        raise Refusal(f"{path}: none of {len(rows)} rows is left ({why}); raise max_row_tokens or sample_tokens.")
    counts = audit(train, tokenizer, recipe.loss_on, str(path))
    packed = pack(train, max_length)
    packed.save_to_disk(folder / "train")
    train.select_columns(["row_id", "source"]).to_parquet(folder / "rows.parquet")
    test = None
    if evaluated and "test" in splits:
        test_tokens = tokenised(splits["test"], tokenizer, recipe, workers)
        test = _kept(test_tokens)
        refuse_relatives(train, test, f"data '{recipe.data}', configuration '{recipe.data_config}'")
        audit(test, tokenizer, recipe.loss_on, str(path))
        for source in sorted(set(test["source"])):
            places = [i for i, name in enumerate(test["source"]) if name == source]
            pack(test.select(places), max_length).save_to_disk(folder / "eval" / source)
    return {
        "rows_in": len(rows),
        "rows_dropped": dropped,
        "rows_not_sampled": len(rows) - len(tokens),
        "test_rows_in": len(splits["test"]) if "test" in splits else None,
        "test_rows_dropped": dropped_by_source(test_tokens) if test is not None else {},
        "test_rows_by_source": dict(sorted(Counter(test["source"]).items())) if test is not None else {},
        **counts,
        "rows_by_source": dict(sorted(Counter(train["source"]).items())),
        "supervised_share": round(counts["supervised_tokens"] / counts["tokens"], 4),
        "packed_rows": len(packed),
        "packed_fill": round(counts["tokens"] / len(packed) / max_length, 4),
        "data_licences": sorted(set(rows["license"])),
        "mask": show_mask(train[0]["input_ids"], train[0]["labels"], tokenizer),
    }


def _kept(tokens: Any) -> Any:
    return tokens.select([i for i, reason in enumerate(tokens["reason"]) if reason is None])


def show_evaluation(counts: dict[str, Any]) -> str:
    """In one sentence, what the evaluation loss will be taken on, or why there is none."""
    if counts["test_rows_in"] is None:
        return "no evaluation loss: the data has no split 'test'"
    dropped = sum(sum(n.values()) for n in counts["test_rows_dropped"].values())
    if dropped == counts["test_rows_in"]:
        return f"no evaluation loss: none of {dropped:,} rows of the split 'test' is left, all were dropped"
    if not counts["test_rows_by_source"]:
        return f"no evaluation loss: the recipe asks for none (eval_strategy) of the {counts['test_rows_in']:,} rows"
    by_source = ", ".join(f"{n:,} of {source}" for source, n in counts["test_rows_by_source"].items())
    return f"{by_source}, of the split 'test' ({dropped:,} dropped)"


def show_audit(counts: dict[str, Any]) -> str:
    """The audit as a text for a person."""
    dropped = "; ".join(
        f"{reason}: {', '.join(f'{n} of {source}' for source, n in by_source.items())}"
        for reason, by_source in counts["rows_dropped"].items()
    )
    mask = counts["mask"]
    shown = mask if len(mask) <= 1200 else f"{mask[:800]}\n[...]\n{mask[-300:]}"
    return (
        f"audit\n"
        f"  rows        {counts['rows']:,} of {counts['rows_in']:,} (dropped: {dropped or 'none'}; "
        f"not in the sample: {counts['rows_not_sampled']:,})\n"
        f"  evaluation  {show_evaluation(counts)}\n"
        f"  tokens      {counts['tokens']:,}, of them {counts['supervised_share']:.0%} supervised, EOS of every row\n"
        f"  packed      {counts['packed_rows']:,} rows, {counts['packed_fill']:.0%} full\n"
        f"  a row, what is supervised between >>> and <<<:\n" + "\n".join(f"    {line}" for line in shown.splitlines())
    )


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.prepare", description=__doc__.split("\n\n")[0])
    parser.add_argument("recipe", type=Path)
    recipes.add_overrides(parser)
    parser.add_argument("--to", type=Path, default=Path("build/runs/prepared"), help="default: build/runs/prepared")
    parser.add_argument("--json", action="store_true", help="print what prepared.json holds")
    given = parser.parse_args()
    folder = prepare(
        given.recipe, *recipes.load(given.recipe, recipes.overrides_of(given)), given.to, os.cpu_count() or 1
    )
    counts = read_json(folder / "prepared.json")
    print(json.dumps(counts, indent=2) if given.json else f"{show_audit(counts)}\n{folder}")


if __name__ == "__main__":
    raise SystemExit(main())
