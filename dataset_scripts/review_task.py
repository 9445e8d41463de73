"""Comprehension task: code review - correctness and clarity from 0 to 10, suggestions, refined code.

reads   a row's code and, through `llm`, a teacher's review of it, or `static_reviewer`'s; runs tests in the sandbox

The paper has GPT-4 review (AlchemistCoder, arXiv 2405.19265, section 2.3). Here a review is anchored on execution:
where a row has tests of its own (`row_tests`) the reviewer is told what they said, a review whose correctness denies
it is rejected, and refined code must pass them. A new row says in its instruction whether the code was run and what
came of it, so that its response claims nothing that a reader could not know.
"""

import ast
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from artefacts import StrictModel
from dataset_scripts import prompts, row_tests, static_reviewer, syntax
from dataset_scripts.alchemist import REFUSAL
from dataset_scripts.counterparts import MAX_CHARS, quoted
from dataset_scripts.detectors import has_statement
from dataset_scripts.facts_of_code import code_blocks, python_of
from dataset_scripts.languages import language_name
from dataset_scripts.static_alchemist import NAMES
from dataset_scripts.static_facts import read
from llm import Conversation, Request

TASK, ROLE, TEMPLATE = "code_review", "review", "review"
STATIC = "static"
LEAST_OF_PASSED, MOST_OF_FAILED = 6, 5  # correctness that the verdict of the row's own tests allows
MAX_SUGGESTIONS = 8
_ENDINGS = ("exit", "quit", "_exit", "SystemExit", "abort", "kill")  # a program that exits with 0 counts as passed
_ASKS = (
    "Review this {name} code. Give correctness and clarity from 0 to 10, say what you suggest, and write out the "
    "refined code.\n\nTask:\n{task}\n\nCode:\n{code}\n\n{run}",
    "Task:\n{task}\n\nSomebody solved it in {name}:\n{code}\n\n{run} How correct and how clear is it, each out of 10? "
    "Make suggestions, and give a refined version.",
    "You are reviewing a change before it is merged. What was asked for:\n{task}\n\nThe {name} code:\n{code}\n\n{run}"
    "\n\nScore correctness and clarity (0 to 10), list your suggestions, and give a refined version.",
)


class Review(StrictModel):
    """What a reviewer says; the schema of a teacher's answer."""

    correctness: Annotated[int, Field(ge=0, le=10)]
    clarity: Annotated[int, Field(ge=0, le=10)]
    suggestions: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_SUGGESTIONS)]
    refined_code: str


@dataclass(frozen=True)
class Reviewed:
    """What came of a review: the review, or why there is none, or none that is kept.

    Attributes:
        notes: what the static reviewer says of correctness, of clarity and of the refined code; of a teacher nothing.
        left: findings of a static review that its refined code does not mend.
        broken: what a static review found; None of a teacher's.
    """

    review: Review | None
    reason: str | None
    notes: tuple[str, str, str] = ("", "", "")
    left: tuple[str, ...] = ()
    broken: int | None = None


