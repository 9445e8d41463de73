"""Publishing a model: only what was seen to reload, and only where its licences let us; downloaded as it was sent."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from artefacts import ROOT, Refusal, read_json, sha256_of_file, write_json
from model_cards import download, licences, publish, render
from model_cards import hub as hub_room
from tests import hub_store
from tests.model_cards.conftest import tree_of
from tests.model_cards.toy_run import evaluate_again


@pytest.fixture
def packed(trained, tmp_path):
    return render.pack_model(trained, tmp_path / "hub")


def push(folder, tag="v1"):
    return publish.publish("model", folder, tag, False)


def test_a_model_is_one_commit_and_one_tag_and_comes_back_as_it_was_sent(hub, packed, tmp_path, capsys):
    commit = push(packed)
    assert f'from_pretrained("lab/tiny-full", revision="{commit}")' in capsys.readouterr().out
    repo = hub.repositories["model", "lab/tiny-full"]
    assert repo.private and repo.tags == {"v1": commit} and len(repo.commits) == 2
    assert push(packed) == commit and len(repo.commits) == 2
    remote = hub_room.Repository(hub_room.connect(), "model", "lab/tiny-full")
    folder = download.download(remote, "v1", tmp_path / "downloads")
    there = tree_of(folder)
    assert there["model.safetensors"] == (packed / "model.safetensors").read_bytes()
    assert there == {name: file.data for name, file in repo.commits[commit].items()}
    assert f'from_pretrained("{folder}")' in download.about(remote, "v1", folder)
    card = there["README.md"].decode()
    assert 'pipeline("text-generation", "lab/tiny-full", revision="v1")' in card
    assert "python -m evaluation.evaluate lab/tiny-full@v1 --protocol demo" in card
    assert "make rebuild MODEL=lab/tiny-full@<the 40-hex commit of this release> BASE=" in card


def test_the_next_release_says_what_changed(hub, packed, trained, tmp_path):
    push(packed)
    run = read_json(trained / "run.json")
    settings = run["settings"] | {"learning_rate": 1e-5}
    write_json(trained / "run.json", run | {"key": "r2", "settings": settings, "data_revision": "e" * 64})
    tuned = read_json(trained / "eval-tuned/result.json")
    write_json(trained / "eval-tuned/result.json", tuned | {"pass_at_1": 0.3, "key": "t2"})
    push(render.pack_model(trained, tmp_path / "hub"), "v2")
    repo = hub.repositories["model", "lab/tiny-full"]
    (entry, first) = json.loads(repo.commits[repo.tags["v2"]]["release.json"].data)["changelog"]
    assert entry["previous"] == "v1" and first["tag"] == "v1"
    assert entry["lines"] == [
        f"data: {'d' * 64} -> {'e' * 64}", "pass@1.demo.tuned: 20.0 -> 30.0", "recipe.learning_rate: not set -> 1e-05"
    ]  # fmt: skip


@pytest.mark.parametrize("reloaded", [0, None])
def test_a_checkpoint_that_nobody_saw_reload_is_refused(hub, trained, tmp_path, reloaded):
    run = read_json(trained / "run.json")
    run["checkpoint"]["reloaded_tokens_equal"] = reloaded
    write_json(trained / "run.json", run)
    with pytest.raises(Refusal, match="nobody has seen this checkpoint reload"):
        push(render.pack_model(trained, tmp_path / "hub"))
    assert not hub.requests


def test_other_weights_than_those_verified_are_refused(hub, trained, tmp_path):
    (trained / "model/model.safetensors").unlink()
    save_file({"weight": np.zeros(64, dtype=np.float32)}, trained / "model/model.safetensors")
    with pytest.raises(Refusal, match="model.safetensors is not what was verified after training"):
        push(render.pack_model(trained, tmp_path / "hub"))
    assert not hub.requests


@pytest.mark.parametrize("licences", [["MIT", "unknown"], ["CC-BY-NC-ND-4.0"]])
def test_a_licence_of_the_rows_that_forbids_it_is_refused(hub, trained, tmp_path, licences):
    write_json(trained / "run.json", read_json(trained / "run.json") | {"data_licences": licences})
    with pytest.raises(Refusal, match=f"are under the licence '{licences[-1]}', which does not let us publish"):
        push(render.pack_model(trained, tmp_path / "hub"))
    assert not hub.requests


def run_on_a_base_of_the_hub(hub, trained, card, files=("LICENSE",)):
    """Let the run's base be lab/base, whose card says `card`."""
    base = hub_store.Repository("model", "lab/base")
    texts = {"README.md": f"---\n{card}\n---\n# base\n"} | {name: f"text of {name}" for name in files}
    commit = base.commit({name: hub_store.File(name, text.encode(), False) for name, text in texts.items()}, "base")
    base.commit({}, "moved on")
    hub.repositories["model", "lab/base"] = base
    data = hub_store.Repository("dataset", "lab/toy")
    revision = data.commit({"README.md": hub_store.File("README.md", b"# rows of others\n", False)}, "data")
    hub.repositories["dataset", "lab/toy"] = data
    run = read_json(trained / "run.json")
    settings = run["settings"] | {"base": "lab/base", "base_revision": commit, "data": "lab/toy"}
    write_json(trained / "run.json", run | {"settings": settings, "data_revision": revision, "key": card})


