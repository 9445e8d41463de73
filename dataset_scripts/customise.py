"""08_customise: an AlchemistPrompt for every row whose code can be read, and a teacher's for a sample of them.

reads   the kept rows of the stage before; writes build/<mixture>/08_customise/

An AlchemistPrompt is one to three sentences, written in hindsight of the response and prepended to the unchanged
instruction, so that sources of differing habits stop contradicting each other (AlchemistCoder, arXiv 2405.19265,
section 2.2). The paper asks GPT-4; `alchemist` asks a teacher and measures what it says. `static_alchemist` reads the
same themes off the syntax tree of six languages, for nothing, and stands in where the teacher's prompt is turned down
or nobody was asked. Both are kept beside the row: `09_mixture` decides which row carries whose prompt, so shares,
modes, selections and controls cost no request. Rows of comprehension tasks speak about code and get no prompt.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, PositiveInt

from artefacts import StrictModel
from dataset_scripts import alchemist, static_alchemist, syntax
from dataset_scripts.sample import nested_sample
from dataset_scripts.schema import COMPREHENSION_TASKS
from dataset_scripts.stage import Prepared, Rows
from llm import Answers, Conversation, Profile, Request, replay

PINS = ("datasets", "pyarrow", *syntax.PINS)
ROLES, TEMPLATES = (alchemist.ROLE,), (alchemist.TEMPLATE,)
FACTS = pa.schema(
    {
        "alchemist": pa.string(),  # who wrote the row's prompt: a model id or `static`; null where nobody could
        "static_prompt": pa.string(),
        "teacher_prompt": pa.string(),  # as the teacher wrote it, turned down or not; null where it was not asked
        "teacher_reason": pa.string(),  # why it is not used; null where it is, or was not asked
        "leak": pa.float64(),  # share of its content words that only the code has
        "restated": pa.float64(),  # share that the instruction has
        "concepts": pa.list_(pa.string()),  # what the code uses; null where it cannot be read
    }
)
Share = Annotated[float, Field(ge=0, le=1)]


class Config(StrictModel):
    """Settings of `08_customise` in a mixture file."""

    alchemist: Literal["static", "teacher"]  # teacher: whom TEACHER names; TEACHER=static asks nobody
    teacher_share: Share = 0.2  # of the rows, by source: a nested sample, so 5 % of them lie within 20 %
    max_leak: Share = 0.3  # of a prompt's content words may come out of the code alone
    max_restated: Share = 0.8  # may only repeat the instruction
    max_named: PositiveInt = 3  # functions, modules or errors that a static prompt names


def asks(config: Config) -> bool:
    """True when a teacher is to be asked."""
    return config.alchemist == "teacher" and config.teacher_share > 0


def prepare(config: Config, rows: Rows, seed: int, where: str) -> Prepared:
    """Choose the rows that a teacher annotates."""
    if not asks(config):
        return Prepared({"config": config, "sample": frozenset()}, {"rows_for_the_teacher": 0})
    table = rows(["id", "source", "task"])
    table = table.filter(pc.invert(pc.is_in(table["task"], pa.array(COMPREHENSION_TASKS))))
    ids, sources = table["id"].to_pylist(), table["source"].to_pylist()
    sample = nested_sample(zip(ids, sources, strict=True), sources, config.teacher_share, seed)
    notes = {"rows_for_the_teacher": len(sample)}
    return Prepared({"config": config, "sample": frozenset(sample)}, notes, conversations=len(sample))


def conversations(
    rows: Iterable[dict], *, config: Config, sample: frozenset[str]
) -> Iterator[Conversation[alchemist.Verdict]]:
    """What is asked about the rows of the sample."""
    return (_conversation(row, config) for row in rows if row["id"] in sample)


def stand_in(request: Request) -> str:
    """For plans; nothing follows the one request of a row."""
    return "Use recursion."


def _conversation(row: dict, config: Config) -> Conversation[alchemist.Verdict]:
    return alchemist.conversation(row, config.max_leak, config.max_restated)


def batch(
    columns: dict, *, config: Config, sample: frozenset[str], profile: Profile | None = None,
    answers: Answers | None = None,
) -> dict:  # fmt: skip
    """Fill `alchemist_prompt`; no row is rejected, and neither instruction nor response is touched.

    Args:
        sample: ids of the rows whose answer the ledger is asked for.
        profile, answers: of the teacher; None where nobody is asked.
    """
    out = {name: [] for name in ("alchemist_prompt", *FACTS.names)}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        static = None
        if row["task"] not in COMPREHENSION_TASKS:
            static = static_alchemist.prompt(
                row["instruction"], row["response"], row["language"], row["id"], config.max_named
            )
        asked = profile is not None and row["id"] in sample
        verdict = replay(answers, profile, _conversation(row, config)) if asked else alchemist.Verdict(None, None)
        accepted = asked and verdict.reason is None
        out["alchemist_prompt"].append(verdict.text if accepted else static)
        out["alchemist"].append(profile.role(alchemist.ROLE).model if accepted else "static" if static else None)
        out["static_prompt"].append(static)
        out["teacher_prompt"].append(verdict.text)
        out["teacher_reason"].append(verdict.reason)
        out["leak"].append(verdict.leak)
        out["restated"].append(verdict.restated)
        out["concepts"].append(static_alchemist.concepts(row["response"], row["language"]))
    return {**columns, **out}
