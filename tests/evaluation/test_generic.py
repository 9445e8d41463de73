"""BBH, MMLU and GSM8K: answers are read as their authors read them, results have the schema of all others."""

import csv
import gzip
import importlib.util
import io
import json
import shutil
import zipfile

import pytest
import yaml

from artefacts import ROOT, Refusal, read_json, read_mapping, validate, write_bytes
from evaluation import compare, rescore, result
from evaluation.generic import harness, recorded, rows
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
    again = compare.compare(found, found)
    assert again["difference"] == again["mean_of_parts"]["difference"] == 0
    assert again["mean_of_parts"]["first"] == found["unweighted_mean"] and list(again["mean_of_parts"]["parts"]) == [
        "a", "b",
    ]  # fmt: skip


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


def mmlu_archive(folder, subjects):
    with zipfile.ZipFile(folder / "mmlu" / "data.zip", "w") as archive:
        for subject in subjects:
            for part, count in (("test", 3), ("dev", 5)):
                text = io.StringIO(newline="")
                csv.writer(text).writerows(
                    [f"{subject} {part} {n}?\nSecond line, with a comma", "yes", "no", "0", "1", "BD"[n % 2]]
                    for n in range(count)
                )
                archive.writestr(f"data/{part}/{subject}_{part}.csv", text.getvalue())
        archive.writestr("data/val/law_val.csv", "x")
        archive.writestr("data/README.txt", "x")


@pytest.fixture
def questions(tmp_path):
    """A data folder with two subjects of MMLU and every task of BBH, a few questions each."""
    (tmp_path / "mmlu").mkdir()
    mmlu_archive(tmp_path, ["anatomy", "virology"])
    for task in rows._BBH_SHA256:
        text = json.dumps({"examples": [{"input": f"{task}?", "target": "Yes"}]})
        write_bytes(tmp_path / "bbh" / "bbh" / f"{task}.json.gz", gzip.compress(text.encode()))
    (tmp_path / "navigate.jsonl").write_text('{"prediction": "So the answer is Yes.", "target": "Yes"}\n')
    return tmp_path


def test_questions_are_read_from_a_folder(questions):
    mmlu = rows.load("mmlu", questions)
    assert list(mmlu) == ["anatomy", "virology"] and {p: len(r) for p, r in mmlu["anatomy"].items()} == {
        "test": 3, "dev": 5,
    }  # fmt: skip
    first = mmlu["virology"]["test"][1]
    assert (
        first["answer"] == 3 and first["choices"] == ["yes", "no", "0", "1"] and "\nSecond line" in first["question"]
    )
    bbh = rows.load("bbh", questions)
    assert len(bbh) == 27 and bbh["navigate"]["test"] == [{"input": "navigate?", "target": "Yes"}]
    (questions / "mmlu" / "data.zip").write_bytes(b"PK no archive")
    with pytest.raises(Refusal, match="mmlu: a row or file is not as it should be .*; fetch it again"):
        rows.load("mmlu", questions)


def counts(found):
    return {part: len(splits["test"]) for part, splits in found.items()}


def test_questions_that_a_folder_lacks_are_named(questions):
    lacks = rows.absent("bbh", counts(rows.load("bbh", questions)))
    assert len(lacks) == 27 and lacks["snarks"] == {"expected": 178, "found": 1}
    ((name, count),) = rows.absent("mmlu", counts(rows.load("mmlu", questions))).items()
    assert name.startswith("55 of 57 subjects (abstract_algebra, astronomy, ") and count["expected"] == 14042 - 6
    assert result.published(6, {name: count})["problems_in_benchmark"] == 14042
    short = dict.fromkeys(rows._MMLU_SUBJECTS, 3)
    assert rows.absent("mmlu", short) == {"mmlu": {"expected": 14042, "found": 171}}
    recorded_in_part = recorded.score(questions / "navigate.jsonl", "cot")
    assert recorded_in_part["problems_in_benchmark"] == 6511 and "navigate" in recorded_in_part["absent"]


def test_real_questions_are_whole(real_data):
    assert rows.absent("bbh", counts(rows.load("bbh", real_data))) == {}
    assert len(rows.load("gsm8k", real_data)["gsm8k"]["test"]) == 1319
    mmlu = rows.load("mmlu", real_data)
    assert all(len(subject["dev"]) == 5 for subject in mmlu.values())
    assert sum(len(subject["test"]) for subject in mmlu.values()) == 512


