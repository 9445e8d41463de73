"""One file per source: repository id, revision, licence, generator, columns -> rows.

A source module defines `SOURCE`, a `Source`; or, where a mixture file may set something about it, a strict `Options`
and `source(options)`, which gives the `Source`. The module's name is the key that a mixture file uses; its docstring's
first paragraph says on cards and in the report what a row is (`about`). To add one, copy the shortest
(`evol_codealpaca.py`), and name it in a mixture.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

from artefacts import Refusal, validate

# What 03_clean asks of a row: long enough or with code; code that compiles; an answer; in the asked language; clear
# code; in the asked form. What it asks of every row (no secrets, its own tests passed) is not listed.
Check = Literal["code", "compiles", "refusal", "language", "unclear", "disorganised"]
CHECKS: tuple[Check, ...] = get_args(Check)
_NO_SOURCES = {"hub"}


class Exchange(NamedTuple):
    """What a raw row says. Only the first two are always known; None elsewhere means: as the source says for all.

    Attributes:
        reason: why the source's own filters reject the row.
        origin: where exactly the row comes from (`owner/name@commit:path`), for attribution.
        left_out: turns of the chat that are not in the row: system turns and all after the first exchange.
        tests: what the row's own code must pass: `test` (Python defining `check(candidate)`), `entry_point` (an
            expression that gives the candidate) and, where the code needs it, `setup`; see `row_tests`.
    """

    instruction: Any
    response: Any
    reason: str | None = None
    licence: str | None = None
    generator: str | None = None
    language: str | None = None
    task: str = "generation"
    origin: str | None = None
    left_out: int = 0
    tests: Mapping[str, str] | None = None


class Unreadable(NamedTuple):
    """A raw row that is no row: a JSONL line cut in half, a list where an object should be. Counted, not lost."""

    text: str
    reason: str = "not_json"


Raw = Mapping[str, Any] | Unreadable


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        licence: SPDX id of the rows; `other` where every row carries its own.
        generator: who wrote the responses (`human`, `gpt-4`, ...).
        find_revision: what exactly is read: a 40-hex commit of the Hub, a digest of files, or a version.
        read: (revision, sample_rows, seed) -> raw rows; `sample_rows` is None for all of them.
        pair: raw row -> (instruction, response), as the source says them, or an `Exchange` where it says more.
        checks: the checks of 03_clean that make sense here; prose answers hold no code, bare code has no fence.
        revision: 40-hex commit of the Hub that is read; None while nobody has pinned it (`make pin-sources`).
        notes: what a reader of the manifest must know (a stand-in tokenizer, a prefix instead of a sample).
        about: what a row is; where it is empty, `load` takes it from the module's docstring.
    """

    licence: str
    generator: str
    find_revision: Callable[[], str]
    read: Callable[[str, int | None, int], Iterator[Raw]]
    pair: Callable[[Mapping[str, Any]], tuple]
    repo_id: str | None = None
    checks: tuple[Check, ...] = CHECKS
    revision: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""

    def revision_to_read(self) -> str:
        """The pinned revision, or the one that `find_revision` finds now."""
        return self.revision or self.find_revision()


def names() -> list[str]:
    """Keys of all sources, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NO_SOURCES)


def load(name: str, where: str, options: Mapping[str, Any] | None = None) -> Source:
    """The source called `name`, with the `options` of its entry in a mixture file.

    Raises:
        Refusal: there is none, or an option is unknown or wrong; `where` says which file asked.
    """
    if name not in names():
        raise Refusal(f"{where}: there is no source '{name}'; known sources: {', '.join(names())}.")
    module = importlib.import_module(f"{__name__}.{name}")
    entry = f"{where}: 01_sources, options of '{name}'"
    if hasattr(module, "Options"):
        source = module.source(validate(module.Options, dict(options or {}), entry))
    elif options:
        raise Refusal(f"{entry}: unknown key '{next(iter(options))}'; this source has no options.")
    else:
        source = module.SOURCE
    return replace(source, about=source.about or " ".join((module.__doc__ or "").split("\n\n")[0].split()))
