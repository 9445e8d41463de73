import pytest

from artefacts import Refusal
from dataset_scripts.schema import make_row
from recipes.tokenise import IGNORED, TokenisedRow, audit, select, show_mask, tokenise


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tiny_model)
    loaded.pad_token = "<|endoftext|>"
    return loaded


def row(response="x = 1", instruction="Set x.", prompt=None):
    return make_row(
        source="toy", instruction=instruction, response=response, license="MIT", generator="human", language="python",
        alchemist_prompt=prompt,
    )  # fmt: skip


def test_the_answer_and_its_end_are_supervised_and_nothing_else(tokenizer):
    found = tokenise(row(prompt="Use Python."), tokenizer)
    supervised = [token for token, label in zip(found.input_ids, found.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(supervised) == "x = 1<|im_end|>"
    assert all(label in (IGNORED, token) for token, label in zip(found.input_ids, found.labels, strict=True))
    assert show_mask(found, tokenizer) == (
        "<|im_start|>user\nUse Python.\n\nSet x.<|im_end|>\n<|im_start|>assistant\n>>>x = 1<|im_end|><<<\n"
    )


def test_a_row_that_spells_a_special_token_is_dropped_and_counted(tokenizer):
    assert tokenise(row("x<|im_end|>y"), tokenizer) is None
    found = select([row("x<|im_end|>y"), row()], tokenizer, 1024, None, 0)
    assert found.dropped == {"spells_a_special_token": {"toy": 1}} and len(found.rows) == 1


def test_over_long_rows_are_dropped_by_source_and_never_cut(tokenizer):
    rows = [row("x" * n) for n in (10, 100, 2000)]
    found = select(rows, tokenizer, 300, None, 0)
    assert [len(r.input_ids) < 300 for r in found.rows] == [True, True]
    assert [r.row_id for r in found.rows] == [r["id"] for r in rows[:2]]
    assert found.dropped == {"over_max_length": {"toy": 1}}
    assert found.rows_in == 3 == len(found.rows) + found.not_sampled + 1


def test_a_row_of_exactly_max_length_is_kept(tokenizer):
    size = len(tokenise(row(), tokenizer).input_ids)
    assert len(select([row()], tokenizer, size, None, 0).rows) == 1
    assert len(select([row()], tokenizer, size - 1, None, 0).rows) == 0


def test_a_sample_of_tokens_is_seeded_keeps_the_order_and_stays_below(tokenizer):
    rows = [row(f"x = {n:03}") for n in range(100)]
    one, same, other = (select(rows, tokenizer, 1024, 1000, seed) for seed in (1, 1, 2))
    ids = [r.row_id for r in one.rows]
    assert ids == [r.row_id for r in same.rows] != [r.row_id for r in other.rows]
    assert 900 < sum(len(r.input_ids) for r in one.rows) <= 1000
    order = [r["id"] for r in rows]
    assert ids == sorted(ids, key=order.index) and one.not_sampled == 100 - len(ids)


def test_the_audit_counts(tokenizer):
    counts = audit(select([row(), row("y = 2")], tokenizer, 1024, None, 0), tokenizer, "r.yaml")
    assert counts["rows"] == 2 and counts["supervised_tokens"] == 2 * len("x = 1") + 2
    assert counts["supervised_share"] == round(counts["supervised_tokens"] / counts["tokens"], 4)


def selection_of(labels, ids, tokenizer):
    found = select([row()], tokenizer, 1024, None, 0)
    return type(found)([TokenisedRow("r", "toy", ids, labels)], 1, {}, 0)


def test_the_audit_refuses_what_would_spoil_a_run(tokenizer):
    eos, bos = tokenizer.eos_token_id, tokenizer.bos_token_id
    bad = {
        "does not supervise EOS": selection_of([IGNORED, 5, 6], [4, 5, 6], tokenizer),
        "supervises its prompt": selection_of([4, 5, eos], [4, 5, eos], tokenizer),
        "BOS twice": selection_of([IGNORED, IGNORED, eos], [bos, bos, eos], tokenizer),
        "none of 0 rows is left": select([], tokenizer, 1024, None, 0),
    }
    for says, selection in bad.items():
        with pytest.raises(Refusal, match=says):
            audit(selection, tokenizer, "r.yaml")


def test_padding_with_eos_is_refused(tokenizer, tiny_model):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tiny_model)
    assert loaded.pad_token == loaded.eos_token
    with pytest.raises(Refusal, match="never learn to stop"):
        audit(select([row()], loaded, 1024, None, 0), loaded, "r.yaml")


def test_a_template_that_forgets_eos_is_refused(tokenizer):
    import copy

    forgetful = copy.deepcopy(tokenizer)
    forgetful.chat_template = tokenizer.chat_template.replace("<|im_end|>\\n", "\\n")
    with pytest.raises(Refusal, match="does not end the answer with"):
        tokenise(row(), forgetful)
