"""rows in = kept + rejected; the same shards for any number of workers; nothing finished is lost to kill -9."""

import json
import os
import signal
import subprocess
import sys
import time

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artefacts import ROOT, Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import clean
from dataset_scripts.engine import Processes
from dataset_scripts.schema import SCHEMA, make_row
from dataset_scripts.stage import Rows, Stage, run_on_rows, run_on_stream
from dataset_scripts.stage_files import is_finished, parquet_bytes, read_rows
from tests.conftest import DECONTAMINATE, code_rows, run_module

BAD = [("Broken.", "```python\ndef f(:\n```"), ("Short.", "No.")]


def digests(folder):
    found = {p.parent.name: json.loads(p.read_text())["digest"] for p in sorted(folder.glob("*/manifest.json"))}
    assert len(found) >= 5
    return found


def test_every_row_is_accounted_for(toy_source, mixture_file, tmp_path):
    toy_source([*code_rows(25), *BAD, code_rows(1)[0]])
    folder = builder.build(mixture_file(), tmp_path / "build", workers=1)
    ledgers = [read_json(folder / name / "ledger.json") for name in read_json(folder / "mixture.json")["stages"]]
    assert [ledger["rows_in"] for ledger in ledgers] == [28, 28, 27, 25, 25, 25]
    assert [ledger["rejected"] for ledger in ledgers[1:3]] == [
        {"duplicate": 1},
        {"does_not_compile": 1, "too_short_without_code": 1},
    ]
    assert ledgers[-1]["new"]["kept"] == 2 and ledgers[-1]["by_source"]["toy"]["kept"] == 25
    assert len(read_rows(folder / "09_mixture")) == 27
    assert sorted(read_rows(folder / "03_clean", "rejected")["instruction"].to_pylist()) == ["Broken.", "Short."]


def test_a_share_of_prompts_that_cannot_be_met_is_said(toy_source, mixture_file, tmp_path, capsys):
    prose = [(f"Tell me about {n}.", f"The number {n} comes right behind {n - 1}, as you know.") for n in range(20)]
    toy_source([*prose, *code_rows(1)])
    share = {"_03_clean": None, "_09_mixture": {"alchemist_share": 0.2, "mode": "add"}}
    builder.build(mixture_file(**share), tmp_path / "build", workers=1)
    assert "1 rows carry an AlchemistPrompt of 4 that alchemist_share asks for, as no more" in capsys.readouterr().out


def test_a_contaminated_row_leaves_no_text_behind(toy_source, mixture_file, tmp_path):
    from evaluation.benchmarks import humaneval

    secret = humaneval.load()[0]
    toy_source([*code_rows(12), ("Do it.", f"```python\n{secret.prompt}{secret.solution}\n```")])
    folder = builder.build(mixture_file(), tmp_path / "build", workers=1)
    (row,) = read_rows(folder / "04_decontaminate", "rejected").to_pylist()
    assert row["reason"] == "contaminated" and row["source"] == "toy"
    assert row["instruction"] is row["response"] is row["alchemist_prompt"] is None
    facts = [r for p in (folder / "04_decontaminate/facts").iterdir() for r in pq.read_table(p).to_pylist()]
    (evidence,) = (r["evidence"] for r in facts if r["id"] == row["id"])
    assert {name for piece in evidence for name in piece["names"]} == {"humaneval/HumanEval/0"}
    assert {piece["signal"] for piece in evidence} == {"ngram", "cosine", "tree"}


def test_a_second_run_recomputes_nothing_and_a_changed_threshold_only_what_follows(
    toy_source, mixture_file, tmp_path, capsys
):
    toy_source(code_rows(15))
    builder.build(mixture_file(), tmp_path / "build", workers=1)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "build").rglob("*.parquet")}
    capsys.readouterr()
    builder.build(mixture_file(), tmp_path / "build", workers=1)
    assert capsys.readouterr().out.count("(unchanged)") == 6
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "build").rglob("*.parquet")}
    builder.build(mixture_file(_09_mixture={"alchemist_share": 0.2, "mode": "add"}), tmp_path / "build", workers=1)
    assert capsys.readouterr().out.count("(unchanged)") == 5


