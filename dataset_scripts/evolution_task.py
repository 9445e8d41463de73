"""Comprehension task: instruction evolution - what changed between two versions of a task, or write the harder one.

reads   pairs (parent, evolved) that 05_evolve kept, with the operation that made them; writes nothing

The pairs of the construction itself are taught from (AlchemistCoder, arXiv 2405.19265, section 2.3). By seed, a pair
becomes one of two forms:

    produce   the operation and the parent are given; the response is the evolved instruction, word for word
    compare   both are given; the response names the operation and quotes what is new, span by span, as a diff of the
              words finds it: every quoted span stands in the evolved instruction and not at its place in the parent

A pair of which most was rewritten has no short list of changes; it is always `produce`.
"""

import difflib
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from dataset_scripts.earlier_rows import texts_of
from dataset_scripts.licences import combined
from dataset_scripts.sample import order
from dataset_scripts.stage_files import manifest, shards

TASK = "instruction_evolution"
MAX_CHARS = 8_000  # of an instruction that a new row quotes
MAX_WORDS = 400  # of a version that is compared; longer ones are produced only
MAX_SPANS = 4
MIN_SHARED = 0.5  # of the parent's words that the evolved instruction must still have, to be compared
_JOINED_WORDS = 2  # so few unchanged words between two changes do not part them

DESCRIBED = {  # operation -> what it does, after "by"
    "constraint": "adding a condition that a solution must meet",
    "rarer": "putting a less common, more specific requirement in the place of an everyday one",
    "reasoning": "asking for further steps of thought between the problem and its solution",
    "misdirection": "showing code as what was tried, which looks reasonable and contains a mistake",
    "complexity": "demanding tighter bounds on running time or memory than a plain solution has",
}
_PRODUCE = (
    "Make this programming task harder by {how}. Leave the rest of it as it is, and write out the whole new "
    "task.\n\n{parent}",
    "Below is a programming task. Rewrite it as a more demanding one by {how}. Give only the new task.\n\n"
    "Task:\n{parent}",
    "{parent}\n\n---\nThe task above is to become a little harder, by {how}. What is the new wording?",
)
_COMPARE = (
    "Here are two versions of a programming task. How was the second made harder than the first?\n\n"
    "First version:\n{parent}\n\nSecond version:\n{evolved}",
    "Compare the original task with its evolved form, and say what changed.\n\nOriginal:\n{parent}\n\n"
    "Evolved:\n{evolved}",
    "Task 1:\n{parent}\n\nTask 2:\n{evolved}\n\nTask 2 was made out of task 1. By what kind of change, and where?",
)
_FOUND = ("It was made harder by {how}.", "The task became harder by {how}.", "The change makes it harder by {how}.")


@dataclass(frozen=True)
class Pair:
    """A parent and what an operation made of it; `evolved_id` is the row that the new one stands behind."""

    parent_id: str
    parent: str
    evolved_id: str
    operation: str
    licence: str
    generator: str  # who wrote the evolved instruction


def pairs(evolved: Path, max_rows: int, seed: int, name: str) -> tuple[dict[str, Pair], dict[str, Any]]:
    """Id of the evolved row -> its pair, for a nested seeded sample; and what the manifest should say of them.

    Args:
        evolved: folder of 05_evolve; its facts name the operations, its manifest the model that rewrote.
    """
    operations = _operations(evolved)
    files = shards(evolved)
    parents: dict[str, tuple[str, str]] = {}  # evolved id -> (parent's id, licence)
    licences: dict[str, str] = {}
    for path in tqdm(files, desc=f"{name}: pairs", unit=" shards", leave=False, disable=None, delay=2):
        table = pq.read_table(path, columns=["id", "parents", "license", "instruction"])
        chars = pc.utf8_length(table["instruction"]).to_pylist()
        for row_id, above, licence, size in zip(
            *(table[column].to_pylist() for column in ("id", "parents", "license")), chars, strict=True
        ):
            if size <= MAX_CHARS:
                licences[row_id] = licence
            if row_id in operations:
                parents[row_id] = (above[0], licence)
    left_out: Counter[str] = Counter()
    able = {}
    for row_id, (parent, licence) in parents.items():
        if not {row_id, parent} <= licences.keys():  # a rejected parent's code failed in the sandbox
            left_out["parent_rejected_or_text_too_long"] += 1
        elif (both := combined((licence, licences[parent]))) is None:
            left_out["licence"] += 1
        else:
            able[row_id] = (parent, both)
    chosen = sorted(able, key=lambda row_id: order(row_id, seed))[:max_rows]
    texts = texts_of(evolved, "kept", {able[row_id][0] for row_id in chosen})
    model = manifest(evolved)["notes"]["teacher"]["roles"]["evolve"]["model"] if chosen else ""
    found = {
        row_id: Pair(
            able[row_id][0], texts[able[row_id][0]]["instruction"], row_id, operations[row_id], able[row_id][1], model,
        ) for row_id in chosen
    }  # fmt: skip
    by_operation = Counter(pair.operation for pair in found.values())
    notes = {"rows": len(found), "pairs": len(able), "rows_by_label": dict(sorted(by_operation.items())),
             "left_out": dict(sorted(left_out.items()))}  # fmt: skip
    return found, notes


