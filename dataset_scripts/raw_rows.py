"""Raw rows of files: JSON lines, a JSON list, Parquet; plain or gzip. And a seeded sample of a stream.

A line that is no JSON object comes out as `Unreadable`, so that it is counted; a file that is broken as a whole is
refused.
"""

import gzip
import itertools
import json
import random
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from artefacts import Refusal
from dataset_scripts.sources import Raw, Unreadable

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
_PARQUET_BATCH = 64  # rows held at a time: a commit may bring two files of megabytes


def json_lines(file: IO[bytes]) -> Iterator[Raw]:
    r"""Objects of a JSON Lines file; blank lines are passed over.

    >>> import io
    >>> list(json_lines(io.BytesIO(b'{"a": 1}\n{"a": \n[2]\n')))
    [{'a': 1}, Unreadable(text='{"a": ', reason='not_json'), Unreadable(text='[2]', reason='not_an_object')]
    """
    for line in file:
        if line := line.rstrip(b"\r\n"):
            yield _object(line)


def _object(line: bytes) -> Raw:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # bad JSON, bad UTF-8, a number of 5,000 digits; nested 10,000 deep
        return Unreadable(line.decode("utf-8", "backslashreplace"))
    if isinstance(value, dict):
        return value
    return Unreadable(line.decode("utf-8", "backslashreplace"), "not_an_object")


def rows_of_file(path: Path) -> Iterator[Raw]:
    """Raw rows of a .jsonl, .json (a list of objects) or .parquet file; the first two may be gzipped.

    Raises:
        Refusal: the file is missing, of another kind, or broken as a whole (truncated Parquet or gzip).
    """
    if not path.name.endswith(SUFFIXES):
        raise Refusal(f"{path}: not a file of rows; its name must end with one of {', '.join(SUFFIXES)}.")
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as parquet:
                for batch in parquet.iter_batches(_PARQUET_BATCH):
                    yield from batch.to_pylist()
            return
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from json_lines(file) if ".jsonl" in path.suffixes[-2:] else _json_list(file.read(), path)
    except FileNotFoundError:
        raise Refusal(f"{path}: there is no such file.") from None
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        said = " ".join(str(error).split())[:200]
        raise Refusal(f"{path}: cannot be read ({type(error).__name__}: {said}); is it whole?") from None


def _json_list(data: bytes, path: Path) -> Iterator[Raw]:
    try:
        values: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            f"{path}: not valid JSON ({error}); is it whole? JSON Lines belong into a .jsonl file."
        ) from None
    if not isinstance(values, list):
        raise Refusal(f"{path}: expected a list of objects, found {type(values).__name__}.")
    yield from (v if isinstance(v, dict) else Unreadable(repr(v), "not_an_object") for v in values)


def sample(rows: Iterable[Raw], sample_rows: int | None, seed: int) -> Iterator[Raw]:
    """A seeded sample without replacement, in order, of rows whose number is not known before; all for None.

    Every row has the same chance (reservoir sampling); memory holds `sample_rows` rows.
    """
    if sample_rows is None:
        yield from rows
        return
    chance, numbered = random.Random(seed), enumerate(rows)
    chosen = list(itertools.islice(numbered, sample_rows))
    for number, row in numbered:
        if (place := chance.randint(0, number)) < sample_rows:
            chosen[place] = (number, row)
    yield from (row for _, row in sorted(chosen, key=lambda pair: pair[0]))
