"""A row's life: where it comes from, what every stage said of it, its parents and children, its place in the mixture.

reads   build/<mixture>/NN_stage/{kept,rejected,facts}; writes nothing. Needs no network.

    python -m dataset_scripts.why build/demo 3f2a9c        # the beginning of an id is enough where it is unambiguous
"""

import argparse
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

from artefacts import Refusal, command_line, read_json
from dataset_scripts import leaks
from dataset_scripts.schema import REDACTED_REASONS
from dataset_scripts.secrets import holds_credential

MOST_NAMED = 10  # children of a row
MOST_INTRODUCED, MOST_CHARS_INTRODUCED = 3, 50  # rows of an ambiguous beginning, and how much of each
MOST_CHARS = 600  # of a text, cut for the eye; the data is not cut
WITHHELD = frozenset({"secret"})  # of the redacted reasons, the one whose text is not even shown to its builder


@dataclass
class Said:
    """What one stage said of a row."""

    stage: str
    reason: str | None
    row: dict
    facts: dict = field(default_factory=dict)


def stages(folder: Path) -> list[Path]:
    """Folders of the finished stages, in order.

    Raises:
        Refusal: there is none.
    """
    found = sorted(path.parent for path in folder.glob("[0-9][0-9]_*/manifest.json"))
    if not found:
        raise Refusal(f"{folder}: no finished stage there; run `make mixture MIXTURE={folder.name}` first.")
    return found


def resolve(folder: Path, beginning: str) -> str:
    """The one id that begins so.

    Raises:
        Refusal: no row, or more than one row begins so.
    """
    starts, columns = pc.starts_with(pc.field("id"), beginning), ["id", "source", "instruction", "reason"]
    found: dict[str, list[dict]] = {}
    for row in (r for stage in stages(folder) for kind in _KINDS for r in _rows(stage, kind, starts, columns)):
        found.setdefault(row["id"], []).append(row)
    if not found:
        raise Refusal(
            f"{folder}: no row's id begins with '{beginning}'; ids stand in {folder}/*/kept and rejected "
            "(look: make peek)."
        )
    if len(found) > 1:
        ids = sorted(found)
        some = ", ".join(_introduced(ids, i, found[ids[i]]) for i in range(min(MOST_INTRODUCED, len(ids))))
        more = ", ..." if len(ids) > MOST_INTRODUCED else ""
        raise Refusal(
            f"{folder}: {len(found)} ids begin with '{beginning}': {some}{more}; give more of the one you mean."
        )
    return next(iter(found))


def _introduced(ids: list[str], place: int, rows: list[dict]) -> str:
    """The shortest beginning that is only this id's among the sorted ids, its source, the first words of its row."""
    beside = [len(os.path.commonprefix([ids[place], other])) for other in ids[max(0, place - 1) : place + 2]]
    length = 1 + max(n for n in beside if n < len(ids[place]))
    said = next((row["instruction"] for row in rows if row["instruction"]), "")
    if any(row["reason"] in WITHHELD for row in rows) or holds_credential(said):
        said = "text withheld"
    words = textwrap.shorten(said, MOST_CHARS_INTRODUCED, placeholder=" ...")
    return f"{ids[place][:length]} ({rows[0]['source']}: {words})"


_KINDS = ("kept", "rejected")
_TEXTS = ("alchemist_prompt", "instruction", "response")


def _rows(stage: Path, kind: str, condition: pc.Expression, columns: list[str] | None = None) -> list[dict]:
    files = sorted(str(path) for path in (stage / kind).glob("*.parquet"))
    return ds.dataset(files).to_table(filter=condition, columns=columns).to_pylist() if files else []


def life(folder: Path, row_id: str) -> list[Said]:
    """What every stage that saw the row said of it, in order."""
    is_it, said = pc.field("id") == row_id, []
    for stage in stages(folder):
        for kind in _KINDS:
            for row in _rows(stage, kind, is_it):
                facts = next(iter(_rows(stage, "facts", is_it)), {})
                known = {k: v for k, v in facts.items() if k != "id" and v not in (None, [], "")}
                said.append(Said(stage.name, row["reason"], row, known))
    return said


def children(folder: Path, row_id: str) -> dict[str, tuple[str, str, str | None]]:
    """Rows made from this one: id -> (task, last stage that saw it, why it was rejected there or None)."""
    found = {}
    has_parents = pc.list_value_length(pc.field("parents")) > 0
    for stage in stages(folder):
        for kind in _KINDS:
            for row in _rows(stage, kind, has_parents, ["id", "parents", "task", "reason"]):
                if row_id in row["parents"]:
                    found[row["id"]] = (row["task"], stage.name, row["reason"])
    return found


