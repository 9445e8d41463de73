import dataclasses
import json
import shutil

import pytest
import yaml

import sandbox
from artefacts import ROOT, Refusal, hash_of, read_json, read_mapping, sha256_of_file
from evaluation import checkpoint as module
from evaluation import evaluate as command
from evaluation import generate, generator
from sandbox import backends


@pytest.fixture
def protocol(tmp_path):
    def write(**changes):
        path = tmp_path / "protocol.yaml"
        path.write_text(yaml.safe_dump(read_mapping(ROOT / "evaluation/protocols/demo.yaml") | changes))
        return path

    return write


@pytest.fixture
def perfect(monkeypatch):
    """Generation that knows the first two of three answers; counts what it is asked for."""
    asked = []

    def answers(engine, model, prompts, *_):
        from evaluation.benchmarks import humaneval

        for index, prompt in enumerate(prompts):
            asked.append(prompt.text)
            known = [p for p in humaneval.load()[:2] if p.prompt.strip() in prompt.text]
            yield {index: f"```python\n{known[0].prompt}{known[0].solution}```" if known else "I do not know."}

    monkeypatch.setattr(generate, "answers", answers)
    return asked


def evaluate(model, protocol, limit, output):
    return module.evaluate(module.Generator(str(model)), protocol, module.Selection(limit), output)


def test_a_result_counts_tells_and_is_reused(tiny_model, protocol, perfect, tmp_path, capsys):
    result = evaluate(tiny_model, protocol(), 3, tmp_path / "out")
    assert (result["passed"], result["problems"], result["problems_in_benchmark"]) == (2, 3, 164)
    assert result["pass_at_1"] == pytest.approx(2 / 3) and result["standard_error"] == pytest.approx(0.272, abs=1e-3)
    assert [task["passed"] == 1 for task in result["tasks"].values()] == [True, True, False]
    assert "cannot show a gain" in result["caveat"] and result["sandbox"]
    # what a model's card holds against the run's own record
    weights = [sha256_of_file(path) for path in sorted(tiny_model.glob("*.safetensors"))]
    assert result["model_digest"] == hash_of(weights) and result["selection"] == {"limit": 3, "tasks": []}
    assert len(perfect) == 3
    assert evaluate(tiny_model, protocol(), 3, tmp_path / "out") == result
    assert len(perfect) == 3 and "unchanged" in capsys.readouterr().out


def test_answers_of_an_interrupted_run_are_kept_and_a_cut_off_line_is_made_again(
    tiny_model, protocol, perfect, tmp_path
):
    whole = evaluate(tiny_model, protocol(), 3, tmp_path / "out")
    lines = (tmp_path / "out/samples.jsonl").read_text().splitlines()
    (tmp_path / "out/result.json").unlink()
    (tmp_path / "out/samples.jsonl").write_text(f"{lines[0]}\n{lines[1]}\n{lines[2][:30]}")
    perfect.clear()
    again = evaluate(tiny_model, protocol(), 3, tmp_path / "out")
    assert len(perfect) == 1 and again["tasks"] == whole["tasks"]
    assert [json.loads(line)["task_id"] for line in (tmp_path / "out/samples.jsonl").read_text().splitlines()] == [
        f"HumanEval/{n}" for n in range(3)
    ]


