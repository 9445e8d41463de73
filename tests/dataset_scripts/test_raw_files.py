"""A user's own files and chats: columns detected or mapped, broken lines counted, broken files refused."""

import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artefacts import Refusal, read_json
from dataset_scripts import build, chats, commits, raw_rows, sources
from dataset_scripts.facts_of_code import has_code
from dataset_scripts.sources import Unreadable, jsonl, oasst_octopack
from dataset_scripts.stage_files import read_rows
from model_cards.dataset_repository import pack_dataset
from tests.conftest import code_rows

# a mixture of these rows as they are
PLAIN = {"_04_decontaminate": None, "_08_customise": None, "_09_mixture": {"alchemist_share": 0, "mode": "add"}}

OWN = {"licence": "MIT", "generator": "human"}


def write(folder, rows, name="mine.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def exchanges(*files, **more):
    source = sources.load("jsonl", "toy.yaml", OWN | {"files": list(files)} | more)
    return [source.pair(raw) for raw in source.read(source.find_revision(), None, 0)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "q", "output": "a"}, ("q", "a")),
        ({"instruction": "q", "input": "", "output": "a"}, ("q", "a")),
        ({"instruction": "q", "input": "x = 1", "output": "a"}, ("q\n\nx = 1", "a")),
        ({"instruction": "q", "input": "x", "response": "a", "id": 7}, ("q\n\nx", "a")),
        ({"prompt": "q", "completion": "a"}, ("q", "a")),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, ("q", "a")),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, ("q", "a")),
    ],
)
def test_the_usual_layouts_are_detected(tmp_path, row, expected):
    (found,) = exchanges(write(tmp_path, [row]))
    assert found[:2] == expected and found.origin == "mine.jsonl:1"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"instruction": "q", "output": "a", "response": "b"}, "the columns output, response can be read in two ways"),
        ({"instruction": "q", "prompt": "p", "output": "a"}, "the columns instruction, prompt can be read in two"),
        ({"messages": [], "instruction": "q", "output": "a"}, "the columns messages, instruction, output can be"),
        ({"text": "q"}, "columns text: neither a chat (`messages`) nor `instruction` and `response`"),
        ({"instruction": "q"}, "columns instruction: neither a chat"),
        ({"output": "a", "input": "q"}, "columns output, input: neither a chat"),
    ],
)
def test_columns_that_can_be_read_in_two_ways_or_in_none_are_refused(tmp_path, row, says):
    path = write(tmp_path, [row])
    with pytest.raises(Refusal) as refusal:
        exchanges(path)
    assert says in str(refusal.value) and str(refusal.value).startswith(path)


def test_a_column_that_only_a_later_row_has_makes_it_ambiguous_too(tmp_path):
    rows = [{"instruction": "q", "output": "a"}, {"instruction": "q", "response": "a"}]
    with pytest.raises(Refusal, match="output, response"):
        exchanges(write(tmp_path, rows))


def test_the_mixture_file_maps_columns(tmp_path):
    path = write(tmp_path, [{"q": "do", "best": "a", "output": "b", "response": "c"}])
    (found,) = exchanges(path, columns={"instruction": "q", "response": "best"})
    assert found[:2] == ("do", "a")
    with pytest.raises(Refusal, match="options of 'jsonl': unknown key 'columns.answer'"):
        exchanges(path, columns={"answer": "best"})
    with pytest.raises(Refusal, match="neither a chat"):
        exchanges(path, columns={"instruction": "q"})


def test_turns_that_no_row_holds_are_counted():
    turns = [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "q2"), ("assistant", "a2")]
    assert chats.first_exchange(turns)[:2] == ("q", "a")
    assert chats.first_exchange(turns).left_out == 3
    assert chats.first_exchange([("user", "q"), ("user", "q2"), ("assistant", "a2")])[:2] == ("q", None)
    assert chats.first_exchange([("Human", "q"), ("GPT", "a")])[:2] == ("q", "a")
    assert chats.first_exchange([]) == sources.Exchange(None, None)


def test_a_build_of_a_users_file_counts_every_bad_line(tmp_path, mixture_file):
    good = "```python\ndef f(x):\n    return x + 1  # long enough to be kept\n```"
    chat = [{"role": r, "content": c} for r, c in [("system", "s"), ("user", "q"), ("assistant", good), ("user", "u")]]
    lines = [
        json.dumps({"messages": chat}), '{"messages": [{"role": "user", "con', "[1, 2]", "", '{"messages": 5}',
        '{"messages": null}', json.dumps({"messages": chat[:2]}), "[" * 100_000, '{"messages": ' + "9" * 5000 + "}",
    ]  # fmt: skip
    path = tmp_path / "mine.jsonl"
    path.write_bytes("\n".join(lines).encode() + b'\n{"messages": "\xff"}\n')
    entry = {"source": "jsonl", "options": OWN | {"files": [str(path)]}}
    mixture = mixture_file(
        _01_sources=[entry],
        _04_decontaminate=None,
        _08_customise=None,
        _09_mixture={"alchemist_share": 0, "mode": "add"},
    )
    folder = build.build(mixture, tmp_path / "build", workers=1)
    ledger = read_json(folder / "01_sources/ledger.json")
    assert (ledger["rows_in"], ledger["kept"]) == (9, 1)
    assert ledger["rejected"] == {"empty_field": 2, "not_an_object": 1, "not_json": 4, "wrong_type": 1}
    assert read_json(folder / "01_sources/manifest.json")["notes"]["chat_turns_left_out"] == {"jsonl": 3}
    (row,) = read_rows(folder / "09_mixture").to_pylist()
    assert (row["license"], row["generator"], row["source"]) == ("MIT", "human", "jsonl")


