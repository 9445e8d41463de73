"""A finished run as a model repository: what its card says, and which scores become leaderboard entries."""

import shutil

import pytest
import yaml

from artefacts import Refusal, hash_of, read_json, write_json
from model_cards import energy, render
from model_cards.dataset_repository import pack_dataset
from recipes.inputs import data_revision
from recipes.recipe import Recipe
from tests.model_cards.toy_build import toy_row, write_build
from tests.model_cards.toy_run import result


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_a_model_repository_loads_offline_and_its_card_holds_the_numbers(trained, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shutil.rmtree(trained / "model")
    shutil.copytree(tiny_model, trained / "model")
    folder = render.pack_model(trained, tmp_path / "hub")
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(folder).chat_template
    card = front_matter(folder)
    assert card["base_model"] == "lab/tiny" and card["license"] == "other" and card["license_link"] == "LICENSE.md"
    text = (folder / "README.md").read_text()
    assert (
        "| base | humaneval v1.0 | demo | 30 of 164 | 0 | 10.0 | 7.0 |" in text
        and "| tuned | humaneval v1.0 | demo | 30 of 164 | 0 | 20.0 | 7.0 |" in text
    )
    assert "| licences of base and rows | Apache-2.0, MIT |" in text
    assert "5000, 61.1 % supervised" in text and "cannot show a gain" in text and "without a sandbox" not in text


def test_a_result_without_sandbox_marks_the_card(trained, tmp_path):
    write_json(trained / "eval-tuned/result.json", result(0.2, sandbox="unsandboxed"))
    text = (render.pack_model(trained, tmp_path / "hub") / "README.md").read_text()
    assert "**Some programs ran without a sandbox (ALLOW_UNSANDBOXED=1).**" in text


@pytest.mark.parametrize("missing", ["loss_last", "tokens", "supervised_share", "checkpoint"])
def test_a_missing_number_is_an_error_and_leaves_no_half_repository(trained, tmp_path, missing):
    run = read_json(trained / "run.json")
    del run[missing]
    write_json(trained / "run.json", run)
    with pytest.raises(Refusal, match=f"the artefacts hold no such value: .*{missing}"):
        render.pack_model(trained, tmp_path / "hub")
    assert not (tmp_path / "hub/models/tiny-full").exists()


def test_scores_of_different_tasks_are_not_put_side_by_side(trained, tmp_path):
    other = result(0.2) | {"tasks": {"HumanEval/0": {}}}
    write_json(trained / "eval-tuned/result.json", other)
    with pytest.raises(Refusal, match="evaluated differently"):
        render.pack_model(trained, tmp_path / "hub")


def test_a_card_that_cannot_be_rendered_leaves_the_repository_of_before(trained, tmp_path):
    folder = render.pack_model(trained, tmp_path / "hub")
    before = (folder / "README.md").read_text()
    write_json(trained / "run.json", read_json(trained / "run.json") | {"key": "new", "steps": None})
    run = read_json(trained / "run.json")
    del run["steps"]
    write_json(trained / "run.json", run)
    with pytest.raises(Refusal):
        render.pack_model(trained, tmp_path / "hub")
    assert (folder / "README.md").read_text() == before


def test_only_a_whole_score_in_a_sandbox_becomes_a_leaderboard_entry(trained, tmp_path):
    folder = render.pack_model(trained, tmp_path / "hub")
    assert "model-index" not in front_matter(folder) and not (folder / ".eval_results").exists()
    whole = result(0.2) | {"problems": 164}
    for changes in ({"sandbox": "unsandboxed"}, {"unscored": ["HumanEval/3"]}, {"benchmark": "mine"}):
        for which in ("base", "tuned"):
            write_json(trained / f"eval-{which}/result.json", whole | changes | {"key": str(changes)})
        assert "model-index" not in front_matter(render.pack_model(trained, tmp_path / "hub")), changes
    for which in ("base", "tuned"):
        write_json(trained / f"eval-{which}/result.json", whole)
    folder = render.pack_model(trained, tmp_path / "hub")
    (index,) = front_matter(folder)["model-index"]
    assert index["results"][0]["metrics"] == [{"type": "pass@1", "value": 20.0, "name": "pass@1 (%), protocol demo"}]
    assert index["results"][0]["dataset"]["type"] == "openai/openai_humaneval"
    (entry,) = yaml.safe_load((folder / ".eval_results/humaneval.yaml").read_text())
    assert entry["value"] == 20.0 and entry["dataset"]["id"] == "openai/openai_humaneval"


def test_paths_of_the_training_machine_stay_at_home(trained, tmp_path):
    folder = render.pack_model(trained, tmp_path / "hub")
    assert not [p for p in folder.rglob("*") if p.is_file() and str(tmp_path).encode() in p.read_bytes()]


def card_of(trained, tmp_path, **options):
    return (render.pack_model(trained, tmp_path / "hub", **options) / "README.md").read_text()


def test_the_card_shows_the_data_that_was_trained_on_and_nothing_of_data_that_has_changed_since(trained, tmp_path):
    rows = [toy_row(n) for n in range(4)] + [toy_row(9, source="more", generator="gpt-4")]
    build = write_build(tmp_path / "toy", rows)
    data = pack_dataset(build, tmp_path / "hub")
    found = {"decontamination": {"benchmarks": ["humaneval"]}, "contaminated": 1, "leaks": "| toy | 5 | 1 (20.00 %) |"}
    write_json(data / "release.json", read_json(data / "release.json") | found)
    run = read_json(trained / "run.json")
    recipe = Recipe.model_construct(data=str(data), data_config="sft")
    settings = run["settings"] | recipe.model_dump(include={"data", "data_config"})
    write_json(trained / "run.json", run | {"settings": settings, "data_revision": data_revision(recipe)})
    text = card_of(trained, tmp_path)
    assert f"| `more` | 1 | lab/toy at `{'1' * 40}` | MIT | human |" in text
    assert "| toy | 5 | 1 (20.00 %) |" in text and "(1 by gpt-4)" in text
    assert "1 rows were removed as contaminated" in text and "compared with humaneval and with no other" in text
    next((data / "data").rglob("*.parquet")).write_bytes(b"other")
    text = card_of(trained, tmp_path)
    assert "are not known here" in text and "20.00 %" not in text and "is not known to this card" in text


def test_a_card_names_no_repository_before_a_release_gave_it_one(trained, tmp_path):
    text = card_of(trained, tmp_path)
    assert 'pipeline("text-generation", ".")  # in this folder: it has no name on the Hub yet' in text
    assert read_json(tmp_path / "hub/models/tiny-full/release.json")["repo_id"] is None and "None" not in text


def test_the_command_that_makes_it_again_names_only_folders_that_make_makes(trained, tmp_path):
    command = "make rebuild MODEL=build/hub/models/tiny-full"
    assert f"{command} BASE=<folder of Tiny> DATA=<folder of toy>" in card_of(trained, tmp_path)
    run = read_json(trained / "run.json")
    settings = run["settings"] | {"data": "build/hub/datasets/demo"}
    write_json(trained / "run.json", run | {"settings": settings, "key": "k"})
    assert " DATA=build/hub/datasets/demo" in card_of(trained, tmp_path)


def test_every_protocol_has_its_line_command_and_difference_and_a_base_that_nobody_measured_is_not_made_up(
    trained, tmp_path
):
    for name, options in {"evalplus/humaneval_plus": {"limit": None, "tasks": []},
                          "alchemist/mbpp": {"limit": None, "tasks": ["Mbpp/11", "Mbpp/12"]}}.items():  # fmt: skip
        more = result(0.5, name=name) | {"selection": options, "benchmark": name.split("/")[1]}
        write_json(trained / "eval-tuned" / name / "result.json", more)
    text = card_of(trained, tmp_path)
    assert text.count("| base |") == 1 + 1  # the heading of Base and licence has a line of that name
    assert (
        "python -m evaluation.evaluate build/hub/models/tiny-full --protocol alchemist/mbpp --tasks Mbpp/11,Mbpp/12 "
        "--output" in text
    )
    assert (
        "python -m evaluation.evaluate <folder of Tiny> --protocol demo --limit 30 --output build/eval-base/demo"
        in text
    )
    # tuned passes six problems, base three of those: d is 1 three times and 0 27 times
    assert "tuned minus base +10.0 points, standard error 5.6 (task by task, 30 problems)" in text
    assert "`demo`: the difference to the base may be chance (p = 0.250 by the sign test)." in text
    assert "`alchemist/mbpp`: the base was not measured" in text
    assert "Measured on humaneval, humaneval_plus, mbpp and on nothing else." in text


def test_a_loss_is_called_a_loss(trained, tmp_path):
    write_json(trained / "eval-base/result.json", result(0.9))
    assert "`demo`: it scores **worse** than its base" in card_of(trained, tmp_path)


def test_a_score_of_other_weights_is_refused(trained, tmp_path):
    write_json(trained / "eval-tuned/result.json", result(0.2) | {"model_digest": "0" * 64})
    with pytest.raises(Refusal, match="protocol demo was run on other weights than this run's"):
        render.pack_model(trained, tmp_path / "hub")
    digests = {"merged.safetensors": "0" * 64}
    write_json(trained / "merged.json", {"files": digests})  # of adapters, the merged model may be what was asked
    write_json(trained / "eval-tuned/result.json", result(0.2) | {"model_digest": hash_of(["0" * 64])})
    assert render.pack_model(trained, tmp_path / "hub")
    write_json(trained / "eval-tuned/again/result.json", result(0.3))
    with pytest.raises(Refusal, match="the protocol demo has another result in"):
        render.pack_model(trained, tmp_path / "hub")
    shutil.rmtree(trained / "eval-tuned")
    with pytest.raises(Refusal, match="eval-tuned holds no result.json; evaluate first"):
        render.pack_model(trained, tmp_path / "hub")


A100 = {"processes": 32, "gpus": ["NVIDIA A100-SXM4-80GB"] * 8, "cpu": "x86_64", "cores": 128}


@pytest.mark.parametrize(
    ("run", "given", "kwh"),
    [
        ({"hardware": A100}, {}, 32 * 2 * 0.4),
        ({"hardware": A100}, {"measured_watts": 300.0, "pue": 1.5}, 32 * 2 * 0.3 * 1.5),
        ({"hardware": A100, "resumed_from_step": 75}, {}, 32 * 8 * 0.4),  # three quarters of the steps were before
        ({"hardware": A100 | {"gpus": ["Some GPU"]}}, {}, None),
        ({"hardware": A100, "settings": {"use_cpu": True}}, {}, None),
        ({"hardware": A100, "settings": {"use_cpu": True}}, {"measured_watts": 50.0}, 2 * 0.05),
        ({"hardware": None}, {"measured_watts": 50.0}, None),
    ],
)
def test_energy_is_the_product_of_its_factors_or_nothing(run, given, kwh):
    whole = {"seconds": 7200.0, "steps": 100, "settings": {"use_cpu": False}} | run
    found = energy.estimate(whole, **given)
    assert found.get("kwh") == (kwh and pytest.approx(kwh)) and (kwh is None) == ("why_not" in found)


def test_the_card_says_the_energy_or_why_there_is_none(trained, tmp_path):
    text = card_of(trained, tmp_path)
    assert "**Energy: not estimated**" in text and "nobody measured the power of a machine with 2 cores" in text
    text = card_of(trained, tmp_path, watts=60.0)
    assert "1 x 0.00833 h x 60.0 W x PUE 1.0 / 1000 = 0.0005 kWh" in text and "watts: measured" in text
