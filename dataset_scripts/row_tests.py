"""Does a row's code pass the tests that its source brings? Run once, in the sandbox; the verdicts are kept.

reads   02_dedup/kept and the tests beside 01_sources' rows; adds to build/row_tests.jsonl

A source hands a row's tests over as `Exchange.tests` (the options `tests`, `entry_point` and `setup` of `jsonl`):

    {"test": "def check(candidate):\\n    assert candidate(2) == 4", "entry_point": "square", "setup": "import math"}

Where it brings none, `assert` statements at the top level of the response's own Python are its tests. A verdict is an
input of the build like a file: it is kept under a hash of all that was run, and never worked out again; 03_clean
rejects by it. Limits are CPU time and memory, so that a busy machine changes no verdict. Tests that could not be run
(a missing library, no toolchain) say nothing against a row.
"""

import ast
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import PositiveFloat, PositiveInt
from tqdm import tqdm

import sandbox
from artefacts import Refusal, StrictModel, hash_of
from dataset_scripts.facts_of_code import python_of
from dataset_scripts.stage_files import read_rows, shards

FAILED = frozenset({"wrong_output", "exception", "timeout", "memory", "output_limit", "blocked", "compile_error"})
RECORD = "row_tests.jsonl"
NOT_RUN = "not_run"  # the sandbox or the machine failed: tried again by the next build that comes here
NOT_JUDGED = "not_judged"  # ran, but what went wrong says nothing about the row: a library is missing
_ABOUT_THE_MACHINE = ("ModuleNotFoundError", "ImportError")


class Config(StrictModel):
    """Settings of `03_clean.row_tests` in a mixture file."""

    cpu_s: PositiveFloat  # CPU seconds of one row's program and tests together
    memory_mib: PositiveInt


def job_of(response: str, tests: str | None, config: Config) -> sandbox.Job | None:
    """What to run for a row; None where it brings no tests, or no Python.

    Args:
        tests: the JSON of 01_sources' fact, see above; None: only asserts within the response are run.
    """
    python = python_of(response)
    if python is None:
        return None
    limits = sandbox.Limits(cpu_s=config.cpu_s, memory_mib=config.memory_mib)
    if tests is not None:
        given = json.loads(tests)
        program = f"{given['setup']}\n{python.code}" if given.get("setup") else python.code
        return sandbox.Job(program, limits=limits, test=given["test"], entry_point=given["entry_point"])
    if any(isinstance(statement, ast.Assert) for statement in python.tree.body):
        return sandbox.Job(python.code, limits=limits)
    return None


def key_of(job: sandbox.Job) -> str:
    """Hash of all that decides the verdict, but for the sandbox itself."""
    return hash_of([job.language, job.program, job.test, job.entry_point, job.limits.cpu_s, job.limits.memory_mib])[
        :32
    ]


def status_of(job: sandbox.Job, verdict: sandbox.Verdict) -> str | None:
    """The status to keep; None for one that is ours or the machine's fault and must be tried again."""
    if verdict.status in ("internal", "not_run"):
        return None
    if verdict.exception_type in _ABOUT_THE_MACHINE:
        return NOT_JUDGED
    if job.test is None and verdict.status in FAILED and verdict.exception_type != "AssertionError":
        return NOT_JUDGED  # only the asserts are tests: a script may as well wait for input
    return verdict.status


def statuses(config: Config, folder: Path, source: Path, workers: int | None = None) -> dict[str, str]:
    """Row id -> status, for all kept rows of `source` that have tests; what is not on record yet is run.

    Args:
        folder: of the mixture; the record stands beside it, for all mixtures.
        workers: of the sandbox; None for one per core. No verdict depends on it.

    Raises:
        Refusal: there is no sandbox on this machine.
    """
    try:
        return judged(config, folder.parent / RECORD, _rows(folder, source), workers)
    except sandbox.SandboxError as error:
        raise Refusal(f"03_clean.row_tests: {error}") from None


def judged(
    config: Config, record: Path, rows: Iterable[tuple[str, str, str | None]], workers: int | None = None
) -> dict[str, str]:
    """Row id -> status of `rows`, (id, response, tests); see `job_of`. What is not on `record` yet is run and added;
    where that fails the status is NOT_RUN, and the record stays as it is.

    Raises:
        SandboxError: there is no sandbox on this machine.
    """
    known = _read(record)
    keys, missing = {}, {}
    for row_id, response, tests in rows:
        if job := job_of(response, tests, config):
            keys[row_id] = key = key_of(job)
            if key not in known:
                missing[key] = job
    known |= dict(_run(record, missing, workers))
    return {row_id: known.get(key, NOT_RUN) for row_id, key in keys.items()}


def tests_of(folder: Path, ids: Collection[str] | None = None) -> dict[str, str]:
    """Row id -> its tests as 01_sources keeps them, where it brings any; of `ids`, or of all rows."""
    tests: dict[str, str] = {}
    for path in shards(folder / "01_sources", "facts"):
        facts = pq.read_table(path, columns=["id", "tests"])
        found = zip(*(facts[column].to_pylist() for column in ("id", "tests")), strict=True)
        tests |= {i: t for i, t in found if t and (ids is None or i in ids)}
    return tests


def _rows(folder: Path, source: Path) -> Iterator[tuple[str, str, str | None]]:
    tests, rows = tests_of(folder), read_rows(source, columns=["id", "response"])
    for row_id, response in zip(rows["id"].to_pylist(), rows["response"].to_pylist(), strict=True):
        yield row_id, response, tests.get(row_id)


def _run(record: Path, jobs: dict[str, sandbox.Job], workers: int | None) -> Iterable[tuple[str, str]]:
    if not jobs:
        return
    record.parent.mkdir(parents=True, exist_ok=True)
    verdicts = sandbox.run_many(jobs.values(), workers=workers)
    with record.open("a", encoding="utf-8") as file:
        bar = tqdm(zip(jobs.items(), verdicts, strict=True), total=len(jobs), desc="rows' own tests", leave=False)
        for (key, job), verdict in bar:
            if (status := status_of(job, verdict)) is not None:
                file.write(json.dumps({"key": key, "status": status, "backend": verdict.backend}) + "\n")
                file.flush()
                yield key, status


def _read(record: Path) -> dict[str, Any]:
    """Verdicts on record; a line that a killed run left unfinished is passed over, and run again."""
    known: dict[str, Any] = {}
    for line in record.read_text(encoding="utf-8").splitlines() if record.exists() else ():
        try:
            entry = json.loads(line)
            known[entry["key"]] = entry["status"]
        except (ValueError, KeyError):
            continue
    return known
