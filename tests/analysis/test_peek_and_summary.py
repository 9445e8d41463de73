import subprocess
import sys

import pytest

from analysis import funnel, peek
from analysis.summary import summary
from artefacts import ROOT, Refusal, write_json
from dataset_scripts import build as builder
from tests.conftest import code_rows, run_module
from tests.model_cards.toy_build import toy_row, write_build


@pytest.fixture
def built(toy_source, mixture_file, tmp_path):
    toy_source([*code_rows(40), ("Bad.", "No."), ("Long.", "```python\ndef f(:\n    " + "x" * 900 + "\n```")])
    return builder.build(mixture_file(), tmp_path / "build", workers=1)


def test_peek_shows_rows_before_and_after_rejects_and_funnel_without_torch(built):
    probe = (
        "import sys; sys.argv = ['peek', sys.argv[1]]\n"
        "from analysis.peek import main\n"
        "code = main(); assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    command = [sys.executable, "-c", probe, str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  before\n") == done.stdout.count("  after\n") == 4
    assert "03_clean: does_not_compile" in done.stdout and "more characters]" in done.stdout
    assert ["03_clean", "42", "40", "0"] in [line.split()[:4] for line in done.stdout.splitlines()]


def test_peek_shows_a_duplicate_beside_the_row_that_was_kept(tmp_path):
    kept, gone = toy_row(1), toy_row(2, reason="near_duplicate")
    build = write_build(tmp_path / "toy", [kept], rejected=[gone], twins={gone["id"]: kept["id"]})
    shown = peek.rejections(build, 2)
    assert f"03_clean: near_duplicate, row {gone['id']} of toy\n    ```python\n    def add_2(x):" in shown
    assert f"  kept in its place: row {kept['id']} of toy, similarity 0.75\n    ```python\n    def add_1(x):" in shown


def test_peek_withholds_the_text_of_redacted_rows():
    assert "withheld" in peek.excerpt(None)


def test_the_funnel_counts_new_rows_apart(built):
    last = funnel.table(built).splitlines()[-1].split()
    assert last[:4] == ["09_mixture", "40", "40", "4"]


def test_an_unbuilt_mixture_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no finished stage there; run `make mixture MIXTURE="):
        funnel.table(tmp_path)
    done = run_module("analysis.peek", str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def result(passed):
    return {
        "benchmark": "humaneval", "protocol": {}, "pass_at_1": passed / 30, "standard_error": 0.05,
        "sandbox": "bubblewrap", "seconds": {"all": 50.0}, "caveat": "30 problems cannot show a gain.", "problems": 30,
        "problems_in_benchmark": 164, "unscored": [],
        "tasks": {f"HumanEval/{n}": {"samples": 1, "passed": int(n < passed)} for n in range(30)},
    }  # fmt: skip


def test_the_summary_holds_every_number_of_the_demo(built, tmp_path):
    run = {
        "tokens": 79991, "supervised_share": 0.61, "rows": 303, "steps": 20, "loss_first": 1.356, "loss_last": 1.1,
        "tokens_per_s": 200.0, "seconds": 400.0,
    }  # fmt: skip
    write_json(tmp_path / "run/run.json", run)
    write_json(tmp_path / "run/eval-base/result.json", result(5))
    with pytest.raises(Refusal, match="eval-tuned/result.json is missing; run `make demo`"):
        summary(built, tmp_path / "run", tmp_path / "hub")
    write_json(tmp_path / "run/eval-tuned/result.json", result(6))
    text = summary(built, tmp_path / "run", tmp_path / "hub")
    for part in ("1 does_not_compile", "79,991 tokens", "train 400", "16.7 +- 5.0", "20.0 +- 5.0", "make peek"):
        assert part in text
    assert "DRY_RUN=1 make train-ds67b" in text and "EVAL_LIMIT=164 make demo" in text
    assert "tuned - base +3.3 points, 95 % interval -3.2 to +9.9 (1 gained, 0 lost, p = 1.000): cannot be told" in text
    assert "cannot show a gain" not in text  # that is of one score alone
    whole = {"problems_in_benchmark": 30}
    write_json(tmp_path / "run/eval-tuned/result.json", result(15) | whole)
    text = summary(built, tmp_path / "run", tmp_path / "hub")
    assert "interval +16.2 to +50.5 (10 gained, 0 lost, p = 0.002): better than its base" in text
    assert "EVAL_LIMIT=164" not in text, "nobody is told to do what was done"
    write_json(tmp_path / "run/eval-tuned/result.json", result(10) | whole)  # of five problems that changed all rose
    text = summary(built, tmp_path / "run", tmp_path / "hub")
    assert "interval +3.1 to +30.2 (5 gained, 0 lost, p = 0.062): cannot be told from its base" in text
    write_json(tmp_path / "run/eval-tuned/result.json", result(15) | {"protocol": {"batch_size": 1}})
    assert "cannot show a gain" in summary(built, tmp_path / "run", tmp_path / "hub"), "other rules, no difference"
