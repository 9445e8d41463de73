"""Near-duplicates against a second, naive implementation of the same definition; what is rejected, and for what."""

import random
import re

import numpy as np
import pyarrow as pa
import pytest

from artefacts import read_json
from dataset_scripts import build as builder
from dataset_scripts import dedup, near_duplicates
from dataset_scripts.near_duplicates import grams, keep_best, similar_pairs
from dataset_scripts.schema import SCHEMA, make_row
from dataset_scripts.stage_files import read_rows
from tests.conftest import code_rows

VOCABULARY = [f"w{i}" for i in range(40)]


def naive_grams(instruction, response):
    """The definition in words: tuples of words, of the instruction and of the response apart."""
    found = set()
    for field, text in enumerate((instruction, response)):
        words = re.findall(r"\w+", text.lower())
        tuples = [tuple(words[i : i + 5]) for i in range(len(words) - 4)]
        found |= {(field, gram) for gram in tuples or [" ".join(text.split())]}
    return found


def jaccard(a, b):
    return len(a & b) / len(a | b) if a | b else 0.0


def naive_similarity(a, b):
    responses = [{gram for gram in some if gram[0] == 1} for some in (a, b)]
    return min(jaccard(a, b), jaccard(*responses))


def perturbed_rows(count, seed):
    """Copies of few texts with words changed, dropped and doubled, so that every similarity occurs."""
    rng = random.Random(seed)
    originals = [[rng.choice(VOCABULARY) for _ in range(rng.choice((2, 4, 5, 6, 20, 60)))] for _ in range(12)]

    def copy():
        text = [word if rng.random() > 0.03 else rng.choice(VOCABULARY) for word in rng.choice(originals)]
        return " ".join(text[: rng.choice((len(text), len(text), max(1, len(text) - 3)))])

    return [(copy(), copy()) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 1.0])
def test_every_pair_that_brute_force_finds_and_no_other(seed, threshold):
    rows = perturbed_rows(150, seed)
    naive = [naive_grams(*row) for row in rows]
    expected = {}
    for second in range(len(rows)):
        for first in range(second):
            if jaccard(naive[first], naive[second]) >= threshold - 1e-9:
                expected[first, second] = naive_similarity(naive[first], naive[second])
    found = {}
    for pairs in similar_pairs(grams(*zip(*rows, strict=True)), threshold):
        keys = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        found |= dict(zip(keys, pairs.similarity.tolist(), strict=True))
    assert len(expected) > 2
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("size", range(1, 40))
def test_a_pair_exactly_at_the_threshold_is_found_whatever_the_rounding(size):
    """|A n B| = 11k, |A u B| = 20k: 0.55 * 20k is 55.00000000000001 for k = 5, whose prefix must not be cut short."""
    hashes = np.arange(1, 20 * size + 1, dtype=np.uint64) * np.uint64(2) | np.uint64(1)
    offsets = np.array([0, 11 * size, 31 * size])
    (pairs,) = similar_pairs(near_duplicates.Grams(offsets, np.concatenate([hashes[: 11 * size], hashes])), 0.55)
    assert pairs.similarity.tolist() == [0.55]


@pytest.mark.parametrize("at_once", [10, 1 << 22])
@pytest.mark.parametrize("seed", range(3))
def test_kept_rows_are_unlike_each_other_and_a_rejected_row_is_like_its_kept_twin(seed, at_once, monkeypatch):
    monkeypatch.setattr(near_duplicates, "_CANDIDATES_AT_ONCE", at_once)  # portions, and rows that go between them
    rows = perturbed_rows(200, seed)
    rejected = keep_best(grams(*zip(*rows, strict=True)), 0.7)
    naive = [naive_grams(*row) for row in rows]
    kept = [i for i in range(len(rows)) if i not in rejected]
    assert 20 < len(kept) < 180
    for place, second in enumerate(kept):
        assert all(naive_similarity(naive[first], naive[second]) < 0.7 for first in kept[:place])
    for row, (twin, similarity) in rejected.items():
        assert twin in kept and twin < row
        assert similarity == pytest.approx(naive_similarity(naive[row], naive[twin])) and similarity >= 0.7


def test_a_chain_loses_its_middle_alone():
    words = [f"w{i}" for i in range(100)]
    a, b, c = (" ".join(words[start : start + 70]) for start in (0, 8, 16))  # a ~ b ~ c, a and c are not similar
    rejected = keep_best(grams([a, b, c], [a, b, c]), 0.7)
    assert list(rejected) == [1] and rejected[1][0] == 0
    assert list(keep_best(grams([b, a, c], [b, a, c]), 0.7)) == [1, 2], (
        "the best one is the middle: both are its twins"
    )


