"""A dry run of every target that evaluates: the plan, and nothing is loaded, asked, fetched or run."""

import os
import re
import subprocess

import pytest

from artefacts import ROOT
from evaluation import benchmarks, evaluate, plan, protocol, reproduce, rescore
from evaluation.generic import harness
from evaluation.selection import Selection

TARGETS = re.findall(
    r"^((?:evaluate|eval|reproduce)-[\w-]+|rescore|model|summary):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE
)


def commands(target, *settings):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    given = ["make", "-n", target, "MODEL=m", "OUTPUT=o", "BASE=b", *settings]
    given += ["RUN=x"] if target == "evaluate-run" else []
    done = subprocess.run(given, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.replace("\\\n", " ").splitlines() if re.search(r" -m [a-z_]+\.[a-z]", line)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_of_a_target_only_plans(target):
    assert len(TARGETS) >= 17
    planned = commands(target, "DRY_RUN=1", "NPROC=8")
    assert planned and all("--dry-run" in line and "accelerate" not in line for line in planned), planned
    real = commands(target)
    assert len(real) >= len(planned)
    assert not any("--dry-run" in line for line in real)


def test_eval_demo_is_evaluate_demo_of_all_problems_so_that_nothing_is_asked_twice():
    (base, tuned) = (line for line in commands("eval-demo") if "evaluation.evaluate" in line)
    assert base.endswith("--limit 164 --output o/eval-base ") and tuned.endswith("--limit 164 --output o/eval-tuned ")
    asked = commands("evaluate-demo", "EVAL_LIMIT=164")
    assert commands("eval-demo") == asked


@pytest.mark.parametrize("main", [evaluate, rescore, harness])
def test_a_plan_asks_and_runs_nothing(main, monkeypatch, tmp_path, capsys):
    def never(*_, **__):
        raise AssertionError("a plan ran something")

    for place, name in (
        (evaluate, "evaluate"), (rescore, "rescore"), (harness, "evaluate"), (rescore.files.GitHub, "fetch"),
        (benchmarks, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(place, name, never)
    monkeypatch.delenv("REAL_DATA_DIR", raising=False)
    of_model = ["build/no/model", "--output", str(tmp_path / "o"), "--limit"]
    more = {evaluate: [*of_model, "30"], harness: [*of_model, "2"], rescore: []}[main]
    monkeypatch.setattr("sys.argv", ["x", *more, "--dry-run"])
    assert main.main() == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("a plan: nothing was") and not list(tmp_path.iterdir())
    if main is evaluate:
        assert "build/no/model (not there yet)" in said
        (row,) = [line for line in said.splitlines() if line.startswith("demo ")]
        tokens = protocol.read(protocol.find("demo")[0]).max_new_tokens
        assert row.split()[3:] == ["30", "30", row.split()[5], f"{30 * tokens:,}"]
    if main is harness:
        assert re.search(r"^bbh +54 +3 +27,648$", said, re.MULTILINE) and "likelihoods" in said
    if main is rescore:
        assert "github:nlpxucan/WizardLM@cd4b4cc022b6426aee62d51f7ae99a4a6ec9aaef:" in said


def test_explain_answers_twice_and_a_part_of_the_languages_counts_alone():
    explain = protocol.read(protocol.find("octopack/explain")[0])
    assert plan.answers_of(explain, plan.problems_of(explain)) == 984 * 20 * 2
    assert plan.problems_of(protocol.read(protocol.find("alchemist/humaneval_x")[0])) == 5 * 164  # the paper's five
    said = plan.of_model("lab/m", protocol.find("octopack"), Selection(tasks=("Python/0",)), ROOT)
    assert "not there" not in said and [line.split()[3:5] for line in said.splitlines() if "octopack/" in line] == [
        ["1", "40"], ["1", "20"], ["1", "20"], ["1", "20"],
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "ds1000"])
def test_a_plan_counts_the_problems_that_are_asked(real_data, name):
    for version in benchmarks.module(name, "here").VERSIONS:
        rules = protocol.read(protocol.find("demo")[0]).model_copy(update={"benchmark": name, "version": version})
        problems = benchmarks.load(name, real_data, version)
        lacks = sum(part["expected"] - part["found"] for part in benchmarks.absent(name, problems).values())
        assert plan.problems_of(rules) == sum(p.split == "test" for p in problems) + lacks, version


def test_a_checkpoint_that_brings_its_own_code_is_converted_first(monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "evaluate", None)
    monkeypatch.setattr("sys.argv", ["reproduce", "octogeex"])
    assert reproduce.main() == 2
    said = capsys.readouterr()
    assert "`python -m recipes.convert_codegeex2 bigcode/octogeex build/models/octogeex`, then make " in said.err
    assert "make reproduce-octogeex MODEL=build/models/octogeex." in said.err and said.err.count("\n") == 1
    assert "first      python -m recipes.convert_codegeex2 bigcode/octogeex" in said.out
