"""A row's life and the ledger, told from the artefacts alone."""

import re

import pytest

from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import ledger, why
from dataset_scripts.stage_files import read_rows
from evaluation.benchmarks import humaneval
from tests.conftest import code_rows, run_module


@pytest.fixture
def built(toy_source, mixture_file, tmp_path):
    leak = humaneval.load()[0]
    toy_source([
        *code_rows(20),
        ("Broken.", "```python\ndef f(:\n```"),
        ("Do it.", f"```python\n{leak.prompt}{leak.solution}\n```"),
    ])  # fmt: skip
    return builder.build(mixture_file(), tmp_path / "build", workers=1)


def id_of(folder, stage, kind="kept", **wanted):
    rows = read_rows(folder / stage, kind).to_pylist()
    return next(r["id"] for r in rows if all(r[k] == v for k, v in wanted.items()))


def test_a_kept_row_names_its_copy_and_the_copy_its_parent(built):
    copy = next(r for r in read_rows(built / "09_mixture").to_pylist() if r["parents"])
    (parent,) = copy["parents"]
    of_parent, of_copy = "\n".join(why.told(built, parent)), "\n".join(why.told(built, copy["id"]))
    assert f"In the mixture as it is, and once more with its AlchemistPrompt ({copy['id']})." in of_parent
    assert f"made from  {parent}" in of_copy and "with its AlchemistPrompt before the instruction" in of_copy
    assert [s.stage for s in why.life(built, parent)] == read_json(built / "mixture.json")["stages"]
    plain = next(r for r in read_rows(built / "09_mixture").to_pylist() if not r["parents"] and r["id"] != parent)
    assert "\n".join(why.told(built, plain["id"])).endswith("In the mixture, without a prompt.")


def test_a_rejected_row_says_where_and_why(built):
    told = "\n".join(why.told(built, id_of(built, "03_clean", "rejected", reason="does_not_compile")))
    assert told.endswith("Not in the mixture: 03_clean rejected it as does_not_compile.")
    assert "compile_error: line 1" in told and "def f(:" in told and "02_dedup           kept" in told


def test_a_contaminated_row_names_the_benchmark_item(built):
    told = "\n".join(why.told(built, id_of(built, "04_decontaminate", "rejected", reason="contaminated")))
    assert "HumanEval/0" in told and "neither published nor taught from" in told


def test_a_near_duplicate_is_shown_beside_the_row_that_was_kept(toy_source, mixture_file, tmp_path):
    words = " ".join(f"word{n}" for n in range(60))
    toy_source([*code_rows(12), ("Say it.", f"{words} first"), ("Say it.", f"{words} second")])
    settings = {"_02_dedup": {"near_duplicate_similarity": 0.7}, "_03_clean": None}
    folder = builder.build(mixture_file(**settings), tmp_path / "build", workers=1)
    kept = id_of(folder, "02_dedup", instruction="Say it.")
    told = "\n".join(why.told(folder, id_of(folder, "02_dedup", "rejected", reason="near_duplicate")))
    first, _, second = told.partition(f"the row {kept} was kept in its place")
    assert "word59" in first and "word59" in second and first[-200:] != second[-200:]


def test_no_text_with_a_credential_is_shown_whatever_it_was_rejected_for(toy_source, mixture_file, tmp_path):
    leak, key = humaneval.load()[0], "AKIA" + "QWERTZUIOPASDFGH"
    copied = f"```python\nkey = '{key}'\n{leak.prompt}{leak.solution}\n```"
    toy_source(
        [*code_rows(12), ("Do it.", copied), ("Twice.", f"key = '{key}' " * 9), ("Twice.", f"key = '{key}' " * 9)]
    )
    folder = builder.build(mixture_file(_03_clean=None), tmp_path / "build", workers=1)
    for stage, reason in (("02_dedup", "duplicate"), ("04_decontaminate", "contaminated")):
        told = "\n".join(why.told(folder, id_of(folder, stage, "rejected", reason=reason)))
        assert "(text withheld: it holds a credential)" in told and key not in told


def test_a_kept_row_says_what_it_was_compared_with(built):
    kept = next(r for r in read_rows(built / "09_mixture").to_pylist() if not r["parents"])
    assert "compared with humaneval (164 of 164 items)" in "\n".join(why.told(built, kept["id"]))


def test_the_beginning_of_an_id_is_enough_and_an_ambiguous_one_is_refused(built):
    ids = read_rows(built / "01_sources")["id"].to_pylist()
    assert why.resolve(built, ids[0][:12]) == ids[0]
    first = next(i[0] for i in ids if sum(j.startswith(i[0]) for j in ids) > 1)
    with pytest.raises(Refusal, match=f"ids begin with '{first}': .* give more of the one you mean") as refusal:
        why.resolve(built, first)
    introduced = re.findall(r"(\w+) \(toy: ([^)]*)\)", str(refusal.value))
    assert 2 <= len(introduced) <= 3 and len(str(refusal.value)) < len(str(built)) + 350
    instruction_of = {r["id"]: r["instruction"] for r in read_rows(built / "01_sources").to_pylist()}
    for beginning, words in introduced:
        assert len(beginning) < 20 and instruction_of[why.resolve(built, beginning)] == words


def test_an_ambiguous_beginning_shows_no_text_that_is_withheld():
    rows = [{"id": "ab1", "source": "toy", "instruction": "my key is hunter2", "reason": None}]
    rows.append(rows[0] | {"reason": "secret", "instruction": None})
    assert why._introduced(["ab1", "ab2"], 0, rows) == "ab1 (toy: text withheld)"


def test_what_no_row_is_called_is_refused(built):
    with pytest.raises(Refusal, match="no row's id begins with 'xyz'"):
        why.resolve(built, "xyz")


def test_leaks_of_a_mixture_without_any_are_an_empty_table(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(12))
    folder = builder.build(mixture_file(), tmp_path / "build", workers=1)
    done = run_module("dataset_scripts.leaks", str(folder), "--show", "3")
    assert done.returncode == 0, done.stderr
    assert "| toy | 12 | 0" in done.stdout


def test_without_a_build_or_an_id_one_sentence(built, tmp_path):
    for arguments in (["dataset_scripts.why", str(tmp_path), "ab"], ["dataset_scripts.ledger", str(tmp_path)]):
        done = run_module(*arguments)
        assert done.returncode == 2 and "no finished stage there" in done.stderr and done.stderr.count("\n") == 1
    with pytest.raises(Refusal, match="no finished stage"):
        why.stages(tmp_path)


def test_the_ledger_accounts_for_every_source_and_reason(built):
    ledgers = [read_json(path) for path in sorted(built.glob("*/ledger.json"))]
    shown = ledger.table(ledgers).splitlines()
    assert len(shown) == 1 + len(ledgers)  # one source: no line of its own for the sum
    assert shown[3].split()[:6] == ["03_clean", "toy", "22", "21", "0", "1"] and "does_not_compile" in shown[3]
    two = {"a": {"rows_in": 3, "kept": 1, "rejected": {"x": 2}, "new": {"kept": 0, "rejected": {"y": 1}}}}
    both = {"stage": "03", **two["a"], "by_source": two | {"b": two["a"]}}
    assert ledger.table([both]).splitlines()[-1].split()[:2] == ["all", "sources"]
    assert "2 x, 1 y" in ledger.table([both])
