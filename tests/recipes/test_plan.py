"""The plan: what it says of the paper's setting, when it refuses, and that the refusal names what would fit."""

import os

import pytest

import bootstrap
from artefacts import ROOT, Refusal, read_json
from recipes import plan
from recipes.memory import Base, gib_per_rank
from recipes.recipe import for_world, load
from tests.recipes.conftest import DEMO

DS67B = ROOT / "recipes/sft/deepseek-coder-6.7b/full.yaml"
QLORA = ROOT / "recipes/sft/deepseek-coder-6.7b/qlora.yaml"


def here(*gpus_gib, free_gib=1000.0):
    return plan.Machine([("NVIDIA Some GPU", gib) for gib in gpus_gib], free_gib)


def refused(path, machine, world_size=None, nodes=1):
    recipe, arguments = for_world(path, *load(path), world_size)
    planned = plan.plan(path, recipe, arguments)
    with pytest.raises(Refusal) as refusal:
        plan.refuse_if_it_cannot_run(path, recipe, arguments, planned, machine, nodes)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_the_plan_of_the_papers_setting():
    planned = plan.plan(DS67B, *load(DS67B))
    assert planned["tokens_per_step"] == 524_288 and planned["steps"] == 763
    assert 0.8 < planned["hours"] < 1.1  # two epochs of 200 M tokens on 32 A100 at 3,700 tokens/s: about one hour
    text = plan.show(DS67B, load(DS67B)[0], planned, here())
    assert "763 steps, 2 epoch(s)" in text and "GPUs here: none" in text


def test_a_plan_names_the_commands_that_come_before_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = ROOT / "recipes/sft/codegeex2-6b/full.yaml"
    planned = plan.plan(path, *load(path))
    text = plan.show(path, load(path)[0], planned, here())
    assert text.splitlines()[-1].split() == "first make data MIXTURE=octopack && make convert-codegeex2".split()
    for folder in ("hub/datasets/octopack", "models/codegeex2-6b"):
        (tmp_path / "build" / folder).mkdir(parents=True)
    text = plan.show(path, load(path)[0], planned, here())
    assert "first" not in text and "not there yet" not in text


def test_a_plan_names_no_command_that_would_not_make_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = "build/other/SmolLM2-135M-Instruct"
    recipe, arguments = load(DEMO, {"base": elsewhere, "data": "build/typo"})
    text = plan.show(DEMO, recipe, plan.plan(DEMO, recipe, arguments), here())
    assert f"{elsewhere} (not there yet)" in text and "build/typo (not there yet)" in text
    assert text.splitlines()[-1].split() == "first make base-model".split(), "by its last part: BUILD= moves it"
    recipe, _ = load(DEMO, {"base": "build/models/typo", "data": "build/hub/datasets/demo"})
    assert plan.what_to_do_first(recipe) == "make data MIXTURE=demo"


@pytest.mark.parametrize(
    ("path", "gpus", "world", "says"),
    [
        (DS67B, [80] * 8, None, "there are 8 here; RECIPE=full NPROC=8 would fit"),
        (DS67B, [16], None, "there are 1 here; RECIPE=qlora would fit"),
        (DS67B, [80], None, "there are 1 here; RECIPE=lora would fit"),
        (DS67B, [16] * 8, 8, "GiB on each GPU and the smallest here has 16; RECIPE=qlora would fit"),
        (
            QLORA,
            [8],
            None,
            "GiB on each GPU and the smallest here has 8; the recipe that runs here is make train-demo",
        ),
    ],
)
def test_what_cannot_run_is_refused_with_the_recipe_that_can(path, gpus, world, says):
    assert says in refused(path, here(*gpus), world)


