"""Who answers: a model and what runs it. Answers are kept as they are made, and an unfinished run goes on from them.

reads and writes   DIR/samples.jsonl, one answer a line: {key, task_id, sample, answer}
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, hash_of, read_json, sha256_of_file, write_bytes
from evaluation import generate
from evaluation.protocol import Protocol

GENERATION_PINS = ("torch", "transformers")
TELL_EVERY_S = 60.0
# what is read of a model folder beside its weights; what a training run leaves there besides shapes no answer
_READ = ("config.json", "generation_config.json", "adapter_config.json", "tokenizer*", "special_tokens_map.json",
         "added_tokens.json", "vocab*", "merges.txt", "chat_template*", "additional_chat_templates/*", "*.model",
         "*.tiktoken")  # fmt: skip


def model_digest(model: str, engine: str) -> str:
    """Digest of the weights of a model folder; the hash of the name of a model that lies elsewhere.

    Raises:
        Refusal: the folder has no safetensors weights, or a path was meant and is not there.
    """
    folder = None if engine == "server" else generate.weights_of(model)
    if folder is None:
        if engine != "server" and generate.is_path(model):
            raise Refusal(
                f"{model}: no such model folder, and not a Hub id (owner/name); train it first (make train-demo, make "
                "train-ds67b RECIPE=...), and merge adapters (make merge-ds67b RECIPE=lora)."
            )
        return hash_of(model)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise Refusal(f"{folder}: no safetensors weights there; train or convert a model first (make demo does both).")
    return hash_of([sha256_of_file(path) for path in weights])


def answers_digest(generator: "Generator", digest: str) -> str:
    """Digest of all that answers.

    The weights (`digest`), and what else of a model folder shapes answers: tokenizer, chat template, configurations,
    the base of adapters where that is a folder; of a server, its address.
    """
    if generator.engine == "server":
        from evaluation import served

        return hash_of([digest, served.address(generator.server)])
    folder = generate.weights_of(generator.model)
    if folder is None:
        return digest
    read = {path for pattern in _READ for path in folder.glob(pattern) if path.is_file()}
    files = {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(read)}
    adapter = read_json(folder / "adapter_config.json")
    base = Generator(adapter["base_model_name_or_path"]) if adapter else None
    if base and Path(base.model).is_dir():
        files["base"] = answers_digest(base, model_digest(base.model, base.engine))
    return hash_of([digest, files])


def _kept(path: Path, key: str) -> dict[tuple[str, int], str]:
    """Answers kept by an unfinished run under the same key; a line cut off by a crash is left out."""
    kept: dict[tuple[str, int], str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                sample = json.loads(line)
            except json.JSONDecodeError:
                continue
            if sample["key"] == key:
                kept[sample["task_id"], sample.get("sample", 0)] = sample["answer"]
    return kept


@dataclasses.dataclass(frozen=True)
class Generator:
    """Who answers: a model and what runs it."""

    model: str
    engine: str = "transformers"
    server: str = ""  # address or profile file, for the engine `server`

    def answer(
        self, prompts: Mapping[str, Sequence[generate.Prompt]], rules: Protocol, path: Path, key: str
    ) -> dict[str, list[str]]:
        """`samples_per_task` answers to each task; those that `path` keeps under `key` are not made again.

        Args:
            prompts: task id -> one prompt for all of its samples, or one for each.
        """
        wanted = [(task_id, n) for task_id in prompts for n in range(rules.samples_per_task)]
        kept = generate.agreed({unit: text for unit, text in _kept(path, key).items() if unit in set(wanted)})
        if generate.is_main():
            lines = [_line(key, unit, text) for unit, text in kept.items()]
            write_bytes(path, "".join(lines).encode())  # drops other runs' answers and a cut-off line
        missing = [unit for unit in wanted if unit not in kept]
        if missing:
            decoding = generate.Decoding(
                rules.max_new_tokens, rules.batch_size, rules.dtype, rules.temperature, rules.top_p, rules.seed,
                tuple(rules.stop),
            )  # fmt: skip
            asked = [
                dataclasses.replace(some[n if len(some) > 1 else 0], sample=n)
                for some, n in ((prompts[task_id], n) for task_id, n in missing)
            ]
            title = f"{Path(self.model).name} on {rules.benchmark}"
            if self.engine == "server":
                from evaluation import served  # the client of servers takes a second to import

                ledger = path.parent / "answers.sqlite"
                batches = served.answers(self.server, self.model, asked, decoding, title, ledger)
            else:
                batches = generate.answers(self.engine, self.model, asked, decoding, title)
            with (path if generate.is_main() else Path(os.devnull)).open("a", encoding="utf-8") as file:
                told = time.monotonic()
                for batch in batches:
                    for index, answer in batch.items():
                        kept[missing[index]] = answer
                        file.write(_line(key, missing[index], answer))
                    file.flush()
                    if generate.is_main() and not sys.stderr.isatty() and time.monotonic() - told >= TELL_EVERY_S:
                        told = time.monotonic()  # a terminal has the bar, a log would hear nothing for hours
                        print(f"{title}: {len(kept)} of {len(wanted)} answers", file=sys.stderr, flush=True)
        return {task_id: [kept[task_id, n] for n in range(rules.samples_per_task)] for task_id in prompts}


def _line(key: str, unit: tuple[str, int], answer: str) -> str:
    return json.dumps({"key": key, "task_id": unit[0], "sample": unit[1], "answer": answer}) + "\n"


def _as_data(prompts: Sequence[generate.Prompt]) -> Any:
    """One prompt for all samples says nothing of their number: more can be asked for later."""
    data = [dataclasses.asdict(prompt) for prompt in prompts]
    return data[0] if len(data) == 1 else data


def generation_key(
    rules: Protocol, prompts: Mapping[str, Sequence[generate.Prompt]], digest: str, generator: Generator
) -> str:
    """Key of a run's answers: what shapes them, and not how they are judged, which is cheap to do again.

    Args:
        digest: of all that answers (`answers_digest`).
    """
    decoding = [
        rules.max_new_tokens, rules.batch_size, rules.dtype, rules.temperature, rules.top_p, rules.seed, rules.stop,
        {task_id: _as_data(some) for task_id, some in prompts.items()},
        generator.engine,
    ]  # fmt: skip
    pins = (*GENERATION_PINS, "vllm") if generator.engine == "vllm" else GENERATION_PINS
    return code_key(["evaluation.generate"], decoding, pins, [digest])
