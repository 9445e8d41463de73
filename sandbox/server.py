"""The fork server inside a room: one warm interpreter, one forked child per sample, nothing left behind.

Reads jobs from a control socket, writes one report per job. It is process 1 of its pid namespace under bubblewrap
(no signal from inside reaches it, every orphan becomes its child); under Landlock samples cannot fork at all.
Samples can reach neither its memory (not dumpable, ptrace refused) nor its socket (closed before they start).
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import math
import os
import random
import resource
import select
import signal
import site
import socket
import sys
import time

from sandbox import kernel, oracle, sample, usage
from sandbox.control import receive, send
from sandbox.decode import BadMessage, decode
from sandbox.encode import encode

WARM = (
    "typing math collections re itertools functools heapq bisect string copy json datetime operator random traceback"
).split()
TICK_S = 0.03
_ROLES = {**sample.ROLES, "oracle": oracle.run}

# fork(2) itself: os.fork would run hooks of threading and random in every child, half of a small sample's cost. This
# process has one thread, so there is nothing to repair; `random` is seeded once, alike in every room.
_fork = ctypes.PyDLL(None).fork


class Room:
    """The server's state: how it is isolated, and where samples may write."""

    def __init__(self, settings: dict) -> None:
        self.isolation = settings["isolation"]
        self.scratch = settings["scratch"]
        self.counts_processes = self.isolation == "bubblewrap" or settings["uid"] is not None
        os.umask(0o077)
        if self.isolation == "landlock":
            self._drop_root(settings["uid"], sys.path + settings["packages"])
        sys.path[:] = [self.scratch, *self._reachable(sys.path + settings["packages"])]
        sys.path_importer_cache.clear()
        for module in list(sys.modules.values()):  # submodules of packages that are loaded already
            if isinstance(getattr(module, "__path__", None), list):
                module.__path__[:] = [self._relocated(path) for path in module.__path__]
        sys.dont_write_bytecode = True
        sys.argv = ["program.py"]
        site.setquit()
        site.sethelper()
        for name in WARM if settings["tests"] is None else ():  # one process imports once, whatever it needs
            importlib.import_module(name)
        self.ruleset = None
        if self.isolation == "landlock":
            ruleset = kernel.landlock_ruleset(self.folders + settings["readable"], [self.scratch])
            self.ruleset = fcntl.fcntl(ruleset, fcntl.F_DUPFD, sample.FIRST_KEPT)
            kernel.install_filter(kernel.room_filter(own_namespace=False))
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        os.chdir(self.scratch)
        self.view = {
            "isolation": self.isolation, "ruleset": self.ruleset, "counts_processes": self.counts_processes
        }  # fmt: skip

    def _drop_root(self, uid: int | None, entries: list[str]) -> None:
        """Opens the interpreter's folders first: a path below a private home is closed to the new uid."""
        wanted = [entry for entry in entries if entry and os.path.isdir(entry)]
        self.opened = {entry: os.open(entry, os.O_PATH) for entry in wanted}
        self.opened = {entry: fcntl.fcntl(fd, fcntl.F_DUPFD, sample.FIRST_KEPT) for entry, fd in self.opened.items()}
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)

    def _relocated(self, path: str) -> str:
        for original, replacement in self.moved.items():
            if path.startswith(original + "/"):
                return replacement + path[len(original) :]
        return path

    def _reachable(self, entries: list[str]) -> list[str]:
        self.folders: list[int | str] = []
        self.moved: dict[str, str] = {}
        if self.isolation != "landlock":
            return [entry for entry in entries if entry and entry != self.scratch]
        found = []
        for entry in dict.fromkeys(entries):
            if os.access(entry, os.R_OK) and os.path.isdir(entry):
                found.append(entry)
                self.folders.append(entry)
            elif entry in self.opened:
                found.append(f"/proc/self/fd/{self.opened[entry]}")
                self.moved[entry] = found[-1]
                self.folders.append(self.opened[entry])
        return found


def serve(control: socket.socket, room: Room) -> None:
    """Answers jobs until the host hangs up or a sample leaves a doubt."""
    gc.collect()
    gc.freeze()
    send(control, {"ready": True, "pid": os.getpid(), "uid": os.getuid()})
    while True:
        job, descriptors = receive(control)
        if job is None:
            return
        if job.get("stop"):  # crossed with the report of a sample that ended by itself
            continue
        report = _run(control, room, job, descriptors[0], descriptors[1] if len(descriptors) > 1 else None)
        if not job.get("keep"):
            report["clean"] = _sweep(room) and report["clean"]
        send(control, report)
        if not report["clean"]:
            return


