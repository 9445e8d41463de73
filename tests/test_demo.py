"""The two commands of the README, as a user types them, in a folder of their own."""

import os
import subprocess

import pytest

from artefacts import ROOT, read_json


def make(*arguments: str, timeout_s: int) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTEST"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s
    )


@pytest.mark.slow
def test_the_demo_runs_from_rows_to_an_evaluated_checkpoint_and_a_second_run_recomputes_nothing(tmp_path):
    build = tmp_path / "build"
    first = make("demo", f"BUILD={build}", "EVAL_LIMIT=10", timeout_s=2000)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    assert "try next    make peek" in first.stdout and "pass@1, %" in first.stdout
    run = read_json(build / "runs/smollm2-135m-full/run.json")
    assert run["supervised_tokens"] > 40_000 and run["checkpoint"]["reloaded_tokens_equal"] == 20
    for name in ("base", "tuned"):
        assert read_json(build / f"runs/smollm2-135m-full/eval-{name}/result.json")["problems"] == 10
    ledger = read_json(build / "demo/01_sources/ledger.json")
    assert ledger["rows_in"] >= 1500

    before = {p: p.stat().st_mtime_ns for p in build.rglob("*") if p.is_file() and p.name != ".lock"}
    second = make("demo", f"BUILD={build}", "EVAL_LIMIT=10", timeout_s=200)
    assert second.returncode == 0, second.stderr
    assert before == {p: p.stat().st_mtime_ns for p in build.rglob("*") if p.is_file() and p.name != ".lock"}
    assert second.stdout.count("unchanged") == 6 + 6
    table = first.stdout.index("== demo: the whole way")
    assert first.stdout[table:] == second.stdout[second.stdout.index("== demo: the whole way") :]


@pytest.mark.parametrize("answer", ["fails", "is an old Python"])
def test_a_missing_or_unfitting_python_is_one_sentence(tmp_path, answer):
    fake = tmp_path / "python3"
    if answer == "fails":
        done = make("install", f"PYTHON={tmp_path}/nowhere", timeout_s=20)
        says = "is not there; apt install python3 python3-venv."
    else:
        code = "import sys; sys.version_info = (3, 9, 2, 'final', 0); sys.argv = sys.argv[1:]\n"
        code += "import bootstrap; bootstrap.installed = lambda: False; bootstrap.shutil.which = lambda name: None\n"
        fake.write_text(f'#!/bin/sh\nexec .venv/bin/python -c "{code}bootstrap.install()" "$@"\n')
        fake.chmod(0o755)
        done = make("install", f"PYTHON={fake}", timeout_s=20)
        says = "Python 3.11 or 3.12 is needed, python3 is 3.9; install one (apt install python3.11 python3.11-venv)."
    assert done.returncode != 0
    assert says in done.stderr and "Traceback" not in done.stderr
