"""What rows are compared with: every text once, with all its names; what is absent is named."""

import dataclasses
import json

import pytest

from dataset_scripts import decontaminate, leaks, references
from evaluation.benchmarks import Problem, files, mbpp
from tests.dataset_scripts.toy_benchmark import (
    MERGE,
    NEAR_PROMPT,
    NEAR_SOLUTION,
    config,
    judged,
    reference_set,
    signals,
)


def test_one_text_of_several_benchmarks_is_one_reference_with_all_names():
    found: dict = {}
    for benchmark, item in (("humaneval", "HumanEval/1"), ("humaneval_x", "Python/1")):
        problem = Problem(item, MERGE.prompt, MERGE.solution, MERGE.test, MERGE.entry_point)
        references.add(found, benchmark, problem, "solution")
    (reference,) = found.values()
    assert reference.names == (("humaneval", "HumanEval/1"), ("humaneval_x", "Python/1"))
    assert reference.problems == ("humaneval/1",)


def test_items_that_share_a_solution_are_all_named_and_each_may_be_found_together_with_its_prompt():
    other = Problem("Toy/8", "Something else entirely, of trees and leaves.", MERGE.solution, "", "merge_sorted")
    found = decontaminate.indexed(config(), reference_set(other, MERGE), "toy.yaml")
    out = judged(found, (NEAR_PROMPT, NEAR_SOLUTION))
    (piece,) = (e for e in out["evidence"][0] if e["part"] == "solution" and e["signal"] == "cosine")
    assert out["reason"] == ["contaminated"] and piece["decides"] == "together"
    assert piece["names"] == ["toy/Toy/8", "toy/Toy/1"]


def test_the_buggy_solution_that_a_benchmark_asks_to_fix_is_looked_for():
    buggy = MERGE.solution.replace("left[0] <= right[0]", "left[0] > right[0] + len(merged)")
    problem = dataclasses.replace(MERGE, solution="pass", extra={"buggy_solution": buggy})
    found = decontaminate.indexed(config(), reference_set(problem), "toy.yaml")
    out = judged(found, ("Fix it.", f"```python\n{buggy}```"))
    assert out["reason"] == ["contaminated"]
    assert {part for _, part, _ in signals(out)} == {"buggy_solution"}


def mbpp_row(number, prompt):
    code = f"def f_{number}(a):\n    return a * {number} + len(str(a))\n"
    tests = [f"assert f_{number}(1) == {number + 1}"]
    return {"task_id": number, "prompt": prompt, "code": code, "test_list": tests, "test_imports": []}


@pytest.fixture
def mbpp_folder(tmp_path, monkeypatch):
    """A folder with a full set of two problems; gives a function that adds the sanitised set, of one, to it."""
    monkeypatch.setattr(mbpp, "FILES", {"full": (("mbpp.jsonl",), 2), "sanitized": (("sanitized-mbpp.json",), 1)})
    monkeypatch.setattr(files.Hub, "fetch", lambda self: (_ for _ in ()).throw(files.Absent("no network")))
    rows = [mbpp_row(2, "Write a function that doubles and adds."), mbpp_row(3, "Write a function that trebles.")]
    (tmp_path / "mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sanitised = [mbpp_row(2, "Write a function that doubles a number and adds how many digits it has.")]
    return tmp_path, lambda: (tmp_path / "sanitized-mbpp.json").write_text(json.dumps(sanitised))


def test_every_version_at_hand_is_compared_with_and_what_is_absent_is_named(mbpp_folder):
    folder, add_sanitised = mbpp_folder
    settings = config(benchmarks=["mbpp"], folder=str(folder))
    before, key = decontaminate.prepare(settings, None, 0, "toy.yaml"), decontaminate.inputs(settings, "toy.yaml")
    assert before.notes["coverage"] == {"mbpp": {"items": 2, "of": 974, "absent": ["version sanitized"]}}
    add_sanitised()
    after = decontaminate.prepare(settings, None, 0, "toy.yaml")
    assert after.notes["coverage"]["mbpp"]["absent"] == [] and decontaminate.inputs(settings, "toy.yaml") != key
    prompts = [r.text for r in after.arguments["index"].references if r.part == "prompt"]
    assert len(prompts) == 3 and any("how many digits" in text for text in prompts)
    assert len(after.arguments["index"].references) == len(before.arguments["index"].references) + 1, "no text twice"
    said = leaks.compared_with(before.notes["coverage"])
    assert said == "mbpp (2 of 974 items; absent: version sanitized)"


def test_languages_that_a_folder_lacks_are_named(tmp_path):
    rows = [{"task_id": f"Go/{n}", "prompt": "p", "canonical_solution": "s", "test": "t", "declaration": "func F() {"}
            for n in range(164)]  # fmt: skip
    (tmp_path / "humaneval_go.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = references.coverage(["humaneval_x"], tmp_path, "toy.yaml")["humaneval_x"]
    assert (found["items"], found["of"]) == (164, 984) and "rust (164 items)" in found["absent"]
    assert len(found["absent"]) == 5