def test_a_damaged_shard_is_made_again(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(15))
    folder = builder.build(mixture_file(), tmp_path / "build", workers=1)
    before = digests(folder)
    shard = folder / "03_clean/kept/00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-10])
    builder.build(mixture_file(), tmp_path / "build", workers=1)
    assert digests(folder) == before and len(pq.read_table(shard)) == 5


def toy_stage(tmp_path, name="02_toy", key="k"):
    rows = [
        make_row(source="t", instruction=i, response=r, license="MIT", generator="human", language="python")
        for i, r in [*code_rows(1200), *BAD]
    ]
    run_on_stream(Stage("01_sources", "s", 700), tmp_path, rows, len(rows))
    return Stage(name, key, 700, clean.FACTS)


def test_the_same_shards_for_one_worker_two_and_a_plain_map(tmp_path):
    config = clean.Config(min_response_chars=40)
    made = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        stage = toy_stage(folder)
        made.append(
            run_on_rows(stage, folder, folder / "01_sources", clean.batch, Processes(workers), config=config)["digest"]
        )
    assert made[0] == made[1]
    table = pa.concat_tables([pq.read_table(p) for p in sorted((tmp_path / "1/01_sources/kept").iterdir())])
    mapped = datasets.Dataset(table).map(
        clean.batch, batched=True, batch_size=97, fn_kwargs={"config": config}, remove_columns=table.column_names,
        features=datasets.Features.from_arrow_schema(pa.schema([*SCHEMA, *clean.FACTS])), num_proc=2,
    )  # fmt: skip
    kept = [row for row in mapped.remove_columns(clean.FACTS.names).to_list() if row["reason"] is None]
    assert kept == read_rows(tmp_path / "1/02_toy").to_pylist()
    assert len(kept) == 1200


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (lambda columns: {k: v[1:] for k, v in columns.items()}, "did not come out"),
        (lambda columns: {k: v + v[:1] for k, v in columns.items()}, "came out more than once"),
        (
            lambda columns: {k: [*v, f"of {v[0]}" if k == "id" else v[0]] for k, v in columns.items()},
            "names no parent",
        ),
    ],
)
def test_a_stage_that_loses_doubles_or_conjures_a_row_is_stopped(tmp_path, batch, says):
    stage = toy_stage(tmp_path)
    stage = Stage(stage.name, stage.key, stage.rows_per_shard)
    with pytest.raises(AssertionError, match=says):
        run_on_rows(stage, tmp_path, tmp_path / "01_sources", batch, Processes(1))
    assert not is_finished(tmp_path / stage.name, stage.key)


def test_the_same_rows_give_the_same_bytes_however_they_are_chunked():
    rows = pa.table({"a": list(range(100))})
    chunked = pa.concat_tables([rows.slice(0, 7), rows.slice(7)])
    assert chunked.column(0).num_chunks == 2 and parquet_bytes(chunked) == parquet_bytes(rows)


def test_what_was_worked_out_before_the_first_row_survives_too_and_goes_in_the_end(tmp_path):
    stage, engine = toy_stage(tmp_path), Processes(1)
    rows, asked = Rows(stage, tmp_path, tmp_path / "01_sources", engine), []

    def lengths(table):
        if len(asked) == 1 and not (tmp_path / "mended").exists():
            raise MemoryError
        asked.append(len(table))
        return pa.table({"n": [len(text) for text in table["response"].to_pylist()]})

    with pytest.raises(MemoryError):
        rows.map(lengths, ["response"])
    (tmp_path / "mended").touch()
    found = rows.map(lengths, ["response"])["n"].to_pylist()
    assert asked == [700, 502], "the first unit was not computed again"
    assert found == [len(text) for text in rows(["response"])["response"].to_pylist()]
    config = clean.Config(min_response_chars=40)
    run_on_rows(stage, tmp_path, tmp_path / "01_sources", clean.batch, engine, config=config)
    assert not (tmp_path / stage.name / "prepared").exists()


