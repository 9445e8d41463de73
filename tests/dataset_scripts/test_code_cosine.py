"""A model in the place of TF-IDF: pinned, embedded once, and what happens where it cannot be had."""

import multiprocessing
import os
import re

import huggingface_hub
import numpy as np
import pytest

from artefacts import Refusal
from dataset_scripts import build as builder
from dataset_scripts import code_cosine, decontaminate, embedding_choice, leaks
from dataset_scripts.stage_files import manifest
from evaluation import benchmarks
from tests.conftest import DECONTAMINATE, code_rows
from tests.dataset_scripts.toy_benchmark import MERGE, SQUARE, config, judged, reference_set, signals


class Letters:
    """Stands in for a model: a text's vector counts its letters."""

    def encode(self, texts, **_):
        found = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1)).astype(np.float32)


MODEL = {"model": "team/code-model", "revision": "0" * 40}


@pytest.fixture
def letters(monkeypatch, tmp_path):
    """The model is `Letters`, the cache a folder of the test's own, no index is known; gives what was embedded."""
    asked = []

    def apart(model, revision, codes, where):
        asked.append(len(codes))
        return Letters().encode(codes)

    monkeypatch.setattr(code_cosine, "_load_model", lambda *_: Letters())
    monkeypatch.setattr(code_cosine, "_embedded_apart", apart)
    monkeypatch.setattr(code_cosine, "MODEL_PACKAGES", ("numpy",))
    monkeypatch.setattr(code_cosine, "CACHE", tmp_path / "embeddings")
    monkeypatch.setattr(decontaminate, "_INDICES", {})
    return asked


def model_index(monkeypatch, **changes):
    monkeypatch.setattr(decontaminate, "_INDICES", {})  # as another process would
    return decontaminate.indexed(config(embedding=MODEL | changes), reference_set(MERGE, SQUARE), "toy.yaml")


def test_a_model_takes_the_place_of_tfidf_and_the_result_says_so(letters, monkeypatch):
    monkeypatch.setattr(code_cosine, "MODEL_BLOCK_TEXTS", 2)
    settings = config(embedding=MODEL)
    found = decontaminate.indexed(settings, reference_set(MERGE, SQUARE), "toy.yaml")
    assert found.notes["embedding"] == f"team/code-model@{'0' * 40}"
    out = judged(found, *code_rows(5), ("Do it.", f"```python\n{MERGE.solution}```"), settings=settings)
    assert ("cosine", "solution", "alone") in signals(out, 5)
    (similar,) = (e for e in out["evidence"][5] if e["signal"] == "cosine")
    assert similar["score"] == 1.0 and similar["names"] == ["toy/Toy/1"]


def test_vectors_of_references_are_embedded_once_for_each_model_revision_and_set(letters, monkeypatch, tmp_path):
    first = model_index(monkeypatch).cosine._references
    again = model_index(monkeypatch).cosine._references
    assert letters == [2] and np.array_equal(first, again) and first.any()
    model_index(monkeypatch, revision="1" * 40)
    model_index(monkeypatch, model="team/other")
    assert letters == [2] * 3 and len(list((tmp_path / "embeddings").iterdir())) == 3


def test_the_content_of_a_models_folder_stands_for_its_revision(letters, monkeypatch, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"1")
    asked = {"model": str(folder), "revision": None}
    settings = config(embedding=asked)
    first, named = decontaminate.inputs(settings, "toy.yaml"), model_index(monkeypatch, **asked).notes["embedding"]
    model_index(monkeypatch, **asked)
    assert letters == [2] and decontaminate.inputs(settings, "toy.yaml") == first
    (folder / "weights").write_bytes(b"2")
    assert decontaminate.inputs(settings, "toy.yaml") != first, "other weights are another stage"
    assert model_index(monkeypatch, **asked).notes["embedding"] != named and letters == [2, 2]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"model": "team/code-model"}, "team/code-model is no folder here.*state the revision"),
        ({"model": "docs", "revision": "0" * 40}, "docs is a folder.*leave the revision out"),
    ],
)
def test_a_model_is_pinned_by_a_revision_or_by_its_folder(monkeypatch, tmp_path, asked, says):
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match=says):
        decontaminate.inputs(config(embedding=asked), "toy.yaml")


@pytest.mark.parametrize(
    ("package", "why"),
    [("numpy", "the Hub does not answer"), ("packages-of-nobody", "sentence-transformers is not installed")],
)
def test_where_a_model_cannot_be_had_the_mixture_may_name_tfidf_and_the_result_says_so(
    monkeypatch, tmp_path, capsys, package, why
):
    monkeypatch.setattr(code_cosine, "MODEL_PACKAGES", (package,))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(decontaminate, "_INDICES", {})
    asked, record = config(embedding=MODEL | {"otherwise": "tfidf"}), tmp_path / "toy" / "embedding.json"
    settled = decontaminate.settled(asked, record, "toy.yaml")
    prepared = decontaminate.prepare(settled, None, 0, "toy.yaml")
    assert isinstance(prepared.arguments["index"].cosine, code_cosine.TfidfIndex)
    assert prepared.notes["embedding"].endswith(f"in place of team/code-model@{'0' * 40} ({why})")
    assert capsys.readouterr().err.count(why) == 1


