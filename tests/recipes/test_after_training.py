"""What a finished run is for: merge its adapters, talk to it, rebuild it."""

import io
import json
import shutil
import sys

import pytest

from artefacts import Refusal, read_json, sha256_of_file, write_json
from recipes import chat, launch, merge, rebuild, sft
from tests.recipes.conftest import call_main, write_recipe
from tests.recipes.test_sft import same, weights
from tests.recipes.test_trainer import LORA, wide_model  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def trained_adapter(tmp_path_factory, toy_data, wide_model):  # noqa: F811
    folder = tmp_path_factory.mktemp("adapter")
    changes = {**LORA, "learning_rate": 2e-2, "max_steps": 3, "save_dtype": "float32"}
    recipe = write_recipe(folder / "lora.yaml", base=wide_model, data=toy_data, **changes)
    assert call_main(sft, recipe, "--output", folder / "run").code == 0
    return folder / "run"


@pytest.fixture
def adapter_run(trained_adapter, tmp_path):
    return shutil.copytree(trained_adapter, tmp_path / "run")


def test_merged_adapters_are_a_model_of_its_own_that_answers_as_base_and_adapters(adapter_run, in_process, wide_model):  # noqa: F811
    done = in_process(merge, adapter_run)
    assert done.code == 0 and "20 tokens repeated after the reload" in done.out, done.err
    record = read_json(adapter_run / "merged.json")
    assert record["dtype"] == "float32" and 0 <= record["largest_logit_change"] < 1e-3
    base, merged = weights(wide_model), weights(adapter_run / "merged")
    changed = {name for name in base if not base[name].float().equal(merged[name])}
    assert changed == {n for n in base if "q_proj" in n or "down_proj" in n}, "the adapted layers and no other"
    assert chat.model_folder(adapter_run) == adapter_run / "merged"


def test_a_merge_that_changed_the_model_is_not_kept(adapter_run, in_process, monkeypatch):
    import peft

    real = peft.LoraModel.merge_and_unload
    monkeypatch.setattr(peft.LoraModel, "merge_and_unload", lambda self: real(self).apply(_double))
    done = in_process(merge, adapter_run)
    assert done.code == 2 and "from base and adapters; not kept" in done.last
    assert not (adapter_run / "merged").exists() and not (adapter_run / "merged.json").exists()


def _double(module):
    import torch

    if isinstance(module, torch.nn.Linear):
        module.weight.data *= 2


def test_a_plan_of_merging_or_talking_says_what_would_be_loaded_and_loads_nothing(adapter_run, in_process, wide_model):  # noqa: F811
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.AutoModelForCausalLM.from_pretrained", None)
        merging, talking = (in_process(module, adapter_run, "--dry-run") for module in (merge, chat))
    count = sum(tensor.numel() for tensor in weights(wide_model).values())
    assert merging.code == 0 and f"{wide_model}, {count:,} parameters, merged in float32" in merging.out
    assert talking.code == 0 and f"plan of talking to {adapter_run}/model" in talking.out
    assert f"adapters over {wide_model}" in talking.out
    assert not (adapter_run / "merged").exists()


def test_what_cannot_be_merged_or_talked_to_is_refused(in_process, tmp_path):
    assert "the run is not finished; train it first" in in_process(merge, tmp_path).last
    write_json(tmp_path / "run.json", {"checkpoint": {"kind": "full"}})
    assert "trained every weight" in in_process(merge, tmp_path).last
    assert "no model there (looked for merged/, model/ and config.json)" in in_process(chat, tmp_path).last


@pytest.mark.parametrize("kind", ["full", "adapter"])
def test_chat_answers_each_line_in_the_trained_template(in_process, adapter_run, tiny_model, monkeypatch, kind):
    folder = tiny_model if kind == "full" else adapter_run
    monkeypatch.setattr(sys, "stdin", io.StringIO("Add two numbers.\nAnd three.\n\nnever asked\n"))
    asked = []
    real = chat.answer
    monkeypatch.setattr(chat, "answer", lambda m, t, question, *rest: asked.append(real(m, t, question, *rest)))
    done = in_process(chat, folder, "--max-new-tokens", 5)
    assert done.code == 0 and len(asked) == 2 and all(isinstance(text, str) for text in asked)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, tiny_model, toy_data):
    folder = tmp_path_factory.mktemp("finished")
    recipe = write_recipe(folder / "full.yaml", base=tiny_model, data=toy_data, max_steps=3, save_strategy="no")
    assert call_main(sft, recipe, "--output", folder / "run").code == 0
    return folder / "run"


