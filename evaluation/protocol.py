"""A protocol: whatever moves a score, in one flat YAML file, and the prompts that it makes of problems.

    evaluation/protocols/demo.yaml, evaluation/protocols/alchemist/humaneval_plus.yaml, ...

Placeholders in `instruction`, `answer_prefix`, `shot` and `describe` are the keys of `_FIELDS`; others are refused. A
text of the problem is bare (no space around it), `_as_is`, or `_trimmed` (no space behind it).
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

import sandbox
from artefacts import ROOT, Refusal, StrictModel, read_yaml
from evaluation import benchmarks, extract, octopack
from evaluation.benchmarks import Problem
from evaluation.judge import Limits

FOLDER = ROOT / "evaluation" / "protocols"
_NAMES = {"python": "Python", "javascript": "JavaScript", "java": "Java", "go": "Go", "cpp": "C++", "rust": "Rust"}


class Protocol(StrictModel):
    """One benchmark under one set of rules."""

    about: str  # where the rules come from, what is known to differ
    benchmark: str
    version: str
    languages: list[str]  # of the sandbox's names; empty for all that the set has
    task: Literal["complete", "fix_tests", "fix_docs", "explain", "synthesize"]  # all but the first: HumanEvalPack
    style: Literal["chat", "text"]  # chat: the model's own template; text: what stands here and nothing else
    system: str | None
    instruction: str  # the user turn, or the text
    answer_prefix: str  # the answer begins with it
    describe: str | None  # explain: the first of its two prompts
    shots: NonNegativeInt  # solved examples before the question, out of the set's own prompt split
    shot: str | None
    stop: list[str]  # generation ends there
    stop_by_language: dict[str, list[str]]  # and `octopack` cuts there
    extract: Literal["code_block", "between", "continuation", "octopack", "text"]  # octopack: evaluation/octopack.py
    between: list[str]  # the two markers, where `extract` says between
    max_new_tokens: PositiveInt
    batch_size: PositiveInt  # in bfloat16 a greedy answer can depend on its batch
    dtype: Literal["bfloat16", "float32", "float16"]
    temperature: NonNegativeFloat  # 0: greedy
    top_p: PositiveFloat
    samples_per_task: PositiveInt
    seed: int
    cpu_s: PositiveFloat
    wall_s: PositiveFloat
    memory_mib: PositiveInt
    call_cpu_s: PositiveFloat  # plus sets: CPU seconds of one call, or
    reference_cpu_factor: PositiveFloat  # so many times the reference's, whichever is larger
    packages: list[str] | None  # what Python may import besides its standard library; null: whatever is installed

    def limits(self) -> Limits:
        """What a sample may use."""
        own = sandbox.Limits(cpu_s=self.cpu_s, wall_s=self.wall_s, memory_mib=self.memory_mib)
        return Limits(own, self.call_cpu_s, self.reference_cpu_factor, self.packages)


def find(name: str) -> list[Path]:
    """The files that a name means: `demo`, `alchemist/mbpp_plus`, or `alchemist` for all of a folder.

    Raises:
        Refusal: there is none.
    """
    path = FOLDER / f"{name}.yaml"
    if path.is_file():
        return [path]
    inside = sorted((FOLDER / name).glob("*.yaml")) if (FOLDER / name).is_dir() else []
    if not inside:
        known = ", ".join(sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.rglob("*.yaml")))
        raise Refusal(f"there is no protocol '{name}'; known protocols: {known}.")
    return inside


def name_of(path: Path) -> str:
    """What a protocol is called: `alchemist/mbpp_plus`; a file that lies elsewhere by its stem.

    >>> name_of(FOLDER / "alchemist" / "mbpp_plus.yaml"), name_of(Path("/tmp/mine.yaml"))
    ('alchemist/mbpp_plus', 'mine')
    """
    return str(path.relative_to(FOLDER).with_suffix("")) if path.is_relative_to(FOLDER) else path.stem


def read(path: Path) -> Protocol:
    """A protocol, checked.

    Raises:
        Refusal: an unknown key, benchmark, version, language or placeholder, or rules that contradict each other.
    """
    protocol = read_yaml(path, Protocol)
    benchmarks.version_of(protocol.benchmark, protocol.version, str(path))
    for key in ("languages", "stop_by_language"):
        for name in getattr(protocol, key):
            if name not in sandbox.LANGUAGES:
                raise Refusal(f"{path}: key '{key}': there is no '{name}'; known: {', '.join(sandbox.LANGUAGES)}.")
    for key in ("instruction", "answer_prefix", "shot", "describe"):
        for field in re.findall(r"\{(\w+)\}", getattr(protocol, key) or ""):
            if field not in _FIELDS:
                raise Refusal(
                    f"{path}: key '{key}' holds {{{field}}}; known placeholders: {', '.join(sorted(_FIELDS))}."
                )
    if not re.search(
        r"\{(prompt|instruction|declaration|buggy|description)(_as_is|_trimmed)?\}", protocol.instruction
    ):
        raise Refusal(f"{path}: key 'instruction' does not hold {{prompt}} or another text of the problem.")
    needs = {
        "between": (protocol.extract == "between", len(protocol.between) == 2, "two markers"),
        "shot": (protocol.shots > 0, protocol.shot is not None, "the form of an example"),
        "describe": (protocol.task == "explain", protocol.describe is not None, "the first prompt"),
        "benchmark": (
            protocol.task != "complete" or protocol.extract == "octopack",
            protocol.benchmark == "humanevalpack",
            "humanevalpack",
        ),
        "extract": (
            bool(protocol.stop_by_language),
            protocol.extract == "octopack",
            "octopack, which alone reads stop_by_language,",
        ),
        "temperature": (protocol.samples_per_task > 1, protocol.temperature > 0, "more than 0 for several samples"),
    }
    for key, (asked, given, what) in needs.items():
        if asked and not given:
            raise Refusal(f"{path}: key '{key}' must be {what} here.")
    return protocol


_TEXTS = {
    "prompt": lambda p: p.prompt,
    "instruction": lambda p: str(p.extra.get("instruction", p.prompt)),
    "declaration": octopack.declaration,
    "buggy": lambda p: str(p.extra.get("buggy_solution", "")),
    "solution": lambda p: p.solution,
    "tests": lambda p: "\n".join(p.extra["test_list"]) if "test_list" in p.extra else p.test,
    "description": lambda p: str(p.extra.get("description", "")),
}
_FIELDS = {
    "entry_point": lambda p: p.entry_point,
    "language": lambda p: _NAMES[p.language],
    "docstring_chars": lambda p: str(len(str(p.extra.get("docstring", "")))),
    **{name: lambda p, text=text: text(p).strip() for name, text in _TEXTS.items()},
    **{f"{name}_as_is": text for name, text in _TEXTS.items()},
    **{f"{name}_trimmed": lambda p, text=text: text(p).rstrip() for name, text in _TEXTS.items()},
}


def fill(template: str, problem: Problem) -> str:
    """A template with its placeholders replaced, in one pass: a problem's own braces stay as they are."""
    return re.sub(
        r"\{(\w+)\}", lambda found: _FIELDS[found[1]](problem) if found[1] in _FIELDS else found[0], template
    )


