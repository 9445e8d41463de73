"""Who answers: a server through `llm`, vLLM where it is installed, several processes; the same samples come of it."""

import json
import os
import shutil
import sys
import types

import pytest
import torch
import yaml

from artefacts import ROOT, Refusal, read_mapping
from evaluation import checkpoint as module
from evaluation import generate
from evaluation.benchmarks import humaneval
from tests.conftest import run_module
from tests.llm.server import Server
from tests.local_hub import LocalHub

DEMO = read_mapping(ROOT / "evaluation/protocols/demo.yaml")


def write_protocol(folder, **changes):
    path = folder / "protocol.yaml"
    path.write_text(yaml.safe_dump(DEMO | changes))
    return path


def knows(content):
    """Whole functions for HumanEval/0 and /1, in chats and as continuations; nothing else."""
    for problem in humaneval.load()[:2]:
        if problem.prompt.strip() in content:
            chat = "code block" in content
            return f"```python\n{problem.prompt}{problem.solution}```" if chat else f"{problem.solution}\ndef other():"
    return "I do not know."


def ask(server, folder, limit=3, **changes):
    generator = module.Generator("m-1", "server", server)
    return module.evaluate(generator, write_protocol(folder, **changes), module.Selection(limit), folder / "out")


def test_a_server_answers_chats_and_an_unfinished_run_goes_on(tmp_path, monkeypatch):
    profile = {"name": "lab", "base_url": "", "api_key_env": "LAB_KEY", "open_weights": True, "json_schema": False,
               "max_concurrency": 2, "timeout_s": 5.0, "max_attempts": 1, "max_cost_usd": None,
               "max_tokens_total": None, "roles": {"answer": {"model": "m-1", "max_tokens": 7,
               "usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 1.0}}}  # fmt: skip
    monkeypatch.setenv("LAB_KEY", "sesame")
    broken = humaneval.load()[1].prompt.strip()
    with Server(lambda content, nth: "500" if broken in content and nth == 0 else "ok", say=knows) as server:
        path = tmp_path / "lab.yaml"
        path.write_text(yaml.safe_dump(profile | {"base_url": server.url}))
        with pytest.raises(Refusal, match="1 of 3 prompts have no answer .1 server_error.; see to the server"):
            ask(str(path), tmp_path)
        assert len(server.requests) == 3 and not (tmp_path / "out/result.json").exists()
        result = ask(str(path), tmp_path)
        assert len(server.requests) == 4, "only what had no answer is asked again"
        assert (result["passed"], result["problems"], result["engine"]) == (2, 3, "server")
        assert server.bodies[0]["max_tokens"] == DEMO["max_new_tokens"] and server.bodies[0]["temperature"] == 0
        assert server.keys == {"bearer sesame"}
    kept = (tmp_path / "out/samples.jsonl").read_text()
    assert len(kept.splitlines()) == 3 and "sesame" not in kept + (tmp_path / "out/result.json").read_text()


def test_a_server_continues_texts_and_cut_off_answers_are_scored(tmp_path):
    changes = {"style": "text", "instruction": "{prompt_as_is}", "extract": "continuation", "stop": ["\nclass"]}
    with Server(lambda content, nth: "length", say=knows) as server:
        result = ask(server.url, tmp_path, 2, **changes)
        assert result["passed"] == 2, result["tasks"]
        assert {body["prompt"] for body in server.bodies} == {p.prompt for p in humaneval.load()[:2]}
        assert server.bodies[0]["stop"] == ["\nclass"] and "messages" not in server.bodies[0]


def test_several_samples_of_a_task_are_several_answers(tmp_path):
    turn = iter(range(100))
    with Server(say=lambda content: f"answer {next(turn)}") as server:
        ask(server.url, tmp_path, 1, samples_per_task=3, temperature=0.5)
        assert len(server.requests) == 3
    rows = [json.loads(line) for line in (tmp_path / "out/samples.jsonl").read_text().splitlines()]
    assert len({row["answer"] for row in rows}) == 3 and [row["sample"] for row in rows] == [0, 1, 2]


def test_another_server_is_another_model_of_the_same_name(tmp_path):
    for _ in range(2):
        with Server(lambda content, nth: "ok", say=knows) as server:
            assert ask(server.url, tmp_path, 1)["server"] == server.url
            ask(server.url, tmp_path, 1)
            assert len(server.requests) == 1


def test_what_a_server_cannot_be_told_is_refused(tmp_path):
    with pytest.raises(Refusal, match="begins the answer of a chat .answer_prefix., which a server cannot be told"):
        ask("http://127.0.0.1:9/v1", tmp_path, answer_prefix="```python\n")
    done = run_module("evaluation.evaluate", "m-1", "--engine", "server", "--output", str(tmp_path / "out"))
    assert done.returncode == 2 and "--engine server and --server go together" in done.stderr


def test_vllm_is_asked_with_our_tokens_and_refused_where_it_is_not(tiny_model, monkeypatch):
    prompts = [generate.Prompt("one", chat=False), generate.Prompt("two", chat=True, prefix="Sure", sample=1)]
    decoding = generate.Decoding(11, 4, "bfloat16", stop=("END",))
    if "vllm" not in sys.modules:
        monkeypatch.setattr(generate.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(Refusal, match="vllm is not installed"):
            list(generate.answers("vllm", str(tiny_model), prompts, decoding, "t"))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    seen = {}

    class LLM:
        def __init__(self, **options):
            seen["model"] = options

        def get_tokenizer(self):
            return tokenizer

        def generate(self, tokens, options):
            seen["texts"], seen["options"] = [tokenizer.decode(t["prompt_token_ids"]) for t in tokens], options
            return [types.SimpleNamespace(outputs=[types.SimpleNamespace(text=f"{n} END more")]) for n in (1, 2)]

    stand_in = types.SimpleNamespace(LLM=LLM, SamplingParams=lambda **options: options)
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    monkeypatch.setattr(generate.importlib.util, "find_spec", lambda name: stand_in)
    found = {}
    for part in generate.answers("vllm", str(tiny_model), prompts, decoding, "t"):
        found |= part
    assert found == {0: "1 ", 1: "2 "}
    assert seen["texts"][0] == "one" and seen["texts"][1].endswith("<|im_start|>assistant\nSure")
    assert [(o["max_tokens"], o["stop"]) for o in seen["options"]] == [(11, ["END"])] * 2
    assert len({o["seed"] for o in seen["options"]}) == 2
    assert seen["model"] == {"model": str(tiny_model), "revision": None, "tokenizer_revision": None,
                             "dtype": "bfloat16", "seed": 0, "generation_config": "vllm"}  # fmt: skip


def sampled(model, prompts, **options):
    decoding = generate.Decoding(
        12, **{"batch_size": 3, "dtype": "float32", "temperature": 1.0, "top_p": 0.95} | options
    )
    found = {}
    for part in generate.answers("transformers", str(model), prompts, decoding, "t"):
        found |= {(prompts[i].task_id, prompts[i].sample): text for i, text in part.items()}
    return found


def test_a_sampled_answer_is_of_its_task_and_number_whatever_else_is_asked(tiny_model):
    prompts = [
        generate.Prompt("one and more " * n, False, sample=s, task_id=f"T/{n}") for n in (1, 2) for s in range(4)
    ]
    found = sampled(tiny_model, prompts)
    assert len(set(found.values())) == 8, "answers differ from sample to sample"
    assert sampled(tiny_model, prompts[5:]) == {unit: found[unit] for unit in list(found)[5:]}, "a run that goes on"
    assert sampled(tiny_model, prompts, batch_size=8) == found
    assert not set(sampled(tiny_model, prompts, seed=1).values()) & set(found.values())


def test_draws_follow_the_shares_within_the_nucleus():
    scores = torch.log(torch.tensor([[0.05, 0.5, 0.15, 0.3]]))
    prompts = [generate.Prompt("", False, sample=n, task_id="T/0") for n in range(4000)]
    for options, shares in (
        ({"temperature": 1.0, "top_p": 1.0}, [0.05, 0.5, 0.15, 0.3]),
        ({"temperature": 1.0, "top_p": 0.75}, [0, 0.625, 0, 0.375]),
        ({"temperature": 0.5, "top_p": 1.0}, [0.0068, 0.6849, 0.0616, 0.2466]),
    ):
        draws = generate._Draws(prompts, generate.Decoding(1, 1, "float32", **options))
        drawn = draws(None, scores.expand(4000, 4)).argmax(dim=-1)
        found = torch.bincount(drawn, minlength=4) / 4000
        assert found.tolist() == pytest.approx(shares, abs=0.025), options


RULES_OF_A_CHECKPOINT = {"repetition_penalty": 3.0, "temperature": 0.3, "top_k": 2, "no_repeat_ngram_size": 2,
                         "do_sample": True, "suppress_tokens": [30, 40], "min_new_tokens": 9}  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_only_the_protocol_decides_how_a_checkpoint_decodes(tiny_model, tmp_path, temperature):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | RULES_OF_A_CHECKPOINT))
    prompts = [generate.Prompt("def f(x):" * n, False, task_id=f"T/{n}") for n in range(1, 4)]
    answers = sampled(tiny_model, prompts, temperature=temperature)
    assert sampled(folder, prompts, temperature=temperature) == answers
    assert generate.set_aside(str(folder)) == RULES_OF_A_CHECKPOINT
    assert generate.set_aside(str(tiny_model)) == {}


def test_a_checkpoint_of_the_hub_is_taken_at_one_commit_that_the_result_names(tiny_model, tmp_path):
    path = write_protocol(tmp_path, max_new_tokens=4)
    with LocalHub(tmp_path / "hub") as hub:
        commit = hub.add("model", "lab/tiny", tiny_model)
        done = run_module(
            "evaluation.evaluate", "lab/tiny", "--limit", "2", "--protocol", str(path.with_suffix("")), "--output",
            str(tmp_path / "out"), env=os.environ | hub.environment(tmp_path / "home"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "out/result.json").read_text())
        assert result["model"] == f"lab/tiny@{commit}"
        asked = [request for request in hub.requests if "/resolve/" in request]
        assert asked and all(f"/resolve/{commit}/" in request for request in asked), asked
        (tmp_path / "out/result.json").unlink()
        refs = tmp_path / "home/hub/models--lab--tiny/refs"  # as `hf download lab/tiny` leaves them
        refs.mkdir(exist_ok=True)
        (refs / "main").write_text(commit)
        again = run_module(
            "evaluation.evaluate", "lab/tiny", "--limit", "2", "--protocol", str(path.with_suffix("")), "--output",
            str(tmp_path / "out"), env=os.environ | hub.environment(tmp_path / "home") | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert again.returncode == 0, again.stderr
        assert json.loads((tmp_path / "out/result.json").read_text())["model"] == f"lab/tiny@{commit}"
        gone = run_module(
            "evaluation.evaluate", "lab/none", "--output", str(tmp_path / "none"),
            env=os.environ | hub.environment(tmp_path / "home"),
        )  # fmt: skip
    assert gone.returncode == 2 and "does not say which commit it is at" in gone.stderr and "lab/none@" in gone.stderr


@pytest.mark.slow
def test_two_processes_give_the_answers_of_one_and_go_on_where_they_were(tiny_model, tmp_path):
    path = write_protocol(tmp_path, batch_size=2, max_new_tokens=24)  # four batches, the last one of one problem
    more = ("--protocol", str(path.with_suffix("")), "--limit", "7", str(tiny_model))
    launch = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
              "-m", "evaluation.evaluate")  # fmt: skip
    one = run_module("evaluation.evaluate", *more, "--output", str(tmp_path / "one"))
    assert one.returncode == 0, one.stderr
    two = run_module(*launch, *more, "--output", str(tmp_path / "two"))
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("of 7 pass") == 1, "one process reports"
    texts = [samples_of(tmp_path / name) for name in ("one", "two")]
    assert texts[0] == texts[1] and len(texts[0]) == 7
    (tmp_path / "two/result.json").unlink()
    lines = (tmp_path / "two/samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "two/samples.jsonl").write_text("".join(lines[:3]))
    again = run_module(*launch, *more, "--output", str(tmp_path / "two"))
    assert again.returncode == 0, again.stderr
    assert samples_of(tmp_path / "two").keys() == texts[0].keys()  # other batches: texts may differ in bfloat16
    assert (tmp_path / "two/samples.jsonl").read_text().startswith("".join(lines[:3]))


def samples_of(folder):
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return {row["task_id"]: row["answer"] for row in rows}
