"""01_sources: rows of every source, in the order of the mixture file.

reads   the sources; writes build/<mixture>/01_sources/

A raw row that cannot be a row, or that its source's own filters reject, is rejected here with its reason, never
dropped: what comes after can rely on text that Parquet and tokenizers can hold. Where a row comes from within its
source stands in its facts (`origin`); how many turns of chats were left out, in the manifest's notes.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field, PositiveInt

from artefacts import Refusal, StrictModel
from dataset_scripts import sources
from dataset_scripts.facts_of_code import language_of
from dataset_scripts.schema import (
    GENERATOR_POLICIES,
    LICENCE_POLICIES,
    MADE_SOURCES,
    licence_terms,
    make_row,
    row_id,
    writer,
)
from dataset_scripts.sources import Check, Exchange, Source, Unreadable

PINS = ("datasets", "pyarrow")
FACTS = pa.schema(
    {
        "origin": pa.string(),  # e.g. `owner/name@commit:path`; null where the source has no finer address
        "tests": pa.string(),  # JSON of `Exchange.tests`; null where the source brings none
    }
)

_CONFIGURATIONS = ("sft", "sft_research", "comprehension", "rejected")  # of a data set, beside one for each source


class Policies(NamedTuple):
    """Which rows a mixture may hold at all; applied before de-duplication, lest a forbidden twin oust a good row."""

    license_policy: str = "research"
    generator_policy: str = "any"

    def forbid(self, licence: str, generator: str) -> str | None:
        """`licence` or `generator` where the policies do not admit a row, None where they do."""
        if licence_terms(licence) not in LICENCE_POLICIES[self.license_policy]:
            return "licence"
        return None if writer(generator) in GENERATOR_POLICIES[self.generator_policy] else "generator"

    def check(self, name: str, source: Source, where: str) -> None:
        """Refuse a source of which no row could be admitted, before anything of it is downloaded.

        Raises:
            Refusal: naming the source, what it is, and the two ways out.
        """
        if source.licence != "other" and self.forbid(source.licence, "human"):
            raise Refusal(
                f"{where}: source '{name}' is licensed {source.licence} ({licence_terms(source.licence)}), which "
                f"license_policy '{self.license_policy}' does not admit; leave the source out or change the policy."
            )
        if self.forbid("MIT", source.generator):
            raise Refusal(
                f"{where}: source '{name}' was written by {source.generator} ({writer(source.generator)}), which "
                f"generator_policy '{self.generator_policy}' forbids; leave the source out or change the policy."
            )


EVERYTHING = Policies()


class SourceConfig(StrictModel):
    """One entry of `sources:` in a mixture file."""

    source: str  # which one, see `sources`
    name: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_]*$")  # what its rows are called; null: as the source
    sample_rows: PositiveInt | None = None  # a seeded sample; null for all rows
    max_row_bytes: PositiveInt = 1_000_000
    checks: list[Check] | None = None  # of 03_clean; null for those that the source names
    options: dict[str, Any] = {}  # the source's own settings, see its `Options`

    @property
    def key(self) -> str:
        """`source` of its rows; one source may stand in a mixture several times, under several names."""
        return self.name or self.source


def by_name(wanted: list[SourceConfig], where: str) -> dict[str, SourceConfig]:
    """The entries by what their rows are called.

    Raises:
        Refusal: two are called the same, or one as something else is.
    """
    found: dict[str, SourceConfig] = {}
    for config in wanted:
        if config.key in found:
            raise Refusal(
                f"{where}: 01_sources names a source twice, '{config.key}'; give an entry a `name:` of its own."
            )
        if config.name in {*sources.names(), *MADE_SOURCES, *_CONFIGURATIONS} - {config.source}:
            raise Refusal(
                f"{where}: 01_sources, source '{config.source}': the name '{config.name}' is taken by a source of "
                "ours, rows that stages make or a published configuration; choose another."
            )
        found[config.key] = config
    return found


def rows(
    wanted: list[SourceConfig],
    revisions: dict[str, str],
    seed: int,
    where: str,
    left_out: Counter[str] | None = None,
    policies: Policies = EVERYTHING,
) -> Iterator[dict[str, Any]]:
    """Rows of the schema with their facts, and with a `reason` where the raw row cannot be used.

    Args:
        revisions: name of the source -> what is read of it, see `Source.revision_to_read`.
        where: file to name in a refusal.
        left_out: is given the number of chat turns that no row holds, by source.
        policies: rows that they do not admit are rejected for their `licence` or their `generator`.

    Raises:
        Refusal: a source gives no rows at all, or lacks the columns it is known to have.
    """
    for config in wanted:
        source = sources.load(config.source, where, config.options)
        key = config.key
        seen: Counter[str] = Counter()
        count = 0
        for count, raw in enumerate(source.read(revisions[key], config.sample_rows, seed), start=1):
            try:
                exchange = _exchange(source, raw)
            except KeyError as missing:
                raise Refusal(
                    f"source '{key}', row {count}: no column {missing}, only {', '.join(raw)}; its layout "
                    "has changed since this source was written: pin an older revision or mend its `pair`."
                ) from None
            if left_out is not None:
                left_out[key] += exchange.left_out
            yield _row(config, source, exchange, seen, policies)
        if not count:
            raise Refusal(f"source '{key}' of {where} gave no rows; a mixture cannot be built on nothing.")


def _exchange(source: Source, raw: sources.Raw) -> Exchange:
    if isinstance(raw, Unreadable):
        return Exchange("", raw.text, reason=raw.reason)
    try:
        return Exchange(*source.pair(raw))
    except (TypeError, AttributeError):  # a number where a list of turns should be
        return Exchange("", repr(raw), reason="wrong_type")


def _row(config: SourceConfig, source: Source, exchange: Exchange, seen: Counter, policies: Policies) -> dict:
    licence, generator = exchange.licence or source.licence, exchange.generator or source.generator
    reason = exchange.reason or unusable(exchange.instruction, exchange.response, config.max_row_bytes)
    reason = reason or policies.forbid(licence, generator)
    instruction, response = (_storable(text) for text in (exchange.instruction, exchange.response))
    first_id = row_id(config.key, instruction, response)
    row = make_row(
        source=config.key,
        instruction=instruction,
        response=response,
        license=licence,
        generator=generator,
        language=exchange.language or ("unknown" if reason else language_of(response)),
        task=exchange.task,
        occurrence=seen[first_id],
    )
    seen[first_id] += 1
    tests = json.dumps(dict(exchange.tests), sort_keys=True) if exchange.tests and not reason else None
    return row | {"reason": reason, "origin": exchange.origin, "tests": tests}


def unusable(instruction: Any, response: Any, max_row_bytes: int) -> str | None:
    """Why a raw pair cannot be a row, None when it can."""
    texts = (instruction, response)
    if any(text is None or text == "" for text in texts):
        return "empty_field"
    if not all(isinstance(text, str) for text in texts):
        return "not_text"
    if not all(text.strip() for text in texts):
        return "empty_field"
    try:
        size = sum(len(text.encode()) for text in texts)
    except UnicodeEncodeError:
        return "lone_surrogate"
    if any("\0" in text for text in texts):
        return "nul_byte"
    return "too_large" if size > max_row_bytes else None


def _storable(value: Any) -> str:
    """Text that Parquet can hold; only rejected rows differ from what their source says."""
    text = value if isinstance(value, str) else "" if value is None else repr(value)
    return text.encode("utf-8", "backslashreplace").decode()