def _operations(evolved: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in shards(evolved, "facts"):
        facts = pq.read_table(path, columns=["id", "operation"])
        some = facts.filter(pc.is_valid(facts["operation"]))
        found |= dict(zip(some["id"].to_pylist(), some["operation"].to_pylist(), strict=True))
    return found


def changes(parent: str, evolved: str) -> tuple[list[str], list[str]] | None:
    """(spans that are new, spans that are gone); None where they are too many, or the texts too long or too different.

    >>> changes("Sort a list of numbers.", "Sort a list of numbers without a library call.")
    (['without a library call.'], [])
    >>> changes("Sort a list.", "Merge two queues of jobs by their priority and print them.") is None
    True
    """
    before, after = (list(re.finditer(r"\S+", text)) for text in (parent, evolved))
    if not before or max(len(before), len(after)) > MAX_WORDS:
        return None
    # a full stop that gave way to a comma is no change of the word before it
    said = [[word.group().rstrip(".,;:?!") for word in words] for words in (before, after)]
    matcher = difflib.SequenceMatcher(None, *said, autojunk=False)
    blocks = [b for b in matcher.get_matching_blocks() if b.size > _JOINED_WORDS or _at_an_end(b, said)]
    if sum(b.size for b in blocks) < MIN_SHARED * len(before):
        return None
    new, gone, at, to = [], [], 0, 0
    for block in (*blocks, difflib.Match(len(before), len(after), 0)):
        gone.append(_span(parent, before, at, block.a))
        new.append(_span(evolved, after, to, block.b))
        at, to = block.a + block.size, block.b + block.size
    new, gone = ([span for span in spans if span] for spans in (new, gone))
    return (new, gone) if new and len(new) <= MAX_SPANS and len(gone) <= MAX_SPANS else None


def _at_an_end(block: difflib.Match, said: list[list[str]]) -> bool:
    ends = block.a + block.size == len(said[0]) and block.b + block.size == len(said[1])
    return block.size > 0 and (ends or block.a == block.b == 0)


def _span(text: str, words: list[re.Match], start: int, end: int) -> str:
    return text[words[start].start() : words[end - 1].end()] if start < end else ""


def written(pair: Pair, evolved: str, seed: int) -> tuple[str, str, str]:
    """(instruction, response, form) of a pair; the form and the wording by seed."""
    chance = random.Random(f"{TASK}:{seed}:{pair.evolved_id}")
    how = DESCRIBED[pair.operation]
    found = changes(pair.parent, evolved) if chance.random() < 0.5 else None
    if found is None:
        return chance.choice(_PRODUCE).format(how=how, parent=pair.parent), evolved, "produce"
    new, gone = found
    lines = [chance.choice(_FOUND).format(how=how), "", "New:", *map(_quoted, new)]
    if gone:
        lines += ["", "In their place was:" if len(new) > 1 else "In its place was:", *map(_quoted, gone)]
    instruction = chance.choice(_COMPARE).format(parent=pair.parent, evolved=evolved)
    return instruction, "\n".join(lines), "compare"


def _quoted(span: str) -> str:
    return "- " + "\n".join(f"  {line}".rstrip() for line in span.splitlines()).lstrip()
