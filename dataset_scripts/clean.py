"""03_clean: what can be said against one row by itself: each reason named, with what was seen.

reads   02_dedup/kept; writes build/<mixture>/03_clean/

The AlchemistCoder paper (arXiv 2405.19265) drops responses that are too short "and" or "or" hold no code (its two
wordings differ, so it is a setting), that do not compile and that fail their test cases, and names four kinds of poor
rows: A short, B uncompilable, C unclear, D disorganised. The checks run cheapest first; a row gets the reason of the
first that it fails, and everything else that was seen stands in its facts:

    secret, email_address   a credential, somebody's address: first of all, since these rows leave no text behind
    too_short...            A   `min_response_chars`, `short_and_codeless`
    refusal                     begins by not answering, or speaks of itself as a model
    language_mismatch           asked for Go, answered in Python
    does_not_compile        B   fences (or, for a commit, all of it) in one of the six languages of `syntax.py`
    placeholder_code        C   a remark where the code should be
    undefined_names         C   functions and modules that nothing brings in
    no_asked_function       D   asked for a function, got none
    code_mixed_with_prose   D   no telling where the code begins and ends
    fails_own_tests             the verdict of `row_tests.py`, which ran them in the sandbox

Nothing is executed here, and no row is changed. A source may be exempt from checks that do not fit it
(`Source.checks`): answers in prose are not rejected for holding no code. Licences and generators are no matter of
cleaning: `01_sources` applies their policies.
"""

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Literal, NamedTuple

import pyarrow as pa
from pydantic import NonNegativeInt

from artefacts import StrictModel
from dataset_scripts import asked_language, detectors, row_tests, secrets, syntax
from dataset_scripts.facts_of_code import Python, code_blocks, compile_error, languages_of_fences, python_of
from dataset_scripts.row_tests import FAILED
from dataset_scripts.row_tests import Config as RowTests
from dataset_scripts.schema import REDACTED_REASONS
from dataset_scripts.sources import CHECKS, Check
from dataset_scripts.stage import Prepared, Rows

PINS = ("datasets", "pyarrow", *syntax.PINS, *secrets.PINS)
FACTS = pa.schema(
    {
        "compile_error": pa.string(),
        "findings": pa.list_(pa.string()),  # `reason: what was seen`; of a secret, only its kind and line
    }
)
MOST_NAMED = 5  # credentials and addresses of one text
Detector = Literal["refusal", "placeholder_code", "undefined_names", "no_asked_function", "code_mixed_with_prose"]
_CHECK_OF: dict[str, Check] = {
    "refusal": "refusal", "placeholder_code": "unclear", "undefined_names": "unclear",
    "no_asked_function": "disorganised", "code_mixed_with_prose": "disorganised",
}  # fmt: skip


class Config(StrictModel):
    """Settings of `03_clean` in a mixture file."""

    min_response_chars: NonNegativeInt
    short_and_codeless: Literal["and", "or"] = "and"
    compiles: list[Literal["python", "javascript", "java", "go", "cpp", "rust"]] = list(syntax.LANGUAGES)
    detectors: list[Detector] = []
    language_mismatch: bool = True
    secrets: Literal["reject", "ignore"] = "reject"
    email_addresses: Literal["reject", "ignore"] = "reject"
    row_tests: RowTests | None = None


class Row(NamedTuple):
    """What the checks look at."""

    instruction: str
    response: str
    language: str
    task: str
    python: Python | None
    test_status: str | None


