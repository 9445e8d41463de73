"""The three tasks by themselves: what a row says is true of the rows that it was made of."""

import random
import re

import pytest

import sandbox
from dataset_scripts import evolution_task, filtering_task, review_task, row_tests
from dataset_scripts.counterparts import Accepted, quoted
from dataset_scripts.filtering_task import GOOD, KINDS, Question, evidence, is_good, kind_of, like
from dataset_scripts.review_task import Review, code_of, contradicts, fault, same_tree

# --- instruction evolution

PARENT = "Write a function that sorts a list of numbers.\n\nPrint the result."
EVOLVED = "Write a function that sorts a list of numbers without any library call.\n\nPrint the result, "
EVOLVED += "and how long it took."


def pair(n=0, parent=PARENT):
    return evolution_task.Pair("p", parent, f"e{n}", "constraint", "MIT", "lab/evolve")


def test_what_is_said_to_be_new_is_new_and_what_is_gone_is_gone():
    new, gone = evolution_task.changes(PARENT, EVOLVED)
    assert new == ["without any library call.", "and how long it took."] and gone == []
    new, gone = evolution_task.changes("Add up the first ten squares.", "Add up the first twenty odd cubes.")
    assert (new, gone) == (["twenty odd cubes."], ["ten squares."])


@pytest.mark.parametrize(
    ("parent", "evolved"),
    [
        ("Sort a list.", "Merge two queues of jobs by priority, and report each of them."),
        ("word " * 300, "word " * 500),
        ("Sort a list.", "Sort a list."),
        ("", "Sort a list."),
        ("a b c d e f g h i j k l m n o", "X a b c Y d e f Z g h i V j k l W m n o"),
    ],
)
def test_a_rewrite_has_no_list_of_changes(parent, evolved):
    assert evolution_task.changes(parent, evolved) is None


def test_both_forms_come_up_and_a_rewrite_is_only_produced():
    made = [evolution_task.written(pair(n), EVOLVED, 0) for n in range(60)]
    assert {form for *_, form in made} == {"produce", "compare"} and len({i for i, *_ in made}) == 6
    for instruction, response, form in made:
        assert PARENT in instruction and (EVOLVED in instruction) == (form == "compare")
        assert response == EVOLVED if form == "produce" else "- without any library call." in response
        assert "a condition that a solution must meet" in (instruction if form == "produce" else response)
    other = "Merge two queues of jobs by priority, and report each of them."
    assert {evolution_task.written(pair(n), other, 0)[2] for n in range(60)} == {"produce"}
    assert made == [evolution_task.written(pair(n), EVOLVED, 0) for n in range(60)]


# --- data filtering


@pytest.mark.parametrize(
    ("findings", "kind"),
    [
        (["does_not_compile: line 2: invalid syntax"], "uncompilable"),
        (["does_not_compile: too much to parse"], None),
        (["undefined_names: math", "placeholder_code: # TODO"], "unclear"),
        (["undefined_names: math", "no_asked_function: Write a function"], None),
        (["too_short_without_code: 3 characters", "language_mismatch: asked go, found ruby"], None),
        (["refusal: I cannot"], None),
        (["fails_own_tests: exception"], None),
        ([], None),
    ],
)
def test_only_findings_of_one_kind_have_a_label(findings, kind):
    assert kind_of(findings) == kind


CODE = "def add(a, b):\n    return a + b"
TWO_BLOCKS = "First:\n```python\nx = 1\n```\nthen:\n```python\ndef f(\n    return 1\n```"


def question(kind, finding, response="x = 1\ny = 2", language="python", n=0):
    return Question(f"q{n}", "Do it.", response, "generation", "MIT", language, kind, finding, "c", 0.5)


@pytest.mark.parametrize(
    ("kind", "finding", "response", "language", "says"),
    [
        ("uncompilable", "does_not_compile: line 1: '(' was never closed", TWO_BLOCKS, "python",
         "Python's compiler says of block 2 of 2: line 1: '(' was never closed. That line is `def f(`."),
        ("uncompilable", "does_not_compile: line 2: missing )", "```go\nfunc main() {\n\tf(1\n}\n```", "go",
         "Go's grammar says: line 2: missing ). That line is `f(1`."),
        ("unclear", "undefined_names: heapq, math", "", "python", "`heapq` and `math`, which nothing defines"),
        ("unclear", "placeholder_code: # Add your code here", "", "python", "the remark `# Add your code here`"),
        ("disorganised", "no_asked_function: Write a function", "", "python", "The task says “Write a function”"),
        ("disorganised", f"code_mixed_with_prose: {'x' * 80}", "", "python", f"“{'x' * 80} ...”"),
        ("too_short", "too_short_without_code: 7 characters", "", "unknown", "only 7 characters long, and nothing"),
        ("too_short", "too_short: 7 characters", "", "python", "It is only 7 characters long."),
        ("too_short", "no_code: 200 characters", "", "python", "no code in it that could be taken out"),
        (GOOD, "", "", "rust", "Its code parses as Rust"),
    ],
)  # fmt: skip
def test_the_evidence_quotes_who_found_it(kind, finding, response, language, says):
    assert says in evidence(question(kind, finding, response, language))


