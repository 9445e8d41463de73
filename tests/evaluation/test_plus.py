"""Judging by expected outputs: EvalPlus's rules, values that survive the crossing, failures that are named."""

import math

import pytest

import sandbox
from artefacts import Refusal
from evaluation import benchmarks
from evaluation.benchmarks import Problem
from evaluation.judge import Limits, judge
from evaluation.plus import compare, expected, typed_json

LIMITS = Limits(sandbox.Limits(cpu_s=4), call_cpu_s=0.5)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(expected, "CACHE", tmp_path / "expected")


VALUES = [
    [(1, 2), {3}, frozenset({4}), {"a": (1,), 2: None}, 1 + 2j, b"\x00\xff", "ü\ud800", True, 10**5000, -0.0],
    [math.inf, -math.inf, 1e-300, 0.1 + 0.2],
]


@pytest.mark.parametrize("value", VALUES)
def test_typed_json_gives_back_what_it_was_given(value):
    back = typed_json.loads(typed_json.dumps(value))
    assert back == value and [type(x) for x in back] == [type(x) for x in value]


def test_big_values_become_digests_that_are_equal_where_values_are():
    big = list(range(60_000))
    digest = typed_json.reduced(big)
    assert isinstance(digest, typed_json.Digest) and typed_json.reduced([float(x) for x in big]) == digest
    assert typed_json.reduced(tuple(big)) != digest and typed_json.reduced([*big[:-1], 7]) != digest
    assert typed_json.reduced({str(x): 1 for x in reversed(big)}) == typed_json.reduced({str(x): True for x in big})
    assert typed_json.reduced(big[:10]) == big[:10]


@pytest.mark.parametrize(
    ("out", "exp", "atol", "right"),
    [
        (0.1 + 0.2, 0.3, 0, True),
        ([0.25], [0.24999999999999997], 0, True),  # HumanEval/21
        (0.30001, 0.3, 0, False),
        (0.30001, 0.3, 1e-4, True),
        (2, 2.0, 0, True),
        ([1, 2], (1, 2), 0, False),
        ((0.1 + 0.2,), [0.3], 0, False),  # a tolerance is for values of the same type
        ([0.1, 0.2], [0.1], 0, False),
        ([[0.1 + 0.2]], [[0.3]], 0, False),  # nested lists of floats have no tolerance of their own
        ([[0.1 + 0.2]], [[0.3]], 1e-6, True),
        (10**20, 10**20 + 1, 0, False),
        ("a", "b", 1e-6, False),
        (None, 1.0, 0, False),
    ],
)
def test_near(out, exp, atol, right):
    assert compare.near(out, exp, atol) is right


@pytest.mark.parametrize(
    ("rule", "out", "exp", "says"),
    [
        (
            "same_set",
            [[1], [2]],
            [1, 2],
            "base 0 wrong_output: expected [1, 2], got \"TypeError: unhashable type: 'list'\"",
        ),
        ("root", "x", 0.5, "base 0 wrong_output: expected 0.5, got 'TypeError: must be real number, not str'"),
        ("equal", [10**5000], 1, "base 0 wrong_output: expected 1, got list"),
    ],
)
def test_what_cannot_be_compared_or_printed_is_wrong_and_says_why(rule, out, exp, says):
    assert compare.failing([("ok", out)], [exp], 1, rule, 0, [[[1, 2]]]) == says


def problem(entry, solution, base, plus, number="HumanEval/900", atol=0):
    extra = {"base_input": base, "plus_input": plus, "atol": atol, "contract": ""}
    return Problem(number, "", solution, "", entry, extra=extra)


def verdicts(p, *programs):
    return judge([p], {p.task_id: list(programs)}, LIMITS)[p.task_id]


def test_base_and_plus_are_told_apart_with_the_input_that_failed():
    double = problem("f", "def f(x):\n    return 2 * x\n", [[1], [2]], [[0], [5], [-3]])
    right, base, plus, raises, slow, absent = verdicts(
        double,
        "def f(x):\n    return x + x\n",
        "def f(x):\n    return 2\n",
        "def f(x):\n    return 2 * abs(x)\n",
        "def f(x):\n    return 2 * x if x else 1 // x\n",
        "def f(x):\n    while x < 0:\n        pass\n    return 2 * x\n",
        "def g(x):\n    return 2 * x\n",
    )
    assert (right["status"], right["base"]) == ("ok", "ok")
    assert (base["status"], base["base"]) == ("wrong_output", "wrong_output")
    assert base["reason"] == "base input 1: expected 4, got 2"
    assert (plus["status"], plus["base"], plus["reason"]) == ("wrong_output", "ok", "plus input 2: expected -6, got 6")
    assert (raises["status"], raises["exception"], raises["base"]) == ("exception", "ZeroDivisionError", "ok")
    assert (slow["status"], slow["base"]) == ("timeout", "ok")
    assert (absent["status"], absent["exception"]) == ("exception", "NameError")