def test_answers_of_lm_eval_become_a_result_of_our_schema():
    def sample(doc_id, filter_name, said, target, **metric):
        return {"doc_id": doc_id, "filter": filter_name, "filtered_resps": said, "target": target, **metric}

    rules = {name: validate(harness.Rules, row, name) for name, row in read_mapping(harness.RULES).items()}
    assert {name: r.shots for name, r in rules.items()} == {"mmlu": 5, "bbh": 3, "gsm8k": 4} and list(rules) == list(
        rows.NAMES
    )
    chosen = [[str(-n), "False"] for n in (3, 1, 2, 9)]
    logged = {"ours_mmlu_law": [sample(1, "none", chosen, "1", acc=1.0), sample(0, "none", chosen, "0", acc=0.0)]}
    found = result.build_answers(harness.answers("mmlu", rules["mmlu"], logged))
    assert [t["passed"] for t in found["tasks"].values()] == [0, 1] and list(found["tasks"]) == ["law/0", "law/1"]
    assert found["tasks"]["law/0"]["verdicts"][0]["reason"] == "expected 'A', got 'B'"
    logged = {"ours_gsm8k_gsm8k": [sample(0, "strict-match", ["[invalid]"], "7", exact_match=0.0),
                                   sample(0, "flexible-extract", ["7"], "7", exact_match=1.0)]}  # fmt: skip
    assert result.build_answers(harness.answers("gsm8k", rules["gsm8k"], logged))["passed"] == 1


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_without_lm_eval_one_sentence_says_what_to_install(tiny_model, questions, tmp_path):
    with pytest.raises(Refusal, match="lm-eval is not installed; run .* -r requirements-extras.txt"):
        harness.evaluate("mmlu", str(tiny_model), tmp_path / "out", questions, None)


needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed (requirements-extras)"
)


@needs_lm_eval
def test_lm_eval_asks_our_questions_offline_with_the_papers_shots(tiny_model, questions, tmp_path, capsys):
    found = harness.evaluate("mmlu", str(tiny_model), tmp_path / "out", questions, 2)
    assert (found["problems"], found["problems_in_benchmark"]) == (4, 14042)
    assert list(found["scores"]) == ["anatomy", "virology"]
    assert found == read_json(tmp_path / "out/result.json") and found["protocol"]["shots"] == 5
    assert harness.evaluate("mmlu", str(tiny_model), tmp_path / "out", questions, 2) == found
    assert "unchanged" in capsys.readouterr().out
    assert compare.compare(found, found)["tasks"] == 4


@pytest.fixture
def knows(monkeypatch):
    """lm-eval with a model that `knows(right)` answers for: right(question's prompt) -> its answer."""
    import lm_eval
    from lm_eval.api.model import LM

    asked = []

    def install(right):
        class Known(LM):
            def generate_until(self, requests):
                asked.extend((request.args[0], request.args[1]) for request in requests)
                return [right(request.args[0]) for request in requests]

            def loglikelihood(self, requests):
                asked.extend((request.args[0], {}) for request in requests)
                return [(float(right(r.args[0]) == r.args[1].strip()), False) for r in requests]

            def loglikelihood_rolling(self, requests):
                raise NotImplementedError

        real = lm_eval.simple_evaluate
        options = ("model_args", "batch_size", "device")
        monkeypatch.setattr(
            lm_eval, "simple_evaluate",
            lambda model, **given: real(Known(), **{k: v for k, v in given.items() if k not in options}),
        )  # fmt: skip
        return asked

    return install


@needs_lm_eval
def test_every_task_of_bbh_has_three_examples_and_its_own_question(tiny_model, questions, tmp_path, knows):
    asked = knows(lambda prompt: "No wonder. So the answer is " + ("No." if "snarks?" in prompt else "Yes."))
    found = harness.evaluate("bbh", str(tiny_model), tmp_path, questions, None)
    for task in rows._BBH_SHA256:
        (prompt, options) = next(
            (text, o) for text, o in asked if text.rstrip().endswith(f"Q: {task}?\nA: Let's think step by step.")
        )
        assert prompt.count("Q: ") == 4 and prompt.count("So the answer is") == 3, task
        assert options["max_gen_toks"] == 512 and not options["do_sample"]
    assert len(asked) == 27 and (found["problems"], found["problems_in_benchmark"]) == (27, 6511)
    wrong = [task_id for task_id, task in found["tasks"].items() if not task["passed"]]
    assert wrong == ["snarks/0"] and found["unweighted_mean"] == pytest.approx(26 / 27)
    assert found["tasks"]["snarks/0"]["verdicts"][0]["reason"] == "expected 'Yes', got 'No'"


