"""06_comprehend within a build: new rows behind those they need, with descent, licence and generator; nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from artefacts import ROOT, Refusal, hash_of, read_json
from dataset_scripts import build as builder
from dataset_scripts import comprehend, filtering_task
from dataset_scripts.review_rows import Asked
from dataset_scripts.sources import Exchange
from dataset_scripts.stage_files import read_rows
from tests.conftest import run_module
from tests.dataset_scripts.test_teacher import build, profile, server  # noqa: F401 - fixtures

CLEAN = {
    "min_response_chars": 40,
    "detectors": ["refusal", "placeholder_code", "undefined_names", "no_asked_function", "code_mixed_with_prose"],
}
TASKS = ("instruction_evolution", "data_filtering", "code_review")


def good_rows(count):
    """Answers that no check has anything against, in two languages, of growing length; some import what they never
    use."""
    for n in range(count):
        steps = "\n".join(f"    total = total + {n + step}" for step in range(1 + n % 7))
        unused = "import os\n" if n % 3 == 0 else ""
        yield (
            f"Write a Python function which adds the amounts of month {n} to a total.",
            f"```python\n{unused}def add_month_{n}(total):\n{steps}\n    return total\n\nprint(add_month_{n}(1))\n```",
        )
        yield (
            f"Write a Go function which counts the days of month {n}.",
            f"```go\nfunc Days{n}(year int, month int) int {{\n\treturn year % {n + 2} + month\n}}\n```",
        )


SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
BAD = [
    ("Write a Python program which adds the amounts of a month.", "1 2 3", "too_short"),
    ("Write a Go program which counts the days of March.", "March.", "too_short"),
    ("Write a Python function which adds a month.", "```python\ndef add_month(total:\n    return total\n```",
     "uncompilable"),
    ("Write a Go function which counts days.", "```go\nfunc Days(year int int {\n\treturn 5\n}\n```", "uncompilable"),
    ("Write a Python function which logs a month in.",
     "```python\ndef log_month(total):\n    # Add your code here\n    pass\n```", "unclear"),
    ("Write a Python function for the area of a circle.",
     "```python\ndef area(r):\n    return math.pi * r * r + math.e\n```", "unclear"),
    ("Write a Python function which adds two amounts.", "```python\nprint(sum([1, 2]) + sum([1, 2, 3, 4, 5]))\n```",
     "disorganised"),
]  # fmt: skip
OTHERS = [
    ("Write a poem about months.", "I'm sorry, but I cannot write poems about the months of the year.", None),
    ("Log in to the server.", f"```python\ntoken = '{SECRET}'\nprint('logged in with', token)\n```", None),
]


@pytest.fixture(autouse=True)
def alike_enough(monkeypatch):
    monkeypatch.setattr(filtering_task, "MIN_SIMILARITY", 0.15)  # a toy's few instructions have few words in common


@pytest.fixture
def rows(toy_source):
    """Install the rows of the toy source: 60 good, and `bad` ones with their kinds."""

    def install(bad=(*BAD, *OTHERS), good=30):
        toy_source([*good_rows(good), *((instruction, response) for instruction, response, _ in bad)])

    return install


def run(mixture_file, tmp_path, settings, workers=1, **changes):
    stages = {"_03_clean": CLEAN, "_04_decontaminate": None, "_08_customise": None, "_06_comprehend": settings}
    stages |= {"_02_dedup": None, "_07_recheck": {}, "rows_per_shard": 50}
    path = mixture_file(**(stages | {"_09_mixture": {"alchemist_share": 0, "mode": "add"}} | changes))
    return builder.build(path, tmp_path / "build", workers)


STATIC = {"data_filtering": {"max_rows": 40}, "code_review": {"reviewer": "static", "max_rows": 40}}


def made(folder, kind="kept"):
    return [row for row in read_rows(folder / "06_comprehend", kind).to_pylist() if row["source"] in TASKS]


def facts(folder):
    table = read_rows(folder / "06_comprehend", "facts", ["id", *comprehend.FACTS.names])
    return {row["id"]: row for row in table.to_pylist()}


def test_questions_and_reviews_stand_behind_their_rows(rows, mixture_file, tmp_path):
    rows()
    folder = run(mixture_file, tmp_path, STATIC)
    before = {row["id"]: row for row in read_rows(folder / "03_clean").to_pylist()}
    poor = {row["id"]: row for row in read_rows(folder / "03_clean", "rejected").to_pylist()}
    after = read_rows(folder / "06_comprehend").to_pylist()
    assert {i: row for row in after if (i := row["id"]) in before} == before, "rows stay as they are"
    last = None
    for row in after:
        assert row["id"] in before or last in row["parents"]
        last = row["id"] if row["id"] in before else last
    known, new = facts(folder), made(folder)
    assert {row["task"] for row in new} == {"data_filtering", "code_review"}
    assert all(row["task"] == row["source"] and row["license"] == "MIT" for row in new)
    questions = [row for row in new if row["task"] == "data_filtering"]
    kinds = {instruction: kind for instruction, _, kind in BAD}
    for row in questions:
        about, counterpart = row["parents"]
        shown, label = (poor | before)[about], known[row["id"]]["label"]
        assert shown["response"] in row["instruction"] and before[counterpart]["response"] in row["response"]
        assert (
            label == kinds.get(shown["instruction"], "none") and row["generator"] == before[counterpart]["generator"]
        )
        asked = next((name for name in ("Python", "Go") if name in shown["instruction"]), None)
        assert asked is None or asked in before[counterpart]["instruction"], "a counterpart of the same language"
    labels = [known[row["id"]]["label"] for row in questions]
    assert {kind: labels.count(kind) for kind in set(labels)} == {
        "too_short": 2, "uncompilable": 2, "unclear": 2, "disorganised": 1, "none": 2,
    }  # fmt: skip
    assert len({row["parents"][1] for row in questions}) == len(questions), "each counterpart once"
    noted = read_json(folder / "06_comprehend/manifest.json")["notes"]["data_filtering"]
    assert noted["short_by_label"] == {
        "too_short": 6, "uncompilable": 6, "unclear": 6, "disorganised": 7, "none": 6,
    } and noted["left_out"] == {"of_another_kind": 1, "text_withheld": 1}  # fmt: skip
    assert SECRET not in str(after) and "write poems" not in str(new)


def test_static_reviews_are_of_python_and_name_what_ruff_says(rows, mixture_file, tmp_path):
    rows()
    folder = run(mixture_file, tmp_path, STATIC)
    known = facts(folder)
    reviews = [row for row in made(folder) if row["task"] == "code_review"]
    with_findings = [row for row in reviews if "F401" in row["response"]]
    assert len(with_findings) == 10 and {row["language"] for row in reviews} == {"python"}
    for row in with_findings:
        fact = known[row["id"]]
        assert (fact["reviewer"], fact["correctness"], fact["verdict"]) == ("static", 8, None)
        assert "import os" in row["instruction"] and "import os" not in row["response"].split("Refined code:")[1]
    ledger = read_json(folder / "06_comprehend/ledger.json")["by_source"]["code_review"]["new"]
    assert ledger["kept"] == len(reviews) and ledger["kept"] + ledger["rejected"]["no_rule_broken"] == 30


def test_one_worker_two_and_a_second_build_give_the_same_shards(rows, mixture_file, tmp_path, capsys):
    rows()
    digest = read_json(run(mixture_file, tmp_path / "1", STATIC) / "06_comprehend/manifest.json")["digest"]
    capsys.readouterr()
    run(mixture_file, tmp_path / "1", STATIC)
    assert capsys.readouterr().out.count("(unchanged)") == 5
    folder = run(mixture_file, tmp_path / "2", STATIC, workers=2)
    assert read_json(folder / "06_comprehend/manifest.json")["digest"] == digest


@pytest.mark.parametrize(
    ("settings", "reads_findings"), [(STATIC, True), ({"code_review": STATIC["code_review"]}, False)]
)
def test_other_findings_make_the_stage_anew_where_it_reads_them(
    rows, mixture_file, tmp_path, capsys, settings, reads_findings
):
    two_kinds = "```python\nprint(math.pi * 2)\nprint(math.tau)\nfor x in [1, 2]:\n    print(x)\n```"
    rows(bad=[*BAD[:-1], ("Write a Python function which prints two amounts.", two_kinds, None)], good=8)

    def unchanged(**clean):
        run(mixture_file, tmp_path, settings, _03_clean=CLEAN | clean, _05_evolve={"rounds": 1})
        said = capsys.readouterr().out.splitlines()
        return {line.split()[0] for line in said if line.endswith("(unchanged)")}

    assert not unchanged()
    assert unchanged(min_response_chars=41) == {"01_sources", "05_evolve", "06_comprehend", "09_mixture"}
    fewer = [name for name in CLEAN["detectors"] if name != "no_asked_function"]  # the row has one kind now, no more
    assert ("06_comprehend" in unchanged(detectors=fewer)) is not reads_findings


def test_samples_are_nested(rows, mixture_file, tmp_path):
    rows()
    few, more = (
        {row["id"] for size in [n] for row in made(run(mixture_file, tmp_path, {
            "code_review": {"reviewer": "static", "max_rows": size, "flawless_share": 1.0}}))}
        for n in (6, 20)
    )  # fmt: skip
    assert len(few) == 6 and len(more) == 20 and few < more


def test_without_rejected_rows_there_is_nothing_to_ask_and_the_manifest_says_so(rows, mixture_file, tmp_path):
    rows(bad=())
    folder = run(mixture_file, tmp_path, {"data_filtering": {"max_rows": 10}})
    assert not made(folder)
    noted = read_json(folder / "06_comprehend/manifest.json")["notes"]["data_filtering"]
    assert noted["rows"] == 0 and noted["short_by_label"] == dict.fromkeys(noted["rows_by_label"], 2)


def test_a_row_of_a_megabyte_is_quoted_nowhere(toy_source, mixture_file, tmp_path):
    long = f"x = '{'a' * 990_000}'"
    toy_source([*good_rows(8), *((i, r) for i, r, _ in BAD), ("A long one.", f"```python\n{long}\n```"),
                ("A long bad one.", f"```python\n{long}\ndef f(:\n```")])  # fmt: skip
    folder = run(mixture_file, tmp_path, STATIC)
    new = [*made(folder), *made(folder, "rejected")]
    assert made(folder) and max(len(row["instruction"]) + len(row["response"]) for row in new) < 20_000
    noted = read_json(folder / "06_comprehend/manifest.json")["notes"]["data_filtering"]
    assert noted["left_out"]["too_long"] == 1


def test_licences_that_do_not_go_together_make_no_row(toy_source, mixture_file, tmp_path):
    licences = ("CC-BY-NC-4.0", "GPL-3.0")
    toy_source([
        *(Exchange(i, r, licence="GPL-3.0") for i, r in good_rows(10)),
        *(Exchange(i, r, licence=licences[n % 2]) for n, (i, r, _) in enumerate(BAD)),
    ])  # fmt: skip
    folder = run(mixture_file, tmp_path, {"data_filtering": {"max_rows": 40}})
    assert {row["license"] for row in made(folder)} == {"GPL-3.0"}
    assert read_json(folder / "06_comprehend/manifest.json")["notes"]["data_filtering"]["left_out"] == {
        "licences_apart": 4
    }


@pytest.mark.parametrize(
    ("settings", "changes", "says"),
    [
        ({"instruction_evolution": {"max_rows": 5}}, {},
         "06_comprehend.instruction_evolution reads 05_evolve, which this mixture does not name"),
        ({"data_filtering": {"max_rows": 5}}, {"_03_clean": None},
         "06_comprehend.data_filtering reads 03_clean, which this mixture does not name; name it, or leave data_"),
        ({}, {}, "name at least one of instruction_evolution, data_filtering, code_review"),
        ({"data_filtering": {"max_rows": 0}}, {}, "max_rows"),
        ({"code_review": {"reviewer": "ruff", "max_rows": 5}}, {}, "reviewer"),
        ({"code_review": {"reviewer": "static", "max_rows": 5, "failing_rows": True}}, {}, "failing_rows wants"),
    ],
)  # fmt: skip
def test_a_senseless_stage_is_refused_before_anything_is_built(rows, mixture_file, tmp_path, settings, changes, says):
    rows()
    with pytest.raises(Refusal, match=says):
        run(mixture_file, tmp_path, settings, **changes)
    assert not (tmp_path / "build").exists()


# --- with a teacher

REVIEW = {"reviewer": "teacher", "max_rows": 60}
REST = {
    "_02_dedup": None, "_04_decontaminate": None, "_07_recheck": {}, "_08_customise": None, "rows_per_shard": 25,
    "_09_mixture": {"alchemist_share": 0, "mode": "add"},
}  # fmt: skip


def review_of(content):
    """Most reviews are good; those of some rows are not."""
    code = content.rsplit("Code:\n", 1)[1]
    values = {"correctness": 9, "clarity": 7, "suggestions": ["Say what it does."], "refined_code": f"# Adds.\n{code}"}
    if "Add 3 to" in content:
        return "I would rather not say."
    changes = {"Add 4 to": {"correctness": 11}, "Add 5 to": {"refined_code": "def f(:"}}
    return json.dumps(values | next((change for words, change in changes.items() if words in content), {}))


def test_a_teachers_reviews_are_kept_or_rejected_by_reason(build, server):  # noqa: F811
    server.say = review_of
    folder = build(_06_comprehend={"code_review": REVIEW}, **REST)
    ledger = read_json(folder / "06_comprehend/ledger.json")["by_source"]["code_review"]["new"]
    assert ledger == {"kept": 37, "rejected": {
        "refined_does_not_compile": 1, "teacher_invalid_json": 1, "teacher_wrong_schema": 1}}  # fmt: skip
    for row in made(folder):
        assert row["generator"] == "lab/review" and "Correctness: 9/10\nClarity: 7/10\n" in row["response"]
        assert "1. Say what it does." in row["response"] and "```python\n# Adds.\nimport math" in row["response"]
        assert "It was not run." in row["instruction"] and len(row["parents"]) == 1
    assert {facts(folder)[row["id"]]["reviewer"] for row in made(folder)} == {"lab/review"}
    before = len(server.requests)
    build(_06_comprehend={"code_review": REVIEW | {"max_rows": 20}}, **REST)
    assert all("Add 3 to" in content or "Add 4 to" in content for content, _ in server.requests[before:])
    digest = read_json(folder / "06_comprehend/manifest.json")["digest"]
    build(_06_comprehend={"code_review": REVIEW | {"max_rows": 20}}, workers=2, **REST)
    assert read_json(folder / "06_comprehend/manifest.json")["digest"] == digest


def test_a_closed_reviewer_is_refused_where_the_policy_forbids_it(build, server, tmp_path):  # noqa: F811
    path = build(teacher="static", _06_comprehend={"code_review": REVIEW}, **REST).parents[1] / "toy.yaml"
    role = {"model": "gpt-4", "max_tokens": 9, "usd_per_million_prompt_tokens": 0.0}
    role["usd_per_million_completion_tokens"] = 0.0
    profile(tmp_path, server.url, roles={"review": role})
    path.write_text(path.read_text() + "\ngenerator_policy: no_closed_models\n")
    with pytest.raises(Refusal, match="would have gpt-4 write, which generator_policy 'no_closed_models' forbids"):
        builder.build(path, tmp_path / "build", 1, teacher_name="toy")
    assert not server.requests


def test_without_a_teacher_ruff_reviews_and_the_plan_counts_what_a_teacher_would(build, server, capsys):  # noqa: F811
    folder = build(teacher="static", _06_comprehend={"code_review": REVIEW}, **REST)
    assert {facts(folder)[row["id"]]["reviewer"] for row in made(folder)} == {"static"} and not server.requests
    before = sorted((folder / "06_comprehend").rglob("*.parquet"))
    build(dry_run=True, _06_comprehend={"code_review": REVIEW}, **REST)
    (line,) = (li.split() for li in capsys.readouterr().out.splitlines() if li.split()[1:2] == ["review"])
    assert line[3] == "40" and not server.requests
    assert sorted((folder / "06_comprehend").rglob("*.parquet")) == before, "a plan leaves what is there"


CHECK = "def check(candidate):\n    assert candidate(3) == {}"


def test_reviews_are_anchored_on_the_rows_own_tests(toy_source, build, server):  # noqa: F811
    def raw(n, result):
        code = f"def square_{n}(x):\n    return x * x"
        tests = {"test": CHECK.format(result), "entry_point": f"square_{n}"}
        return Exchange(f"Square it, sample {n}.", f"```python\n{code}\n```", tests=tests)

    toy_source([raw(n, 9) for n in range(4)] + [raw(n, 10) for n in range(4, 6)])

    def say(content):
        n = int(content.split("sample ")[1].split(".")[0])
        code = content.rsplit("Code:\n", 1)[1].replace("x * x", "x * x + 1" if n in (2, 4, 5) else "x ** 2")
        score = {0: 9, 1: 3, 2: 9, 3: 6, 4: 8, 5: 2}[n]
        return json.dumps({"correctness": score, "clarity": 9, "suggestions": ["Mend it."], "refined_code": code})

    server.say = say
    limits = {"cpu_s": 2.0, "memory_mib": 512}
    settings = {"code_review": REVIEW | {"row_tests": limits, "failing_rows": True}}
    clean = CLEAN | {"row_tests": limits}
    folder = build(_03_clean=clean, _06_comprehend=settings, **REST)
    told = {content.split("sample ")[1][0]: content for content, _ in server.requests}
    assert "its tests pass" in told["0"] and "its tests fail (wrong_output)" in told["5"]
    reasons = {row["instruction"].split("sample ")[1][0]: row["reason"] for row in made(folder, "rejected")}
    assert reasons == {"1": "contradicts_tests", "2": "refined_fails_tests", "4": "contradicts_tests"}
    kept = {row["instruction"].split("sample ")[1][0]: row for row in made(folder)}
    assert sorted(kept) == ["0", "3", "5"] and "Its tests pass." in kept["0"]["instruction"]
    assert "Its tests fail (wrong output)." in kept["5"]["instruction"] and "x * x + 1" in kept["5"]["response"]
    poor = {row["id"] for row in read_rows(folder / "03_clean", "rejected").to_pylist()}
    assert set(kept["5"]["parents"]) <= poor and facts(folder)[kept["5"]["id"]]["verdict"] == "wrong_output"


def test_failing_rows_want_a_teacher():
    poor = {"id": "p", "instruction": "Add.", "response": "def f():\n    return 1", "language": "python"}
    poor |= {"task": "generation", "license": "MIT", "generator": "human"}
    asked = [(poor | {"id": "seat"}, Asked(poor, "wrong_output", None))]
    assert [found.reason for found in comprehend._before_running(asked, None, None)] == ["needs_a_teacher"]


def test_pairs_of_the_evolution_are_taught_in_both_forms(build, server):  # noqa: F811
    def say(content):
        if content.startswith("Below stands"):
            task = content.rsplit("Task:\n", 1)[1]
            return f"{task} Also mind {' '.join(hash_of(task)[at : at + 5] for at in (0, 5, 10, 15))}."
        return "```python\nprint(undefined_name)\n```" if "Add 5 " in content else "```python\nprint(sum([1]))\n```"

    server.say = say
    folder = build(
        _05_evolve={"rounds": 2}, _06_comprehend={"instruction_evolution": {"max_rows": 60}}, workers=2, **REST
    )
    evolved = {row["id"]: row for row in read_rows(folder / "05_evolve").to_pylist()}
    new, known = made(folder), facts(folder)
    assert len(new) == 60 and {row["generator"] for row in new} == {"lab/evolve"}
    for row in new:
        above, below = (evolved[parent] for parent in row["parents"])
        assert below["parents"] == [above["id"]] and above["instruction"] in row["instruction"]
        if known[row["id"]]["form"] == "produce":
            assert row["response"] == below["instruction"] not in row["instruction"]
        else:
            assert below["instruction"] in row["instruction"]
            assert f"- Also mind {below['instruction'].rsplit('Also mind ', 1)[1]}" in row["response"]
    assert {known[row["id"]]["form"] for row in new} == {"produce", "compare"}
    noted = read_json(folder / "06_comprehend/manifest.json")["notes"]["instruction_evolution"]
    assert noted["pairs"] == 78 and sum(noted["rows_by_label"].values()) == 60, "one parent's code failed, both rounds"


def test_an_evolution_of_which_nothing_is_left_makes_no_row(build):  # noqa: F811
    settings = {"_05_evolve": {"rounds": 1}, "_06_comprehend": {"instruction_evolution": {"max_rows": 9}}}
    folder = build(teacher="static", **settings, **REST)
    assert read_json(folder / "06_comprehend/manifest.json")["notes"]["instruction_evolution"]["pairs"] == 0


@pytest.mark.slow
def test_kill_9_in_the_middle_and_a_rerun_give_the_same_digests(tmp_path):
    mixture = tmp_path / "small.yaml"
    text = (ROOT / "recipes/mixtures/demo.yaml").read_text()
    mixture.write_text(
        text.replace("name: demo", "name: small")
        .replace("rows_per_shard: 2000", "rows_per_shard: 20")
        .replace("source: python_stdlib", "source: python_stdlib\n    sample_rows: 400")
        + f"\n06_comprehend: {json.dumps(STATIC | {'code_review': {'reviewer': 'static', 'max_rows': 800}})}\n"
        "07_recheck: {}\n"
    )
    arguments = ["dataset_scripts.build", str(mixture), "--workers", "1", "--build"]
    whole = run_module(*arguments, str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", *arguments, str(tmp_path / "killed")]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stage = tmp_path / "killed/small/06_comprehend"
    deadline = time.monotonic() + 300
    while child.poll() is None and time.monotonic() < deadline and len(list(stage.glob("units/0*.json"))) < 5:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert len(list(stage.glob("units/0*.json"))) >= 5 and not (stage / "manifest.json").exists(), "not in the middle"
    again = run_module(*arguments, str(tmp_path / "killed"))
    assert again.returncode == 0, again.stderr
    assert read_json(stage / "run.json")["units_resumed"] >= 5
    found = [read_json(tmp_path / run / "small/06_comprehend/manifest.json")["digest"] for run in ("killed", "whole")]
    assert found[0] == found[1]
