"""Programs -> verdicts, in the sandbox: one record a sample, with its reason; nothing is left out in silence.

A record is `status` (sandbox.STATUSES, or `not_code` for what was not run), `exception`, `reason`, `shared_process`
(the candidate had a hand in its own judging: languages other than Python, DS-1000), for plus sets `base`, the status
on the base inputs alone, and `no_code` where a failing answer held none.
"""

import ast
import builtins
import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

import sandbox
from artefacts import Refusal
from evaluation.benchmarks import Problem, ds1000, humaneval_x
from evaluation.plus import expected

# a sample that computed for more than this share of its wall time and met the clock was waiting for a core
STARVED_CPU_SHARE = 0.02
PATIENCE = 5  # times the wall limit, for such a sample by itself
UNSCORED = ("internal", "not_run")  # our fault or a missing toolchain: never counted against a model


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a sample may use, and for plus sets what each call may use (seconds of CPU, whichever is larger).

    `packages`: what a Python program may import besides the standard library; None: whatever is installed here.
    """

    sandbox: sandbox.Limits
    call_cpu_s: float = 4.0
    reference_cpu_factor: float = 4.0
    packages: Sequence[str] | None = None


def backend() -> str:
    """The sandbox's backend here.

    Raises:
        Refusal: none holds.
    """
    try:
        return sandbox.backend()
    except sandbox.SandboxError as error:
        raise Refusal(str(error)) from None


def is_starved(verdict: sandbox.Verdict, limits: sandbox.Limits) -> bool:
    """Whether the clock stopped a sample that was computing as far as a busy machine let it: not one that sleeps.

    Args:
        limits: of its job.
    """
    by_clock = verdict.status == "timeout" and verdict.wall_s >= limits.wall_s and verdict.cpu_s < limits.cpu_s
    return by_clock and verdict.cpu_s >= STARVED_CPU_SHARE * verdict.wall_s


def is_plus(problem: Problem) -> bool:
    """Whether a problem is judged by expected outputs."""
    return "plus_input" in problem.extra


def job(program: str, problem: Problem, limits: sandbox.Limits) -> sandbox.Job:
    """The sandbox's job for a problem with a test."""
    if problem.task_id.startswith("DS-1000/"):
        text, test = ds1000.program(program, problem)
        return sandbox.Job(text, limits=limits, test=test, entry_point=ds1000.ENTRY, trusted_test=True)
    if problem.language == "python":
        prompt = None if problem.task_id.startswith("Mbpp/") else problem.prompt
        return sandbox.Job(
            program, limits=limits, test=problem.test, entry_point=problem.entry_point, prompt=prompt,
            trusted_test=True,
        )  # fmt: skip
    text = humaneval_x.go_program(program, problem) if problem.language == "go" else program
    return sandbox.Job(text, problem.language, limits=limits, test=problem.test)


