"""pass@k, errors, bootstrap; the metric module; comparing and listing errors of results."""

import itertools
import random
import statistics
import subprocess
import sys

import pytest

from artefacts import ROOT, Refusal, write_json
from evaluation import compare, errors, rescore, result, scores
from evaluation.benchmarks import Problem


def test_pass_at_k_is_the_share_of_draws_that_hold_a_passing_sample():
    for samples, passed, k in itertools.product((5,), range(6), range(1, 6)):
        draws = list(itertools.combinations([1] * passed + [0] * (samples - passed), k))
        assert scores.pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    with pytest.raises(ValueError, match="makes no sense"):
        scores.pass_at_k(5, 1, 6)


def test_standard_error_and_what_it_allows_to_say():
    assert scores.standard_error([1] * 123 + [0] * 41) == pytest.approx(0.0338, abs=1e-4)
    assert scores.standard_error([0] * 30) == 0
    assert "30 problems cannot show a gain" in scores.caveat(30, 0.07)
    assert scores.caveat(164, 0.034).startswith(
        "Its own standard error is 3.4 points; whether it differs from another,"
    )
    # none of ten passed: that says little, and no "two standard errors are 0.0 points"
    assert scores.caveat(10, 0.0) == "All 10 problems end alike: the true score may be 30.0 points away."
    assert (1 - scores.noise(100, 0.0)) ** 100 == pytest.approx(0.05, abs=0.01)  # what the rule of three stands on


def test_k_is_only_as_large_as_every_task_allows():
    found = scores.score({"a": (10, 5), "b": (12, 0)})
    assert list(found["pass_at_k"]) == ["1", "10"] and found["pass_at_1"] == 0.25
    assert found["standard_error"] == pytest.approx(0.25 / 2**0.5)


def test_bootstrap_pairs_tasks():
    better = scores.paired_bootstrap([0] * 50 + [1] * 50, [1] * 20 + [0] * 30 + [1] * 50)
    assert better["difference"] == pytest.approx(0.2) and better["low"] > 0.1 and better["p"] < 0.01
    assert better["standard_error"] == pytest.approx((0.2 * 0.8 / 100) ** 0.5)
    same = scores.paired_bootstrap([0, 1] * 50, [0, 1] * 50)
    assert (same["low"], same["high"], same["p"]) == (0, 0, 1.0)
    assert scores.paired_bootstrap([1] * 7 + [0] * 93, [0] * 100)["p"] == 2 / 2**7  # seven lost, none gained
    with pytest.raises(ValueError, match="do not pair up"):
        scores.paired_bootstrap([1], [1, 2])


def test_p_is_the_share_of_all_exchanges_that_are_as_far_apart():
    gains = [0.5, 0.25, -0.25, 1.0, 0.0, 0.75]
    flipped = [sum(s * g for s, g in zip(signs, gains, strict=True)) for signs in itertools.product((1, -1), repeat=6)]
    exact = statistics.fmean(abs(total) >= sum(gains) for total in flipped)
    assert scores.sign_flip_p(gains, random.Random(0)) == pytest.approx(exact, abs=0.02)
    assert scores.sign_flip_p([0, 0], random.Random(0)) == 1.0
    for gained, lost in ((3, 3), (1, 8), (0, 2)):  # counted, as drawing would find
        ones = [1] * gained + [-1] * lost
        totals = [sum(signs) for signs in itertools.product((1, -1), repeat=gained + lost)]
        exact = statistics.fmean(abs(total) >= abs(gained - lost) for total in totals)
        assert scores.sign_flip_p(ones, random.Random(0)) == pytest.approx(exact)


def verdict(status, exception=None, **more):
    return {"status": status, "exception": exception, "reason": f"because {status}", "shared_process": False, **more}


def made(verdicts, benchmark="humaneval", **more):
    problems = [Problem(f"T/{n}", "p", "s", "t", "f") for n in range(len(verdicts))]
    records = {p.task_id: [v] for p, v in zip(problems, verdicts, strict=True)}
    return {"benchmark": benchmark, "version": "v1.0", **result.build(problems, records, 164, "here"), **more}


A = [verdict("ok"), verdict("exception", "NameError"), verdict("wrong_output", "AssertionError"), verdict("internal")]
B = [verdict("ok"), verdict("ok"), verdict("exception", "IndentationError"), verdict("ok")]


def test_what_could_not_be_judged_is_listed_and_not_counted():
    found = made(A)
    assert (found["problems"], found["passed"], found["unscored"]) == (3, 1, ["T/3"])
    with pytest.raises(Refusal, match="no problem could be scored .not_run: because not_run"):
        made([verdict("not_run")])


