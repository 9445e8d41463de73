"""The static reviewer: findings with lines, safe fixes, layout, scores by rule; a failing ruff costs one row."""

import stat

import pytest

from artefacts import Refusal
from dataset_scripts import static_reviewer
from dataset_scripts.static_reviewer import BUGS, CLARITY, Finding, about, clarity, correctness, layout, read_all

CODE = "import os\n\ndef f(xs=[]):\n    if xs == None:\n        return 'x'\n    return  xs"


def test_findings_name_rule_and_line_and_what_safe_fixes_mend():
    (found,) = read_all([CODE])
    assert [(f.rule, f.line) for f in found.findings] == [("F401", 1), ("B006", 3), ("E711", 4)]
    assert {f.rule for f in found.mended} == {"F401"}, "the others have no safe fix"
    assert found.refined.startswith('def f(xs=[]):\n    if xs == None:\n        return "x"\n    return xs')
    assert (correctness(found.findings, False), correctness(found.findings, True)) == (6, 8)
    assert clarity(found.findings, CODE, CODE) == 8


def test_many_pieces_of_one_call_keep_their_order_and_what_does_not_parse_is_none():
    codes = [f"x{n} = {n}\nprint( x{n})" for n in range(30)]
    codes[7] = "def f(:\n    pass"
    found = read_all(codes)
    assert found[7] is None and [r.refined for r in found if r] == [
        f"x{n} = {n}\nprint(x{n})\n" for n in range(30) if n != 7
    ]
    assert read_all([]) == []


def test_code_is_not_told_what_to_say_by_a_comment():
    (found,) = read_all(["import os  # noqa\n# ruff: noqa\n"])
    assert [f.rule for f in found.findings] == ["F401"]


def test_nothing_outside_the_pieces_is_read_or_executed(tmp_path):
    read_all([f"open({str(tmp_path / 'made')!r}, 'w').write('x')\n"])
    assert not list(tmp_path.iterdir())


def fake_ruff(tmp_path, monkeypatch, script):
    path = tmp_path / "ruff"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    real = static_reviewer.binary()
    monkeypatch.setattr(static_reviewer, "binary", lambda: str(path))
    return real


def test_a_piece_that_ruff_dies_of_costs_no_other(tmp_path, monkeypatch):
    real = static_reviewer.binary()
    fake_ruff(
        tmp_path, monkeypatch,
        f'for last; do :; done\ngrep -rqs deadly "$last" && kill -SEGV $$\nexec {real} "$@"',
    )  # fmt: skip
    found = read_all(["a = 1", "b = 1", "deadly = 1", "c = 1", "d = 1"])
    assert [r is None for r in found] == [False, False, True, False, False]


def test_a_ruff_that_talks_nonsense_gives_no_reading(tmp_path, monkeypatch):
    fake_ruff(tmp_path, monkeypatch, "echo oops")
    assert read_all(["a = 1", "b = 1"]) == [None, None]


def test_without_ruff_one_sentence_says_so(monkeypatch):
    import ruff

    monkeypatch.setattr(static_reviewer, "binary", static_reviewer.binary.__wrapped__)

    def none_here():
        raise FileNotFoundError("ruff")

    monkeypatch.setattr(ruff, "find_ruff_bin", none_here)
    with pytest.raises(Refusal, match="the static reviewer needs ruff, which is not installed; run `make install`"):
        read_all(["a = 1"])


def test_every_rule_is_known_to_ruff_and_on_one_side_only():
    assert not set(BUGS) & set(CLARITY) and len(set(BUGS + CLARITY)) == len(BUGS + CLARITY)
    read_all(["x = 1"])  # an unknown rule is an error of ruff, which would give no reading
    assert read_all(["x = 1"])[0] is not None


def test_names_that_the_task_or_the_tests_bring_are_not_missing():
    findings = [Finding(1, "F821", "Undefined name `df`"), Finding(2, "F821", "Undefined name `helper`")]
    assert about(findings, {"df", "column"}) == findings[1:]


@pytest.mark.parametrize(
    ("code", "refined", "says"),
    [
        ("x = 'a'", 'x = "a"', "double quotes"),
        ("x = 1\ndef f():\n  return 1  ", "x = 1\n\n\ndef f():\n    return 1", "blank lines around definitions, four "
         "spaces of indentation and no blanks at the ends of lines"),
        ("x=1", "x = 1", "blanks around operators and commas"),
    ],
)  # fmt: skip
def test_a_change_of_layout_is_named(code, refined, says):
    assert layout(code, refined) == says


def test_scores_stay_within_their_scale():
    many = [Finding(1, rule, "") for rule in (*BUGS, *CLARITY)]
    assert correctness(many, True) == clarity(many, "a\nb", "c\nd") == 1
    assert correctness([], True) == clarity([], "a", "a") == 10
    assert clarity([], "a\nb\nc\nd", "x\nb\nc\nd") == 9 and clarity([], "a\nb\nc", "x\nb\nc") == 9
    assert clarity([], "a\nb\nc", "x\ny\nc") == 8 and clarity([], "a\nb", "a\n\nb") == 9
    assert clarity([Finding(1, "B006", "")], "a", "a") == 9, "a bug is no blemish, but something to be improved"