def user_turn(protocol: Protocol, problem: Problem, shots: Sequence[Problem], template: str | None = None) -> str:
    """The user turn, or the whole text, of a problem: examples first."""
    examples = "".join(fill(protocol.shot, shot) for shot in shots[: protocol.shots])
    return examples + fill(template or protocol.instruction, problem)


def program(protocol: Protocol, problem: Problem, answer: str) -> str:
    """The program that an answer means under the protocol."""
    for stop in protocol.stop:
        answer = answer.split(stop, 1)[0]
    if protocol.extract == "between":
        answer = extract.between(answer, *protocol.between)
    elif protocol.extract == "code_block":
        answer = extract.code(answer, problem)
    elif protocol.extract == "continuation":
        answer = extract.cut(answer, problem)
    elif protocol.extract == "octopack":
        # the tests are instead of a docstring there; everywhere else the program has it, whatever the model was shown
        above = _FIELDS["declaration_trimmed" if protocol.task == "fix_tests" else "prompt_trimmed"](problem)
        stops = protocol.stop_by_language.get(problem.language, [])
        return octopack.program(above + octopack.cut(answer, problem.language, stops), problem)
    return extract.program(answer, problem)


def described(protocol: Protocol, problem: Problem, told: Sequence[str]) -> list[Problem]:
    """The second half of explain: the problem with each of the descriptions that a model gave."""
    stops = protocol.stop_by_language.get(problem.language, [])
    texts = [octopack.description(text, problem, stops) for text in told]
    return [dataclasses.replace(problem, extra={**problem.extra, "description": text}) for text in texts]