def code_of(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """(code, language) of a row with one piece of code in one of six languages; None for others."""
    blocks = code_blocks(row["response"])
    if row["task"] == "commit":
        found = (row["response"], row["language"])
    elif not blocks:
        python = python_of(row["response"])  # where it is but an expression, it may be of any language
        found = (python.code, "python") if python and has_statement(python.tree) else ("", "")
    elif len(blocks) == 1 and row["language"] in (language_name(blocks[0][0]), "python"):
        tag, code = blocks[0]
        found = (code, language_name(tag) if tag else "python")
    else:
        return None
    code, language = found[0].strip("\n"), found[1]
    if language not in syntax.LANGUAGES or not code.strip() or max(len(code), len(row["instruction"])) > MAX_CHARS:
        return None
    return None if syntax.first_error(language, code) else (code, language)


def run_note(verdict: str | None) -> str:
    """What the instruction says of running the code."""
    if verdict is None:
        return "It was not run."
    return "Its tests pass." if verdict == "ok" else f"Its tests fail ({verdict.replace('_', ' ')})."


def conversation(row: Mapping[str, Any], verdict: str | None) -> Conversation[Reviewed]:
    """Ask a teacher once to review a row whose `code_of` is not None, and judge the review; nothing is run."""
    code, language = code_of(row)
    asked = prompts.render(
        TEMPLATE, instruction=row["instruction"], code=code, language=NAMES[language], verdict=verdict or ""
    )
    answer = yield Request(ROLE, asked, prompts.version(TEMPLATE), Review)
    if answer.value is None:
        return Reviewed(None, f"teacher_{answer.reason}")
    return Reviewed(answer.value, fault(answer.value, code, language, verdict))


def fault(review: Review, code: str, language: str, verdict: str | None) -> str | None:
    """Why a teacher's review is rejected before its refined code is run; None where it is not."""
    refined = bare(review.refined_code)
    if REFUSAL.search(" ".join(review.suggestions)):
        return "refusal"
    if contradicts(review.correctness, verdict):
        return "contradicts_tests"
    if not refined.strip():
        return "no_refined_code"
    if syntax.first_error(language, refined):
        return "refined_does_not_compile"
    if not review.suggestions and min(review.correctness, review.clarity) < 8:
        return "no_suggestions"
    if refined.split() == code.split() and min(review.correctness, review.clarity) < 8:
        return "nothing_refined"
    return "loses_definitions" if lost(code, refined, language) else None


def contradicts(correctness: int, verdict: str | None) -> bool:
    """True where the row's own tests deny the score."""
    if verdict is None:
        return False
    return correctness < LEAST_OF_PASSED if verdict == "ok" else correctness > MOST_OF_FAILED


def bare(code: str) -> str:
    """Code without the one fence that a teacher may have put around it."""
    blocks = code_blocks(code)
    return (blocks[0][1] if len(blocks) == 1 else code).strip("\n")


def lost(code: str, refined: str, language: str) -> set[str]:
    """Names of functions and classes that the code defines and the refined code does not."""
    before, after = read(language, code), read(language, refined)
    if before is None or after is None:
        return set()
    names = [{n.partition("(")[0] for n in (*r.functions, *r.methods, *r.classes)} for r in (before, after)]
    return {name for name in names[0] - names[1] if not name.startswith("_")}


def static_reviews(
    rows: Sequence[Mapping[str, Any]], verdicts: Mapping[str, str], setups: Mapping[str, str]
) -> list[Reviewed]:
    """Reviews of Python rows by `static_reviewer`, in order; whose refined code may still have to be run.

    Args:
        verdicts: row id -> what its own tests said.
        setups: row id -> code that its tests put before it.
    """
    codes = [code_of(row) for row in rows]
    readings = iter(static_reviewer.read_all([found[0] for found in codes if found]))
    return [
        _static_review(row, found[0], next(readings), verdicts.get(row["id"]), setups.get(row["id"], ""))
        if found else Reviewed(None, "no_single_program") for row, found in zip(rows, codes, strict=True)
    ]  # fmt: skip


def _static_review(
    row: Mapping[str, Any], code: str, reading: static_reviewer.Reading | None, verdict: str | None, setup: str
) -> Reviewed:
    if reading is None:
        return Reviewed(None, "ruff_failed")
    known = set(re.findall(r"\w+", f"{setup} {row['instruction']}"))
    findings = static_reviewer.about(reading.findings, known)
    correct = static_reviewer.correctness(findings, verdict == "ok")
    clear = static_reviewer.clarity(findings, code, reading.refined)
    refined, mended = reading.refined.strip("\n"), [f for f in findings if f in reading.mended]
    suggestions = [_suggestion(some) for some in _by_rule(mended)]
    left = tuple(_suggestion(some) for some in _by_rule([f for f in findings if f not in mended]))[:MAX_SUGGESTIONS]
    if refined != code:
        suggestions = [*suggestions[: MAX_SUGGESTIONS - 1], f"Layout: {static_reviewer.layout(code, refined)}."]
    review = Review(
        correctness=correct, clarity=clear, suggestions=suggestions[:MAX_SUGGESTIONS], refined_code=refined
    )
    if contradicts(correct, verdict):
        return Reviewed(review, "contradicts_tests")
    if syntax.first_error("python", refined):
        return Reviewed(review, "refined_does_not_compile")
    if findings and not mended:
        return Reviewed(review, "nothing_refined")
    if not reading.mended and not same_tree(code, refined):
        return Reviewed(review, "refined_differs")
    bugs, blemishes = (sorted({f.rule for f in findings if f.is_bug is kind}) for kind in (True, False))
    blemishes += ["layout"] * bool(static_reviewer.poor_layout(code, refined))
    blemishes = blemishes or ["layout"] * (refined != code) or bugs
    ran = "its tests pass" if verdict == "ok" else "not run"
    notes = (
        f" ({'; '.join([ran, *_against(bugs)])})", "".join(f" ({each})" for each in _against(blemishes)),
        _of_the_refined(code, refined, bool(mended), verdict),
    )  # fmt: skip
    return Reviewed(review, None, notes, left, len(findings))


def _against(rules: Sequence[str]) -> list[str]:
    return [f"against it: {', '.join(rules)}"] if rules else []


def _by_rule(findings: Sequence[static_reviewer.Finding]) -> list[list[static_reviewer.Finding]]:
    by_rule: dict[tuple[str, str], list[static_reviewer.Finding]] = {}
    for finding in findings:
        by_rule.setdefault((finding.rule, finding.text), []).append(finding)
    return list(by_rule.values())


def _suggestion(some: Sequence[static_reviewer.Finding]) -> str:
    lines = list(dict.fromkeys(str(finding.line) for finding in some))
    where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(lines[:-1])} and {lines[-1]}"
    return f"{where[0].upper()}{where[1:]} ({some[0].rule}): {some[0].text.rstrip('.')}."


