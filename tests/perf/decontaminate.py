"""Speed and recall of decontamination beside named peers, on the same rows in one run, per core.

    REAL_DATA_DIR=... python -m tests.perf.decontaminate ngram|tree|brute|scale [--rows N]

ngram   look-up and whole way against open-r1's 8-gram script and datatrove's filter (needs requirements-extras.txt),
        20,000 rows, references of HumanEval and MBPP; every repeat runs all of them in turn, medians of ratios
tree    all references within t = 0.2 of 20,000 rows; x-ted on every pair is timed on a sample
brute   the same set as brute force on 2,500 rows
scale   three signals and the rule, 20,000 to 200,000 rows of about 400 characters; the index of all benchmarks

CPU seconds of this process (`time.process_time`), so other load does not count; one thread.
"""

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import numpy as np  # noqa: E402 - after the thread limits
import yaml  # noqa: E402
from tqdm import tqdm  # noqa: E402

from artefacts import ROOT  # noqa: E402
from dataset_scripts import code_tokens, decontaminate, references, syntax_trees  # noqa: E402
from dataset_scripts.code_sections import parsable, sections  # noqa: E402
from dataset_scripts.ngrams import NgramIndex  # noqa: E402
from dataset_scripts.tree_distance import TreeIndex, edit_distance  # noqa: E402
from evaluation import benchmarks  # noqa: E402
from tests.perf.decontaminate_rows import original_rows  # noqa: E402

NAMES = ("humaneval", "mbpp")  # 164 + 974 problems
BATCH = 500
PEER_NGRAM = 8  # of open-r1's script


def config() -> decontaminate.Config:
    """The rule of the demo."""
    values = yaml.safe_load((ROOT / "recipes/mixtures/demo.yaml").read_text())["04_decontaminate"]
    return decontaminate.Config(**values | {"benchmarks": list(NAMES)})


def first_versions(parts: Sequence[references.Part]) -> list[references.Reference]:
    """The 1,138 problems that peers are compared on: not the sanitised texts of MBPP, which a build reads too."""
    found: dict = {}
    for name in NAMES:
        for problem in benchmarks.load(name):
            for part in parts:
                references.add(found, name, problem, part)
    return list(found.values())


