import pytest
from pydantic import Field

import artefacts
from artefacts import Refusal, StrictModel, read_yaml, validate, write_bytes, write_json


class Inner(StrictModel):
    share: float


class Settings(StrictModel):
    rate: float
    inner: Inner
    size: int = Field(1, gt=0)


GOOD = "rate: 1.0e-4\ninner: {share: 0.5}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rate: 1.0\nrtae: 2\ninner: {share: 0.5}\n", "unknown key 'rtae'; did you mean 'rate'?"),
        ("rtae: 2.0\ninner: {share: 0.5}\n", "unknown key 'rtae'; did you mean 'rate'?"),
        ("rate: 1.0\nzzz: 2\ninner: {share: 0.5}\n", "unknown key 'zzz'; known keys: rate, inner, size."),
        ("rate: 1.0\ninner: {shar: 0.5}\n", "unknown key 'inner.shar'; did you mean 'share'?"),
        ("rate: 1.0\ninner: {share: 0.5, shre: 1}\n", "unknown key 'inner.shre'"),
        ("rate: 1.0\n", "the key 'inner' is missing"),
        ("rate: 1e-4\ninner: {share: 0.5}\n", "write 1.0e-4"),
        ("rate: 1.0\nrate: 2.0\ninner: {share: 0.5}\n", "line 2: not valid YAML: the key 'rate' stands twice"),
        ("rate: 1.0\ninner: {share: 0.5}\nsize: 0\n", "key 'size': Input should be greater than 0, got 0"),
        ("rate: yes\ninner: {share: 0.5}\n", "key 'rate'"),
        ("- 1\n", "expected a mapping"),
        ("rate: [\n", "not valid YAML"),
        ("", "expected a mapping"),
        ("? [1]\n: 2\n", "not valid YAML"),
        ("rate: " + "9" * 5000 + "\n", "not valid YAML"),
        ("rate: \0\n", "not valid YAML"),
    ],
)
def test_a_wrong_yaml_is_refused_in_one_sentence_that_names_file_and_key(tmp_path, text, says):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(Refusal) as refusal:
        read_yaml(path, Settings)
    assert str(path) in str(refusal.value) and says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_right_yaml_is_read(tmp_path):
    (tmp_path / "s.yaml").write_text(GOOD)
    assert read_yaml(tmp_path / "s.yaml", Settings) == Settings(rate=1e-4, inner=Inner(share=0.5))


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "demo.yaml").write_text(GOOD)
    with pytest.raises(Refusal, match="no such file; .* has demo"):
        read_yaml(tmp_path / "dmeo.yaml", Settings)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def die(*_):
        raise OSError("disk full")

    monkeypatch.setattr(artefacts.os, "fsync", die)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"half")
    assert artefacts.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_nan_is_no_number_of_an_artefact(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"loss": float("nan")})


def test_the_closure_of_a_module_follows_its_imports():
    names = {p.relative_to(artefacts.ROOT).as_posix() for p in artefacts.source_closure("dataset_scripts.clean")}
    assert {"dataset_scripts/clean.py", "dataset_scripts/facts_of_code.py", "dataset_scripts/stage.py"} <= names
    assert "dataset_scripts/__init__.py" in names and "dataset_scripts/dedup.py" not in names


def test_what_runs_in_the_sandbox_is_part_of_the_key_of_what_it_judges():
    names = {p.relative_to(artefacts.ROOT).as_posix() for p in artefacts.source_closure("evaluation.checkpoint")}
    assert {f"sandbox/{name}.py" for name in ("channel", "oracle", "sample", "server", "stage")} <= names
    assert {"evaluation/plus/calls.py", "evaluation/plus/compare.py", "evaluation/judge.py"} <= names


def test_a_key_changes_with_code_configuration_pins_and_inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(artefacts, "ROOT", tmp_path)
    (tmp_path / "one.py").write_text("import two\n")
    (tmp_path / "two.py").write_text("x = 1\n")

    def key(config=1, pins=(), inputs=()):
        artefacts.source_closure.cache_clear()
        return artefacts.code_key(["one"], config, pins, inputs)

    first = key()
    assert key() == first
    assert len({first, key(config=2), key(pins=["pytest"]), key(inputs=["a"])}) == 4
    (tmp_path / "two.py").write_text("x = 2\n")
    assert key() != first
    artefacts.source_closure.cache_clear()


def test_an_unknown_key_within_a_key_is_told_the_keys_of_that_place():
    class Inner(StrictModel):
        near_duplicate_similarity: float = 0.7

    class Outer(StrictModel):
        seed: int = 0
        dedup: Inner | None = None
        many: list[Inner] = []

    with pytest.raises(Refusal, match=r"'dedup.near_duplicate_similarty'; did you mean 'near_duplicate_similarity'"):
        validate(Outer, {"dedup": {"near_duplicate_similarty": 1}}, "x.yaml")
    with pytest.raises(Refusal, match=r"unknown key 'many.0.q'; known keys: near_duplicate_similarity\."):
        validate(Outer, {"many": [{"q": 1}]}, "x.yaml")
    with pytest.raises(Refusal, match=r"unknown key 'zzz'; known keys: seed, dedup, many\."):
        validate(Outer, {"zzz": 1}, "x.yaml")
