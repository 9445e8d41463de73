"""Look at a built mixture: five rows before and after harmonising, rejected rows with reasons, the funnel.

reads build/<mixture>/; writes nothing. Needs no torch and no network.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from analysis import funnel
from analysis.reading import Artefacts
from artefacts import Refusal, command_line
from dataset_scripts.schema import published_instruction

ROWS = 5
CHARS = 500


def pick(folder: Path, kind: str, column: str, choose: Callable[[list], list[int]]) -> list[dict]:
    """Rows of a stage chosen by one column; only that column is read of the rows that are not shown.

    Args:
        choose: all values of the column, in order -> places of the wanted rows.
    """
    paths = sorted((folder / kind).glob("*.parquet"))
    columns = [pq.read_table(path, columns=[column])[column].to_pylist() for path in paths]
    places = [(number, row) for number, values in enumerate(columns) for row in range(len(values))]
    wanted = [places[i] for i in choose([value for values in columns for value in values])]
    return [pq.read_table(paths[number]).slice(row, 1).to_pylist()[0] for number, row in wanted]


def excerpt(text: str | None, chars: int = CHARS) -> str:
    """The text indented, cut for the eye (not in the data) where it is long."""
    if text is None:
        return "    (text withheld: see its reason)"
    shown = text if len(text) <= chars else f"{text[:chars]} [... {len(text) - chars} more characters]"
    return "\n".join(f"    {line}" for line in shown.splitlines())


def harmonised(build: Path, rows: int, seed: int) -> str:
    """Rows that carry their AlchemistPrompt in the mixture, before and after."""

    def some(prompts: list[str | None]) -> list[int]:
        carrying = [i for i, prompt in enumerate(prompts) if prompt]
        return random.Random(seed).sample(carrying, min(rows, len(carrying)))

    blocks = []
    for row in pick(build / "09_mixture", "kept", "alchemist_prompt", some):
        after = published_instruction(row["instruction"], row["alchemist_prompt"])
        parts = {"before": row["instruction"], "after": after, "response": row["response"]}
        head = f"row {row['id']} of {row['source']} ({row['language']}, {row['license']}, by {row['generator']})"
        blocks.append("\n".join([head, *(f"  {name}\n{excerpt(text)}" for name, text in parts.items())]))
    return "\n\n".join(blocks) or "no row of this mixture carries an AlchemistPrompt"


def rejections(build: Path, rows: int) -> str:
    """Up to `rows` rejected rows of every reason, each duplicate beside the row that was kept in its place."""

    def first_of_each(reasons: list[str]) -> list[int]:
        places: dict[str, list[int]] = {}
        for place, reason in enumerate(reasons):
            places.setdefault(reason, []).append(place)
        return [place for several in places.values() for place in several[:rows]]

    artefacts, lines = Artefacts(build), []
    for stage in artefacts.manifests:
        shown = pick(build / stage, "rejected", "reason", first_of_each)
        facts = artefacts.find(stage, "facts", {row["id"] for row in shown})
        twins = {of["twin"] for of in facts.values() if of.get("twin")}
        kept = artefacts.find(stage, "kept", twins)
        for row in shown:
            lines.append(f"{stage}: {row['reason']}, row {row['id']} of {row['source']}")
            lines.append(excerpt(row["response"], 200))
            of = facts.get(row["id"], {})
            if twin := kept.get(of.get("twin")):
                lines.append(
                    f"  kept in its place: row {twin['id']} of {twin['source']}, similarity {of['similarity']:.2f}"
                )
                lines.append(excerpt(twin["response"], 200))
    return "\n".join(lines) or "no row was rejected"


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m analysis.peek", description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="build/<mixture>")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows to show (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other rows")
    given = parser.parse_args()
    if given.rows < 1:
        parser.error("--rows must be at least 1")
    if not (given.build / "09_mixture" / "manifest.json").is_file():
        raise Refusal(f"{given.build}: no finished mixture there; run `make mixture` first.")
    print(f"Before and after harmonising\n\n{harmonised(given.build, given.rows, given.seed)}\n")
    print(f"Rejected rows\n\n{rejections(given.build, 2)}\n")
    print(f"Funnel\n\n{funnel.table(given.build)}")


if __name__ == "__main__":
    raise SystemExit(main())
