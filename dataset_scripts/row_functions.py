"""The functions of a row's code, so that what stands around one in its block does not hide it.

Pure: pieces of code in, functions with their syntax trees and an outcome for each row out. `contamination` compares.
"""

import itertools
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from dataset_scripts import syntax_trees
from dataset_scripts.code_sections import Section, parsable

MOST_CHARS_CUT = 100_000  # of code with errors that is cut into its definitions, each of which is parsed again

# Texts are numbered: text 2 * row is a row's instruction and text 2 * row + 1 its response; a piece is (text, section
# of it).
Pieces = Sequence[tuple[int, Section]]

# What came of a row's syntax trees; a row with several pieces of code has the last one in this order.
OUTCOMES = ("no_code", "other_language", "not_parsable", "too_small", "compared")


class Function(NamedTuple):
    """A function of a row, or code without any; what stands around it in its block is not to hide it.

    Attributes:
        at: see Pieces.
        section: its own stretch of the text.
        tree: None where it cannot be parsed.
    """

    at: int
    section: Section
    tree: syntax_trees.Tree | None


def functions_of(
    pieces: Pieces, rows: int, languages: Collection[str], min_tree_nodes: int
) -> tuple[list[Function], list[str]]:
    """The functions of the pieces of code of a batch of rows.

    Args:
        rows: of the batch.
        languages: those that references have syntax trees in; code in others is not parsed.
        min_tree_nodes: a row whose largest tree is smaller has the outcome `too_small`.

    Returns:
        The functions, and one of OUTCOMES for each row.
    """
    functions: list[Function] = []
    outcomes = ["no_code"] * rows
    for at, section in pieces:
        code, lines = parsable(section)
        if not code.strip():
            continue
        language = "python" if section.language == "unknown" else section.language
        found: list[Function] = []
        begins = _line_begins(section.code)
        for first, count, trees in _parsed(language, code) if language in languages else ():
            if trees is None:
                found.append(Function(at, _lines(section, begins, lines + first, lines + first + count - 1), None))
            for tree in trees or ():
                before = lines + first - 1
                stretch = _lines(section, begins, before + tree.first_line, before + tree.last_line)
                found.append(Function(at, stretch, tree))
        sizes = [len(function.tree) for function in found if function.tree is not None]
        outcome = (
            "other_language" if language not in languages
            else "not_parsable" if found and not sizes
            else "compared" if max(sizes, default=0) >= min_tree_nodes
            else "too_small"
        )  # fmt: skip
        outcomes[at // 2] = max(outcomes[at // 2], outcome, key=OUTCOMES.index)
        functions += found
    return functions, outcomes


def _parsed(language: str, code: str) -> list[tuple[int, int, list[syntax_trees.Tree] | None]]:
    """(first line, lines, trees) of the code: whole where it can be parsed, else cut before every definition at the
    margin, so that an error in one function does not hide the others."""
    whole = syntax_trees.trees(language, code)
    if whole is not None or len(code) > MOST_CHARS_CUT:
        return [(1, code.count("\n") + 1, whole)]
    cuts = [0, *(found.start() for found in _DEFINITION.finditer(code) if found.start()), len(code)]
    parts, line = [], 1
    for start, stop in itertools.pairwise(cuts):
        part = code[start:stop].rstrip()
        if part and len(cuts) > 2:
            parts.append((line, part.count("\n") + 1, syntax_trees.trees(language, part)))
        line += code.count("\n", start, stop)
    return parts or [(1, line, None)]


# the beginning of a definition that nothing encloses, in six languages
_DEFINITION = re.compile(
    r"^(?:(?:async |export |pub |public |private |static |const )*(?:def|class|function|func|fn|impl|struct)\b"
    r"|template\b|(?:public|private|static)\b|[A-Za-z_][\w:<>,&* ]*\([^;\n]*\)[ \t]*\{)",
    re.MULTILINE,
)


def inside_blocks(functions: Sequence[Function], pieces: Pieces) -> list[tuple[int, Section]]:
    """Functions that other code surrounds: what cosine has not compared yet."""
    compared = {(at, section.code.strip()) for at, section in pieces}
    return [(f.at, f.section) for f in functions if (f.at, f.section.code.strip()) not in compared]


def _line_begins(code: str) -> list[int]:
    """Where each line of the code begins, and its end."""
    begins = [0, *(found.end() for found in re.finditer("\n", code))]
    return begins if begins[-1] == len(code) else [*begins, len(code)]


def _lines(section: Section, begins: list[int], first: int, last: int) -> Section:
    """The lines `first` to `last` (from 1) of a section, as a section; `begins` as `_line_begins` has them."""
    start, stop = begins[first - 1], begins[min(last, len(begins) - 1)]
    return section._replace(start=section.start + start, code=section.code[start:stop])
