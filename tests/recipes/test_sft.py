"""Train for real, on a tiny model: what is saved, resumed, reused, refused."""

import os
import shutil
import signal
import sys
from types import SimpleNamespace

import pytest

from artefacts import Refusal, read_json
from recipes import checkpoints, inputs, packing, run_record, sft, supervise, trainer, training_run
from recipes.recipe import load
from tests.recipes.conftest import call_main, toy_rows, write_dataset, write_recipe


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same(left, right):
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def stop_after(monkeypatch, step, how):
    """Make the trainer meet `how` at the end of a step."""
    real = trainer.stop_on_signals

    def with_accident():
        callback = real()
        ends = callback.on_step_end

        def on_step_end(args, state, control, **kwargs):
            if state.global_step == step:
                how(callback)
            return ends(args, state, control, **kwargs)

        callback.on_step_end = on_step_end
        return callback

    monkeypatch.setattr(training_run, "stop_on_signals", with_accident)


STRAIGHT = {
    "save_steps": 2, "eval_strategy": "epoch", "report_to": "tensorboard", "attention": "auto",
    "use_liger_kernel": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def straight(tmp_path_factory, tiny_model, toy_data):
    """A recipe and its run without an accident, which nobody changes."""
    folder = tmp_path_factory.mktemp("straight")
    recipe = write_recipe(folder / "tiny/full.yaml", base=tiny_model, data=toy_data, **STRAIGHT)
    done = call_main(sft, recipe, "--output", folder / "run")
    assert done.code == 0, done.err
    return recipe, folder / "run", done


def test_a_run_trains_saves_reloads_and_is_reused(straight, in_process, tiny_model):
    recipe, output, done = straight
    assert ">>>def add_" in done.out and "<|im_end|><<<" in done.out, "the audit shows a row with its mask"
    run = read_json(output / "run.json")
    assert run["steps"] >= 6 and run["rows"] == run["rows_in"] == 60
    assert 0.2 < run["supervised_share"] < 0.9 and run["loss_last"] < run["loss_first"]
    assert {source: len(losses) for source, losses in run["eval_losses"].items()} == {"other": 1, "toy": 1}
    saved = run["checkpoint"]
    assert saved["reloaded_tokens_equal"] == 20 and saved["dtype"] == "bfloat16" and saved["kind"] == "full"
    assert saved["tied"] is False and saved["parameters"] == sum(v.numel() for v in weights(output / "model").values())
    assert run["commit"] and run["data_revision"] and run["base_digest"] and run["versions"]["peft"]
    assert run["settings"]["attention"] == "sdpa" and run["settings"]["use_liger_kernel"] is False, "what was used"
    assert run["hardware"]["processes"] == 1 and run["hardware"]["peak_host_gib"] > 0
    assert list((output / "tensorboard").rglob("events*")), "curves are there without a network"
    assert not list(output.glob("checkpoint-*")), "a finished run keeps its model, not its checkpoints"
    before, after = weights(tiny_model), weights(output / "model")
    assert not same(before, after) and all(v.dtype == next(iter(before.values())).dtype for v in after.values())

    stamp = (output / "run.json").stat().st_mtime_ns
    again = in_process(sft, recipe, "--output", output)
    assert "unchanged" in again.out and (output / "run.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    "way",
    [
        "sigterm",
        "cut short",
        pytest.param("kill", marks=pytest.mark.slow),
        pytest.param("sigterm, in bfloat16", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(straight, in_process, recipe_file, tmp_path, monkeypatch, way):
    """The last checkpoint is at step 4; a kill at step 6 loses two steps and no more."""
    recipe, reference, _ = straight
    if "bfloat16" in way:
        recipe, reference = recipe_file(**STRAIGHT, bf16=True), tmp_path / "straight"
        assert in_process(sft, recipe, "--output", reference).code == 0
    output = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        if way == "kill":
            stop_after(patch, 6, lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            assert in_process(sft, recipe, "--output", output).code == 130
        else:
            number = signal.SIGUSR1 if way == "cut short" else signal.SIGTERM
            stop_after(patch, 5, lambda _: os.kill(os.getpid(), number))
            stopped = in_process(sft, recipe, "--output", output)
            assert stopped.code == supervise.STOPPED_EXIT_CODE and "stopped at step 5" in stopped.last
    assert not (output / "run.json").exists()
    if way == "cut short":
        (output / "checkpoint-5" / "optimizer.pt").unlink()
    resumed = in_process(sft, recipe, "--output", output)
    assert resumed.code == 0, resumed.err
    begun = 5 if way.startswith("sigterm") else 4
    assert f"resuming from {output}/checkpoint-{begun}" in resumed.out
    if way == "cut short":
        assert "checkpoint-5: not resumed from, optimizer.pt is missing" in resumed.out
    assert read_json(output / "run.json")["resumed_from_step"] == begun
    assert same(weights(reference / "model"), weights(output / "model")), "bit for bit"


def test_kernels_are_recorded_as_used_where_they_are_installed_and_know_the_base(
    recipe_file, tiny_model, tiny_glm, monkeypatch
):
    """Stand-ins for flash-attn and liger-kernel, which want a GPU."""
    from transformers import utils

    monkeypatch.setattr(utils, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr(utils, "is_liger_kernel_available", lambda: True)
    liger = SimpleNamespace(MODEL_TYPE_TO_APPLY_LIGER_FN={"llama": None})
    for name in ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.monkey_patch"):
        monkeypatch.setitem(sys.modules, name, liger)
    used = {}
    for base in (tiny_model, tiny_glm):
        path = recipe_file(base=str(base), attention="auto", use_liger_kernel=True)
        recipe, arguments = load(path)
        recipe, arguments = inputs.resolved(recipe, arguments | {"use_cpu": False})
        used[base] = (recipe.attention, arguments["use_liger_kernel"])
    assert used == {tiny_model: ("flash_attention_2", True), tiny_glm: ("flash_attention_2", False)}
    known = run_record.version
    monkeypatch.setattr(run_record, "version", lambda name: "0.5" if name == "liger-kernel" else known(name))
    assert run_record.versions()["liger-kernel"] == "0.5" and "flash-attn" not in run_record.versions()


def test_attention_that_is_named_and_cannot_be_used_is_refused_in_one_sentence(in_process, recipe_file, tmp_path):
    """As the record of a run on a GPU names it, where `make rebuild` trains it again."""
    done = in_process(sft, recipe_file(attention="flash_attention_2"), "--output", tmp_path / "run")
    assert done.code == 2 and "flash_attention_2 is asked for and cannot be used here; install" in done.last
    assert "Traceback" not in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("where", ["make_trainer", "outcome_of"])  # before the first step; after the last one
def test_a_run_stopped_outside_of_its_steps_says_so_at_once(
    in_process, recipe_file, tmp_path, monkeypatch, number, where
):
    recipe, handler = recipe_file(max_steps=2, save_steps=1), signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(training_run, where, lambda *_: os.kill(os.getpid(), number))
        stopped = in_process(sft, recipe, "--output", tmp_path / "run")
    assert stopped.code == supervise.STOPPED_EXIT_CODE and f"stopped by {number.name}" in stopped.err, stopped.err
    assert signal.getsignal(number) == handler and not (tmp_path / "run/run.json").exists()
    done = in_process(sft, recipe, "--output", tmp_path / "run")
    assert done.code == 0, done.err
    assert ("all steps were taken" in done.out) == (where == "outcome_of")


@pytest.mark.parametrize("steps", [{"max_steps": 4, "logging_steps": 10}, {}])  # within an epoch; at its end
def test_a_run_cut_off_after_its_last_step_is_saved_and_takes_no_step_more(in_process, recipe_file, tmp_path, steps):
    """Its checkpoint is there and its last evaluation is not."""
    recipe = recipe_file(**STRAIGHT | steps)
    assert in_process(sft, recipe, "--output", tmp_path / "straight").code == 0
    reference = read_json(tmp_path / "straight/run.json")
    output, last = tmp_path / "run", reference["steps"]

    def cut_off(self, *arguments, **options):
        if self.state.global_step == last:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.Trainer.evaluate", cut_off)
        assert in_process(sft, recipe, "--output", output).code == 130
    assert (output / f"checkpoint-{last}/complete.json").exists() and not (output / "model").exists()
    done = in_process(sft, recipe, "--output", output)
    assert done.code == 0, done.err
    assert f"all steps were taken, see {output}/checkpoint-{last}; what is left is the verified save" in done.out
    run = read_json(output / "run.json")
    assert (run["steps"], run["resumed_from_step"]) == (last, last) and run["losses"] == reference["losses"]
    assert run["eval_losses"] == reference["eval_losses"] and run["tokens_per_s"] == 0
    assert same(weights(tmp_path / "straight/model"), weights(output / "model")), "bit for bit"
    assert "unchanged" in in_process(sft, recipe, "--output", output).out


@pytest.fixture(scope="module")
def accident(tmp_path_factory, tiny_model):
    """A folder with `data/` and the unfinished `run/` over it, checkpoints at steps 2 and 4; nobody changes it."""
    folder = tmp_path_factory.mktemp("accident")
    data = write_dataset(folder / "data", toy_rows(60))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5, lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        recipe = write_recipe(folder / "r.yaml", base=tiny_model, data=data, save_steps=2)
        call_main(sft, recipe, "--output", folder / "run")
    assert sorted(p.name for p in (folder / "run").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    return folder


@pytest.fixture
def interrupted(accident, in_process, recipe_file, tmp_path):
    """A copy of the unfinished run; call with changes to go on with another recipe."""
    for name in ("data", "run"):
        shutil.copytree(accident / name, tmp_path / name)

    def go_on(*flags, **changes):
        changed = recipe_file(**({"save_steps": 2, "data": str(tmp_path / "data")} | changes))
        return in_process(sft, changed, "--output", tmp_path / "run", *flags)

    go_on.output, go_on.data = tmp_path / "run", tmp_path / "data"
    return go_on


def test_a_changed_recipe_or_changed_data_is_refused_by_key_and_fresh_starts_over(interrupted):
    done = interrupted(learning_rate=3e-3)
    assert done.code == 2 and "learning_rate was 0.01 when the run began and is 0.003 now" in done.last
    with pytest.MonkeyPatch.context() as patch:
        other = run_record.versions() | {"torch": "1.0"}
        patch.setattr(run_record, "versions", lambda: other)
        done = interrupted()
        assert done.code == 2 and "version of torch was '" in done.last and "and is '1.0' now" in done.last
    write_dataset(interrupted.data, toy_rows(61))
    done = interrupted()
    assert done.code == 2 and "data_revision was" in done.last and "--fresh" in done.last
    fresh = interrupted("--fresh")
    assert fresh.code == 0 and "from the base model" in fresh.out


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "complete.json").unlink(), "complete.json is missing: its writing was cut short"),
        (lambda folder: (folder / "complete.json").write_text("{"), "complete.json is missing"),
        (lambda folder: (folder / "scheduler.pt").unlink(), "scheduler.pt is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"0"), "model.safetensors is not what was written"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_named_and_the_one_before_taken(interrupted, damage, says):
    output = interrupted.output
    damage(output / "checkpoint-4")
    found, said = checkpoints.newest_complete(output)
    assert found == output / "checkpoint-2" and said == [s for s in said if says in s and "checkpoint-4" in s]
    shutil.rmtree(output / "checkpoint-2")
    assert checkpoints.newest_complete(output)[0] is None


def test_a_full_disk_leaves_the_checkpoint_before_and_the_run_goes_on(interrupted, monkeypatch):
    import torch

    real = torch.save

    def full(value, file, *arguments, **options):
        if "checkpoint-6" in str(file):
            raise OSError(28, "No space left on device")
        return real(value, file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        done = interrupted()
    assert done.code == 2 and "checkpoint-6: the checkpoint could not be written" in done.last
    assert "No space left on device" in done.last and "checkpoint-4 is intact" in done.last
    assert "Traceback" not in done.err and not (interrupted.output / "checkpoint-6").exists()
    assert interrupted().code == 0


def test_a_full_disk_at_the_last_save_leaves_the_model_of_before(
    straight, in_process, monkeypatch, recipe_file, tmp_path
):
    import transformers

    output = shutil.copytree(straight[1], tmp_path / "run")
    before = weights(output / "model")
    with monkeypatch.context() as patch:

        def full(self, folder, *arguments, **options):
            raise OSError(28, "No space left on device")

        patch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
        done = in_process(sft, recipe_file(learning_rate=3e-3, save_strategy="no"), "--output", output)
    assert done.code == 2 and "could not be saved" in done.last and "No space left" in done.last
    assert (
        same(before, weights(output / "model")) and read_json(output / "run.json")["settings"]["learning_rate"] == 1e-2
    )


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_rows(in_process, recipe_file, tiny_model, tmp_path):
    """The base has a rotten embedding that one row alone uses."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, tokenizer = tmp_path / "base", AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("Z")] = float("nan")
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    rows = toy_rows(40)
    rows[7]["instruction"] = "Zip every number."
    data = write_dataset(tmp_path / "data", rows)
    done = in_process(sft, recipe_file(base=str(base), data=str(data)), "--output", tmp_path / "run")
    assert done.code == 2 and "the loss is nan on the rows" in done.last and rows[7]["id"] in done.last
    named = sum(row["id"] in done.last for row in rows)
    assert named < 10 and not (tmp_path / "run/run.json").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"use_cpu": False, "bf16": True},
            "needs a GPU and there is none",
        ),
        ({"report_to": "trackio"}, "trackio"),
        (
            {"max_row_tokens": 4096, "max_length": 4096},
            "key 'max_row_tokens': 4096 is longer than the 2048 positions that",
        ),
        ({"data": "build/hub/datasets/nothing_here"}, "no dataset repository there (README.md is missing)"),
    ],
)
def test_a_run_that_cannot_be_right_is_refused_in_one_sentence(in_process, recipe_file, tmp_path, changes, says):
    import importlib.util

    if changes.get("report_to") == "trackio" and importlib.util.find_spec("trackio"):
        pytest.skip("trackio is installed: nothing to refuse")
    done = in_process(sft, recipe_file(**changes), "--output", tmp_path / "run")
    assert done.code == 2 and says in done.last, done.err
    assert "Traceback" not in done.err and not (tmp_path / "run/run.json").exists()


def test_a_run_whose_packed_rows_see_each_other_is_not_started(in_process, recipe_file, tmp_path, monkeypatch):
    """Proved with the base's own configuration, the attention in use and the device in use."""
    proved = []

    def leaks(config, attention, device):
        proved.append((config.model_type, attention, str(device)))
        raise Refusal("they see each other.")

    monkeypatch.setattr(packing, "prove_rows_apart", leaks)
    done = in_process(sft, recipe_file(attention="auto"), "--output", tmp_path / "run")
    assert done.code == 2 and "they see each other" in done.last and proved == [("llama", "sdpa", "cpu")]


def test_a_world_that_is_not_the_recipes_or_does_not_shard_is_refused(in_process, recipe_file, tmp_path):
    recipe = recipe_file(sharding="fsdp2", world_size=2)
    done = in_process(sft, recipe, "--output", tmp_path / "run")
    assert done.code == 2 and "written for world_size 2, launched with 1 process(es)" in done.last
    alone = recipe_file(sharding="fsdp2", world_size=1)
    done = in_process(sft, alone, "--output", tmp_path / "alone")
    assert done.code == 2 and "says sharding fsdp2, but the processes run as NO" in done.last


def test_a_folder_of_somebody_elses_files_is_never_trained_into(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(Refusal, match="holds files that are no run's"), sft.claimed(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "dear"
    with sft.claimed(tmp_path / "run"), pytest.raises(Refusal, match="another process"), sft.claimed(tmp_path / "run"):
        pass


def test_a_trainer_that_supervises_more_than_was_audited_is_not_started():
    from datasets import Dataset

    whole = Dataset.from_list([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}])
    with pytest.raises(Refusal, match="supervises 3 tokens and the audit counted 1"):
        training_run.check_labels(SimpleNamespace(train_dataset=whole), supervised_tokens=1)


def test_a_tied_model_stays_tied_and_is_saved_once(in_process, recipe_file, tiny_model, tmp_path):
    """As SmolLM2 and StarCoder are: the head is the embedding."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    base = tmp_path / "tied"
    LlamaForCausalLM(LlamaConfig.from_pretrained(tiny_model, tie_word_embeddings=True)).save_pretrained(base)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(base)
    done = in_process(sft, recipe_file(base=str(base), max_steps=2), "--output", tmp_path / "run")
    assert done.code == 0, done.err
    saved = weights(tmp_path / "run/model")
    assert "lm_head.weight" not in saved and read_json(tmp_path / "run/run.json")["checkpoint"]["tied"] is True
    assert read_json(tmp_path / "run/run.json")["checkpoint"]["parameters"] == sum(v.numel() for v in saved.values())
