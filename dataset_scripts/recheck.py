"""07_recheck: every row that 05_evolve or 06_comprehend made passes what the sources' rows have passed before.

reads   the kept rows of the stage before; writes build/<mixture>/07_recheck/

    row of a source     kept as it is: it has passed, and never gives way to a new row
    new row             cleaned ──► compared with all rows ──► compared with the benchmarks

by 03_clean, 02_dedup and 04_decontaminate, with their settings in the same mixture file; a stage that the file does
not name is not repeated. Cleaning comes first here: what is rejected for other reasons was searched for secrets by
then, and no row is lost to a twin that cleaning rejects. Reasons and facts are those of the three stages.

An evolved row faces every check of cleaning; rows of comprehension tasks, which speak about good and bad code, those
that fit them (`comprehend.CHECKS`). Secrets, addresses, refusals and rows' own tests are looked at in every row. A row
of a comprehension task repeats its parents' texts on purpose, so it is compared with rows of its own task alone; with
the benchmarks it is compared as a whole, for data filtering learns from rows that cleaning had rejected and
decontamination never saw.
"""

import functools
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artefacts import Refusal, StrictModel
from dataset_scripts import clean, comprehend, decontaminate, dedup, evolve
from dataset_scripts.schema import COMPREHENSION_TASKS
from dataset_scripts.sources import CHECKS, Check
from dataset_scripts.stage import Prepared, Rows

PINS = tuple(dict.fromkeys((*clean.PINS, *dedup.PINS, *decontaminate.PINS)))
FACTS = pa.schema([*clean.FACTS, *dedup.FACTS, *decontaminate.FACTS])  # null on rows of sources
MAKERS = ("05_evolve", "06_comprehend")  # stages that make rows
REPEATED = ("02_dedup", "03_clean", "04_decontaminate")
CHECKS_OF: Mapping[str, frozenset[Check]] = {  # source of new rows -> the checks of cleaning that fit them
    evolve.SOURCE: frozenset(CHECKS),
    **{task: frozenset({"refusal", *checks}) for task, checks in comprehend.CHECKS.items()},
}
_READ = [*dedup.READ, "source", "language", "task"]


class Config(StrictModel):
    """`07_recheck: {}` in a mixture file: it has no settings of its own."""


class Settings(StrictModel):
    """What it goes by: the settings of the stages that it repeats, None for those that the file does not name."""

    dedup: dedup.Config | None
    clean: clean.Config | None
    decontaminate: decontaminate.Settled | None


def check(named: list[str], where: str) -> None:
    """Every mixture with new rows has them checked.

    Args:
        named: stages of the mixture file.

    Raises:
        Refusal: it has not, or there are no new rows, or nothing would be asked of them.
    """
    makers = [name for name in MAKERS if name in named]
    if makers and "07_recheck" not in named:
        raise Refusal(
            f"{where}: {makers[0]} makes rows that nobody has searched for secrets or compared with the benchmarks; "
            "add `07_recheck: {}`."
        )
    if "07_recheck" in named and not makers:
        raise Refusal(f"{where}: 07_recheck looks at new rows, and no stage makes any; leave it out.")
    if "07_recheck" in named and not set(REPEATED) & set(named):
        raise Refusal(
            f"{where}: 07_recheck repeats {', '.join(REPEATED)} by their settings, and the file has none of them; "
            "name one."
        )


def inputs(settings: Settings, where: str) -> list[str]:
    """See `decontaminate.inputs`."""
    return decontaminate.inputs(settings.decontaminate, where) if settings.decontaminate else []


def is_new(source: str) -> bool:
    """True of rows that the project made: nobody has looked at them before this stage."""
    return source in CHECKS_OF


def sketch(rows: pa.Table, *, with_grams: bool, cleaning: Mapping[str, Any] | None) -> pa.Table:
    """`dedup.sketch` with what else tells twins here: whether the row is new, what it is compared with, and whether
    cleaning keeps it."""
    sources = rows["source"].to_pylist()
    reasons = batch(rows.to_pydict(), cleaning=cleaning)["reason"]
    columns = {
        "new": pa.array([int(is_new(source)) for source in sources], pa.int32()),
        "group": pa.array([source if source in COMPREHENSION_TASKS else "" for source in sources], pa.string()),
        "sound": pa.array([reason is None for reason in reasons], pa.bool_()),
    }
    found = dedup.sketch(rows, with_grams=with_grams)
    return pa.table({name: found[name] for name in found.column_names} | columns)


def find_twins(sketches: pa.Table, similarity: float | None) -> dict[str, tuple[str, float, str]]:
    """See `dedup.find_twins`; rows of sources come first, so only new rows are ever rejected."""
    sound = sketches.filter(sketches["sound"])
    twins: dict[str, tuple[str, float, str]] = {}
    for group in pc.unique(sound["group"]).to_pylist():
        some = sound.filter(pc.equal(sound["group"], group))
        if pc.max(some["new"]).as_py():
            twins |= dedup.find_twins(some, similarity, ("new", *dedup.GRADES))
    return twins


def prepare(settings: Settings, rows: Rows, seed: int, where: str) -> Prepared:
    """Prepare what the three stages prepare, and find the new rows' twins.

    Raises:
        Refusal: see `clean.prepare` and `decontaminate.prepare`.
    """
    new = sum(map(is_new, rows(["source"])["source"].to_pylist()))
    arguments: dict[str, Any] = {}
    notes: dict[str, Any] = {"new_rows": new}
    if not new:
        return Prepared(arguments, notes)
    if settings.clean:
        prepared = clean.prepare(settings.clean, rows, seed, where)
        arguments["cleaning"] = prepared.arguments | {"checks": CHECKS_OF}
        notes |= prepared.notes
    if settings.dedup:
        similarity = settings.dedup.near_duplicate_similarity
        look = functools.partial(sketch, with_grams=similarity is not None, cleaning=arguments.get("cleaning"))
        arguments["twins"] = find_twins(rows.map(look, _READ), similarity)
    if settings.decontaminate:
        prepared = decontaminate.prepare(settings.decontaminate, rows, seed, where)
        arguments["decontamination"] = prepared.arguments
        notes |= prepared.notes
    return Prepared(arguments, notes)


def batch(
    columns: dict, *, cleaning: Mapping[str, Any] | None = None,
    twins: Mapping[str, tuple[str, float, str]] | None = None, decontamination: Mapping[str, Any] | None = None,
) -> dict:  # fmt: skip
    """The columns with the reasons and facts of new rows; a row rejected by one gate does not come to the next.

    Args:
        cleaning, twins, decontamination: what `clean.batch`, `dedup.batch` and `decontaminate.batch` are given; None
            for a stage that is not repeated.
    """
    gates = (
        (clean, cleaning),
        (dedup, None if twins is None else {"twins": twins}),
        (decontaminate, decontamination),
    )
    rows = len(columns["id"])
    out = columns | {name: [None] * rows for name in ("reason", *FACTS.names)}
    left = [place for place, source in enumerate(columns["source"]) if is_new(source)]
    for module, arguments in gates:
        if arguments is None or not left:
            continue
        found = module.batch({name: [column[p] for p in left] for name, column in columns.items()}, **arguments)
        for name in ("reason", *module.FACTS.names):
            for place, value in zip(left, found[name], strict=True):
                out[name][place] = value
        left = [place for place in left if out["reason"][place] is None]
    return out
