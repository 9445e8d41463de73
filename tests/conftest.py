"""Fixtures of the suite: toy sources, a tiny model, real public data where REAL_DATA_DIR says it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from artefacts import ROOT
from dataset_scripts import sources


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real public data; tests that want it are skipped where there is none."""
    folder = os.environ.get("REAL_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("REAL_DATA_DIR is not set to a folder of real public data")
    return Path(folder)


@pytest.fixture
def toy_source(monkeypatch):
    """Make `toy` a source: call with raw rows, each an (instruction, response) pair."""

    def install(rows, name="toy"):
        source = sources.Source(
            licence="MIT",
            generator="human",
            find_revision=lambda: "1",
            read=lambda revision, sample_rows, seed: iter(rows),
            pair=lambda raw: raw,
        )
        known = sources.load
        monkeypatch.setattr(
            sources, "load", lambda key, where, options=None: source if key == name else known(key, where, options)
        )
        return source

    return install


_ALONE = {
    "min_share": 0.85,
    "min_cosine": 0.95,
    "min_code_tokens": 15,
    "max_tree_distance": 0.05,
    "min_tree_nodes": 25,
}
_AGREEING = _ALONE | {"min_share": 0.7, "min_cosine": 0.8, "max_tree_distance": 0.1, "min_tree_nodes": 15}
_BOTH = {"min_share": 0.5, "min_cosine": 0.7, "min_code_tokens": 15, "max_tree_distance": 0.2, "min_tree_nodes": 15}
DECONTAMINATE = {
    "benchmarks": ["humaneval"], "ngram_tokens": 5, "min_function_cosine": 0.975,
    "alone": _ALONE, "agreeing": _AGREEING, "together": _BOTH
}  # fmt: skip


@pytest.fixture
def mixture_file(tmp_path):
    """Write a mixture file of the toy source; keywords replace or (None) remove whole keys."""

    def write(**changes) -> Path:
        values = {
            "name": "toy",
            "seed": 0,
            "rows_per_shard": 10,
            "01_sources": [{"source": "toy"}],
            "02_dedup": {},
            "03_clean": {"min_response_chars": 40},
            "04_decontaminate": DECONTAMINATE,
            "08_customise": {"alchemist": "static"},
            "09_mixture": {"alchemist_share": 0.1, "mode": "add"},
        } | {f"{k[1:]}" if k.startswith("_") else k: v for k, v in changes.items()}
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
        return path

    return write


def code_rows(count: int) -> list[tuple[str, str]]:
    """`count` different pairs with code worth a prompt."""
    return [
        (
            f"Add {n} to every number.",
            f"```python\nimport math\ndef add_{n}(xs):\n    return [x + {n} for x in xs]\n```",
        )
        for n in range(count)
    ]


def run_module(*arguments: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess:
    """`python -m ...` from the project's root, offline unless `env` says otherwise."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"} | (env or {})
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, **options)


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A random two-layer Llama with a byte-level tokenizer and ChatML, as a folder that `from_pretrained` loads."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: i for i, token in enumerate([*special, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>",
        additional_special_tokens=["<|endoftext|>"], chat_template=CHATML,
    )  # fmt: skip
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
