"""Train for real, on a tiny model: what is saved, what is reused, what is refused."""

import json

import pytest
import yaml

from artefacts import ROOT, read_json, read_mapping
from dataset_scripts import build as builder
from model_cards import render
from tests.conftest import code_rows, run_module


@pytest.fixture
def packed(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(40))
    path = mixture_file()
    builder.build(path, tmp_path / "build", workers=1)
    return render.pack_dataset(tmp_path / "build/toy", tmp_path / "hub")


def recipe_file(tmp_path, tiny_model, packed, **changes):
    values = read_mapping(ROOT / "recipes/sft/smollm2-135m/full.yaml") | {
        "base": str(tiny_model), "data": str(packed), "sample_tokens": 6000, "max_length": 512, "bf16": False,
    } | changes  # fmt: skip
    path = tmp_path / "tiny" / "full.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_run_trains_saves_reloads_and_is_reused(tiny_model, packed, tmp_path):
    recipe = recipe_file(tmp_path, tiny_model, packed)
    output = tmp_path / "run"
    done = run_module("recipes.sft", str(recipe), "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert ">>>```python" in done.stdout and "<|im_end|><<<" in done.stdout, "the audit shows a row with its mask"
    run = read_json(output / "run.json")
    assert run["steps"] >= 2 and run["rows"] + run["rows_not_sampled"] == run["rows_in"]
    assert 0.2 < run["supervised_share"] < 0.9
    assert run["checkpoint"]["reloaded_tokens_equal"] > 0 and run["checkpoint"]["dtype"] == "bfloat16"
    assert run["loss_last"] < run["loss_first"], "twelve steps on thirty near-equal rows must lower the loss"

    from safetensors.torch import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_model, output / "model"))
    assert any(not before[name].equal(after[name]) for name in before), "training changed nothing"
    assert json.loads((output / "model/config.json").read_text())["dtype"] == "bfloat16"

    stamp = (output / "run.json").stat().st_mtime_ns
    again = run_module("recipes.sft", str(recipe), "--output", str(output))
    assert "unchanged" in again.stdout and (output / "run.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": "build/hub/datasets/nothing_here"}, "no dataset repository there (README.md is missing)"),
        ({"base": "build/models/nothing_here"}, "there is no such folder; run `make base-model` first"),
        ({"world_size": 4}, "is written for world_size 4, launched with 1 process(es)"),
        ({"max_length": 20}, "raise max_length or sample_tokens"),
        ({"pad_token": "<|im_end|>"}, "pad_token is EOS"),
    ],
)
def test_a_run_that_cannot_be_right_is_refused_in_one_sentence(tiny_model, packed, tmp_path, changes, says):
    recipe = recipe_file(tmp_path, tiny_model, packed, **changes)
    done = run_module("recipes.sft", str(recipe), "--output", str(tmp_path / "run"))
    assert done.returncode == 2 and says in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run/run.json").exists()


def test_on_a_cpu_the_models_own_loss_is_trls(tiny_model, tmp_path):
    """Packed rows, a masked half each, accumulation: both trainers must take the same steps."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from recipes.sft import trainer_class

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.pad_token = "<|endoftext|>"
    lengths = torch.randint(10, 60, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    ids = [[3 + (7 * i + j) % 200 for j in range(n)] for i, n in enumerate(lengths)]
    rows = [{"input_ids": row, "labels": [-100] * (len(row) // 2) + row[len(row) // 2 :]} for row in ids]
    config = SFTConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, max_length=128, packing=True, max_steps=4, seed=0,
        per_device_train_batch_size=1, gradient_accumulation_steps=2, learning_rate=1e-2, logging_steps=1,
        activation_checkpointing=False, save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    losses = {}
    assert trainer_class(config) is not SFTTrainer
    for kind in (SFTTrainer, trainer_class(config)):
        model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        trainer = kind(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        trainer.train()
        losses[kind] = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    theirs, ours = losses.values()
    assert len(theirs) == 4 and theirs[0] - theirs[-1] > 0.01
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_folder_of_somebody_elses_files_is_never_trained_into(tmp_path):
    from artefacts import Refusal
    from recipes.sft import claimed

    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(Refusal, match="holds files that are no run's"), claimed(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "dear"
    with claimed(tmp_path / "run"), pytest.raises(Refusal, match="another process"), claimed(tmp_path / "run"):
        pass


def test_a_trainer_that_supervises_more_than_was_audited_is_not_started():
    from types import SimpleNamespace

    from datasets import Dataset

    from artefacts import Refusal
    from recipes.sft import check_labels

    whole = Dataset.from_list([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}])
    with pytest.raises(Refusal, match="supervises 3 tokens and the audit counted 1"):
        check_labels(SimpleNamespace(train_dataset=whole), supervised_tokens=1)