def test_without_a_gpu_the_refusal_names_the_smaller_recipes_other_machines_and_the_demo():
    assert refused(DS67B, here()) == (
        f"{DS67B} needs 32 x A100-80GB and there is no GPU here; one GPU would do with RECIPE=lora (A100-80GB) or "
        "RECIPE=qlora (RTX-4090-24GB), NPROC= and NNODES= say how many GPUs there are elsewhere, and what runs here "
        "is make train-demo."
    )
    assert refused(QLORA, here()).endswith(
        "needs 1 x RTX-4090-24GB and there is no GPU here; what runs here is make train-demo."
    )


def test_four_machines_of_eight_carry_the_papers_setting():
    recipe, arguments = load(DS67B)
    planned = plan.plan(DS67B, recipe, arguments)
    plan.refuse_if_it_cannot_run(DS67B, recipe, arguments, planned, here(*[80] * 8), nodes=4)


def test_the_disk_that_the_demo_wants_is_one_number_and_holds_its_plan():
    need = sum(plan.plan(DEMO, *load(DEMO))["disk_gib"].values()) * 2**30 / 1e9
    assert bootstrap.INSTALLED_GB + need < bootstrap.DEMO_GB
    assert f"The demo wants {bootstrap.DEMO_GB} GB of disk" in (ROOT / "README.md").read_text()


def test_the_memory_that_the_demo_wants_is_one_number_and_holds_what_its_recorded_run_held():
    held = read_json(ROOT / "model_cards/recipes/records/smollm2-135m-full.json")["hardware"]["peak_host_gib"]
    assert held * 2**30 / 1e9 < bootstrap.DEMO_MEMORY_GB
    wanted = f"{bootstrap.DEMO_MEMORY_GB} GB of memory"
    assert wanted in (ROOT / "README.md").read_text() and wanted in DEMO.read_text().split("\nbase:")[0]


def test_too_little_disk_is_refused_before_the_download():
    said = refused(QLORA, here(24, free_gib=3.0))
    assert "GiB of disk and 3 are free" in said and "OUTPUT=" in said