def _of_the_refined(code: str, refined: str, mended: bool, verdict: str | None) -> str:
    if refined == code:
        return "Nothing is changed."
    if not mended:
        return "Only the layout is changed; the syntax tree is the same."
    ran = "" if verdict == "ok" else " The changed code was not run."
    return f"The suggestions are carried out.{ran}"


def same_tree(one: str, other: str) -> bool:
    """True where both parse to the same syntax tree, but for blanks around the lines of docstrings."""
    trees = [syntax.python_tree(code) for code in (one, other)]
    return None not in trees and _dump(trees[0]) == _dump(trees[1])


def _dump(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = [line.strip() for line in node.value.value.strip().splitlines()]
    return ast.dump(tree)


def after_running(
    reviews: Sequence[tuple[Reviewed, Mapping[str, Any], str | None, str | None]],
    config: row_tests.Config | None,
    record: Path,
) -> list[Reviewed]:
    """The reviews, in order; one is rejected where its refined code does not pass the row's own tests.

    Args:
        reviews: (review, row, what the row's own tests said or None, its tests as 01_sources keeps them).
        record: of `row_tests`: refined code that was run before, by a build that was killed, say, is not run again.
    """
    found, jobs = [reviewed for reviewed, *_ in reviews], []
    for number, (reviewed, row, verdict, tests) in enumerate(reviews):
        if reviewed.review is None or reviewed.reason or verdict is None or config is None:
            continue
        refined = quoted(bare(reviewed.review.refined_code), "python")
        if tests is None and not keeps_asserts(row["response"], refined):
            found[number] = replace(reviewed, reason="refined_without_tests")
        else:
            jobs.append((str(number), refined, tests))
    statuses = row_tests.judged(config, record, jobs, workers=1) if jobs else {}
    for number, status in ((int(number), statuses.get(number, row_tests.NOT_RUN)) for number, *_ in jobs):
        if status != "ok":
            reason = "refined_fails_tests" if status in row_tests.FAILED else "refined_not_judged"
            found[number] = replace(found[number], reason=reason)
    return found


def keeps_asserts(response: str, refined: str) -> bool:
    """True where refined code asserts at its top level, in this order, all that the response's Python asserts there.

    What is assigned at the top level and goes into an assertion is part of it: of `y = f(2); assert y == 4` nothing is
    left where `y` is 4 from the start. Layout, messages and further assertions are free, and so is a lambda, since a
    name that is bound to one is under test like a function. Code that ends itself where the response does not may
    never come to its assertions.
    """
    before, after = python_of(response), python_of(refined)
    if before is None or after is None or _endings(after.tree) - _endings(before.tree):
        return False
    names, wanted = set(), []
    for statement in reversed(before.tree.body):
        is_assignment = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
        if isinstance(statement, ast.Assert):
            asked = statement.test
        elif is_assignment and names & _names(statement, ast.Store) and not isinstance(statement.value, ast.Lambda):
            asked = statement
        else:
            continue
        names |= _names(asked, ast.Load)
        wanted.insert(0, ast.dump(asked))
    there = iter([ast.dump(s.test if isinstance(s, ast.Assert) else s) for s in after.tree.body])
    return bool(wanted) and all(each in there for each in wanted)


def _endings(tree: ast.Module) -> Counter[str]:
    called = (getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree))
    return Counter(name for name in called if name in _ENDINGS)


def _names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def written(row: Mapping[str, Any], reviewed: Reviewed, verdict: str | None, seed: int) -> tuple[str, str]:
    """(instruction, response) of a review; the wording by seed."""
    code, language = code_of(row) or (row["response"], row["language"])
    chance = random.Random(f"{TASK}:{seed}:{row['id']}")
    instruction = chance.choice(_ASKS).format(
        name=NAMES.get(language, language), task=row["instruction"].strip(), code=quoted(code, language),
        run=run_note(verdict),
    )  # fmt: skip
    if reviewed.review is None:
        return instruction, ""
    review = reviewed.review
    listed = [f"{number}. {text.strip()}" for number, text in enumerate(review.suggestions, start=1)] or ["None."]
    correct, clear, refined = reviewed.notes
    lines = [f"Correctness: {review.correctness}/10{correct}", f"Clarity: {review.clarity}/10{clear}"]
    lines += ["", "Suggestions:", *listed]
    if reviewed.left:
        lines += ["", "Not changed below, up to the author:", *(f"- {text}" for text in reviewed.left)]
    refined = [refined, ""] if refined else []
    return instruction, "\n".join([*lines, "", "Refined code:", *refined, quoted(bare(review.refined_code), language)])
