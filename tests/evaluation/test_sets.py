"""Reference solutions pass and wrong ones fail, in every set and language that this machine can run."""

import dataclasses
import importlib.metadata

import pytest

import sandbox
from evaluation import benchmarks, extract
from evaluation.benchmarks import Problem
from evaluation.judge import Limits, judge

LIMITS = Limits(sandbox.Limits(cpu_s=20, wall_s=120, memory_mib=4096))


def statuses(problems, solution):
    programs = {p.task_id: [extract.program(solution(p), p)] for p in problems}
    records = judge(problems, programs, LIMITS)
    return {p.task_id: records[p.task_id][0] for p in problems}


def runnable(problems):
    if not problems:
        pytest.skip("this language is not in the folder of real data")
    (first,) = {p.language for p in problems}
    if statuses(problems[:1], lambda p: p.solution)[problems[0].task_id]["status"] == "not_run":
        pytest.skip(f"{first}: no toolchain here")
    return problems


@pytest.mark.parametrize("language", sandbox.LANGUAGES)
def test_humanevalpack_tells_right_from_buggy(real_data, language):
    problems = [p for p in benchmarks.load("humanevalpack", real_data) if p.language == language][:4]
    right = statuses(runnable(problems), lambda p: p.solution)
    buggy = statuses(problems, lambda p: p.extra["buggy_solution"])
    assert {v["status"] for v in right.values()} == {"ok"}, right
    assert "ok" not in {v["status"] for v in buggy.values()}, buggy
    assert all(v["shared_process"] for v in right.values()) == (language != "python")


@pytest.mark.parametrize("name", ["humaneval_x", "humanevalpack"])
def test_a_reference_solution_continues_its_prompt(real_data, name):
    """A recursive one calls the function, and does not define it."""
    for problem in benchmarks.load(name, real_data):
        assert extract.program(problem.solution, problem) == problem.prompt + problem.solution, problem.task_id


JAVA = Problem("Java/0", "class Solution {\n    public int f(int n) {\n", "", "", "f", "java")


@pytest.mark.parametrize(
    ("text", "defines"),
    [
        ("        return f(n - 1);\n    }\n}", False),
        ("        if (n > 1) return 1;\n        else return f(n - 1);\n    }\n}", False),
        ("        int a = f(n - 1);\n        if (a == f(n)) {\n        }\n    }\n}", False),
        ("        Runnable r = () -> { f(1); };\n    }\n}", False),
        ("class Solution {\n    public int f(int n) {\n", True),
        ("    static List<int[]> f(List<? extends A> n, int... m)\n            throws a.B, C\n    {\n", True),
        ("int f() { return 1; }", True),
    ],
)
def test_a_java_function_is_defined_and_not_called(text, defines):
    assert extract.defines(text, JAVA) == defines


@pytest.mark.parametrize("language", sandbox.LANGUAGES)
def test_humaneval_x_reference_solutions_pass(real_data, language):
    problems = [p for p in benchmarks.load("humaneval_x", real_data) if p.language == language][:4]
    assert {v["status"] for v in statuses(runnable(problems), lambda p: p.solution).values()} == {"ok"}


def test_mbpp_reference_solutions_pass_and_others_fail(real_data):
    problems = [p for p in benchmarks.load("mbpp", real_data, "sanitized") if p.split == "test"][:25]
    assert {v["status"] for v in statuses(problems, lambda p: p.solution).values()} == {"ok"}
    other = statuses(problems, lambda p: f"def {p.entry_point}(*_):\n    return object()\n")
    assert "ok" not in {v["status"] for v in other.values()}


def test_a_class_that_the_test_leaves_to_the_program_is_no_cheat(real_data):
    (problem,) = [p for p in benchmarks.load("mbpp", real_data) if p.task_id == "Mbpp/601"]
    assert "Pair(" in problem.test
    record = statuses([problem], lambda p: p.solution)["Mbpp/601"]
    assert record["status"] == "ok" and record["shared_process"]


def test_ds1000_runs_in_its_own_context(real_data):
    problems = [p for p in benchmarks.load("ds1000", real_data) if p.extra["library"] == "Numpy"][:3]
    right = statuses(problems, lambda p: p.solution)
    assert {v["status"] for v in right.values()} == {"ok"}, right
    wrong = statuses(problems, lambda p: "result = None\n")
    assert "ok" not in {v["status"] for v in wrong.values()}, wrong


def test_a_missing_library_is_named_and_not_scored(real_data, monkeypatch):
    from evaluation import result
    from evaluation.benchmarks import ds1000

    problems = [p for p in benchmarks.load("ds1000", real_data) if p.extra["library"] in ("Numpy", "Matplotlib")]
    problems = [problems[0], next(p for p in problems if p.extra["library"] == "Matplotlib")]
    monkeypatch.setitem(ds1000.MODULES, "Matplotlib", "no_such_plots")
    ids = [p.task_id for p in sorted(problems, key=lambda p: p.extra["library"])]
    records = judge(problems, {p.task_id: [p.solution] for p in problems}, LIMITS)
    found = result.build(problems, records, 1000, "here")
    assert found["unscored"] == ids[:1] and list(found["scores"]) == ["Numpy"] and found["passed"] == 1
    assert found["unscored_because"] == {"the library no_such_plots is not installed": 1}
    assert found["libraries"] == {"numpy": importlib.metadata.version("numpy")}
    assert ds1000.installed([dataclasses.replace(problems[0], extra={"library": "Sklearn"})]) == {
        "scikit-learn": importlib.metadata.version("scikit-learn")
    }
    assert ds1000.installed(benchmarks.load("humaneval")) == {}
