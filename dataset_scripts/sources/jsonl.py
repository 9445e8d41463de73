"""A user's own files: Alpaca (instruction, input, output), ShareGPT (conversations) or messages.

    01_sources:
      - source: jsonl
        options: {files: [mine.jsonl], licence: MIT, generator: human}

Several entries stand side by side under names of their own (`name: exercises`), which their rows carry as `source`.

The columns are detected on the first rows of every file. Where two readings are possible, the build stops and names
the columns; `columns:` settles it:

        options: {files: [mine.jsonl], licence: MIT, generator: human, columns: {instruction: q, response: best}}
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from artefacts import Refusal, StrictModel, sha256_of_file
from dataset_scripts.chats import first_exchange
from dataset_scripts.raw_rows import rows_of_file, sample
from dataset_scripts.sources import Exchange, Raw, Source, Unreadable

ROWS_LOOKED_AT = 200  # a column that the first rows lack is not found
KNOWN = {
    "messages": ("messages", "conversations", "conversation"),
    "instruction": ("instruction", "prompt", "question", "query"),
    "input": ("input", "context"),
    "response": ("output", "response", "completion", "answer", "solution"),
}


class Columns(StrictModel):
    """Which column is what: either `messages`, or `instruction` and `response` with or without `input`.

    `tests`, `entry_point` and `setup` are never detected: they name the columns of a row's own tests (`row_tests`).
    """

    messages: str | None = None
    instruction: str | None = None
    input: str | None = None
    response: str | None = None
    tests: str | None = None
    entry_point: str | None = None
    setup: str | None = None


class Options(StrictModel):
    """Options of `jsonl` in a mixture file. Paths are relative to the folder that the command runs in."""

    files: list[str] = Field(min_length=1)
    licence: str  # SPDX id; nobody but the user knows
    generator: str  # `human`, or the model that wrote the responses
    columns: Columns | None = None  # null: detected
    about: str = ""  # what a row is, for the card and the report; empty: the names of the files


def source(options: Options) -> Source:
    """The rows of the files, one file after the other."""
    if options.columns:
        _complete(options.columns, "jsonl: options.columns")

    def raw_rows() -> Iterator[Raw]:
        for name in options.files:
            rows = rows_of_file(Path(name))
            first = list(itertools.islice(rows, ROWS_LOOKED_AT))
            columns = options.columns or detect(first, name)
            for number, raw in enumerate(itertools.chain(first, rows), start=1):
                if isinstance(raw, Unreadable):
                    yield raw
                    continue
                if options.columns is None:
                    _assert_nothing_is_left_out(raw, columns, f"{name}, row {number}")
                # the file without its folder: a row must not say whose machine it was on
                yield {"row": raw, "columns": columns, "at": f"{Path(name).name}:{number}"}

    return Source(
        licence=options.licence,
        generator=options.generator,
        find_revision=lambda: find_revision(options.files),
        read=lambda revision, sample_rows, seed: sample(raw_rows(), sample_rows, seed),
        pair=pair,
        about=options.about or f"Rows of a user's own files: {', '.join(Path(name).name for name in options.files)}.",
    )


def _assert_nothing_is_left_out(row: Mapping[str, Any], columns: Columns, where: str) -> None:
    """A column that the first rows lacked must not be lost on the later ones.

    Raises:
        Refusal: the row has text in a column that is known and not read.
    """
    read = {value for value in columns.model_dump().values() if value}
    known = {name for part, names in KNOWN.items() if part != "messages" or not columns.messages for name in names}
    for name in row:
        if name in known - read and isinstance(row[name], str) and row[name].strip():
            raise Refusal(
                f"{where}: the column '{name}' holds text, but the first {ROWS_LOOKED_AT} rows do not have it; say "
                "which columns are which with `columns:`."
            )


def find_revision(files: list[str]) -> str:
    """Names and digests of the files."""
    try:
        return ", ".join(f"{Path(name).name}@{sha256_of_file(Path(name))}" for name in files)
    except OSError as error:
        raise Refusal(f"{error.filename}: cannot be read ({error.strerror}).") from None


def detect(rows: list[Raw], where: str) -> Columns:
    """Which column is what, from the columns that the rows have.

    Raises:
        Refusal: none fits, or more than one does.
    """
    there = list(dict.fromkeys(name for raw in rows if not isinstance(raw, Unreadable) for name in raw))
    found = {part: [name for name in there if name in names] for part, names in KNOWN.items()}
    found["input"] = found["input"] if found["instruction"] else []
    two = next((names for names in found.values() if len(names) > 1), None)
    if two is None and found["messages"] and (found["instruction"] or found["response"]):
        two = found["messages"] + found["instruction"] + found["response"]
    if two:
        raise Refusal(f"{where}: the columns {', '.join(two)} can be read in two ways; say which with `columns:`.")
    columns = Columns(**{part: names[0] for part, names in found.items() if names})
    return _complete(columns, f"{where}: columns {', '.join(there) or 'none'}")


def _complete(columns: Columns, where: str) -> Columns:
    if bool(columns.tests) != bool(columns.entry_point):
        raise Refusal(f"{where}: `tests` and `entry_point` go together; name the columns of both, or of neither.")
    if columns.messages and not (columns.instruction or columns.response or columns.input):
        return columns
    if columns.instruction and columns.response and not columns.messages:
        return columns
    raise Refusal(
        f"{where}: neither a chat (`messages`) nor `instruction` and `response`; map them with `columns:` in the "
        "mixture file."
    )


def pair(raw: Mapping[str, Any]) -> Exchange:
    """Instruction and response of a row by its columns; a row without them has None there."""
    row, columns = raw["row"], raw["columns"]
    if columns.messages:
        return first_exchange([_turn(turn) for turn in row.get(columns.messages) or []])._replace(origin=raw["at"])
    instruction, added = row.get(columns.instruction), row.get(columns.input) if columns.input else None
    if isinstance(instruction, str) and isinstance(added, str) and added.strip():
        instruction = f"{instruction}\n\n{added}"
    return Exchange(instruction, row.get(columns.response), origin=raw["at"], tests=_tests(row, columns))


def _tests(row: Mapping[str, Any], columns: Columns) -> Mapping[str, str] | None:
    named = {"test": columns.tests, "entry_point": columns.entry_point, "setup": columns.setup}
    found = {part: row[column] for part, column in named.items() if column and isinstance(row.get(column), str)}
    return found if found.get("test") and found.get("entry_point") else None


def _turn(turn: Mapping[str, Any]) -> tuple[Any, Any]:
    """ShareGPT says `from` and `value`, the others `role` and `content`."""
    return turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