def named_files(tmp_path, *names):
    entries = []
    for number, name in enumerate(names):
        code = "\n\n```python\ndef f(x):\n    return x + 1  # long enough to be kept\n```"
        rows = [{"prompt": f"{name} {number} {n}", "completion": name + code} for n in range(3)]
        file = write(tmp_path, rows, f"{name}.jsonl")
        entries.append({"source": "jsonl", "name": name, "options": OWN | {"files": [file]}})
    return entries


def test_own_files_stand_side_by_side_under_their_names(tmp_path, mixture_file):
    one, two = named_files(tmp_path, "exercises", "reviews")
    one, two = one | {"checks": []}, two | {"sample_rows": 2}
    one["options"]["about"] = "Exercises of a course, solved by its teacher."
    folder = build.build(mixture_file(_01_sources=[one, two], **PLAIN), tmp_path / "build", workers=1)
    counts = read_json(folder / "09_mixture/ledger.json")["by_source"]
    assert {name: part["kept"] for name, part in counts.items()} == {"exercises": 3, "reviews": 2}
    noted = read_json(folder / "01_sources/manifest.json")["notes"]["sources"]
    assert [(name, of["checks"] == [], of["revision"].split("@")[0]) for name, of in noted.items()] == [
        ("exercises", True, "exercises.jsonl"), ("reviews", False, "reviews.jsonl"),
    ]  # fmt: skip
    packed = pack_dataset(folder, tmp_path / "hub")
    release = read_json(packed / "release.json")
    assert {"exercises", "reviews"} <= {config["name"] for config in release["configs"]}
    assert release["settings"]["01_sources"]["reviews"]["sample_rows"] == 2
    card = (packed / "README.md").read_text()
    assert "Exercises of a course, solved by its teacher.\n\n3 rows from" in card
    assert "Rows of a user's own files: reviews.jsonl.\n\n2 rows from" in card


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("", ""), "names a source twice, 'jsonl'; give an entry a `name:` of its own"),
        (("mine", "mine"), "names a source twice, 'mine'"),
        (("evol_codealpaca",), "the name 'evol_codealpaca' is taken"),
        (("code_review",), "the name 'code_review' is taken by a source of ours, rows that stages make"),
        (("rejected",), "the name 'rejected' is taken"),
        (("../up",), "01_sources.0.name"),
    ],
)
def test_a_name_that_something_else_has_is_refused(tmp_path, mixture_file, names, says):
    files = named_files(tmp_path, *"ab"[: len(names)])
    entries = [entry | {"name": name or None} for entry, name in zip(files, names, strict=True)]
    with pytest.raises(Refusal, match=re.escape(says)):
        build.build(mixture_file(_01_sources=entries, **PLAIN), tmp_path / "build", workers=1)


def test_prose_is_kept_where_the_check_for_code_does_not_apply(tmp_path, mixture_file, toy_source):
    toy_source(code_rows(3))
    rows = [{"prompt": "Why?", "completion": "Because."}, {"prompt": "How?", "completion": "```python\nf(\n```"}]
    path = write(tmp_path, rows)
    reasons = {}
    for checks in (["code", "compiles"], ["compiles"], ["code"]):
        own = {"source": "jsonl", "checks": checks, "options": OWN | {"files": [path]}}
        mixture = mixture_file(
            _01_sources=[own, {"source": "toy"}],
            _04_decontaminate=None,
            _08_customise=None,
            _09_mixture={"alchemist_share": 0, "mode": "add"},
        )
        folder = build.build(mixture, tmp_path / "build", workers=1)
        reasons[tuple(checks)] = read_json(folder / "03_clean/ledger.json")["by_source"]["jsonl"]["rejected"]
    assert reasons == {
        ("code", "compiles"): {"too_short_without_code": 1, "does_not_compile": 1},
        ("compiles",): {"does_not_compile": 1},
        ("code",): {"too_short_without_code": 1},
    }


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.json.gz", "rows.parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name):
    rows = [{"instruction": f"q{n}", "output": "é" * n} for n in range(200)]
    text = json.dumps(rows) if ".json" in name and ".jsonl" not in name else "\n".join(map(json.dumps, rows))
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert list(raw_rows.rows_of_file(path)) == rows
    path.write_bytes(path.read_bytes()[:-9])
    if name == "rows.jsonl":
        assert list(raw_rows.rows_of_file(path))[-1] == Unreadable(json.dumps(rows[-1])[:-9])
    else:
        with pytest.raises(Refusal, match="is it whole"):
            list(raw_rows.rows_of_file(path))


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path):
    for name, says in [("none.jsonl", "there is no such file"), ("rows.csv", "not a file of rows")]:
        with pytest.raises(Refusal, match=says):
            list(raw_rows.rows_of_file(tmp_path / name))
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(Refusal, match="expected a list of objects, found dict"):
        list(raw_rows.rows_of_file(tmp_path / "one.json"))


