"""Rows to packed rows: nothing lost, `test` evaluated on and never trained on, the cache keyed by what shapes it."""

import shutil

import pytest

from artefacts import Refusal, read_json, write_json
from recipes import inputs, prepare
from recipes.recipe import load
from tests.recipes.conftest import toy_rows, write_dataset


@pytest.fixture
def prepared(recipe_file, tmp_path):
    def call(**changes):
        path = recipe_file(**changes)
        folder = prepare.prepare(path, *load(path), tmp_path / "prepared")
        return folder, read_json(folder / "prepared.json")

    return call


def packed_rows(folder, name="train"):
    from datasets import load_from_disk

    return list(load_from_disk(str(folder / name)))


def test_rows_in_are_rows_plus_dropped_and_no_token_is_lost(prepared):
    folder, counts = prepared(max_row_tokens=124)
    dropped = sum(n for by_source in counts["rows_dropped"].values() for n in by_source.values())
    assert counts["rows_dropped"].keys() == {"over_max_row_tokens"} and dropped > 5
    assert counts["rows_in"] == 60 == counts["rows"] + dropped and counts["rows_not_sampled"] == 0
    assert sum(counts["rows_by_source"].values()) == counts["rows"]
    rows = packed_rows(folder)
    assert sum(len(r["input_ids"]) for r in rows) == counts["tokens"]
    assert sorted(i for r in rows for i in r["rows"]) == list(range(counts["rows"])), "each row once, under its index"
    assert all(sum(r["seq_lengths"]) == len(r["input_ids"]) == len(r["labels"]) <= 512 for r in rows)
    assert counts["packed_fill"] > 0.85


def test_the_split_test_of_the_mixture_is_what_is_evaluated_on_by_source(prepared, tiny_model):
    from transformers import AutoTokenizer

    folder, counts = prepared(eval_strategy="epoch", max_row_tokens=120)
    assert counts["test_rows_by_source"] == {"other": 1, "toy": 2} and counts["test_rows_in"] == 4
    assert counts["test_rows_dropped"] == {"over_max_row_tokens": {"toy": 1}}, "in = evaluated + dropped"
    assert counts["rows"] + sum(counts["rows_dropped"]["over_max_row_tokens"].values()) == 60, (
        "all of train is trained on"
    )
    text = AutoTokenizer.from_pretrained(tiny_model).decode(packed_rows(folder, "eval/other")[0]["input_ids"])
    assert "def add_20(" in text
    assert "1 of other, 2 of toy, of the split 'test' (1 dropped)" in prepare.show_audit(counts)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"eval_strategy": "no"}, "the recipe asks for none (eval_strategy) of the 4 rows"),
        (
            {"eval_strategy": "epoch", "max_row_tokens": 101, "held_out": True},
            "none of 1 rows of the split 'test' is left, all were dropped",
        ),
        ({"eval_strategy": "epoch", "data": None}, "the data has no split 'test'"),
    ],
)
def test_without_an_evaluation_the_audit_says_why(prepared, tmp_path, changes, says):
    changes = dict(changes)
    if "data" in changes:
        changes |= {"data": str(write_dataset(tmp_path / "data", toy_rows(20)))}
    if changes.pop("held_out", None):  # a row longer than all that are trained on
        held_out = toy_rows(9)[8:]
        changes |= {"data": str(write_dataset(tmp_path / "data", toy_rows(3), test=held_out))}
    folder, counts = prepared(**changes)
    assert f"no evaluation loss: {says}" in prepare.show_audit(counts)
    assert counts["test_rows_by_source"] == {} and not (folder / "eval").exists()


