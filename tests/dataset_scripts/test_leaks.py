"""What decontamination found in a built mixture, and who may see it."""

import json
import shutil

import pytest

from artefacts import Refusal, read_json, write_json
from dataset_scripts import build as builder
from dataset_scripts import leaks, references
from dataset_scripts.stage_files import manifest, read_rows
from evaluation import benchmarks
from tests.conftest import DECONTAMINATE, code_rows, run_module


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A built mixture of which three of twenty-three rows hold HumanEval."""
    from dataset_scripts import sources

    patch = pytest.MonkeyPatch()
    problems = benchmarks.load("humaneval")
    pairs = [*code_rows(20), *((p.prompt, f"```python\n{references.whole_program(p)}\n```") for p in problems[:3])]
    source = sources.Source("MIT", "human", lambda: "1", lambda *_: iter(pairs), lambda raw: raw)
    known = sources.load
    patch.setattr(sources, "load", lambda key, *more: source if key == "toy" else known(key, *more))
    folder = tmp_path_factory.mktemp("leaky")
    import yaml

    path = folder / "leaky.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "leaky", "seed": 0, "rows_per_shard": 10, "01_sources": [{"source": "toy"}],
                "04_decontaminate": DECONTAMINATE, "09_mixture": {"alchemist_share": 0.0, "mode": "add"},
            }
        )
    )  # fmt: skip
    yield builder.build(path, folder / "build", workers=1)
    patch.undo()


def test_the_leak_table_counts_rows_signals_and_items(leaky):
    found = read_json(leaky / "04_decontaminate" / "leaks.json")
    of = found["by_source"]["toy"]
    assert (of["rows"], of["removed"], of["items"]) == (23, 3, {"humaneval": 3})
    assert of["by_signal"]["ngram"] == 3 and of["removed_share"] == 3 / 23 and found["total"] == of
    assert sum(of["syntax_trees"].values()) == 23 and found["paper_removed_share"] == 0.06
    shown = (leaky / "04_decontaminate" / "leaks.md").read_text()
    assert "| toy | 23 | 3 (13.04 %) | 3 (13.04 %) |" in shown and "humaneval 3 of 164" in shown


def test_the_leak_table_is_written_again_when_it_was_lost(leaky):
    path = leaky / "04_decontaminate" / "leaks.json"
    before = path.read_bytes()
    path.unlink()
    leaks.write(leaky / "04_decontaminate")
    assert path.read_bytes() == before


def test_hits_are_shown_beside_the_benchmark_and_redacted_in_the_artefact(leaky, monkeypatch, capsys):
    def said(*arguments):
        monkeypatch.setattr("sys.argv", ["leaks", *arguments])
        return leaks.main(), capsys.readouterr()

    code, shown = said(str(leaky), "--show", "1")
    assert code == 0 and "humaneval/HumanEval/0 prompt: ngram 1.000" in shown.out and "«" in shown.out
    assert "has_close_elements" in shown.out
    rejected = read_rows(leaky / "04_decontaminate", "rejected").to_pylist()
    assert [r["instruction"] for r in rejected] == [None] * 3
    assert said(str(leaky))[1].out == (leaky / "04_decontaminate" / "leaks.md").read_text()
    code, shown = said(str(leaky / "nowhere"))
    assert code == 2 and shown.err.count("\n") == 1


def test_the_texts_of_hits_are_kept_and_of_no_other_item_so_that_no_benchmark_is_needed_to_show_them(
    leaky, monkeypatch
):
    items = leaks.benchmark_items(leaky / "04_decontaminate")
    facts = list(leaks.rows(leaky / "04_decontaminate"))
    referred = {piece["reference"] for row in facts for piece in row["evidence"]}
    assert set(items) == referred and 6 <= len(items) < 100
    monkeypatch.setattr(benchmarks, "load", lambda *_, **__: pytest.fail("a benchmark was loaded"))
    assert "has_close_elements" in "\n".join(leaks.told(leaky / "04_decontaminate", 1))
    (leaky / "04_decontaminate" / leaks.ITEMS).rename(leaky / "away")
    with pytest.raises(Refusal, match="benchmark_items.parquet is missing; run `make mixture"):
        leaks.benchmark_items(leaky / "04_decontaminate")
    monkeypatch.undo()
    leaks.write(leaky / "04_decontaminate")
    assert leaks.benchmark_items(leaky / "04_decontaminate") == items


def test_borderline_rows_are_exported_without_text(leaky):
    lines = (leaky / "04_decontaminate" / "borderline.jsonl").read_text().splitlines()
    facts = [row for row in leaks.rows(leaky / "04_decontaminate") if row["borderline"]]
    assert [json.loads(line)["id"] for line in lines] == [row["id"] for row in facts]
    assert all(set(json.loads(line)) == {"id", "source", "removed", "evidence"} for line in lines)


def test_the_manifest_says_what_was_compared(leaky):
    notes = manifest(leaky / "04_decontaminate")["notes"]
    assert notes["config"]["alone"]["min_share"] == 0.85 and notes["references"] > 400
    assert "humaneval/HumanEval/23 solution" in notes["looked_for_as_a_whole"]


@pytest.mark.parametrize("command", ["leaks", "why"])
def test_a_mixture_of_an_earlier_version_is_one_sentence(leaky, tmp_path, command):
    build = shutil.copytree(leaky, tmp_path / "leaky")
    noted = read_json(build / "04_decontaminate" / "manifest.json")
    del noted["notes"]["coverage"]
    write_json(build / "04_decontaminate" / "manifest.json", noted)
    (row_id, *_) = read_rows(build / "09_mixture")["id"].to_pylist()
    done = run_module(f"dataset_scripts.{command}", str(build), *([row_id] if command == "why" else []))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "built by an earlier version of this repository; run `make mixture MIXTURE=leaky` again" in done.stderr
