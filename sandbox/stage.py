"""Root's way into bubblewrap: shows the dropped uid what it needs, drops the uid, becomes bubblewrap.

In a mount namespace of its own, binds folders below private homes (an interpreter in /root/.pyenv) under /mnt/N,
which nobody outside sees and which vanishes with the process. Run as a script, without imports that cost time:

    stage.py 52000 1 /mnt/0 /root/.pyenv/versions/3.11.7 /usr/bin/bwrap ...
             uid   number of folders, each as target and source, then the command
"""

import ctypes
import os
import sys

PLACE = "/mnt"
_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 0x1000, 0x4000, 1 << 18


def _checked(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")


def main(uid: int, folders: dict[str, str], command: list[str]) -> None:
    """Stages, drops, executes; exits with one sentence where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if folders:
        _checked(libc.unshare(_CLONE_NEWNS), "private mount namespace")
        _checked(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
    # Opened in the new namespace, since only its own mounts can be bound, and before /mnt is covered.
    opened = {target: os.open(source, os.O_PATH | os.O_CLOEXEC) for target, source in folders.items()}
    if opened:
        _checked(libc.mount(b"stage", PLACE.encode(), b"tmpfs", 0, b"mode=755,size=64k"), f"tmpfs on {PLACE}")
    for target, descriptor in opened.items():
        os.mkdir(target)
        source = f"/proc/self/fd/{descriptor}".encode()
        _checked(libc.mount(source, target.encode(), None, _MS_BIND, None), f"bind on {target}")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(command[0], command)


if __name__ == "__main__":
    end = 3 + 2 * int(sys.argv[2])
    main(int(sys.argv[1]), dict(zip(sys.argv[3:end:2], sys.argv[4:end:2], strict=True)), sys.argv[end:])
