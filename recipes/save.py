"""Save a trained model in one piece, load it again, and compare; only then is a run done.

reads   a trained model; writes <run>/model/: consolidated safetensors, tokenizer, chat template
"""

import os
import shutil
from pathlib import Path
from typing import Any

from artefacts import Refusal, hash_of, sha256_of_file
from recipes import inputs
from recipes.recipe import Recipe

CHECKED_TOKENS = 20  # greedy tokens that the reloaded checkpoint must repeat
QUESTION = [{"role": "user", "content": "Write a Python function that adds two numbers."}]


def greedy_tokens(model: Any, tokenizer: Any) -> list[int]:
    """`CHECKED_TOKENS` greedy tokens after a fixed question."""
    import torch

    inputs_of = tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    options = {"max_new_tokens": CHECKED_TOKENS, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    inputs_of = {k: v.to(model.device) for k, v in inputs_of.items() if k in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found = model.generate(**inputs_of, **options)
    return found[0, inputs_of["input_ids"].shape[1] :].tolist()


def save_full(state: dict[str, Any], model: Any, tokenizer: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Save every weight and check the reloaded model: tensors, dtype, count, tied weights, tokenizer, greedy tokens.

    Args:
        state: the whole state dict (gathered from all ranks), fp32.
        model: the trained model, for its configuration only; its weights may be sharded.

    Raises:
        Refusal: anything differs after the reload; nothing replaces an earlier model.
    """
    import torch
    import transformers

    dtype = getattr(torch, recipe.save_dtype)
    reference = transformers.AutoModelForCausalLM.from_config(model.config, dtype=dtype).eval()
    missing, unexpected = reference.load_state_dict({k: v.to(dtype) for k, v in state.items()}, strict=False)
    if unexpected or set(missing) - set(reference._tied_weights_keys or ()):
        raise Refusal(f"{folder}: the trained weights do not fit the architecture ({[*missing, *unexpected][:3]}).")
    reference.tie_weights()
    reference.config.use_cache = True
    reference.generation_config = model.generation_config
    device = model.device if model.device.type == "cuda" else torch.device("cpu")
    unfinished = empty(folder)
    reference.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    said = greedy_tokens(reference.to(device), tokenizer)
    again = transformers.AutoModelForCausalLM.from_pretrained(unfinished, dtype="auto", use_safetensors=True)
    again = again.to(device).eval()
    wrong = _first_difference(reference, again, dtype) or _other_tokenizer(unfinished, tokenizer)
    if wrong or greedy_tokens(again, tokenizer) != said:
        raise Refusal(f"{folder}: {wrong or 'the reloaded model generates other tokens'}; not done.")
    tied = again.get_input_embeddings().weight is again.get_output_embeddings().weight
    facts = {"kind": "full", "dtype": recipe.save_dtype, "parameters": again.num_parameters(), "tied": tied}
    return finish(unfinished, folder) | facts | {
        "reloaded_tokens_equal": len(said), "sample": tokenizer.decode(said),
    }  # fmt: skip


def save_adapter(model: Any, tokenizer: Any, recipe: Recipe, use_cpu: bool, folder: Path) -> dict[str, Any]:
    """Save LoRA adapters, load base and adapters again, and compare adapters, tokenizer and greedy tokens.

    Raises:
        Refusal: anything differs after the reload.
    """
    import peft
    import torch

    model.eval()
    model.config.use_cache = True
    unfinished = empty(folder)
    model.peft_config["default"].base_model_name_or_path = recipe.base
    model.peft_config["default"].revision = recipe.base_revision
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    with torch.autocast(model.device.type, torch.bfloat16):
        said = greedy_tokens(model, tokenizer)
    base = inputs.load_base(recipe, use_cpu).to(model.device)
    again = peft.PeftModel.from_pretrained(base, unfinished).eval()
    before, after = (peft.get_peft_model_state_dict(m) for m in (model, again))
    other = [name for name in before if name not in after or not torch.equal(before[name].cpu(), after[name].cpu())]
    wrong = f"the adapter {other[0]} is another" if other else _other_tokenizer(unfinished, tokenizer)
    with torch.autocast(model.device.type, torch.bfloat16):
        if wrong or greedy_tokens(again, tokenizer) != said:
            raise Refusal(f"{folder}: {wrong or 'the reloaded model generates other tokens'}; not done.")
    first = next(iter(before.values()))
    facts = {"kind": "adapter", "dtype": str(first.dtype).removeprefix("torch."), "tied": False}
    return finish(unfinished, folder) | facts | {
        "parameters": sum(v.numel() for v in before.values()), "reloaded_tokens_equal": len(said),
        "sample": tokenizer.decode(said),
    }  # fmt: skip


def empty(folder: Path) -> Path:
    """An empty folder beside `folder`, to be filled and given to `finish`."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    return unfinished


def finish(unfinished: Path, folder: Path) -> dict[str, Any]:
    """Put a saved and checked model in the place of an earlier one; sizes and digests of its weights."""
    for path in unfinished.iterdir():
        os.chmod(path, 0o644)  # safetensors files are written 0600
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    weights = weight_files(folder)
    digests = {path.name: sha256_of_file(path) for path in weights}
    one = len(digests) == 1
    return {
        "bytes": sum(path.stat().st_size for path in weights),
        "sha256": next(iter(digests.values())) if one else hash_of(digests),
        "files": digests,
    }


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, sorted by name."""
    return sorted(folder.glob("*.safetensors"))


def _first_difference(reference: Any, again: Any, dtype: Any) -> str | None:
    import torch

    left, right = dict(reference.named_parameters()), dict(again.named_parameters())
    if left.keys() != right.keys():
        return f"the reloaded model has other parameters ({next(iter(left.keys() ^ right.keys()))})"
    for name, value in right.items():
        if value.dtype != dtype:
            return f"{name} is {value.dtype} after the reload"
        if not torch.equal(left[name], value):
            return f"{name} has other values after the reload"
    return None


def _other_tokenizer(folder: Path, tokenizer: Any) -> str | None:
    import transformers

    again = transformers.AutoTokenizer.from_pretrained(folder)
    texts = [
        m.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False) for m in (tokenizer, again)
    ]
    if texts[0] != texts[1] or again.pad_token_id != tokenizer.pad_token_id:
        return "the reloaded tokenizer makes other tokens"
    return None
