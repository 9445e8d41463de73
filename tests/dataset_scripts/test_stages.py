"""Each stage's own judgement, on rows small enough to read."""

import pyarrow as pa
import pytest

from artefacts import Refusal
from dataset_scripts import collect, mixture, sources
from dataset_scripts.collect import unusable
from dataset_scripts.schema import SCHEMA, make_row, messages, row_id


def table(pairs, **columns) -> pa.Table:
    rows = [
        make_row(source="t", instruction=i, response=r, license="MIT", generator="human", language="python")
        for i, r in pairs
    ]
    return pa.Table.from_pylist([row | columns for row in rows], schema=SCHEMA)


@pytest.mark.parametrize(
    ("instruction", "response", "reason"),
    [
        ("do", "x = 1", None),
        ("do", "x = '\0'", "nul_byte"),
        ("do", "x = '\ud800'", "lone_surrogate"),
        ("do", "x" * 5_000_000, "too_large"),
        ("do", "é" * 600_000, "too_large"),
        ("", "x", "empty_field"),
        ("do", " \n", "empty_field"),
        (None, "x", "empty_field"),
        ("do", 5, "not_text"),
        ("do", ["x"], "not_text"),
    ],
)
def test_a_raw_row_that_cannot_be_a_row_has_a_reason(instruction, response, reason):
    assert unusable(instruction, response, max_row_bytes=1_000_000) == reason


def test_bad_raw_rows_are_rejected_and_storable_not_lost(toy_source):
    toy_source([("a", "x\0"), ("b", "\ud800"), ("c", None), ("d", 5), ("e", "print(1)"), ("e", "print(1)")])
    rows = list(collect.rows([collect.SourceConfig(source="toy")], {"toy": "1"}, 0, "toy.yaml"))
    assert [r["reason"] for r in rows] == ["nul_byte", "lone_surrogate", "empty_field", "not_text", None, None]
    assert pa.Table.from_pylist(rows, schema=SCHEMA).num_rows == 6
    assert len({r["id"] for r in rows}) == 6, "equal rows differ by their occurrence"


def test_an_empty_source_is_refused(toy_source):
    toy_source([])
    with pytest.raises(Refusal, match="source 'toy' of toy.yaml gave no rows"):
        list(collect.rows([collect.SourceConfig(source="toy")], {"toy": "1"}, 0, "toy.yaml"))


def test_a_source_whose_columns_changed_is_refused(toy_source, monkeypatch):

    changed = sources.Source(
        "MIT", "human", lambda: "1", lambda *_: iter([{"q": "a"}]), lambda raw: (raw["instruction"], "")
    )
    monkeypatch.setattr(sources, "load", lambda *_: changed)
    with pytest.raises(Refusal, match="row 1: no column 'instruction', only q"):
        list(collect.rows([collect.SourceConfig(source="toy")], {"toy": "1"}, 0, "toy.yaml"))


def test_row_ids_tell_fields_apart():
    assert row_id("s", "ab", "c") != row_id("s", "a", "bc") != row_id("sa", "b", "c")
    assert row_id("s", "a", "b", 1) != row_id("s", "a", "b")
    assert len(row_id("s", "a", "\ud800")) == 20


def with_prompts(count):
    rows = table([(f"i{n}", "r") for n in range(count)], alchemist_prompt="Use Python.")
    return rows


def chosen_at(rows, share, seed):
    config = mixture.Config(alchemist_share=share, mode="add")
    return mixture.choose(config, rows, mixture.prompts_of(config, rows, None), seed, "toy.yaml")


def test_samples_of_growing_shares_are_nested_and_of_the_right_size():
    rows = with_prompts(200)
    chosen = [chosen_at(rows, share, 0) for share in (0, 0.05, 0.2, 1)]
    assert [len(c) for c in chosen] == [0, 10, 40, 200]
    assert chosen[0] <= chosen[1] <= chosen[2] <= chosen[3]
    assert chosen[1] != chosen_at(rows, 0.05, 1)


def test_add_appends_a_copy_and_leaves_its_parent_without_prompt():
    rows = with_prompts(3)
    ids = rows["id"].to_pylist()
    out = mixture.batch(
        rows.to_pydict(), config=mixture.Config(alchemist_share=0.5, mode="add"), chosen={ids[1]: "Use Python."}
    )
    assert len(out["id"]) == 4 and out["id"][:2] == ids[:2]
    assert out["alchemist_prompt"] == [None, None, "Use Python.", None]
    assert out["parents"][2] == [ids[1]] and out["id"][2] not in ids


def test_replace_keeps_every_row_once():
    rows = with_prompts(3)
    ids = rows["id"].to_pylist()
    out = mixture.batch(
        rows.to_pydict(), config=mixture.Config(alchemist_share=0.5, mode="replace"), chosen={ids[1]: "Use Python."}
    )
    assert out["id"] == ids and out["alchemist_prompt"] == [None, "Use Python.", None]


def test_what_an_ablation_leaves_out_is_rejected_by_reason_and_carries_no_prompt():
    rows = with_prompts(4).to_pylist()
    for row, source, task in zip(rows, "aabb", ("commit", "generation", "commit", "commit"), strict=True):
        row |= {"source": source, "task": task}
    config = mixture.Config(alchemist_share=1.0, mode="add", without_sources=["b"], without_tasks=["generation"])
    table = pa.Table.from_pylist(rows)
    prepared = mixture.prepare(config, lambda columns, kind="kept": table.select(columns), 0, "here")
    assert set(prepared.arguments["chosen"]) == {rows[0]["id"]}
    out = mixture.batch(table.to_pydict(), **prepared.arguments)
    assert out["reason"] == [None, None, "task_left_out", "source_left_out", "source_left_out"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"without_sources": ["tou"]}, "09_mixture.without_sources names 'tou', and no row is of it; known: t"),
        ({"without_tasks": ["code_review"]}, "without_tasks names 'code_review'.* known: generation"),
        ({"without_sources": ["t"]}, "leaves every row out"),
    ],
)
def test_leaving_out_what_is_not_there_or_all_is_refused(changes, says):
    table = with_prompts(3)
    config = mixture.Config(alchemist_share=0.0, mode="add", **changes)
    with pytest.raises(Refusal, match=says):
        mixture.prepare(config, lambda columns, kind="kept": table.select(columns), 0, "here")


def test_the_prompt_stands_before_the_unchanged_instruction():
    row = with_prompts(1).to_pylist()[0]
    assert messages(row)[0] == {"role": "user", "content": "Use Python.\n\ni0"}
    assert messages(row | {"alchemist_prompt": None})[0]["content"] == "i0"