COUNTERPART = {"instruction": "Do another.", "response": "def g():\n    return 2", "language": "python"}


def test_neither_place_nor_letter_tells_the_label():
    letters = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for n in range(150):
            asked = question(kind, "no_code: 9 characters" if kind != GOOD else "", n=f"{kind}{n}")
            instruction, response, letter = filtering_task.written(asked, COUNTERPART, seed=0)
            options = dict(re.findall(r"^([A-E])\. (.*)$", instruction, re.MULTILINE))
            assert sorted(options) == list("ABCDE") and options[letter] in filtering_task._OPTIONS[kind]
            assert response.startswith(f"**{letter}.** {options[letter]} ")
            assert "Do another." in instruction and response.endswith("```python\ndef g():\n    return 2\n```")
            letters[kind].append(letter)
    for found in letters.values():
        assert all(15 <= found.count(letter) <= 45 for letter in "ABCDE"), "30 each, by chance"


@pytest.mark.parametrize("response", [TWO_BLOCKS, CODE, "````md\n```\nx\n```\n````"])
def test_answers_are_quoted_whole_and_all_alike(response):
    asked = question("uncompilable", "does_not_compile: line 1: x", response)
    assert f"\n``````text\n{response}\n``````\n" in filtering_task.written(asked, COUNTERPART, 0)[0]


def test_a_quotation_is_closed_by_nothing_in_it():
    assert quoted("a\n`````\nb") == "``````text\na\n`````\nb\n``````"


def test_controls_are_like_the_poor_answers_in_form_and_length():
    chance = random.Random(0)
    accepted = Accepted()
    for n in range(400):
        accepted.ids.append(f"a{n}")
        accepted.languages.append(chance.choice(("python", "java")))
        accepted.fenced.append(chance.random() < 0.5)
        accepted.chars.append(chance.randrange(60, 4_000))
    poor = [row(f"```{'x' * (600 + n)}", language="java") | {"id": f"p{n}"} for n in range(10)]
    chosen = like(accepted, poor, 20, seed=0)
    assert len(set(chosen)) == 20 and all(accepted.languages[i] == "java" and accepted.fenced[i] for i in chosen)
    assert all(512 <= accepted.chars[i] < 1_024 for i in chosen[:10]), "the nearest length first"
    go = row("x" * 50, language="go") | {"id": "q"}
    mixed = like(accepted, [*poor, go], 20, seed=0)
    assert mixed == chosen, "nothing in the language: the other models have their turn"
    bare = [poor[0], row("x = 1", language="python") | {"id": "s"}]  # too short for any to be as short
    forms = {(accepted.languages[i], accepted.fenced[i]) for i in like(accepted, bare, 12, seed=0)}
    assert forms == {("java", True), ("python", False)}
    everything = like(accepted, poor, 400, seed=0)
    java = [i for i in range(400) if accepted.languages[i] == "java"]
    assert sorted(everything) == java and not accepted.fenced[everything[-1]], "the other form comes last"
    assert chosen[:5] == like(accepted, poor, 5, seed=0), "nested"
    assert like(accepted, [], 5, 0) == [] == like(Accepted(), poor, 5, 0)


@pytest.mark.parametrize(
    ("instruction", "asks"),
    [
        ("Write a Python function which adds two numbers.", True),
        ("Create a program that prints a triangle.\n\nWhich one? As SQL does.", True),
        ("What is the syntax for declaring an integer variable?", False),
        ("Write the syntax for declaring an integer variable in a Java program", False),
        ("Identify the language of this code: class A {}", False),
        ("Write a regular expression that a program can match dates with.", False),
        ("Write code in SQL that counts users.", False),
        ("Write a C# program that adds.", False),
        ("Generate a shell script that lists files.", False),
        ("Sum up what is there.", False),
    ],
)
def test_a_short_answer_is_poor_where_a_program_was_asked_for(instruction, asks):
    assert filtering_task.asks_for_program(instruction) is asks
    assert not filtering_task.is_no_code(row("function add(a, b) { return a + b; }", language="javascript"))
    assert filtering_task.is_no_code(row("The sum.", language="javascript"))


