"""Other people's files: every form is read, what does not fit is refused in one sentence or counted."""

import gzip
import json
import sys
import zipfile

import pytest

from artefacts import Refusal
from evaluation import benchmarks, errors, evaluate, extract, samples
from evaluation.score_file import score_samples
from evaluation.selection import Selection

PROBLEMS = benchmarks.load("humaneval")[:4]
BODIES = {p.task_id: p.solution for p in PROBLEMS}
PROGRAMS = {p.task_id: p.prompt + p.solution for p in PROBLEMS}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path, lenient=False, **options):
    return samples.read(path, PROBLEMS, lenient, **options)


FORMS = {
    "human-eval": lines({"task_id": t, "completion": c} for t, c in BODIES.items()),
    "EvalPlus": lines({"task_id": t, "solution": c} for t, c in PROGRAMS.items()),
    "bigcode": json.dumps([[c] for c in PROGRAMS.values()]),
    "prompt and samples": lines({"prompt": p.prompt, "samples": [p.solution]} for p in PROBLEMS),
    "MultiPL-E": lines(
        {"name": f"HumanEval_{n}_{p.entry_point}", "language": "py", "prompt": p.prompt, "completions": [p.solution]}
        for n, p in enumerate(PROBLEMS)
    ),
    "a JSON list": json.dumps([{"task_id": t, "completion": c} for t, c in BODIES.items()]),
    "EvalPlus results": json.dumps(
        {"eval": {t: [{"task_id": t, "solution": c, "base_status": "pass"}] for t, c in PROGRAMS.items()}}
    ),
    "answers in code blocks": lines(
        {"task_id": t, "completion": f"Here:\n```python\n{c}\n```\nDone."} for t, c in PROGRAMS.items()
    ),
    "windows": lines({"task_id": t, "solution": c.replace("\n", "\r\n")} for t, c in PROGRAMS.items()).replace(
        "\n", "\r\n"
    ),
    "code blocks of windows": lines(
        {
            "task_id": t,
            "completion": f"Here:\r\n```python\r\n{c}\r\n```\r\n".replace("\r\n", "\n").replace("\n", "\r\n"),
        }
        for t, c in PROGRAMS.items()
    ),
    "a byte order mark": "\ufeff" + lines({"task_id": t, "completion": c} for t, c in BODIES.items()),
    "by task": json.dumps({t: [c] for t, c in PROGRAMS.items()}),
    "numbers": lines({"id": n, "prompt": "x", "output": c} for n, c in enumerate(PROGRAMS.values())),
    "numbers as text": lines({"task_id": f"humaneval_{n}", "code": [c]} for n, c in enumerate(PROGRAMS.values())),
    "ids of no task": lines(
        {"id": f"run-{n}", "prompt": p.prompt, "generation": p.prompt + p.solution} for n, p in enumerate(PROBLEMS)
    ),
    "bodies in blocks": lines({"task_id": t, "completion": f"```python\n{c}```"} for t, c in BODIES.items()),
    "raw continuations": lines(
        {"task_id": t, "completion": f"{c}\n\ndef main():\n    oops(\n"} for t, c in BODIES.items()
    ),
}


