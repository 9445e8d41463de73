"""The ledger of a stage: rows in, kept and rejected by reason, in total and by source; new rows apart.

reads   build/<mixture>/NN_stage/ledger.json; writes nothing. Needs no network.

    python -m dataset_scripts.ledger build/demo
"""

import argparse
from collections import Counter
from pathlib import Path

from artefacts import Refusal, command_line, read_json


def add_up(name: str, counts: list[list]) -> dict:
    """The ledger of the stage `name` from counts, `[[source, reason or None, is_new, n], ...]`."""

    def total_of(some: list[list]) -> dict:
        def reasons(is_new: bool) -> dict:
            total: Counter = Counter()
            for _, reason, new, n in some:
                if reason is not None and new == is_new:
                    total[reason] += n
            return dict(sorted(total.items()))

        kept = {is_new: sum(n for _, reason, new, n in some if reason is None and new == is_new) for is_new in (0, 1)}
        rejected = reasons(False)
        new = {"kept": kept[1], "rejected": reasons(True)}
        return {"rows_in": kept[0] + sum(rejected.values()), "kept": kept[0], "rejected": rejected, "new": new}

    sources = sorted({count[0] for count in counts})
    by_source = {source: total_of([c for c in counts if c[0] == source]) for source in sources}
    return {"stage": name, **total_of(counts), "by_source": by_source}


def table(ledgers: list[dict]) -> str:
    """Stage by stage and source by source: rows in, kept, new, and every reason with its count."""
    width = max(len(source) for stage in ledgers for source in (*stage["by_source"], "all sources"))
    lines = [f"{'stage':18} {'source':{width}} {'rows in':>9} {'kept':>9} {'new':>7}  rejected"]
    for stage in ledgers:
        parts = list(stage["by_source"].items())
        entries = [*parts, ("all sources", stage)] if len(parts) > 1 else parts
        for number, (source, part) in enumerate(entries):
            rejected = Counter(part["rejected"]) + Counter(part["new"]["rejected"])
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in rejected.most_common()) or "-"
            numbers = f"{part['rows_in']:>9,} {part['kept']:>9,} {part['new']['kept']:>7,}"
            lines.append(f"{stage['stage'] if number == 0 else '':18} {source:{width}} {numbers}  {reasons}")
    return "\n".join(lines)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.ledger", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("build", type=Path, help="build/<mixture>")
    folder = parser.parse_args().build
    ledgers = [read_json(path) for path in sorted(folder.glob("[0-9][0-9]_*/ledger.json"))]
    if not ledgers:
        raise Refusal(f"{folder}: no finished stage there; run `make mixture MIXTURE={folder.name}` first.")
    print(table(ledgers))


if __name__ == "__main__":
    raise SystemExit(main())