def _run(control: socket.socket, room: Room, job: dict, stdin: int, channel: int | None) -> dict:
    """Forks one sample, watches it, and says how it ended."""
    started = time.monotonic()
    pipes = [os.pipe() for _ in range(3)]
    pid = _fork()
    if pid == 0:
        try:
            sample.enter(job, room.view, stdin, pipes[0][1], pipes[1][1], pipes[2][1], channel)
            _ROLES[job["role"]](job)
        except BaseException as error:
            os.write(sample.REPORT, encode({"exception_type": "RoomError", "exception_message": repr(error)[:300]}))
        finally:
            os._exit(70)
    for descriptor in (stdin, channel, *(write for _, write in pipes)):
        if descriptor is not None:
            os.close(descriptor)
    watch = usage.Watch(room, job["limits"], pid, started)
    readers = [read for read, _ in pipes]
    pidfd = os.pidfd_open(pid)
    try:
        why, outputs = _watch(control, room, watch, pid, pidfd, readers, job["limits"])
        ended, cpu_s, clean = _end(room, pid, pidfd, readers, outputs, job["limits"])
    finally:
        for descriptor in (*readers, pidfd):
            os.close(descriptor)
    most = int(job["limits"]["output_kib"] * 1024)
    if why is None and max(len(outputs[readers[0]]), len(outputs[readers[1]])) > most:
        why = ("output_limit", f"more than {most} bytes printed")
    try:
        claim = decode(bytes(outputs[readers[2]]))
        claim = claim if isinstance(claim, dict) else {}
    except BadMessage:
        claim = {}
    return {
        "why": why,
        "ended": ended,
        "claim": claim,
        "stdout": bytes(outputs[readers[0]][:most]),
        "stderr": bytes(outputs[readers[1]][:most]),
        "cpu_s": cpu_s,
        "wall_s": time.monotonic() - started,
        "clean": clean,
    }


def _watch(control, room: Room, watch, pid: int, pidfd: int, readers: list[int], limits: dict):
    """Reads output and looks at the clock until the sample ends, exceeds a limit, or the host says stop."""
    most = int(limits["output_kib"] * 1024)
    bounds = {readers[0]: most, readers[1]: most, readers[2]: 1 << 16}
    outputs = {reader: bytearray() for reader in readers}
    poller = select.poll()
    for descriptor in (*readers, control.fileno()):
        poller.register(descriptor, select.POLLIN)
    poller.register(pidfd, select.POLLIN)
    looked, stop_at = time.monotonic(), math.inf
    while True:
        for descriptor, _ in poller.poll(TICK_S * 1000):
            if descriptor == pidfd:
                return None, outputs
            if descriptor == control.fileno():
                message, _ = receive(control)
                if message is None:
                    _kill(room, pid)
                    _leave(room)  # the host is gone: so is this room
                # The test has hung up. A decent candidate ends by itself, with its output and its reason complete.
                stop_at = time.monotonic() + message["grace_s"]
                continue
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                poller.unregister(descriptor)
                continue
            outputs[descriptor] += piece
            if len(outputs[descriptor]) > bounds[descriptor]:
                return ("output_limit", f"more than {bounds[descriptor]} bytes printed"), outputs
        now = time.monotonic()
        if now >= stop_at:
            return ("stopped", ""), outputs
        if now - looked >= TICK_S:
            looked = now
            why = watch.exceeded()
            if why:
                return why, outputs


def _end(room: Room, pid: int, ended: int, readers: list[int], outputs: dict, limits: dict) -> tuple[int, float, bool]:
    """Kills what is left, reaps it, drains the pipes. Returns wait status, CPU seconds, whether nothing survived."""
    _kill(room, pid)
    cpu_s, status, deadline = 0.0, 0, time.monotonic() + 5
    select.select([ended], [], [], 5)  # the sample itself first, without spinning
    while True:
        try:
            reaped, code, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if reaped == 0:
            if time.monotonic() > deadline:
                return status, cpu_s, False
            time.sleep(0.0002)
            continue
        cpu_s += used.ru_utime + used.ru_stime
        if reaped == pid:
            status = code
    for reader in readers:
        os.set_blocking(reader, False)
        try:
            while len(outputs[reader]) <= max(1 << 16, int(limits["output_kib"] * 1024)):
                piece = os.read(reader, 1 << 16)
                if not piece:
                    break
                outputs[reader] += piece
        except BlockingIOError:
            pass
    return status, cpu_s, True


def _kill(room: Room, pid: int) -> None:
    """Everything in the namespace, or the one process that a sample without a namespace can be."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1 if room.isolation == "bubblewrap" else pid, signal.SIGKILL)


def _leave(room: Room) -> None:
    """Ends the room; a scratch folder on the host's disk goes with it, also when the host was killed."""
    if room.isolation != "bubblewrap" and _sweep(room):
        with contextlib.suppress(OSError):
            os.rmdir(room.scratch)
    os._exit(0)


def _sweep(room: Room) -> bool:
    """Empties the scratch folder; False when something resists."""
    try:
        _empty(room.scratch)
        return True
    except (OSError, RecursionError):
        return False


def _empty(folder: str) -> None:
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                _empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)


def main() -> None:
    """Command line: control descriptor, settings as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    random.seed(0)
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_MSGQUEUE):
        resource.setrlimit(what, (0, 0))
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(sys.argv[2])
    room = Room(settings)
    if settings["tests"] is None:
        serve(control, room)
        _leave(room)
    # Process 1 of a namespace is deaf to signals without a handler, so the tests run in a child of it.
    pid = os.fork()
    if pid == 0:
        if room.isolation == "landlock":
            kernel.landlock_enter(room.ruleset)
            kernel.install_filter(kernel.sample_filter(os.getpid()))
        os.chdir(room.scratch)
        oracle.serve(control, settings["tests"])
        os._exit(0)
    control.close()
    os.waitpid(pid, 0)
    _leave(room)
