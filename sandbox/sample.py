"""One sample, from fork to exit: the process that holds untrusted code, or the test that judges it.

Runs inside the room, in a child of the fork server. Everything it says about itself on the report pipe is a claim:
the server trusts it for failures only, and a test's verdict comes from the oracle's process, never the candidate's.
"""

import ast
import builtins
import errno
import fcntl
import linecache
import math
import os
import resource
import signal
import socket
import sys
import threading
import traceback
import types

from sandbox import kernel
from sandbox.channel import CandidateGone, Peer
from sandbox.encode import encode

REPORT, CHANNEL, FIRST_KEPT = 3, 4, 900  # descriptors of a sample; from FIRST_KEPT on: the fork server's open folders


def enter(job: dict, room: dict, stdin: int, stdout: int, stderr: int, report: int, channel: int | None) -> None:
    """Puts this process under its limits: descriptors, resources, Landlock, seccomp. Order matters."""
    os.setsid()
    sources = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in (stdin, stdout, stderr, report, channel) if fd is not None]
    for target, source in enumerate(sources):  # 0, 1, 2, REPORT, CHANNEL
        os.dup2(source, target)
    os.closerange(REPORT + 1 if channel is None else CHANNEL + 1, FIRST_KEPT)
    limits = job["limits"]
    mib = 1 << 20
    cpu = math.ceil(limits["cpu_s"]) + 1
    wanted = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, int(limits["file_mib"] * mib)),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if limits.get("address_space", True):
        wanted.append((resource.RLIMIT_AS, int(limits["memory_mib"] * mib)))
    if room["counts_processes"]:
        wanted.append((resource.RLIMIT_NPROC, int(limits["processes"]) + 1))  # the fork server is one of them
    for what, most in wanted:
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if room["isolation"] == "landlock":
        kernel.landlock_enter(room["ruleset"])
        os.close(room["ruleset"])
        kernel.install_filter(kernel.sample_filter(os.getpid()))


def _say(**claim: object) -> None:
    os.write(REPORT, encode(claim))


def classify(error: BaseException) -> str:
    """Status of an uncaught exception: what the sandbox refused is `blocked`, what a limit refused is that limit."""
    for _ in range(10):
        number = getattr(error, "errno", None)
        if isinstance(error, MemoryError) or number == errno.ENOMEM:
            return "memory"
        if isinstance(error, PermissionError | socket.gaierror) or number == errno.EROFS:
            return "blocked"
        if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            return "output_limit"
        if isinstance(error, BlockingIOError) or (isinstance(error, RuntimeError) and "new thread" in str(error)):
            return "blocked"
        following = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(following, BaseException):
            break
        error = following
    return "exception"


def _say_error(error: BaseException, status: str | None = None) -> None:
    try:
        text = str(error)[:500]
        status = status or classify(error)
    except BaseException:
        text, status = "", status or "exception"
    _say(status=status, exception_type=type(error).__name__[:100], exception_message=text)


def _compile(source: bytes, name: str) -> types.CodeType:
    code = source.decode("utf-8", "surrogatepass")
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    return compile(code, name, "exec", dont_inherit=True)


def _load(source: bytes, module_name: str) -> dict:
    """Runs the program as a module and returns its namespace; a failure is reported and ends the process."""
    module = types.ModuleType(module_name)
    sys.modules[module_name] = module
    try:
        code = _compile(source, "program.py")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _say_error(error, "memory" if type(error) is MemoryError else "compile_error")
        leave(1)
    try:
        exec(code, module.__dict__)
    except SystemExit as error:
        if module_name == "__main__" and error.code in (None, 0):
            return module.__dict__
        _say_error(error, "exception")
        leave(1)
    except BaseException as error:
        _say_error(error)
        _print_traceback()
        leave(1)
    return module.__dict__


def _print_traceback() -> None:
    try:
        traceback.print_exc()
    except BaseException:
        return