def test_compare_takes_common_tasks_and_names_what_changed(tmp_path, capsys):
    found = compare.compare(made(A, protocol={"stop": []}), made(B, protocol={"stop": ["x"]}))
    assert found["tasks"] == 3 and found["gained"] == ["T/1"] and found["lost"] == []
    assert found["only_one_scored"] == ["T/3"] and found["rules_that_differ"] == ["stop"]
    assert found["first_by_task"].keys() == found["second_by_task"].keys() == {"T/0", "T/1", "T/2"}
    assert [found["second_by_task"][t] - found["first_by_task"][t] for t in ("T/0", "T/1", "T/2")] == [0, 1, 0]
    assert "CAUTION" in compare.table(found, ("a", "b"))
    with pytest.raises(Refusal, match="different benchmarks: humaneval and mbpp"):
        compare.compare(made(A), made(B, benchmark="mbpp"))
    with pytest.raises(Refusal, match="no result of an evaluation there"):
        compare.read(tmp_path)


def of_libraries(passes):
    """A result of DS-1000: library -> which of its problems pass."""
    problems = [
        Problem(f"DS-1000/{name}{n}", "p", "s", "t", "", extra={"library": name})
        for name, rows in passes.items()
        for n in range(len(rows))
    ]
    flags = [ok for rows in passes.values() for ok in rows]
    records = {p.task_id: [verdict("ok" if ok else "wrong_output")] for p, ok in zip(problems, flags, strict=True)}
    return {"benchmark": "ds1000", "version": "v1", **result.build(problems, records, len(problems), "here")}


def test_compare_gives_the_difference_of_unweighted_means_with_its_error():
    """A large part that gained little and a small one that gained much: each counts the same."""
    base = of_libraries({"Pandas": [0, 0, 0, 0, 1, 1, 1, 1], "Scipy": [0, 0]})
    tuned = of_libraries({"Pandas": [1, 0, 0, 0, 1, 1, 1, 1], "Scipy": [1, 0]})
    found = compare.compare(base, tuned)
    parts = found["mean_of_parts"]
    assert found["difference"] == pytest.approx(2 / 10) and parts["difference"] == pytest.approx((1 / 8 + 1 / 2) / 2)
    assert parts["first"] == base["unweighted_mean"] and parts["second"] == tuned["unweighted_mean"]
    assert parts["parts"]["Pandas"]["tasks"] == 8 and parts["parts"]["Scipy"]["difference"] == 0.5
    # the mean of two draws of Scipy's gains is 0, 1/2, 1/2 or 1; of Pandas' one gain in eight likewise
    variances = statistics.pvariance([1, 0]) / 2, statistics.pvariance([1, *[0] * 7]) / 8
    assert parts["standard_error"] == pytest.approx(sum(variances) ** 0.5 / 2)
    assert parts["high"] - parts["low"] == pytest.approx(2 * 1.96 * parts["standard_error"])
    said = compare.table(found, ("a", "b"))
    assert "unweighted mean of 2      A  25.0 %, B  56.2 %, B - A +31.2 points +- 18.6, 95 % interval" in said
    assert "    Scipy (2)" in said
    assert compare.compare(made(A), made(B))["mean_of_parts"] is None  # a set of one part


@pytest.mark.parametrize("passes", [{"Pandas": [1], "Scipy": [0], "Numpy": [0]}, {"Pandas": [1, 1], "Scipy": [1, 1]}])
def test_where_nothing_is_known_of_the_spread_of_parts_no_error_is_made_up(passes):
    base = of_libraries({name: [0] * len(rows) for name, rows in passes.items()})
    found = compare.compare(base, of_libraries(passes))
    parts = found["mean_of_parts"]
    assert parts["difference"] > 0 and parts["standard_error"] is parts["low"] is parts["high"] is None
    assert "too few tasks for an interval" in compare.table(found, ("a", "b"))


def test_few_problems_that_changed_are_no_difference_whatever_the_interval_says():
    """Four of 164 lost and none gained: the bootstrap's interval is below 0, and chance does it one time in 8."""
    tasks = {f"t/{n}": n < 4 for n in range(164)}
    one = {t: {"verdicts": [verdict("ok")]} for t in tasks}
    other = {t: {"verdicts": [verdict("wrong_output" if lost else "ok")]} for t, lost in tasks.items()}
    of = {"benchmark": "humaneval", "version": "v1.0"}
    found = compare.compare({**of, "tasks": one}, {**of, "tasks": other})
    assert found["high"] < 0 and found["p"] == 0.125
    assert "p = 0.125: may be chance" in compare.table(found, ("a", "b"))


