"""Talk to a trained model: a line is a question, an empty line or Ctrl-D ends.

    python -m recipes.chat build/runs/smollm2-135m-full
    echo "Write a function that adds." | python -m recipes.chat build/runs/smollm2-135m-full --max-new-tokens 100

reads   a run (its merged/ if there, else model/) or a model folder; writes nothing

Each question stands alone, in the chat template it was trained with: the models are tuned on single turns.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from artefacts import Refusal, command_line, read_json
from recipes.save import weight_files


def model_folder(folder: Path) -> Path:
    """The model in a run's folder, merged where it was, or the folder itself.

    Raises:
        Refusal: there is no model.
    """
    for path in (folder / "merged", folder / "model", folder):
        if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
            return path
    raise Refusal(f"{folder}: no model there (looked for merged/, model/ and config.json); train one first.")


def plan_of(folder: Path) -> str:
    """What would be loaded from a model's folder, as a text for a person."""
    gib = sum(path.stat().st_size for path in weight_files(folder)) / 2**30
    adapter = read_json(folder / "adapter_config.json")
    over = f", adapters over {adapter['base_model_name_or_path']} in bfloat16" if adapter else ""
    return f"plan of talking to {folder}: {gib:.2f} GiB of weights{over}"


def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a folder; adapters are put on their base.

    Raises:
        Refusal: the tokenizer has no chat template.
    """
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if not tokenizer.chat_template:
        raise Refusal(f"{folder}: the tokenizer has no chat template; talk to a model trained by a recipe.")
    adapter = read_json(folder / "adapter_config.json")
    where = adapter["base_model_name_or_path"] if adapter else folder
    revision = (adapter or {}).get("revision") or "main"
    model = transformers.AutoModelForCausalLM.from_pretrained(
        where, revision=revision, dtype=torch.bfloat16, use_safetensors=True
    )
    if adapter:
        import peft

        model = peft.PeftModel.from_pretrained(model, folder)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def answer(model: Any, tokenizer: Any, question: str, max_new_tokens: int, temperature: float, streamer: Any) -> str:
    """One answer, greedy at temperature 0; also written by `streamer` as it comes, where there is one."""
    import torch

    turn = [{"role": "user", "content": question}]
    found = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    found = {k: v.to(model.device) for k, v in found.items() if k in ("input_ids", "attention_mask")}
    how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    with torch.no_grad():
        ids = model.generate(
            **found, **how, max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id, streamer=streamer
        )
    return tokenizer.decode(ids[0, found["input_ids"].shape[1] :], skip_special_tokens=True)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.chat", description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path, help="build/runs/<run>, or any model folder")
    parser.add_argument("--max-new-tokens", type=int, default=512)
    parser.add_argument("--dry-run", action="store_true", help="say what would be loaded and stop")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (default) takes the likeliest token")
    given = parser.parse_args()
    folder = model_folder(given.model)
    if given.dry_run:
        print(plan_of(folder))
        return
    model, tokenizer = load(folder)
    import transformers

    streamer = transformers.TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    asked_by_hand = sys.stdin.isatty()
    while True:
        if asked_by_hand:
            print(f"{folder} > ", end="", file=sys.stderr, flush=True)
        question = sys.stdin.readline().strip()
        if not question:
            return
        answer(model, tokenizer, question, given.max_new_tokens, given.temperature, streamer)


if __name__ == "__main__":
    raise SystemExit(main())
