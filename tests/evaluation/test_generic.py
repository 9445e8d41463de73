"""BBH, MMLU and GSM8K: answers are read as their authors read them, results have the schema of all others."""

import gzip
import json

import pytest

from artefacts import Refusal, read_json, read_mapping, validate
from evaluation import compare, rescore, result
from evaluation.generic import recorded
from tests.conftest import run_module

ROWS = [
    {"input": "Q", "prediction": "True or False is True. So the answer is True.", "target": "True"},
    {"input": "Q", "prediction": "So the answer is no. Wait. So the answer is (B).", "target": "(B)"},
    {"input": "Q", "prediction": "So the answer is 3.5.", "target": "3.5"},
    {"input": "Q", "prediction": "It is True", "target": "True"},  # never says so
]


def test_answers_are_read_by_the_authors_rule(tmp_path):
    path = tmp_path / "navigate_few_shot_template_0-255000.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"canary": "x", "outputs": ROWS}).encode()))
    found = recorded.score(path, "cot")
    assert list(found["scores"]) == ["navigate"] and (found["passed"], found["problems"]) == (3, 4)
    assert found["tasks"]["navigate/3"]["verdicts"][0]["status"] == "wrong_output"
    assert recorded.score(path, "direct")["passed"] == 0
    assert recorded.answer(" 7 \nQ: 8", "direct") == "7"


def test_a_folder_of_tasks_has_a_mean_of_tasks_and_compares(tmp_path):
    rows = {"a": [True, True, True, False], "b": [False]}
    for name, right in rows.items():
        lines = [{"prediction": "x" if r else "y", "target": "x"} for r in right]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "a_eval_metrics.jsonl").write_text("{}")
    out = tmp_path / "out.json"
    more = ("--samples", str(tmp_path), "--benchmark", "bbh", "--version", "direct", "--out", str(out))
    done = run_module("evaluation.evaluate", *more)
    assert done.returncode == 0, done.stderr
    found = read_json(out)
    assert found["pass_at_1"] == pytest.approx(3 / 5) and found["unweighted_mean"] == pytest.approx(3 / 8)
    assert found["unweighted_standard_error"] == pytest.approx((3 / 16 / 4) ** 0.5 / 2)
    assert "unweighted mean 37.5 %" in result.line(found) and "unweighted mean 37.5 %" in done.stdout
    assert compare.compare(found, found)["difference"] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"prediction": "x"}\n', "row 1: has no text under 'target'"),
        ('{"outputs": [7]}', "row 1: has no text under 'prediction'"),
        ("", "is empty"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, says):
    (tmp_path / "navigate.json").write_text(text)
    with pytest.raises(Refusal, match=says):
        recorded.score(tmp_path / "navigate.json", "cot")
    with pytest.raises(Refusal, match="no version 'cat'; known versions: cot, direct"):
        recorded.score(tmp_path / "navigate.json", "cat")


BBH = {n: validate(rescore.Record, r, n) for n, r in read_mapping(rescore.RECORDED).items() if n.startswith("bbh-")}


@pytest.mark.parametrize("name", BBH)
def test_recorded_accuracies_are_met(real_data, name, tmp_path, monkeypatch):
    monkeypatch.setenv("REAL_DATA_DIR", str(real_data))
    compared = rescore.rescore(name, BBH[name], tmp_path, None)
    assert compared["met"] and len(BBH) == 6
