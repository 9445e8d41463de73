"""Comprehension task: data filtering - what is wrong with an answer, if anything, and how a good one looks.

reads   rows that 03_clean rejected, with its findings, and accepted rows; writes nothing

The four kinds of poor answers that the AlchemistCoder paper filters out and teaches (arXiv 2405.19265, section 2.3):
A too short, B does not compile, C unclear, D disorganised; and as controls, answers of which none of it holds.

    03_clean/rejected --one kind, by a named finding--> poor answer --most alike, same language--> accepted counterpart
    stage before      --as long, in its language, fenced or not like poor ones--> good answer --likewise--> counterpart

A row asks which kind it is, and for an answer to the counterpart's own task; the response says the kind, quotes what
the compiler, parser or detector said, and gives the counterpart. Controls are asked for a counterpart just the same,
lest the question give the label away. The order of the options is shuffled by seed. Rows with findings of two kinds,
or of another kind (a refusal, another language, failed tests), have no one label and are left out.
"""

import random
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_scripts import asked_language, clean, detectors, syntax
from dataset_scripts.counterparts import MAX_CHARS, Accepted, nearest, quoted
from dataset_scripts.earlier_rows import findings_of, texts_of
from dataset_scripts.facts_of_code import claimed_code, code_blocks, python_of
from dataset_scripts.licences import combined
from dataset_scripts.sample import order
from dataset_scripts.sources import CHECKS
from dataset_scripts.stage_files import shards
from dataset_scripts.static_alchemist import NAMES

TASK = "data_filtering"
KIND_OF = {  # reason of 03_clean -> kind
    "too_short_without_code": "too_short", "too_short": "too_short", "no_code": "too_short",
    "does_not_compile": "uncompilable", "placeholder_code": "unclear", "undefined_names": "unclear",
    "no_asked_function": "disorganised", "code_mixed_with_prose": "disorganised",
}  # fmt: skip
GOOD = "none"
KINDS = ("too_short", "uncompilable", "unclear", "disorganised", GOOD)
_OPTIONS = {
    "too_short": ("It is too short.", "There is next to nothing in it."),
    "uncompilable": ("Its code does not compile.", "Its code is not valid: a compiler turns it down."),
    "unclear": (
        "Its code is unclear: parts are left out, or names come from nowhere.",
        "One cannot tell what its code does, as parts or definitions are missing.",
    ),
    "disorganised": (
        "It is disorganised: not in the form that was asked for, or code and prose run into each other.",
        "Its form is wrong: no function where one was asked for, or no telling code from prose.",
    ),
    GOOD: ("None of these.", "It has none of these faults."),
}
_QUESTIONS = (
    "Somebody collects answers to learn programming from. Which of the options holds for this one?\n\n"
    "Task:\n{task}\n\nAnswer:\n{answer}\n\n{options}\n\nName the letter and say what shows it. Then answer this task "
    "without such a fault:\n\n{other}",
    "Check an answer before it goes into a data set for training.\n\nThe task was:\n{task}\n\nThe answer is:\n"
    "{answer}\n\nWhich of these faults does it have?\n{options}\n\nChoose one letter and give the "
    "evidence. After that, answer the following task, and avoid all of these faults:\n\n{other}",
    "Task:\n{task}\n\nAnswer:\n{answer}\n\nHas this answer one of these faults? Pick one:\n{options}\n\nSay why. Then "
    "show how to do without them, by answering this one:\n\n{other}",
)
_TURNS = ("An answer to the second task:", "And this is how the other task can be answered:", "The other task, done:")
MIN_SIMILARITY = 0.3  # cosine below which an accepted row is no counterpart
_TICKS = 6  # of every quotation, so that its fence does not tell whether there are others in it
_CUT = 80  # so many characters of what they saw do detectors quote
_CHECKED = clean.Config(min_response_chars=40, detectors=list(detectors.DETECTORS))


@dataclass(frozen=True)
class Question:
    """A poor answer, or a control, and the accepted counterpart behind which the new row stands.

    Attributes:
        kind: of KINDS.
        finding: `reason: what was seen`, of 03_clean; empty for controls.
        similarity: cosine of both instructions.
    """

    id: str
    instruction: str
    response: str
    task: str
    licence: str
    language: str
    kind: str
    finding: str
    counterpart_id: str
    similarity: float


