# ruff: noqa: E501  (programs are data here, and stay on one line)
"""Attacks on the sandbox, as data: ten groups, each program with the statuses that tell the truth about it.

`{secret}` (a world-readable file), `{target}` (a world-writable folder), `{port}`, `{unix}` (listening sockets) and
`{victim}` (a process) lie on the host and are watched by whoever runs the attacks (besieged.py).
"""

import dataclasses

_SYSCALL = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


@dataclasses.dataclass(frozen=True)
class Attack:
    """A hostile program. With a test it is a fake pass: `ok` is then a defeat."""

    group: str
    name: str
    program: str
    expected: tuple[str, ...]
    test: str | None = None
    entry_point: str | None = "f"
    prompt: str | None = None


_REFUSED = ("blocked", "exception")
_STOPPED = ("timeout",)

NETWORK = {
    "tcp": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).send(b'x')", _REFUSED),
    "udp": ("import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))", _REFUSED),
    "unix socket": ("import socket\ns = socket.socket(1, 1)\ns.connect({unix!r})\ns.send(b'x')", _REFUSED),
    "abstract socket": ("import socket\ns = socket.socket(1, 1)\ns.connect(chr(0) + 'sandbox-canary')", _REFUSED),
    "dns": ("import socket\nsocket.getaddrinfo('example.com', 80)", _REFUSED),
    "http": ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/', timeout=2)", _REFUSED),
    "raw": ("import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)", _REFUSED),
    "listen": ("import socket\nsocket.create_server(('0.0.0.0', 0))", _REFUSED),
}
READ = {
    "secret": ("print(open({secret!r}).read())", _REFUSED),
    "shadow": ("print(open('/etc/shadow').read())", _REFUSED),
    "environment of 1": ("print(open('/proc/1/environ').read()); raise OSError", _REFUSED),
    "environment of parent": (
        "import os\nprint(open(f'/proc/{{os.getppid()}}/environ').read()); raise OSError",
        _REFUSED,
    ),
    "link": ("import os\nos.symlink({secret!r}, 'link')\nprint(open('link').read())", _REFUSED),
    "hard link": ("import os\nos.link({secret!r}, 'link')\nprint(open('link').read())", _REFUSED),
    "through root": ("print(open('/proc/self/root' + {secret!r}).read())", _REFUSED),
    "through cwd": ("print(open('../' * 20 + {secret!r}).read())", _REFUSED),
    "devices": ("open('/dev/mem', 'rb').read(16)", _REFUSED),
    "memory of 1": ("open('/proc/1/mem', 'rb').read(16)", _REFUSED),
    "stray descriptors": (
        "import os\nfound = []\nfor fd in range(3, 2000):\n    try:\n        found.append(os.read(fd, 100)) if fd != 4 else 0\n"
        "    except OSError: pass\nassert not found, found\nraise OSError",
        _REFUSED,
    ),
}
WRITE = {
    "new file": ("open({target!r} + '/new', 'w').write('x')", _REFUSED),
    "append": ("open({secret!r}, 'a').write('x')", _REFUSED),
    "truncate": ("import os\nos.truncate({secret!r}, 0)", _REFUSED),
    "chmod": ("import os\nos.chmod({secret!r}, 0o600)", _REFUSED),
    "times": ("import os\nos.utime({secret!r}, (0, 0))", _REFUSED),
    "rename": ("import os\nos.rename({secret!r}, {target!r} + '/moved')", _REFUSED),
    "delete": ("import os\nos.unlink({secret!r})", _REFUSED),
    "interpreter": ("import os\nopen(os.path.dirname(os.__file__) + '/sitecustomize.py', 'w').write('x')", _REFUSED),
    "core pattern": ("open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')", _REFUSED),
    "through a folder descriptor": (
        "import os\nfd = os.open({target!r}, os.O_PATH)\nos.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=fd)",
        _REFUSED,
    ),
}
SPAWN = {
    "shell": ("import os\nassert os.system('touch {target}/shell') == 0", _REFUSED),
    "subprocess": ("import subprocess\nsubprocess.run(['touch', '{target}/sub'], check=True)", _REFUSED),
    "exec": ("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo x > {target}/exec'])", _REFUSED),
    "setuid tool": (
        "import subprocess\nsubprocess.run(['su', '-c', 'id'], check=True, stdin=subprocess.DEVNULL)",
        _REFUSED,
    ),
    "daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(2)\n"
        "        open({target!r} + '/daemon', 'w')\n    os._exit(0)",
        ("ok", "blocked"),
    ),
    "memfd": (
        "import os\nfd = os.memfd_create('x')\nos.write(fd, b'#!/bin/sh\\ntouch {target}/memfd\\nexit 1')\n"
        "os.execve(fd, ['x'], {{}})",
        _REFUSED,
    ),
}
EXHAUST = {
    "memory": ("x = bytearray(64 << 30)", ("memory",)),
    "memory in steps": ("import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 32 << 20))", ("memory",)),
    "processes": ("import os\nwhile True: os.fork()", ("blocked", "exception", "timeout")),
    "processes, caught": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        ("timeout", "blocked"),
    ),
    "threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
        ("blocked", "memory"),
    ),
    "one large file": ("f = open('x', 'wb')\nwhile True: f.write(bytes(1 << 20))", ("output_limit",)),
    "many large files": (
        "i = 0\nwhile True:\n    i += 1\n    open(str(i), 'wb').write(bytes(1 << 20))",
        ("output_limit",),
    ),
    "many small files": ("i = 0\nwhile True:\n    i += 1\n    open(str(i), 'w')", ("output_limit", "timeout")),
    "flood": ("while True: print('x' * 1000)", ("output_limit",)),
    "flood on stderr": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", ("output_limit",)),
    "memory of many": (
        "import os\nfor _ in range(8):\n    if os.fork() == 0: break\nx = bytearray(b'x' * (300 << 20))\n"
        "import time\ntime.sleep(9)\nraise OSError",
        ("memory", "blocked", "exception"),
    ),
    "memory in memfds": (
        "import os\nfor _ in range(200):\n    fd = os.memfd_create('x')\n    os.write(fd, bytes(8 << 20))",
        _REFUSED,
    ),
    "descriptors": ("import os\nwhile True: os.open('/dev/null', 0)", ("exception",)),
    "recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
        ("exception", "memory", "timeout"),
    ),
}
LOOP = {
    "plain": ("while True: pass", _STOPPED),
    "sleep": ("import time\ntime.sleep(999)", _STOPPED),
    "ignored signals": (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass",
        _STOPPED,
    ),
    "in C": ("sum(range(10**12))", _STOPPED),
    "regular expression": ("import re\nre.match('(a+)+$', 'a' * 64 + 'b')", _STOPPED),
    "caught forever": ("while True:\n    try:\n        while True: pass\n    except BaseException: pass", _STOPPED),
    "children": ("import os\nfor _ in range(3): os.fork()\nwhile True: pass", ("timeout", "blocked")),
    "stopped": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", _STOPPED),
    "deadlock": (
        "import threading\nthreading.Lock().acquire()\nl = threading.Lock()\nl.acquire()\nl.acquire()",
        _STOPPED,
    ),
}
SIGNAL = {
    "kill 1": ("import os\nos.kill(1, 9)", ("blocked",)),
    "kill parent": ("import os\nos.kill(os.getppid(), 9)", _REFUSED),
    "kill all": ("import os\nos.kill(-1, 9)\nraise OSError", _REFUSED),
    "kill group of parent": ("import os\nos.killpg(os.getpgid(os.getppid()), 9)", _REFUSED),
    "kill victim": ("import os\nos.kill({victim}, 9)", _REFUSED),
    "kill everyone by number": (
        "import os\nfor pid in range(2, 70000):\n    if pid != os.getpid():\n        try: os.kill(pid, 9)\n"
        "        except OSError: pass\nraise OSError",
        _REFUSED,
    ),
    "thread signal": (_SYSCALL + "libc.syscall(200, {victim}, 9)\nraise OSError", _REFUSED),
    "signal by pipe owner": (
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 8, os.getppid())\nfcntl.fcntl(r, 10, 9)\n"
        "fcntl.fcntl(r, 4, 0o20000)\nos.write(w, b'x')\nraise OSError",
        _REFUSED,
    ),
    "ptrace parent": (_SYSCALL + "libc.ptrace(16, os.getppid(), 0, 0)", ("blocked",)),
    "write parent's memory": (_SYSCALL + "libc.process_vm_writev(os.getppid(), 0, 0, 0, 0, 0)", ("blocked",)),
    "parent's mem file": ("import os\nopen(f'/proc/{{os.getppid()}}/mem', 'r+b').write(b'x')", _REFUSED),
    "starve parent": ("import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))", _REFUSED),
    "pidfd": ("import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)", _REFUSED),
    "renice": ("import os\nos.setpriority(os.PRIO_PROCESS, os.getppid(), 19)", _REFUSED),
    "pin": ("import os\nos.sched_setaffinity(os.getppid(), [0])", _REFUSED),
}
LEFTOVERS = {
    "file": ("open('/tmp/left', 'w').write('x')", ("ok", "blocked")),
    "hidden folders": ("import os\nos.makedirs('.a/.b/.c')\nos.chmod('.a/.b', 0)", ("ok", "blocked")),
    "deep folders": (
        "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')",
        ("ok", "output_limit", "exception"),
    ),
    "sleeping child": ("import os, time\nif os.fork() == 0: time.sleep(999)", ("ok", "blocked", "timeout")),
    "orphans": (
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n        os.fork()\n"
        "        time.sleep(999)",
        ("ok", "blocked", "exception"),
    ),
    "zombies": ("import os\nfor _ in range(10):\n    if os.fork() == 0: os._exit(0)", ("ok", "blocked")),
    "pipe held open": ("import os, time\nif os.fork() == 0:\n    time.sleep(999)\nprint('done')", ("ok", "blocked")),
    "shared memory": ("open('/dev/shm/left', 'w').write('x')", _REFUSED),
    "system V memory": (_SYSCALL + "assert libc.shmget(77, 4096, 0o1666) >= 0", _REFUSED),
    "locked file": ("import fcntl\nfcntl.flock(open('/dev/null'), 2)\nopen('left', 'w')", ("ok", "blocked")),
}
KERNEL = {
    "user namespace": (_SYSCALL + "libc.unshare(0x10000000)", ("blocked",)),
    "clone into a namespace": (_SYSCALL + "assert libc.syscall(56, 0x10000011, 0, 0, 0, 0) >= 0", _REFUSED),
    "mount": (_SYSCALL + "libc.mount(b'x', b'/tmp', b'tmpfs', 0, None)", ("blocked",)),
    "chroot": ("import os\nos.mkdir('r')\nos.chroot('r')", ("blocked",)),
    "bpf": (_SYSCALL + "libc.syscall(321, 0, 0, 0)", ("blocked",)),
    "io_uring": (_SYSCALL + "libc.syscall(425, 8, 0)", ("blocked",)),
    "keyring": (_SYSCALL + "libc.syscall(250, 0, -3, 1)", ("blocked",)),
    "userfaultfd": (_SYSCALL + "libc.syscall(323, 0)", ("blocked",)),
    "perf": (_SYSCALL + "libc.syscall(298, 0, 0, -1, -1, 0)", ("blocked",)),
    "module": (_SYSCALL + "libc.syscall(175, 0, 0, 0)", ("blocked",)),
    "reboot": (_SYSCALL + "libc.syscall(169, 0xfee1dead, 672274793, 0x1234567, 0)", ("blocked",)),
    "handles": (_SYSCALL + "libc.syscall(303, -100, b'/', 0, 0, 0)", ("blocked",)),
    "x32 numbers": (_SYSCALL + "libc.syscall(0x40000000 + 39)", ("blocked",)),
    "kernel log": (_SYSCALL + "libc.syscall(103, 3, 0, 0)", ("blocked",)),
    "terminal input": (_SYSCALL + "assert libc.ioctl(0, 0x5412, b'x') == 0", _REFUSED),
    "set-uid file": (
        "import os, shutil\nshutil.copy('/usr/bin/env', 'env')\nos.chmod('env', 0o4755)\nos.execv('env', ['env', 'false'])",
        _REFUSED,
    ),
}

