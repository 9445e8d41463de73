"""How many planted copies each signal finds, and how many real rows it flags, over its thresholds.

    REAL_DATA_DIR=... .venv/bin/python -m tests.perf.decontaminate_curve [ngram cosine tree agreeing] [--seed 0]
    ... cosine agreeing --model NAME --revision COMMIT     the curves that a model's thresholds are read off

References: HumanEval and MBPP, all splits (1,138 problems). Prints the curves of docs/decontamination.md; the last one
is of the demo's rule `alone` with an N-gram and a cosine that agree beside it. A copy counts as found when its own
problem is among the evidence; a real row counts as flagged whatever it resembles, true copies that the source holds
included.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence

from tqdm import tqdm

from dataset_scripts import embedding_choice, references
from dataset_scripts.contamination import Bounds, Evidence, Index, build_index, compare
from dataset_scripts.decontaminate import decisive
from evaluation import benchmarks
from tests.perf.decontaminate import config
from tests.perf.decontaminate_rows import WAYS, original_rows, planted

NAMES = ("humaneval", "mbpp")
CODE_SOURCES = ("code_alpaca", "evol_instruct_code", "gpteacher_codegen", "oasst_octopack", "alpaca")
TOKENS = (5, 8, 13)
SHARES = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
COSINES = (0.7, 0.8, 0.9, 0.95)
CODE_TOKENS = (15, 20, 30, 40)
AGREEING_SHARES = (0.5, 0.6, 0.7, 0.75)
AGREEING_COSINES = (0.7, 0.8, 0.9)
TABLES = ("ngram", "cosine", "tree", "agreeing")
DISTANCES = (0.2, 0.1, 0.05, 0.0)
TREE_NODES = (15, 25, 35)
BATCH = 500

Rows = dict[str, list[tuple[tuple[str, str], str | None]]]  # group -> ((instruction, response), the item that counts)
Found = dict[str, list[list[Evidence]]]  # group -> evidence of each row, of what counts


def planted_and_real(seed: int, originals: int) -> Rows:
    """The groups of rows that the curves are over."""
    rows: Rows = defaultdict(list)
    problems = [problem for name in NAMES for problem in benchmarks.load(name)]
    for alone in (False, True):
        for way in WAYS:
            for problem in problems:
                if (copy := planted(problem, way, alone, seed)) is not None:
                    rows[f"{way}{', solution alone' if alone else ''}"].append((copy, problem.task_id))
    pool = [pair for source in CODE_SOURCES for pair in original_rows()[source]]
    random.Random(seed).shuffle(pool)
    rows["real rows"] = [(pair, None) for pair in pool[:originals]]
    return rows


def measured(rows: Rows, bounds: Bounds, model: tuple[str, str] | None) -> tuple[Index, Found]:
    """Evidence of every row within the bounds, and the index that it refers to."""
    refs = references.load(NAMES, None, references.PARTS, "curve")
    index = build_index(refs, bounds, model, "curve")
    found: Found = {}
    for name, group in rows.items():
        found[name] = [[] for _ in group]
        for start in tqdm(range(0, len(group), BATCH), leave=False, disable=None, desc=name):
            part = group[start : start + BATCH]
            pairs = [pair for pair, _ in part]
            evidence, _ = compare(index, [i for i, _ in pairs], [r for _, r in pairs], ["python"] * len(part))
            for piece in evidence:
                own = part[piece.row][1]
                if own is None or own in {item for _, item in refs[piece.reference].names}:
                    found[name][start + piece.row].append(piece)
    return index, found


def row_of_table(label: str, found: Found, signal: str, size: int, threshold: float) -> str:
    """A line: how many rows of each group have evidence of the signal, of at least `size`, within the threshold."""

    def is_found(piece: Evidence) -> bool:
        within = piece.score <= threshold + 1e-9 if signal == "tree" else piece.score >= threshold - 1e-9
        return piece.signal == signal and piece.size >= size and within

    cells = [f"{100 * sum(any(map(is_found, row)) for row in rows) / len(rows):.1f}" for rows in found.values()]
    return f"| {label} | {' | '.join(cells)} |"


def agreeing_row(index: Index, found: Found, share: float, cosine: float) -> str:
    """A line: how many rows the demo's `alone` removes, and signals that agree at these thresholds."""
    alone = config().alone
    rules = {"alone": alone, "agreeing": alone.model_copy(update={"min_share": share, "min_cosine": cosine})}
    cells = [
        f"{100 * sum(bool(decisive(row, index, rules)) for row in rows) / len(rows):.1f}" for rows in found.values()
    ]
    return f"| {share}, {cosine} | {' | '.join(cells)} |"


def head(first: str, groups: Sequence[str]) -> str:
    return f"| {first} | {' | '.join(groups)} |\n| --- |{' --- |' * len(groups)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("tables", nargs="*", choices=TABLES, default=TABLES, metavar=" ".join(TABLES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--originals", type=int, default=4000, help="real rows, sampled")
    parser.add_argument("--model", help="of sentence-transformers, in place of TF-IDF: name or folder")
    parser.add_argument("--revision", help="of a model of the Hub: a commit, 40 hex digits")
    arguments = parser.parse_args()
    asked = embedding_choice.Model(model=arguments.model, revision=arguments.revision) if arguments.model else "tfidf"
    model, named = embedding_choice.chosen(asked, "curve")
    print(f"cosine: {named}\n")
    rows = planted_and_real(arguments.seed, arguments.originals)
    by_n = {}
    for n in TOKENS if "ngram" in arguments.tables else TOKENS[:1]:
        bounds = Bounds(n, min(SHARES), min(CODE_TOKENS), min(COSINES), min(COSINES), min(TREE_NODES), max(DISTANCES))
        by_n[n] = measured(rows, bounds, model)
    if "ngram" in arguments.tables:
        print(head("N, share", list(rows)))
        for n, (_, found) in by_n.items():
            for share in SHARES:
                print(row_of_table(f"{n}, {share}", found, "ngram", 0, share))
    index, found = by_n[TOKENS[0]]
    for signal, sizes, thresholds, first in (
        ("cosine", CODE_TOKENS, COSINES, "code tokens, cosine"),
        ("tree", TREE_NODES, DISTANCES, "nodes, distance"),
    ):
        if signal not in arguments.tables:
            continue
        print(f"\n{head(first, list(rows))}")
        for size in sizes:
            for threshold in thresholds:
                print(row_of_table(f"{size}, {threshold}", found, signal, size, threshold))
    if "agreeing" in arguments.tables:
        print(f"\n{head('share, cosine', list(rows))}")
        for share in AGREEING_SHARES:
            for cosine in AGREEING_COSINES:
                print(agreeing_row(index, found, share, cosine))


if __name__ == "__main__":
    main()