@pytest.mark.parametrize("why", [None, "the Hub does not answer"])
def test_whether_a_model_can_be_had_is_asked_once_so_that_a_build_goes_on_with_what_it_began_with(
    monkeypatch, tmp_path, letters, why
):
    asked, record = config(embedding=MODEL | {"otherwise": "tfidf"}), tmp_path / "toy" / "embedding.json"
    monkeypatch.setattr(code_cosine, "why_absent", lambda *_: why)
    first = decontaminate.inputs(decontaminate.settled(asked, record, "toy.yaml"), "toy.yaml")
    monkeypatch.setattr(code_cosine, "why_absent", lambda *_: None if why else "the Hub does not answer")
    again = decontaminate.settled(asked, record, "toy.yaml")
    assert decontaminate.inputs(again, "toy.yaml") == first
    assert isinstance(again.embedding, embedding_choice.Model) is (why is None)
    other = config(embedding=MODEL | {"otherwise": "tfidf", "revision": "1" * 40})
    assert isinstance(decontaminate.settled(other, record, "toy.yaml").embedding, embedding_choice.Model) is bool(why)
    record.unlink()
    assert decontaminate.inputs(decontaminate.settled(asked, record, "toy.yaml"), "toy.yaml") != first


def _saved(path, vectors, made_by=f"numpy=={np.__version__}"):
    with path.open("wb") as file:
        np.savez(file, vectors=vectors, made_by=np.array(made_by))


def _flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "damaged"),
        (_flipped, "damaged"),
        (lambda path: _saved(path, np.array([{}])), "damaged"),  # a pickle is not read
        (lambda path: _saved(path, np.ones((2, 26), np.float32), "numpy==1.0"), "made by numpy==1.0"),
        (lambda path: _saved(path, np.ones((3, 26), np.float32)), r"holds float32 \[3, 26\]"),
    ],
    ids=["empty", "cut", "flipped", "pickle", "version", "shape"],
)
def test_a_spoilt_file_of_vectors_is_made_anew_and_said(letters, monkeypatch, tmp_path, capsys, spoil, says):
    first = model_index(monkeypatch).cosine._references
    (path,) = (tmp_path / "embeddings").iterdir()
    whole = path.read_bytes()
    spoil(path)
    assert np.array_equal(model_index(monkeypatch).cosine._references, first)
    assert letters == [2, 2] and path.read_bytes() == whole
    said = capsys.readouterr().err
    assert re.search(f"{says}.*; embedding 2 solutions again", said) and said.count("\n") == 1


def _die(*_):
    os._exit(9)


def test_a_model_that_is_killed_is_one_sentence(monkeypatch):
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(code_cosine, "MODEL_PACKAGES", ("numpy",))
    monkeypatch.setattr(code_cosine.multiprocessing, "get_context", lambda _: fork)
    monkeypatch.setattr(code_cosine, "embedded", _die)
    with pytest.raises(Refusal, match="toy.yaml: the process that runs team/code-model was killed"):
        model_index(monkeypatch)


def test_without_sentence_transformers_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(code_cosine, "MODEL_PACKAGES", ("sentence-transformers-of-nobody",))
    for look in (lambda: model_index(monkeypatch), lambda: decontaminate.inputs(config(embedding=MODEL), "toy.yaml")):
        with pytest.raises(Refusal, match="requirements-extras.txt, or write embedding: tfidf"):
            look()


@pytest.mark.slow
def test_a_real_model_is_loaded_by_every_worker_and_an_absent_one_is_refused(
    toy_source, mixture_file, tiny_model, tmp_path, monkeypatch
):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is an extra")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(tiny_model))
    words.tokenizer.pad_token = words.tokenizer.eos_token
    pooling = Pooling(words.get_embedding_dimension())
    library.SentenceTransformer(modules=[words, pooling]).save(str(tmp_path / "m"))
    toy_source([*code_rows(15), ("Do it.", benchmarks.load("humaneval")[4].prompt * 2)])
    settings = DECONTAMINATE | {"embedding": {"model": str(tmp_path / "m")}}
    path = mixture_file(rows_per_shard=4, _04_decontaminate=settings)
    folder = builder.build(path, tmp_path / "build", workers=2)  # forked after the references were embedded
    notes = manifest(folder / "04_decontaminate")["notes"]
    assert notes["embedding"] == f"{tmp_path / 'm'}@{code_cosine.folder_digest(tmp_path / 'm')}"
    facts = list(leaks.rows(folder / "04_decontaminate"))
    assert [row["removed"] for row in facts].count(True) >= 1
    assert "cosine" in {e["signal"] for row in facts for e in row["evidence"]}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Refusal, match="the model team/none at .* cannot be loaded"):
        model_index(monkeypatch, model="team/none")