FORMS |= {
    "EvalPlus results without ids": json.dumps(
        {"eval": {t: [{"solution": c, "base_status": "pass"}] for t, c in PROGRAMS.items()}}
    ),
    "by task, an object each": json.dumps({t: {"completion": c} for t, c in BODIES.items()}),
    "OpenCompass": json.dumps(
        {
            str(n): {
                "origin_prompt": [{"role": "HUMAN", "prompt": p.prompt}],
                "prediction": f"```python\n{p.prompt}{p.solution}\n```\nIt loops.",
                "gold": p.task_id,
            }
            for n, p in enumerate(PROBLEMS)
        }
    ),
    "several with a verdict each": lines({"task_id": t, "output": [c], "passed": [True]} for t, c in PROGRAMS.items()),
    "MultiPL-E results": lines(
        {"name": f"HumanEval_{n}_x", "language": "py", "results": [{"program": p.prompt + p.solution, "status": "OK"}]}
        for n, p in enumerate(PROBLEMS)
    ),
    "blocks that the prompt opened": lines(
        {"task_id": t, "completion": f"{c}```\n\nIt loops over all of them.\n"} for t, c in PROGRAMS.items()
    ),
}
COMPLETIONS = ("human-eval", "by task, an object each", "prompt and samples", "MultiPL-E", "a JSON list",
               "a byte order mark", "bodies in blocks", "raw continuations")  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_passes_through_the_front_door(tmp_path, form):
    path = tmp_path / ("x.jsonl" if "\n{" in FORMS[form] else "x.json")
    path.write_bytes(FORMS[form].encode())
    result, held = score_samples(path, "humaneval", None, Selection(limit=4))
    assert (result["passed"], result["problems"]) == (4, 4), result["tasks"]
    assert held.how["text"] == ("completion" if form in COMPLETIONS else "program")
    assert held.how["cut"] == ("yes" if form in ("raw continuations", "prompt and samples") else "no")


def mixed(*kinds):
    """Ten samples of each of the four tasks, of the kinds in turn."""
    made = {
        "program": lambda p: {"completion": p.prompt + p.solution},
        "solution": lambda p: {"solution": p.prompt + p.solution},
        "body": lambda p: {"completion": p.solution},
        "raw body": lambda p: {"completion": f"{p.solution}\n\ndef {p.entry_point}(*_):\n    oops(\n"},
        "solution that is a body": lambda p: {"solution": p.solution},
        "block": lambda p: {"completion": f"So:\n```python\n{p.prompt}{p.solution}```\nDone."},
    }
    return lines({"task_id": p.task_id} | made[kinds[n % len(kinds)]](p) for p in PROBLEMS for n in range(10))


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (("program", "body"), {"programs": 20, "completions": 20}),
        (("solution", "body"), {"programs": 20, "completions": 20}),
        (("solution", "solution that is a body"), {"programs": 20, "completions": 20}),
        (("program", "raw body"), {"programs": 20, "completions_that_run_on": 20}),
        (("program", "raw body", "raw body", "raw body", "raw body"), {"programs": 8, "completions_that_run_on": 32}),
        (("program", "block", "program", "block", "program"), {"fenced": 16, "programs": 40}),
        (("raw body", "block", "raw body", "block", "raw body"), {"fenced": 16, "programs": 16}),
    ],
)
def test_a_file_of_several_kinds_is_decided_by_sample_and_says_how_many(tmp_path, kinds, says):
    path = tmp_path / "x.jsonl"
    path.write_text(mixed(*kinds))
    result, held = score_samples(path, "humaneval", None, Selection(limit=4))
    assert result["pass_at_1"] == 1, result["outcomes"]
    assert {name: held.how["samples"][name] for name in says} == says
    assert held.how["text"] == ("program" if says["programs"] == 40 else "mixed")


def test_a_stray_answer_makes_no_mixed_file(tmp_path):
    """A solution that is no program fails where it is run alone, as EvalPlus runs it."""
    path = tmp_path / "x.jsonl"
    rows = [{"task_id": p.task_id, "solution": p.prompt + p.solution} for p in PROBLEMS for _ in range(10)]
    path.write_text(lines([*rows[1:], {"task_id": "HumanEval/0", "solution": PROBLEMS[0].solution}]))
    result, held = score_samples(path, "humaneval", None, Selection(limit=4))
    assert held.how["text"] == "program" and result["tasks"]["HumanEval/0"]["passed"] == 9


X = [
    benchmarks.Problem(f"{kind}/{n}", prompt, "", "", "f", kind.lower())
    for n in range(2)
    for kind, prompt in (("Python", "def f(n):\n"), ("Java", "class Solution {\n    public int f(int n) {\n"))
]