def test_a_gated_base_without_a_token_is_refused_with_what_to_do(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    path = ROOT / "recipes/sft/llama2-7b/qlora.yaml"
    assert "gated; accept its licence at https://huggingface.co/meta-llama/Llama-2-7b-hf" in refused(path, here(24))
    monkeypatch.setenv("HF_TOKEN", "hf_toy")
    recipe, arguments = load(path)
    plan.refuse_if_it_cannot_run(path, recipe, arguments, plan.plan(path, recipe, arguments), here(24), 1)


def test_gpus_are_read_off_nvidia_smi(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-80GB, 81920'\necho 'NVIDIA A100, PCIe, 40960'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert plan.machine().gpus == [("NVIDIA A100-SXM4-80GB", 80.0), ("NVIDIA A100, PCIe", 40.0)]
    fake.write_text("#!/bin/sh\nexit 9\n")
    assert plan.machine().gpus == []


def test_unknown_base_hardware_and_context_are_named(monkeypatch):
    monkeypatch.setattr(plan.inputs, "config_on_hub", lambda recipe: None)
    recipe, arguments = load(DEMO, {"base": "somebody/model"})
    with pytest.raises(
        Refusal, match="base 'somebody/model' is not in recipes/bases.yaml, and neither .* known: meta-llama"
    ):
        plan.plan(DEMO, recipe, arguments)
    recipe, arguments = load(DEMO, {"hardware": "abacus"})
    with pytest.raises(Refusal, match="hardware 'abacus' is not in recipes/throughput.yaml"):
        plan.plan(DEMO, recipe, arguments)
    llama = ROOT / "recipes/sft/llama2-7b/full.yaml"
    with pytest.raises(Refusal, match="8192 is longer than the 4096 positions that meta-llama"):
        plan.plan(llama, *load(llama, {"max_row_tokens": 8192}))


def test_the_shape_of_a_folder_is_read_from_its_config(tiny_model):
    from transformers import AutoModelForCausalLM

    recipe, arguments = load(DEMO, {"base": str(tiny_model)})
    base = plan.base_of(DEMO, recipe)
    assert base.parameters == AutoModelForCausalLM.from_pretrained(tiny_model).num_parameters()
    assert plan.plan(DEMO, recipe, arguments)["disk_gib"].keys() >= {"model"}


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-2-7b-hf",
        "deepseek-ai/deepseek-coder-6.7b-base",
        "bigcode/starcoder",
        "build/models/codegeex2-6b",
    ],
)
def test_shapes_of_the_bases_hold_against_models_on_the_meta_device(name):
    import torch

    base = plan.validate(Base, plan.read_mapping(plan.inputs.BASES)[name], name)
    with torch.device("meta"):
        model = meta_model(base)
    assert sum(p.numel() for p in model.parameters()) == base.parameters
    linear = {n.split(".")[-1] for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D")}
    assert set(base.linear_shapes) <= linear


def meta_model(base, layers=None):
    from transformers import AutoModelForCausalLM, GlmConfig, GPTBigCodeConfig, LlamaConfig

    layers = layers or base.layers
    if base.architecture == "llama":
        config = LlamaConfig(
            vocab_size=base.vocab_size, hidden_size=base.hidden_size, intermediate_size=base.intermediate_size,
            num_hidden_layers=layers, num_attention_heads=base.heads, num_key_value_heads=base.kv_heads,
            tie_word_embeddings=base.tied, max_position_embeddings=base.context_tokens, use_cache=False,
        )  # fmt: skip
    elif base.architecture == "glm":
        config = GlmConfig(
            vocab_size=base.vocab_size, hidden_size=base.hidden_size, intermediate_size=base.intermediate_size,
            num_hidden_layers=layers, num_attention_heads=base.heads, num_key_value_heads=base.kv_heads,
            pad_token_id=0,
        )  # fmt: skip
    else:
        config = GPTBigCodeConfig(
            vocab_size=base.vocab_size, n_embd=base.hidden_size, n_inner=base.intermediate_size, n_layer=layers,
            n_head=base.heads, multi_query=True, n_positions=base.context_tokens, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("checkpointing", [True, False])
def test_memory_of_a_rank_holds_against_a_tracked_step_on_32_fake_ranks(checkpointing):
    """One forward and backward pass of DeepSeek's shape (5 layers, so that it is quick) at 8,192 tokens."""
    import torch
    import torch.distributed as dist
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    layers = 5
    recipe, arguments = load(DS67B, {"activation_checkpointing": checkpointing})
    whole = plan.base_of(DS67B, recipe)
    fewer = whole.parameters - (whole.layers - layers) * whole.layer_parameters
    base = whole.model_copy(update={"layers": layers, "parameters": fewer})
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=32)
    try:
        mesh = init_device_mesh("cpu", (32,))
        with FakeTensorMode():
            model = meta_model(base, layers)
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": False})
            precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
            for layer in [*model.model.layers, model]:
                fully_shard(layer, mesh=mesh, mp_policy=precision)
            tracker = FSDPMemTracker(model.train(), torch.optim.AdamW(model.parameters()))
            mask = torch.ones(1, 1, 8192, 8192, dtype=torch.bool)
            with tracker:
                logits = model(torch.zeros(1, 8192, dtype=torch.int64), attention_mask=mask, logits_to_keep=1).logits
                logits.float().sum().backward()
            peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    finally:
        dist.destroy_process_group()
    tracked = {str(kind): size / 2**30 for kind, size in peak.items()}
    planned = gib_per_rank(base, recipe, arguments)
    assert planned["weights (fp32)"] == pytest.approx(base.parameters * 4 / 32 / 2**30)
    ours = planned["weights (fp32)"] + planned["gathered layers"] + planned["activations"]
    total = next(size for kind, size in tracked.items() if "Total" in kind)
    assert ours == pytest.approx(total, rel=0.1), tracked