def rows_of_code(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """`count` rows out of the real ones, each repeat with other numbers in it, so that none equals another."""
    found = original_rows()
    pool = [pair for source in ("code_alpaca", "evol_instruct_code", "gpteacher_codegen") for pair in found[source]]
    pool = [pair for pair in pool if len(pair[0]) + len(pair[1]) < 1000]
    chance = random.Random(seed)
    chance.shuffle(pool)
    return [(i, r) if n < len(pool) else (f"{i} ({n})", f"{r}\n# {n}") for n, (i, r) in
            ((n, pool[n % len(pool)]) for n in range(count))]  # fmt: skip


def cpu_s(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def batches(items: Sequence) -> list[Sequence]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def ngram(count: int) -> None:
    texts = [f"{i}\n{r}" for i, r in rows_of_code(count)]
    refs = first_versions(references.PARTS)
    words_of = [r.text for r in refs if r.part != "solution"]
    code_of = [r.text for r in refs if r.part == "solution"]

    def index(found: list[str], tokens: code_tokens.Tokens) -> NgramIndex:
        parts = np.split(tokens.hashes, np.searchsorted(tokens.text, np.arange(1, len(found))))
        return NgramIndex(parts, config().ngram_tokens, [np.zeros(0, np.uint64)] * len(found))

    words, code = index(words_of, code_tokens.words(words_of)), index(code_of, code_tokens.code(code_of)[0])
    grams = {gram for text in words_of + code_of for gram in peer_grams(peer_normalised(text))}

    def ours() -> None:
        for part in batches(texts):
            row_of_text = np.arange(len(part))
            words.overlaps(code_tokens.words(part), row_of_text)
            code.overlaps(code_tokens.code(part)[0], row_of_text)

    def open_r1() -> None:
        for text in texts:
            any({gram in grams for gram in set(peer_grams(peer_normalised(text)))})

    prepared = [(code_tokens.words(part), code_tokens.code(part)[0], np.arange(len(part))) for part in batches(texts)]
    ready = [peer_normalised(text) for text in texts]

    def ours_lookup() -> None:
        for of_words, of_code, row_of_text in prepared:
            words.overlaps(of_words, row_of_text)
            code.overlaps(of_code, row_of_text)

    def open_r1_lookup() -> None:
        for text in ready:
            any({gram in grams for gram in set(peer_grams(text))})

    sample = texts[: max(count // 20, 200)]
    work = {"ours": ours, "ours, look-up": ours_lookup, "open-r1": open_r1, "open-r1, look-up": open_r1_lookup}
    sizes = dict.fromkeys(work, count)
    if datatrove := peer_datatrove(words_of + code_of):
        work["datatrove"] = lambda: [datatrove(text) for text in sample]
        sizes["datatrove"] = len(sample)
    else:
        print("datatrove: not installed here (pip install -r requirements-extras.txt), left out")
    rates: dict[str, list[float]] = {name: [] for name in work}
    for _ in tqdm(range(5), leave=False, disable=None):
        for name, run in work.items():
            rates[name].append(sizes[name] / cpu_s(run))
    print(f"{count:,} rows of {statistics.mean(map(len, texts)):.0f} characters, {len(refs):,} parts of benchmarks\n")
    print("| what | rows/cpu-s | against open-r1 | against datatrove |\n| --- | --- | --- | --- |")
    for name, found in rates.items():
        versus = [
            f"{statistics.median(a / b for a, b in zip(found, rates[peer], strict=True)):.2f}x"
            if peer in rates
            else "-"
            for peer in ("open-r1", "datatrove")
        ]
        print(f"| {name} | {statistics.median(found):,.0f} | {' | '.join(versus)} |")


def peer_normalised(text: str) -> list[str]:
    """What open-r1's script does first: lower case, white space folded, split at blanks.

    huggingface/open-r1, scripts/decontaminate.py at 0c68e8c: one look-up for each benchmark there, one for all here.
    """
    return " ".join(text.lower().split()).split()


def peer_grams(words: list[str]) -> list[str]:
    return [" ".join(words[at : at + PEER_NGRAM]) for at in range(len(words) - PEER_NGRAM + 1)]


def peer_datatrove(texts: Sequence[str]) -> Callable[[str], object] | None:
    """datatrove's N-gram filter with its own settings and tokenizer, over an index of `texts`; None without it."""
    try:
        import spacy  # noqa: F401 - datatrove's English tokenizer
        from datatrove.data import Document
        from datatrove.pipeline.decont.n_grams import NGramsDecontFilter
        from datatrove.utils.text import ngrams, simplify_text
    except ImportError:
        return None
    step = NGramsDecontFilter(tempfile.gettempdir())
    size, normal = step.config.n_grams, step.config.norm_config
    words = (step.tokenizer.word_tokenize(simplify_text(text, normal)) for text in texts)
    grams = (gram for found in words for gram in ngrams(found, size))
    step._index_hashes = {step.hash_func(" ".join(gram)): "benchmarks" for gram in grams}
    return lambda text: step.filter(Document(text=text, id="0"))


def tree(count: int) -> None:
    threshold, least = 0.2, 15
    refs = first_versions(["solution"])
    pairs = []
    for number, reference in enumerate(refs):
        found = syntax_trees.trees("python", reference.program) or []
        if (best := syntax_trees.named(found, reference.program, reference.entry_point)) is not None:
            pairs.append((number, best))
    codes = []
    for _, response in rows_of_code(100_000):
        for section in sections(response, "python"):
            code, _ = parsable(section)
            if "def " in code and len(codes) < count:
                codes.append(code)
    index = TreeIndex(pairs, threshold)
    parsed: list[list[syntax_trees.Tree]] = []

    def parse(some: Sequence[str]) -> list[list[syntax_trees.Tree]]:
        return [[t for t in syntax_trees.trees("python", code) or [] if len(t) >= least] for code in some]

    parse_s = cpu_s(lambda: parsed.extend(parse(codes)))
    trees = [t for found in parsed for t in found]
    search_s = cpu_s(lambda: [index.near(t) for t in tqdm(trees, leave=False, disable=None)])
    sample = random.Random(0).sample(trees, 60)
    naive_s = cpu_s(lambda: [edit_distance(t, r) for t in sample for _, r in pairs]) / len(sample) * len(trees)
    print(f"{len(codes):,} rows, {len(trees):,} functions, {len(pairs):,} references, t = {threshold}\n")
    print("| what | cpu-s | rows/cpu-s |\n| --- | --- | --- |")
    for name, seconds in (("parse", parse_s), ("search", search_s), ("both", parse_s + search_s)):
        print(f"| {name} | {seconds:.2f} | {len(codes) / seconds:,.0f} |")
    print(f"| x-ted on every pair (timed on {len(sample)} functions) | {naive_s:,.0f} | {len(codes) / naive_s:.1f} |")
    print(
        f"\nsearch {naive_s / search_s:,.0f}x, parsing included {(naive_s + parse_s) / (parse_s + search_s):,.0f}x; "
    )
    print(f"{index.exact_computed:,} of {len(trees) * len(pairs):,} pairs computed exactly")


def same_as_brute_force(count: int) -> None:
    """Every pair of `count` rows, by brute force and by search; takes about a tenth of a cpu-s a row."""
    refs = first_versions(["solution"])
    found = [(n, syntax_trees.trees("python", r.program) or []) for n, r in enumerate(refs)]
    pairs = [(n, syntax_trees.named(t, refs[n].program, refs[n].entry_point)) for n, t in found if t]
    index, rows = TreeIndex(pairs, 0.2), 0
    differ, near = 0, 0
    for _, response in tqdm(rows_of_code(20_000), leave=False, disable=None):
        some = [t for s in sections(response, "python") for t in syntax_trees.trees("python", s.code) or []]
        if not some or rows == count:
            continue
        rows += 1
        for t in some:
            brute = {
                (n, d / max(len(t), len(r)))
                for n, r in pairs
                if abs(len(t) - len(r)) <= 0.2 * max(len(t), len(r)) + 1e-9  # beyond, insertions alone are too many
                and (d := edit_distance(t, r)) <= 0.2 * max(len(t), len(r)) + 1e-9
            }
            found = {(hit.reference, hit.distance) for hit in index.near(t)}
            differ += brute != found
            near += len(brute)
    print(f"{rows:,} rows against {len(pairs):,} references: {near:,} pairs near, {differ} functions with another set")


def scale(count: int) -> None:
    settings = config()
    refs = decontaminate.load(settings, "perf")
    every = settings.model_copy(update={"benchmarks": list(benchmarks.NAMES)})
    found = decontaminate.load(every, "perf")
    seconds = cpu_s(lambda: decontaminate.indexed(every, found, "perf"))
    print(f"index of all {len(benchmarks.NAMES)} benchmarks ({len(found):,} parts): {seconds:.2f} cpu-s\n")
    index = decontaminate.indexed(settings, refs, "perf")
    pool = [pair for pair in rows_of_code(count) if len(pair[0]) + len(pair[1]) < 1000]
    print("| rows | characters a row | cpu-s | rows/cpu-s |\n| --- | --- | --- | --- |")
    for size in sorted({count // 10, count // 3, count}):
        part = pool[:size]
        columns = [
            {
                "instruction": [i for i, _ in some],
                "response": [r for _, r in some],
                "language": ["python"] * len(some),
            }
            for some in batches(part)
        ]
        seconds = cpu_s(
            lambda columns=columns: [
                decontaminate.batch(c, index=index, config=settings) for c in tqdm(columns, leave=False, disable=None)
            ]
        )
        size_chars = statistics.mean(len(i) + len(r) for i, r in part)
        print(f"| {len(part):,} | {size_chars:.0f} | {seconds:.1f} | {len(part) / seconds:,.0f} |", flush=True)


WORK = {
    "ngram": (ngram, 20_000),
    "tree": (tree, 20_000),
    "brute": (same_as_brute_force, 2_500),
    "scale": (scale, 200_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=WORK)
    parser.add_argument("--rows", type=int, help="another number of rows than the documented one")
    arguments = parser.parse_args()
    work, rows = WORK[arguments.what]
    work(arguments.rows or rows)


if __name__ == "__main__":
    main()