def findings(row: Row, asked: Collection[Check], config: Config) -> Iterator[tuple[str, str]]:
    """(reason, what was seen) of every check that the row fails, cheapest first."""
    yield from _private(row, config)
    if "code" in asked and (reason := too_short(row, config)):
        yield reason, f"{len(row.response.strip())} characters"
    for name in config.detectors:
        if name == "refusal" and "refusal" in asked and (seen := _detect(name, row)):
            yield name, seen
    if config.language_mismatch and "language" in asked:
        found = languages_of_fences(row.response) or ({"python"} if _is_program(row.python) else set())
        if seen := asked_language.mismatch(row.instruction, found):
            yield "language_mismatch", seen
    if "compiles" in asked:
        is_bare = row.task == "commit"
        if seen := compile_error(row.response, row.language, is_bare, config.compiles):
            yield "does_not_compile", seen
    for name in config.detectors:
        if name != "refusal" and _CHECK_OF[name] in asked and (seen := _detect(name, row)):
            yield name, seen
    if row.test_status in FAILED:
        yield "fails_own_tests", row.test_status


def _private(row: Row, config: Config) -> Iterator[tuple[str, str]]:
    texts = (("instruction", row.instruction), ("response", row.response))
    if config.secrets == "reject":  # of both texts first: the graver reason is the one that counts
        for where, text in texts:
            for found in islice(secrets.credentials(text), MOST_NAMED):
                yield "secret", f"{found.kind}, {where} line {found.line}"
    if config.email_addresses == "reject":
        for where, text in texts:
            for found in islice(secrets.email_addresses(text), MOST_NAMED):
                yield "email_address", f"{where} line {found.line}"


def too_short(row: Row, config: Config) -> str | None:
    """Category A: why the response is too short, or without code, None when it is not."""
    short = len(row.response.strip()) < config.min_response_chars
    codeless = row.python is None and not code_blocks(row.response)
    if config.short_and_codeless == "and":
        return "too_short_without_code" if short and codeless else None
    return "too_short" if short else "no_code" if codeless else None


def _detect(name: Detector, row: Row) -> str | None:
    return detectors.DETECTORS[name](row.instruction, row.response, row.python)


def _is_program(python: Python | None) -> bool:
    """A lone expression may be any language's: `window.alert("hi")`."""
    return python is not None and detectors.has_statement(python.tree)


def prepare(config: Config, rows: Rows, seed: int, where: str) -> Prepared:
    """Cleaning looks at one row at a time; only the verdicts on rows' own tests are brought from elsewhere."""
    if config.row_tests is None:
        return Prepared({"config": config})
    statuses = row_tests.statuses(config.row_tests, rows.build, rows.source)
    counted = dict(sorted(Counter(statuses.values()).items()))
    if not_run := counted.get(row_tests.NOT_RUN):
        print(
            f"warning: the tests of {not_run} row(s) could not be run here (look: make doctor); kept untested.",
            file=sys.stderr,
        )
    return Prepared({"config": config, "test_statuses": statuses}, {"rows_by_test_status": counted})


def batch(
    columns: dict,
    *,
    config: Config,
    checks: Mapping[str, Collection[Check]] | None = None,
    test_statuses: Mapping[str, str] | None = None,
) -> dict:
    """Reject each row for the first check that it fails.

    Args:
        checks: source -> the checks that its rows face; None: all of them.
        test_statuses: row id -> what running its own tests gave (`row_tests.py`); rows without tests are not in it.
    """
    reasons, errors, seen = [], [], []
    for row_id, source, *texts in zip(
        *(columns[name] for name in ("id", "source", "instruction", "response", "language", "task")), strict=True
    ):
        row = Row(*texts, python_of(texts[1]), (test_statuses or {}).get(row_id))
        found = list(findings(row, CHECKS if checks is None else checks[source], config))
        reason = found[0][0] if found else None
        withheld = reason in REDACTED_REASONS  # of these, nothing that quotes the text
        shown = [f for f in found if f[0] in REDACTED_REASONS] if withheld else found
        reasons.append(reason)
        errors.append(None if withheld else dict(found).get("does_not_compile"))
        seen.append([f"{name}: {what}" for name, what in dict.fromkeys(shown)])
    return {**columns, "reason": reasons, "compile_error": errors, "findings": seen}
