"""No held-out row has a relative in training, whatever the family trees and twins."""

import random

import pytest

from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts.splits import choose, relatives
from dataset_scripts.stage_files import read_rows
from tests.conftest import code_rows


@pytest.mark.parametrize("seed", range(25))
def test_no_edge_crosses_from_train_to_test(seed):
    """Random family trees and twins; some edges lead to rows that are not in the mixture (`gone`)."""
    rng = random.Random(seed)
    ids = [f"{rng.random():.12f}" for _ in range(rng.randint(50, 400))]
    gone = [f"gone{i}" for i in range(len(ids) // 5)]
    everything = ids + gone
    edges = [tuple(rng.sample(everything, 2)) for _ in range(rng.randint(0, len(ids) // 2))]
    groups = relatives(ids, edges)
    assert sorted(row for group in groups for row in group) == sorted(ids)
    test = choose(groups, 0.2, seed)
    neighbours = {row: set() for row in everything}
    for one, other in edges:
        neighbours[one].add(other)
        neighbours[other].add(one)
    for row in test:  # a walk over edges never reaches a row of training
        reached, todo = {row}, [row]
        while todo:
            todo += (new := neighbours[todo.pop()] - reached)
            reached |= new
        assert not {i for i in reached if i in ids} - test
    assert 0.1 * len(ids) < len(test) <= round(0.2 * len(ids))
    assert relatives(ids, edges[::-1]) != [] and choose(relatives(ids, edges[::-1]), 0.2, seed) == test


def test_rows_that_are_not_related_are_not_tied_together():
    assert relatives(["a", "b", "c"], [("a", "x"), ("x", "b")]) == [["a", "b"], ["c"]]
    assert relatives(["a", "b"], []) == [["a"], ["b"]]


def test_another_seed_holds_out_other_rows_and_new_rows_move_none_that_fit():
    groups = [[f"r{i}"] for i in range(1000)]
    test = choose(groups, 0.02, 0)
    assert len(test) == 20 and choose(groups, 0.02, 1) != test
    more = choose(groups, 0.05, 0)
    assert test < more and len(more) == 50, "samples are nested"


def test_a_group_that_is_larger_than_the_share_is_trained_on():
    groups = [[f"big{i}" for i in range(90)], *([f"r{i}"] for i in range(10))]
    assert choose(groups, 0.05, 3) == choose(groups[1:] + groups[:1], 0.05, 3)
    assert len(choose(groups, 0.05, 3)) == 5 and not any(i.startswith("big") for i in choose(groups, 0.05, 3))


WORDS = [f"word{i}" for i in range(60)]


def related_rows():
    """40 strangers; 30 pairs of one instruction with two answers; 30 pairs of twins at J ~ 0.6."""
    rows = code_rows(40)
    for n in range(30):
        code = f"```python\ndef f{n}(x):\n    return x + {n}\n```"
        rows += [(f"Explain why number {n} matters here.", code), (f"explain why  number {n} matters here.", "x = 1")]
        words = [f"{word}n{n}" for word in WORDS]
        rows += [(" ".join(words), code + " one"), (" ".join(words[:50]), code + " one two " + " ".join(words[50:]))]
    return rows


@pytest.mark.parametrize(
    "final", [{"mode": "replace"}, {"mode": "add", "prompt": "shuffled"}, {"alchemist_share": 0.0}]
)
def test_mixtures_that_differ_in_their_prompts_hold_out_the_same_rows(toy_source, mixture_file, tmp_path, final):
    toy_source(related_rows())
    plain = {"alchemist_share": 0.5, "mode": "add", "split": {"test_share": 0.3, "twin_jaccard": 0.4}}
    sides = []
    for settings in (plain, plain | final):
        path = mixture_file(_02_dedup=None, _03_clean=None, _04_decontaminate=None, _09_mixture=settings)
        folder = builder.build(path, tmp_path / "build", workers=1) / "09_mixture"
        side = read_rows(folder, "facts", ["id", "split"])["split"].to_pylist()
        sides.append([row for row, its in zip(read_rows(folder).to_pylist(), side, strict=True) if its == "test"])
    assert sides[0] == sides[1] and not any(row["alchemist_prompt"] for row in sides[0])


def test_a_mixture_holds_out_whole_families_and_copies_stay_with_their_rows(toy_source, mixture_file, tmp_path):
    rows = related_rows()
    toy_source(rows)
    split = {"test_share": 0.3, "twin_jaccard": 0.4}
    path = mixture_file(
        _02_dedup={"near_duplicate_similarity": 0.9}, _03_clean=None, _04_decontaminate=None,
        _09_mixture={"alchemist_share": 0.5, "mode": "add", "split": split},
    )  # fmt: skip
    folder = builder.build(path, tmp_path / "build", workers=2) / "09_mixture"
    side = dict(
        zip(*(read_rows(folder, "facts", ["id", "split"])[c].to_pylist() for c in ("id", "split")), strict=True)
    )
    kept = read_rows(folder).to_pylist()
    assert len(side) == len(kept) and set(side.values()) == {"train", "test"}
    notes = read_json(folder / "manifest.json")["notes"]
    originals = [row for row in kept if not row["parents"]]
    held_out = [row for row in originals if side[row["id"]] == "test"]
    assert notes["rows_in_test"] == len(held_out) and 40 < len(held_out) <= 48
    assert notes["groups"] == 40 + 30 + 30 and notes["rows_in_the_largest_group"] == 2
    copies = [row for row in kept if row["parents"]]
    assert len(copies) > 20 and all(side[row["id"]] == side[row["parents"][0]] == "train" for row in copies)
    of_text = {(row["instruction"], row["response"]): side[row["id"]] for row in originals}
    for place in range(40, len(rows), 2):
        assert of_text[rows[place]] == of_text[rows[place + 1]]


def test_two_children_of_a_row_that_was_rejected_on_the_way_stay_together(tmp_path, toy_source, mixture_file):
    """09_mixture sees neither their parent nor what it was made from: the stages before do."""
    from dataset_scripts.engine import Processes
    from dataset_scripts.schema import make_row
    from dataset_scripts.stage import Rows, Stage, run_on_stream

    def row(n, *parents, reason=None):
        made = make_row(
            source="t",
            instruction=f"i{n}",
            response="r",
            license="MIT",
            generator="human",
            language="p",
            parents=parents,
        )
        return made | {"reason": reason}

    ancestor, between = row(0), row(1, row(0)["id"], reason="too_short")
    child = row(2, between["id"])
    run_on_stream(Stage("05_evolve", "k", 10), tmp_path, [ancestor, between, child], None)
    rows = Rows(Stage("09_mixture", "k", 10), tmp_path, tmp_path, Processes(1))
    edges = [(row_id, parent) for row_id, parents in rows.parents() for parent in parents]
    (found,) = relatives([ancestor["id"], child["id"]], edges)
    assert sorted(found) == sorted([ancestor["id"], child["id"]])


def test_families_that_all_exceed_the_share_are_refused(toy_source, mixture_file, tmp_path):
    toy_source([("The one question of them all.", f"The answer is {n} of {'very ' * n} many.") for n in range(12)])
    final = {"alchemist_share": 0, "mode": "add", "split": {"test_share": 0.1, "twin_jaccard": 0.5}}
    path = mixture_file(_03_clean=None, _04_decontaminate=None, _08_customise=None, _09_mixture=final)
    with pytest.raises(Refusal, match=r"test_share is 0.1 of 12 rows.* of 1 groups of related rows has 12: the test"):
        builder.build(path, tmp_path / "build", workers=1)


def test_a_handful_of_rows_gives_a_test_split_of_one(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(8))
    final = {"alchemist_share": 0, "mode": "add", "split": {"test_share": 0.02, "twin_jaccard": 0.5}}
    folder = builder.build(mixture_file(_08_customise=None, _09_mixture=final), tmp_path / "build", workers=1)
    assert read_rows(folder / "09_mixture", "facts", ["split"])["split"].to_pylist().count("test") == 1


def test_what_is_held_out_is_published_as_the_test_split_of_every_configuration(toy_source, mixture_file, tmp_path):
    import datasets

    from model_cards import render

    toy_source(code_rows(60))
    final = {"alchemist_share": 0.5, "mode": "add", "split": {"test_share": 0.2, "twin_jaccard": 0.5}}
    build = builder.build(mixture_file(_09_mixture=final), tmp_path / "build", workers=1)
    folder = render.pack_dataset(build, tmp_path / "hub")
    side = {row["id"]: row["split"] for row in read_rows(build / "09_mixture", "facts", ["id", "split"]).to_pylist()}
    for name in ("sft", "toy"):
        published = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        assert {split: set(rows["id"]) for split, rows in published.items()} == {
            split: {row_id for row_id, its in side.items() if its == split} for split in ("train", "test")
        }
