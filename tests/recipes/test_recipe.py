"""Every recipe on disk parses strictly, siblings differ in named keys only, wrong ones are refused by file and key."""

import copy

import pytest
import yaml

from artefacts import ROOT, Refusal, read_mapping
from recipes import plan
from recipes.recipe import CHAT_TEMPLATES, REQUIRED, Recipe, for_world, load
from tests.recipes.conftest import DEMO

RECIPES = sorted((ROOT / "recipes/sft").rglob("*.yaml"))
PAPER = ("llama2-7b", "codellama-python-7b", "deepseek-coder-6.7b")
# what may differ between the variants of one base, and between the bases of one variant
OF_A_VARIANT = {
    "method", "quantisation", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "sharding", "world_size",
    "hardware", "gradient_accumulation_steps", "learning_rate",
}  # fmt: skip
OF_A_BASE = {"base", "pad_token", "max_row_tokens"}


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def test_the_recipes_that_are_tested_are_the_recipes_on_disk():
    wanted = {f"{base}/{variant}" for base in PAPER for variant in ("full", "lora", "qlora")}
    assert {name_of(p) for p in RECIPES} == wanted | {
        "starcoder-15b/lora8bit",
        "codegeex2-6b/full",
        "smollm2-135m/full",
    }
    assert len(RECIPES) == len([p for p in (ROOT / "recipes/sft").rglob("*") if p.is_file()]) == 12


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_a_recipe_loads_strictly_plans_and_says_how_to_launch_it(path):
    recipe, arguments = load(path)
    head = path.read_text().split("\nbase:")[0]
    assert all(f"\n# {word}:" in head for word in ("launch", "hardware", "hours"))
    planned = plan.plan(path, recipe, arguments)
    assert planned["steps"] > 0
    assert sum(planned["gib_per_rank"].values()) < 0.92 * planned["gib_of_hardware"], "a recipe fits what it names"


@pytest.mark.parametrize("base", PAPER)
@pytest.mark.parametrize("variant", ["lora", "qlora"])
def test_variants_of_a_base_differ_in_named_keys_only_and_take_the_same_tokens_a_step(base, variant):
    full, other = (read_mapping(ROOT / f"recipes/sft/{base}/{name}.yaml") for name in ("full", variant))
    assert {k for k in full.keys() | other.keys() if full.get(k) != other.get(k)} <= OF_A_VARIANT
    tokens = [r["world_size"] * r["gradient_accumulation_steps"] * r["max_length"] for r in (full, other)]
    assert tokens == [524_288, 524_288]  # 32 x micro-batch 2 x 8,192


@pytest.mark.parametrize("base", PAPER)
def test_the_full_recipes_are_the_papers(base):
    """32 GPUs x 2 rows of 8,192 tokens, two epochs, AdamW at 1e-4."""
    recipe, arguments = load(ROOT / f"recipes/sft/{base}/full.yaml")
    assert (recipe.world_size, arguments["gradient_accumulation_steps"], arguments["max_length"]) == (32, 2, 8192)
    assert (arguments["learning_rate"], arguments["num_train_epochs"]) == (1e-4, 2)
    assert arguments["optim"].startswith("adamw") and recipe.sharding == "fsdp2" and recipe.loss_on == "completion"


@pytest.mark.parametrize("variant", ["full", "lora", "qlora"])
def test_bases_of_a_variant_differ_in_named_keys_only(variant):
    recipes = [read_mapping(ROOT / f"recipes/sft/{base}/{variant}.yaml") for base in PAPER]
    differing = {k for k in recipes[0] if len({str(r[k]) for r in recipes}) > 1}
    assert differing <= OF_A_BASE and all(r.keys() == recipes[0].keys() for r in recipes)


def test_octocoder_is_the_papers():
    recipe, arguments = load(ROOT / "recipes/sft/starcoder-15b/lora8bit.yaml")
    assert (recipe.lora_r, recipe.lora_alpha, recipe.lora_dropout) == (16, 32, 0.05)
    assert recipe.loss_on == "full_sequence" and recipe.quantisation == "int8"
    assert arguments["gradient_accumulation_steps"] == 32 and arguments["max_length"] == 2048
    assert 30 <= plan.plan(DEMO, recipe, arguments)["steps"] <= 35


