# ruff: noqa: E501  (programs are data here, and stay on one line)
"""The trusted oracle: tests written for one process still mean the same across two."""

import pytest

from sandbox import Job, Limits, SandboxError

LIMITS = Limits(cpu_s=1, wall_s=15)


@pytest.fixture(params=[False, True], ids=["own process", "trusted"])
def judge(request):
    """Judges a test both ways: in a process of its own, and after other tests in one process."""

    def judged(worker, program, test, entry_point="f", prompt=None):
        job = Job(program, "python", "", LIMITS, test, entry_point, prompt, trusted_test=request.param)
        return worker.judge(job)

    return judged


HELD = {
    "plain values": ("def f(x): return x", "def check(c):\n    for v in (1, 2.5, 'é', None, True, b'x', 1j, [1, (2, {3})], {'a': [1]}, 10**50,"
                     " float('inf'), range(3), frozenset({1})):\n        assert c(v) == v and type(c(v)) is type(v)"),
    "nan": ("def f(): return float('nan')", "def check(c):\n    v = c()\n    assert v != v"),
    "arguments changed in place": (
        "def f(x, d, s):\n    x.sort(); x.append(9); d['k'] = x; s.add(1)",
        "def check(c):\n    x, d, s = [3, 1], {}, set()\n    assert c(x, d, s) is None\n    assert x == [1, 3, 9] and d == {'k': x} and s == {1}",
    ),
    "identity of a returned argument": ("def f(x): return x", "def check(c):\n    x = [1]\n    assert c(x) is x"),
    "nested change": ("def f(x): x[0][0] = 7", "def check(c):\n    x = [[1], [2]]\n    c(x)\n    assert x == [[7], [2]]"),
    "callables": ("def f(g, x): return [g(v) for v in x]", "def check(c):\n    seen = []\n    assert c(lambda v: (seen.append(v), v + 1)[1], [1, 2]) == [2, 3]\n    assert seen == [1, 2]"),
    "a returned function": ("def f(n): return lambda x: x + n", "def check(c):\n    assert c(2)(3) == 5"),
    "generators": ("def f(n):\n    yield from range(n)", "def check(c):\n    assert list(c(3)) == [0, 1, 2]\n    assert next(c(2)) == 0"),
    "a generator turned into a list": ("def f(n):\n    yield from range(n)", "def check(c):\n    assert list(c(3)) == sorted(c(3)) == [0, 1, 2] and set(c(2)) == {0, 1} and sum(c(4)) == 6"),
    "an iterator at its end": ("def f(n): return iter(range(n))", "def check(c):\n    i = c(1)\n    assert next(i) == 0 and next(i, 'end') == 'end'"),
    "aliased arguments": ("def f(x): x[1] = x[0]", "def check(c):\n    x = [[1], [1]]\n    c(x)\n    x[0].append(2)\n    assert x == [[1, 2], [1, 2]]"),
    "bytes changed in place": ("def f(b): b[0] = 65; b.extend(b'!')", "def check(c):\n    b = bytearray(b'xyz')\n    c(b)\n    assert b == b'Ayz!'"),
    "numbers at the edges": ("def f(x): return [x, -x, x + 1]", "def check(c):\n    for x in (0, 2**63 - 1, 2**63, -2**63, 2**64, 10**40):\n        assert c(x) == [x, -x, x + 1]"),
    "an iterator argument": ("def f(i): return sum(i)", "def check(c):\n    assert c(iter([1, 2, 3])) == 6"),
    "expected exceptions": (
        "class Own(ValueError): pass\ndef f(x):\n    raise Own('no', x)",
        "def check(c):\n    try:\n        c(1)\n    except ValueError as e:\n        assert e.args == ('no', 1) and type(e).__name__ == 'Own'\n    else:\n        assert False",
    ),
    "an exception that brings not what its class is made of": (
        "class Own(UnicodeDecodeError):\n    def __init__(s, *a): s.args = a\ndef f(x): raise Own('no', x)",
        "def check(c):\n    try:\n        c(1)\n    except ValueError as e:\n        assert e.args == ('no', 1) and type(e).__name__ == 'Own'\n    else:\n        assert False",
    ),
    "keyword arguments": ("def f(a, *, b=1): return a - b", "def check(c):\n    assert c(5, b=2) == 3"),
    "classes": (
        "class f:\n    def __init__(s, n): s.d, s.n = {}, n\n    def put(s, k, v): s.d[k] = v\n    def get(s, k): return s.d.get(k, -1)",
        "def check(c):\n    o = c(2)\n    o.put(1, 5)\n    assert o.get(1) == 5 and o.get(2) == -1 and o.n == 2",
    ),
    "the entry point by its name": ("def f(x): return x * 2", "def check(candidate):\n    assert candidate(2) == f(2) == 4"),
    "a test that calls check itself": ("def f(x): return x", "def check(f):\n    assert f(1) == 1\n\ncheck(f)"),
    "bare assertions": ("def f(x): return x", "assert f(1) == 1"),
    "subclasses arrive as data": (
        "from collections import Counter, OrderedDict, namedtuple\nP = namedtuple('P', 'a b')\ndef f(x): return [Counter(x), OrderedDict(a=1), P(1, 2)]",
        "def check(c):\n    assert c('aab') == [{'a': 2, 'b': 1}, {'a': 1}, (1, 2)]",
    ),
    "recursion in data": ("def f(x): return x[1] is x", "def check(c):\n    x = [0]\n    x.append(x)\n    assert c(x) is True"),
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_a_right_candidate_passes(judge, worker, name):
    program, test = HELD[name]
    verdict = judge(worker, program, test)
    assert verdict.status == "ok", verdict
    assert not verdict.shared_process and verdict.borrowed == ()


@pytest.mark.parametrize(
    ("program", "test", "status", "kind"),
    [
        ("def f(x): return x + 1", "def check(c):\n    assert c(1) == 1, 'off by one'", "wrong_output", "AssertionError"),
        ("def f(x): return None", "def check(c):\n    assert len(c(1)) == 1", "wrong_output", "TypeError"),
        ("def f(x): raise KeyError(x)", "def check(c):\n    assert c(1) == 1", "exception", "KeyError"),
        ("def g(x): return x", "def check(c):\n    assert c(1) == 1", "exception", "NameError"),
        ("def f(x) return x", "def check(c):\n    assert c(1) == 1", "compile_error", "SyntaxError"),
        ("import nothing_like_this\ndef f(x): return x", "def check(c):\n    assert c(1) == 1", "exception", "ModuleNotFoundError"),
        ("def f(x):\n    while True: pass", "def check(c):\n    assert c(1) == 1", "timeout", None),
        ("def f(x): return [0] * 10**10", "def check(c):\n    assert c(1) == 1", "memory", "MemoryError"),
        ("import socket\ndef f(x): socket.socket()", "def check(c):\n    assert c(1) == 1", "blocked", "PermissionError"),
        ("def f(x): return object()", "def check(c):\n    assert c(1) == 1", "wrong_output", "UnsupportedValue"),
        ("def f(x): return x", "def check(c):\n    assert c(object()) == 1", "wrong_output", "UnsupportedValue"),
        ("def f(x): return x", "def check(c:\n    assert", "internal", "SyntaxError"),
        ("def f(x): raise StopIteration", "def check(c):\n    assert all(map(lambda x: c(x) == 1, [2]))", "exception", "RuntimeError"),
        ("def f(x):\n    y = x\n    for _ in range(10000): y = [y]\n    return y", "def check(c):\n    assert c(1) == 1", "exception", "UnsupportedValue"),
        ("def f(x): return 'x' * (100 << 20)", "def check(c):\n    assert c(1) == 1", "exception", "UnsupportedValue"),
    ],
)  # fmt: skip
def test_a_wrong_candidate_fails_for_its_own_reason(judge, worker, program, test, status, kind):
    verdict = judge(worker, program, test)
    assert (verdict.status, verdict.exception_type) == (status, kind), verdict


def test_a_failed_assertion_is_quoted(judge, worker):
    assert (
        judge(worker, "def f(x): return 0", "def check(c):\n    assert c(3) == 9").exception_message
        == "assert c(3) == 9"
    )


POLY = "def poly(xs, x):\n    return sum(c * x**i for i, c in enumerate(xs))\n\ndef f(xs):\n    '''A zero.'''\n"
TEST = "def check(c):\n    assert abs(poly([-6, 2], c([-6, 2]))) < 1e-4"


def test_helpers_come_from_the_prompt_when_there_is_one(judge, worker):
    verdict = judge(worker, POLY + "    return -xs[0] / xs[1]", TEST, prompt=POLY)
    assert verdict.status == "ok" and not verdict.shared_process
    verdict = judge(worker, POLY + "    return 0\ndef poly(xs, x): return 0", TEST, prompt=POLY)
    assert verdict.status == "wrong_output"


def test_borrowed_helpers_are_owned_up_to(judge, worker):
    verdict = judge(worker, POLY + "    return -xs[0] / xs[1]", TEST)
    assert verdict.status == "ok" and verdict.shared_process and verdict.borrowed == ("poly",)


def test_a_signature_without_body_is_a_prompt(judge, worker):
    prompt = "def two(): return 2\n\ndef f(x: int) -> int:"
    assert judge(worker, "def f(x): return 2", "def check(c):\n    assert c(0) == two()", prompt=prompt).status == "ok"


def test_candidate_output_is_kept_and_judged_separately(judge, worker):
    verdict = judge(worker, "def f(x):\n    print('seen', x)\n    return x", "def check(c):\n    assert c(4) == 4")
    assert (verdict.status, verdict.stdout) == ("ok", "seen 4\n")


@pytest.mark.parametrize(
    "test",
    [
        "import builtins\nbuiltins.len = lambda x: 4\ndef check(c):\n    assert len([]) == 4",
        "import os\ndef check(c):\n    os._exit(0)",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\ndef check(c): pass",
        "open('left', 'w')\ndef check(c): pass",
        "import sys\nsys.setrecursionlimit(50)\ndef check(c): pass",
        "import random\nrandom.seed(7)\ndef check(c): pass",
    ],
)
def test_no_test_marks_the_next(judge, worker, test):
    judge(worker, "def f(x): return x", test)
    following = "import os, random, sys\ndef check(c):\n    assert len([1, 2]) == 2 and not os.path.exists('left')\n    assert sys.getrecursionlimit() == 1000\n    print(random.random())\n    assert c(random.random()) == 0.8444218515250481"
    verdict = judge(worker, "def f(x): return x and 0.8444218515250481", following)
    assert verdict.status == "ok", verdict


def test_half_a_test_is_refused():
    with pytest.raises(SandboxError, match="entry_point"):
        Job("pass", test="assert True")


@pytest.mark.slow  # the test's own process has 10 s of CPU on top of the candidate's
def test_data_that_keeps_the_test_busy_is_a_timeout(judge, worker):
    verdict = judge(worker, "def f(x): return range(10**12)", "def check(c):\n    assert sum(c(1)) == 1")
    assert verdict.status == "timeout" and "test's process" in verdict.exception_message
