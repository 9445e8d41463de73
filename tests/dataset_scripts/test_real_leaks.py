"""What the demo's rule removes of real rows: read by hand, counted here.

judged_leaks.json holds a verdict per removed row: a leak when the row asks for the item's task, or when its code,
renamed, is an answer to the item; else a neighbour, which the rule should have kept. Ids and verdicts, no text.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from artefacts import ROOT
from dataset_scripts import decontaminate
from dataset_scripts.schema import row_id
from evaluation import benchmarks
from tests.perf.decontaminate_rows import language_of, original_rows

JUDGED = json.loads((Path(__file__).parent / "judged_leaks.json").read_text())


def removed_ids(source, pairs, settings, index):
    """Ids of the rows of one source that the rule removes."""
    seen, ids = Counter(), []
    for pair in pairs:
        seen[pair] += 1
        ids.append(row_id(source, *pair, seen[pair]))
    found = set()
    for start in range(0, len(pairs), 500):
        part = pairs[start : start + 500]
        columns = {"instruction": [i for i, _ in part], "response": [r for _, r in part]}
        out = decontaminate.batch(
            columns | {"language": [language_of(source)] * len(part)}, index=index, config=settings
        )
        found |= {i for i, reason in zip(ids[start:], out["reason"], strict=False) if reason}
    return found


@pytest.mark.slow
def test_at_most_one_in_two_hundred_rows_of_a_source_is_removed_wrongly(real_data):
    values = yaml.safe_load((ROOT / "recipes/mixtures/demo.yaml").read_text())["04_decontaminate"]
    settings = decontaminate.Config(**values | {"benchmarks": list(benchmarks.NAMES)})
    index = decontaminate.indexed(settings, decontaminate.load(settings, "test"), "test")
    leaks = {row["id"]: row["leak"] for row in JUDGED}
    sources = original_rows()
    removed = {source: removed_ids(source, pairs, settings, index) for source, pairs in sources.items()}
    assert set().union(*removed.values()) == set(leaks), "a removed row that nobody has read, or a verdict too many"
    wrong = {source: sum(not leaks[i] for i in ids) / len(sources[source]) for source, ids in removed.items()}
    assert all(share <= 0.005 for share in wrong.values()), wrong
    assert sum(leaks.values()) >= 80
