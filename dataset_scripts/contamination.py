"""The three signals together: an index of references, and what of it a batch of rows holds.

    signal  compares                                   score
    ngram   words of prompts and tests, code of         share of the reference's tokens in shared N-grams
            solutions
    cosine  embeddings of code                          cosine
    tree    syntax trees of functions                   tree edit distance / nodes of the larger tree

Pure: rows in, evidence out. `decontaminate` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from dataset_scripts import code_tokens, syntax_trees
from dataset_scripts.code_cosine import ModelIndex, TfidfIndex
from dataset_scripts.code_sections import Section, sections
from dataset_scripts.code_tokens import Tokens
from dataset_scripts.ngrams import NgramIndex
from dataset_scripts.references import Reference
from dataset_scripts.row_functions import Function, Pieces, functions_of, inside_blocks
from dataset_scripts.tree_distance import TreeIndex

Signal = Literal["ngram", "cosine", "tree"]
FIELDS = ("instruction", "response")
BLOCK_CHARS = 1_000_000  # of text that is tokenised at once: about 100 MB of arrays


class Span(NamedTuple):
    """A stretch of a row's text, in characters."""

    field: str
    start: int
    end: int


@dataclass(frozen=True)
class Evidence:
    """That a row resembles a reference.

    Attributes:
        row: which of the batch.
        signal: which signal says so.
        reference: index of the reference.
        score: share, cosine or distance.
        size: of the reference: tokens, blind tokens of its code, nodes of its tree.
        spans: where; for N-grams see `located`.
    """

    row: int
    signal: Signal
    reference: int
    score: float
    size: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Bounds:
    """What is worth reporting, and how the index is built.

    Attributes:
        ngram_tokens: N.
        share: least share of a reference.
        min_code_tokens: shorter code has no embedding worth comparing.
        cosine: least cosine of a whole piece of code.
        inside_cosine: least cosine of a function that other code of its piece surrounds.
        min_tree_nodes: smaller trees are alike by chance.
        tree_distance: largest normalised distance.
    """

    ngram_tokens: int
    share: float
    min_code_tokens: int
    cosine: float
    inside_cosine: float
    min_tree_nodes: int
    tree_distance: float


@dataclass
class Index:
    """References made ready for the three signals; the same for every worker."""

    references: list[Reference]
    bounds: Bounds
    words: NgramIndex
    code: NgramIndex
    cosine: TfidfIndex | ModelIndex
    cosine_inside: TfidfIndex | ModelIndex  # of each solution's function alone, without the imports around it
    trees: dict[str, TreeIndex]
    words_at: np.ndarray  # int64, index into references of each of the words' references
    code_at: np.ndarray
    blind_sizes: np.ndarray  # int64, blind tokens of each solution
    notes: dict = field(default_factory=dict)


def build_index(references: Sequence[Reference], bounds: Bounds, model: tuple[str, str] | None, where: str) -> Index:
    """Make the references ready; `model` is (name, revision), None for TF-IDF."""
    references = list(references)
    is_code = np.array([r.is_code for r in references], bool)
    words_at, code_at = np.flatnonzero(~is_code), np.flatnonzero(is_code)
    solutions = [references[i] for i in code_at]
    signed_words = code_tokens.words([references[i].signature for i in words_at])
    signed_code, _ = code_tokens.code([r.signature for r in solutions])
    plain, _ = code_tokens.code([r.text for r in solutions])
    words = NgramIndex(
        _split(code_tokens.words([references[i].text for i in words_at]), len(words_at)),
        bounds.ngram_tokens, _split(signed_words, len(words_at)),
    )  # fmt: skip
    code = NgramIndex(_split(plain, len(solutions)), bounds.ngram_tokens, _split(signed_code, len(solutions)))
    programs = [r.program for r in solutions]
    _, blind = code_tokens.code(programs)
    sizes = np.bincount(blind.text, minlength=len(programs))

    def embedded(codes: Sequence[str], blind: Tokens) -> TfidfIndex | ModelIndex:
        if model is None:
            return TfidfIndex(codes, blind, bounds.min_code_tokens)
        return ModelIndex(*model, codes, blind, bounds.min_code_tokens, where)

    cosine = embedded(programs, blind)
    functions = [_only_function(r) for r in solutions]
    cosine_inside = embedded(functions, code_tokens.code(functions)[1])
    trees, no_tree = _tree_indices(solutions, bounds)
    index = Index(references, bounds, words, code, cosine, cosine_inside, trees, words_at, code_at, sizes)

    def named(words: Sequence[int], code: Sequence[int]) -> list[str]:
        return [references[i].name for i in (*words_at[list(words)], *code_at[list(code)])]

    index.notes = {
        "references": len(references),
        "ngrams": words.size + code.size,
        "embedding": cosine.name,
        "looked_for_as_a_whole": named(words.whole, code.whole),
        "parts_too_short_to_look_for": named(words.too_short, code.too_short),
        "too_short_for_cosine": named([], cosine.too_small),
        "too_small_for_trees": named([], no_tree),
    }
    return index


