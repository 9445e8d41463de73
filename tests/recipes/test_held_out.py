"""Losses on held-out rows: which rows count, what a row's loss is, and what two arms of an ablation differ by."""

import pytest

from artefacts import Refusal, read_json
from recipes import held_out, recipe
from tests.recipes.conftest import toy_rows, write_dataset

PROMPT = "You add numbers in Python."


@pytest.fixture
def data(tmp_path):
    """Four held-out rows, one with a prompt; and a mixture that trains on the second and on a child of the third."""
    test = toy_rows(4)
    test[3] = test[3] | {"alchemist_prompt": PROMPT}
    trained = [*toy_rows(9)[5:], test[1], toy_rows(5)[4] | {"parents": [test[2]["id"]]}]
    return write_dataset(tmp_path / "held", toy_rows(9)[5:], test=test), write_dataset(tmp_path / "trained", trained)


def scored(source: str, *losses: float) -> dict:
    """Row id -> a row of ten supervised tokens with the loss given, per token."""
    return {
        f"{source}{n}": {"source": source, "nll_nats": 10 * loss, "supervised_tokens": 10}
        for n, loss in enumerate(losses)
    }


def test_rows_with_a_prompt_or_trained_on_are_left_out_and_counted(recipe_file, data, tmp_path):
    held, trained = (recipe.ours(recipe_file(), {"data": str(folder)})[0] for folder in data)
    rows, left_out = held_out.rows_of(held, trained, tmp_path / "cache")
    assert [row["row_id"] for row in rows] == [toy_rows(1)[0]["id"]]
    assert left_out == {"trained_on": {"toy": 2}, "with_a_prompt": {"toy": 1}}
    assert len(held_out.rows_of(held, None, tmp_path / "cache")[0]) == 3


def test_a_relative_of_a_relative_is_left_out_as_the_preparation_of_a_run_refuses_it(recipe_file, tmp_path):
    """The first row shares a parent with the second alone, and that one a parent with a row that is trained on."""
    test = toy_rows(3)
    test[0]["parents"], test[1]["parents"] = ["one"], ["one", "another"]
    trained = write_dataset(tmp_path / "trained", [toy_rows(4)[3] | {"parents": ["another"]}])
    data = write_dataset(tmp_path / "held", toy_rows(6)[4:], test=test)
    held, other = (recipe.ours(recipe_file(), {"data": str(folder)})[0] for folder in (data, trained))
    rows, left_out = held_out.rows_of(held, other, tmp_path / "cache")
    assert [row["row_id"] for row in rows] == [test[2]["id"]] and left_out == {"trained_on": {"toy": 2}}


def test_a_mixture_without_held_out_rows_is_refused(recipe_file, data, tmp_path):
    without, _ = recipe.ours(recipe_file(), {"data": str(data[1])})
    with pytest.raises(Refusal, match=r"there is no split 'test'; give the mixture a `split`"):
        held_out.rows_of(without, None, tmp_path / "cache")


def test_the_command_writes_the_loss_of_the_answers_tokens(recipe_file, toy_data, tiny_model, tmp_path, in_process):
    import torch
    import transformers

    in_process(held_out, recipe_file(), "--out", tmp_path / "losses.json")
    found = read_json(tmp_path / "losses.json")
    ours, _ = recipe.ours(recipe_file())
    rows, _ = held_out.rows_of(ours, None, tmp_path / "cache")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    assert [row["row_id"] for row in found["rows"]] == [row["row_id"] for row in rows] and len(rows) == 4
    for row, of_row in zip(rows, found["rows"], strict=True):
        mean = model(torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss.item()
        assert of_row["supervised_tokens"] == sum(label != -100 for label in row["labels"])
        assert of_row["nll_nats"] / of_row["supervised_tokens"] == pytest.approx(mean, rel=1e-4)


def test_arms_are_compared_on_the_rows_that_all_their_runs_have():
    base = [scored("a", 2.0, 1.0, 9.0), scored("a", 2.0, 1.0, 9.0)]
    other = [scored("a", 1.5, 0.5), scored("a", 1.7, 0.7)]
    found = held_out.compared(other, base)["a"]
    assert (found["rows"], found["tokens"]) == (2, 20)
    assert found["loss"] == pytest.approx(1.1) and found["seeds"] == pytest.approx([1.0, 1.2])
    difference = found["difference"]
    assert difference["difference"] == pytest.approx(-0.4)
    assert (difference["low"], difference["high"]) == pytest.approx((-0.5, -0.3)), "the seeds' noise, no row's"


def test_the_interval_holds_the_noise_of_rows_in_pairs():
    steady = held_out.compared([scored("a", *range(1, 41))], [scored("a", *(n + 0.5 for n in range(1, 41)))])["a"]
    assert steady["difference"]["low"] == pytest.approx(-0.5) == steady["difference"]["high"]
    noisy = [n + (1 if n % 2 else -2) for n in range(1, 41)]
    found = held_out.compared([scored("a", *noisy)], [scored("a", *range(1, 41))])["a"]["difference"]
    assert found["difference"] == pytest.approx(-0.5)
    assert 0.35 < found["high"] - found["difference"] < 0.6, "1.96 x 1.5 / sqrt(40) = 0.46"


def test_sources_stand_apart_and_the_baseline_has_no_difference():
    found = held_out.compared([scored("a", 1.0) | scored("b", 3.0)], None)
    assert {source: of["loss"] for source, of in found.items()} == {"a": 1.0, "b": 3.0}
    assert found["a"]["difference"] is None
