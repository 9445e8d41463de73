"""CPD and the harmony table: batching changes nothing, pairs stay pairs, a rerun scores nothing twice."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from artefacts import Refusal, read_json, write_json
from dataset_scripts import build as builder
from dataset_scripts import cpd, harmony
from dataset_scripts.schema import make_row
from dataset_scripts.stage_files import manifest
from tests.conftest import code_rows


@pytest.fixture(scope="module")
def model_and_tokenizer(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_model).eval().float(), AutoTokenizer.from_pretrained(tiny_model)


TEXTS = [("", "def f(): pass"), ("Add two numbers.", "def f(): pass"), ("Add.", "x"), ("", "y = 1\n" * 9)]


def test_scores_are_those_of_every_text_alone(model_and_tokenizer):
    import torch

    model, tokenizer = model_and_tokenizer
    texts = [cpd.tokenised(tokenizer, *text) for text in TEXTS]
    found = cpd.scores(model, texts, max_batch_tokens=80)
    for text, score in zip(texts, found, strict=True):
        ids = torch.tensor([text.ids])
        with torch.inference_mode():
            logs = torch.log_softmax(model(ids).logits[0].double(), dim=-1)
        nll = [-float(logs[i, token]) for i, token in enumerate(text.ids[1:])]
        assert score.context_nll == pytest.approx(sum(nll[: text.context_tokens]), rel=1e-4, abs=1e-6)
        assert score.response_nll == pytest.approx(sum(nll[text.context_tokens :]), rel=1e-4)
        assert score.response_perplexity == pytest.approx(math.exp(score.response_nll / text.response_tokens))
    assert found == cpd.scores(model, texts, max_batch_tokens=80)


def test_the_response_has_the_same_tokens_whatever_stands_before_it(model_and_tokenizer):
    _, tokenizer = model_and_tokenizer
    alone, behind = (cpd.tokenised(tokenizer, *text) for text in TEXTS[:2])
    assert alone.ids[1:] == behind.ids[1 + behind.context_tokens :] and alone.context_tokens == 0
    assert alone.response_tokens == behind.response_tokens == len("def f(): pass")
    assert behind.context_tokens == len("Add two numbers.\n\n")


def test_batches_hold_every_text_once_and_no_more_tokens_than_asked(model_and_tokenizer):
    _, tokenizer = model_and_tokenizer
    texts = [cpd.tokenised(tokenizer, "", "x" * n) for n in (5, 70, 3, 30, 30, 1)]
    made = list(cpd.batches(texts, 64))
    assert sorted(place for batch in made for place in batch) == list(range(6))
    assert all(len(b) == 1 or len(b) * max(len(texts[i].ids) for i in b) <= 64 for b in made)


def test_an_interval_covers_the_mean_of_paired_differences():
    found = harmony.interval(np.array([1.0, 2.0, 3.0] * 40), seed=0)
    assert found["low"] < found["mean"] == 2.0 < found["high"] and found["n"] == 120
    assert found["high"] - found["low"] < 0.4
    assert harmony.interval(np.zeros(10), 0) == {"mean": 0, "low": 0, "high": 0, "n": 10}


def test_sources_that_speak_alike_are_not_told_apart():
    labels = ["books", "chats"] * 40
    apart = harmony.told_apart([f"{label} speaks {n}" for n, label in enumerate(labels)], labels, 0)
    alike = harmony.told_apart([f"all speak {n // 2 % 7}" for n in range(80)], labels, 0)
    assert apart["accuracy"] == 1.0 and alike["accuracy"] < 0.7 and alike["largest_source"] == 0.5
    with pytest.raises(Refusal, match="needs two sources"):
        harmony.told_apart(["x"] * 9, ["books"] * 9, 0)


def rows(count):
    return [
        make_row(source="ab"[n % 2], instruction=i, response=r, license="MIT", generator="human", language="python")
        | {"alchemist_prompt": "Use recursion." if n else None}
        for n, (i, r) in enumerate(code_rows(count))
    ]


def test_every_condition_has_the_same_rows_and_shuffled_ones_another_rows_prompt():
    some = rows(8)
    found = harmony.conditions(some, {some[3]["id"]: "a-teacher"}, seed=0)
    assert set(found) == {"none", "static", "llm", "shuffled", "placebo"}
    assert set(found["static"]) == set(found["none"]) == set(found["shuffled"]) == {row["id"] for row in some}
    assert found["llm"] == {some[3]["id"]: "Use recursion."}
    assert set(found["none"].values()) == {""}
    assert all(found["shuffled"][i] != found["static"][i] for i in found["static"])
    assert sorted(found["shuffled"].values()) == sorted(found["static"].values())
    assert [len(t.split()) for t in found["placebo"].values()] == [len(t.split()) for t in found["static"].values()]


def test_a_rerun_scores_no_chunk_twice_and_too_long_rows_are_counted(tmp_path, model_and_tokenizer, monkeypatch):
    model, tokenizer = model_and_tokenizer
    monkeypatch.setattr(harmony, "ROWS_PER_CHUNK", 4)
    some = rows(12)
    some[0]["response"] += "\n" + "x" * 3000
    calls = []

    def score(texts):
        calls.append(len(texts))
        return cpd.scores(model, texts)

    def measured(limit=1500):
        return harmony.measure(
            some,
            harmony.conditions(some, {}, 0),
            score,
            lambda *text: cpd.tokenised(tokenizer, *text),
            limit,
            tmp_path,
            0,
        )

    first = measured()
    assert first["rows"] == 11 and first["left_out"] == {"no_static_prompt": 0, "longer_than_limit": 1}
    assert len(calls) == 3 and sum(calls) == 11 * 5
    (tmp_path / "scores/00001.json").unlink()
    assert measured() == first and len(calls) == 4
    assert first["conditions"]["static"]["difference_to_none"]["cpd_response"]["n"] == 11
    assert "difference_to_none" not in first["conditions"]["none"]
    with pytest.raises(Refusal, match="all 12 rows are longer than 20 tokens"):
        measured(20)


def test_every_row_of_a_mixture_has_a_score_that_a_selection_can_read(
    toy_source, mixture_file, tmp_path, tiny_model, monkeypatch
):
    toy_source(code_rows(12))
    monkeypatch.setattr(cpd, "ROWS_PER_CHUNK", 5)
    folder = builder.build(mixture_file(), tmp_path / "build", workers=1)
    path = cpd.score_rows(folder, tiny_model, max_length_tokens=200)
    final = {"alchemist_share": 0.25, "mode": "replace", "select": "cpd_band", "cpd_band": [0.2, 0.8]}
    built = builder.build(mixture_file(_09_mixture=final | {"cpd_scores": str(path)}), tmp_path / "build", workers=1)
    assert manifest(built / "09_mixture")["notes"]["rows_chosen"] == 3
    scored = pq.read_table(path).to_pydict()
    assert len(scored["id"]) == 12 and all(map(math.isfinite, scored["cpd"]))
    monkeypatch.setattr(cpd, "scores", None)
    assert pq.read_table(cpd.score_rows(folder, tiny_model, max_length_tokens=200)).to_pydict() == scored
    with pytest.raises(Refusal, match="its instruction has .* raise --max-length-tokens"):
        cpd.score_rows(folder, tiny_model, max_length_tokens=10)


def test_the_whole_way_on_a_built_mixture(toy_source, mixture_file, tmp_path, tiny_model):
    toy_source(code_rows(12))
    folder = builder.build(mixture_file(), tmp_path / "build", workers=1)
    bill = [{"role": "alchemist", "usd": 0.25}, {"role": "evolve", "usd": 9.0}, {"role": "alchemist", "usd": 0.5}]
    write_json(folder / "asked/08_customise.json", {"bill": bill})
    report = harmony.run(folder, tiny_model, rows_per_source=6, max_length_tokens=1000, seed=0)
    assert report["usd"] == 0.75 and "prompts cost $0.7500" in harmony.table(report)
    assert report == read_json(folder / "harmony/harmony.json") and report["rows"] == 6
    assert "shuffled" in harmony.table(report) and "6 rows of toy" in harmony.table(report)
    write_json(folder / "harmony/harmony.json", {})
    assert harmony.run(folder, tiny_model, rows_per_source=6, max_length_tokens=1000, seed=0) == report