def _split(tokens: Tokens, texts: int) -> list[np.ndarray]:
    """Hashes of each text apart."""
    return np.split(tokens.hashes, np.searchsorted(tokens.text, np.arange(1, texts))) if texts else []


def _only_function(reference: Reference) -> str:
    """The function of a solution that defines one; else the whole program."""
    found = syntax_trees.trees(reference.language, reference.program) or []
    tree = syntax_trees.named(found, reference.program, reference.entry_point)
    if tree is None or any(not tree.first_line <= t.first_line <= t.last_line <= tree.last_line for t in found):
        return reference.program
    function = "\n".join(reference.program.split("\n")[tree.first_line - 1 : tree.last_line])
    return reference.program if function.strip() == reference.program.strip() else function


def _tree_indices(solutions: Sequence[Reference], bounds: Bounds) -> tuple[dict[str, TreeIndex], list[int]]:
    by_language: dict[str, list] = {}
    left_out = []
    for number, reference in enumerate(solutions):
        found = syntax_trees.trees(reference.language, reference.program) or []
        tree = syntax_trees.named(found, reference.program, reference.entry_point)
        if tree is None or len(tree) < bounds.min_tree_nodes:
            left_out.append(number)
        else:
            by_language.setdefault(reference.language, []).append((number, tree))
    return {name: TreeIndex(pairs, bounds.tree_distance) for name, pairs in by_language.items()}, left_out


