"""Jobs of a problem with inputs, and the expected outputs: what the reference solution returns, in the sandbox.

writes  build/expected/<hash>.json, one a problem; the hash covers prompt, solution, inputs and the code that runs them
"""

import ast
import dataclasses
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

import sandbox
from artefacts import ROOT, Refusal, hash_of, read_json, write_json
from evaluation.benchmarks import Problem
from evaluation.plus import calls, compare, typed_json  # what runs in the sandbox goes there as text

CACHE = ROOT / "build" / "expected"
_LIMITS = sandbox.Limits(cpu_s=300, wall_s=900, memory_mib=4096, output_kib=65536)
_RULES = {
    "find_zero": "root",
    "are_equivalent": "returns",
    "sum_div": "or_zero",
    "surface_Area": "pyramid",
    "digit_distance_nums": "padded_digits",
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "not_none"),
    **dict.fromkeys(
        ("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
         "intersection_array", "find_dissimilar", "Diff"),
        "same_set",
    ),
}  # entry point -> rule of compare.py, as in EvalPlus 0.3.1  # fmt: skip
_NEEDS_INPUTS = ("root", "pyramid", "padded_digits")
_FAILURE = re.compile(r"(base|plus) (\d+) (wrong_output|exception|timeout)(?: (\w+))?(?:: (.*))?", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the reference solution returns, as typed JSON that only the test's process reads; CPU seconds a call."""

    base: str
    plus: str
    cpu_s: tuple[float, ...]


@functools.cache
def _source(module: ModuleType) -> str:
    texts = [Path(of.__file__).read_text(encoding="utf-8") for of in (typed_json, module)]
    return "\n\n".join(re.sub(r"^from evaluation.*\n", "", text, flags=re.MULTILINE) for text in texts)


def rule_of(problem: Problem) -> str:
    """The rule of compare.py that judges a problem."""
    name = _RULES.get(problem.entry_point, "equal")
    of_humaneval = problem.task_id.startswith("HumanEval/")
    return name if of_humaneval == (name == "root") else "equal"


def inputs_of(problem: Problem) -> list[list]:
    """Argument lists, base inputs first."""
    return [*problem.extra["base_input"], *problem.extra["plus_input"]]


@functools.lru_cache(maxsize=1024)
def _inputs_text(problem_id: int, parts: tuple[str, ...]) -> str:
    problem = _problems[problem_id]
    return typed_json.dumps([row for part in parts for row in problem.extra[part]])


_problems: dict[int, Problem] = {}


def _text(problem: Problem, parts: tuple[str, ...]) -> str:
    _problems[id(problem)] = problem  # keeps it alive, so that its id stays its own
    return _inputs_text(id(problem), parts)


def program(code: str, problem: Problem, seconds: list[float], parts: tuple[str, ...]) -> str:
    """`code` with the function that calls it appended; only that name is added to its module."""
    return (
        f"{code}\n\n\ndef __evaluation_calls__():\n"
        f"    inside = {{'__name__': 'calls'}}\n"
        f"    exec({_source(calls)!r}, inside)\n"
        f"    inputs = inside['loads']({_text(problem, parts)!r})\n"
        f"    return inside['run'](lambda: {problem.entry_point}, inputs, {seconds!r})\n"
    )


def test(problem: Problem, expected: Expected, base_only: bool) -> str:
    """The trusted side: what came back, compared."""
    base_count = len(problem.extra["base_input"])
    rule = rule_of(problem)
    plus = "[]" if base_only else expected.plus
    inputs = typed_json.dumps(inputs_of(problem)) if rule in _NEEDS_INPUTS else "null"
    return (
        f"{_source(compare)}\n\n"
        f"expected = loads({expected.base!r}) + loads({plus!r})\n"
        f"found = failing(candidate(), expected, {base_count}, {rule!r},\n"
        f"                {problem.extra['atol']!r}, loads({inputs!r}))\n"
        f"assert found is None, found\n"
    )


def job(
    code: str, problem: Problem, expected: Expected, limits: sandbox.Limits, call_cpu_s: float, factor: float,
    base_only: bool = False,
) -> sandbox.Job:  # fmt: skip
    """The job that judges `code`; each call may use `call_cpu_s` CPU seconds, or `factor` times the reference's."""
    parts = ("base_input",) if base_only else ("base_input", "plus_input")
    count = sum(len(problem.extra[part]) for part in parts)
    seconds = [max(call_cpu_s, factor * cpu_s) for cpu_s in expected.cpu_s[:count]]
    text = program(code, problem, seconds, parts)
    judged = test(problem, expected, base_only)
    cpu_s = max(limits.cpu_s, factor * sum(expected.cpu_s[:count]))
    whole = dataclasses.replace(limits, cpu_s=cpu_s, wall_s=max(limits.wall_s, 4 * cpu_s))
    return sandbox.Job(text, limits=whole, test=judged, entry_point="__evaluation_calls__", trusted_test=True)


def reading(verdict: sandbox.Verdict) -> tuple[str, str | None, str | None, str | None]:
    """(status, exception type, message, part that failed) of a verdict on such a job; part is base, plus or None."""
    found = _FAILURE.fullmatch(verdict.exception_message or "") if verdict.status == "wrong_output" else None
    if not found:
        return verdict.status, verdict.exception_type, verdict.exception_message, None
    part, number, status, exception, said = found.groups()
    return status, exception, f"{part} input {number}: {said or status}", part


def _reference_job(problem: Problem) -> sandbox.Job:
    code = problem.prompt + problem.solution
    not_none = "[x is not None, s] for x, s" if rule_of(problem) == "not_none" else "[x, s] for x, s"
    text = (
        f"{code}\n\n\ninside = {{'__name__': 'calls'}}\nexec({_source(calls)!r}, inside)\n"
        f"inputs = inside['loads']({_text(problem, ('base_input', 'plus_input'))!r})\n"
        f"found = inside['timed'](lambda: {problem.entry_point}, inputs)\n"
        f"found = [{not_none} in found]\n"
        f"count = {len(problem.extra['base_input'])}\n"
        f"for part in (found[:count], found[count:]):\n"
        f"    print(inside['dumps']([x for x, _ in part]))\n"
        f"print(inside['dumps']([s for _, s in found]))\n"
    )
    return sandbox.Job(text, limits=_LIMITS)


@functools.cache
def _code() -> str:
    """What runs the reference, without its comments, docstrings and layout."""
    tree = ast.parse(_source(calls))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def key(problem: Problem) -> str:
    """Hash of all that shapes the expected outputs of a problem."""
    code = [problem.prompt, problem.solution, problem.entry_point, rule_of(problem)]
    return hash_of([*code, _text(problem, ("base_input", "plus_input")), _code()])


def load(problems: Iterable[Problem], workers: int | None = None) -> dict[str, Expected]:
    """Expected outputs by task id, out of the cache or computed now.

    Raises:
        Refusal: a reference solution does not run.
    """
    problems = list(problems)
    keys = {problem.task_id: key(problem) for problem in problems}
    found = {task_id: read_json(CACHE / f"{name}.json") for task_id, name in keys.items()}
    missing = [problem for problem in problems if found[problem.task_id] is None]
    if missing:
        verdicts = sandbox.run_many((_reference_job(problem) for problem in missing), workers)
        bar = tqdm(verdicts, total=len(missing), desc="expected outputs", unit=" tasks", disable=None)
        for problem, verdict in zip(missing, bar, strict=True):
            if verdict.status != "ok":
                said = f"{verdict.status} {verdict.exception_type or ''} {verdict.exception_message or ''}"
                raise Refusal(f"{problem.task_id}: its reference solution does not run ({said.strip()[:200]}).")
            base, plus, cpu_s = verdict.stdout.splitlines()
            found[problem.task_id] = {"base": base, "plus": plus, "cpu_s": typed_json.loads(cpu_s)}
            write_json(CACHE / f"{keys[problem.task_id]}.json", found[problem.task_id])
    return {task_id: Expected(row["base"], row["plus"], tuple(row["cpu_s"])) for task_id, row in found.items()}