@pytest.mark.parametrize("language", ["java", "Java"])
@pytest.mark.parametrize("name", ["Java/{}", "HumanEval/{}", "{}"])
def test_rows_say_their_language_where_a_set_has_several(tmp_path, language, name):
    bodies = ["        return n == 0 ? 0 : f(n - 1);\n    }\n}", "        return 1;\n    }\n}"]
    rows = [{"task_id": name.format(n), "language": language, "generation": body} for n, body in enumerate(bodies)]
    path = tmp_path / "x.jsonl"
    path.write_text(lines(rows))
    held = samples.read(path, X, True)
    assert held.programs == {f"Java/{n}": [X[1].prompt + body] for n, body in enumerate(bodies)}
    for wrong, says in (
        (rows[0] | {"language": "go"}, "row 1: is in go, the benchmark here in python, java"),
        (rows[0] | {"tests": "assert"}, "row 1: is of MultiPL-E in .*, which brings tests of its own"),
    ):
        path.write_text(lines([wrong]))
        with pytest.raises(Refusal, match=says):
            samples.read(path, X, True)


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (
            ["Java/0", "Java/1"],
            r"Python/0 \(and 1 more\) has no sample; name what the file holds \(--languages java\)",
        ),
        (["Java/0", "Python/1"], r"Python/0 \(and 1 more\) has no sample; mend the file, or leave"),
        (["HumanEval/0", "HumanEval/1"], "HumanEval/0 .* is not a task .*; name the language that the file is in"),
        ([0, 1], r"0 \(and 1 more\) is not a task of this benchmark .*; name the language that the file is in"),
    ],
)
def test_a_file_in_one_language_of_several_hears_what_to_name(tmp_path, ids, says):
    path = tmp_path / "x.jsonl"
    path.write_text(lines({"task_id": task_id, "solution": "def f(n):\n    return 0\n"} for task_id in ids))
    with pytest.raises(Refusal, match=says):
        samples.read(path, X, False)


def test_a_problem_without_a_function_is_neither_cut_nor_put_behind_its_prompt(tmp_path):
    """DS-1000: the text goes into the problem's context, with whatever functions and comments it holds."""
    texts = ["x = 1\n# then\ndef g():\n    return x\n\nresult = g()\n", "y = 2\nif y:\n    result = y\n"]
    problems = [
        benchmarks.Problem(f"DS-1000/{n}", "A:\n<code>\n", "", "", "", extra={"library": "Numpy"}) for n in range(2)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text(lines({"task_id": p.task_id, "completion": text} for p, text in zip(problems, texts, strict=True)))
    held = samples.read(path, problems, False)
    assert held.programs == {p.task_id: [text] for p, text in zip(problems, texts, strict=True)}
    assert (held.how["cut"], held.how["program"]) == ("no", "text in the problem's own context")


def test_answers_without_code_are_counted_apart_and_fail_as_they_did(tmp_path):
    texts = ["", "I'm sorry, but I cannot help.", "    return 7\n", PROBLEMS[3].solution]
    path = tmp_path / "x.jsonl"
    path.write_text(lines({"task_id": p.task_id, "completion": t} for p, t in zip(PROBLEMS, texts, strict=True)))
    result, _ = score_samples(path, "humaneval", None, Selection(limit=4))
    found = errors.cases(result)
    assert found[errors.NO_CODE] == ["HumanEval/0", "HumanEval/1"] and found["passes"] == ["HumanEval/3"]
    assert [task["verdicts"][0]["status"] for task in result["tasks"].values()][1:] == [
        "compile_error", "wrong_output", "ok"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", False), ("  \n", False), ("# TODO\n", False), ("As an AI model, I cannot write this.", False),
        ("Sure! Here is how:\n1. Sort the list.\n2. Compare neighbours.", False), ("return the sorted list", False),
        ("    pass\n", True), ("return a * h / 2.0", True), ("x[0] = 1", True), ("plt.plot(x)", True),
        ("func f() int {\n", True), ("Here:\n```\nx\n```", True), ("Nothing:\n```\n```", False),
        ("x[" * 200_000, False), ("a, " * 200_000, False),
    ],
)  # fmt: skip
def test_what_counts_as_code(text, holds):
    assert extract.holds_code(text) is holds