def test_the_hashes_of_a_row_depend_on_the_row_alone(monkeypatch):
    rows = perturbed_rows(50, 0)
    together = grams(*zip(*rows, strict=True))
    monkeypatch.setattr(near_duplicates, "_TEXTS_AT_ONCE", 14)
    near_duplicates._hash_of_word.cache_clear()
    for i, part in enumerate(grams([a], [b]) for a, b in reversed(rows)):
        row = len(rows) - 1 - i
        assert part.hashes.tolist() == together.take(np.array([row])).hashes.tolist()
    again = grams(*zip(*rows, strict=True))
    assert again.hashes.tolist() == together.hashes.tolist()


def test_counting_in_portions_changes_nothing(monkeypatch):
    sets = grams(*zip(*perturbed_rows(120, 3), strict=True))
    whole = keep_best(sets, 0.5)
    monkeypatch.setattr(near_duplicates, "_HASHES_AT_ONCE", 100)
    assert keep_best(sets, 0.5) == whole and whole


LONG = "Here is a program of two hundred words about trees " + " ".join(f"word{i}" for i in range(60))
CODE = "def walk(tree):\n    for node in tree.nodes:\n        visit(node)\n        walk(node.left)\n"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (("Do  it now", "x = 1"), ("Do it now", "x = 1\n"), "duplicate"),
        (("e\u0301 it", "x = 1"), ("\u00e9 it", "x = 1"), "duplicate"),
        (("Do it", "x = 1"), ("Do it", "x = 2"), None),  # fewer than five words: equal or not
        ((LONG, CODE), (LONG, CODE.replace("    ", "\t").upper()), "near_duplicate"),  # laid out in another way
        ((LONG, CODE), (LONG + " please", CODE), "near_duplicate"),
        ((LONG, CODE), (LONG, "The third line never ends: it visits its parent again."), None),  # another answer
        ((LONG, "Line 3."), (LONG, "Line 4."), None),
        (("Sum all the even numbers in a list.", CODE), ("Now walk over a tree, please do.", CODE), None),
    ],
)
def test_what_counts_as_a_duplicate(first, second, reason):
    rows = table([first, second])
    twins = dedup.find_twins(dedup.sketch(rows, with_grams=True), 0.7)
    ids = rows["id"].to_pylist()
    out = dedup.batch(rows.to_pydict(), twins=twins)
    rejected = [place for place, found in enumerate(out["reason"]) if found]
    assert [out["reason"][place] for place in rejected] == ([reason] if reason else [])
    assert all(out["twin"][place] == ids[1 - place] and 0.7 <= out["similarity"][place] <= 1 for place in rejected)


def table(pairs, **columns):
    given = [
        make_row(source=f"s{i}", instruction=a, response=b, license="MIT", generator="human", language="python")
        for i, (a, b) in enumerate(pairs)
    ]
    for name, values in columns.items():
        given = [row | {name: value} for row, value in zip(given, values, strict=True)]
    return pa.Table.from_pylist(given, schema=SCHEMA)


@pytest.mark.parametrize(
    ("columns", "responses"),
    [
        ({"license": ["CC-BY-NC-4.0", "MIT"]}, [CODE, CODE]),
        ({"license": ["unknown", "GPL-3.0"]}, [CODE, CODE]),
        ({"license": ["CC-BY-NC-4.0", "MIT"], "generator": ["human", "gpt-4"]}, [CODE, CODE]),  # licence first
        ({"generator": ["gpt-4", "human"]}, [CODE, CODE]),
        ({"generator": ["gpt-4", "bigcode/starcoder"]}, [CODE, CODE]),
        ({"generator": ["bigcode/starcoder", "static"]}, [CODE, CODE]),
        ({}, [CODE + " and", CODE]),  # no code but longer, code
        ({}, [f"```python\n{CODE}```", f"```python\n{CODE}\n# the end of it\n```"]),  # cut off, whole
    ],
)
def test_the_better_of_two_twins_is_kept_wherever_it_stands(columns, responses):
    pairs = [(LONG, response) for response in responses]
    for order in (slice(None), slice(None, None, -1)):
        rows = table(pairs[order], **{name: values[order] for name, values in columns.items()})
        better = rows["id"].to_pylist()[1 if order == slice(None) else 0]
        twins = dedup.find_twins(dedup.sketch(rows, with_grams=True), 0.5)
        assert [twin for twin, *_ in twins.values()] == [better]


