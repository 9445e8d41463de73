import pytest

from evaluation import extract, judge
from evaluation.benchmarks import humaneval
from sandbox import Limits, run_many


def job(code, problem):
    return judge.job(extract.program(code, problem), problem, Limits())


@pytest.fixture(scope="module")
def problems():
    return humaneval.load()


def test_all_problems_are_there_in_order(problems):
    assert [p.task_id for p in problems] == [f"HumanEval/{n}" for n in range(164)]


def test_reference_solutions_pass_and_wrong_ones_fail(problems):
    sample = problems[30:50]  # among them 32 and 38, whose tests use functions that only the prompt defines
    right = [job(p.solution, p) for p in sample]
    whole = [job(p.prompt + p.solution, p) for p in sample]
    wrong = [job(f"def {p.entry_point}(*a):\n    return None\n", p) for p in sample]
    assert {v.status for v in run_many([*right, *whole])} == {"ok"}
    assert "ok" not in {v.status for v in run_many(wrong)}


def test_leaving_early_or_claiming_equality_is_no_pass(problems):
    (problem,) = [p for p in problems if p.entry_point == "strlen"]
    cheats = [
        "import os\nos._exit(0)\n",
        "def strlen(s):\n    raise SystemExit(0)\n",
        "class Yes(int):\n    __eq__ = lambda *_: True\n    __hash__ = None\ndef strlen(s):\n    return Yes(-1)\n",
    ]
    assert "ok" not in {v.status for v in run_many(job(code, problem) for code in cheats)}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Sure:\n```python\ndef strlen(s):\n    return len(s)\n```\nDone.", "def strlen(s):\n    return len(s)\n"),
        ("```\npip install x\n```\n```py\ndef strlen(s):\n    return 1\n```", "def strlen(s):\n    return 1\n"),
        ("```python\ndef strlen(s):\n    return len(s)", "def strlen(s):\n    return len(s)"),
        ("    return len(s)\n", "    return len(s)\n"),
        ("```python\nx = 1\n```", "x = 1\n"),
    ],
)
def test_the_code_of_an_answer(problems, answer, code):
    (problem,) = [p for p in problems if p.entry_point == "strlen"]
    assert extract.code(answer, problem) == code


def test_what_happens_to_be_installed_decides_no_verdict(problems):
    problem = problems[0]
    right = problem.prompt + problem.solution
    programs = [f"{right}\nimport pandas\n", f"import os, yaml.nodes\n{right}", f"{right}\nimport numpy.linalg\n",
                f"{right}\ntry:\n    import pandas\nexcept ImportError:\n    pass\n"]  # fmt: skip
    limits = judge.Limits(Limits(cpu_s=10, wall_s=60, memory_mib=2048), packages=["numpy"])
    found = judge.judge([problem], {problem.task_id: programs}, limits)[problem.task_id]
    assert [r["status"] for r in found] == ["exception", "exception", "ok", "ok"]
    assert found[0]["exception"] == "ModuleNotFoundError" and "imports pandas" in found[0]["reason"]
    assert "imports yaml" in found[1]["reason"]
    free = judge.judge([problem], {problem.task_id: programs[:1]}, judge.Limits(limits.sandbox))[problem.task_id]
    assert free[0]["status"] == "ok"  # the package is there: only the rule says otherwise
