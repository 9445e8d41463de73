"""The rule, its evidence, and what hostile rows and settings come to."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import re

import huggingface_hub
import numpy as np
import pyarrow as pa
import pytest

from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import code_cosine, contamination, decontaminate, leaks, references
from dataset_scripts.code_sections import sections
from dataset_scripts.stage_files import manifest, read_rows
from evaluation import benchmarks
from evaluation.benchmarks import Problem, files, mbpp
from tests.conftest import DECONTAMINATE, code_rows

MERGE = Problem(
    "Toy/1",
    "Write a function that merges two sorted lists of numbers into one sorted list.",
    """def merge_sorted(left, right):
    merged = []
    while left and right:
        if left[0] <= right[0]:
            merged.append(left.pop(0))
        else:
            merged.append(right.pop(0))
    return merged + left + right
""",
    "assert merge_sorted([1, 4, 9], [2, 3]) == [1, 2, 3, 4, 9]\nassert merge_sorted([], [7]) == [7]\n",
    "merge_sorted",
)
SQUARE = Problem("Toy/2", "Square it.", "def square(n):\n    return n**2\n", "assert square(3) == 9\n", "square")
RENAMED = MERGE.solution
for _old, _new in (("merge_sorted", "combine"), ("left", "a"), ("right", "b"), ("merged", "out")):
    RENAMED = RENAMED.replace(_old, _new)
NEAR_PROMPT = "Write a function that merges two sorted lists of integers into a new list."
NEAR_SOLUTION = """```python
def merge(left, right):
    result = []
    while left and right:
        if left[0] <= right[0]:
            result.append(left.pop(0))
        else:
            result.append(right.pop(0))
    result += left + right
    return result
```"""
PROSE = "Sure, here is some code that I wrote for you today; it should work."


def config(**changes):
    return decontaminate.Config(**DECONTAMINATE | {"benchmarks": ["humaneval"]} | changes)


def reference_set(*problems):
    found = {}
    for problem in problems:
        for part in references.PARTS:
            references.add(found, "toy", problem, part)
    return list(found.values())


@pytest.fixture(scope="module")
def index():
    return decontaminate.indexed(config(), reference_set(MERGE, SQUARE), "toy.yaml")


def judged(index, *pairs, settings=None, language="python"):
    columns = {"instruction": [i for i, _ in pairs], "response": [r for _, r in pairs]}
    columns["language"] = [language] * len(pairs)
    return decontaminate.batch(columns, index=index, config=settings or config())


def signals(out, row=0):
    return {(e["signal"], e["part"], e["decides"]) for e in out["evidence"][row]}


def test_a_copied_solution_is_removed_by_all_three_signals_with_its_place(index):
    response = f"{PROSE}\n\n```python\n{MERGE.solution}```\n"
    out = judged(index, ("Do it.", response))
    assert out["reason"] == ["contaminated"] and out["borderline"] == [False]
    assert {s for s in signals(out)} == {(s, "solution", "alone") for s in ("ngram", "cosine", "tree")}
    for piece in out["evidence"][0]:
        assert piece["names"] == ["toy/Toy/1"]
        span = piece["spans"][0]
        found = response[span["start"] : span["end"]]
        assert span["field"] == "response" and "merge_sorted(left, right)" in found and PROSE not in found


def test_other_names_hide_nothing_from_cosine_and_tree(index):
    assert RENAMED != MERGE.solution
    out = judged(index, ("Do it.", f"```python\n{RENAMED}```\n"))
    assert out["reason"] == ["contaminated"]
    assert {s for s, _, why in signals(out) if why} == {"cosine", "tree"}


def test_a_copied_prompt_is_removed_wherever_it_stands(index):
    asked = f"Hello! {MERGE.prompt} Thanks."
    out = judged(index, (asked, PROSE), (PROSE, asked), (PROSE, PROSE))
    assert out["reason"] == ["contaminated", "contaminated", None]
    span = out["evidence"][0][0]["spans"][0]
    assert asked[span["start"] : span["end"]] == MERGE.prompt.rstrip(".")


def test_copied_tests_are_removed(index):
    out = judged(index, ("Make these pass:\n" + MERGE.test, "pass"))
    assert signals(out) == {("ngram", "test", "alone")}


def test_what_neither_side_proves_alone_both_prove_together(index):
    out = judged(index, (NEAR_PROMPT, NEAR_SOLUTION), (NEAR_PROMPT, PROSE), (PROSE, NEAR_SOLUTION))
    assert out["reason"] == ["contaminated", None, None]
    assert {part for _, part, why in signals(out) if why == "together"} == {"prompt", "solution"}
    assert not {why for _, _, why in signals(out)} & {"alone"}


EDITED = MERGE.solution.replace("merged + left + right", "merged")  # a line cut short, nothing renamed


@pytest.mark.parametrize(
    ("agreeing", "removed"),
    [
        ({}, True),
        ({"min_share": 1.0}, False),  # a blind signal is left: the structure of much that was never copied
        ({"min_cosine": 1.0, "max_tree_distance": 0.0}, False),  # names are left
        (None, False),
    ],
)
def test_a_signal_that_reads_names_and_one_that_does_not_agree_on_a_solution(index, agreeing, removed):
    rules = {"alone": DECONTAMINATE["alone"] | {"min_share": 1.0, "min_cosine": 1.0, "max_tree_distance": 0.0}}
    rules["agreeing"] = None if agreeing is None else DECONTAMINATE["agreeing"] | agreeing
    out = judged(index, ("Do it.", f"```python\n{EDITED}```"), settings=config(**rules))
    assert out["reason"] == ["contaminated" if removed else None]
    if removed:
        assert {why for _, _, why in signals(out)} == {"agreeing"}
        assert {s for s, _, _ in signals(out)} >= {"ngram", "cosine"}


def test_two_signals_on_two_solutions_do_not_agree():
    found = decontaminate.indexed(config(), reference_set(MERGE, SQUARE), "toy.yaml")
    rows = [contamination.Evidence(0, signal, number, 0.8, 40, ()) for number, signal in ((1, "ngram"), (4, "cosine"))]
    assert [found.references[piece.reference].part for piece in rows] == ["solution"] * 2
    assert not decontaminate.decisive(rows, found, config().rules)
    agreed = [rows[0], dataclasses.replace(rows[1], reference=1)]
    assert decontaminate.decisive(agreed, found, config().rules) == {0: "agreeing", 1: "agreeing"}


def test_two_sides_of_two_problems_prove_nothing():
    other = Problem("Toy/9", MERGE.prompt, SQUARE.solution, "", "square")
    mine = Problem("Toy/1", "Something else entirely, of trees and leaves.", MERGE.solution, "", "merge_sorted")
    found = decontaminate.indexed(config(), reference_set(other, mine), "toy.yaml")
    assert judged(found, (NEAR_PROMPT, NEAR_SOLUTION))["reason"] == [None]


def test_a_short_solution_needs_its_signature(index):
    out = judged(
        index,
        ("Do it.", "```python\ndef square(n):\n    return n**2\n```"),
        ("Do it.", "```python\ndef area(r):\n    return r**2\n```"),
    )
    assert out["reason"] == ["contaminated", None]


def test_original_rows_are_kept_and_carry_no_evidence(index):
    out = judged(index, *code_rows(50))
    assert out["reason"] == [None] * 50 and not any(out["evidence"])


def test_a_row_within_a_tenth_of_a_threshold_is_borderline_and_stays_as_the_rule_says(index):
    words = MERGE.prompt.split()
    at = round(0.8 * len(words))  # four fifths of the prompt: between 0.85 and a tenth below it
    out = judged(index, (" ".join(words[:at]), PROSE), (" ".join(words[: at // 2]), PROSE))
    (piece,) = out["evidence"][0]
    assert 0.85 * 0.9 <= piece["score"] < 0.85 and piece["decides"] is None
    assert out["reason"] == [None, None] and out["borderline"] == [True, False]


@pytest.mark.parametrize(
    ("changes", "removed"),
    [({"min_share": 1.0}, False), ({"min_share": 0.75}, True)],
)
def test_the_rule_is_in_the_mixture(index, changes, removed):
    words = MERGE.prompt.split()
    settings = config(alone=DECONTAMINATE["alone"] | changes)
    out = judged(index, (" ".join(words[: round(0.8 * len(words))]), PROSE), settings=settings)
    assert out["reason"] == ["contaminated" if removed else None]


@pytest.mark.parametrize("way", ["humaneval", "gsm"])
def test_humaneval_itself_is_contaminated(way):
    prepared = decontaminate.prepare(config(), None, 0, "toy.yaml")
    found, problems = prepared.arguments["index"], benchmarks.load("humaneval")
    pairs = [(p.prompt, PROSE) if way == "gsm" else (PROSE, references.whole_program(p)) for p in problems]
    out = judged(found, *pairs)
    assert out["reason"] == ["contaminated"] * 164
    assert prepared.notes["problems"] == {"humaneval": 164} and prepared.notes["embedding"].startswith("tfidf")
    pickle.dumps(prepared.arguments)  # goes to workers


def test_other_languages_are_compared_with_their_own():
    code = "function mergeSorted(left, right) {\n  const out = [];\n  while (left.length && right.length) {\n    out.push(left[0] <= right[0] ? left.shift() : right.shift());\n  }\n  return [...out, ...left, ...right];\n}\n"  # noqa: E501
    problem = Problem("Toy/3", "Merge.", code, "", "mergeSorted", language="javascript")
    found = decontaminate.indexed(config(), reference_set(problem), "toy.yaml")
    renamed = code.replace("mergeSorted", "combine").replace("left", "a").replace("right", "b").replace("out", "c")
    out = judged(found, ("Do it.", f"```js\n{renamed}```"), ("Do it.", f"```python\n{MERGE.solution}```"))
    assert {s for s, _, _ in signals(out)} == {"cosine", "tree"} and out["reason"] == ["contaminated", None]
    assert out["syntax_trees"] == ["compared", "other_language"]


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        ("```python\ndef f(:\n    pass\n```", "not_parsable"),
        ("```python\ndef f():\n    pass\n```", "too_small"),
        ("```sql\nSELECT 1;\n```", "other_language"),
        ("No code at all here", "no_code"),
        (MERGE.solution, "compared"),
        (f"Try this:\n{MERGE.solution}", "compared"),
        (f"```python\n{MERGE.solution}", "compared"),  # never closed
        (f"1. Do\n   ```python\n   {MERGE.solution.replace(chr(10), chr(10) + '   ')}\n   ```", "compared"),
    ],
)
def test_what_came_of_the_trees_is_counted(index, response, outcome):
    assert judged(index, ("Do it.", response))["syntax_trees"] == [outcome]


@pytest.mark.parametrize(
    "code",
    [
        "(" * 10_000 + ")" * 10_000,
        "x" + "[0]" * 10_000,
        "-" * 10_000 + "1",
        "if 1:\n" + "".join(" " * n + "if 1:\n" for n in range(1, 200)) + " " * 200 + "pass",
        "a\0b",
        "\ud800",
        "```" * 10_000,
        "`" * 100_000,
    ],
    ids=["brackets", "subscripts", "minus", "blocks", "nul", "surrogate", "fences", "ticks"],
)
def test_hostile_code_takes_no_worker_down(index, code):
    out = judged(index, ("Do it.", f"```python\ndef f():\n    return {code}\n```"), ("Do it.", RENAMED))
    assert out["reason"] == [None, "contaminated"]


_SLOW_UNITS = ("'", "(", "def f(a):\n    return a\n", "x = 1\n")
_SLOW = (pytest.param(unit, marks=pytest.mark.slow) for unit in _SLOW_UNITS)


@pytest.mark.parametrize("unit", ["word ", '"', "```\n", *_SLOW])
def test_a_row_of_five_megabytes_is_judged(index, unit):
    out = judged(index, ("Do it.", unit * (5_000_000 // len(unit))), ("Do it.", RENAMED))
    assert out["reason"] == [None, "contaminated"]


@pytest.mark.parametrize(
    "response",
    [
        f"Answer: ```python\n{RENAMED}```",
        f"- ```python\n{RENAMED}```",
        f"{RENAMED}```\nThat is all.",
        f"{RENAMED}```",
        f"{RENAMED}\nIt prints:\n```\n[1, 2]\n```",
    ],
    ids=["behind words", "in a list", "opening lost", "opening lost at the end", "output fenced alone"],
)
def test_a_copy_beside_or_behind_an_unpaired_fence_is_found(index, response):
    assert judged(index, ("Do it.", response))["reason"] == ["contaminated"]


def test_quotes_within_quotes_are_looked_through_in_no_time():
    text = "\n".join(f"{'`' * ticks}text\nx = {ticks}" for ticks in range(600, 2, -1))
    found = sections(text, "go")
    assert len(found) > 100 and all(text[s.start : s.start + len(s.code)] == s.code for s in found)


def test_a_copy_inside_a_quarter_megabyte_is_found(index):
    filler = "\n".join(f"value_{n} = {n}" for n in range(15_000))
    out = judged(index, ("Do it.", f"```python\n{filler}\n{MERGE.solution}```"))
    assert out["reason"] == ["contaminated"] and len(filler) > 250_000


def test_batches_do_not_change_a_verdict(index):
    rows = [*code_rows(30), (MERGE.prompt, PROSE), ("Do it.", RENAMED), *code_rows(3)]
    whole, single = judged(index, *rows), [judged(index, row) for row in rows]
    assert whole["reason"] == [out["reason"][0] for out in single]
    assert whole["evidence"] == [out["evidence"][0] for out in single]
    blocks = contamination.BLOCK_CHARS
    try:
        contamination.BLOCK_CHARS = 100
        assert judged(index, *rows) == whole
    finally:
        contamination.BLOCK_CHARS = blocks


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"benchmarks": []}, "nothing to compare with"),
        ({"parts": []}, "nothing to compare with"),
        ({"benchmarks": ["humanevil"]}, "there is no benchmark 'humanevil'; known benchmarks: humaneval,"),
        ({"benchmarks": ["mbpp"], "folder": "/nowhere"}, "mbpp.*: /nowhere has no"),
    ],
)
def test_nothing_to_compare_with_is_one_sentence(changes, says):
    with pytest.raises(Refusal, match=says) as refusal:
        decontaminate.prepare(config(**changes), None, 0, "toy.yaml")
    assert "\n" not in str(refusal.value)


def test_a_benchmark_with_no_items_is_an_error(monkeypatch):
    monkeypatch.setattr(benchmarks, "load", lambda *_, **__: [])
    with pytest.raises(Refusal, match="nothing to compare with"):
        decontaminate.prepare(config(), None, 0, "toy.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"embedding": "word2vec"},
        {"embedding": {"model": "a/b", "revision": "main"}},
        {"alone": DECONTAMINATE["alone"] | {"min_share": 1.2}},
        {"ngram_tokens": 1},
        {"min_item_tokens": 8},
    ],
)
def test_a_senseless_setting_is_refused(toy_source, mixture_file, tmp_path, changes):
    toy_source(code_rows(3))
    with pytest.raises(Refusal, match="04_decontaminate"):
        builder.build(mixture_file(_04_decontaminate=DECONTAMINATE | changes), tmp_path, workers=1)


def test_one_text_of_several_benchmarks_is_one_reference_with_all_names():
    found: dict = {}
    for benchmark, item in (("humaneval", "HumanEval/1"), ("humaneval_x", "Python/1")):
        problem = Problem(item, MERGE.prompt, MERGE.solution, MERGE.test, MERGE.entry_point)
        references.add(found, benchmark, problem, "solution")
    (reference,) = found.values()
    assert reference.names == (("humaneval", "HumanEval/1"), ("humaneval_x", "Python/1"))
    assert reference.problems == ("humaneval/1",)


def test_items_that_share_a_solution_are_all_named_and_each_may_be_found_together_with_its_prompt(index):
    other = Problem("Toy/8", "Something else entirely, of trees and leaves.", MERGE.solution, "", "merge_sorted")
    found = decontaminate.indexed(config(), reference_set(other, MERGE), "toy.yaml")
    out = judged(found, (NEAR_PROMPT, NEAR_SOLUTION))
    (piece,) = (e for e in out["evidence"][0] if e["part"] == "solution" and e["signal"] == "cosine")
    assert out["reason"] == ["contaminated"] and piece["decides"] == "together"
    assert piece["names"] == ["toy/Toy/8", "toy/Toy/1"] and piece["problems"] == ["toy/8", "toy/1"]


def test_the_buggy_solution_that_a_benchmark_asks_to_fix_is_looked_for():
    buggy = MERGE.solution.replace("left[0] <= right[0]", "left[0] > right[0] + len(merged)")
    problem = dataclasses.replace(MERGE, solution="pass", extra={"buggy_solution": buggy})
    found = decontaminate.indexed(config(), reference_set(problem), "toy.yaml")
    out = judged(found, ("Fix it.", f"```python\n{buggy}```"))
    assert out["reason"] == ["contaminated"]
    assert {part for _, part, _ in signals(out)} == {"buggy_solution"}


AROUND = [f"def other_{n}(text):\n    return text.strip().split({n})[-1] or 'none'\n" for n in range(20)]
BROKEN = "def broken(:\n    return [1\n"


@pytest.mark.parametrize("around", [AROUND, [*AROUND[:3], BROKEN]], ids=["many", "one that does not parse"])
@pytest.mark.parametrize("imports", ["", "import os\nfrom typing import List\n\n\n"], ids=["", "imports"])
def test_other_functions_of_its_block_do_not_hide_a_renamed_copy(around, imports):
    problem = dataclasses.replace(MERGE, solution=imports + MERGE.solution)
    found = decontaminate.indexed(config(), reference_set(problem), "toy.yaml")
    block = "\n\n".join([*around, RENAMED, *around])
    originals = "\n\n".join(around)
    out = judged(found, ("Do it.", f"```python\n{block}```"), ("Do it.", f"```python\n{originals}```"))
    assert out["reason"] == ["contaminated", None]
    assert {piece["signal"] for piece in out["evidence"][0]} == {"cosine", "tree"}
    for piece in out["evidence"][0]:
        (span,) = piece["spans"]
        assert f"```python\n{block}```"[span["start"] : span["end"]].strip() == RENAMED.strip()


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


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("a\n```python\nx = 1\n```\nb\n```\nout\n```\n", [("x = 1\n", "python"), ("out\n", "go")]),
        ("no fence", [("no fence", "go")]),
        ("```python\nnever closed", [("never closed", "python")]),
        ("say ```inline``` only", [("say ```inline``` only", "go")]),
        ("  ```js\n  let a;\n  ```", [("  let a;\n", "javascript")]),
        ("```", []),
        ("````text\nlook:\n```\nx = 1\n```\n````\nb\n", [("x = 1\n", "go")]),
        ("``````text\nx = 1\ny\n``````\n", [("x = 1\ny\n", "go")]),
        ("````\n```js\nlet a;\n```\nb\n````\n```\nc\n```\n", [("let a;\n", "javascript"), ("c\n", "go")]),
        ("`````md\n````text\n```js\nlet a;\n```\n````\n`````\n", [("let a;\n", "javascript")]),
        ("````python\nx = 1\n```\nSo.", [("x = 1\n", "python")]),
        ("```python\nx = 1\n```js\nlet a;\n```\n", [("x = 1\n", "python"), ("let a;\n", "javascript")]),
    ],
)
def test_sections_are_stretches_of_the_text(text, codes):
    found = sections(text, "go")
    assert [(s.code, s.language) for s in found] == codes
    assert all(text[s.start : s.start + len(s.code)] == s.code for s in found)


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

    code, shown = said(str(leaky), "--removed", "1")
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
    assert "has_close_elements" in "\n".join(leaks.told(leaky / "04_decontaminate", 1, 0))
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


def test_facts_fit_their_schema(index):
    out = judged(index, ("Do it.", RENAMED), *code_rows(1))
    table = pa.Table.from_pydict({n: out[n] for n in decontaminate.FACTS.names}, schema=decontaminate.FACTS)
    assert table["evidence"].to_pylist()[0] == out["evidence"][0]


def test_the_manifest_says_what_was_compared(leaky):
    notes = manifest(leaky / "04_decontaminate")["notes"]
    assert notes["config"]["alone"]["min_share"] == 0.85 and notes["references"] > 400
    assert "humaneval/HumanEval/23 solution" in notes["looked_for_as_a_whole"]


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
    monkeypatch, capsys, package, why
):
    monkeypatch.setattr(code_cosine, "MODEL_PACKAGES", (package,))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(decontaminate, "_INDICES", {})
    code_cosine.why_absent.cache_clear()
    prepared = decontaminate.prepare(config(embedding=MODEL | {"otherwise": "tfidf"}), None, 0, "toy.yaml")
    assert isinstance(prepared.arguments["index"].cosine, code_cosine.TfidfIndex)
    assert prepared.notes["embedding"].endswith(f"in place of team/code-model@{'0' * 40} ({why})")
    assert capsys.readouterr().err.count(why) == 1
    code_cosine.why_absent.cache_clear()


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
