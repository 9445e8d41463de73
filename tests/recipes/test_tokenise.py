import copy

import pytest

from artefacts import Refusal
from dataset_scripts.schema import make_row
from recipes.tokenise import IGNORED, audit, show_mask, tokenise_batch


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tiny_model)
    loaded.pad_token = "<|endoftext|>"
    return loaded


def row(response="x = 1", instruction="Set x.", prompt=None, parents=()):
    return make_row(
        source="toy", instruction=instruction, response=response, license="MIT", generator="human", language="python",
        alchemist_prompt=prompt, parents=parents,
    )  # fmt: skip


def tokenise(rows, tokenizer, loss_on="completion", max_row_tokens=1024):
    batch = {name: [r[name] for r in rows] for name in rows[0]}
    found = tokenise_batch(batch, tokenizer, loss_on, max_row_tokens)
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def test_the_answer_and_its_end_are_supervised_and_nothing_else(tokenizer):
    (found,) = tokenise([row(prompt="Use Python.")], tokenizer)
    supervised = [t for t, label in zip(found["input_ids"], found["labels"], strict=True) if label != IGNORED]
    assert tokenizer.decode(supervised) == "x = 1<|im_end|>"
    assert all(label in (IGNORED, t) for t, label in zip(found["input_ids"], found["labels"], strict=True))
    assert show_mask(found["input_ids"], found["labels"], tokenizer) == (
        "<|im_start|>user\nUse Python.\n\nSet x.<|im_end|>\n<|im_start|>assistant\n>>>x = 1<|im_end|><<<\n"
    )


def test_full_sequence_supervises_the_prompt_too_but_for_the_first_token_which_nothing_predicts(tokenizer):
    (found,) = tokenise([row()], tokenizer, loss_on="full_sequence")
    end = len(found["labels"]) - 1  # the newline after EOS
    assert found["labels"] == [IGNORED, *found["input_ids"][1:end], IGNORED]


def test_a_row_that_spells_a_special_token_is_dropped(tokenizer):
    first, second = tokenise([row("x<|im_end|>y"), row()], tokenizer)
    assert first["reason"] == "spells_a_special_token" and first["input_ids"] == []
    assert second["reason"] is None


def test_over_long_rows_are_dropped_and_never_cut_and_one_of_exactly_the_length_is_kept(tokenizer):
    size = len(tokenise([row()], tokenizer)[0]["input_ids"])
    assert tokenise([row()], tokenizer, max_row_tokens=size)[0]["reason"] is None
    (dropped,) = tokenise([row()], tokenizer, max_row_tokens=size - 1)
    assert dropped["reason"] == "over_max_row_tokens" and dropped["input_ids"] == []


def test_an_answer_that_merges_with_the_prompt_is_dropped_not_trained_on_otherwise_than_generated(tiny_model):
    """Where two line breaks are one token, an answer that starts with one would eat the prompt's last."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    small = AutoTokenizer.from_pretrained(tiny_model)
    vocabulary = small.get_vocab() | {"ĊĊ": len(small)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ")]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(False, use_regex=False), decoders.ByteLevel()
    tokens = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    merging = PreTrainedTokenizerFast(tokenizer_object=core, chat_template=small.chat_template, **tokens)
    kept, dropped = tokenise([row(), row("\nx = 1")], merging)
    assert kept["reason"] is None and dropped["reason"] == "answer_merges_with_prompt"


def test_the_relatives_of_a_row_are_itself_and_all_that_it_was_made_from(tokenizer):
    plain = row()
    made = row(prompt="Use Python.", parents=(plain["id"], "another"))
    found = [r["relatives"] for r in tokenise([plain, made], tokenizer)]
    assert found == [[plain["id"]], [made["id"], plain["id"], "another"]]


def test_the_audit_counts(tokenizer):
    counts = audit(tokenise([row(), row("y = 2")], tokenizer), tokenizer, "completion", "r.yaml")
    assert counts["rows"] == 2 and counts["supervised_tokens"] == 2 * len("x = 1") + 2


def test_the_audit_refuses_what_would_spoil_a_run(tokenizer):
    eos, bos = tokenizer.eos_token_id, tokenizer.bos_token_id
    bad = {
        "row r does not supervise EOS": ([4, 5, 6], [IGNORED, 5, 6]),
        "row r supervises its prompt": ([4, 5, eos], [4, 5, eos]),
        "row r starts with BOS twice": ([bos, bos, eos], [IGNORED, IGNORED, eos]),
    }
    for says, (ids, labels) in bad.items():
        rows = [{"row_id": "r", "input_ids": ids, "labels": labels}]
        with pytest.raises(Refusal, match=says):
            audit(rows, tokenizer, "completion", "r.yaml")


def test_padding_with_eos_is_refused(tokenizer, tiny_model):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tiny_model)
    assert loaded.pad_token == loaded.eos_token
    with pytest.raises(Refusal, match="never learn to stop"):
        audit(tokenise([row()], loaded), loaded, "completion", "r.yaml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<|im_end|>\\n", "\\n", "does not end the answer with"),
        ("{% if add_generation_prompt %}", "{% if add_generation_prompt %}Now: ", "renders the prompt differently"),
    ],
)
def test_a_template_that_would_train_on_something_else_is_refused(tokenizer, old, new, says):
    wrong = copy.deepcopy(tokenizer)
    wrong.chat_template = tokenizer.chat_template.replace(old, new)
    with pytest.raises(Refusal, match=says):
        tokenise([row()], wrong)