def verdict(folder: Path, said: list[Said], made: dict[str, tuple[str, str, str | None]]) -> str:
    """One sentence: whether the row is in the mixture, how, and why not."""
    last, final = said[-1], stages(folder)[-1].name
    if last.reason is not None:
        return f"Not in the mixture: {last.stage} rejected it as {last.reason}."
    if final != "09_mixture":
        return f"Kept so far; the build has not come further than {final}."
    if last.stage != final:
        return f"Not in the mixture: {last.stage} is the last stage that holds it."
    if last.row["alchemist_prompt"]:
        return "In the mixture, with its AlchemistPrompt before the instruction."
    copies = [i for i, (_, stage, reason) in made.items() if stage == final and reason is None and len(said) > 1]
    if copies and said[-2].row["alchemist_prompt"]:
        return f"In the mixture as it is, and once more with its AlchemistPrompt ({', '.join(copies)})."
    return "In the mixture, without a prompt."


def told(folder: Path, row_id: str) -> Iterator[str]:
    """The life as lines of text."""
    said, made = life(folder, row_id), children(folder, row_id)
    row = next((s.row for s in said if s.row["instruction"] is not None), said[0].row)
    source = read_json(stages(folder)[0] / "manifest.json")["notes"]["sources"].get(row["source"], {})
    address = " at ".join(str(source[k]) for k in ("repo_id", "revision") if source.get(k))
    yield f"row {row_id}"
    yield f"  source     {row['source']}{f' ({address})' if address else ''}"
    yield f"  licence    {row['license']}; written by {row['generator']}; {row['language']}; task {row['task']}"
    if row["parents"]:
        yield f"  made from  {', '.join(row['parents'])}"
    yield ""
    for step in said:
        yield f"  {step.stage:18} {'kept' if step.reason is None else 'rejected: ' + step.reason}"
        if step.stage == leaks.STAGE:
            yield " " * 21 + f"compared with {leaks.compared_with(leaks.coverage(folder))}"
        if step.stage in leaks.STAGES and step.facts.get("evidence"):
            known = leaks.benchmark_items(folder / step.stage)
            lines = "\n".join(leaks.beside(step.facts["evidence"], row, known))
            yield textwrap.indent(lines, " " * 19)
            continue
        for name, value in step.facts.items():
            yield from textwrap.wrap(
                f"{name}: {value}", width=110, initial_indent=" " * 21, subsequent_indent=" " * 23,
                max_lines=4, placeholder=" [...]",
            )  # fmt: skip
    yield ""
    for number, (child, (task, stage, reason)) in enumerate(sorted(made.items())):
        if number == MOST_NAMED:
            yield f"  ... and {len(made) - MOST_NAMED} more children"
            break
        yield f"  child {child}  {task}, {stage}: {'kept' if reason is None else 'rejected: ' + reason}"
    yield from _texts(said)
    if twin := said[-1].facts.get("twin"):
        yield f"\n  the row {twin} was kept in its place"
        yield from _texts(life(folder, twin))
    yield ""
    yield verdict(folder, said, made)


def _texts(said: list[Said]) -> Iterator[str]:
    """What a row says, or why nobody may see it."""
    if said[-1].reason in WITHHELD:
        yield f"  (text withheld: rejected as {said[-1].reason})"
    elif holds_credential(*(text for s in said for text in map(s.row.get, _TEXTS))):
        yield "  (text withheld: it holds a credential)"
    else:
        for name in _TEXTS:
            text = next((s.row[name] for s in reversed(said) if s.row[name]), None)
            if text:
                yield f"  {name.replace('alchemist_prompt', 'AlchemistPrompt')}"
                shown = text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} [... {len(text) - MOST_CHARS} more]"
                yield textwrap.indent(shown, "    ")
        if said[-1].reason in REDACTED_REASONS:
            yield "  (the text stands in the stages before; it is neither published nor taught from)"


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.why",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("build", type=Path, help="build/<mixture>")
    parser.add_argument("id", help="id of the row, or its beginning")
    given = parser.parse_args()
    if not given.id:
        raise Refusal(f"{given.build}: which row? Give an id, or its beginning: make why ID=... (ids: make peek).")
    print("\n".join(told(given.build, resolve(given.build, given.id))))


if __name__ == "__main__":
    raise SystemExit(main())