def test_a_program_that_dies_in_plus_still_has_its_base():
    double = problem("f", "def f(x):\n    return 2 * x\n", [[1]], [[2]])
    (dies,) = verdicts(double, "import os\ndef f(x):\n    return 2 * x if x == 1 else os._exit(0)\n")
    assert dies["status"] == "exception" and dies["base"] == "ok"


def test_answers_kept_in_one_list_are_judged_as_they_were_returned():
    grow = problem("f", "def f(x):\n    return [x]\n", [[1], [2]], [])
    shared, growing = verdicts(
        grow, "a = []\ndef f(x):\n    a[:] = [x]\n    return a\n", "a = []\ndef f(x):\n    a.append(x)\n    return a\n"
    )
    assert shared["status"] == "ok" and growing["status"] == "wrong_output"


def test_tasks_without_order_and_special_rules():
    same = problem("similar_elements", "def similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
                   [[(1, 2, 3), (3, 2)]], [], "Mbpp/2")  # fmt: skip
    as_set, wrong = verdicts(
        same, "def similar_elements(a, b):\n    return [3, 2, 2]\n", "def similar_elements(a, b):\n    return [3]\n"
    )
    assert as_set["status"] == "ok" and wrong["status"] == "wrong_output"
    found = problem(
        "check_str", "import re\ndef check_str(s):\n    return re.match('a', s)\n", [["ab"], ["b"]], [], "Mbpp/1"
    )
    yes, no = verdicts(
        found,
        "def check_str(s):\n    return s[0] == 'a'\n",
        "import re\ndef check_str(s):\n    return re.match('', s)\n",
    )
    assert yes["status"] == "ok" and no["status"] == "wrong_output"


def test_humaneval_32_takes_any_root_and_no_other_number():
    (p,) = [p for p in benchmarks.load("humaneval") if p.task_id == "HumanEval/32"]
    extra = {"base_input": [[[1, 2]]], "plus_input": [[[-6, 11, -6, 1]]], "atol": 1e-4, "contract": ""}
    p = Problem(p.task_id, p.prompt, p.solution, "", p.entry_point, extra=extra)
    reference, other_root, wrong = verdicts(
        p, p.prompt + p.solution,
        "def find_zero(xs):\n    return -0.5 if len(xs) == 2 else 3.0\n", "def find_zero(xs):\n    return -0.5\n",
    )  # fmt: skip
    assert [v["status"] for v in (reference, other_root, wrong)] == ["ok", "ok", "wrong_output"]


def test_expected_outputs_are_computed_once_and_anew_when_the_reference_changes(monkeypatch):
    one = problem("f", "def f(x):\n    return (x, 2.5)\n", [[1]], [[2]])
    assert typed_json.loads(expected.load([one])[one.task_id].plus) == [(2, 2.5)]
    jobs = []
    run_many = sandbox.run_many
    monkeypatch.setattr(
        sandbox, "run_many", lambda given, workers: run_many((jobs.append(j) or j for j in given), workers)
    )
    expected.load([one])
    assert not jobs
    expected.load([problem("f", "def f(x):\n    return (x, 3.5)\n", [[1]], [[2]])])
    assert len(jobs) == 1


def test_a_reference_that_does_not_run_is_one_sentence():
    with pytest.raises(Refusal, match="HumanEval/900: its reference solution does not run .*ZeroDivisionError"):
        expected.load([problem("f", "def f(x):\n    return 1 / 0\n", [[1]], [])])


@pytest.mark.slow
@pytest.mark.parametrize("version", ["mini-v0.1.10"])
def test_every_reference_passes_its_own_set(real_data, version, monkeypatch):
    problems = benchmarks.load("humaneval_plus", real_data, version)
    records = judge(problems, {p.task_id: [p.prompt + p.solution] for p in problems},
                    Limits(sandbox.Limits(cpu_s=20, memory_mib=4096)))  # fmt: skip
    assert not {t: r[0]["reason"] for t, r in records.items() if r[0]["status"] != "ok" or r[0]["base"] != "ok"}