def kind_of(findings: Collection[str]) -> str | None:
    """The one kind that all findings of a row are of; None where they are of two, or of another.

    >>> kind_of(["does_not_compile: line 2: invalid syntax"]), kind_of(["refusal: I cannot", "no_code: 50 characters"])
    ('uncompilable', None)
    """
    kinds = {KIND_OF.get(finding.partition(":")[0]) for finding in findings}
    if any(finding.endswith("too much to parse") for finding in findings):
        return None  # nobody judged it
    return kinds.pop() if len(kinds) == 1 else None


def poor_rows(cleaned: Path) -> tuple[dict[str, list[tuple[str, str]]], Counter]:
    """Kind -> (id, finding) of the rows that 03_clean rejected for it; and why others are left out, counted."""
    by_kind: dict[str, list[tuple[str, str]]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    findings = findings_of(cleaned)
    for path in shards(cleaned, "rejected"):
        table = pq.read_table(path, columns=["id", "reason", "language", "instruction", "response"])
        sizes = [pc.utf8_length(table[name]).to_pylist() for name in ("instruction", "response")]
        for row, *chars in zip(table.to_pylist(), *sizes, strict=True):
            row_id, reason = row["id"], row["reason"]
            kind = kind_of(findings[row_id])
            if None in chars:
                left_out["text_withheld"] += 1
            elif kind is None:
                left_out["of_another_kind" if reason not in KIND_OF else "of_two_kinds"] += 1
            elif max(chars) > MAX_CHARS:
                left_out["too_long"] += 1
            elif row["language"] not in ("unknown", *syntax.LANGUAGES):
                left_out["in_another_language"] += 1
            elif kind == "too_short" and not (asks_for_program(row["instruction"]) and is_no_code(row)):
                left_out["short_by_nature"] += 1
            else:
                by_kind[kind].append((row_id, next(f for f in findings[row_id] if f.startswith(f"{reason}:"))))
    return by_kind, left_out


def questions(
    cleaned: Path, source: Path, accepted: Accepted, max_rows: int, seed: int, name: str
) -> tuple[dict[str, Question], dict[str, Any]]:
    """Counterpart's id -> the question that stands behind it; and what the manifest should say of them.

    Every kind gets a fifth of `max_rows`, as far as there are rows; samples are nested and seeded. Each accepted row
    is the counterpart of one question.
    """
    by_kind, left_out = poor_rows(cleaned)
    per_kind = {kind: max_rows // len(KINDS) + (n < max_rows % len(KINDS)) for n, kind in enumerate(KINDS)}
    chosen = {
        kind: sorted(by_kind[kind], key=lambda pair: order(pair[0], seed))[: per_kind[kind]] for kind in KINDS[:-1]
    }
    texts = texts_of(cleaned, "rejected", {row_id for pairs in chosen.values() for row_id, _ in pairs})
    asked = [(kind, finding, texts[row_id]) for kind in KINDS[:-1] for row_id, finding in chosen[kind]]
    used: set[str] = set()
    found = _placed(asked, accepted, used, left_out, name)
    counts = Counter(question.kind for question in found.values())
    wanted = min(per_kind[GOOD], statistics.median_high(counts.values()) if counts else 0)
    models = [vars(question) for question in found.values()]
    controls = [accepted.ids[i] for i in like(accepted, models, wanted + len(used), seed)]
    controls = [row_id for row_id in controls if row_id not in used][:wanted]
    good = texts_of(source, "kept", controls)
    used |= good.keys()  # a control is no counterpart
    found |= _placed([(GOOD, "", good[row_id]) for row_id in controls], accepted, used, left_out, name)
    counts = Counter(question.kind for question in found.values())
    notes = {
        "rows": len(found), "rows_by_label": {kind: counts[kind] for kind in KINDS},
        "short_by_label": {kind: per_kind[kind] - counts[kind] for kind in KINDS if per_kind[kind] > counts[kind]},
        "left_out": dict(sorted(left_out.items())),
    }  # fmt: skip
    return found, notes


def _placed(
    asked: Sequence[tuple[str, str, Mapping[str, Any]]],
    accepted: Accepted,
    used: set[str],
    left_out: Counter,
    name: str,
) -> dict[str, Question]:
    """Counterpart's id -> question, of (kind, finding, row); adds to the rows that are `used`, and to `left_out`."""
    found: dict[str, Question] = {}
    languages = [_language(row) for _, _, row in asked]
    candidates = nearest(accepted, [row["instruction"] for *_, row in asked], languages, name)
    for (kind, finding, row), language, near in zip(asked, languages, candidates, strict=True):
        free = [pair for pair in near if accepted.ids[pair[0]] not in used and pair[1] >= MIN_SIMILARITY]
        best = next((pair for pair in free if combined((row["license"], accepted.licences[pair[0]]))), None)
        if best is None:
            left_out["no_counterpart" if not free else "licences_apart"] += 1
            continue
        index, similarity = best
        used.add(accepted.ids[index])
        found[accepted.ids[index]] = Question(
            row["id"], row["instruction"], row["response"], row["task"], row["license"],
            language, kind, finding, accepted.ids[index], similarity,
        )  # fmt: skip
    return found


def _language(row: Mapping[str, Any]) -> str:
    """The row's, or the one it asks for; Python where neither is known, as 04_decontaminate reads such code."""
    if row["language"] in syntax.LANGUAGES:
        return row["language"]
    asked = asked_language.asked_language(row["instruction"])
    return asked if asked in syntax.LANGUAGES else "python"


_WRITES = re.compile(
    r"\b(?:write|create|implement|develop|design|build|generate|construct|make|code|program|define|compose)\b"
    r"[^.?!]{0,80}\b(?:function|program|script|class|method|algorithm|application|app|game|server|module)s?\b",
    re.IGNORECASE,
)
_SHORT_THINGS = re.compile(
    r"\A(?:what|which)\b|\?|\b(?:signature|syntax|commands?|expressions?|quer(?:y|ies)|statements?|declar\w+"
    r"|one-?liners?|(?:one|single) line|regex\w*|formula|identify|classify|name of|tags?|selectors?)\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"\b(?:(?:my|no)?sql\w*|html5?|css3?|x?html|bash|shell|unix|linux|regex\w*|excel|vba|json|xml|yaml|latex|matlab|git|mongodb"
    r"|powershell|assembly|ruby|php|swift|kotlin|scala|perl|haskell|lua|typescript|visual basic|r program\w*)\b|\bC#",
    re.IGNORECASE,
)


def asks_for_program(instruction: str) -> bool:
    """Whether a short answer is a poor one: the first lines ask for a program, function or class in so many words,
    not for what is short by nature (a command, an expression, a fact) nor in a language outside the six.

    >>> asks_for_program("Write a function that sorts."), asks_for_program("Write the syntax to declare a function.")
    (True, False)
    """
    head = instruction.strip().partition("\n\n")[0][:400]
    return bool(_WRITES.search(head)) and not _SHORT_THINGS.search(head) and not _ELSEWHERE.search(head)


def is_no_code(row: Mapping[str, Any]) -> bool:
    """True of a response that as a whole does not parse: short code may be all that a small task needs."""
    return syntax.first_error(_language(row), row["response"]) is not None


def like(accepted: Accepted, models: Collection[Mapping[str, Any]], wanted: int, seed: int) -> list[int]:
    """Indices of accepted rows that resemble `models` in language, in having fences, and in length (powers of two).

    So that none of it tells a good answer from a poor one. The nearest length will do; where no row of the language
    has fences, or has none, like the model, the other models come first.
    """
    buckets: dict[tuple, list[int]] = defaultdict(list)
    for index in sorted(range(len(accepted)), key=lambda i: order(accepted.ids[i], seed), reverse=True):
        shape = (accepted.languages[index], accepted.fenced[index], accepted.chars[index].bit_length())
        buckets[shape].append(index)
    models = sorted(models, key=lambda row: order(row["id"], seed))
    taken: list[int] = []
    for as_fenced in (True, False):
        turn = misses = 0
        while len(taken) < wanted and misses < len(models):
            row = models[turn % len(models)]
            fenced = ("```" in row["response"]) is as_fenced
            size = len(row["response"]).bit_length()
            shapes = ((_language(row), fenced, near) for near in sorted(range(24), key=lambda n: abs(n - size)))
            bucket = next((found for shape in shapes if (found := buckets.get(shape))), None)
            turn, misses = turn + 1, 0 if bucket else misses + 1
            taken += [bucket.pop()] if bucket else []
    return taken


def is_good(row: Mapping[str, Any]) -> bool:
    """True when not one check of cleaning, with all its detectors, has anything against the row."""
    seen = clean.Row(
        row["instruction"], row["response"], row["language"], row["task"], python_of(row["response"]), None
    )
    if seen.python and not code_blocks(row["response"]) and not detectors.has_statement(seen.python.tree):
        return False  # a lone expression may be of any language
    return next(clean.findings(seen, CHECKS, _CHECKED), None) is None


def evidence(question: Question) -> str:
    """What shows the label, in one or two sentences that quote the compiler, parser or detector."""
    reason, _, seen = question.finding.partition(": ")
    seen = f"{seen} ..." if len(seen) == _CUT else seen
    name = NAMES.get(question.language, question.language)
    if question.kind == GOOD:
        judge = "Python's compiler accepts its code" if question.language == "python" else f"Its code parses as {name}"
        return f"{judge}, no remark stands in for code, and code and prose are kept apart."
    if reason == "does_not_compile":
        return "".join(_compiler_says(question, seen))
    if reason == "placeholder_code":
        return f"A block holds nothing but the remark `{seen}` where its code should be."
    if reason == "undefined_names":
        names = [f"`{name}`" for name in seen.split(", ")]
        said = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"Its code uses {said}, which nothing defines or imports."
    if reason == "no_asked_function":
        return f"The task says “{seen}”, and the answer defines none."
    if reason == "code_mixed_with_prose":
        return f"The sentence “{seen}” stands beside the code with nothing to part them."
    if reason == "no_code":
        return "There is no code in it that could be taken out."
    return f"It is only {seen} long{'' if reason == 'too_short' else ', and nothing in it is marked as code'}."


def _compiler_says(question: Question, seen: str) -> Iterator[str]:
    """Who says it of which block, and the line it is about."""
    blocks = list(claimed_code(question.response, question.language, question.task == "commit"))
    found = ((number, language, code, syntax.first_error(language, code))
             for number, (language, code) in enumerate(blocks, start=1))  # fmt: skip
    number, language, code, problem = next((f for f in found if f[3]), (0, question.language, "", None))
    where = f" of block {number} of {len(blocks)}" if len(blocks) > 1 and number else ""
    name = NAMES.get(language, language)
    yield (
        f"Python's compiler says{where}: {seen}." if language == "python" else f"{name}'s grammar says{where}: {seen}."
    )
    lines = code.split("\n")
    if problem and problem.judged and problem.line <= len(lines) and (line := lines[problem.line - 1].strip()):
        yield f" That line is `{line[:120]}`."


def written(question: Question, counterpart: Mapping[str, Any], seed: int) -> tuple[str, str, str]:
    """(instruction, response, letter) of a question; wording and order of the options by seed."""
    chance = random.Random(f"{TASK}:{seed}:{question.id}")
    kinds = chance.sample(KINDS, len(KINDS))
    letters = dict(zip(kinds, "ABCDE", strict=True))
    options = {kind: chance.choice(_OPTIONS[kind]) for kind in KINDS}
    instruction = chance.choice(_QUESTIONS).format(
        task=quoted(question.instruction, least=_TICKS), answer=quoted(question.response, least=_TICKS),
        options="\n".join(f"{letters[kind]}. {options[kind]}" for kind in kinds),
        other=counterpart["instruction"].strip(),
    )  # fmt: skip
    letter = letters[question.kind]
    answer = f"**{letter}.** {options[question.kind]} {evidence(question)}"
    return instruction, f"{answer}\n\n{chance.choice(_TURNS)}\n\n{_shown(counterpart)}", letter


def _shown(row: Mapping[str, Any]) -> str:
    """The response as it is, within a fence where it is bare code."""
    response = re.sub(r"\A\s*\n|\s+\Z", "", row["response"])
    return response if code_blocks(response) else quoted(response, row["language"])