def test_gz_zip_and_folders_are_read(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(FORMS["human-eval"].encode()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("samples.jsonl", FORMS["human-eval"])
    (tmp_path / "c").mkdir()
    for n, row in enumerate(FORMS["MultiPL-E"].splitlines()):
        (tmp_path / "c" / f"HumanEval_{n}.json.gz").write_bytes(gzip.compress(row.encode()))
    found = [read(tmp_path / name).programs for name in ("a.jsonl.gz", "b.zip", "c")]
    assert found[0] == found[1] == found[2] and set(found[0]) == set(BODIES)


def test_evalplus_folders_are_read_as_they_are_and_as_an_archive(tmp_path):
    folder = tmp_path / "model_temp_0.8"
    for n, problem in enumerate(PROBLEMS):
        for sample in range(11):  # 10.py stands behind 9.py, not behind 1.py
            path = folder / f"HumanEval_{n}" / f"{sample}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(PROGRAMS[problem.task_id] if sample == 10 else f"def {problem.entry_point}():\n    1\n")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(folder.rglob("*.py")):
            archive.write(path, path.relative_to(tmp_path))
    for path in (folder, tmp_path / "all.zip"):
        held = read(path)
        assert [len(programs) for programs in held.programs.values()] == [11] * 4
        assert held.programs["HumanEval/1"][10] == PROGRAMS["HumanEval/1"]
    result, held = score_samples(folder, "humaneval", None, Selection(limit=4))
    assert held.how["program"] == "text alone"
    assert result["pass_at_1"] == pytest.approx(1 / 11)


@pytest.mark.parametrize("form", ["bigcode", "prompt and samples", "by task"])
def test_some_tasks_of_a_file_of_the_whole_are_scored(tmp_path, form):
    (tmp_path / "x.json").write_text(FORMS[form])
    result, _ = score_samples(tmp_path / "x.json", "humaneval", None, Selection(tasks=("HumanEval/2",)))
    assert list(result["tasks"]) == ["HumanEval/2"] and result["passed"] == 1


def test_mbpp_of_multipl_e_continues_its_own_prompt(tmp_path):
    problem = benchmarks.Problem("Mbpp/9", "Add one.", "", "assert plus(1) == 2\n", "plus")
    prompt = 'def plus(x: int) -> int:\n    """Add one.\n    """\n'
    path = tmp_path / "x.jsonl"
    path.write_text(lines([{"name": "mbpp_9_plus", "prompt": prompt, "completions": ["    return x + 1\n"]}]))
    held = samples.read(path, [problem], False)
    assert held.programs == {"Mbpp/9": [f"{prompt}    return x + 1\n"]} and held.how["program"] == "prompt, then text"
    path.write_text(lines([{"task_id": 9, "solution": "def plus(x):\n    return x + 1\n"}]))
    held = samples.read(path, [problem], False)
    assert held.programs == {"Mbpp/9": ["def plus(x):\n    return x + 1\n"]} and held.how["program"] == "text alone"


def test_imports_of_the_prompt_are_there_for_programs_without_them(tmp_path):
    program = "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n" + PROBLEMS[0].solution
    path = tmp_path / "x.jsonl"
    path.write_text(lines([{"task_id": "HumanEval/0", "completion": program}]))
    result, held = score_samples(path, "humaneval", None, Selection(tasks=("HumanEval/0",)))
    assert held.how["program"] == "prompt, then text" and result["passed"] == 1
    path.write_text(lines([{"task_id": "HumanEval/0", "solution": program}]))
    result, held = score_samples(path, "humaneval", None, Selection(tasks=("HumanEval/0",)))
    assert held.how["program"] == "text alone" and result["outcomes"] == {"NameError": 1}


ROWS = [{"task_id": t, "completion": c} for t, c in BODIES.items()]
BAD = {
    "missing": (ROWS[:3], "HumanEval/3 has no sample"),
    "duplicate": ([*ROWS, ROWS[0]], "HumanEval/0 has 2 samples, most tasks have 1"),
    "unknown": ([*ROWS, {"task_id": "HumanEval/999", "completion": "x"}], "HumanEval/999 is not a task"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_does_not_fit_is_refused_or_counted(tmp_path, kind):
    path, (rows, says) = tmp_path / "x.jsonl", BAD[kind]
    path.write_text(lines(rows))
    with pytest.raises(Refusal, match=says):
        read(path)
    counted = read(path, lenient=True).counted
    assert counted == {{"duplicate": "unequally_many"}.get(kind, kind): {"tasks": 1, "first": [says.split()[0]]}}


@pytest.mark.parametrize(
    ("text", "kind", "status"),
    [
        ("", "empty", {"wrong_output", "exception", "compile_error"}),
        ("x" * (1 << 20) + "y", "too_long", {"not_code"}),
        ("    return '\0'\n", "binary", {"exception", "compile_error"}),
        ("\ufffd\ufffd\x07", "binary", {"exception", "compile_error"}),
    ],
)
def test_odd_completions_are_counted_and_do_not_pass(tmp_path, text, kind, status):
    path = tmp_path / "x.jsonl"
    path.write_text(lines([*ROWS[1:], {"task_id": "HumanEval/0", "completion": text}]))
    result, _ = score_samples(path, "humaneval", None, Selection(limit=4))
    assert result["odd"][kind] == {"samples": 1, "first": ["HumanEval/0"]}
    assert result["tasks"]["HumanEval/0"]["verdicts"][0]["status"] in status and result["passed"] == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"{", "not JSON"),
        (b'{"task_id": "HumanEval/0", "completion": "x"}\n{"task_id": "Hum', "line 2: not JSON .*cut off"),
        (b'{"task_id": "HumanEval/0"}\n', "row 1: has no text; expected one of"),
        (b'{"completion": "x"}\n', "has neither task_id nor name nor prompt"),
        (b'{"task_id": "HumanEval/0", "completion": 7}\n', "'completion' is int, expected a text"),
        (b'{"task_id": "HumanEval/0", "completion": null}\n', "'completion' is NoneType"),
        (b"7\n8\n", "expected an object, found int"),
        (b"\xff\xfe\x00binary\n", "line 1: not UTF-8"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
        (b'[["a"], ["b"], ["c"], ["d"], ["e"]]', "holds 5 tasks, the benchmark 4"),
        (b'{"task_id": "Mbpp/2", "completion": "x"}\n', "Mbpp/2 is not a task of this benchmark"),
        (
            b'{"eval": {"HumanEval/0": {"nfiles": 1, "base": [["failed", []]], "plus": []}}}',
            "entry 'HumanEval/0': holds verdicts and no program",
        ),
        (b'{"HumanEval/0": [7]}', "entry 'HumanEval/0': holds int"),
        (b'{"task_id": "HumanEval/0", "completions": ["x", null]}\n', "row 1: 'completions' is NoneType"),
        (b'{"name": "HumanEval_0_x", "language": "js", "prompt": "p", "completions": ["x"]}\n', "row 1: is in js"),
        (b'{"task_id": "HumanEval/0", "language": ["python"], "completion": "x"}\n', "row 1: 'language' is list"),
        (
            b'{"task_id": "HumanEval/0", "completions": ["x", "y"], "passed": [true]}\n',
            "row 1: 'passed' holds 1 verdicts, 'completions' 2 texts",
        ),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, data, says):
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    with pytest.raises(Refusal, match=says) as refusal:
        read(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--samples", "no.jsonl", "--benchmark", "humaneval"), "there is no such file"),
        (("--samples", "x.jsonl", "--benchmark", "humaneval", "--version", "v9"), "has no version 'v9'"),
        (("--samples", "x.jsonl", "--benchmark", "humanevil"), "there is no benchmark 'humanevil'"),
        (
            ("--samples", "x.jsonl", "--benchmark", "humaneval", "--tasks", "HumanEval/9999"),
            "no task 'HumanEval/9999'",
        ),
    ],
)
def test_what_is_not_there_ends_the_command_with_a_sentence(tmp_path, monkeypatch, capsys, more, says):
    (tmp_path / "x.jsonl").write_text(FORMS["human-eval"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate", *more, "--out", "out.json"])
    assert evaluate.main() == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not (tmp_path / "out.json").exists()