@functools.lru_cache(maxsize=2048)
def _needed_of_candidate(test: str, solution: str, entry_point: str) -> frozenset[str]:
    """Names that a test leaves to the program under test, because the reference solution defines them, too."""
    try:
        wanted = {node.id for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Name)}
        made = {n.name for n in ast.parse(solution).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset((wanted & made) - {entry_point} - set(vars(builtins)))


def _record(verdict: sandbox.Verdict, problem: Problem) -> dict[str, Any]:
    status, exception, reason = verdict.status, verdict.exception_type, verdict.exception_message
    if status == "ok" and verdict.borrowed:
        taken = set(verdict.borrowed) - _needed_of_candidate(problem.test, problem.solution, problem.entry_point)
        if taken:
            status, reason = "wrong_output", f"the test took {', '.join(sorted(taken))} from the program under test"
    if status == "compile_error" or (status == "exception" and problem.language == "javascript"):
        exception = exception or "SyntaxError"
    shared = verdict.shared_process or problem.task_id.startswith("DS-1000/")
    return {"status": status, "exception": exception, "reason": reason and reason[:300], "shared_process": shared}


def foreign_import(program: str, packages: Sequence[str]) -> str | None:
    """A package beyond `packages` that a program imports when it starts; None when there is none.

    Such a program ends with a ModuleNotFoundError where the benchmark is at home, whatever is installed here. Imports
    inside functions and `try` are left to the run.

    >>> foreign_import("import math\\nimport pandas as pd\\n", ["numpy"])
    'pandas'
    """
    if "import" not in program:
        return None
    try:
        body = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # the run says what is wrong with it
    known = {*sys.stdlib_module_names, *packages}
    for node in body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        for name in names:
            if name.split(".")[0] not in known:
                return name.split(".")[0]
    return None


def note_no_code(records: Mapping[str, Sequence[dict[str, Any]]], without: Mapping[str, Sequence[bool]]) -> None:
    """Mark failures of answers that nobody meant as code, for the table of errors; what passes or fails stays.

    Args:
        without: task id -> of each sample, whether its text holds no code.
    """
    for task_id, rows in records.items():
        for record, is_none in zip(rows, without[task_id], strict=True):
            if is_none and record["status"] != "ok":
                record["no_code"] = True


_NOT_CODE = {"status": "not_code", "exception": None, "reason": "longer than 1 MiB", "shared_process": False}


def judge(
    problems: Sequence[Problem], programs: Mapping[str, Sequence[str | None]], limits: Limits, title: str = "judge",
    workers: int | None = None,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """One record for each program, by task id.

    Args:
        programs: task id -> candidate programs; None is not run.

    Raises:
        Refusal: there is no sandbox here, or a plus set's reference solution does not run.
    """
    chosen = [p for p in problems if p.task_id in programs]
    known = expected.load((p for p in chosen if is_plus(p)), workers)
    absent = {p.task_id: ds1000.missing(p) for p in chosen if "library" in p.extra}
    able = [p for p in chosen if not absent.get(p.task_id)]
    units = [(p, n, text) for p in able for n, text in enumerate(programs[p.task_id]) if text is not None]
    records = {p.task_id: [dict(_NOT_CODE) for _ in programs[p.task_id]] for p in chosen}
    foreign = {
        (p.task_id, n): name
        for p, n, text in units
        if p.language == "python" and limits.packages is not None
        if (name := foreign_import(text, limits.packages))
    }
    for (task_id, number), name in foreign.items():
        records[task_id][number] = {
            "status": "exception", "exception": "ModuleNotFoundError", "shared_process": False, "base": "exception",
            "reason": f"imports {name}, which is none of the benchmark's packages",
        }  # fmt: skip
    units = [unit for unit in units if (unit[0].task_id, unit[1]) not in foreign]
    # the longest first, by what the reference needs: none is left for the end, when other workers have nothing to do
    units.sort(key=lambda unit: -sum(known[unit[0].task_id].cpu_s) if is_plus(unit[0]) else 0.0)
    for p in chosen:
        if name := absent.get(p.task_id):
            said = {"status": "not_run", "reason": f"the library {name} is not installed"}
            records[p.task_id] = [_NOT_CODE | said for _ in programs[p.task_id]]

    def job_of(unit, base_only=False):
        problem, _, text = unit
        if not is_plus(problem):
            return job(text, problem, limits.sandbox)
        options = (limits.sandbox, limits.call_cpu_s, limits.reference_cpu_factor, base_only)
        return expected.job(text, problem, known[problem.task_id], *options)

    def patiently(rows, base_only=False):
        """(unit, verdict): Python that met the clock while others had the cores comes last, one at a time.

        Of other languages and DS-1000 a verdict's seconds hold compilers and imports: they tell nothing of the sample.
        """
        waiting = []
        verdicts = sandbox.run_many((job_of(unit, base_only) for unit in rows), workers)
        for unit, verdict in zip(rows, verdicts, strict=True):
            own = unit[0].language == "python" and "library" not in unit[0].extra
            # the status first: a job is put together only where it is needed
            if own and verdict.status == "timeout" and is_starved(verdict, job_of(unit, base_only).limits):
                waiting.append(unit)
            else:
                yield unit, verdict
        alone = (job_of(unit, base_only) for unit in waiting)
        longer = (
            dataclasses.replace(j, limits=dataclasses.replace(j.limits, wall_s=PATIENCE * j.limits.wall_s))
            for j in alone
        )
        yield from zip(waiting, sandbox.run_many(longer, 1), strict=True)

    again = []
    try:
        for unit, verdict in tqdm(patiently(units), total=len(units), desc=title, unit=" samples", disable=None):
            problem, number, _ = unit
            record = _record(verdict, problem)
            if is_plus(problem):
                status, exception, reason, part = expected.reading(verdict)
                record |= {"status": status, "exception": exception, "reason": reason and reason[:300]}
                record["base"] = "ok" if status == "ok" or part == "plus" else status if part == "base" else None
                if record["base"] is None:
                    again.append(unit)
            records[problem.task_id][number] = record
        for (problem, number, _), verdict in patiently(again, True):
            records[problem.task_id][number]["base"] = expected.reading(verdict)[0]
    except sandbox.SandboxError as error:
        raise Refusal(str(error)) from None
    return records
