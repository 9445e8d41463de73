import shutil

import datasets
import pytest
import yaml

from artefacts import Refusal, read_json, write_json
from dataset_scripts import build as builder
from evaluation.benchmarks import humaneval
from model_cards import render
from tests.conftest import code_rows


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


@pytest.fixture
def built(toy_source, mixture_file, tmp_path):
    leak = humaneval.load()[0]
    toy_source([*code_rows(40), ("Bad.", "No."), ("Leak.", f"```python\n{leak.prompt}{leak.solution}\n```")])
    path = mixture_file()
    return builder.build(path, tmp_path / "build", workers=1), path


def test_a_dataset_repository_loads_offline_by_its_card(built, tmp_path):
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    rows = datasets.load_dataset(str(folder), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 44
    (carrying,) = rows.filter(lambda row: row["alchemist_prompt"] is not None).select([0])
    user, assistant = carrying["messages"]
    assert user == {"role": "user", "content": f"{carrying['alchemist_prompt']}\n\n{carrying['instruction']}"}
    assert assistant == {"role": "assistant", "content": carrying["response"]}
    rejected = datasets.load_dataset(str(folder), "rejected", split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(rejected["reason"]) == ["contaminated", "too_short_without_code"]
    (leak,) = rejected.filter(lambda row: row["reason"] == "contaminated")
    assert leak["instruction"] is None and leak["response"] is None


def test_a_dataset_card_is_valid_yaml_and_holds_the_ledger(built, tmp_path):
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    card = front_matter(folder)
    assert [c["config_name"] for c in card["configs"]] == ["sft", "rejected"] and card["configs"][0]["default"] is True
    assert card["license"] == "mit" and card["size_categories"] == ["n<1K"]
    text = (folder / "README.md").read_text()
    assert "| `03_clean` | 42 | 41 | 0 | 1 too_short_without_code |" in text
    assert "44 rows are in `sft`, 4 of them" in text and "against humaneval: 1 rows removed" in text
    assert len(read_json(folder / "ledger.json")) == 6


def test_packing_again_changes_nothing_and_new_rows_change_the_repository(built, toy_source, tmp_path, capsys):
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    render.pack_dataset(built[0], tmp_path / "hub")
    assert "unchanged" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    toy_source(code_rows(30))
    shutil.rmtree(built[0])
    builder.build(built[1], tmp_path / "build", workers=1)
    render.pack_dataset(built[0], tmp_path / "hub")
    assert "30" in (folder / "README.md").read_text()


def test_a_mixture_that_was_not_decontaminated_says_so(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(20))
    path = mixture_file(_04_decontaminate=None)
    folder = render.pack_dataset(builder.build(path, tmp_path / "build", workers=1), tmp_path / "hub")
    assert "**Not decontaminated**" in (folder / "README.md").read_text()
    assert [c["config_name"] for c in front_matter(folder)["configs"]] == ["sft"]


def test_an_unfinished_mixture_is_refused(built, tmp_path):
    (built[0] / "09_mixture/manifest.json").unlink()
    with pytest.raises(Refusal, match="09_mixture/manifest.json is missing; run `make mixture` first"):
        render.pack_dataset(built[0], tmp_path / "hub")


def result(pass_at_1, sandbox="bubblewrap"):
    return {
        "key": str(pass_at_1), "benchmark": "humaneval", "protocol_name": "demo", "problems": 30,
        "problems_in_benchmark": 164, "pass_at_1": pass_at_1, "standard_error": 0.07, "sandbox": sandbox,
        "caveat": "30 problems cannot show a gain.", "unscored": [], "protocol": {"benchmark": "humaneval"},
        "tasks": {f"HumanEval/{n}": {} for n in range(30)},
    }  # fmt: skip


@pytest.fixture
def finished_run(tiny_model, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    source = {"key": "b", "name": "Tiny", "hub_id": "lab/tiny", "source": "this test", "licence": "Apache-2.0"}
    write_json(base / "source.json", source)
    folder = tmp_path / "runs/tiny-full"
    shutil.copytree(tiny_model, folder / "model")
    run = {
        "key": "r", "recipe": "recipes/sft/tiny/full.yaml", "settings": {"base": str(base), "data": "hub/toy"},
        "rows": 10, "rows_in": 40, "rows_not_sampled": 30, "tokens": 5000, "supervised_share": 0.611, "steps": 12,
        "data_licences": ["MIT"],
        "loss_first": 1.5, "loss_last": 1.25, "seconds": 30.0, "tokens_per_s": 166.7, "versions": {"trl": "1.16.0"},
        "checkpoint": {"dtype": "bfloat16", "reloaded_tokens_equal": 20},
    }  # fmt: skip
    write_json(folder / "run.json", run)
    write_json(folder / "eval-base/result.json", result(0.1))
    write_json(folder / "eval-tuned/result.json", result(0.2))
    return folder


def test_a_model_repository_loads_offline_and_its_card_holds_the_numbers(finished_run, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = render.pack_model(finished_run, tmp_path / "hub")
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(folder).chat_template
    card = front_matter(folder)
    assert card["base_model"] == "lab/tiny" and card["license"] == "other"
    text = (folder / "README.md").read_text()
    assert (
        "| base | humaneval | 30 of 164 | 0 | 10.0 | 7.0 |" in text
        and "| tuned | humaneval | 30 of 164 | 0 | 20.0 | 7.0 |" in text
    )
    assert "Apache-2.0, MIT: of the base model and of the rows" in text
    assert "5000, 61.1 % supervised" in text and "cannot show a gain" in text and "without a sandbox" not in text


def test_a_result_without_sandbox_marks_the_card(finished_run, tmp_path):
    write_json(finished_run / "eval-tuned/result.json", result(0.2, sandbox="unsandboxed"))
    text = (render.pack_model(finished_run, tmp_path / "hub") / "README.md").read_text()
    assert "**Some programs ran without a sandbox (ALLOW_UNSANDBOXED=1).**" in text


@pytest.mark.parametrize("missing", ["loss_last", "tokens", "supervised_share", "checkpoint"])
def test_a_missing_number_is_an_error_and_leaves_no_half_repository(finished_run, tmp_path, missing):
    run = read_json(finished_run / "run.json")
    del run[missing]
    write_json(finished_run / "run.json", run)
    with pytest.raises(Refusal, match=f"model.md.jinja: the artefacts hold no such value: .*{missing}"):
        render.pack_model(finished_run, tmp_path / "hub")
    assert not (tmp_path / "hub/models/tiny-full").exists()


def test_scores_of_different_tasks_are_not_put_side_by_side(finished_run, tmp_path):
    other = result(0.2) | {"tasks": {"HumanEval/0": {}}}
    write_json(finished_run / "eval-tuned/result.json", other)
    with pytest.raises(Refusal, match="evaluated differently"):
        render.pack_model(finished_run, tmp_path / "hub")


def test_a_card_that_cannot_be_rendered_leaves_the_repository_of_before(finished_run, tmp_path):
    folder = render.pack_model(finished_run, tmp_path / "hub")
    before = (folder / "README.md").read_text()
    write_json(finished_run / "run.json", read_json(finished_run / "run.json") | {"key": "new", "steps": None})
    run = read_json(finished_run / "run.json")
    del run["steps"]
    write_json(finished_run / "run.json", run)
    with pytest.raises(Refusal):
        render.pack_model(finished_run, tmp_path / "hub")
    assert (folder / "README.md").read_text() == before


def test_a_card_follows_the_manifests_and_large_mixtures_are_cut_into_files(built, tmp_path, monkeypatch):
    monkeypatch.setattr(render, "ROWS_PER_FILE", 17)
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    assert sorted(p.name for p in (folder / "sft").iterdir()) == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    rows = datasets.load_dataset(str(folder), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 44 == len(set(rows["id"]))
    path = built[0] / "01_sources/manifest.json"
    manifest = read_json(path)
    manifest["notes"]["sources"]["toy"]["revision"] = "newer"
    write_json(path, manifest)
    render.pack_dataset(built[0], tmp_path / "hub")
    assert "`newer`" in (folder / "README.md").read_text()
