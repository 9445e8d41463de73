"""Prompts -> answers: transformers in batches, or vLLM where it is installed (served.py: servers).

Answers are yielded batch by batch and the caller keeps them, so that a crash loses one batch. Prompts are sorted by
length: a batch pads little. Under `accelerate launch --num_processes N` the batches are dealt out to N copies of the
model, one a GPU; they are the same batches, so greedy answers are the same, too.

In bfloat16 a greedy answer can depend on the batch it is made in (padding changes the order of sums), so the batch
size belongs to the protocol and to the result. A sampled answer is drawn by a stream of its own, of the task and the
number of the sample: not by what else is in the batch, on which process, or left to do after a crash.

The protocol decides all that moves a score: of a checkpoint's own generation_config only its special tokens count.
"""

import dataclasses
import datetime
import hashlib
import importlib.util
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from artefacts import Refusal, read_json

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
    task_id: str = ""

    def turns(self) -> list[dict[str, str]]:
        """The chat, before its answer."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.text}]

    def seed(self, of_run: int) -> int:
        """The seed of this answer, by the run's seed, the task and the number of the sample alone (32 bits)."""
        text = f"{of_run} {self.task_id} {self.sample}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


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
        prompts: n of them; where answers are sampled, each with a task_id.
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
    own = loaded.generation_config
    loaded.generation_config = transformers.GenerationConfig(**{name: getattr(own, name) for name in _SPECIAL_TOKENS})
    ids = [_text(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    batches = [order[start : start + decoding.batch_size] for start in range(0, len(order), decoding.batch_size)]

    def answer(batch: list[int]) -> dict[int, str]:
        inputs = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt").to(loaded.device)
        width = inputs["input_ids"].shape[1]
        criteria = [_StopStrings(tokenizer, decoding.stop, width)] if decoding.stop else []
        draws = [_Draws([prompts[i] for i in batch], decoding)] if decoding.temperature > 0 else []
        with torch.inference_mode():
            out = loaded.generate(
                **inputs, max_new_tokens=decoding.max_new_tokens, pad_token_id=tokenizer.pad_token_id, do_sample=False,
                stopping_criteria=transformers.StoppingCriteriaList(criteria),
                logits_processor=transformers.LogitsProcessorList(draws),
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


class _Draws:
    """Leaves each row the one token that its own stream draws (temperature, then nucleus), so that greedy takes it.

    Sampling of transformers draws all rows out of one stream: a row's answer would depend on its batch.
    """

    def __init__(self, prompts: Sequence[Prompt], decoding: Decoding) -> None:
        self.streams = [random.Random(prompt.seed(decoding.seed)) for prompt in prompts]
        self.temperature, self.top_p = decoding.temperature, decoding.top_p

    def __call__(self, ids, scores):
        import torch

        # (rows, vocabulary), likeliest first; double, or the sums of a vocabulary of 150,000 lose their last tokens
        shares, tokens = torch.softmax(scores.double() / self.temperature, dim=-1).sort(dim=-1, descending=True)
        ends = shares.cumsum(dim=-1)
        inside = ends - shares < self.top_p  # the smallest set that holds top_p
        weight = (shares * inside).sum(dim=-1, keepdim=True)
        at = torch.tensor([[stream.random()] for stream in self.streams], dtype=ends.dtype, device=ends.device)
        place = torch.searchsorted(ends, at * weight, right=True).clamp(max=inside.sum(dim=-1, keepdim=True) - 1)
        return torch.full_like(scores, -torch.inf).scatter_(-1, tokens.gather(-1, place), 0.0)


def until(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop string."""
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    return text[: min(ends)] if ends else text


def _vllm(model: str, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[dict[int, str]]:
    if importlib.util.find_spec("vllm") is None:
        raise Refusal("vllm is not installed; pip install vllm on a machine with a GPU, or use --engine transformers.")
    import vllm

    name, revision = pinned(model)
    # generation_config: its name for "not what the checkpoint says about sampling"
    options = {"dtype": decoding.dtype, "seed": decoding.seed, "generation_config": "vllm"}
    engine = vllm.LLM(model=name, revision=revision, tokenizer_revision=revision, **options)
    tokenizer = engine.get_tokenizer()
    options = [
        vllm.SamplingParams(
            max_tokens=decoding.max_new_tokens, temperature=decoding.temperature, top_p=decoding.top_p,
            seed=prompt.seed(decoding.seed), stop=list(decoding.stop) or None,
        )
        for prompt in prompts
    ]  # fmt: skip
    tokens = [{"prompt_token_ids": _text(tokenizer, prompt)} for prompt in prompts]
    for start in range(0, len(tokens), 256):  # vLLM batches by itself; this is how often the caller can keep answers
        for offset, out in enumerate(engine.generate(tokens[start : start + 256], options[start : start + 256])):
            yield {start + offset: until(out.outputs[0].text, decoding.stop)}


_SPECIAL_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
_NO_RULES = (*_SPECIAL_TOKENS, "transformers_version", "_from_model_config", "use_cache", "output_attentions",
             "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate")  # fmt: skip


def set_aside(model: str) -> dict[str, Any]:
    """What a checkpoint's own generation_config says of decoding (repetition_penalty, top_k, ...): it is not followed.

    Raises:
        Refusal: the model has no configuration, or the Hub does not give it.
    """
    import transformers

    name, revision = pinned(model)
    adapter = read_json(Path(name) / "adapter_config.json")
    if adapter and not (Path(name) / "config.json").is_file():
        name, revision = adapter["base_model_name_or_path"], adapter.get("revision")
    try:
        try:
            own = transformers.GenerationConfig.from_pretrained(name, revision=revision)
        except OSError:  # older checkpoints have none, and config.json holds what they have to say
            own = transformers.GenerationConfig.from_model_config(
                transformers.AutoConfig.from_pretrained(name, revision=revision)
            )
    except (OSError, ValueError) as error:
        raise Refusal(f"{model}: cannot be loaded ({' '.join(str(error).split())[:200]}).") from None
    return {key: value for key, value in sorted(own.to_diff_dict().items()) if key not in _NO_RULES}


def resolved(model: str) -> str:
    """A Hub id with the commit that all of its files are taken of; a folder as it is.

    Raises:
        Refusal: the Hub does not name the commit.
    """
    name, revision = pinned(model)
    if is_path(model) or re.fullmatch("[0-9a-f]{40}", revision or ""):
        return model
    from huggingface_hub import HfApi, try_to_load_from_cache

    def ask() -> tuple[str | None, str]:
        try:
            return HfApi().model_info(name, revision=revision, timeout=20).sha, ""
        except Exception as error:  # whatever the client raises, the sentence is the same
            cached = try_to_load_from_cache(name, "config.json", revision=revision)  # .../snapshots/COMMIT/config.json
            return Path(cached).parent.name if isinstance(cached, str) else None, type(error).__name__

    commit, said = agreed(ask() if is_main() else (None, ""))  # the branch may move between two processes
    if commit is None:
        raise Refusal(
            f"{model}: no such folder, and the Hub does not say which commit it is at ({said}); train or merge the "
            f"model first, or name a commit: {name}@COMMIT."
        )
    return f"{name}@{commit}"


def pinned(model: str) -> tuple[str, str | None]:
    """A model and its revision on the Hub, None for a folder or where none is named.

    >>> pinned("bigcode/octocoder@1a2b3c"), pinned("bigcode/octocoder")
    (('bigcode/octocoder', '1a2b3c'), ('bigcode/octocoder', None))
    """
    if weights_of(model) is not None:
        return model, None
    name, _, revision = model.partition("@")
    return name, revision or None


def is_path(model: str) -> bool:
    """Whether a model is a folder, or can only be meant as one."""
    return weights_of(model) is not None or model.startswith((".", "/", "~")) or model.count("/") != 1


def weights_of(model: str) -> Path | None:
    """The folder of a local model, None for a Hub id."""
    return Path(model) if Path(model).is_dir() else None
