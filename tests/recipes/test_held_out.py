"""Losses on held-out rows: which rows count, and what a row's loss is."""

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


def test_rows_that_are_all_left_out_are_none_and_counted(recipe_file, data, tmp_path):
    held, _ = recipe.ours(recipe_file(max_row_tokens=5), {"data": str(data[0])})
    assert held_out.rows_of(held, None, tmp_path / "cache") == (
        [], {"over_max_row_tokens": {"toy": 3}, "with_a_prompt": {"toy": 1}}
    )  # fmt: skip


def test_the_command_writes_the_loss_of_the_answers_tokens(recipe_file, toy_data, tiny_model, tmp_path, in_process):
    import torch
    import transformers

    in_process(held_out, recipe_file(), "--out", tmp_path / "out/losses.json")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["losses.json"]
    found = read_json(tmp_path / "out/losses.json")
    ours, _ = recipe.ours(recipe_file())
    rows, _ = held_out.rows_of(ours, None, tmp_path / "cache")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    assert [row["row_id"] for row in found["rows"]] == [row["row_id"] for row in rows] and len(rows) == 4
    for row, of_row in zip(rows, found["rows"], strict=True):
        mean = model(torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss.item()
        assert of_row["supervised_tokens"] == sum(label != -100 for label in row["labels"])
        assert of_row["nll_nats"] / of_row["supervised_tokens"] == pytest.approx(mean, rel=1e-4)