@pytest.mark.parametrize(
    ("response", "good"),
    [
        ("```python\ndef add(a, b):\n    return a + b\n\nprint(add(1, 2))\n```", True),
        ("```python\ndef add(a, b):\n    # Add your code here\n```", False),
        ("```python\ndef area(r):\n    return math.pi * r * r + math.e\n```", False),
        ("db.students.find({'name': 'Ann', 'age': 30}).limit(10).sort()", False),
        ("I'm sorry, but I cannot write this program for you today, since", False),
    ],
)
def test_what_stands_for_good_has_passed_every_check(response, good):
    row = {"instruction": "Do it.", "response": response, "language": "python", "task": "generation"}
    assert is_good(row) is good


# --- code review


def review(**changes):
    values = {"correctness": 9, "clarity": 7, "suggestions": ["Line 1: name them."], "refined_code": f"{CODE}  # sum"}
    return Review(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, None, None),
        ({}, "ok", None),
        ({"correctness": 5}, "ok", "contradicts_tests"),
        ({}, "wrong_output", "contradicts_tests"),
        ({"correctness": 5}, "wrong_output", None),
        ({"refined_code": "  \n"}, None, "no_refined_code"),
        ({"refined_code": "def add(a, b:\n  return"}, None, "refined_does_not_compile"),
        ({"refined_code": f"```python\n{CODE} * 1\n```"}, None, None),
        ({"suggestions": []}, None, "no_suggestions"),
        ({"refined_code": CODE.replace("    ", "  ")}, None, "nothing_refined"),
        ({"refined_code": "def total(a, b):\n    return a + b"}, None, "loses_definitions"),
        ({"suggestions": ["I'm sorry, as an AI I cannot."]}, None, "refusal"),
    ],
)
def test_a_teachers_review_is_rejected(changes, verdict, reason):
    assert fault(review(**changes), CODE, "python", verdict) == reason


def test_a_review_in_another_language_loses_no_function_either():
    code = "func Add(a int, b int) int {\n\treturn a + b\n}"
    kept, gone = code.replace("a + b", "b + a"), code.replace("Add", "Sum")
    package = "package main\n"
    assert fault(review(refined_code=package + kept), package + code, "go", None) is None
    assert fault(review(refined_code=package + gone), package + code, "go", None) == "loses_definitions"


def test_scores_that_the_tests_deny():
    assert [contradicts(n, "ok") for n in (5, 6)] == [True, False]
    assert [contradicts(n, "exception") for n in (5, 6)] == [False, True] and not contradicts(0, None)


def row(response, task="generation", language="python"):
    return {"id": "r", "instruction": "Add.", "response": response, "task": task, "language": language}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (row(CODE), (CODE, "python")),
        (row(f"Here:\n```python\n{CODE}\n```\nDone."), (CODE, "python")),
        (row("```go\nfunc main() {\n}\n```", language="go"), ("func main() {\n}", "go")),
        (row(f"```\n{CODE}\n```"), (CODE, "python")),
        (row(f"{CODE}\n", task="commit"), (CODE, "python")),
        (row(f"```python\n{CODE}\n```\n```python\n{CODE}\n```"), None),
        (row("```python\ndef f(:\n```"), None),
        (row("Prose."), None),
        (row("db.students.find({'name': 'Ann'}).sort()"), None),
        (row("```sql\nSELECT 1\n```", language="sql"), None),
        (row(f"```python\n{'x = 1' * 9_000}\n```"), None),
    ],
)
def test_one_program_or_none(given, found):
    assert code_of(given) == found


def test_a_docstring_may_be_laid_out_anew_and_nothing_else():
    one = 'def f():\n    """Sum  \n      of all. \n    """\n    return 1'
    assert same_tree(one, 'def f():\n    """Sum\n    of all.\n    """\n    return 1')
    assert not same_tree(one, one.replace("return 1", "return 2")) and not same_tree(one, one.replace("Sum", "All"))


