"""05_evolve: EvolCode - instructions made harder by a teacher, round by round, and answered by it.

reads   the kept rows of the stage before; writes build/<mixture>/05_evolve/

WizardCoder's evolution (arXiv 2306.08568), as AlchemistCoder uses it (arXiv 2405.19265, section 2.1). In every round
one of five operations, chosen by seed, rewrites a row's current instruction, and the same teacher answers:

    parent ──constraint──► v1 ──answer──► a new row ──rarer──► v2: copies the template ──► rejected, v1 stays
                                                                       ──complexity──► v2 ──answer──► a new row ...

Parents stay as they are. A new row has the source `evolcode`, the row that it was evolved from as parent, that row's
licence, and the teacher's model as generator. What is eliminated is rejected with its reason, and the next round goes
on from the last good instruction. Code that fails when it is run costs its row, not the instruction.
"""

import functools
import hashlib
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa
from pydantic import Field, NonNegativeInt, PositiveInt

import sandbox
from artefacts import Refusal, StrictModel
from dataset_scripts import prompts
from dataset_scripts.alchemist import REFUSAL, words
from dataset_scripts.facts_of_code import compile_error, has_code, language_of, python_code
from dataset_scripts.licences import combined
from dataset_scripts.sample import nested_sample
from dataset_scripts.schema import make_row
from dataset_scripts.stage import Prepared, Rows
from llm import Answer, Answers, Conversation, Profile, Request, replay

PINS = ("datasets", "pyarrow")
SOURCE = "evolcode"
OPERATIONS = ("constraint", "rarer", "reasoning", "misdirection", "complexity")
ROLES = ("evolve", "answer")
TEMPLATES = (*(f"evolve/{name}" for name in OPERATIONS), "evolve/answer")
FACTS = pa.schema(
    {
        "operation": pa.string(),  # of OPERATIONS; null on parents
        "round": pa.int64(),  # from 1; null on parents
        "sandbox": pa.string(),  # status of the answer's Python when run as a program; null where it was not
    }
)
COPIED_TOKENS = 6  # so many tokens in a row of a template's own words in an instruction: copied, not evolved
# Errors that are the code's own fault; a missing package, input or file, a long run and the like are not.
FAULTS = frozenset({
    "NameError", "UnboundLocalError", "TypeError", "AttributeError", "IndexError", "KeyError", "ValueError",
    "ZeroDivisionError", "RecursionError", "AssertionError", "SyntaxError", "IndentationError",
})  # fmt: skip

_LABEL = re.compile(r"(?im)^\W*(new|rewritten|evolved|given|harder)\s+(task|prompt|instruction|question)\W*:")


class Config(StrictModel):
    """Settings of `05_evolve` in a mixture file."""

    rounds: PositiveInt  # WizardCoder finds three best
    share: Annotated[float, Field(ge=0, le=1)] = 1.0  # of the rows that are evolved, by source
    min_new_words: NonNegativeInt = 3  # that the parent has not; fewer is no gain
    execute: bool = True  # run the answers' Python in the sandbox


@dataclass
class Evolved:
    """What one round made of an instruction.

    Attributes:
        parent: index of the Evolved it was made from; None for the row itself.
        reason: why it was eliminated, before anything was run; None where it was not.
    """

    round: int
    operation: str
    parent: int | None
    instruction: str
    response: str
    reason: str | None


def operation_of(row_id: str, number: int, seed: int) -> str:
    """The operation of a row's round; seeded, so a rerun asks the same."""
    return random.Random(f"evolve:{seed}:{row_id}:{number}").choice(OPERATIONS)


@functools.cache
def _own_spans(operation: str) -> frozenset[tuple[str, ...]]:
    return frozenset(_spans(prompts.render(f"evolve/{operation}", instruction="")[0]["content"]))


def _spans(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[i : i + COPIED_TOKENS]) for i in range(len(found) - COPIED_TOKENS + 1)}


def fault_of_instruction(text: str, parent: str, operation: str, min_new_words: int) -> str | None:
    """Why an evolved instruction is eliminated.

    >>> fault_of_instruction("Sort a list.", "Sort the list.", "rarer", 3)
    'no_gain'
    """
    if REFUSAL.search(text):
        return "refusal"
    if _LABEL.search(text) or (_spans(text) - _spans(parent)) & _own_spans(operation):
        return "copied_prompt"
    if len(set(words(text)) - set(words(parent))) < min_new_words:
        return "no_gain"
    return None


def fault_of_response(text: str) -> str | None:
    """Why an answer is eliminated, as far as can be seen without running it."""
    if text.count("```") % 2:
        return "truncated"
    if not has_code(text):
        return "refusal" if REFUSAL.search(text) else "no_code"
    return "does_not_compile" if compile_error(text) else None


def _unanswered(answer: Answer) -> str:
    return "truncated" if answer.reason == "length" else f"teacher_{answer.reason}"


