"""Planted copies found, and real rows flagged, by the rule of recipes/mixtures/demo.yaml.

    REAL_DATA_DIR=... python -m tests.perf.decontaminate_copies chosen|held_out|diluted [--seed 0]
    ... --only "DS-1000: prompt"           groups whose name holds this
    ... --model NAME --revision COMMIT     by a model's cosine in place of TF-IDF's, before a mixture pins it

chosen    the copies that thresholds were read off, and all real rows, against HumanEval and MBPP
held_out  copies that nothing was chosen on (decontaminate_held_out.py), against all seven benchmarks

diluted   solutions alone, each in one block with other functions of real rows, against all seven benchmarks

A copy counts as found when a piece of evidence of its own item removes it; what else its row resembles does not count.
The last two columns part the copies by their size: code tokens of the solution, words of a prompt that is alone.
"""

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tqdm import tqdm

from dataset_scripts import code_tokens, decontaminate, syntax_trees
from dataset_scripts.code_sections import sections
from dataset_scripts.contamination import Evidence, compare
from evaluation import benchmarks
from evaluation.benchmarks import Problem
from tests.perf import decontaminate_held_out as other
from tests.perf.decontaminate import BATCH, NAMES, batches, config
from tests.perf.decontaminate_rows import WAYS, language_of, original_rows, planted

OTHERS = (0, 1, 3, 10, 30)  # functions around a diluted copy
SHORT_TOKENS = 20  # a copy below this is short
SIGNALS = ("ngram", "cosine", "tree")


class Row(NamedTuple):
    """A row to judge: its texts, and the item that it copies (None: whatever it resembles counts)."""

    instruction: str
    response: str
    language: str
    own: str | None = None
    size: int = 0


def judged(settings: decontaminate.Config, rows: Sequence[Row]) -> list[set[str]]:
    """Signals that remove each row."""
    refs = decontaminate.load(settings, "perf")
    index = decontaminate.indexed(settings, refs, "perf")
    found: list[set[str]] = [set() for _ in rows]
    for number, part in enumerate(tqdm(batches(rows), leave=False, disable=None)):
        evidence, _ = compare(index, *([row[column] for row in part] for column in range(3)))
        by_row: dict[int, list[Evidence]] = defaultdict(list)
        for piece in evidence:
            by_row[piece.row].append(piece)
        for row, pieces in by_row.items():
            own = part[row].own
            found[number * BATCH + row] = {
                pieces[place].signal
                for place in decontaminate.decisive(pieces, index, settings.rules)
                if own is None or own in {item for _, item in refs[pieces[place].reference].names}
            }
    return found


def line(name: str, rows: Sequence[Row], found: Sequence[set[str]]) -> str:
    """A row of the table."""

    def share(some: Sequence[set[str]]) -> str:
        return f"{100 * sum(map(bool, some)) / len(some):.2f} %" if some else "-"

    signals = Counter(signal for of in found for signal in of)
    cells = [f"{100 * signals[signal] / len(rows):.2f} %" for signal in SIGNALS]
    if rows[0].own is not None:
        for short in (True, False):
            part = [of for row, of in zip(rows, found, strict=True) if bool(row.size < SHORT_TOKENS) is short]
            cells.append(f"{share(part)} of {len(part):,}")
    else:
        cells += ["-", "-"]
    return f"| {name} | {len(rows):,} | {share(found)} | {' | '.join(cells)} |"


def chosen(seed: int) -> Iterator[tuple[str, list[Row]]]:
    """Groups of rows: planted copies by way, then the real rows by source."""
    problems = [p for name in NAMES for p in benchmarks.load(name)]
    sizes = _sizes(problems)
    for alone in (False, True):
        for way in WAYS:
            pairs = [(p, planted(p, way, alone, seed)) for p in problems]
            rows = [Row(*copy, "python", p.task_id, sizes[p.task_id]) for p, copy in pairs if copy is not None]
            yield f"{way}{', the solution alone' if alone else ''}", rows
    for source, real in original_rows().items():
        yield f"real rows of {source}", [Row(*pair, language_of(source)) for pair in real]


def held_out(seed: int) -> Iterator[tuple[str, list[Row]]]:
    """Groups of rows: copies by benchmark, what is copied and way."""
    carriers = other.carriers()
    for group, problems in other.problems().items():
        sizes = _sizes(problems)
        words = code_tokens.words([p.prompt for p in problems])
        of_prompt = {p.task_id: sum(words.text == n) for n, p in enumerate(problems)}
        for what in other.WHAT:
            for way in WAYS:
                pairs = [(p, other.held_out(p, way, what, carriers, seed)) for p in problems]
                size = of_prompt if what == "prompt alone" else sizes
                rows = [Row(*copy, p.language, p.task_id, size[p.task_id]) for p, copy in pairs if copy is not None]
                if rows:
                    yield f"{group}: {what}, {way}", rows


def diluted(seed: int) -> Iterator[tuple[str, list[Row]]]:
    """Groups of rows: Python solutions by way and by how many functions stand around each in its block."""
    problems = [p for name in NAMES for p in benchmarks.load(name)]
    sizes, others = _sizes(problems), functions()
    for way in WAYS:
        for count in OTHERS:
            pairs = [(p, planted(p, way, True, seed)) for p in problems]
            rows = []
            for problem, copy in ((p, copy) for p, copy in pairs if copy is not None):
                chance = random.Random(f"diluted/{seed}/{problem.task_id}/{way}/{count}")
                block = chance.sample(others, count)
                block.insert(chance.randint(0, count), copy[1].split("```python\n")[1].split("\n```")[0])
                code = "\n\n\n".join(part.strip("\n") for part in block)
                rows.append(Row(copy[0], f"```python\n{code}\n```", "python", problem.task_id, sizes[problem.task_id]))
            yield f"{way}, {count} other functions in the block", rows


def functions() -> list[str]:
    """Functions of real rows, at the margin of their block, each once."""
    found: dict[str, None] = {}
    for source in ("code_alpaca", "evol_instruct_code", "gpteacher_codegen"):
        for _, response in original_rows()[source]:
            for section in sections(response, "python"):
                for tree in syntax_trees.trees("python", section.code) or ():
                    code = "\n".join(section.code.split("\n")[tree.first_line - 1 : tree.last_line])
                    if code.startswith("def "):
                        found[code] = None
    return list(found)


def _sizes(problems: Sequence[Problem]) -> dict[str, int]:
    plain, _ = code_tokens.code([p.solution for p in problems])
    return {p.task_id: int((plain.text == number).sum()) for number, p in enumerate(problems)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("chosen", "held_out", "diluted"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="groups whose name holds this")
    parser.add_argument("--model", help="sentence-transformers model of the Hub")
    parser.add_argument("--revision", help="its commit, 40 hex digits")
    arguments = parser.parse_args()
    changes = {"benchmarks": list(benchmarks.NAMES)} if arguments.what != "chosen" else {}
    if arguments.model:
        changes["embedding"] = {"model": arguments.model, "revision": arguments.revision}
    settings = decontaminate.Config(**config().model_dump() | changes)
    print(f"| rows | number | found | by N-gram | by cosine | by tree | below {SHORT_TOKENS} tokens | the others |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, rows in {"chosen": chosen, "held_out": held_out, "diluted": diluted}[arguments.what](arguments.seed):
        if arguments.only in name:
            print(line(name, rows, judged(settings, rows)), flush=True)


if __name__ == "__main__":
    main()