def test_the_instruction_says_what_was_run_and_the_response_no_more_than_that():
    reviews = review_task.static_reviews([row(f"import os\n{CODE}")] * 3, {"r": "ok"}, {})
    for found, verdict, said in zip(
        reviews, ("ok", None, "timeout"), ("pass", "not run", "fail (timeout)"), strict=True
    ):
        instruction, response = review_task.written(row(f"import os\n{CODE}"), found, verdict, 0)
        assert said in instruction and f"```python\nimport os\n{CODE}\n```" in instruction
        assert "Correctness: 10/10 (its tests pass)" in response and "1. Line 1 (F401): `os` imported but" in response
        assert response.endswith(f"```python\n{CODE}\n```")


def static(code, verdict=None):
    given = row(code)
    (found,) = review_task.static_reviews([given], {"r": verdict} if verdict else {}, {})
    return found, review_task.written(given, found, verdict, 0)[1]


RETURNS = "def f(x):\n    if x > 1:\n        return True\n    else:\n        return False"


def test_a_static_review_that_mends_nothing_is_rejected():
    assert static(RETURNS)[0].reason == static(RETURNS.replace("> 1", ">1"))[0].reason == "nothing_refined"


def test_a_suggestion_is_what_the_refined_code_follows():
    found, response = static(f"import os\n{RETURNS}")
    assert not found.reason and len(found.review.suggestions) == 2 and found.review.suggestions[1].startswith("Layout")
    followed, rest = response.split("Not changed below, up to the author:\n")
    assert "Line 1 (F401)" in followed and "(SIM103)" not in followed and "- Line 3 (SIM103)" in rest
    assert "Clarity: 8/10 (against it: F401, SIM103)" in response


@pytest.mark.parametrize(
    "code", [f"{CODE}\n\n\nprint(add(1,2))\nx = 1\ny = 2\nz = 3", f"import os\n\n\n{CODE}\n\n\nx = 1\ny = 2\nz = 3"]
)
def test_full_clarity_stands_beside_no_suggestion(code):
    found, response = static(code, "ok")
    assert found.review.suggestions and "Clarity: 9/10 (against it: " in response
    assert "Clarity: 10/10\n" in static(CODE)[1]


LIMITS = row_tests.Config(cpu_s=2.0, memory_mib=512)
OWN = "def f(x):\n    return x + 1\n\n\ny = f(1)\nassert y == 2\nassert f(2) == 4"
MENDED = OWN.replace("x + 1", "2 ** x")


def ran(refined, tmp_path, response=OWN, tests=None, verdict="wrong_output"):
    reviewed = review_task.Reviewed(review(refined_code=refined), None)
    (found,) = review_task.after_running(
        [(reviewed, row(response), verdict, tests)], LIMITS, tmp_path / "record.jsonl"
    )
    assert found.review is reviewed.review, "what was paid for is kept beside its reason"
    return found.reason


@pytest.mark.parametrize(
    ("refined", "reason"),
    [
        (MENDED, None),
        (f"{MENDED}, 'of two'\nz = f(3)\nassert z == 8", None),
        (OWN, "refined_fails_tests"),
        (OWN.replace("\nassert f(2) == 4", ""), "refined_without_tests"),
        (OWN.replace("assert f(2) == 4", "assert True"), "refined_without_tests"),
        (OWN.replace("f(2) == 4", "f(2) == 3"), "refined_without_tests"),
        (OWN.replace("assert f(2)", "def check():\n    assert f(2)"), "refined_without_tests"),
        (OWN.replace("y = f(1)", "y = 2").replace("x + 1", "x * 2"), "refined_without_tests"),
        (OWN.replace("y = f(1)", "import sys\ny = f(1)\nsys.exit()"), "refined_without_tests"),
        (f"import no_such_library\n{MENDED}", "refined_not_judged"),
    ],
)
def test_refined_code_passes_the_asserts_of_the_code_that_was_reviewed(refined, reason, tmp_path):
    assert ran(refined, tmp_path) == reason


def test_a_lambda_may_become_a_function():
    assert review_task.keeps_asserts("f = lambda x: 2 ** x\nassert f(2) == 4", MENDED)


def test_refined_code_is_run_once_and_a_fault_of_the_machine_is_none_of_its(tmp_path, monkeypatch):
    def broken(jobs, workers=None):
        yield from (sandbox.Verdict("internal") for _ in jobs)

    real = sandbox.run_many
    monkeypatch.setattr(sandbox, "run_many", broken)
    assert ran(MENDED, tmp_path) == "refined_not_judged"
    monkeypatch.setattr(sandbox, "run_many", real)
    assert ran(MENDED, tmp_path) is None, "tried again, since no verdict was put on record"
    monkeypatch.setattr(sandbox, "run_many", lambda *_, **__: pytest.fail("a verdict on record is run again"))
    assert ran(MENDED, tmp_path) is None
