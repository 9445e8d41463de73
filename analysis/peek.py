"""Look at a built mixture: five rows before and after harmonising, rejected rows with reasons, the funnel.

reads build/<mixture>/; writes nothing. Needs no torch and no network.
"""

import argparse
import random
from pathlib import Path

import pyarrow.parquet as pq

from analysis import funnel
from artefacts import Refusal, command_line
from dataset_scripts.schema import published_instruction

ROWS = 5
CHARS = 500


def rows_of(folder: Path, kind: str) -> list[dict]:
    """Rows of a stage's kept or rejected shards, in order."""
    return [row for path in sorted((folder / kind).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def excerpt(text: str | None, chars: int = CHARS) -> str:
    """The text indented, cut for the eye (not in the data) where it is long."""
    if text is None:
        return "    (text withheld: rejected for contamination)"
    shown = text if len(text) <= chars else f"{text[:chars]} [... {len(text) - chars} more characters]"
    return "\n".join(f"    {line}" for line in shown.splitlines())


def harmonised(build: Path, rows: int, seed: int) -> str:
    """Rows that carry their AlchemistPrompt in the mixture, before and after."""
    carrying = [row for row in rows_of(build / "09_mixture", "kept") if row["alchemist_prompt"]]
    blocks = []
    for row in random.Random(seed).sample(carrying, min(rows, len(carrying))):
        after = published_instruction(row["instruction"], row["alchemist_prompt"])
        parts = {"before": row["instruction"], "after": after, "response": row["response"]}
        head = f"row {row['id']} of {row['source']} ({row['language']}, {row['license']}, by {row['generator']})"
        blocks.append("\n".join([head, *(f"  {name}\n{excerpt(text)}" for name, text in parts.items())]))
    return "\n\n".join(blocks) or "no row of this mixture carries an AlchemistPrompt"


def rejections(build: Path, rows: int) -> str:
    """Up to `rows` rejected rows of every reason."""
    shown: dict[str, list[str]] = {}
    for stage in sorted(path.parent for path in build.glob("[0-9][0-9]_*/ledger.json")):
        for row in rows_of(stage, "rejected"):
            same = shown.setdefault(f"{stage.name}: {row['reason']}", [])
            if len(same) < rows:
                same.append(f"  row {row['id']} of {row['source']}\n{excerpt(row['response'], 200)}")
    return "\n".join(f"{reason}\n" + "\n".join(texts) for reason, texts in shown.items()) or "no row was rejected"


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m analysis.peek", description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="build/<mixture>")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows to show (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other rows")
    given = parser.parse_args()
    if not (given.build / "09_mixture" / "manifest.json").is_file():
        raise Refusal(f"{given.build}: no finished mixture there; run `make mixture` first.")
    print(f"Before and after harmonising\n\n{harmonised(given.build, given.rows, given.seed)}\n")
    print(f"Rejected rows\n\n{rejections(given.build, 2)}\n")
    print(f"Funnel\n\n{funnel.table(given.build)}")


if __name__ == "__main__":
    raise SystemExit(main())