NEW_ROWS = "\n06_comprehend: {code_review: {reviewer: static, max_rows: 200}}\n07_recheck: {}\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["04_decontaminate", "07_recheck"])
def test_kill_9_in_the_middle_and_a_rerun_give_the_same_digests(tmp_path, name):
    mixture = tmp_path / "small.yaml"
    text = (ROOT / "recipes/mixtures/demo.yaml").read_text() + NEW_ROWS
    mixture.write_text(
        text.replace("name: demo", "name: small")
        .replace("rows_per_shard: 2000", "rows_per_shard: 20")
        .replace("source: python_stdlib", "source: python_stdlib\n    sample_rows: 600")
    )
    arguments = ["dataset_scripts.build", str(mixture), "--workers", "1", "--build"]
    whole = run_module(*arguments, str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", *arguments, str(tmp_path / "killed")]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    units = tmp_path / f"killed/small/{name}/units"
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline and len(list(units.glob("0*.json"))) < 5:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    stage = tmp_path / f"killed/small/{name}"
    assert len(list(units.glob("0*.json"))) >= 5 and not (stage / "manifest.json").exists(), "not killed in the middle"
    again = run_module(*arguments, str(tmp_path / "killed"))
    assert again.returncode == 0, again.stderr
    assert read_json(stage / "run.json")["units_resumed"] >= 5
    assert digests(tmp_path / "killed/small") == digests(tmp_path / "whole/small")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_03_clean": {"min_response_chars": 40, "min_chars": 1}}, "unknown key '03_clean.min_chars'"),
        ({"sedd": 1}, "unknown key 'sedd'"),
        ({"_09_mixture": {"alchemist_share": 1.5, "mode": "add"}}, "less than or equal to 1, got 1.5"),
        ({"_09_mixture": {"alchemist_share": -0.1, "mode": "add"}}, "greater than or equal to 0, got -0.1"),
        ({"_09_mixture": {"alchemist_share": 0.1, "mode": "both"}}, "09_mixture.mode"),
        ({"_09_mixture": None}, "the key '09_mixture' is missing"),
        ({"_01_sources": []}, "01_sources"),
        ({"_01_sources": [{"source": "nobody"}]}, "no source 'nobody'; known sources:"),
        ({"_01_sources": [{"source": "toy"}, {"source": "toy"}]}, "names a source twice"),
        ({"_04_decontaminate": DECONTAMINATE | {"benchmarks": ["x"]}}, "no benchmark 'x'"),
        ({"name": "../up"}, "key 'name'"),
        ({"name": "other"}, "a mixture is called as its file is: toy"),
        ({"_08_customise": None}, "no 08_customise writes prompts"),
        ({"rows_per_shard": 0}, "rows_per_shard"),
    ],
)
def test_a_senseless_mixture_is_refused_with_file_and_key(toy_source, mixture_file, tmp_path, changes, says):
    toy_source(code_rows(12))
    path = mixture_file(**changes)
    with pytest.raises(Refusal) as refusal:
        builder.build(path, tmp_path / "build", workers=1)
    assert says in str(refusal.value) and str(path) in str(refusal.value)


def test_a_mixture_of_nothing_but_rejects_is_refused(toy_source, mixture_file, tmp_path):
    toy_source(BAD)
    with pytest.raises(Refusal, match=r"03_clean: every row was rejected \(1 does_not_compile, 1 too_short"):
        builder.build(mixture_file(), tmp_path / "build", workers=1)


def test_a_stage_that_is_not_named_is_not_run(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(12))
    builder.build(mixture_file(), tmp_path / "build", workers=1)
    final = {"alchemist_share": 0, "mode": "add"}
    path = mixture_file(_04_decontaminate=None, _08_customise=None, _09_mixture=final)
    folder = builder.build(path, tmp_path / "build", workers=1)
    assert sorted(p.name for p in folder.glob("0*")) == ["01_sources", "02_dedup", "03_clean", "09_mixture"]


def test_a_stage_whose_settings_are_commented_out_is_not_left_out_in_silence(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(12))
    path = mixture_file(_04_decontaminate=None)
    path.write_text(path.read_text() + "04_decontaminate:\n#  benchmarks: [humaneval]\n")
    with pytest.raises(Refusal, match="the key '04_decontaminate' is empty"):
        builder.build(path, tmp_path / "build", workers=1)


def test_two_builds_of_one_mixture_at_once_are_refused(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(12))
    with builder._locked(tmp_path / "build/toy"), pytest.raises(Refusal, match="another build of this mixture"):
        builder.build(mixture_file(), tmp_path / "build", workers=1)


def test_the_command_line_refuses_in_one_line(tmp_path):
    done = run_module("dataset_scripts.build", str(tmp_path / "none.yaml"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "none.yaml: there is no such file" in done.stderr
