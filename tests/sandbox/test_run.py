"""The front door: one verdict per program, whatever the program is."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sandbox import Job, Limits, SandboxError, Verdict, run_many, toolchains
from sandbox.__main__ import main
from sandbox.backends import self_test

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(cpu_s=2, wall_s=20)


def verdict_of(worker, program, **more):
    return worker.judge(Job(program, limits=more.pop("limits", LIMITS), **more))


def test_a_program_runs_to_its_end(worker):
    verdict = verdict_of(worker, "name = input()\nprint('hello', name, __name__)", stdin="you\n")
    assert (verdict.status, verdict.stdout, verdict.stderr) == ("ok", "hello you __main__\n", "")
    assert 0 < verdict.cpu_s < 2 and 0 < verdict.wall_s < 20


@pytest.mark.parametrize(
    ("program", "status", "kind"),
    [
        ("1 / 0", "exception", "ZeroDivisionError"),
        ("import sys\nsys.exit(0)", "ok", None),
        ("import sys\nsys.exit(3)", "exception", "SystemExit"),
        ("exit()", "ok", None),
        ("import os\nos._exit(0)", "exception", "EarlyExit"),
        ("import os\nos.abort()", "exception", "SIGABRT"),
        ("def f(:", "compile_error", "SyntaxError"),
        ("x = [0] * 10**11", "memory", "MemoryError"),
        ("raise SystemExit('bye')", "exception", "SystemExit"),
        ("import threading\nthreading.Thread(target=print, args=('late',)).start()", "ok", None),
    ],
)
def test_how_it_ended(worker, program, status, kind):
    verdict = verdict_of(worker, program)
    assert (verdict.status, verdict.exception_type) == (status, kind), verdict


BAD_INPUT = {
    "one megabyte": ("x = 1\n" * 175_000, {"ok", "memory", "timeout"}),
    "one megabyte on one line": ("x = '" + "y" * (1 << 20) + "'", {"ok"}),
    "binary bytes": (bytes(range(256)) * 20, {"compile_error"}),
    "null bytes": ("x = 1\0", {"compile_error"}),
    "lone surrogate": ("x = '\ud800'", {"ok", "compile_error"}),
    "10,000 brackets": ("(" * 10_000 + ")" * 10_000, {"compile_error", "memory"}),
    "10,000 nested lists": ("x = eval('[' * 10_000 + ']' * 10_000)", {"exception", "memory"}),
    "10,000 additions": ("x = " + "1 + " * 10_000 + "1", {"ok", "compile_error", "exception"}),
    "empty": ("", {"ok"}),
    "output flood": ("while True: print('x' * 10_000)", {"output_limit"}),
    "flood at the end": ("print('x' * 70_000, end='')", {"output_limit"}),
    "full disk": ("open('a', 'wb').write(bytes(64 << 20))", {"output_limit"}),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_a_counted_outcome(worker, name):
    program, statuses = BAD_INPUT[name]
    verdict = verdict_of(worker, program)
    assert verdict.status in statuses, verdict
    assert len(verdict.stdout) <= 64 * 1024
    assert verdict_of(worker, "print(1)").stdout == "1\n"


def test_zombies_and_orphans_end_with_the_sample(worker):
    program = (
        "import os, time\nfor i in range(6):\n    if os.fork() == 0:\n        time.sleep(i % 2 * 500); os._exit(0)"
    )
    verdict = verdict_of(worker, program)
    assert verdict.status == ("ok" if worker.backend == "bubblewrap" else "blocked")
    assert verdict.wall_s < 5


def test_a_killed_room_loses_no_verdict(worker):
    assert verdict_of(worker, "print(1)").status == "ok"
    server = worker.candidates.server
    os.kill((server.inner() or [server.process.pid])[0], signal.SIGKILL)
    server.process.wait()
    assert verdict_of(worker, "print(2)").stdout == "2\n"


def test_a_room_killed_during_a_sample_loses_no_verdict(worker):
    verdict_of(worker, "print(1)")
    server = worker.candidates.server
    inner = server.inner() or [server.process.pid]
    killer = threading.Timer(0.3, os.kill, (inner[0], signal.SIGKILL))
    killer.start()
    verdict = verdict_of(worker, "import time\ntime.sleep(1)\nprint('done')")
    killer.join()
    assert (verdict.status, verdict.stdout) == ("ok", "done\n")
    assert worker.candidates.server is not server


def test_limits_follow_the_job(worker):
    assert verdict_of(worker, "x = bytearray(100 << 20)", limits=Limits(cpu_s=2, memory_mib=64)).status == "memory"
    assert verdict_of(worker, "x = bytearray(100 << 20)", limits=Limits(cpu_s=2, memory_mib=512)).status == "ok"
    big = "open('a', 'wb').write(bytes(3 << 20))"
    assert verdict_of(worker, big, limits=Limits(cpu_s=2, file_mib=2)).status == "output_limit"
    assert verdict_of(worker, big, limits=Limits(cpu_s=2, file_mib=8)).status == "ok"
    assert verdict_of(worker, "print('x' * 3000)", limits=Limits(cpu_s=2, output_kib=2)).status == "output_limit"


def test_cpu_time_decides_and_wall_time_only_stops(worker):
    spinning = verdict_of(worker, "while True: pass", limits=Limits(cpu_s=0.3, wall_s=60))
    assert spinning.status == "timeout" and 0.3 <= spinning.cpu_s < 1.5
    sleeping = verdict_of(worker, "import time\ntime.sleep(0.8)", limits=Limits(cpu_s=0.3, wall_s=60))
    assert sleeping.status == "ok"
    assert verdict_of(worker, "import time\ntime.sleep(60)", limits=Limits(cpu_s=5, wall_s=0.4)).status == "timeout"


def test_sets_iterate_alike_in_every_room(worker):
    program = "print(list({'a', 'b', 'c', 'd', 'e'}), hash('x'))"
    first = verdict_of(worker, program).stdout
    worker.candidates.close()
    assert verdict_of(worker, program).stdout == first


def test_run_many_keeps_order_and_count():
    jobs = (Job(f"print({i})" if i % 7 else "1 / 0", limits=LIMITS) for i in range(60))
    verdicts = list(run_many(jobs, workers=3))
    assert [v.stdout for v in verdicts] == [f"{i}\n" if i % 7 else "" for i in range(60)]
    assert [v.status for v in verdicts] == ["ok" if i % 7 else "exception" for i in range(60)]


def test_run_many_holds_few_jobs_at_a_time():
    taken = []

    def jobs():
        for i in range(400):
            taken.append(i)
            yield Job("pass", limits=LIMITS)

    stream = run_many(jobs(), workers=2)
    next(stream)
    assert len(taken) <= 2 * 32 + 2
    stream.close()


def test_a_failing_stream_of_jobs_loses_no_verdict():
    def jobs():
        for i in range(5):
            yield Job(f"print({i})", limits=LIMITS)
        raise KeyError("row 5")

    seen = []
    with pytest.raises(KeyError, match="row 5"):
        for verdict in run_many(jobs(), workers=2):
            seen.append(verdict.stdout)
    assert seen == [f"{i}\n" for i in range(5)]


def test_nothing_survives_run_many():
    def children():
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
        )
        return len(found.stdout.split())

    list(run_many([Job("pass")], workers=1))
    before, descriptors = children(), len(os.listdir("/proc/self/fd"))
    list(run_many([Job("import os\nos.fork()\nwhile True: pass", limits=Limits(cpu_s=0.2))] * 4, workers=2))
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_nothing_survives_a_killed_host(name, tmp_path):
    """kill -9 of our own process in the middle of a sample: its rooms notice, end, and take their files along."""
    if self_test(name):
        pytest.skip(f"{name} does not hold here: {self_test(name)}")
    tmp_path.chmod(0o1777)
    for parent in list(tmp_path.parents)[:3]:  # another uid has to get here
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    code = (
        "import threading, time, sandbox\n"
        "threading.Thread(target=sandbox.run, args=('import time; time.sleep(77)',)).start()\n"
        "from sandbox.pool import _single\n"
        "while not (_single and list(_single.values())[0].candidates.server): time.sleep(0.05)\n"
        "time.sleep(0.5); server = list(_single.values())[0].candidates.server\n"
        "print(server.process.pid, *server.inner(), flush=True)\n"
    )
    environment = {**os.environ, "SANDBOX_BACKEND": name, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    )
    rooms = [int(pid) for pid in child.stdout.readline().split()]
    child.kill()
    child.wait()
    child.stdout.close()
    assert rooms
    for _ in range(100):
        alive = [pid for pid in rooms if os.path.exists(f"/proc/{pid}")]
        if not alive:
            break
        time.sleep(0.05)
    assert alive == []
    assert os.listdir(tmp_path) == []


def test_verdict_is_json():
    said = json.loads(Verdict("ok", stdout="\ud800").to_json())
    assert said["status"] == "ok" and said["borrowed"] == []
    assert set(said) == {field.name for field in dataclasses.fields(Verdict)}


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5"])
def test_senseless_limits_are_refused(value):
    with pytest.raises(SandboxError, match="cpu_s"):
        Limits(cpu_s=value)


def test_senseless_requests_are_refused():
    with pytest.raises(SandboxError, match="cobol"):
        Job("x", language="cobol")
    with pytest.raises(SandboxError, match="at least one worker"):
        run_many([], workers=0)


def _command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_command_line(tmp_path):
    program = tmp_path / "p.py"
    program.write_text("print(input())")
    (tmp_path / "in").write_text("hi")
    done = _command("run", "--language", "python", "--stdin", str(tmp_path / "in"), str(program))
    assert done.returncode == 0 and done.stderr == ""
    verdict = json.loads(done.stdout)
    assert (verdict["status"], verdict["stdout"]) == ("ok", "hi\n")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["absent.py"], "absent.py"),
        (["--cpu-s", "0", "p.py"], "--cpu-s must be"),
        (["--memory-mib", "-5", "p.py"], "--memory-mib must be"),
        (["--test", "p.py", "p.py"], "--entry-point"),
    ],
)
def test_command_line_refuses_in_one_sentence(tmp_path, monkeypatch, capsys, options, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text("print(1)")
    assert main(["run", *options]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and named in said.err and "Limits." not in said.err


def test_doctor_names_the_remedy(monkeypatch, capsys):
    monkeypatch.setattr(toolchains, "library_checks", lambda: {"javascript: js-md5": False})
    monkeypatch.setattr(toolchains, "versions", lambda: {"go": {"go": None}})
    main(["doctor"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "missing" in line]
    assert len(lines) == 2 and all("make toolchains" in line for line in lines)


def test_limits_of_any_numeric_type(worker):
    class Seconds(float):
        pass

    assert verdict_of(worker, "print(1)", limits=Limits(cpu_s=Seconds(2), wall_s=20)).stdout == "1\n"


def test_without_a_sandbox_nothing_runs_unless_allowed(tmp_path):
    """A machine where neither backend holds, told by a self-test that fails."""
    code = (
        "import sandbox.backends as b, sys\n"
        "b.self_test = lambda name: 'not here'\n"
        "from sandbox.__main__ import main\n"
        f"sys.exit(main(['run', {str(tmp_path / 'p.py')!r}]))"
    )
    (tmp_path / "p.py").write_text("print(1)")
    clean = {key: value for key, value in os.environ.items() if key not in ("ALLOW_UNSANDBOXED", "SANDBOX_BACKEND")}
    arguments = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    refused = subprocess.run([sys.executable, "-c", code], env=clean, **arguments)
    assert refused.returncode == 2 and refused.stdout == "" and "ALLOW_UNSANDBOXED=1" in refused.stderr
    assert refused.stderr.count("\n") == 1
    allowed = subprocess.run([sys.executable, "-c", code], env={**clean, "ALLOW_UNSANDBOXED": "1"}, **arguments)
    assert json.loads(allowed.stdout)["backend"] == "unsandboxed"
    assert json.loads(allowed.stdout)["stdout"] == "1\n"
