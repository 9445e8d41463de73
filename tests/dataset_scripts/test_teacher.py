"""Stages that ask a teacher: once, kept, resumed, planned; and ablations that ask nothing."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import teacher as teachers
from dataset_scripts.stage_files import read_rows
from llm import pace
from model_cards.dataset_repository import pack_dataset
from tests.conftest import code_rows
from tests.llm.server import Server

ROWS = 40
ASK = {"alchemist": "teacher", "teacher_share": 0.5}


def say(content: str) -> str:
    """A good prompt for most rows, a leak for some."""
    if "Add 3" in content or "Add 7 " in content:
        return "Bind xs to math, map over xs, and give xs back as xs."
    return "Rely on a list comprehension in Python. Keep it on one line."


@pytest.fixture
def server():
    with Server(say=say) as server:
        yield server


@pytest.fixture
def build(toy_source, mixture_file, tmp_path, monkeypatch, server):
    """Build the toy mixture with a teacher; keywords replace whole stages."""
    monkeypatch.setattr(teachers, "TEACHERS", tmp_path / "teachers")
    monkeypatch.setattr(pace, "BASE_S", 0.005)
    toy_source(code_rows(ROWS))

    def run(teacher="toy", dry_run=False, workers=1, key_env=None, **stages):
        profile(tmp_path, server.url, api_key_env=key_env)
        path = mixture_file(**({"_08_customise": ASK} | stages))
        return builder.build(path, tmp_path / "build", workers, teacher_name=teacher, dry_run=dry_run)

    return run


def profile(tmp_path, url, **changes):
    role = {"max_tokens": 100, "usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 2.0}
    values = {
        "name": "toy", "base_url": url, "api_key_env": None, "open_weights": True, "json_schema": False,
        "max_concurrency": 4, "timeout_s": 5.0, "max_attempts": 2, "max_cost_usd": None, "max_tokens_total": None,
        "roles": {name: {"model": f"lab/{name}", **role} for name in ("alchemist", "evolve", "answer", "review")},
    }  # fmt: skip
    (tmp_path / "teachers").mkdir(exist_ok=True)
    (tmp_path / "teachers/toy.yaml").write_text(yaml.safe_dump(values | changes))


def facts(folder):
    return [
        row for path in sorted((folder / "08_customise/facts").iterdir()) for row in pq.read_table(path).to_pylist()
    ]


def test_a_sample_is_annotated_by_the_teacher_and_the_rest_by_the_static_alchemist(build, server):
    folder = build()
    found = facts(folder)
    asked = [f for f in found if f["teacher_prompt"]]
    assert len(asked) == len(server.requests) == ROWS // 2
    accepted = [f for f in asked if f["teacher_reason"] is None]
    assert accepted and {f["teacher_reason"] for f in asked} == {None, "leaks_solution"}
    assert {f["alchemist"] for f in accepted} == {"lab/alchemist"}
    assert {f["alchemist"] for f in found if f not in accepted} == {"static"} and all(
        f["static_prompt"] for f in found
    )
    assert all(f["leak"] > 0.3 for f in asked if f["teacher_reason"])
    before = {r["id"]: r for r in read_rows(folder / "04_decontaminate").to_pylist()}
    for row in read_rows(folder / "08_customise").to_pylist():
        assert row["instruction"] == before[row["id"]]["instruction"]
        assert row["response"] == before[row["id"]]["response"]
    (bill,) = read_json(folder / "asked/08_customise.json")["bill"]
    assert bill["template"].startswith("alchemist@") and bill["answers"] == ROWS // 2 and bill["usd"] > 0
    noted = read_json(folder / "08_customise/manifest.json")["notes"]["teacher"]
    assert noted["templates"] == ["alchemist@1"] and noted["roles"]["alchemist"]["model"] == "lab/alchemist"


def test_a_second_build_and_every_ablation_send_no_request(build, server, tmp_path, capsys):
    build()
    asked = len(server.requests)
    build(teacher=None)
    assert capsys.readouterr().out.count("(unchanged)") == 6, "the teacher of before is meant where none is named"
    for share, mode, whose, prompt in (
        (0.05, "add", "any", "own"), (0.2, "replace", "teacher", "own"), (0.2, "add", "static", "own"),
        (0.2, "add", "any", "shuffled"), (0.1, "replace", "teacher", "placebo"),
    ):  # fmt: skip
        final = {"alchemist_share": share, "mode": mode, "alchemist": whose, "prompt": prompt}
        folder = build(_09_mixture=final)
        with_prompt = [r for r in read_rows(folder / "09_mixture").to_pylist() if r["alchemist_prompt"]]
        assert len(with_prompt) == round(share * ROWS)
        taught = [r["alchemist_prompt"].startswith("Rely on") for r in with_prompt]
        if prompt == "own" and whose != "any":
            assert set(taught) == {whose == "teacher"}
        assert prompt != "placebo" or not any(taught)
    build(_08_customise=ASK | {"teacher_share": 0.2})
    assert len(server.requests) == asked, "a smaller sample lies within the larger one"


def test_another_mixture_of_the_same_build_folder_pays_nothing_again(build, server, mixture_file, tmp_path):
    build()
    asked = len(server.requests)
    text = mixture_file(_08_customise=ASK).read_text()
    (tmp_path / "other.yaml").write_text(text.replace("name: toy", "name: other"))
    builder.build(tmp_path / "other.yaml", tmp_path / "build", 1, teacher_name="toy")
    assert len(server.requests) == asked


def test_what_was_not_answered_is_asked_again_by_the_next_build_and_changes_the_mixture(build, server):
    server.schedule = lambda content, nth: "500" if "Add 1 " in content or "Add 2 " in content else "ok"
    folder = build(_08_customise=ASK | {"teacher_share": 1.0})
    unanswered = [f for f in facts(folder) if f["teacher_reason"] == "server_error"]
    assert len(unanswered) == 2 == sum(read_json(folder / "asked/08_customise.json")["open"].values())
    server.schedule = lambda content, nth: "ok"
    before = len(server.requests)
    build(_08_customise=ASK | {"teacher_share": 1.0})
    assert len(server.requests) == before + 2
    assert not [f for f in facts(folder) if f["teacher_reason"] == "server_error"]


def test_the_same_shards_for_one_worker_and_two(build):
    digest = read_json(build() / "08_customise/manifest.json")["digest"]
    folder = build(teacher="static")
    assert read_json(folder / "08_customise/manifest.json")["digest"] != digest
    assert read_json(build(workers=2) / "08_customise/manifest.json")["digest"] == digest


def test_without_a_teacher_nobody_is_asked(build, server):
    folder = build(teacher="static")
    assert not server.requests and not (folder.parent / "answers.sqlite").exists()
    assert {f["alchemist"] for f in facts(folder)} == {"static"}
    with pytest.raises(Refusal, match="09_mixture.alchemist is teacher, but none of a teacher's prompts was accepted"):
        build(teacher="static", _09_mixture={"alchemist_share": 0.1, "mode": "add", "alchemist": "teacher"})


def test_a_dry_run_sends_nothing_and_says_what_would_be_asked(build, server, capsys):
    build(dry_run=True)
    out = capsys.readouterr().out
    assert not server.requests and "08_customise" in out and "lab/alchemist" in out and f"{ROWS // 2}" in out
    build()
    capsys.readouterr()
    build(dry_run=True)
    line = next(li for li in capsys.readouterr().out.splitlines() if li.startswith("08_customise"))
    assert line.split()[3:5] == ["0", str(ROWS // 2)], "all of it is in the ledger"


def test_a_teacher_without_its_key_is_refused_before_anything_is_built(build, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "toy.yaml"
    path.write_text("name: toy\nseed: 0\nrows_per_shard: 10\n01_sources: [{source: python_stdlib}]\n"
                    "09_mixture: {alchemist_share: 0, mode: add}\n")  # fmt: skip
    with pytest.raises(Refusal, match="'openai': the environment variable OPENAI_API_KEY is not set"):
        builder.build(path, tmp_path / "b", 1, teacher_name="openai")
    with pytest.raises(Refusal, match="TEACHER=nobody: there is no such teacher; known ones: static, local, open"):
        builder.build(path, tmp_path / "b", 1, teacher_name="nobody")
    assert not (tmp_path / "b").exists()


def test_the_key_of_a_teacher_is_in_no_artefact_and_no_output(build, server, tmp_path, monkeypatch, capfd):
    key = "sk-planted-77c0ffee77c0ffee"
    monkeypatch.setenv("TOY_KEY", key)
    server.say = lambda content: f"Rely on a list comprehension in Python {key}."
    server.schedule = lambda content, nth: "500" if "Add 1" in content else "ok"
    server.error_message = f"bad key {key}"
    folder = build(_05_evolve={"rounds": 1, "share": 0.1}, _07_recheck={}, key_env="TOY_KEY")
    assert server.keys == {f"bearer {key}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 30 and {folder.parent / "answers.sqlite", folder / "asked/08_customise.json"} <= set(files)
    tables = [pq.read_table(path).to_pylist() for path in files if path.suffix == ".parquet"]  # compressed on the disk
    assert "[key]" in str(tables) and key not in str(tables)
    assert not [path for path in files if key.encode() in path.read_bytes()]
    assert key not in "".join(capfd.readouterr())


def test_the_card_names_models_and_templates(build, server, tmp_path):
    folder = pack_dataset(build(_05_evolve={"rounds": 1, "share": 0.1}, _07_recheck={}), tmp_path / "hub")
    card = (folder / "README.md").read_text()
    assert "| `08_customise` | toy (open weights) | alchemist: lab/alchemist | alchemist@1 |" in card
    assert "evolve: lab/evolve, answer: lab/answer" in card and "evolve/misdirection@1" in card


def scored(tmp_path, folder, score):
    rows = read_rows(folder / "08_customise").to_pylist()
    pq.write_table(
        pa.table({"id": [r["id"] for r in rows], "cpd": [score(n) for n in range(len(rows))]}), tmp_path / "cpd"
    )
    return [r["id"] for r in rows], {"alchemist_share": 0.1, "mode": "replace", "cpd_scores": str(tmp_path / "cpd")}


def chosen(folder):
    return {r["id"] for r in read_rows(folder / "09_mixture").to_pylist() if r["alchemist_prompt"]}


def test_a_band_of_cpd_takes_no_extremes_and_a_gap_takes_the_source_that_needs_it(build, tmp_path):
    folder = build(teacher="static")
    ids, final = scored(tmp_path, folder, lambda n: float(n))
    found = chosen(build(teacher="static", _09_mixture=final | {"select": "cpd_band", "cpd_band": [0.5, 0.9]}))
    assert len(found) == 4 and found <= set(ids[20:36])
    build(teacher="static", _09_mixture=final | {"select": "source_gap"})
    _, final = scored(tmp_path, folder, lambda n: None if n == 3 else 1.0)
    with pytest.raises(Refusal, match=rf"has no CPD for 1 of {ROWS} rows, {ids[3]} among them"):
        build(teacher="static", _09_mixture=final | {"select": "source_gap"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"select": "source_gap"}, "select is source_gap, which needs cpd_scores"),
        ({"cpd_scores": "x"}, "select: random reads no scores"),
        ({"select": "cpd_band", "cpd_scores": __file__}, "cpd_band belongs to select: cpd_band"),
        ({"select": "cpd_band", "cpd_scores": __file__, "cpd_band": [0.0, 0.5]}, "two rising quantiles"),
        ({"select": "source_gap", "cpd_scores": "/nowhere/x"}, "there is no file /nowhere/x"),
    ],
)
def test_a_senseless_selection_is_refused(build, changes, says):
    with pytest.raises(Refusal, match=says):
        build(teacher="static", _09_mixture={"alchemist_share": 0.1, "mode": "add"} | changes)


def test_a_source_far_above_the_others_is_given_more(toy_source):
    from dataset_scripts.mixture import gaps

    cpd = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 2.0}
    assert gaps(list(cpd), ["x", "y", "z", "z"], cpd) == {"x": 0.0, "y": 2.0, "z": 2.0}