@pytest.mark.parametrize(
    ("card", "licence", "publishable"),
    [
        ("license: apache-2.0", "Apache-2.0", True), ("license: llama2", "llama2", True),
        ("license: [mit, apache-2.0]", "Apache-2.0 AND MIT", True),
        ("license: other\nlicense_name: deepseek-license", "deepseek-license", True),
        ("license: other\nlicense_name: deepseek", "deepseek-license", True),
        ("license: bigcode-openrail-m", "bigcode-openrail-m", True), ("license: gemma", "gemma", False),
        ("license: cc-by-nc-nd-4.0", "CC-BY-NC-ND-4.0", False), ("tags: [code]", "unknown", False),
        ("license: other\nlicense_name: mine", "mine", False),
    ],
)  # fmt: skip
def test_the_licence_of_a_base_on_the_hub_is_asked_at_the_runs_revision(
    hub, trained, tmp_path, card, licence, publishable
):
    run_on_a_base_of_the_hub(hub, trained, card)
    folder = render.pack_model(trained, tmp_path / "hub")
    facts = read_json(folder / "release.json")
    assert facts["base"]["licence"] == licence and facts["licences"] == sorted({licence, "MIT"})
    assert facts["front_matter"]["base_model"] == "lab/base" and facts["front_matter"]["datasets"] == ["lab/toy"]
    if publishable:
        assert push(folder)
    else:
        with pytest.raises(Refusal, match=f"the base model or the rows are under the licence '{licence}'"):
            push(folder)


def test_every_file_of_sharded_weights_is_compared(hub, trained, tmp_path):
    run = read_json(trained / "run.json")
    (trained / "model/model.safetensors").rename(trained / "model/model-00001-of-00002.safetensors")
    save_file({"weight": np.zeros(8, dtype=np.float32)}, trained / "model/model-00002-of-00002.safetensors")
    files = {path.name: sha256_of_file(path) for path in (trained / "model").glob("*.safetensors")}
    run["checkpoint"] |= {"files": files, "kind": "adapter"}
    write_json(trained / "run.json", run)
    evaluate_again(trained)
    folder = render.pack_model(trained, tmp_path / "hub")
    assert push(folder) and read_json(folder / "release.json")["front_matter"]["library_name"] == "peft"
    run["checkpoint"]["files"] = files | {"model-00003-of-00002.safetensors": "0" * 64}
    write_json(trained / "run.json", run | {"key": "other"})
    evaluate_again(trained)
    with pytest.raises(Refusal, match="model-00003-of-00002.safetensors is not what was verified"):
        push(render.pack_model(trained, tmp_path / "hub"), "v2")


@pytest.mark.parametrize(
    ("card", "notice"),
    [
        ("license: llama2", "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms"),
        ("license: other\nlicense_name: deepseek-license", "DeepSeek License Agreement"),
        ("license: bigcode-openrail-m", "BigCode OpenRAIL-M"),
    ],
)  # fmt: skip
def test_the_licence_of_the_base_goes_along_with_its_notice_or_nothing_is_sent(hub, trained, tmp_path, card, notice):
    run_on_a_base_of_the_hub(hub, trained, card, files=("LICENSE.txt", "USE_POLICY.md", "config.json"))
    folder = render.pack_model(trained, tmp_path / "hub")
    assert notice in (folder / "NOTICE").read_text()
    assert {name: data for name, data in tree_of(folder).items() if name.startswith("base/")} == {
        "base/LICENSE.txt": b"text of LICENSE.txt", "base/USE_POLICY.md": b"text of USE_POLICY.md",
    }  # fmt: skip
    write_json(
        trained / "run.json", read_json(trained / "run.json") | {"data_licences": ["bigcode-openrail-m"], "key": "2"}
    )
    assert notice in (render.pack_model(trained, tmp_path / "hub") / "NOTICE").read_text()
    assert len((folder / "NOTICE").read_text().splitlines()) == 1  # of the base, not of rows under such a licence
    (folder / "NOTICE").write_text("x" * len((folder / "NOTICE").read_text()))
    with pytest.raises(Refusal, match="NOTICE lacks the line"):
        push(folder)
    run_on_a_base_of_the_hub(hub, trained, f"{card}\ntags: [again]", files=())
    with pytest.raises(Refusal, match="asks that its text goes along .* lab/base came without a LICENSE file"):
        push(render.pack_model(trained, tmp_path / "hub"))
    assert ("model", "lab/tiny-full") not in hub.repositories


