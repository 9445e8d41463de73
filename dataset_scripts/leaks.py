"""What decontamination found: a table of leaks per source, and hits beside the benchmark's own text.

reads   build/<mixture>/04_decontaminate and 07_recheck (and the stages before them, for the texts of single rows)
writes  leaks.json, leaks.md, borderline.jsonl and benchmark_items.parquet there, when a stage is finished; nothing on
        the command line

    python -m dataset_scripts.leaks build/demo                   # the table
    python -m dataset_scripts.leaks build/demo --show 5          # and five removed rows beside what they hold, five
                                                                 # whose fate hangs on a tenth of a threshold

`leaks.md` is the table as the dataset card shows it; borderline.jsonl has a line per borderline row, removed or not:
its id, source and evidence, never its text. The rows that the project made (07_recheck) are counted apart.
benchmark_items.parquet has the texts of the benchmarks that the evidence refers to, and of no others, so that hits can
be shown without the benchmarks; it is for the builder's eyes and is not published.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from artefacts import Refusal, code_key, command_line, read_json, write_bytes, write_json
from dataset_scripts import decontaminate, references
from dataset_scripts.secrets import holds_credential
from dataset_scripts.stage_files import manifest, parquet_bytes

STAGE = "04_decontaminate"
STAGES = (STAGE, "07_recheck")  # that compare rows with the benchmarks; by the rule of the first
SIGNALS = ("ngram", "cosine", "tree")
PAPER_REMOVED_SHARE = 0.06  # AlchemistCoder, arXiv 2405.19265: about 6 %, thresholds unpublished
MOST_CHARS = 1200  # of a text on the screen
MOST_NAMES = 4  # of those who have one text
PINS = ("pyarrow",)
ITEMS = "benchmark_items.parquet"
ITEM = pa.schema(
    [
        ("key", pa.string()),  # `reference` of the evidence
        ("names", pa.list_(pa.string())),  # benchmark/item of everybody who has this text
        ("part", pa.string()),
        ("text", pa.string()),  # as the benchmark says it: what N-grams compare
        ("program", pa.string()),  # with its signature: what cosine and trees compare
    ]
)


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Every row that the finished stage compared: id, source, removed, and its facts."""
    source_of: dict[str, tuple[str, bool]] = {}
    for kind in ("kept", "rejected"):
        for part in _read(folder / kind, ["id", "source", "reason"]):
            found = zip(part["id"], part["source"], part["reason"], strict=True)
            source_of |= {i: (source, reason == "contaminated") for i, source, reason in found}
    for part in _read(folder / "facts", ["id", *decontaminate.FACTS.names]):
        for facts in (dict(zip(part, values, strict=True)) for values in zip(*part.values(), strict=True)):
            if facts["syntax_trees"] is None:
                continue  # of a source, or rejected before
            source, removed = source_of[facts["id"]]
            yield facts | {"source": source, "removed": removed}


def _read(folder: Path, columns: list[str] | None) -> Iterator[dict[str, list]]:
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    for part in ds.dataset(files).to_batches(columns=columns) if files else ():
        yield part.to_pydict()