_TEST = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n    assert candidate([1]) == [1, 2]\n"
_FAILED = ("wrong_output", "exception", "blocked", "timeout", "memory", "output_limit")
_POLY = (
    "def poly(xs, x):\n    return sum(c * x**i for i, c in enumerate(xs))\n\n\ndef f(xs):\n    '''A zero of poly.'''\n"
)
_EQUAL = "class E:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n    def __bool__(s): return True\n"
FAKE = {
    "equal to everything": _EQUAL + "def f(x): return E()",
    "an int equal to everything": "class E(int):\n    def __eq__(s, o): return True\n    __hash__ = None\ndef f(x): return E(1)",
    "a list equal to everything": "class E(list):\n    def __eq__(s, o): return True\ndef f(x): return E()",
    "a string in disguise": "class E(str):\n    def __eq__(s, o): return True\n    def __hash__(s): return 1\ndef f(x): return E()",
    "a metaclass": "class M(type):\n    def __eq__(s, o): return True\n    __hash__ = type.__hash__\nclass E(metaclass=M): pass\ndef f(x): return E",
    "NotImplemented": "def f(x): return NotImplemented",
    "frames": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        for d in (frame.f_globals, frame.f_locals):\n"
        "            for k in list(d):\n                if k in ('check', 'outcome', 'assert_'): d[k] = lambda *a: None\n"
        "        frame = frame.f_back\n    return 0"
    ),
    "tracing": "import sys\ndef t(*a): return t\nsys.settrace(t)\ndef f(x):\n    sys.settrace(t)\n    return 0",
    "patched builtins": (
        "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\nbuiltins.isinstance = lambda *a: True\n"
        "builtins.all = builtins.any = lambda *a: True\ndef f(x): return 0"
    ),
    "leave with 0": "import os\ndef f(x): os._exit(0)",
    "leave while loading": "import os\nos._exit(0)",
    "SystemExit": "import sys\ndef f(x): sys.exit(0)",
    "SystemExit while loading": "import sys\nsys.exit(0)",
    "at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit(0)",
    "printed markers": "print('ok', 'passed', 'PASS', '{\"status\": \"ok\"}', flush=True)\ndef f(x):\n    print('ok')\n    return 0",
    "claims on the report pipe": (
        "import os, sys\nfrom sandbox.encode import encode\nfor fd in range(3, 20):\n    for claim in (dict(outcome='pass', borrowed=[]), dict(status='ok')):\n"
        "        try: os.write(fd, encode(claim))\n        except OSError: pass\nos._exit(0)"
    ),
    "answers in advance": (
        "import os, struct\nfor _ in range(50):\n    try: os.write(4, struct.pack('>I', 2) + b'VT')\n    except OSError: break\n"
        "import time\ntime.sleep(0.5)\ndef f(x): return 0"
    ),
    "garbage on the channel": "import os\nos.write(4, b'\\xff' * 4096)\ndef f(x): return 0",
    "endless message": "import os\nos.write(4, b'\\x03\\xff\\xff\\xff')\nwhile True: os.write(4, bytes(65536))",
    "requests to the judge": (
        "import os, struct, sandbox.encode as e\ndef f(x):\n    for op in b'GAC':\n        m = bytes([op]) + struct.pack('>I', 0) + "
        "e.encode((('__import__(\"os\")._exit(0)',), {}))\n        os.write(4, struct.pack('>I', len(m)) + m)\n    return 0"
    ),
    "patched room": (
        "import sandbox.channel as c\nc.Encoder.value = lambda s, v, d=0: s.out.append(b'T')\ndef f(x): return 0"
    ),
    "kill the judge": (
        "import os\ndef f(x):\n    for pid in range(1, 3000):\n        try: os.kill(pid, 9) if pid != os.getpid() else 0\n"
        "        except OSError: pass\n    return 0"
    ),
    "AssertionError of its own": "def f(x): raise AssertionError('fine')",
    "an iterator": "def f(x):\n    while True: yield 4",
    "a function": "def f(x): return lambda *a: 4",
    "a class instance": _EQUAL
    + "class G(E):\n    def __len__(s): return 1\n    def __iter__(s): return iter([1, 2])\ndef f(x): return G()",
    "numbers of its own": "import numbers\nclass E:\n    def __rsub__(s, o): return 0\n    def __abs__(s): return 0\n    __eq__ = lambda s, o: True\ndef f(x): return E()",
    "objects in memory": (
        "import gc\ndef f(x):\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'expected' in o: return o['expected']\n    return 0"
    ),
    "source of the test": "import glob, linecache\ndef f(x):\n    return [open(p).read() for p in glob.glob('/tmp/*')] or linecache.getlines('test.py')",
    "import hook": "import sys\nsys.modules['math'] = sys.modules['test'] = None\ndef f(x): return 0",
    "a bare except in the test": "import os\ndef f(x): os._exit(0)",
    "truth of an object": _EQUAL + "def f(x): return E()",
    "unequal object": "class E: pass\ndef f(x): return E()",
    "helper of the prompt": _POLY.replace("sum(c * x**i for i, c in enumerate(xs))", "0") + "    return 7",
    "helper, patched": "import builtins\ndef poly(xs, x): return 0\nbuiltins.poly = poly\ndef f(xs): return 7",
}
_TESTS = {
    "a bare except in the test": "def check(c):\n    try:\n        assert c(2) == 4\n    except:\n        pass\n",
    "truth of an object": "def check(c):\n    assert c(2)\n",
    "unequal object": "def check(c):\n    assert c(2) != 5\n",
    "helper of the prompt": "def check(c):\n    assert abs(poly([-6, 2], c([-6, 2]))) < 1e-4\n",
    "helper, patched": "def check(c):\n    assert abs(poly([-6, 2], c([-6, 2]))) < 1e-4\n",
}

_PLAIN = {
    "network": NETWORK, "read": READ, "write": WRITE, "spawn": SPAWN, "exhaust": EXHAUST, "loop": LOOP,
    "signal and ptrace": SIGNAL, "leftovers": LEFTOVERS, "kernel surface": KERNEL,
}  # fmt: skip

ATTACKS = [
    Attack(group, name, program, expected)
    for group, attacks in _PLAIN.items()
    for name, (program, expected) in attacks.items()
] + [
    Attack(
        "fake pass", name, program, _FAILED, _TESTS.get(name, _TEST), "f", _POLY if name.startswith("helper") else None
    )
    for name, program in FAKE.items()
]
