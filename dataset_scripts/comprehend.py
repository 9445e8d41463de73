"""06_comprehend: tasks about code instead of for code, made out of what the build itself has done to its rows.

reads   the kept rows of the stage before; the rejected rows of 03_clean and its findings (data filtering); the
        operations of 05_evolve (instruction evolution); rows' own tests beside 01_sources (code review)
writes  build/<mixture>/06_comprehend/; adds verdicts on refined code to build/row_tests.jsonl

The three comprehension tasks of AlchemistCoder (arXiv 2405.19265, section 2.3):

    instruction_evolution   what changed between a task and its evolved form, or write the evolved form
    data_filtering          what is wrong with an answer that cleaning rejected, and how a good one looks
    code_review             correctness, clarity, suggestions, refined code: by a teacher, or by ruff for nothing

Every row stays as it is. New rows stand behind the row that they need (the evolved one, the counterpart, the reviewed
one); their source is their task, their parents are all rows that they quote, their licence the strictest of the
parents' (`licences`), and their generator whoever wrote what is learnt: the teacher that evolved, the counterpart's
author, the reviewing teacher, or, where ruff reviews, the author of the code that it tidied up. What does not hold is
rejected with its reason. Rows of 03_clean were never decontaminated: 07_recheck does so for all new rows.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

import sandbox
from artefacts import Refusal, StrictModel
from dataset_scripts import evolution_task, filtering_task, review_task, static_reviewer, syntax
from dataset_scripts.counterparts import read_accepted
from dataset_scripts.facts_of_code import language_of
from dataset_scripts.licences import combined
from dataset_scripts.review_rows import Asked, rows_to_review
from dataset_scripts.row_tests import RECORD
from dataset_scripts.row_tests import Config as RowTests
from dataset_scripts.sample import order
from dataset_scripts.schema import make_row
from dataset_scripts.sources import Check
from dataset_scripts.stage import Prepared, Rows
from llm import Answers, Conversation, Profile, Request, replay

PINS = ("datasets", "numpy", "pyarrow", "ruff", "scikit-learn", "scipy", *syntax.PINS)
ROLES, TEMPLATES = (review_task.ROLE,), (review_task.TEMPLATE,)
FACTS = pa.schema(
    {
        "label": pa.string(),  # operation of the evolution, or kind of the answer (filtering_task.KINDS)
        "form": pa.string(),  # produce or compare; letter of the right option
        "verdict": pa.string(),  # finding of 03_clean that the label quotes; what the reviewed row's own tests said
        "similarity": pa.float64(),  # cosine of the filtered row's instruction and its counterpart's
        "reviewer": pa.string(),  # model id, or static
        "correctness": pa.int64(),
        "clarity": pa.int64(),
    }
)
# Which checks of 03_clean fit the new rows: an evolved instruction is no answer, and who is shown a poor answer, or
# asked about a function, is not asked to write that function.
CHECKS: Mapping[str, tuple[Check, ...]] = {
    evolution_task.TASK: ("refusal",), filtering_task.TASK: ("compiles",), review_task.TASK: ("compiles",),
}  # fmt: skip
Share = Annotated[float, Field(ge=0, le=1)]


class Size(StrictModel):
    """Settings of a task that has only a size."""

    max_rows: PositiveInt  # made at most; a nested seeded sample, so 100 rows lie within 1,000


class CodeReview(Size):
    """Settings of code review."""

    reviewer: Literal["static", "teacher"]  # teacher: whom TEACHER names; TEACHER=static lets ruff review the Python
    row_tests: RowTests | None = None  # limits under which rows' own tests are run; null: nothing is run
    failing_rows: bool = False  # also rows that 03_clean rejected for failing their own tests, and for nothing else
    flawless_share: Share = 0.1  # of the static reviews that find no rule broken, how many are kept

    @model_validator(mode="after")
    def _failing_rows_are_run(self) -> "CodeReview":
        if self.failing_rows and (self.reviewer == "static" or self.row_tests is None):
            raise ValueError("failing_rows wants `reviewer: teacher` and `row_tests`, for ruff mends no wrong results")
        return self


class Config(StrictModel):
    """Settings of `06_comprehend` in a mixture file; a task that is left out is off."""

    instruction_evolution: Size | None = None
    data_filtering: Size | None = None
    code_review: CodeReview | None = None

    @model_validator(mode="after")
    def _one_is_on(self) -> "Config":
        if not (self.instruction_evolution or self.data_filtering or self.code_review):
            raise ValueError("name at least one of instruction_evolution, data_filtering, code_review")
        return self


def reads(config: Config) -> dict[str, str]:
    """Stages that are read besides the one before -> the key of the mixture file that wants them."""
    found = {}
    if config.instruction_evolution:
        found["05_evolve"] = "instruction_evolution"
    if config.code_review and config.code_review.failing_rows:
        found["03_clean"] = "code_review.failing_rows"
    if config.data_filtering:
        found["03_clean"] = "data_filtering"
    if config.code_review and config.code_review.row_tests:
        found["01_sources"] = "code_review.row_tests"
    return found


def asks(config: Config) -> bool:
    """True when a teacher is to review."""
    return config.code_review is not None and config.code_review.reviewer == "teacher"


def prepare(config: Config, rows: Rows, seed: int, where: str) -> Prepared:
    """Choose the pairs, the questions and the rows to review.

    Raises:
        Refusal: tests are to be run and there is no sandbox here, or ruff is to review and is not there.
    """
    name, notes = rows.stage.name, {}
    arguments: dict[str, Any] = {"config": config, "seed": seed, "pairs": {}, "questions": {}, "reviews": {}}
    arguments["record"] = rows.build.parent / RECORD
    if config.instruction_evolution:
        size = config.instruction_evolution.max_rows
        arguments["pairs"], notes["instruction_evolution"] = evolution_task.pairs(
            rows.build / "05_evolve", size, seed, name
        )
    if config.data_filtering:
        arguments["questions"], notes["data_filtering"] = filtering_task.questions(
            rows.build / "03_clean", rows.source, read_accepted(rows.source, name), config.data_filtering.max_rows,
            seed, name,
        )  # fmt: skip
    if review := config.code_review:
        if review.row_tests:
            try:
                sandbox.backend()
            except sandbox.SandboxError as error:
                raise Refusal(f"{where}: 06_comprehend.code_review.row_tests: {error}") from None
        static_reviewer.binary()
        arguments["reviews"], notes["code_review"] = rows_to_review(
            rows, review.max_rows, seed, review.reviewer == "static", review.row_tests, review.failing_rows
        )
    asked = sum(map(len, arguments["reviews"].values()))
    return Prepared(arguments, notes, conversations=asked if asks(config) else 0)


def conversations(
    rows: Iterable[dict], *, reviews: Mapping[str, Sequence[Asked]], **_: object
) -> Iterator[Conversation[review_task.Reviewed]]:
    """What a teacher is asked: a review of every chosen row that holds one program."""
    for row in rows:
        for asked in reviews.get(row["id"], ()):
            target = asked.row or row
            if review_task.code_of(target):
                yield review_task.conversation(target, asked.verdict)


def stand_in(request: Request) -> str:
    """For plans; nothing follows the one request of a row."""
    return json.dumps({"correctness": 8, "clarity": 8, "suggestions": ["Name things."], "refined_code": "pass"})


class _New(NamedTuple):
    """A new row before it is one: what `make_row` wants, and its facts."""

    task: str
    instruction: str
    response: str
    licence: str
    generator: str
    language: str
    parents: tuple[str, ...]
    reason: str | None
    facts: dict[str, Any]


def batch(
    columns: dict, *, config: Config, seed: int, pairs: Mapping[str, evolution_task.Pair],
    questions: Mapping[str, filtering_task.Question], reviews: Mapping[str, Sequence[Asked]], record: Path,
    profile: Profile | None = None, answers: Answers | None = None,
) -> dict:  # fmt: skip
    """Every row as it was, and behind it the new rows that need it.

    Args:
        pairs, questions, reviews: by the id of the row that the new ones stand behind.
        record: of what rows' own tests said (`row_tests`), to which refined code's verdicts are added.
        profile, answers: of the teacher; None where nobody is asked, and the static reviewer reviews.
    """
    out: dict[str, list] = {name: [] for name in (*columns, *FACTS.names)}
    nothing = dict.fromkeys(FACTS.names)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    asked_about = [(row, asked) for row in rows for asked in reviews.get(row["id"], ())]
    reviewed = _reviewed(asked_about, config.code_review, record, profile, answers)
    for row in rows:
        made = []
        if pair := pairs.get(row["id"]):
            made.append(_of_pair(pair, row, seed))
        if question := questions.get(row["id"]):
            made.append(_of_question(question, row, seed))
        for asked in reviews.get(row["id"], ()):
            if (found := next(reviewed)) is not None:
                made.append(_of_review(asked, row, found, config.code_review, seed, profile))
        for each in (row | nothing, *(_row(new) | nothing | new.facts for new in made)):
            for name, value in each.items():
                out[name].append(value)
    return out


def _reviewed(
    asked: list[tuple[dict, Asked]], config: CodeReview | None, record: Path, profile: Profile | None,
    answers: Answers | None,
) -> Iterator[review_task.Reviewed | None]:  # fmt: skip
    """A review for each, whose refined code has passed the row's tests; without a teacher None for what is not
    Python."""
    found = list(_before_running(asked, profile, answers))
    run = [(f, one.row or row, one.verdict, one.tests) for f, (row, one) in zip(found, asked, strict=True) if f]
    ran = iter(review_task.after_running(run, config.row_tests if config else None, record))
    yield from (next(ran) if f else None for f in found)


def _before_running(
    asked: list[tuple[dict, Asked]], profile: Profile | None, answers: Answers | None
) -> Iterator[review_task.Reviewed | None]:
    if profile is not None:
        for row, one in asked:
            target = one.row or row
            if review_task.code_of(target):
                yield replay(answers, profile, review_task.conversation(target, one.verdict))
            else:
                yield review_task.Reviewed(None, "no_single_program")
        return
    python = [(one.row or row, one) for row, one in asked if one.row is None and row["language"] == "python"]
    verdicts = {row["id"]: one.verdict for row, one in python}
    setups = {row["id"]: json.loads(one.tests).get("setup", "") for row, one in python if one.tests}
    found = iter(review_task.static_reviews([row for row, _ in python], verdicts, setups))
    for row, one in asked:
        if one.row is not None:  # it failed its tests, and ruff mends no wrong results
            yield review_task.Reviewed(None, "needs_a_teacher")
        else:
            yield next(found) if row["language"] == "python" else None


def _row(new: _New) -> dict:
    # the same text may be made of other parents
    occurrence = int.from_bytes(hashlib.sha256(f"{new.task}:{':'.join(new.parents)}".encode()).digest()[:6])
    made = make_row(
        source=new.task, task=new.task, instruction=new.instruction, response=new.response, license=new.licence,
        generator=new.generator, language=new.language, occurrence=occurrence, parents=new.parents,
    )  # fmt: skip
    return made | {"reason": new.reason}


def _of_pair(pair: evolution_task.Pair, row: dict, seed: int) -> _New:
    instruction, response, form = evolution_task.written(pair, row["instruction"], seed)
    parents, facts = (pair.parent_id, row["id"]), {"label": pair.operation, "form": form}
    return _New(
        evolution_task.TASK, instruction, response, pair.licence, pair.generator, language_of(response), parents,
        None, facts,
    )  # fmt: skip


def _of_question(question: filtering_task.Question, row: dict, seed: int) -> _New:
    instruction, response, letter = filtering_task.written(question, row, seed)
    reason = None if filtering_task.is_good(row) else "poor_counterpart"
    if question.kind == filtering_task.GOOD and not filtering_task.is_good(vars(question)):
        reason = "poor_control"
    facts = {
        "label": question.kind, "form": letter, "verdict": question.finding or None,
        "similarity": question.similarity,
    }  # fmt: skip
    licence = combined((question.licence, row["license"]))
    parents = (question.id, row["id"])
    return _New(
        filtering_task.TASK, instruction, response, licence, row["generator"], row["language"], parents, reason, facts
    )


def _of_review(
    asked: Asked, seat: dict, found: review_task.Reviewed, config: CodeReview, seed: int, profile: Profile | None
) -> _New:
    row = asked.row or seat
    instruction, response = review_task.written(row, found, asked.verdict, seed)
    reason, review = found.reason, found.review
    if found.broken == 0 and not reason:
        chance = int.from_bytes(order(row["id"], seed)[-6:]) / 2**48
        reason = None if chance < config.flawless_share else "no_rule_broken"
    reviewer = review_task.STATIC if profile is None else profile.role(review_task.ROLE).model
    facts = {
        "verdict": asked.verdict, "reviewer": reviewer, "correctness": review.correctness if review else None,
        "clarity": review.clarity if review else None,
    }  # fmt: skip
    generator = row["generator"] if profile is None else reviewer
    return _New(
        review_task.TASK, instruction, response, row["license"], generator, row["language"], (row["id"],), reason,
        facts,
    )  # fmt: skip
