"""Prompts -> answers: transformers in batches, or vLLM where it is installed (served.py: servers).

Answers are yielded batch by batch and the caller keeps them, so that a crash loses one batch. Prompts are sorted by
length: a batch pads little. Under `accelerate launch --num_processes N` the batches are dealt out to N copies of the
model, one a GPU; they are the same batches, so greedy answers are the same, too.

In bfloat16 a greedy answer can depend on the batch it is made in (padding changes the order of sums), so the batch
size belongs to the protocol and to the result.
"""

import dataclasses
import datetime
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from artefacts import Refusal

T = TypeVar("T")
ENGINES = ("transformers", "vllm", "server")


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text to continue, or the turns of a chat whose answer begins with `prefix`; `sample` counts its answers."""

    text: str
    chat: bool
    system: str | None = None
    prefix: str = ""
    sample: int = 0

    def turns(self) -> list[dict[str, str]]:
        """The chat, before its answer."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.text}]


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How to generate; temperature 0 is greedy."""

    max_new_tokens: int
    batch_size: int
    dtype: str
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()


def is_main() -> bool:
    """Whether this process writes: the only one, or the first of `accelerate launch`."""
    return int(os.environ.get("RANK", "0")) == 0


def _processes():
    """The state of accelerate; others wait for the first one while it judges, which may take hours."""
    from accelerate import PartialState

    return PartialState(timeout=datetime.timedelta(days=1)) if "RANK" in os.environ else PartialState()


def agreed(value: T) -> T:
    """What the first process has, in all of them."""
    if "RANK" not in os.environ:
        return value
    from accelerate.utils import broadcast_object_list

    _processes()
    return broadcast_object_list([value])[0]


def answers(
    engine: str, model: str, prompts: Sequence[Prompt], decoding: Decoding, title: str
) -> Iterator[dict[int, str]]:
    """Answer each prompt.

    Args:
        engine: transformers or vllm.
        model: a folder with safetensors weights, or a Hub id (owner/name or owner/name@revision).
        prompts: n of them.
        title: of the progress bar.

    Yields:
        {index of the prompt: answer without the prefix}, one dict a batch (a round of batches under `accelerate
        launch`, in every process); together they hold all n.

    Raises:
        Refusal: the engine is not there, or the model has no chat template where one is asked for.
    """
    if engine == "vllm":
        yield from _vllm(model, prompts, decoding)
    else:
        yield from _transformers(model, prompts, decoding, title)


def _text(tokenizer, prompt: Prompt) -> list[int]:
    if not prompt.chat:
        return tokenizer(prompt.text + prompt.prefix)["input_ids"]
    if tokenizer.chat_template is None:
        raise Refusal(f"{tokenizer.name_or_path}: no chat template; use a protocol with `style: text`.")
    start = tokenizer.apply_chat_template(prompt.turns(), add_generation_prompt=True, tokenize=False)
    return tokenizer(start + prompt.prefix, add_special_tokens=False)["input_ids"]


def _transformers(model: str, prompts: Sequence[Prompt], decoding: Decoding, title: str) -> Iterator[dict[int, str]]:
    import torch
    import transformers
    from accelerate.utils import gather_object

    try:
        name, revision = pinned(model)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision, padding_side="left")
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype=getattr(torch, decoding.dtype), use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise Refusal(f"{model}: cannot be loaded ({' '.join(str(error).split())[:200]}).") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    processes = _processes()
    loaded.to(processes.device).eval()
    transformers.set_seed(decoding.seed + processes.process_index)  # samples must not repeat from process to process
    sampling = {"do_sample": False}
    if decoding.temperature > 0:
        sampling = {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    ids = [_text(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    batches = [order[start : start + decoding.batch_size] for start in range(0, len(order), decoding.batch_size)]

    def answer(batch: list[int]) -> dict[int, str]:
        inputs = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt").to(loaded.device)
        width = inputs["input_ids"].shape[1]
        criteria = [_StopStrings(tokenizer, decoding.stop, width)] if decoding.stop else []
        with torch.inference_mode():
            out = loaded.generate(
                **inputs, max_new_tokens=decoding.max_new_tokens, pad_token_id=tokenizer.pad_token_id,
                stopping_criteria=transformers.StoppingCriteriaList(criteria), **sampling,
            )  # fmt: skip
        texts = tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
        return {i: until(text, decoding.stop) for i, text in zip(batch, texts, strict=True)}

    with tqdm(total=len(ids), desc=title, unit=" problems", disable=None if is_main() else True) as bar:
        for start in range(0, len(batches), processes.num_processes):
            mine = batches[start + processes.process_index : start + processes.process_index + 1]
            found = answer(mine[0]) if mine else {}
            if processes.num_processes > 1:
                found = {i: text for part in gather_object([found]) for i, text in part.items()}
            bar.update(len(found))
            yield found


class _StopStrings:
    """Ends a row once its new text holds a stop string; the last tokens are enough to see it come."""

    def __init__(self, tokenizer, stop: Sequence[str], width: int) -> None:
        self.tokenizer, self.stop, self.width = tokenizer, stop, width
        self.tail = 2 + max(len(text) for text in stop)

    def __call__(self, ids, scores, **_):
        import torch

        start = max(self.width, ids.shape[1] - self.tail)
        texts = self.tokenizer.batch_decode(ids[:, start:])
        return torch.tensor([any(s in text for s in self.stop) for text in texts], device=ids.device)


def until(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop string."""
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    return text[: min(ends)] if ends else text


def _vllm(model: str, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[dict[int, str]]:
    if importlib.util.find_spec("vllm") is None:
        raise Refusal("vllm is not installed; pip install vllm on a machine with a GPU, or use --engine transformers.")
    import vllm

    name, revision = pinned(model)
    engine = vllm.LLM(model=name, revision=revision, dtype=decoding.dtype, seed=decoding.seed)
    tokenizer = engine.get_tokenizer()
    # its seed is a request's own: with one for all, the samples of a problem would be one sample
    options = [
        vllm.SamplingParams(
            max_tokens=decoding.max_new_tokens, temperature=decoding.temperature, top_p=decoding.top_p,
            seed=decoding.seed + prompt.sample, stop=list(decoding.stop) or None,
        )
        for prompt in prompts
    ]  # fmt: skip
    tokens = [{"prompt_token_ids": _text(tokenizer, prompt)} for prompt in prompts]
    for start in range(0, len(tokens), 256):  # vLLM batches by itself; this is how often the caller can keep answers
        for offset, out in enumerate(engine.generate(tokens[start : start + 256], options[start : start + 256])):
            yield {start + offset: until(out.outputs[0].text, decoding.stop)}


def pinned(model: str) -> tuple[str, str | None]:
    """A model and its revision on the Hub, None for a folder or where none is named.

    >>> pinned("bigcode/octocoder@1a2b3c"), pinned("bigcode/octocoder")
    (('bigcode/octocoder', '1a2b3c'), ('bigcode/octocoder', None))
    """
    if weights_of(model) is not None:
        return model, None
    name, _, revision = model.partition("@")
    return name, revision or None


def weights_of(model: str) -> Path | None:
    """The folder of a local model, None for a Hub id."""
    return Path(model) if Path(model).is_dir() else None
