"""Which rows are reviewed, and what their own tests say of them.

reads   the kept rows of the stage before, shard by shard; tests beside 01_sources; the rows that 03_clean rejected for
        failing their own tests; build/row_tests.jsonl, to which it adds verdicts
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from dataset_scripts import row_tests
from dataset_scripts.counterparts import MAX_CHARS
from dataset_scripts.earlier_rows import findings_of, texts_of
from dataset_scripts.licences import combined
from dataset_scripts.sample import nested_sample, order
from dataset_scripts.stage import Rows
from dataset_scripts.stage_files import shards
from dataset_scripts.syntax import LANGUAGES

FENCES = (0, 2)  # marks of a fence in a response with one piece of code
_FAILS = "fails_own_tests"


class Asked(NamedTuple):
    """A row to review.

    Attributes:
        row: None for the row behind which the review stands; a whole row where it is none of the input.
        verdict: what its own tests said (`row_tests`), None where there are none or nothing was run.
        tests: its tests as 01_sources keeps them; None where it has none, or only its own asserts.
    """

    row: dict[str, Any] | None
    verdict: str | None
    tests: str | None


def rows_to_review(
    rows: Rows, max_rows: int, seed: int, python_only: bool, config: row_tests.Config | None, failing_rows: bool
) -> tuple[dict[str, list[Asked]], dict[str, Any]]:
    """Id of a kept row -> what is reviewed behind it; and what the manifest should say of it."""
    languages = ("python",) if python_only else LANGUAGES
    candidates = list(_candidates(shards(rows.source), languages, rows.stage.name))
    kept = [row_id for row_id, *_ in candidates]
    failing = _failing(rows.build / "03_clean") if failing_rows else set()
    if failing:
        files = shards(rows.build / "03_clean", "rejected")
        candidates += [found for found in _candidates(files, languages, rows.stage.name) if found[0] in failing]
    left_out: Counter[str] = Counter()
    able = []
    for row_id, source, licence in candidates:
        if combined((licence,)) is None:
            left_out["licence"] += 1
        else:
            able.append((row_id, source))
    sources = [source for _, source in able]
    sample = nested_sample(able, sources, min(1.0, max_rows / max(len(able), 1)), seed)
    poor = texts_of(rows.build / "03_clean", "rejected", sample & failing)
    verdicts, tests = _verdicts(rows, sample, poor, config) if config else ({}, {})
    found: dict[str, list[Asked]] = defaultdict(list)
    for row_id in (row_id for row_id, _ in able if row_id in sample):
        verdict = verdicts.get(row_id)
        if row_id not in poor:
            found[row_id].append(Asked(None, verdict, tests.get(row_id)))
        elif verdict in row_tests.FAILED:  # any row of the input will do to stand behind
            seat = kept[int.from_bytes(order(row_id, seed)[:6]) % len(kept)]
            found[seat].append(Asked(poor[row_id], verdict, tests.get(row_id)))
        else:
            left_out["passes_its_tests_here"] += 1
    counted = Counter(verdict or "not_run" for verdict in (one.verdict for some in found.values() for one in some))
    notes = {
        "rows": counted.total(), "rows_that_can_be_reviewed": len(able), "verdicts": dict(sorted(counted.items())),
        "left_out": dict(sorted(left_out.items())),
    }  # fmt: skip
    return dict(found), notes


def _candidates(files: list[Path], languages: Collection[str], name: str) -> Iterator[tuple[str, str, str]]:
    """(id, source, licence) of the rows that look as if they held one program, short enough to quote."""
    for path in tqdm(files, desc=f"{name}: rows to review", unit=" shards", leave=False, disable=None, delay=2):
        table = pq.read_table(path, columns=["id", "source", "license", "language", "task", "instruction", "response"])
        fits = pc.is_in(table["language"], pa.array(languages, pa.string()))
        fits = pc.and_(fits, pc.is_in(table["task"], pa.array(["generation", "commit"])))
        fits = pc.and_(fits, pc.is_valid(table["response"]))
        for text in ("instruction", "response"):
            fits = pc.and_(fits, pc.less_equal(pc.utf8_length(table[text]), MAX_CHARS))
        fences = pc.is_in(pc.count_substring(table["response"], "```"), pa.array(FENCES, pa.int32()))
        table = table.filter(pc.and_(fits, pc.or_(fences, pc.equal(table["task"], "commit"))))
        yield from zip(*(table[column].to_pylist() for column in ("id", "source", "license")), strict=True)


def _failing(cleaned: Path) -> set[str]:
    return {
        row_id for row_id, findings in findings_of(cleaned).items()
        if findings and all(finding.startswith(f"{_FAILS}:") for finding in findings)
    }  # fmt: skip


def _verdicts(
    rows: Rows, sample: Collection[str], poor: dict[str, dict], config: row_tests.Config
) -> tuple[dict[str, str], dict[str, str]]:
    """(id -> verdict, id -> tests) of the sample's rows; what says nothing of a row is left out."""
    tests = row_tests.tests_of(rows.build, sample)
    texts = texts_of(rows.source, "kept", set(sample) - poor.keys()) | poor
    jobs = ((row_id, texts[row_id]["response"], tests.get(row_id)) for row_id in sorted(texts))
    statuses = row_tests.judged(config, rows.build.parent / row_tests.RECORD, jobs)
    return {i: s for i, s in statuses.items() if s == "ok" or s in row_tests.FAILED}, tests