@pytest.mark.parametrize("relation", ["the row itself", "a copy with a prompt", "a sibling", "its second parent"])
def test_a_relative_of_a_trained_row_is_never_evaluated_on(prepared, tmp_path, relation):
    rows = toy_rows(30)
    made = {"parents": [rows[3]["id"]], "id": "made"}
    held_out = {"the row itself": rows[3], "a copy with a prompt": rows[3] | made, "a sibling": toy_rows(31)[30]}
    held_out["its second parent"] = toy_rows(32)[31]
    rows[5]["parents"] = ["somebody else", held_out["its second parent"]["id"]]
    if relation == "a sibling":
        rows[3]["parents"] = held_out[relation]["parents"] = ["somebody rejected"]
    data = write_dataset(tmp_path / "data", rows, test=[toy_rows(31)[30], held_out[relation]])
    with pytest.raises(Refusal, match="were made from the same row"):
        prepared(data=str(data), eval_strategy="epoch")


def test_the_command_prepares_what_the_run_will_ask_for(recipe_file, in_process, tmp_path):
    """By the same overrides as the run: rows of another configuration would be prepared in vain."""
    done = in_process(prepare, recipe_file(), "--data-config", "sft_research", "--to", tmp_path / "prepared")
    assert done.code == 2 and "configuration 'sft_research': it cannot be read" in done.last


def test_a_packed_row_carries_the_indexes_of_its_rows(prepared, tiny_model):
    from datasets import Dataset
    from transformers import AutoTokenizer

    folder, _ = prepared()
    index = Dataset.from_parquet(str(folder / "rows.parquet"))
    text_of = {row["id"]: row["response"] for row in toy_rows(40) + toy_rows(20, source="other")}
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for packed in packed_rows(folder)[:5]:
        start = 0
        for row, length in zip(packed["rows"], packed["seq_lengths"], strict=True):
            assert text_of[index[row]["row_id"]] in tokenizer.decode(packed["input_ids"][start : start + length])
            start += length


def test_a_sample_of_tokens_is_seeded_keeps_the_order_and_stays_below(prepared):
    from datasets import Dataset

    (one, counts), (same, _), (other, _) = (prepared(sample_tokens=2000, seed=seed) for seed in (1, 1, 2))
    ids = [Dataset.from_parquet(str(f / "rows.parquet"))["row_id"][:] for f in (one, same, other)]
    assert one == same and ids[0] != ids[2]
    assert 1700 < counts["tokens"] <= 2000 and counts["rows"] + counts["rows_not_sampled"] == 60
    order = [row["id"] for row in toy_rows(40) + toy_rows(20, source="other")]
    assert ids[0] == sorted(ids[0], key=order.index)


def test_the_cache_is_found_again_and_keyed_by_what_shapes_the_rows(prepared, tiny_model, tmp_path):
    data = write_dataset(tmp_path / "data", toy_rows(20))
    first, _ = prepared(data=str(data))
    stamp = (first / "prepared.json").stat().st_mtime_ns
    again, _ = prepared(data=str(data), learning_rate=5e-5)  # another run over the same rows
    assert again == first and (first / "prepared.json").stat().st_mtime_ns == stamp
    changes = ({"max_length": 1024}, {"loss_on": "full_sequence"}, {"chat_template": "alchemist.jinja"})
    others = [prepared(data=str(data), **change)[0] for change in changes]
    base = shutil.copytree(tiny_model, tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"other weights")
    assert prepared(data=str(data), base=str(base))[0] == first, "weights shape no row"
    settings = read_json(base / "tokenizer_config.json")
    write_json(base / "tokenizer_config.json", settings | {"model_max_length": 4096})
    others.append(prepared(data=str(data), base=str(base))[0])
    write_dataset(tmp_path / "data", toy_rows(21))
    others.append(prepared(data=str(data))[0])
    assert len({first, *others}) == 6
    assert not [p for p in first.parent.iterdir() if "unfinished" in p.name]


def test_the_revision_of_a_folder_is_that_of_the_files_its_configuration_reads(recipe_file, tmp_path):
    data = write_dataset(tmp_path / "data", toy_rows(5), test=toy_rows(6)[5:])
    recipe, _ = load(recipe_file(data=str(data)))
    before = inputs.data_revision(recipe)
    (data / "README.md").write_text((data / "README.md").read_text() + "As published: v1.0.0\n")
    (data / "rejected").mkdir()
    (data / "rejected/train.parquet").write_bytes(b"of no configuration that is trained on")
    assert inputs.data_revision(recipe) == before, "a published copy is the same data"
    write_dataset(data, toy_rows(5), test=toy_rows(7)[6:])
    changed = inputs.data_revision(recipe)
    assert changed != before, "another split is other data"
    (data / "README.md").write_text("No word of configurations.\n")
    assert inputs.data_revision(recipe) not in (before, changed), "then all files count"


