"""Adapters and their base -> one model that loads without peft.

    python -m recipes.merge build/runs/deepseek-coder-6.7b-qlora

reads   a finished LoRA run (run.json, model/), its base; writes <run>/merged/ (safetensors), merged.json last

Adapters are merged into the base in the run's save_dtype, also those trained on int8 or NF4 weights: the merged model
is the base that was published plus the adapters, not the rounded base. It is loaded again and compared.
"""

import argparse
from pathlib import Path
from typing import Any

from artefacts import Refusal, command_line, read_json, validate, write_json
from recipes import plan, save
from recipes.memory import GIB
from recipes.recipe import Recipe

LARGEST_LOGIT_CHANGE = {"float32": 1e-3, "bfloat16": 0.5}  # merging rounds the sum once; bf16 keeps 8 bits


def finished_adapter(run_folder: Path) -> dict[str, Any]:
    """The record of a finished LoRA run.

    Raises:
        Refusal: it is not finished, or was not LoRA.
    """
    run = read_json(run_folder / "run.json")
    if run is None:
        raise Refusal(f"{run_folder}/run.json is missing: the run is not finished; train it first.")
    if run["checkpoint"].get("kind") != "adapter":
        raise Refusal(f"{run_folder} trained every weight: {run_folder}/model needs no merging.")
    return run


def plan_of(run_folder: Path) -> str:
    """What merging takes, as a text for a person: nothing is loaded.

    Raises:
        Refusal: see `finished_adapter`.
    """
    run = finished_adapter(run_folder)
    recipe = validate(Recipe, {k: v for k, v in run["settings"].items() if k in Recipe.model_fields}, str(run_folder))
    base = plan.base_of(run_folder, recipe)
    gib = base.parameters * {"bfloat16": 2, "float32": 4}[recipe.save_dtype] / GIB
    return (
        f"plan of merging {run_folder}\n"
        f"  base            {recipe.base}, {base.parameters:,} parameters, merged in {recipe.save_dtype}\n"
        f"  GiB of memory   {2 * gib:.1f} (base with adapters, and beside it the merged model, loaded again)\n"
        f"  GiB of disk     {gib:.1f}, free here: {plan.machine(run_folder).free_gib:.0f}"
    )


def merge(run_folder: Path) -> dict[str, Any]:
    """Merge, save, load again, compare logits with base and adapters side by side, and greedy tokens.

    Raises:
        Refusal: see `finished_adapter`; or the merged model answers otherwise than base and adapters.
    """
    run = finished_adapter(run_folder)
    import peft
    import torch
    import transformers

    settings = run["settings"]
    dtype = getattr(torch, settings["save_dtype"])
    revision = settings["base_revision"] or "main"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = transformers.AutoTokenizer.from_pretrained(run_folder / "model")
    base = transformers.AutoModelForCausalLM.from_pretrained(
        settings["base"], revision=revision, dtype=dtype, use_safetensors=True
    )
    adapted = peft.PeftModel.from_pretrained(base.to(device), run_folder / "model").eval()
    before = logits_of(adapted, tokenizer)
    merged = adapted.merge_and_unload()
    folder = run_folder / "merged"
    unfinished = save.empty(folder)
    merged.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    said = save.greedy_tokens(merged, tokenizer)
    again = transformers.AutoModelForCausalLM.from_pretrained(unfinished, dtype="auto", use_safetensors=True)
    again = again.to(device).eval()
    change = (logits_of(again, tokenizer) - before).abs().max().item()
    if change > LARGEST_LOGIT_CHANGE[settings["save_dtype"]]:
        raise Refusal(f"{folder}: a logit of the merged model is {change:.2g} from base and adapters; not kept.")
    if again.dtype != dtype or save.greedy_tokens(again, tokenizer) != said:
        raise Refusal(f"{folder}: the reloaded model is not the merged one; not kept.")
    facts = {"kind": "merged", "dtype": settings["save_dtype"], "parameters": again.num_parameters()}
    record = save.finish(unfinished, folder) | facts | {
        "largest_logit_change": change, "reloaded_tokens_equal": len(said), "adapter_key": run["key"],
    }  # fmt: skip
    write_json(run_folder / "merged.json", record)
    return record


def logits_of(model: Any, tokenizer: Any) -> Any:
    """Logits after the fixed question of `save`, fp32, on the CPU."""
    import torch

    ids = tokenizer.apply_chat_template(save.QUESTION, add_generation_prompt=True, return_dict=False)
    with torch.no_grad():
        return model(torch.tensor([ids], device=model.device)).logits[0].float().cpu()


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.merge", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path, help="build/runs/<base>-<variant>")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    given = parser.parse_args()
    run_folder = given.run
    if given.dry_run:
        print(plan_of(run_folder))
        return
    record = merge(run_folder)
    print(
        f"{run_folder}/merged: {record['parameters']:,} parameters in {record['dtype']}, largest change of a logit "
        f"{record['largest_logit_change']:.2g}, {record['reloaded_tokens_equal']} tokens repeated after the reload"
    )


if __name__ == "__main__":
    raise SystemExit(main())