def test_octogeex_is_the_papers():
    path = ROOT / "recipes/sft/codegeex2-6b/full.yaml"
    recipe, arguments = load(path)
    assert (arguments["learning_rate"], arguments["bf16"], arguments["max_length"]) == (5e-5, True, 8192)
    planned = plan.plan(path, recipe, arguments)
    assert 35 <= planned["steps"] <= 50
    assert 48 <= planned["tokens_per_step"] / 447 <= 56, "48 rows a step; the paper's 1,178 have 447 tokens on average"


def test_no_key_of_ours_is_left_without_a_reader():
    sources = "".join(p.read_text() for p in (ROOT / "recipes").glob("*.py") if p.name != "recipe.py")
    assert [
        name for name in Recipe.model_fields if f"recipe.{name}" not in sources and f'"{name}"' not in sources
    ] == []


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
        ({"save_only_model": True}, "resumes silently with other weights"),
        ({"completion_only_loss": True}, "the key loss_on says it"),
        ({"save_dtype": "float16"}, "save_dtype"),
        ({"sample_tokens": 0}, "sample_tokens"),
        ({"base": None}, "the key 'base' is missing"),
        ({"seed": None}, "the key 'seed' is missing"),
        ({"packing_strategy": "wrapped"}, "only packing true with bfd keeps rows whole"),
        ({"packing": False}, "only packing true with bfd keeps rows whole"),
        ({"per_device_train_batch_size": 2}, "raise gradient_accumulation_steps instead"),
        ({"save_total_limit": 1}, "the newest may be the one that a crash cut short"),
        ({"max_row_tokens": 1024}, "1024 tokens do not fit a packed row of max_length 512"),
        ({"optim": "adamm"}, "trl.SFTConfig refuses it"),
        ({"base_revision": "main"}, "base_revision"),
        (
            {"chat_template": "alchemy.jinja"},
            "has no alchemy.jinja, but alchemist.jinja, octocoder.jinja, octogeex.jinja",
        ),
        ({"method": "lora"}, "method lora needs the key 'lora_r'"),
        ({"lora_r": 8}, "method full trains every weight: take out 'lora_r'"),
        ({"quantisation": "nf4"}, "take out 'quantisation'"),
        ({"world_size": 2}, "without sharding a recipe is for one process"),
    ],
)
def test_a_wrong_recipe_is_refused_with_file_and_key(tmp_path, changes, says):
    values = copy.deepcopy(read_mapping(DEMO)) | changes
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None or k == "chat_template"}))
    with pytest.raises(Refusal) as refusal:
        load(path)
    assert says in str(refusal.value) and str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("key", REQUIRED)
def test_what_trl_might_change_its_mind_about_must_be_said(tmp_path, key):
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in read_mapping(DEMO).items() if k != key}))
    with pytest.raises(Refusal, match=f"the key '{key}' is missing"):
        load(path)


def test_on_fewer_processes_a_step_keeps_its_tokens():
    path = ROOT / "recipes/sft/llama2-7b/full.yaml"
    recipe, arguments = for_world(path, *load(path), 8)
    assert (recipe.world_size, arguments["gradient_accumulation_steps"]) == (8, 8)
    with pytest.raises(Refusal, match="64 packed rows, which 5 processes cannot share"):
        for_world(path, *load(path), 5)
    with pytest.raises(Refusal, match="is for one process"):
        for_world(DEMO, *load(DEMO), 2)


def test_every_chat_template_is_some_recipes_and_ends_an_answer_with_eos():
    from jinja2 import Environment

    assert {p.name for p in CHAT_TEMPLATES.iterdir()} == {r for p in RECIPES if (r := load(p)[0].chat_template)}
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    rendered = {}
    for path in CHAT_TEMPLATES.iterdir():
        template = Environment().from_string(path.read_text())
        whole = template.render(messages=turns, bos_token="<s>", eos_token="</s>")
        prompt = template.render(messages=turns[:1], bos_token="<s>", eos_token="</s>", add_generation_prompt=True)
        assert whole.startswith(prompt) and whole.endswith("A</s>\n\n")
        rendered[path.name] = prompt
    assert rendered["alchemist.jinja"] == "<s>### Instruction:\nQ\n\n### Response:\n"
    assert rendered["octogeex.jinja"] == "[gMASK]<sop>" + rendered["octocoder.jinja"]
    assert rendered["octocoder.jinja"] == "Question: Q\n\nAnswer:"  # OctoPack's format, no BOS