def compare(
    index: Index, instructions: Sequence[str], responses: Sequence[str], languages: Sequence[str]
) -> tuple[list[Evidence], list[str]]:
    """Everything that the rows share with the references, sorted by row, and what came of their syntax trees.

    Args:
        languages: of the rows, for code that does not say.

    Returns:
        The evidence within the bounds, and one of `row_functions.OUTCOMES` for each row.
    """
    evidence: list[Evidence] = []
    outcomes: list[str] = []
    for first, last in _blocks([len(i) + len(r) for i, r in zip(instructions, responses, strict=True)]):
        texts = [t for pair in zip(instructions[first:last], responses[first:last], strict=True) for t in pair]
        pieces = [(at, s) for at, text in enumerate(texts) for s in sections(text, languages[first + at // 2])]
        functions, came_of_it = functions_of(pieces, last - first, index.trees, index.bounds.min_tree_nodes)
        inside = inside_blocks(functions, pieces)
        plain, blind = code_tokens.code([section.code for _, section in pieces])
        by_cosine = _by_cosine(index, pieces, blind, inside)
        found = [*_by_ngrams(index, texts, pieces, plain), *by_cosine, *_by_trees(index, functions)]
        found = sorted(found, key=lambda e: (e.row, e.signal, e.reference))
        evidence += [replace(e, row=first + e.row) for e in found]
        outcomes += came_of_it
    return evidence, outcomes


def _blocks(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of rows of at most BLOCK_CHARS characters together; a longer row is alone."""
    blocks, first, total = [], 0, 0
    for number, size in enumerate(sizes):
        if number > first and total + size > BLOCK_CHARS:
            blocks.append((first, number))
            first, total = number, 0
        total += size
    return [*blocks, (first, len(sizes))] if sizes else []


def _by_ngrams(index: Index, texts: Sequence[str], pieces: Pieces, plain: Tokens) -> list[Evidence]:
    row_of_text = np.arange(len(texts)) // 2
    words = index.words.overlaps(code_tokens.words(texts), row_of_text, index.bounds.share)
    row_of_piece = np.array([at // 2 for at, _ in pieces], np.int64)
    code = index.code.overlaps(plain, row_of_piece, index.bounds.share)
    return [
        Evidence(row, "ngram", int(reference_at[reference]), share, int(ngrams.lengths[reference]), ())
        for ngrams, reference_at, overlaps in ((index.words, index.words_at, words), (index.code, index.code_at, code))
        for row, reference, share in zip(*(column.tolist() for column in overlaps), strict=True)
    ]


def located(index: Index, evidence: Evidence, instruction: str, response: str, language: str) -> Evidence:
    """The evidence with its spans; those of N-grams are worked out for the rows alone that are worth it."""
    if evidence.signal != "ngram":
        return evidence
    texts = (instruction, response)
    if index.references[evidence.reference].is_code:
        pieces = [(at, section) for at in (0, 1) for section in sections(texts[at], language)]
        tokens, _ = code_tokens.code([section.code for _, section in pieces])
        places = [(at, section.start) for at, section in pieces]
        found = index.code.spans(tokens, int(np.searchsorted(index.code_at, evidence.reference)))
    else:
        places = [(0, 0), (1, 0)]
        found = index.words.spans(code_tokens.words(texts), int(np.searchsorted(index.words_at, evidence.reference)))
    spans = (Span(FIELDS[places[t][0]], places[t][1] + start, places[t][1] + end) for t, start, end in found)
    return replace(evidence, spans=tuple(spans))


def _by_cosine(index: Index, pieces: Pieces, blind: Tokens, inside: Pieces) -> list[Evidence]:
    _, blind_inside = code_tokens.code([section.code for _, section in inside])
    best: dict[tuple[int, int], tuple[float, Span]] = {}
    for embeddings, some, tokens, at_least in (
        (index.cosine, pieces, blind, index.bounds.cosine),
        (index.cosine_inside, inside, blind_inside, index.bounds.inside_cosine),
    ):
        similar = embeddings.similar([section.code for _, section in some], tokens, at_least - 1e-9)
        for piece, reference, cosine in zip(*(column.tolist() for column in similar), strict=True):
            pair = (some[piece][0] // 2, reference)
            if pair not in best or cosine > best[pair][0]:
                best[pair] = (cosine, _whole(*some[piece]))
    return [
        Evidence(
            row,
            "cosine",
            int(index.code_at[reference]),
            cosine,
            int(index.blind_sizes[reference]),
            (span,),
        )  # fmt: skip
        for (row, reference), (cosine, span) in best.items()
    ]


def _whole(at: int, section: Section) -> Span:
    return Span(FIELDS[at % 2], section.start, section.start + len(section.code))


def _by_trees(index: Index, functions: Sequence[Function]) -> list[Evidence]:
    best: dict[tuple[int, int], tuple[float, int, Span]] = {}
    for at, section, tree in functions:
        if tree is None or len(tree) < index.bounds.min_tree_nodes:
            continue
        language = "python" if section.language == "unknown" else section.language
        for near in index.trees[language].near(tree):
            pair = (at // 2, near.reference)
            if pair not in best or near.distance < best[pair][0]:
                best[pair] = (near.distance, near.size, _whole(at, section))
    return [
        Evidence(row, "tree", int(index.code_at[reference]), distance, size, (span,))
        for (row, reference), (distance, size, span) in best.items()
    ]
