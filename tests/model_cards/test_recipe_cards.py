"""The cards of recipes are those that the recipes and records on disk give; what was not run says so."""

import shutil
import sys

import pytest

from artefacts import ROOT, Refusal, read_json, write_json
from model_cards import recipe_cards
from tests.model_cards.toy_run import write_run


@pytest.fixture
def call(monkeypatch, capsys):
    """Call `main` as the command line would: exit code, stdout, stderr."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["recipe_cards", *map(str, arguments)])
        code = recipe_cards.main()
        return code, *capsys.readouterr()

    return called


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Three recipes and their cards in a folder that a test may change."""
    for name in ("deepseek-coder-6.7b/full", "llama2-7b/lora", "starcoder-15b/lora8bit"):
        recipe, card = f"recipes/sft/{name}.yaml", f"model_cards/recipes/{name.replace('/', '-')}.md"
        for path in (recipe, card):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    for name, path in {"ROOT": "", "RECIPES": "recipes/sft", "CARDS": "model_cards/recipes"}.items():
        monkeypatch.setattr(recipe_cards, name, tmp_path / path)
    return tmp_path


def test_no_card_is_stale_and_every_recipe_has_one():
    assert recipe_cards.stale() == [], "run `make recipe-cards`"
    recipes = {f"{p.parent.name}-{p.stem}" for p in (ROOT / "recipes/sft").rglob("*.yaml")}
    assert {path.stem for path in recipe_cards.CARDS.glob("*.md")} == recipes and len(recipes) >= 11


def test_a_recipe_that_changed_came_or_went_makes_the_cards_stale(copy, call):
    assert recipe_cards.stale() == []
    recipe = copy / "recipes/sft/deepseek-coder-6.7b/full.yaml"
    recipe.write_text(recipe.read_text().replace("num_train_epochs: 2", "num_train_epochs: 3"))
    shutil.copy(recipe, recipe.with_name("more.yaml"))
    (copy / "recipes/sft/starcoder-15b/lora8bit.yaml").unlink()
    names = ["deepseek-coder-6.7b-full.md", "deepseek-coder-6.7b-more.md", "starcoder-15b-lora8bit.md"]
    assert [path.name for path in recipe_cards.stale()] == names
    code, _, said = call("--check")
    assert code == 2 and f"{', '.join(names)} in " in said and "run `make recipe-cards`" in said
    assert call()[1].endswith("3 cards, 3 changed\n")
    assert call("--check")[0] == 0 and not (copy / "model_cards/recipes" / names[2]).exists()
    assert "| steps, planned | 1,145: 3 epoch(s)" in (copy / "model_cards/recipes" / names[0]).read_text()


def test_a_recipe_is_run_once_a_finished_run_is_recorded(copy, call):
    card, folder = copy / "model_cards/recipes/llama2-7b-lora.md", copy / "runs/llama2-7b-lora"
    assert "**Not run.**" in card.read_text()
    write_run(folder, recipe="recipes/sft/llama2-7b/lora.yaml")
    run = read_json(folder / "run.json")
    run["checkpoint"]["parameters"] = 64
    write_json(folder / "run.json", run)
    assert call("--record", folder)[0] == 0
    text = card.read_text()
    assert "**Not run.**" not in text and f"Run at commit `{'e' * 40}` on `toy`" in text
    assert "| tuned | humaneval v1.0 | demo | 30 of 164 | 0 | 20.0 | 7.0 |" in text and "+10.0 points" in text
    record = (copy / "model_cards/recipes/records/llama2-7b-lora.json").read_text()
    assert str(copy) not in record and recipe_cards.stale() == []


def test_a_run_of_another_recipe_or_without_scores_is_not_recorded(copy, tmp_path):
    with pytest.raises(Refusal, match="trained by recipes/sft/tiny/full.yaml, which is no recipe"):
        recipe_cards.record_of(write_run(tmp_path / "a"))
    folder = write_run(tmp_path / "b/run", recipe="recipes/sft/llama2-7b/lora.yaml")
    shutil.rmtree(folder / "eval-tuned")
    with pytest.raises(Refusal, match="evaluate first"):
        recipe_cards.record_of(folder)
    write_json(copy / "model_cards/recipes/records/gone-full.json", {})
    with pytest.raises(Refusal, match="gone-full.json is of no recipe"):
        recipe_cards.cards()


def test_a_recipe_that_says_no_command_is_refused(copy):
    path = copy / "recipes/sft/llama2-7b/lora.yaml"
    path.write_text(path.read_text().replace("# launch:", "# start:"))
    with pytest.raises(Refusal, match="the comment at its head has no line 'launch:'"):
        recipe_cards.stale()