@needs_lm_eval
def test_mmlu_has_five_examples_of_its_subject(tiny_model, questions, tmp_path, knows):
    asked = knows(lambda prompt: "D")
    found = harness.evaluate("mmlu", str(tiny_model), tmp_path, questions, None)
    assert len(asked) == 2 * 3 * 4  # subjects x questions x choices
    for prompt, _ in asked:
        subject = "anatomy" if "anatomy test" in prompt else "virology"
        assert prompt.count(f"{subject} dev") == 5 and prompt.count("Answer: ") == 5 and prompt.endswith("Answer:")
        assert f"{subject} test" in prompt and "D. 1" in prompt
    assert [task["passed"] for task in found["tasks"].values()] == [0, 1, 0] * 2  # B, D, B are right


@needs_lm_eval
def test_gsm8k_has_four_examples_and_the_last_number_counts(tiny_model, tmp_path, knows):
    lines = [
        {"question": f"How much is {n} and 1,000?", "answer": f"{n} + 1000.\n#### {n + 1000}"} for n in range(1319)
    ]
    write_bytes(tmp_path / "gsm8k/test.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    asked = knows(lambda prompt: "First 3. The answer is 1,001, or so." if " 1 and " in prompt else "7")
    found = harness.evaluate("gsm8k", str(tiny_model), tmp_path / "out", tmp_path, 3)
    assert len(asked) == 3
    for number, (prompt, options) in enumerate(asked):
        assert prompt.count("Q: ") == 5 and prompt.count("The answer is") == 4
        assert prompt.endswith(f"Q: How much is {number} and 1,000?\nA:") and options["max_gen_toks"] == 512
    assert [task["passed"] for task in found["tasks"].values()] == [0, 1, 0]
    assert (found["problems"], found["problems_in_benchmark"], found["absent"]) == (3, 1319, {})


@needs_lm_eval
def test_a_model_of_the_hub_is_asked_at_the_commit_that_the_result_names(
    tiny_model, questions, tmp_path, monkeypatch, knows
):
    import lm_eval

    knows(lambda prompt: "D")
    asked, real = [], lm_eval.simple_evaluate  # the one that knows

    def evaluate(model, **given):
        asked.append(given["model_args"])
        return real(model, **given)

    monkeypatch.setattr(lm_eval, "simple_evaluate", evaluate)
    monkeypatch.setattr(harness, "resolved", lambda model: f"{model}@{'5' * 40}")
    found = harness.evaluate("mmlu", "lab/m", tmp_path, questions, 1)
    assert found["model"] == f"lab/m@{'5' * 40}"
    assert (asked[0]["pretrained"], asked[0]["revision"]) == ("lab/m", "5" * 40)
    monkeypatch.setattr(harness, "resolved", lambda model: f"{model}@{'6' * 40}")  # the branch moved
    harness.evaluate("mmlu", "lab/m", tmp_path, questions, 1)
    assert [given["revision"] for given in asked] == ["5" * 40, "6" * 40]


@needs_lm_eval
def test_another_tokenizer_is_another_result(tiny_model, questions, tmp_path, knows):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    asked = knows(lambda prompt: "D")
    for name in (None, "tokenizer_config.json"):
        if name:
            settings = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps(settings | {"chat_template": "another"}))
        harness.evaluate("mmlu", str(folder), tmp_path / "out", questions, 1)
    assert len(asked) == 2 * 2 * 4  # twice: subjects x choices


BASE_MODEL = ROOT / "build/models/SmolLM2-135M-Instruct"


@needs_lm_eval
@pytest.mark.slow
@pytest.mark.skipif(not BASE_MODEL.is_dir(), reason=f"{BASE_MODEL} is not there; make base-model")
@pytest.mark.parametrize(("name", "asked", "published"), [("mmlu", 5, 14042), ("bbh", 27, 6511), ("gsm8k", 1, 1319)])
def test_a_real_model_answers_real_questions_offline(real_data, tmp_path, monkeypatch, name, asked, published):
    """One question of each task, few tokens: whether the whole way holds, and no score."""
    rules = {key: row | {"max_new_tokens": row["max_new_tokens"] and 48}
             for key, row in read_mapping(harness.RULES).items()}  # fmt: skip
    monkeypatch.setattr(harness, "RULES", tmp_path / "rules.yaml")
    harness.RULES.write_text(yaml.safe_dump(rules))
    found = harness.evaluate(name, str(BASE_MODEL), tmp_path / name, real_data, 1)
    assert (found["problems"], found["problems_in_benchmark"]) == (asked, published)
    reasons = [task["verdicts"][0]["reason"] for task in found["tasks"].values()]
    said = [reason.split(", got ")[1] for reason in reasons if reason]
    assert found["passed"] == reasons.count(None) and all(text != "''" for text in said), "it said something each time"
    if name != "gsm8k":
        parts = compare.compare(found, found)["mean_of_parts"]
        assert len(parts["parts"]) == asked and parts["first"] == pytest.approx(found["unweighted_mean"])
    assert bool(found["absent"]) == (name == "mmlu")  # the folder holds five subjects
