"""The trainer against TRL's own, the stop on a signal, LoRA on a full and on a 4-bit base."""

import pytest

from artefacts import read_json
from recipes import prepare, sft
from recipes.recipe import load

LORA = {
    "method": "lora", "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.05,
    "lora_target_modules": ["q_proj", "down_proj"],
}  # fmt: skip


@pytest.mark.parametrize("base", ["tiny_model", "tiny_glm"])
def test_on_a_cpu_the_models_own_loss_is_trls(request, tmp_path, base):
    """Packed rows, a masked half each, accumulation: both trainers must take the same steps."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from recipes.packing import pack
    from recipes.trainer import RowsCollator, trainer_class

    base = request.getfixturevalue(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = "<|endoftext|>"
    lengths = torch.randint(10, 60, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    ids = [[3 + (7 * i + j) % 200 for j in range(n)] for i, n in enumerate(lengths)]
    rows = [{"input_ids": row, "labels": [-100] * (len(row) // 2) + row[len(row) // 2 :]} for row in ids]
    packed = pack(Dataset.from_list(rows), 128)
    config = SFTConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, max_length=128, packing=True, max_steps=4, seed=0,
        per_device_train_batch_size=1, gradient_accumulation_steps=2, learning_rate=1e-2, logging_steps=1,
        activation_checkpointing=False, save_strategy="no", report_to="none", disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    losses = {}
    for kind in (SFTTrainer, trainer_class(True)):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        trainer = kind(model=model, args=config, train_dataset=packed, processing_class=tokenizer)
        if kind is not SFTTrainer:
            trainer.data_collator = RowsCollator(trainer.data_collator)
        trainer.train()
        losses[kind] = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    theirs, ours = losses.values()
    assert len(theirs) == 4 and theirs[0] - theirs[-1] > 0.01
    assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.fixture(scope="module")
def wide_model(tiny_model, tmp_path_factory):
    """The tiny model at 64 x 128: four-bit weights come in blocks of 64."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "wide"
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(tiny_model, hidden_size=64, intermediate_size=128, head_dim=16)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_adapters_train_on_a_frozen_base_and_come_back(in_process, recipe_file, wide_model, tmp_path, quantisation):
    recipe = recipe_file(
        "lora", **LORA, base=str(wide_model), quantisation=quantisation, bf16=True, learning_rate=2e-2
    )
    done = in_process(sft, recipe, "--output", tmp_path / "run")
    assert done.code == 0, done.err[-2000:]
    run = read_json(tmp_path / "run/run.json")
    assert run["checkpoint"]["kind"] == "adapter" and run["checkpoint"]["reloaded_tokens_equal"] == 20
    assert run["checkpoint"]["parameters"] == 2 * 8 * (64 + 64 + 128 + 64)  # layers x r x (q, down)
    assert run["loss_last"] < run["loss_first"]
    from safetensors.torch import load_file

    adapter = load_file(tmp_path / "run/model/adapter_model.safetensors")
    assert len(adapter) == 8 and any(v.abs().sum() > 0 for name, v in adapter.items() if "lora_B" in name)
    assert not (tmp_path / "run/model/model.safetensors").exists()
    config = read_json(tmp_path / "run/model/adapter_config.json")
    assert config["base_model_name_or_path"] == read_json(tmp_path / "run/run.json")["settings"]["base"]


def test_full_sequence_loss_supervises_more_than_the_answer(recipe_file, tmp_path):
    counts = {}
    for loss_on in ("completion", "full_sequence"):
        recipe = recipe_file(loss_on=loss_on, chat_template="octocoder.jinja")
        counts[loss_on] = read_json(prepare.prepare(recipe, *load(recipe), tmp_path) / "prepared.json")
    shares = {loss_on: found["supervised_share"] for loss_on, found in counts.items()}
    assert shares["full_sequence"] > 0.95 > 0.85 > shares["completion"]
    assert counts["completion"]["mask"].startswith("Question: Add 0 to every number.\n\nAnswer:>>> def add_0")
    assert counts["full_sequence"]["mask"].startswith("Q>>>uestion: Add 0 to every number.\n\nAnswer: def add_0")
