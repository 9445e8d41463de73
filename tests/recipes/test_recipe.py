import copy

import pytest
import yaml

from artefacts import ROOT, Refusal, read_mapping
from recipes import plan
from recipes.recipe import load
from tests.conftest import run_module

RECIPES = sorted((ROOT / "recipes/sft").rglob("*.yaml"))
DEMO = ROOT / "recipes/sft/smollm2-135m/full.yaml"


def test_the_recipes_that_are_tested_are_the_recipes_on_disk():
    assert len(RECIPES) == len([p for p in (ROOT / "recipes/sft").rglob("*") if p.is_file()]) >= 2


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_recipe_loads_strictly_plans_and_says_how_to_launch_it(path):
    from trl import SFTConfig

    recipe, arguments = load(path)
    head = path.read_text().split("\nbase:")[0]
    assert all(f"# {word}:" in head for word in ("launch", "hardware", "hours"))
    SFTConfig(**(arguments | {"use_cpu": True, "bf16": False}), output_dir="/tmp/unused")
    planned = plan.plan(path, recipe, arguments)
    assert planned["steps"] > 0 and sum(planned["gib_per_rank"].values()) > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"learning_rat": 1.0}, "unknown key 'learning_rat'"),
        ({"learning_rate": "1e-4"}, "key 'learning_rate': Input should be a valid number, got '1e-4'"),
        ({"bf16": "yes"}, "key 'bf16'"),
        ({"max_length": 1024.5}, "key 'max_length'"),
        ({"push_to_hub": True}, "'push_to_hub' has no place in a recipe: publishing is a step of its own"),
        ({"trust_remote_code": True}, "no code from the Hub is run"),
        ({"output_dir": "x"}, "the command line says where"),
        ({"save_dtype": "float16"}, "save_dtype"),
        ({"sample_tokens": 0}, "sample_tokens"),
        ({"base": None}, "the key 'base' is missing"),
        ({"seed": None}, "the key 'seed' is missing"),
        ({"packing_strategy": "wrapped"}, "only bfd keeps rows whole"),
        ({"optim": "adamm"}, "trl.SFTConfig refuses it"),
        ({"base_revision": "main"}, "base_revision"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_and_key(tmp_path, changes, says):
    values = copy.deepcopy(read_mapping(DEMO)) | changes
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    with pytest.raises(Refusal) as refusal:
        load(path)
    assert says in str(refusal.value) and str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_the_plan_of_the_papers_setting():
    path = ROOT / "recipes/sft/deepseek-coder-6.7b/full.yaml"
    planned = plan.plan(path, *load(path))
    assert planned["tokens_per_step"] == 524_288  # 32 x micro-batch 2 x 8,192
    assert planned["steps"] == 763
    memory = planned["gib_per_rank"]
    # a 32-rank fake process group on the meta-device model measured 3.14 GiB of fp32 state a rank
    assert memory["weights, gradients, Adam (fp32, sharded)"] == pytest.approx(3.14, abs=0.01)
    assert 6 < sum(memory.values()) < 12


def test_without_gpus_the_plan_is_printed_and_the_run_refused_in_one_sentence(monkeypatch):
    done = run_module("recipes.plan", "recipes/sft/deepseek-coder-6.7b/full.yaml", env={"PATH": "/nowhere"})
    assert done.returncode == 2 and "763 steps" in done.stdout
    assert "launching 32 processes is not built yet" in done.stderr and "make train-demo" in done.stderr
    dry = run_module("recipes.plan", "--dry-run", "recipes/sft/deepseek-coder-6.7b/full.yaml")
    assert "2 epoch(s)" in done.stdout and "(not there yet)" in done.stdout
    assert dry.returncode == 0 and dry.stdout.splitlines()[0] == done.stdout.splitlines()[0]


def test_an_unknown_base_is_named(tmp_path):
    recipe, arguments = load(DEMO, {"base": "somebody/model"})
    with pytest.raises(Refusal, match="base 'somebody/model' is not in recipes/bases.yaml; known: deepseek"):
        plan.plan(DEMO, recipe, arguments)