def test_a_base_whose_card_names_no_licence_has_that_of_its_repository(hub, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(licences.LICENCE_OF_BASE, "lab/base", "codegeex2-6b")
    run_on_a_base_of_the_hub(hub, trained, "tags: [glm]", files=("MODEL_LICENSE",))
    folder = render.pack_model(trained, tmp_path / "hub")
    assert "Licence `codegeex2-6b`: research without commercial purpose only" in (folder / "README.md").read_text()
    assert read_json(folder / "release.json")["front_matter"]["license_name"] == "codegeex2-6b-and-mit" and push(
        folder
    )
    with pytest.raises(Refusal, match=r"under the licence 'codegeex2-6b' \(non-commercial\), which forbids"):
        render.pack_model(trained, tmp_path / "hub", "apache-2.0")


@pytest.mark.parametrize(
    ("wanted", "made_of", "says"),
    [
        ("apache-2.0", ["MIT", "Apache-2.0"], None),
        ("llama2", ["llama2", "MIT"], None),
        ("mit", ["PSF-2.0"], None),
        ("CC-BY-NC-4.0 AND llama2", ["llama2", "CC-BY-NC-4.0"], None),
        ("mit", ["Apache-2.0", "CC-BY-NC-4.0"], "'CC-BY-NC-4.0' (non-commercial), which forbids to publish"),
        ("apache-2.0", ["llama2"], "'llama2' (use-restricted), which forbids to publish the model under 'Apache-2.0'"),
        ("apache-2.0", ["MIT AND CC-BY-SA-4.0"], "'CC-BY-SA-4.0' (copyleft), which forbids"),
        ("llama2", ["deepseek-license", "llama2"], "'deepseek-license' (use-restricted), which forbids"),
        ("llama2", ["bigcode-openrail-m"], "'bigcode-openrail-m' (use-restricted), which forbids"),
        ("mit", ["Apache-2.0", "unknown"], "'unknown' (unknown), which forbids"),
        ("mine", ["MIT"], "LICENCE 'mine' is none that is known here"),
    ],
)
def test_a_licence_that_the_base_or_a_source_forbids_is_refused(wanted, made_of, says):
    if says is None:
        assert licences.declared(wanted, made_of)
        return
    with pytest.raises(Refusal, match=re.escape(says)):
        licences.declared(wanted, made_of)


def test_the_declared_licence_is_the_cards(trained, tmp_path):
    folder = render.pack_model(trained, tmp_path / "hub", "apache-2.0")
    assert read_json(folder / "release.json")["front_matter"]["license"] == "apache-2.0"
    assert "| published under | `Apache-2.0`, which none of them forbids |" in (folder / "README.md").read_text()


def make(*arguments, **environment):
    """`make` without what installs; `PYTHON=true` does nothing in its place."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *arguments, "PYTHON=true", f"PY={sys.executable}"]
    return subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, timeout=300)


def test_a_run_that_is_named_is_packed_and_pushed_and_the_demo_is_left_alone():
    told = make("-n", "push-model", "RUN=build/runs/deepseek-coder-6.7b-full/", "TAG=v1").stdout
    assert "recipes.sft" not in told and "evaluation.evaluate" not in told
    assert "model_cards.render --hub build/hub model build/runs/deepseek-coder-6.7b-full " in told
    assert 'model_cards.publish model build/hub/models/deepseek-coder-6.7b-full --tag "v1"' in told
    assert told.index("publish check") < told.index("model_cards.render") < told.index("publish model")
    demo = make("-n", "push-model", "TAG=v1").stdout
    assert (
        "--output build/runs/smollm2-135m-full" in demo and "publish model build/hub/models/smollm2-135m-full" in demo
    )


@pytest.mark.slow
def test_any_finished_run_is_pushed_by_make_and_comes_back_by_make(hub, trained, tmp_path):
    where = [f"BUILD={tmp_path}", f"RUN={trained}", "TAG=v1", "REVISION=v1"]
    environment = hub.environment(tmp_path / "home") | {"HF_NAMESPACE": "lab"}
    for _ in range(2):  # the second time changes nothing
        done = make("push-model", *where, **environment)
        assert done.returncode == 0, done.stderr
        assert "lab/tiny-full: v1 is published at" in done.stdout
    repo = hub.repositories["model", "lab/tiny-full"]
    assert repo.private and list(repo.tags) == ["v1"] and len(repo.commits) == 2
    done = make("download-model", *where, **environment)
    assert done.returncode == 0 and "checksums compared" in done.stdout, done.stderr
    run = read_json(trained / "run.json")
    run["checkpoint"]["reloaded_tokens_equal"] = 0
    write_json(trained / "run.json", run | {"key": "unverified"})
    done = make("push-model", *where[:2], "TAG=v2", **environment)
    assert (
        done.returncode != 0 and "nobody has seen this checkpoint reload" in done.stderr and list(repo.tags) == ["v1"]
    )
