"""The rule, its evidence, and what hostile rows and settings come to."""

import dataclasses
import pickle

import pyarrow as pa
import pytest

from artefacts import Refusal
from dataset_scripts import build as builder
from dataset_scripts import contamination, decontaminate, references
from dataset_scripts.code_sections import sections
from evaluation import benchmarks
from evaluation.benchmarks import Problem
from tests.conftest import DECONTAMINATE, code_rows
from tests.dataset_scripts.toy_benchmark import (
    MERGE,
    NEAR_PROMPT,
    NEAR_SOLUTION,
    PROSE,
    RENAMED,
    SQUARE,
    config,
    judged,
    reference_set,
    signals,
)


@pytest.fixture(scope="module")
def index():
    return decontaminate.indexed(config(), reference_set(MERGE, SQUARE), "toy.yaml")


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


def test_facts_fit_their_schema(index):
    out = judged(index, ("Do it.", RENAMED), *code_rows(1))
    table = pa.Table.from_pydict({n: out[n] for n in decontaminate.FACTS.names}, schema=decontaminate.FACTS)
    assert table["evidence"].to_pylist()[0] == out["evidence"][0]
