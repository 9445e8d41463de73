"""The six kinds of data of the AlchemistCoder paper: rows and tokens of each in a built mixture, beside the paper's.

reads   build/<mixture>/09_mixture/{kept,facts}; writes kinds.json and kinds.md there when the stage is finished

    python -m dataset_scripts.kinds build/alchemist

    open sets       01_sources     rows of sources as they are
    evolcode        05_evolve      instructions made harder, and answered
    customised      08_customise   rows behind an AlchemistPrompt, whatever they were before
    instruction_evolution, data_filtering, code_review    06_comprehend

The paper has about 200 M tokens (arXiv 2405.19265) and says neither by which tokenizer nor how many of which kind.
Ours are counted by `commit_tokens.code_pieces`, a rule that needs no download, over what is published of a row:
prompt, instruction and response, without the marks of a chat template. On real instruction rows that is 1 to 9 % more
than by SmolLM2's tokenizer (tests/perf/token_rule.py).
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from artefacts import command_line, read_json, write_bytes, write_json
from dataset_scripts.commit_tokens import CODE_PIECES
from dataset_scripts.evolve import SOURCE as EVOLCODE
from dataset_scripts.schema import COMPREHENSION_TASKS
from dataset_scripts.stage_files import manifest, shards

STAGE = "09_mixture"
PAPER_TOKENS = 200_000_000  # "about 200M tokens", AlchemistCoder, arXiv 2405.19265
OPEN_SETS, CUSTOMISED = "open sets", "customised"
STAGE_OF = {  # kind -> the stage that makes it, in the paper's order
    OPEN_SETS: "01_sources", EVOLCODE: "05_evolve", CUSTOMISED: "08_customise",
    **dict.fromkeys(COMPREHENSION_TASKS, "06_comprehend"),
}  # fmt: skip


def kind_of(source: str, task: str, has_prompt: bool) -> str:
    """One of the six kinds.

    >>> kind_of("evolcode", "generation", False), kind_of("evolcode", "generation", True)
    ('evolcode', 'customised')
    """
    if task in COMPREHENSION_TASKS:
        return task
    return CUSTOMISED if has_prompt else EVOLCODE if source == EVOLCODE else OPEN_SETS


def count(folder: Path) -> dict[str, Any]:
    """Rows and tokens of each kind in the finished stage in `folder`."""
    rows: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for kept, facts in zip(shards(folder), shards(folder, "facts"), strict=True):
        known = pq.read_table(facts, columns=["id", "tokens"])
        tokens_of = dict(zip(known["id"].to_pylist(), known["tokens"].to_pylist(), strict=True))
        for row in pq.read_table(kept, columns=["id", "source", "task", "alchemist_prompt"]).to_pylist():
            kind = kind_of(row["source"], row["task"], row["alchemist_prompt"] is not None)
            rows[kind] += 1
            tokens[kind] += tokens_of[row["id"]]
    return {
        "digest": manifest(folder)["digest"],
        "tokenizer": CODE_PIECES,
        "kinds": {
            kind: {"stage": made, "rows": rows[kind], "tokens": tokens[kind]} for kind, made in STAGE_OF.items()
        },
        "rows": rows.total(),
        "tokens": tokens.total(),
        "paper_tokens": PAPER_TOKENS,
    }


def beside_the_paper(found: dict[str, Any]) -> str:
    """One sentence: how much of the paper's mixture this is, and which kinds it lacks."""
    share, short = found["tokens"] / found["paper_tokens"], found["paper_tokens"] - found["tokens"]
    paper = f"AlchemistCoder's about {found['paper_tokens'] / 1e6:.0f} M"
    missing = [kind for kind, of in found["kinds"].items() if not of["rows"]]
    lacks = f"; no row is of the kind {', '.join(missing)}" if missing else ""
    by_how_much = f"{short:,} short" if short > 0 else "none short"
    return f"{found['tokens']:,} tokens by {found['tokenizer']}: {share:.2%} of {paper}, {by_how_much}{lacks}."


def table(found: dict[str, Any]) -> str:
    """For the screen."""
    lines = [f"{'kind':22} {'made by':13} {'rows':>9} {'tokens':>12} {'share':>7}"]
    for kind, of in found["kinds"].items():
        share = of["tokens"] / found["tokens"] if found["tokens"] else 0.0
        lines.append(f"{kind:22} {of['stage']:13} {of['rows']:>9,} {of['tokens']:>12,} {share:>7.1%}")
    return "\n".join([*lines, beside_the_paper(found)])


def markdown(found: dict[str, Any]) -> str:
    """For the dataset card."""
    lines = ["| kind | made by | rows | tokens |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {kind} | `{of['stage']}` | {of['rows']:,} | {of['tokens']:,} |" for kind, of in found["kinds"].items()
    ]
    return "\n".join([*lines, "", beside_the_paper(found), ""])


def write(folder: Path) -> dict[str, Any]:
    """Write kinds.json and kinds.md, unless those there are of this very result; returns the counts."""
    known = read_json(folder / "kinds.json")
    if known and known["digest"] == manifest(folder)["digest"]:
        return known
    found = count(folder)
    write_bytes(folder / "kinds.md", markdown(found).encode())
    write_json(folder / "kinds.json", found)  # last: this says that the other is there
    return found


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_scripts.kinds", description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="folder of a built mixture, e.g. build/demo")
    folder = parser.parse_args().build / STAGE
    manifest(folder)
    print(table(count(folder)))


if __name__ == "__main__":
    raise SystemExit(main())