def conversation(row: dict, config: Config, seed: int) -> Conversation[list[Evolved]]:
    """All rounds of one row."""
    made: list[Evolved] = []
    current, at = row["instruction"], None
    for number in range(1, config.rounds + 1):
        operation = operation_of(row["id"], number, seed)
        template = f"evolve/{operation}"
        asked = prompts.render(template, instruction=current)
        answer = yield Request("evolve", asked, prompts.version(template))
        text, response = (answer.text or "").strip(), ""
        reason = _unanswered(answer) if answer.text is None else None
        reason = reason or fault_of_instruction(text, current, operation, config.min_new_words)
        good = reason is None
        if good:
            asked = prompts.render("evolve/answer", instruction=text)
            answer = yield Request("answer", asked, prompts.version("evolve/answer"))
            response = answer.text or ""
            reason = _unanswered(answer) if answer.text is None else fault_of_response(response)
        made.append(Evolved(number, operation, at, text, response, reason))
        if good and reason is None:
            current, at = text, len(made) - 1
    return made


def asks(config: Config) -> bool:
    """Evolving needs a teacher."""
    return config.share > 0


def prepare(config: Config, rows: Rows, seed: int, where: str) -> Prepared:
    """Choose the rows that are evolved, of those whose licences allow something to be made of them.

    Raises:
        Refusal: code is to be run, and there is no sandbox here.
    """
    if config.execute:
        try:
            sandbox.backend()
        except sandbox.SandboxError as error:
            raise Refusal(f"{where}: 05_evolve.execute: {error}") from None
    ids, sources, terms = (column.to_pylist() for column in rows(["id", "source", "license"]).columns)
    free = [(i, source) for i, source, licence in zip(ids, sources, terms, strict=True) if combined((licence,))]
    sample = nested_sample(free, sources, config.share, seed)
    arguments = {"config": config, "sample": frozenset(sample), "seed": seed}
    notes = {"rows_to_evolve": len(sample), "rows_without_derivatives": len(ids) - len(free)}
    return Prepared(arguments, notes, conversations=len(sample))


def conversations(
    rows: Iterable[dict], *, config: Config, sample: frozenset[str], seed: int
) -> Iterator[Conversation[list[Evolved]]]:
    """What is asked about the rows of the sample."""
    return (conversation(row, config, seed) for row in rows if row["id"] in sample)


def stand_in(request: Request) -> str:
    """For plans: an instruction that passes for a new one, and an answer with code."""
    if request.role == "answer":
        return "```python\npass\n```"
    digest = hashlib.sha256(request.messages[0]["content"].encode()).hexdigest()
    return " ".join(digest[i : i + 8] for i in range(0, 64, 8)) + " of it" * 30


def run_code(response: str) -> str | None:
    """Status of the response's Python run as a program; None where it holds none."""
    code = python_code(response)
    if code is None:
        return None
    verdict = sandbox.judge(sandbox.Job(code))
    if verdict.status != "exception":
        return verdict.status
    excused = re.search(r"\bsys\.argv\b|\binput\(|\bstdin\b", code)  # nobody gives it what it asks for
    return "fault" if verdict.exception_type in FAULTS and not excused else "exception"


def _new_row(row: dict, step: Evolved, parent: str, model: str) -> dict:
    # the same text may come out of two parents: who the parent was, and when, is the occurrence
    occurrence = int.from_bytes(hashlib.sha256(f"{row['id']}:{step.round}".encode()).digest()[:6])
    made = make_row(
        source=SOURCE, instruction=step.instruction, response=step.response, license=row["license"], generator=model,
        language=language_of(step.response), occurrence=occurrence, parents=(parent,),
    )  # fmt: skip
    return made | {"reason": step.reason, "operation": step.operation, "round": step.round, "sandbox": None}


def batch(
    columns: dict, *, config: Config, sample: frozenset[str], seed: int, profile: Profile | None = None,
    answers: Answers | None = None,
) -> dict:  # fmt: skip
    """Every row as it was, and behind it what the rounds made of it; without a teacher nothing is made."""
    out: dict[str, list] = {name: [] for name in (*columns, *FACTS.names)}
    nothing = dict.fromkeys(FACTS.names)
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        rows = [row | nothing]
        if profile is not None and row["id"] in sample:
            rows += _evolved_rows(
                row, replay(answers, profile, conversation(row, config, seed)), profile, config.execute
            )
        for each in rows:
            for name, value in each.items():
                out[name].append(value)
    if config.execute:
        sandbox.close()  # a pool's process ends without saying goodbye
    return out


def _evolved_rows(row: dict, steps: list[Evolved], profile: Profile, execute: bool) -> list[dict]:
    made: list[dict] = []
    for step in steps:
        parent = row["id"] if step.parent is None else made[step.parent]["id"]
        new = _new_row(row, step, parent, profile.role("answer").model)
        if execute and step.reason is None:
            new["sandbox"] = run_code(step.response)
            new["reason"] = "fails_in_sandbox" if new["sandbox"] in ("fault", "compile_error") else None
        made.append(new)
    return made