def leave(code: int) -> None:
    """Ends the process without the fork server's clean-up running twice."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue
    os._exit(code)


def run_program(job: dict) -> None:
    """A whole program, as `python program.py` would run it."""
    own = os.getpid()
    _load(job["program"], "__main__")
    if os.getpid() != own:  # a process that the program forked came to its end: the program's own has the say
        leave(0)
    try:
        threading._shutdown()
        sys.stdout.flush()
    except BaseException as error:
        _say_error(error)
        leave(1)
    _say(status="ok")
    leave(0)


def _channel() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, CHANNEL)


def run_candidate(job: dict) -> None:
    """Defines the candidate and answers calls until the oracle hangs up."""
    # ctypes and the room's own modules are of no use to a candidate; what it breaks here it breaks for itself.
    namespace = _load(job["program"], "candidate")
    Peer(_channel(), "c", namespace).serve()
    leave(0)


class _Names(dict):
    """Built-ins of the test, then the benchmark's prompt, then (noted down) the candidate's module."""

    def __init__(self, peer: Peer, prompt: bytes, entry: str) -> None:
        # The interpreter looks these two up without __missing__. Copying all the rest would touch, and so copy, the
        # memory page of every built-in.
        super().__init__({name: vars(builtins)[name] for name in ("__import__", "__build_class__")})
        self.peer, self.prompt, self.entry = peer, prompt, entry
        self.from_prompt: dict | None = None
        self.borrowed: list[str] = []

    def __missing__(self, name: str) -> object:
        if name in vars(builtins):
            self[name] = vars(builtins)[name]
            return self[name]
        if self.from_prompt is None:
            self.from_prompt = {"__name__": "prompt"}
            exec(_compile(_complete(self.prompt), "prompt.py"), self.from_prompt)
        if name in self.from_prompt:
            self[name] = self.from_prompt[name]
            return self[name]
        try:
            self[name] = self.peer.name(name)
        except NameError:
            raise KeyError(name) from None
        self.borrowed.append(name)
        return self[name]


def _complete(prompt: bytes) -> bytes:
    """A prompt that ends in a signature without a body still defines its helpers."""
    try:
        ast.parse(prompt)
        return prompt
    except SyntaxError:
        return prompt.rstrip() + b"\n    pass\n"


def run_oracle(job: dict) -> None:
    """Runs the benchmark's test; `candidate` and every name it lacks are calls into the other process."""
    peer = Peer(_channel(), "o")
    entry = job["entry_point"]
    names = _Names(peer, job["prompt"], entry)
    module = sys.modules["test"] = types.ModuleType("test")
    namespace = module.__dict__
    namespace["__builtins__"] = names
    try:
        code = _compile(job["test"], "test.py")
    except Exception as error:
        _say(outcome="bad_test", exception_type=type(error).__name__, exception_message=str(error)[:500])
        leave(1)
    try:
        candidate = namespace["candidate"] = peer.name(entry)
        if entry.isidentifier():
            namespace[entry] = candidate
        exec(code, namespace)
        check = namespace.get("check")
        if isinstance(check, types.FunctionType) and not _calls_check(job["test"]):
            check(candidate)
        outcome, error = "pass", None
    except CandidateGone as gone:
        outcome, error = "gone", gone
    except BaseException as raised:
        error = raised
        outcome = "fail"
        if raised is peer.raised:
            outcome = "raised"
        elif isinstance(raised, MemoryError):
            outcome = "memory"
    if peer.broken:  # whatever a test's bare `except:` made of it
        outcome, error = "gone", CandidateGone(peer.broken)
    text = "" if error is None else str(error)[:500]
    if outcome == "fail" and not text:
        text = _failing_line(error)
    _say(
        outcome=outcome,
        borrowed=names.borrowed,
        exception_type=None if error is None else type(error).__name__,
        exception_message=text or None,
        category=classify(error) if outcome == "raised" else None,
    )
    leave(0)


def _calls_check(test: bytes) -> bool:
    """Whether the test ends by calling check itself (HumanEvalPack) instead of leaving that to us (HumanEval)."""
    if not any(line.startswith(b"check(") for line in test.splitlines()):
        return False
    called = (node.value.func for node in ast.parse(test).body if isinstance(getattr(node, "value", None), ast.Call))
    return any(isinstance(function, ast.Name) and function.id == "check" for function in called)


def _failing_line(error: BaseException) -> str:
    """Source of the innermost line of the test that failed, bounded."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "test.py"]
    return (lines[-1].line or "")[:300] if lines else ""


def run_command(job: dict) -> None:
    """Replaces this process by a compiler, or by what it made."""
    for name, content in job["files"].items():
        with open(name, "wb") as out:
            out.write(content)
    os.set_inheritable(REPORT, False)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, other programs expect it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        os.execve(job["argv"][0], job["argv"], job["environment"])
    except OSError as error:
        _say_error(error)
        leave(1)


ROLES = {"program": run_program, "candidate": run_candidate, "oracle": run_oracle, "command": run_command}
