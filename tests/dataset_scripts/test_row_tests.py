"""Rows' own tests: run once in the sandbox, recorded, and 03_clean rejects by the record."""

import gzip
import json

import pytest

import sandbox
from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import row_tests
from dataset_scripts.row_tests import Config, job_of, status_of
from dataset_scripts.sources import jsonl
from dataset_scripts.stage_files import read_rows

CONFIG = Config(cpu_s=2.0, memory_mib=512)
CHECK = "def check(candidate):\n    assert candidate(3) == 9"


def mixture(tmp_path, rows, columns):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "tested.yaml"
    options = {"files": [str(tmp_path / "rows.jsonl")], "licence": "MIT", "generator": "human", "columns": columns}
    described = {
        "name": "tested", "seed": 0, "rows_per_shard": 100, "01_sources": [{"source": "jsonl", "options": options}],
        "03_clean": {"min_response_chars": 4, "row_tests": {"cpu_s": 2.0, "memory_mib": 512}},
        "09_mixture": {"alchemist_share": 0.0, "mode": "add"},
    }  # fmt: skip
    path.write_text(json.dumps(described))
    return path


ROWS = [
    {"q": "Square it.", "a": "def square(x):\n    return x * x", "t": CHECK, "e": "square"},
    {"q": "Square it!", "a": "def square(x):\n    return x + x", "t": CHECK, "e": "square"},
    {"q": "Square it?", "a": "def square(x):\n    while True: pass", "t": CHECK, "e": "square"},
    {"q": "No tests.", "a": "def square(x):\n    return 0", "t": None, "e": None},
    {"q": "Own assert.", "a": "def f(x):\n    return x\n\nassert f(1) == 1", "t": None, "e": None},
    {"q": "Own, false.", "a": "def f(x):\n    return x\n\nassert f(1) == 2", "t": None, "e": None},
    {"q": "A library.", "a": "import no_such_library\nassert no_such_library.f(1) == 2", "t": None, "e": None},
    {"q": "Prose", "a": "You multiply the number by itself, that is all.", "t": CHECK, "e": "square"},
]
COLUMNS = {"instruction": "q", "response": "a", "tests": "t", "entry_point": "e"}


def test_a_source_hands_tests_over_and_rows_that_fail_them_are_rejected(tmp_path, monkeypatch):
    path = mixture(tmp_path, ROWS, COLUMNS)
    folder = builder.build(path, tmp_path / "build", workers=1)
    rejected = read_rows(folder / "03_clean", "rejected")
    assert set(rejected["instruction"].to_pylist()) == {"Square it!", "Square it?", "Own, false."}
    assert set(rejected["reason"].to_pylist()) == {"fails_own_tests"}
    record = (tmp_path / "build" / row_tests.RECORD).read_text().splitlines()
    assert len(record) == 6 and {json.loads(line)["status"] for line in record} >= {"ok", "timeout", "not_judged"}

    monkeypatch.setattr(sandbox, "run_many", lambda *_, **__: pytest.fail("a verdict on record is run again"))
    (folder / "03_clean/manifest.json").unlink()
    before = read_json(folder / "03_clean/ledger.json")
    builder.build(path, tmp_path / "build", workers=1)
    assert read_json(folder / "03_clean/ledger.json") == before


def test_a_line_that_kill_left_unfinished_is_run_again(tmp_path):
    record = tmp_path / "record.jsonl"
    record.write_text('{"key": "a", "status": "ok"}\n{"key": "b", "sta')
    assert row_tests._read(record) == {"a": "ok"} and row_tests._read(tmp_path / "none") == {}


def test_without_a_sandbox_the_build_says_so(tmp_path, monkeypatch):
    def none_here(*_, **__):
        raise sandbox.SandboxError("No sandbox on this machine; install bubblewrap.")

    monkeypatch.setattr(sandbox, "run_many", none_here)
    with pytest.raises(Refusal, match="03_clean.row_tests: No sandbox on this machine"):
        builder.build(mixture(tmp_path, ROWS, COLUMNS), tmp_path / "build", workers=1)


@pytest.mark.parametrize("status", ["internal", "not_run"])
def test_what_is_not_the_row_s_fault_is_not_recorded(status):
    assert status_of(sandbox.Job("assert 1"), sandbox.Verdict(status)) is None


def test_only_asserts_count_where_a_source_brings_no_tests():
    job = job_of("x = input()\nassert x", None, CONFIG)
    assert status_of(job, sandbox.Verdict("exception", "EOFError")) == "not_judged"
    assert status_of(job, sandbox.Verdict("exception", "AssertionError")) == "exception"
    assert job_of("x = input()\nprint(x)", None, CONFIG) is None


def test_tests_without_an_entry_point_are_refused():
    columns = jsonl.Columns(instruction="q", response="a", tests="t")
    with pytest.raises(Refusal, match="`tests` and `entry_point` go together"):
        jsonl.source(jsonl.Options(files=["a.jsonl"], licence="MIT", generator="human", columns=columns))


@pytest.mark.slow
def test_real_exercises_pass_their_tests_and_broken_ones_do_not(real_data, tmp_path):
    """LeetCode's solutions (prompt = imports); half of them broken by returning None first."""
    path = real_data / "leetcode_dataset/LeetCodeDataset-v0.1.0-train.jsonl.gz"
    raw = [json.loads(line) for line, _ in zip(gzip.open(path, "rt", encoding="utf-8"), range(60), strict=False)]
    rows = [
        {"q": r["query"], "a": r["completion"], "t": r["test"], "e": r["entry_point"], "s": r["prompt"]} for r in raw
    ]
    broken = [
        row | {"a": row["a"].replace(f"def {row['e'].split('.')[-1]}(", "def something_else(")} for row in rows[::2]
    ]
    columns = COLUMNS | {"setup": "s"}
    good = builder.build(mixture(tmp_path, rows, columns), tmp_path / "good", workers=2)
    bad = builder.build(mixture(tmp_path, broken + rows[1::2], columns), tmp_path / "bad", workers=2)
    failing = read_rows(good / "03_clean", "rejected")["reason"].to_pylist()
    assert failing.count("fails_own_tests") <= 4, "recorded solutions pass, but for a few that are slow or random"
    caught = read_rows(bad / "03_clean", "rejected")["reason"].to_pylist().count("fails_own_tests")
    assert caught >= len(broken)


def test_tests_that_could_not_be_run_are_counted_and_said(tmp_path, monkeypatch, capsys):
    path = mixture(tmp_path, ROWS, {"instruction": "q", "response": "a", "tests": "t", "entry_point": "e"})
    broken = lambda jobs, workers=None: (sandbox.Verdict("internal") for _ in jobs)  # noqa: E731
    monkeypatch.setattr(sandbox, "run_many", broken)
    folder = builder.build(path, tmp_path / "build", 1)
    count = read_json(folder / "03_clean/manifest.json")["notes"]["rows_by_test_status"]
    assert count == {"not_run": 6} and not (tmp_path / "build/row_tests.jsonl").read_text()
    assert "warning: the tests of 6 row(s) could not be run here" in capsys.readouterr().err
