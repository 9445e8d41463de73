"""Packed rows do not see each other, on both architectures, and the proof notices when they do."""

import pytest

from artefacts import Refusal
from recipes import packing


def llama():
    from transformers import LlamaConfig

    return LlamaConfig(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2)


def starcoder():
    from transformers import GPTBigCodeConfig

    return GPTBigCodeConfig(n_embd=64, n_head=4, n_layer=4, multi_query=True, bos_token_id=0, eos_token_id=0)


def codegeex2():
    from transformers import GlmConfig

    return GlmConfig(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=16)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", [llama, starcoder, codegeex2])
def test_rows_are_apart_on_the_architectures_of_the_recipes(config, attention):
    assert packing.prove_rows_apart(config(), attention, "cpu") <= packing.LARGEST_LEAK


@pytest.mark.parametrize("leak", ["mask", "cache"])
def test_a_leak_is_refused(monkeypatch, leak):
    """An all-ones mask, or a collator that says nothing of the rows, lets the second row see the first."""
    import torch
    from trl.trainer import sft_trainer

    class Leaky(sft_trainer.DataCollatorForLanguageModeling):
        def __call__(self, examples):
            batch = super().__call__(examples)
            if leak == "mask":
                return batch | {"attention_mask": torch.ones_like(batch["input_ids"])}
            return {"input_ids": batch["input_ids"]}

    monkeypatch.setattr(sft_trainer, "DataCollatorForLanguageModeling", Leaky)
    with pytest.raises(Refusal, match="lets packed rows see each other"):
        packing.prove_rows_apart(llama(), "sdpa", "cpu")


def test_a_packed_rows_loss_is_that_of_its_rows_alone(tiny_model):
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    torch.manual_seed(0)
    rows = [torch.randint(3, 200, (n,)).tolist() for n in (30, 41, 17)]
    ids = [token for row in rows for token in row]
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch = collate([{"input_ids": ids, "labels": ids, "seq_lengths": [len(row) for row in rows]}])
    labels = batch.pop("labels")[0]
    with torch.no_grad():
        logits = model(**batch, use_cache=False).logits[0]
        start = 0
        for row in rows:
            alone = model(torch.tensor([row]), labels=torch.tensor([row]), use_cache=False).loss
            span = slice(start, start + len(row))
            packed = torch.nn.functional.cross_entropy(logits[span][:-1], labels[span][1:])
            assert packed.item() == pytest.approx(alone.item(), abs=1e-4)
            start += len(row)