def count(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Counts over rows; a row that several signals remove counts for each of them."""
    total, removed, borderline = 0, 0, 0
    by_signal: Counter[str] = Counter()
    by_part: Counter[str] = Counter()
    trees: Counter[str] = Counter()
    items: dict[str, set[str]] = defaultdict(set)
    for row in found:
        total += 1
        removed += row["removed"]
        borderline += row["borderline"]
        trees[row["syntax_trees"]] += 1
        deciding = [e for e in row["evidence"] if e["decides"]]
        by_signal.update({e["signal"] for e in deciding})
        by_part.update({e["part"] for e in deciding})
        for name in (name for e in deciding for name in e["names"]):
            benchmark, item = name.split("/", 1)
            items[benchmark].add(item)
    return {
        "rows": total,
        "removed": removed,
        "removed_share": removed / total if total else 0.0,
        "by_signal": {signal: by_signal[signal] for signal in SIGNALS},
        "by_part": {part: by_part[part] for part in references.PARTS},
        "borderline": borderline,
        "items": {benchmark: len(found) for benchmark, found in sorted(items.items())},
        "syntax_trees": dict(sorted(trees.items())),
    }


def table(folder: Path) -> dict[str, Any]:
    """The leak table of the finished stage in `folder`: settings, then counts in total and by source."""
    found, notes = list(rows(folder)), manifest(folder.parent / STAGE)["notes"]
    by_source: dict[str, list] = defaultdict(list)
    for row in found:
        by_source[row["source"]].append(row)
    return {
        "rule": notes["config"],
        "embedding": notes["embedding"],
        "problems": notes["problems"],
        "compared_with": compared_with(coverage(folder.parent)),
        "paper_removed_share": PAPER_REMOVED_SHARE,
        "total": count(found),
        "by_source": {source: count(some) for source, some in sorted(by_source.items())},
    }


def markdown(leaks: dict[str, Any]) -> str:
    """The leak table as the card shows it."""
    if not leaks["total"]["rows"]:
        return "No row was compared with the benchmarks.\n"
    lines = [
        "| source | rows | removed | by N-gram | by cosine | by tree | borderline | benchmark items found |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups = [*leaks["by_source"].items()]
    for source, of in [*groups, ("all", leaks["total"])] if len(groups) != 1 else groups:
        signals = " | ".join(_share(of["by_signal"][signal], of["rows"]) for signal in SIGNALS)
        items = ", ".join(f"{name} {n} of {leaks['problems'][name]}" for name, n in of["items"].items()) or "none"
        lines.append(
            f"| {source} | {of['rows']:,} | {_share(of['removed'], of['rows'])} | {signals} | {of['borderline']} "
            f"| {items} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"Compared with {leaks['compared_with']}; code by {leaks['embedding']}. A row may be removed by "
            "several signals. The AlchemistCoder paper removes about "
            f"{100 * leaks['paper_removed_share']:.0f} % of its rows.",
            "",
        ]
    )


def coverage(build: Path) -> dict[str, dict[str, Any]]:
    """What the rows of a built mixture were compared with: see `references.coverage`.

    Raises:
        Refusal: an earlier version of this repository built it, which did not note that.
    """
    notes = manifest(build / STAGE)["notes"]
    if "coverage" not in notes:
        raise Refusal(
            f"{build / STAGE} was built by an earlier version of this repository; run `make mixture "
            f"MIXTURE={build.name}` again (answers of teachers are kept)."
        )
    return notes["coverage"]


def compared_with(coverage: dict[str, dict[str, Any]]) -> str:
    """What rows were compared with, and what of it was not at hand, in words.

    >>> compared_with({"mbpp": {"items": 974, "of": 974, "absent": ["version sanitized"]}})
    'mbpp (974 of 974 items; absent: version sanitized)'
    """
    said = []
    for name, of in coverage.items():
        absent = f"; absent: {', '.join(of['absent'])}" if of["absent"] else ""
        said.append(f"{name} ({of['items']:,} of {of['of']:,} items{absent})")
    return ", ".join(said)


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.2f} %)" if whole else "0"


def write(folder: Path) -> None:
    """Write the files of this module's head, unless those there are of this very result.

    Raises:
        Refusal: a benchmark cannot be loaded any more.
    """
    decontaminated = manifest(folder.parent / STAGE)
    key = code_key(["dataset_scripts.leaks"], decontaminated["notes"], PINS, [manifest(folder)["digest"]])
    if (read_json(folder / "leaks.json") or {}).get("key") == key and (folder / ITEMS).is_file():
        return
    found = {"key": key, **table(folder)}
    referred = {piece["reference"] for row in rows(folder) for piece in row["evidence"]}
    known = _known_references(folder.parent) if referred else []
    items = [
        {**{name: getattr(of, name) for name in ITEM.names}, "names": ["/".join(name) for name in of.names]}
        for of in known
        if of.key in referred
    ]
    write_bytes(folder / ITEMS, parquet_bytes(pa.Table.from_pylist(items, schema=ITEM)))
    close = (row for row in rows(folder) if row["borderline"])
    lines = [json.dumps({name: row[name] for name in ("id", "source", "removed", "evidence")}) + "\n" for row in close]
    write_bytes(folder / "borderline.jsonl", "".join(lines).encode())
    write_bytes(folder / "leaks.md", markdown(found).encode())
    write_json(folder / "leaks.json", found)  # last: this says that the others are there


def side_by_side(row: dict[str, Any], text: dict[str, str], known: dict[str, dict[str, Any]]) -> str:
    """One row's evidence: the part of the benchmark, then the row with the matching stretches in «».

    Args:
        row: id, source, removed, borderline and evidence.
        text: instruction and response of the row.
        known: see `benchmark_items`.
    """
    fate = f"{'removed' if row['removed'] else 'kept'}{', borderline' if row['borderline'] else ''}"
    return "\n".join([f"{row['id']}  {row['source']}  {fate}", *beside(row["evidence"], text, known), ""])


def beside(
    evidence: Iterable[dict[str, Any]], text: dict[str, str], known: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """The lines of `side_by_side` for each piece of evidence."""
    for piece in evidence:
        item = known[piece["reference"]]
        why = f", removes it {piece['decides']}" if piece["decides"] else ""
        names = ", ".join(item["names"][:MOST_NAMES]) + (", ..." if len(item["names"]) > MOST_NAMES else "")
        yield f"\n  {names} {item['part']}: {piece['signal']} {piece['score']:.3f} of {piece['size']}{why}"
        yield from _indented(item["program"] if piece["signal"] != "ngram" else item["text"])
        for name in dict.fromkeys(span["field"] for span in piece["spans"]):
            yield f"  {name} of the row:"
            if holds_credential(text[name]):
                yield "    (text withheld: it holds a credential)"
                continue
            yield from _indented(marked(text[name], [s for s in piece["spans"] if s["field"] == name]))


def benchmark_items(stage: Path) -> dict[str, dict[str, Any]]:
    """Key of a reference -> what of a benchmark the evidence of a finished stage refers to, with the columns of ITEM.

    Raises:
        Refusal: the file is not there.
    """
    if not (stage / ITEMS).is_file():
        raise Refusal(f"{stage / ITEMS} is missing; run `make mixture MIXTURE={stage.parent.name}` again.")
    return {item["key"]: item for item in pq.read_table(stage / ITEMS).to_pylist()}


def _known_references(build: Path) -> list[references.Reference]:
    """What the rows of a built mixture were compared with."""
    config = manifest(build / STAGE)["notes"]["config"]
    place = Path(config["folder"]) if config["folder"] else None
    return references.load(config["benchmarks"], place, config["parts"], str(build / STAGE))


def marked(text: str, spans: list[dict[str, Any]]) -> str:
    """The text from its first span on, each span in «».

    >>> marked("sum of two numbers", [{"start": 7, "end": 10}])
    '«two» numbers'
    """
    spans = sorted(spans, key=lambda span: span["start"])
    out, at = [], spans[0]["start"]
    for span in spans:
        out += [text[at : span["start"]], "«", text[max(at, span["start"]) : span["end"]], "»"]
        at = max(at, span["end"])
    return "".join([*out, text[at:]])


def _indented(text: str) -> list[str]:
    cut = text.strip("\n")
    cut = cut if len(cut) <= MOST_CHARS else f"{cut[:MOST_CHARS]} ... ({len(cut) - MOST_CHARS:,} more characters)"
    return [f"    | {line}" for line in cut.split("\n")]


def texts(stage: Path, ids: set[str]) -> dict[str, dict[str, str]]:
    """Texts of rows before the stage in `stage` compared them: it keeps none of a removed row."""
    if not ids:
        return {}
    before = [p.parent for p in sorted(stage.parent.glob("[0-9][0-9]_*/manifest.json")) if p.parent.name < stage.name]
    files = [str(path) for path in sorted((before[-1] / "kept").glob("*.parquet"))] if before else []
    if not files:
        raise Refusal(f"{stage.parent}: the stage before {stage.name} is gone, and with it the texts; build again.")
    found = ds.dataset(files).to_table(columns=["id", "instruction", "response"], filter=ds.field("id").isin(ids))
    return {row["id"]: row for row in found.to_pylist()}


def told(stage: Path, show: int) -> Iterator[str]:
    """The table of a finished stage, then so many removed and as many borderline rows side by side."""
    yield markdown(table(stage)) if show else markdown(table(stage)).rstrip("\n")
    chosen = [row for row in rows(stage) if row["removed"]][:show]
    chosen += [row for row in rows(stage) if row["borderline"]][:show]
    text_of = texts(stage, {row["id"] for row in chosen})
    known = benchmark_items(stage) if chosen else {}
    yield from (side_by_side(row, text_of[row["id"]], known) for row in chosen)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_scripts.leaks", description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="folder of a built mixture, e.g. build/demo")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="of removed rows, and of borderline ones, N "
                        "each beside the benchmark's text")  # fmt: skip
    arguments = parser.parse_args()
    print("\n".join(told(arguments.build / STAGE, arguments.show)))
    for stage in (arguments.build / name for name in STAGES[1:]):
        if (stage / "leaks.json").is_file():
            print(f"\nNew rows ({stage.name}):\n")
            print("\n".join(told(stage, arguments.show)))


if __name__ == "__main__":
    raise SystemExit(main())