def test_a_rank_of_a_launched_run_never_prepares(recipe_file, tmp_path):
    path = recipe_file()
    with pytest.raises(Refusal, match="the rows are not prepared; run `python -m recipes.prepare`"):
        prepare.prepare(path, *load(path), tmp_path / "prepared", workers=0)


def test_workers_make_the_same_rows(recipe_file, tmp_path, monkeypatch):
    from datasets import Dataset, load_from_disk

    pools, real = [], Dataset.map
    monkeypatch.setattr(prepare, "ROWS_WORTH_WORKERS", 10)
    monkeypatch.setattr(Dataset, "map", lambda *a, **o: pools.append(o.get("num_proc")) or real(*a, **o))
    path = recipe_file()
    found = []
    for workers, root in ((1, "one"), (2, "two")):
        folder = prepare.prepare(path, *load(path), tmp_path / root, workers)
        found.append(load_from_disk(str(folder / "train"))[:])
    assert found[0] == found[1] and {1, 2} <= set(pools)


@pytest.mark.parametrize(
    ("rows", "renamed", "says"),
    [
        (0, None, "holds no row; the mixture's ledger says"),
        (5, {"instruction": "prompt"}, "the column 'instruction' of the split 'train' is missing (found: id, "),
    ],
)
def test_a_dataset_that_cannot_be_read_is_refused(prepared, tmp_path, rows, renamed, says):
    data = write_dataset(tmp_path / "data", toy_rows(rows), renamed)
    with pytest.raises(Refusal) as refusal:
        prepared(data=str(data))
    assert says in str(refusal.value) and "configuration 'sft'" in str(refusal.value)


@pytest.mark.parametrize(
    ("row_groups", "says"), [(1, "the split 'test' holds no row"), (0, "one of its Parquet files holds no row")]
)
def test_an_empty_test_split_is_refused(prepared, tmp_path, row_groups, says):
    import pyarrow.parquet as pq

    data = write_dataset(tmp_path / "data", toy_rows(5), test=[])
    if not row_groups:
        pq.write_table(pq.read_table(data / "sft/test.parquet"), data / "sft/test.parquet")
    with pytest.raises(Refusal, match=says):
        prepared(data=str(data))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": "build/hub/datasets/nothing_here"}, "no dataset repository there (README.md is missing)"),
        (
            {"base": "build/models/nothing_here"},
            "there is no such folder; name a folder or a Hub id that holds it (BASE=)",
        ),
        ({"base": "build/nothing/codegeex2-6b"}, "there is no such folder; run `make convert-codegeex2` first"),
        ({"data": "build/nothing/octopack"}, "(README.md is missing); run `make data MIXTURE=octopack` first"),
        ({"data_config": "nothing"}, "configuration 'nothing': it cannot be read"),
        ({"max_row_tokens": 20}, "none of 60 rows is left (60 over_max_row_tokens); raise max_row_tokens"),
        ({"pad_token": "<|im_end|>"}, "pad_token is EOS"),
        ({"pad_token": "<nope>"}, "the tokenizer has no token '<nope>'"),
    ],
)
def test_what_cannot_be_prepared_is_refused_in_one_sentence(prepared, changes, says):
    with pytest.raises(Refusal) as refusal:
        prepared(**changes)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(("field", "says"), [("eos_token", "has no EOS token"), ("chat_template", "no chat template")])
def test_a_tokenizer_without_eos_or_template_is_refused(prepared, tiny_model, tmp_path, field, says):
    import shutil

    from transformers import AutoTokenizer

    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    (base / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    setattr(tokenizer, field, None)
    tokenizer.save_pretrained(base)
    with pytest.raises(Refusal, match=says):
        prepared(base=str(base))