def test_a_log_hears_how_far_the_answers_are_and_whose_score_it_is(
    tiny_model, protocol, perfect, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(generator, "TELL_EVERY_S", 0.0)
    found = evaluate(tiny_model, protocol(), 2, tmp_path / "out")
    told = [line for line in capsys.readouterr().err.splitlines() if "answers" in line]
    assert told == [f"{tiny_model.name} on humaneval: {n} of 2 answers" for n in (1, 2)]
    assert module.result.line(found).startswith(f"{tiny_model}, humaneval v1.0: 2 of 2 pass")


def test_another_protocol_reuses_no_answer(tiny_model, protocol, perfect, tmp_path):
    evaluate(tiny_model, protocol(), 2, tmp_path / "out")
    evaluate(tiny_model, protocol(max_new_tokens=17), 2, tmp_path / "out")
    assert len(perfect) == 4


@pytest.mark.parametrize(
    "name", ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json"]
)
def test_answers_are_of_all_files_that_shape_them_and_the_digest_of_the_weights(
    tiny_model, protocol, perfect, tmp_path, name
):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    first = evaluate(folder, protocol(), 1, tmp_path / "out")
    (folder / "README.md").write_text("what a card says shapes no answer")
    assert evaluate(folder, protocol(), 1, tmp_path / "out") == first and len(perfect) == 1
    text = (folder / name).read_text()
    (folder / name).write_text(text.rstrip() + "\n\n")
    again = evaluate(folder, protocol(), 1, tmp_path / "out")
    assert len(perfect) == 2 and again["model_digest"] == first["model_digest"]


def test_a_changed_base_of_adapters_is_another_model(tiny_model, tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tiny_model, base)
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    generator = module.Generator(str(adapter))
    digest = module.model_digest(str(adapter), "transformers")
    before = module.answers_digest(generator, digest)
    assert module.answers_digest(generator, digest) == before
    (base / "model.safetensors").write_bytes(b"other weights")
    assert module.answers_digest(generator, digest) != before


def test_other_examples_or_inputs_of_a_benchmark_make_another_result(
    tiny_model, protocol, perfect, monkeypatch, tmp_path
):
    problem = dataclasses.replace(module.benchmarks.load("humaneval")[0], extra={"inputs": [1, {2}]})
    held = [problem, dataclasses.replace(problem, task_id="shot", split="prompt")]
    monkeypatch.setattr(module.benchmarks, "load", lambda *_: held)
    rules = protocol(shots=1, shot="{solution}")
    first = evaluate(tiny_model, rules, None, tmp_path / "out")["key"]
    assert evaluate(tiny_model, rules, None, tmp_path / "out")["key"] == first and len(perfect) == 1
    held[1] = dataclasses.replace(held[1], solution="    return True\n")
    second = evaluate(tiny_model, rules, None, tmp_path / "out")["key"]
    held[0] = dataclasses.replace(held[0], extra={"inputs": [1, {3}]})
    third = evaluate(tiny_model, rules, None, tmp_path / "out")["key"]
    assert len({first, second, third}) == 3 and len(perfect) == 2, "other inputs are judged anew, not asked anew"


def test_judging_anew_keeps_the_answers(tiny_model, protocol, perfect, tmp_path):
    evaluate(tiny_model, protocol(), 2, tmp_path / "out")
    again = evaluate(tiny_model, protocol(cpu_s=3), 2, tmp_path / "out")
    assert len(perfect) == 2 and again["protocol"]["cpu_s"] == 3


def test_running_without_a_sandbox_marks_the_result(tiny_model, protocol, perfect, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOW_UNSANDBOXED", "1")
    monkeypatch.setattr(backends, "self_test", lambda name: "it does not hold in this test")
    assert evaluate(tiny_model, protocol(), 1, tmp_path / "out")["sandbox"] == "unsandboxed"


def test_no_sandbox_no_run(tiny_model, protocol, perfect, tmp_path, monkeypatch):
    def none():
        raise sandbox.SandboxError("untrusted code has no sandbox here.")

    monkeypatch.setattr(sandbox, "backend", none)
    with pytest.raises(Refusal, match="has no sandbox here"):
        evaluate(tiny_model, protocol(), 1, tmp_path / "out")
    assert not perfect


def test_what_we_could_not_judge_is_left_out_and_listed(tiny_model, protocol, perfect, tmp_path, monkeypatch):
    judged = sandbox.run_many

    def fails_at_the_third(jobs, workers):
        for number, verdict in enumerate(judged(jobs)):
            yield verdict if number != 2 else sandbox.Verdict("internal")

    monkeypatch.setattr(sandbox, "run_many", fails_at_the_third)
    result = evaluate(tiny_model, protocol(), 3, tmp_path / "out")
    assert (result["problems"], result["pass_at_1"], result["unscored"]) == (2, 1.0, ["HumanEval/2"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"instruction": "Do it."}, "does not hold {prompt}"),
        ({"batchsize": 1}, "unknown key 'batchsize'"),
        ({"benchmark": "humanval"}, "no benchmark 'humanval'; known benchmarks: humaneval"),
    ],
)
def test_a_wrong_protocol_is_refused(tiny_model, protocol, tmp_path, changes, says):
    with pytest.raises(Refusal, match=says):
        evaluate(tiny_model, protocol(**changes), 1, tmp_path / "out")


def test_a_real_model_answers_every_problem_through_the_command_line(
    tiny_model, protocol, tmp_path, monkeypatch, capsys
):
    out, rules = tmp_path / "out", protocol(max_new_tokens=24).with_suffix("")
    more = ["--protocol", str(rules), "--limit", "3", "--output", str(out)]
    monkeypatch.setattr("sys.argv", ["evaluate", str(tiny_model), *more])
    assert command.main() == 0 and "of 3 pass" in capsys.readouterr().out
    result = read_json(out / "result.json")
    assert result["problems"] == 3 and sum(result["outcomes"].values()) == 3
    for name in ("samples.jsonl", "result.programs.jsonl"):
        rows = [json.loads(line) for line in (out / name).read_text().splitlines()]
        assert sorted(row["task_id"] for row in rows) == [f"HumanEval/{n}" for n in range(3)], name


def test_a_folder_without_weights_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path), "--output", str(tmp_path / "out")])
    assert command.main() == 2 and "no safetensors weights there" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path / "merged"), "--output", str(tmp_path / "out")])
    assert command.main() == 2
    said = capsys.readouterr().err
    assert "no such model folder" in said and "make train-" in said and "make merge-" in said and said.count("\n") == 1
