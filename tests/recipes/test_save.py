"""A model that comes back otherwise than it was trained is refused, and the one of an earlier run stays."""

import pytest

from artefacts import Refusal
from recipes import save
from recipes.recipe import load
from tests.recipes.test_sft import same, weights


@pytest.fixture
def trained(recipe_file, tiny_model, tmp_path):
    """A model in fp32 as training leaves it, its tokenizer, its recipe, and the folder of an earlier model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.pad_token = "<|endoftext|>"
    recipe, _ = load(recipe_file())
    save.save_full(model.state_dict(), model, tokenizer, recipe, tmp_path / "model")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    return model, tokenizer, recipe, tmp_path / "model"


def other_values(model):
    model.get_input_embeddings().weight.data[3, 5] += 1
    return model


@pytest.mark.parametrize(
    ("what", "change", "says"),
    [
        ("AutoModelForCausalLM", other_values, "model.embed_tokens.weight has other values after the reload"),
        ("AutoModelForCausalLM", lambda model: model.float(), "is torch.float32 after the reload"),
        ("AutoTokenizer", lambda tokenizer: setattr(tokenizer, "pad_token", "a") or tokenizer, "makes other tokens"),
    ],
)
def test_what_comes_back_otherwise_is_refused_and_replaces_nothing(trained, monkeypatch, what, change, says):
    import transformers

    model, tokenizer, recipe, folder = trained
    before = weights(folder)
    real = getattr(transformers, what).from_pretrained
    monkeypatch.setattr(getattr(transformers, what), "from_pretrained", lambda *a, **o: change(real(*a, **o)))
    with pytest.raises(Refusal, match=says):
        save.save_full(model.state_dict(), model, tokenizer, recipe, folder)
    assert same(before, weights(folder))


def test_a_reloaded_model_that_generates_other_tokens_is_refused(trained, monkeypatch):
    model, tokenizer, recipe, folder = trained
    before, said = weights(folder), iter([[1, 2, 3], [1, 2, 4]])
    monkeypatch.setattr(save, "greedy_tokens", lambda *_: next(said))
    with pytest.raises(Refusal, match="the reloaded model generates other tokens; not done"):
        save.save_full(model.state_dict(), model, tokenizer, recipe, folder)
    assert same(before, weights(folder))


@pytest.mark.parametrize(
    "change", [lambda s: s | {"model.extra": s["model.norm.weight"]}, lambda s: dict([*s.items()][1:])]
)
def test_weights_that_are_not_those_of_the_architecture_are_refused(trained, change):
    model, tokenizer, recipe, folder = trained
    with pytest.raises(Refusal, match="the trained weights do not fit the architecture"):
        save.save_full(change(model.state_dict()), model, tokenizer, recipe, folder)


def test_a_model_that_comes_back_as_it_was_takes_the_place_of_the_earlier_one(trained):
    import torch

    model, tokenizer, recipe, folder = trained
    facts = save.save_full(model.state_dict(), model, tokenizer, recipe, folder)
    saved, wanted = weights(folder), {n: p.to(torch.bfloat16) for n, p in model.state_dict().items()}
    assert same(saved, wanted) and facts["parameters"] == sum(p.numel() for p in wanted.values())
    assert facts["files"] == {"model.safetensors": facts["sha256"]} and facts["kind"] == "full"


def test_adapters_that_come_back_otherwise_are_refused(trained, monkeypatch, tmp_path):
    import peft

    model, tokenizer, recipe, _ = trained
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    real = peft.PeftModel.from_pretrained

    def changed(*arguments, **options):
        again = real(*arguments, **options)
        next(p for n, p in again.named_parameters() if "lora_A" in n).data[0, 0] += 1
        return again

    with monkeypatch.context() as patch:
        patch.setattr(peft.PeftModel, "from_pretrained", changed)
        with pytest.raises(Refusal, match="the adapter .*lora_A.* is another; not done"):
            save.save_adapter(adapted, tokenizer, recipe, True, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
