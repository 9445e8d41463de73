"""Loss of a model on held-out rows, row by row: what arms of an ablation are compared on.

reads   a recipe (template, mask, limits), a model, the split `test` of a dataset repository
writes  --out: {model, data_revision, rows: [{row_id, source, nll_nats, supervised_tokens}],
        left_out: reason -> source -> rows}

    python -m recipes.held_out RECIPE --base MODEL --data DATA --out losses.json

Rows with an AlchemistPrompt are left out, so that every arm is asked the same thing whatever it was trained with; so
are rows that a mixture named by --trained trains on, or a relative of theirs.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artefacts import Refusal, command_line, write_json
from recipes import inputs
from recipes import recipe as recipes
from recipes.prepare import relatives_of, tokenised
from recipes.recipe import Recipe
from recipes.tokenise import IGNORED


def rows_of(data: Recipe, trained: Recipe | None, cache: Path) -> tuple[list[dict[str, Any]], dict]:
    """The rows to score, tokenised and masked as the recipe does, and how many of the split were left out, by reason.

    Args:
        data: the recipe with the repository whose split `test` is read.
        trained: the recipe with the one whose split `train` must share nothing with it.

    Raises:
        Refusal: there is no split `test`.
    """
    splits = inputs.read_splits(data, inputs.data_revision(data), cache)
    where = f"data '{data.data}', configuration '{data.data_config}'"
    if "test" not in splits:
        raise Refusal(f"{where}: there is no split 'test'; give the mixture a `split` (09_mixture).")
    test, tokenizer = splits["test"], inputs.load_tokenizer(data)
    seen: dict[str, str] = {}
    if trained is not None:
        used = inputs.read_splits(trained, inputs.data_revision(trained), cache)["train"]
        families = (zip(rows["id"], rows["parents"], strict=True) for rows in (used, test))
        seen = relatives_of(*([[row_id, *(above or ())] for row_id, above in rows] for rows in families))
    found, left_out = [], {}
    with_prompt = [prompt is not None for prompt in test["alchemist_prompt"]]
    for row, prompted in zip(tokenised(test, tokenizer, data, 1), with_prompt, strict=True):
        reason = row["reason"]
        if prompted:
            reason = "with_a_prompt"
        elif row["row_id"] in seen:
            reason = "trained_on"
        if reason is None:
            found.append(row)
        else:
            left_out.setdefault(reason, Counter())[row["source"]] += 1
    return found, left_out


def score(model: Any, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Negative log-likelihood (nats, summed) of the supervised tokens of every row, one row at a time."""
    import torch
    from tqdm import tqdm

    found = []
    for row in tqdm(rows, desc="held-out rows", unit=" rows", leave=False, disable=None):
        ids = torch.tensor([row["input_ids"]], device=model.device)
        labels = torch.tensor(row["labels"][1:], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
            nll = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        supervised = int((labels != IGNORED).sum())
        found.append(
            {"row_id": row["row_id"], "source": row["source"], "nll_nats": nll.item(), "supervised_tokens": supervised}
        )
    return found


@command_line
def main() -> None:
    import torch
    import transformers

    parser = argparse.ArgumentParser(prog="python -m recipes.held_out", description=__doc__.split("\n\n")[0])
    parser.add_argument("recipe", type=Path, help="how rows become tokens, e.g. recipes/sft/smollm2-135m/full.yaml")
    parser.add_argument("--base", help="the model to score with (default: the recipe's base)")
    parser.add_argument("--data", help="the mixture whose split `test` is scored (default: the recipe's)")
    parser.add_argument("--trained", help="the mixture that the model was trained on, when it is another one")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    given = parser.parse_args()
    base = {"base": given.base} if given.base else {}
    data, arguments = recipes.ours(given.recipe, base | ({"data": given.data} if given.data else {}))
    trained, _ = recipes.ours(given.recipe, base | {"data": given.trained}) if given.trained else (None, None)
    data = inputs.pin(data)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.out.parent) as cache:  # of Arrow files, too large for /tmp
        rows, left_out = rows_of(data, trained, Path(cache))
    on_cpu = bool(arguments.get("use_cpu")) or not torch.cuda.is_available()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        data.base, revision=data.base_revision or "main", use_safetensors=True, attn_implementation="sdpa",
        dtype=torch.float32 if on_cpu else torch.bfloat16,
    ).eval()  # fmt: skip
    scored = score(model if on_cpu else model.to("cuda"), rows)
    record = {"model": data.base, "data_revision": inputs.data_revision(data), "rows": scored, "left_out": left_out}
    write_json(given.out, record)
    dropped = [f"{sum(by_source.values()):,} {reason}" for reason, by_source in left_out.items()]
    print(f"{given.out}: {len(scored):,} held-out rows (left out: {', '.join(dropped) or 'none'})")


if __name__ == "__main__":
    raise SystemExit(main())
