"""One file per source: repository id, revision, licence, generator, columns -> rows.

A source module defines `SOURCE`, a `Source`. Its name is the key that a mixture file uses. To add one, copy the
shortest (`evol_codealpaca.py`), and name it in a mixture.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from artefacts import Refusal


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        licence: SPDX id of the rows.
        generator: who wrote the responses (`human`, `gpt-4`, ...).
        find_revision: what exactly is read: a 40-hex commit of the Hub, or a version.
        read: (revision, sample_rows, seed) -> raw rows; `sample_rows` is None for all of them.
        pair: raw row -> (instruction, response), as the source says them.
    """

    licence: str
    generator: str
    find_revision: Callable[[], str]
    read: Callable[[str, int | None, int], Iterator[Mapping[str, Any]]]
    pair: Callable[[Mapping[str, Any]], tuple[Any, Any]]
    repo_id: str | None = None


def names() -> list[str]:
    """Keys of all sources, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "hub")


def load(name: str, where: str) -> Source:
    """The source called `name`.

    Raises:
        Refusal: there is none; `where` says which file asked.
    """
    if name not in names():
        raise Refusal(f"{where}: there is no source '{name}'; known sources: {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}").SOURCE
