"""Fixtures of the training tests: toy rows as a dataset repository, a recipe for the tiny model, mains called here."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import datasets
import pyarrow as pa
import pytest
import yaml

from artefacts import ROOT, read_mapping
from dataset_scripts.schema import PUBLISHED_FEATURES, make_row, messages

DEMO = ROOT / "recipes/sft/smollm2-135m/full.yaml"


def toy_rows(count: int, source: str = "toy") -> list[dict]:
    """`count` rows of 60 to 200 byte-tokens, all different."""
    return [
        make_row(
            source=source, instruction=f"Add {n} to every number.", license="MIT", generator="human",
            language="python", response=f"def add_{n}(xs):\n    return [x + {n} for x in xs]\n" + f"# {n}\n" * (n % 9),
        )
        for n in range(count)
    ]  # fmt: skip


def write_dataset(folder: Path, rows: list[dict], columns: dict | None = None, test: list[dict] | None = None) -> Path:
    """A dataset repository as model_cards packs it: a card and sft/<split>.parquet; no split `test` unless given."""
    splits = {"train": rows} | ({} if test is None else {"test": test})
    (folder / "sft").mkdir(parents=True, exist_ok=True)
    files = [{"split": split, "path": f"sft/{split}.parquet"} for split in splits]
    card = yaml.safe_dump({"configs": [{"config_name": "sft", "data_files": files}]})
    (folder / "README.md").write_text(f"---\n{card}---\n")
    for split, of_split in splits.items():
        published = [{**row, "messages": messages(row)} for row in of_split]
        table = datasets.Dataset(pa.Table.from_pylist(published, schema=PUBLISHED_FEATURES.arrow_schema))
        table.rename_columns(columns or {}).to_parquet(folder / "sft" / f"{split}.parquet")
    return folder


@pytest.fixture(scope="session")
def tiny_glm(tiny_model, tmp_path_factory) -> Path:
    """A random two-layer GLM, as CodeGeeX2 becomes, with the tokenizer of the tiny Llama."""
    import torch
    from transformers import AutoTokenizer, GlmConfig, GlmForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("models") / "glm", AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = GlmConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=2048, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    GlmForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory) -> Path:
    """Sixty rows of two sources to train on, and four of them held out."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    held_out = toy_rows(43)[40:] + toy_rows(21, source="other")[20:]
    return write_dataset(folder, toy_rows(40) + toy_rows(20, source="other"), test=held_out)


def write_recipe(path: Path, *, base: Path | str, data: Path | str, **changes) -> Path:
    """The demo's recipe for another base, in fp32 and a few steps; keywords replace keys (None removes)."""
    values = read_mapping(DEMO) | {
        "base": str(base), "data": str(data), "sample_tokens": None, "max_row_tokens": 512, "max_length": 512,
        "bf16": False, "gradient_accumulation_steps": 2, "save_steps": 4, "learning_rate": 1e-2,
    } | changes  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    kept = {k: v for k, v in values.items() if v is not None or k == "chat_template"}
    path.write_text(yaml.safe_dump(kept))
    return path


@pytest.fixture
def recipe_file(tmp_path, tiny_model, toy_data):
    """Write a recipe for the tiny model and the toy rows; keywords as of `write_recipe`."""

    def write(name: str = "full", **changes) -> Path:
        return write_recipe(tmp_path / "tiny" / f"{name}.yaml", **({"base": tiny_model, "data": toy_data} | changes))

    return write


def call_main(module, *arguments) -> SimpleNamespace:
    """Call a module's `main` here, as `python -m` would: importing TRL anew costs five seconds a process.

    Returns exit code, stdout, stderr and its last line.
    """
    import torch

    torch.set_num_threads(1)  # the machine of a test is shared: threads that wait for each other are slower than one
    out, err = io.StringIO(), io.StringIO()
    command = [module.__name__, *map(str, arguments)]
    with patch.object(sys, "argv", command), redirect_stdout(out), redirect_stderr(err):
        code = module.main()
    last = (err.getvalue().strip().splitlines() or [""])[-1]
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue(), last=last)


@pytest.fixture
def in_process():
    """`call_main`."""
    return call_main