def test_errors_stand_side_by_side_and_failing_tasks_are_listed(tmp_path, capsys, monkeypatch):
    for name, verdicts in (("a", A), ("b", B)):
        write_json(tmp_path / f"{name}.json", made(verdicts))
    monkeypatch.setattr(
        sys, "argv",
        ["errors", f"before={tmp_path}/a.json", f"after={tmp_path}/b.json", "--list", "NameError", "--programs", "1"],
    )  # fmt: skip
    assert errors.main() == 2 and "a.programs.jsonl: is missing" in capsys.readouterr().err
    for name in ("a", "b"):
        result.write_programs(tmp_path / f"{name}.json", {"T/0": ["x"], "T/1": ["def f():\n    return nme\n"]})
    assert errors.main() == 0
    out = capsys.readouterr().out
    assert "before  T/1 sample 0  because exception\n    def f():\n        return nme\n" in out
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert rows["passes"] == ["1", "3", "+2"] and rows["NameError"] == ["1", "0", "-1"]
    assert rows["SyntaxError"] == ["0", "1", "+1"] and rows["wrong answer"] == ["1", "0", "-1"]


def record(**changes):
    names = ("model", "file", "repo", "commit", "path", "sha256", "licence")
    values = dict.fromkeys(names, "x") | {"benchmark": "humaneval", "version": "v1.0", "scores": {"pass@1": 33.3}}
    values |= {"tolerance": {"pass@1": 0.1}, "verdicts": None, "differs": {}}
    return rescore.Record(**values | changes)


def test_a_recorded_score_is_met_only_when_every_task_agrees_or_is_explained():
    found = made(A[:3])
    said = {"pass@1": {"T/0": [True], "T/1": [False], "T/2": [False]}}
    assert rescore.compare(record(), found, said)["met"]
    assert not rescore.compare(record(scores={"pass@1": 30.0}), found, said)["met"]
    other = {"pass@1": {"T/0": [False], "T/1": [True], "T/2": [False]}}  # the same score, other tasks
    missed = rescore.compare(record(), found, other)
    assert not missed["met"] and missed["unexplained"] == ["T/0", "T/1"]
    wrong = {"pass@1": {**said["pass@1"], "T/0": [False]}}
    explained = rescore.compare(record(scores={"pass@1": 0.0}, differs={"T/0": "why"}), found, wrong)
    assert explained["met"] and explained["tasks_that_differ"] == {"pass@1": ["T/0"]}


def test_what_was_not_run_has_no_verdict_on_base_inputs_and_does_not_pass_them():
    found = made([verdict("ok", base="ok"), verdict("not_code"), verdict("ok", base="ok")])
    assert rescore.ours(found, "base")["T/1"] == [False]


def test_the_metric_loads_by_path_for_a_stranger(tmp_path):
    code = (
        "import evaluate\n"
        f"m = evaluate.load({str(ROOT / 'evaluation/metrics/pass_at_k')!r})\n"
        "r = m.compute(samples=[10, 10], passed=[3, 0], k=[1, 10])\n"
        "assert abs(r['pass@1'] - 0.15) < 1e-12 and r['pass@10'] == 0.5, r\n"
        "assert abs(r['pass@1_standard_error'] - 0.15 / 2 ** 0.5) < 1e-12, r\n"
        "try:\n    m.compute(samples=[2], passed=[1], k=[5])\n"
        "except ValueError as e:\n    assert 'smallest number is 2' in str(e)\n"
        "else:\n    raise SystemExit('not refused')\n"
    )
    pytest.importorskip("evaluate")
    import os

    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_error_of_a_difference_is_that_of_every_possible_bootstrap():
    """All 5**5 draws of five tasks with replacement, the same tasks for both runs."""
    base, tuned = [0.0, 0.25, 1.0, 0.5, 0.0], [1.0, 0.25, 1.0, 0.0, 0.75]
    gains = [b - a for a, b in zip(base, tuned, strict=True)]
    means = sorted(sum(draw) / 5 for draw in itertools.product(gains, repeat=5))
    found = scores.paired_bootstrap(base, tuned)
    assert found["difference"] == pytest.approx(statistics.fmean(means))
    assert found["standard_error"] == pytest.approx(statistics.pstdev(means))
    assert found["low"] == pytest.approx(means[int(0.025 * len(means))], abs=0.03)
    assert found["high"] == pytest.approx(means[int(0.975 * len(means))], abs=0.03)
    alike = scores.paired_bootstrap(base, [*base[:4], 0.25])  # what both pass and fail adds no error
    assert alike["standard_error"] == pytest.approx(0.25 * (0.2 * 0.8 / 5) ** 0.5)
    assert alike["standard_error"] < scores.standard_error(base) / 3