def test_of_equals_the_earlier_is_kept_and_a_copy_of_a_rejected_row_names_the_kept_one():
    rows = table([(LONG, CODE), (LONG, CODE), (LONG + " now", CODE + "pass"), (LONG + " now", CODE + "pass")])
    ids = rows["id"].to_pylist()
    sketches = dedup.sketch(rows, with_grams=True)
    assert dedup.find_twins(sketches, None) == {
        ids[1]: (ids[0], 1.0, "duplicate"),
        ids[3]: (ids[2], 1.0, "duplicate"),
    }
    twins = dedup.find_twins(sketches, 0.7)
    assert {row: (twin, reason) for row, (twin, _, reason) in twins.items()} == {
        ids[0]: (ids[2], "near_duplicate"),
        ids[1]: (ids[2], "near_duplicate"),
        ids[3]: (ids[2], "duplicate"),
    }


def test_of_two_identical_sources_every_row_of_the_second_names_its_twin(toy_source, mixture_file, tmp_path):
    rows = [(f"Add {n} to every number of a list of them.", f"```python\nadd{n} = {n}\n```") for n in range(25)]
    toy_source(rows, name="toy")
    toy_source(rows, name="other")
    path = mixture_file(_01_sources=[{"source": "toy"}, {"source": "other"}])
    folder = builder.build(path, tmp_path / "build", workers=2)
    ledger = read_json(folder / "02_dedup/ledger.json")["by_source"]
    assert ledger["toy"]["kept"] == 25 and ledger["other"]["rejected"] == {"duplicate": 25}
    rejected = read_rows(folder / "02_dedup", "rejected").to_pylist()
    facts = {
        row["id"]: row for row in read_rows(folder / "02_dedup", "facts", ["id", "twin", "similarity"]).to_pylist()
    }
    first = {row["instruction"]: row["id"] for row in read_rows(folder / "02_dedup").to_pylist()}
    assert [facts[row["id"]]["twin"] for row in rejected] == [first[row["instruction"]] for row in rejected]
    assert not (folder / "02_dedup/prepared").exists()


def test_the_same_rows_are_rejected_whatever_the_number_of_workers(toy_source, mixture_file, tmp_path):
    toy_source([(f"{a} number {n}", b) for n, (a, b) in enumerate(perturbed_rows(80, 5))])
    settings = {"near_duplicate_similarity": 0.5}
    path = mixture_file(_02_dedup=settings, _03_clean=None, _04_decontaminate=None)
    for workers in (1, 3):
        builder.build(path, tmp_path / str(workers), workers)
    found = [read_json(tmp_path / str(workers) / "toy/02_dedup/manifest.json")["digest"] for workers in (1, 3)]
    assert found[0] == found[1]
    assert read_json(tmp_path / "1/toy/02_dedup/ledger.json")["rejected"]["near_duplicate"] > 10


def test_the_longer_twin_is_not_kept_where_cleaning_will_reject_it(toy_source, mixture_file, tmp_path):
    """Broken twins are passed over until one lasts; where none does, the first reason is cleaning's, not a twin."""
    task = "Write a function that adds up the lengths of all words in a text, and leave out those that are too short"
    body = "def total(text):\n    words = text.split()\n    return sum(len(word) for word in words if len(word) > 2)\n"
    good, broken = f"```python\n{body}```", f"```python\n{body}\n# a longer one that ends (\n("
    worse = f"{broken} ( (\n```"
    addressed = f"```python\n{body}# jane.roe@gmx.net\n```"
    other = body.replace("total", "count").replace("2", "3").replace("words", "pieces").replace("text", "line")
    hopeless = [f"```python\n{other} {'(' * n}\n```" for n in (1, 2)]
    toy_source([
        (f"{task}.", good), (f"{task}!", f"{broken}\n```"), (f"{task} .", worse), (f"{task} !", addressed),
        ("Count long pieces of a line, one by one, and say how many there are.", hopeless[0]),
        ("Count long pieces of a line, one by one, and say how many there are!", hopeless[1]),
        *code_rows(3),
    ])  # fmt: skip
    settings = {"near_duplicate_similarity": 0.7}
    folder = builder.build(mixture_file(_02_dedup=settings, _04_decontaminate=None), tmp_path / "build", workers=1)
    kept = read_rows(folder / "03_clean")["response"].to_pylist()
    assert kept == [good, *(response for _, response in code_rows(3))]
    rejected = read_rows(folder / "02_dedup", "rejected")["response"].to_pylist()
    assert sorted(rejected) == sorted([f"{broken}\n```", worse, addressed, hopeless[0]])
    notes = read_json(folder / "02_dedup/manifest.json")["notes"]
    assert notes["kept_twins_that_cleaning_will_reject"] == 1
    ledger = read_json(folder / "03_clean/ledger.json")
    assert ledger["rejected"] == {"does_not_compile": 1}
