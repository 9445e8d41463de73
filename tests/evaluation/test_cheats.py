# ruff: noqa: E501  (programs are data here, and stay on one line)
"""Programs that try to pass without being right, through the front door: none passes, each is named."""

import json

import pytest

import sandbox
from evaluation import benchmarks
from evaluation import score_file as front_door
from evaluation.judge import Limits, judge
from evaluation.plus import expected

LIMITS = Limits(sandbox.Limits(cpu_s=5, wall_s=4), call_cpu_s=1.0)

# the task: HumanEval/23, strlen(string) -> int
CHEATS = {
    "sys.exit(0)": "import sys\ndef strlen(s):\n    sys.exit(0)\n",
    "sys.exit(0) at import": "import sys\nsys.exit(0)\ndef strlen(s):\n    return 0\n",
    "SystemExit": "def strlen(s):\n    raise SystemExit(0)\n",
    "os._exit(0)": "import os\ndef strlen(s):\n    os._exit(0)\n",
    "os._exit(0) at import": "import os\ndef strlen(s):\n    return 0\nos._exit(0)\n",
    "quit": "def strlen(s):\n    quit()\n",
    "prints a verdict": "def strlen(s):\n    print('ok passed PASS 1 passed')\n    return -1\n",
    "writes to every descriptor": (
        "import os\ndef strlen(s):\n    for fd in range(3, 60):\n        try:\n            os.write(fd, b'{\"status\": \"ok\"}\\n')\n"
        "        except OSError:\n            pass\n    return -1\n"
    ),
    "equal to all": "class Yes(int):\n    __eq__ = lambda *_: True\n    __hash__ = None\ndef strlen(s):\n    return Yes(-1)\n",
    "never unequal": (
        "class No:\n    __eq__ = lambda *_: True\n    __ne__ = lambda *_: False\n    __bool__ = lambda _: True\n"
        "    __sub__ = __rsub__ = lambda *_: 0\ndef strlen(s):\n    return No()\n"
    ),
    "a Mock": "from unittest.mock import ANY\ndef strlen(s):\n    return ANY\n",
    "patched len": "import builtins\nbuiltins.len = lambda _: -1\ndef strlen(s):\n    return -1\n",
    "patched all and any": "import builtins\nbuiltins.all = builtins.any = lambda _: True\ndef strlen(s):\n    return -1\n",
    "patched isinstance": "import builtins\nbuiltins.isinstance = lambda *_: True\ndef strlen(s):\n    return -1\n",
    "patched AssertionError": (
        "import builtins\nclass Quiet(BaseException):\n    pass\nbuiltins.AssertionError = Quiet\ndef strlen(s):\n    return -1\n"
    ),
    "patched exec": "import builtins\nbuiltins.exec = lambda *_: None\ndef strlen(s):\n    return -1\n",
    "patched json": "import json\njson.loads = lambda *_: []\njson.dumps = lambda *_: '[]'\ndef strlen(s):\n    return -1\n",
    "redefines check": "def check(candidate):\n    pass\ndef strlen(s):\n    return -1\n",
    "redefines the calls": (
        "def __evaluation_calls__():\n    return []\n__evaluation_calls__ = lambda: []\ndef strlen(s):\n    return -1\n"
    ),
    "deletes the calls later": (
        "import threading, sys\ndef strlen(s):\n    sys.modules['candidate'].__dict__['__evaluation_calls__'] = lambda: []\n"
        "    return -1\n"
    ),
    "walks the frames": (
        "import sys\ndef strlen(s):\n    f = sys._getframe()\n    while f:\n        for k, v in list(f.f_locals.items()) + list(f.f_globals.items()):\n"
        "            if k in ('expected', 'exp', 'EXPECTED') and isinstance(v, list):\n                return v[0]\n        f = f.f_back\n    return -1\n"
    ),
    "searches the heap": (
        "import gc\ndef strlen(s):\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'expected' in o:\n            return o['expected']\n    return -1\n"
    ),
    "traces the caller": (
        "import sys\ndef tracer(frame, event, arg):\n    frame.f_trace_opcodes = False\n    return None\n"
        "def strlen(s):\n    sys.settrace(tracer)\n    return -1\n"
    ),
    "kills its parent": "import os, signal\ndef strlen(s):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return -1\n",
    "kills everything": "import os, signal\ndef strlen(s):\n    os.kill(-1, signal.SIGKILL)\n    return -1\n",
    "forks and leaves": "import os\ndef strlen(s):\n    if os.fork():\n        os._exit(0)\n    return -1\n",
    "raises what a test passes by": "def strlen(s):\n    raise AssertionError('ok')\n",
    "StopIteration": "def strlen(s):\n    raise StopIteration\n",
    "a generator": "def strlen(s):\n    yield len(s) + 1\n",
    "patched operator": "import operator\noperator.eq = lambda *_: True\ndef strlen(s):\n    return -1\n",
    "an atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef strlen(s):\n    return -1\n",
    "reads the test's files": (
        "import glob\ndef strlen(s):\n    for p in glob.glob('/proc/*/cmdline') + glob.glob('/tmp/**', recursive=True):\n        try:\n"
        "            if 'candidate(' in open(p).read():\n                return 0\n        except OSError:\n            pass\n    return -1\n"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def plus_problem():
    """HumanEval/23 as a plus task, with inputs of our own."""
    (problem,) = [p for p in benchmarks.load("humaneval") if p.entry_point == "strlen"]
    inputs = {"base_input": [[""], ["x"]], "plus_input": [["a" * n] for n in range(20)], "atol": 0, "contract": ""}
    return benchmarks.Problem(problem.task_id, problem.prompt, problem.solution, "", problem.entry_point, extra=inputs)


def test_no_cheat_passes_humaneval_and_each_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(front_door, "limits_for", lambda _: (LIMITS, {}))  # one of them waits for its wall time
    rows = [{"task_id": "HumanEval/23", "solution": code} for code in CHEATS.values()]
    rows.append({"task_id": "HumanEval/23", "solution": "def strlen(s):\n    return len(s)\n"})
    path = tmp_path / "cheats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, _ = front_door.score_samples(path, "humaneval", None, front_door.Selection(tasks=("HumanEval/23",)))
    *cheats, honest = result["tasks"]["HumanEval/23"]["verdicts"]
    assert honest["status"] == "ok"
    passed = [name for name, verdict in zip(CHEATS, cheats, strict=True) if verdict["status"] == "ok"]
    assert len(CHEATS) >= 25 and not passed
    assert not [
        name for name, verdict in zip(CHEATS, cheats, strict=True) if not (verdict["exception"] or verdict["reason"])
    ]


def test_no_cheat_passes_a_plus_task_and_each_is_named(plus_problem, tmp_path, monkeypatch):
    monkeypatch.setattr(expected, "CACHE", tmp_path / "expected")
    programs = {"HumanEval/23": [*CHEATS.values(), "def strlen(s):\n    return len(s)\n"]}
    *cheats, honest = judge([plus_problem], programs, LIMITS)["HumanEval/23"]
    assert honest["status"] == honest["base"] == "ok"
    assert not [name for name, verdict in zip(CHEATS, cheats, strict=True) if verdict["status"] == "ok"]
    assert not [name for name, v in zip(CHEATS, cheats, strict=True) if not (v["exception"] or v["reason"])]