@pytest.fixture
def published(finished_run, in_process, tmp_path, monkeypatch):
    """A finished run, published as model_cards does: release.json, no word of where base and data lay."""
    run = read_json(finished_run / "run.json")
    settings = run.pop("settings")
    release = shutil.copytree(finished_run / "model", tmp_path / "published")
    write_json(
        release / "release.json",
        {"data": {"name": "toy"}, "run": run, "settings": {"recipe": settings | {"base": "lab/tiny", "data": "toy"}}},
    )
    monkeypatch.setattr(rebuild, "REBUILT", tmp_path / "rebuild")

    def train(path, output, *flags):
        done = in_process(launch if flags else sft, path, "--output", output, *flags)
        assert done.code == 0 and ("plan of" in done.out) == bool(flags)

    monkeypatch.setattr(rebuild, "train", train)
    return release, ["--base", settings["base"], "--data", settings["data"]]


def test_a_published_run_is_rebuilt_byte_for_byte_and_what_differs_is_said(published, in_process, tmp_path):
    release, where = published
    done = in_process(rebuild, release, *where)
    assert done.code == 0, done.err
    rebuilt = tmp_path / "rebuild/published/run/model"
    assert same(weights(release), weights(rebuilt))
    assert (release / "model.safetensors").read_bytes() == (rebuilt / "model.safetensors").read_bytes()

    record = json.loads((release / "release.json").read_text())
    record["run"]["checkpoint"]["files"]["model.safetensors"] = "0" * 64
    record["run"]["versions"]["torch"] = "1.0"
    record["run"]["hardware"]["cpu"] = "another processor"
    write_json(release / "release.json", record)
    done = in_process(rebuild, release, *where)
    assert done.code == 1 and "differs from the record: torch 1.0 (now " in done.out
    assert "differs from the record: cpu another processor (now " in done.out
    assert f"model.safetensors is {sha256_of_file(rebuilt / 'model.safetensors')[:16]}, was {'0' * 16}" in done.out


def test_a_plan_of_a_rebuild_compares_base_and_data_with_the_record_and_trains_nothing(
    published, in_process, tmp_path
):
    release, where = published
    done = in_process(rebuild, release, *where, "--dry-run")
    assert done.code == 0 and "1 file(s) of weights would be compared" in done.out, done.err
    assert not (tmp_path / "rebuild/published/run").exists()


def test_other_data_or_another_base_is_not_taken_for_the_records(published, in_process, wide_model):  # noqa: F811
    release, where = published
    done = in_process(rebuild, release, *where[2:], "--base", wide_model)
    assert done.code == 2 and "the record was made with" in done.last and "BASE=" in done.last


@pytest.mark.parametrize("left_out", ["--data", "--base"])
def test_a_folder_that_the_record_knows_by_its_digest_must_be_named(published, in_process, left_out):
    """Not looked for on the Hub: what is there under that name is not known to be the same."""
    release, where = published
    named = where[:2] if left_out == "--data" else where[2:]
    done = in_process(rebuild, release, *named)
    what, flag = ("data 'toy'", "DATA=") if left_out == "--data" else ("base 'lab/tiny'", "BASE=")
    assert done.code == 2 and f"{what} was a folder when the model was trained" in done.last and flag in done.last


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("build/nothing", "no such folder, and not owner/name@<commit>"),
        ("lab/model@main", "name the commit, lab/model@<40 hex digits>: a branch moves"),
        (".", "neither release.json nor run.json there"),
    ],
)
def test_a_model_that_cannot_be_rebuilt_is_refused(model, says):
    with pytest.raises(Refusal) as refusal:
        rebuild.fetch_record(model)
    assert says in str(refusal.value)