def test_a_sample_of_a_stream_is_fair_and_in_order():
    drawn = [list(raw_rows.sample(range(20), 5, seed)) for seed in range(400)]
    assert all(d == sorted(d) and len(set(d)) == 5 for d in drawn)
    counts = [sum(n in d for d in drawn) for n in range(20)]
    assert 60 < min(counts) and max(counts) < 140, "each of 20 rows is drawn in a quarter of 400 samples"
    assert list(raw_rows.sample(range(3), 5, 0)) == [0, 1, 2]


REAL = {
    "alpaca_5000/alpaca_5000.json.gz": 5000,
    "code_alpaca/code_alpaca_2k.json.gz": 2017,
    "evol_instruct_code/evol-codealpaca-2k-1.json.gz": 1966,
    "gpteacher_codegen/codegen-instruct.json.gz": 4535,
    "oasst_octopack/oasstcommitpackftmanual.jsonl.gz": 1178,
}


@pytest.mark.parametrize(("name", "count"), REAL.items(), ids=[name.split("/")[0] for name in REAL])
def test_real_files_are_detected_and_read_whole(real_data, name, count):
    found = exchanges(str(real_data / name))
    assert len(found) == count
    assert sum(isinstance(e.instruction, str) and isinstance(e.response, str) for e in found) == count


def test_most_real_oasst_answers_hold_no_fence(real_data):
    found = exchanges(str(real_data / "oasst_octopack/oasstcommitpackftmanual.jsonl.gz"))
    assert sum("```" in e.response for e in found) == 212
    assert sum(has_code(e.response) for e in found) < 300, "the check for code would reject three in four"


def test_real_message_trees_give_their_first_exchange(real_data):
    trees = list(raw_rows.rows_of_file(real_data / "oasst_trees/en_100_tree.jsonl.gz"))
    found = [oasst_octopack.pair(tree) for tree in trees]
    assert len(found) == 100 and all(e.instruction == t["prompt"]["text"] for e, t in zip(found, trees, strict=True))
    texts = [{r["text"] for r in t["prompt"]["replies"]} for t in trees]
    assert all(e.response in t for e, t in zip(found, texts, strict=True))
    assert {e.generator for e in found} != {"human"}, "these answers were made by models, and say so"
    assert sum(e.left_out for e in found) > 100


def test_real_commits_of_commitpacks_shape_become_rows(real_data):
    rows = list(raw_rows.rows_of_file(real_data / "commit_samples/smallcommits_java.jsonl.gz"))
    judged = [commits.judged(row, "commitpackft", len, 0) for row in rows]
    assert len(judged) == 55 and {row["reason"] for row in judged} == {"licence"}, "their licence is not recorded"
    judged = [commits.judged(row | {"license": "mit"}, "commitpack", len, 0) for row in rows]
    found = [commits.exchange(row) for row in judged if not row.get("reason")]
    assert found and {e.language for e in found} == {"java"} and all(e.task == "commit" for e in found)


def test_oasst_conversations_without_roles_take_turns():
    raw = {"conversations": [{"text": "q"}, {"text": "a"}, {"text": "q2"}], "lang": "en"}
    found = oasst_octopack.pair(raw)
    assert found[:2] == ("q", "a") and found.left_out == 1


def test_the_best_ranked_reply_that_is_not_deleted_answers_a_tree():
    replies = [
        {"text": "second", "rank": 1, "replies": [{"text": "x"}]}, {"text": "gone", "rank": 0, "deleted": True},
        {"text": "first", "rank": 0, "synthetic": True, "model_name": "m"}, {"text": "unranked", "rank": None},
    ]  # fmt: skip
    found = oasst_octopack.pair({"prompt": {"text": "q", "message_id": "i", "replies": replies}})
    assert found[:2] == ("q", "first") and (found.generator, found.origin, found.left_out) == ("m", "i", 4)
    assert oasst_octopack.pair({"prompt": {"text": "q", "replies": []}})[:2] == ("q", None)


def test_detection_looks_at_objects_only():
    assert jsonl.detect([Unreadable("x"), {"prompt": "q", "answer": "a"}], "f").response == "answer"
    with pytest.raises(Refusal, match="columns none"):
        jsonl.detect([Unreadable("x")], "f")
