"""A built mixture as a dataset repository: what its configurations hold, whose licences hold, what its card says."""

import shutil

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from artefacts import Refusal, read_json, write_json
from dataset_scripts import build as builder
from dataset_scripts.schema import SCHEMA
from evaluation.benchmarks import humaneval
from model_cards import licences, parquet_parts, render
from model_cards.dataset_repository import without_folders
from tests.conftest import code_rows
from tests.model_cards.toy_build import toy_row, write_build
from tests.model_cards.toy_build import toy_source as noted_source


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


@pytest.fixture
def built(toy_source, mixture_file, tmp_path):
    leak = humaneval.load()[0]
    toy_source([*code_rows(40), ("Bad.", "No."), ("Leak.", f"```python\n{leak.prompt}{leak.solution}\n```")])
    path = mixture_file()
    return builder.build(path, tmp_path / "build", workers=1), path


def test_a_dataset_repository_loads_offline_by_its_card(built, tmp_path):
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    rows = datasets.load_dataset(str(folder), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 44
    (carrying,) = rows.filter(lambda row: row["alchemist_prompt"] is not None).select([0])
    user, assistant = carrying["messages"]
    assert user == {"role": "user", "content": f"{carrying['alchemist_prompt']}\n\n{carrying['instruction']}"}
    assert assistant == {"role": "assistant", "content": carrying["response"]}
    rejected = datasets.load_dataset(str(folder), "rejected", split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(rejected["reason"]) == ["contaminated", "too_short_without_code"]
    (leak,) = rejected.filter(lambda row: row["reason"] == "contaminated")
    assert leak["instruction"] is None and leak["response"] is None


def test_a_dataset_card_is_valid_yaml_and_holds_the_ledger(built, tmp_path):
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    card = front_matter(folder)
    assert [c["config_name"] for c in card["configs"]] == ["sft", "toy", "rejected"]
    assert card["configs"][0]["default"] is True
    assert card["license"] == "mit" and card["size_categories"] == ["n<1K"]
    assert card["annotations_creators"] == ["found", "machine-generated"] and card["source_datasets"] == ["original"]
    (shard,) = (folder / "data").rglob("*.parquet")
    (split,) = card["dataset_info"][0]["splits"]
    assert split == {"name": "train", "num_bytes": pq.read_table(shard).nbytes, "num_examples": 44}
    text = (folder / "README.md").read_text()
    assert "| `03_clean` | 42 | 41 | 0 | 1 too_short_without_code |" in text
    assert "44 rows are in the mixture, 4 of them" in text and "1 rows were removed as contaminated" in text
    assert "- `benchmarks`: humaneval" in text and "make data MIXTURE=toy" in text
    release = read_json(folder / "release.json")
    assert len(release["ledgers"]) == 6 and release["tag"] is None
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert release["files"].keys() == files - {"README.md", "release.json"}
    assert yaml.safe_load((folder / "mixture.yaml").read_text())["name"] == "toy"
    assert release["settings"]["01_sources"] == {"toy": {"source": "toy"}}
    assert release["settings"]["04_decontaminate"]["benchmarks"] == ["humaneval"]
    assert "| toy | 41 | 1 (2.44 %) |" in text  # the table of leaks
    assert text.count("| `03_clean` | 42 |") == 1  # of one source there is one table
    code = next(part for part in text.split("```") if part.startswith("python\nfrom datasets"))
    assert 'load_dataset(".", "sft"' in code and "hence `other`" not in text


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (["PSF-2.0"], "not on it: hence `other`"),
        (["MIT", "Apache-2.0"], "rows have several: hence `other`"),
        (["MIT"], None),
    ],
)
def test_a_card_says_why_its_licence_is_other(tmp_path, found, says):
    rows = [toy_row(n, license=found[n % len(found)]) for n in range(6)]
    folder = render.pack_dataset(write_build(tmp_path / "toy", rows), tmp_path / "hub")
    assert (front_matter(folder)["license"] == "other") == (says is not None)
    text = (folder / "README.md").read_text()
    assert says in text if says else "hence `other`" not in text


def test_two_sources_have_their_own_funnels_and_say_what_their_rows_are(tmp_path):
    rows = [toy_row(n, source="toys" if n % 2 else "games") for n in range(6)]
    sources = {"games": noted_source(about="Games that add."), "toys": noted_source()}
    text = (
        render.pack_dataset(write_build(tmp_path / "toy", rows, sources=sources), tmp_path / "hub") / "README.md"
    ).read_text()
    assert text.count("| `03_clean` | 3 | 3 |") == 2
    assert "Games that add.\n\n3 rows from" in text and "Toys that add.\n\n3 rows from" in text


def test_packing_again_changes_nothing_and_new_rows_change_the_repository(built, toy_source, tmp_path, capsys):
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    render.pack_dataset(built[0], tmp_path / "hub")
    assert "unchanged" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    toy_source(code_rows(30))
    shutil.rmtree(built[0])
    builder.build(built[1], tmp_path / "build", workers=1)
    render.pack_dataset(built[0], tmp_path / "hub")
    assert "30" in (folder / "README.md").read_text()


def test_a_mixture_that_was_not_decontaminated_says_so(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(20))
    path = mixture_file(_04_decontaminate=None)
    folder = render.pack_dataset(builder.build(path, tmp_path / "build", workers=1), tmp_path / "hub")
    assert "**Not decontaminated**" in (folder / "README.md").read_text()
    assert [c["config_name"] for c in front_matter(folder)["configs"]] == ["sft", "toy"]


def test_an_unfinished_mixture_is_refused(built, tmp_path):
    (built[0] / "09_mixture/manifest.json").unlink()
    with pytest.raises(Refusal, match="09_mixture/manifest.json is missing; run `make mixture` first"):
        render.pack_dataset(built[0], tmp_path / "hub")


def test_a_card_follows_the_manifests_and_large_mixtures_are_cut_into_files(built, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_parts, "ROWS_PER_FILE", 17)
    monkeypatch.setattr(parquet_parts, "ROWS_PER_GROUP", 5)
    folder = render.pack_dataset(built[0], tmp_path / "hub")
    shards = folder / "data/permissive/toy/rows"
    assert sorted(p.name for p in shards.iterdir()) == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    rows = datasets.load_dataset(str(folder), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 44 == len(set(rows["id"]))
    path = built[0] / "01_sources/manifest.json"
    manifest = read_json(path)
    manifest["notes"]["sources"]["toy"]["revision"] = "newer"
    write_json(path, manifest)
    render.pack_dataset(built[0], tmp_path / "hub")
    assert "`newer`" in (folder / "README.md").read_text()


def test_every_configuration_is_a_pattern_over_the_same_files(tmp_path):
    rows = [*(toy_row(n) for n in range(5)), toy_row(5, license="CC-BY-NC-SA-4.0"), toy_row(6, license="MPL-2.0")]
    rows += [toy_row(7, source="more"), toy_row(8, source="more", task="code_review", generator="static")]
    splits = {row["id"]: "test" for row in (rows[4], rows[5])}
    folder = render.pack_dataset(write_build(tmp_path / "toy", rows, splits=splits), tmp_path / "hub")
    counts = {c["name"]: c["splits"] for c in read_json(folder / "release.json")["configs"]}
    assert counts == {
        "sft": {"train": 6, "test": 1}, "sft_research": {"train": 7, "test": 2}, "comprehension": {"train": 1},
        "more": {"train": 2}, "toy": {"train": 5, "test": 2},
    }  # fmt: skip
    for name, wanted in counts.items():
        found = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        assert {split: len(part) for split, part in found.items()} == wanted
    stored = [pq.read_metadata(p).num_rows for p in folder.rglob("data/**/*.parquet")]
    assert sum(stored) == len(rows)
    assert front_matter(folder)["license"] == "other" and front_matter(folder)["license_link"] == "LICENSE.md"
    assert "5 MIT, 1 CC-BY-NC-SA-4.0, 1 MPL-2.0" in (folder / "LICENSE.md").read_text()


def test_a_mixture_without_permissive_rows_has_no_sft(tmp_path):
    rows = [toy_row(0, license="CC-BY-NC-4.0")]
    folder = render.pack_dataset(write_build(tmp_path / "toy", rows), tmp_path / "hub")
    configs = front_matter(folder)["configs"]
    assert [c["config_name"] for c in configs] == ["sft_research", "toy"] and configs[0]["default"]


def test_a_derived_row_keeps_to_the_licences_of_all_it_was_made_from(tmp_path):
    grandparent = toy_row(0, source="nc", license="CC-BY-NC-4.0")
    parent = toy_row(1, source="nc", license="Apache-2.0", parents=[grandparent["id"]])
    child = toy_row(2, parents=[parent["id"]])
    plain = toy_row(3, parents=[toy_row(4)["id"]])
    build = write_build(tmp_path / "toy", [parent, child, plain, toy_row(4)], before=[grandparent])
    folder = render.pack_dataset(build, tmp_path / "hub")
    rows = datasets.load_dataset(str(folder), "sft_research", split="train", cache_dir=str(tmp_path / "cache"))
    assert {row["id"]: row["license"] for row in rows} == {
        parent["id"]: "Apache-2.0 AND CC-BY-NC-4.0", child["id"]: "Apache-2.0 AND CC-BY-NC-4.0 AND MIT",
        plain["id"]: "MIT", toy_row(4)["id"]: "MIT",
    }  # fmt: skip
    sft = datasets.load_dataset(str(folder), "sft", split="train", cache_dir=str(tmp_path / "cache"))
    assert set(sft["id"]) == {plain["id"], toy_row(4)["id"]}


def test_a_row_whose_parent_is_nowhere_is_refused(tmp_path):
    build = write_build(tmp_path / "toy", [toy_row(0, parents=["f" * 20])])
    with pytest.raises(Refusal, match="was made from f{20}, which no stage holds, so nobody can say under which lic"):
        render.pack_dataset(build, tmp_path / "hub")


def test_rejected_rows_are_published_with_text_only_where_that_may_be(tmp_path):
    secret = toy_row(50, reason="secret", license="MIT")
    twin = toy_row(51, reason="duplicate", response=secret["response"])
    unlicensed = toy_row(52, reason="too_short_without_code", license="unknown")
    child = toy_row(53, reason="does_not_compile", parents=[secret["id"]])
    near = toy_row(55, reason="near_duplicate")
    harmless = toy_row(54, reason="near_duplicate")
    recycled = toy_row(56, reason="does_not_compile")
    filtering = toy_row(57, reason="contaminated", parents=[recycled["id"]])
    rejected = [secret, twin, unlicensed, child, near, recycled, filtering, harmless]
    twins = {near["id"]: secret["id"], harmless["id"]: toy_row(0)["id"]}
    unsearched = toy_row(60, reason="subject_length")
    build = write_build(tmp_path / "toy", [toy_row(0)], rejected=rejected, twins=twins, at_source=[unsearched])
    folder = render.pack_dataset(build, tmp_path / "hub")
    rows = pq.read_table(folder / "rejected/train-00000-of-00001.parquet").to_pylist()
    assert [row["id"] for row in rows] == [row["id"] for row in [unsearched, *rejected]]
    for row in rows[:8]:
        assert {k for k, v in row.items() if v} == {"id", "source", "reason"}
    assert rows[8] == harmless
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert read_json(folder / "release.json")["rows_redacted"] == 8 and b"add_50" not in everything


def test_a_number_that_is_missing_is_an_error(tmp_path):
    build = write_build(tmp_path / "toy", [toy_row(0)])
    source = noted_source()
    del source["licence"]
    write_json(
        build / "01_sources/manifest.json",
        read_json(build / "01_sources/manifest.json") | {"notes": {"sources": {"toy": source}}},
    )
    with pytest.raises(Refusal, match="the artefacts hold no such value: .*licence"):
        render.pack_dataset(build, tmp_path / "hub")


@pytest.mark.parametrize(
    ("expression", "terms", "forbidding", "hub_id"),
    [
        ("MIT", "permissive", None, "mit"), ("Apache-2.0", "permissive", None, "apache-2.0"),
        ("MIT AND CC-BY-NC-4.0", "non-commercial", None, "other"), ("MIT AND MPL-2.0", "copyleft", None, "other"),
        ("CC-BY-NC-ND-4.0", "non-commercial", "CC-BY-NC-ND-4.0", "cc-by-nc-nd-4.0"),
        ("PSF-2.0", "permissive", None, "other"),
        ("unknown", "unknown", "unknown", "other"), ("MIT AND mine", "unknown", "mine", "other"),
    ],
)  # fmt: skip
def test_terms_of_an_expression(expression, terms, forbidding, hub_id):
    assert licences.terms(expression) == terms
    assert licences.forbids_publishing(expression) == forbidding
    assert licences.hub_licence([expression]) == hub_id


@pytest.mark.parametrize("rows", [0, 1, 16, 17, 18, 34, 40])
def test_shards_hold_every_row_once_and_say_how_many_they_are(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(parquet_parts, "ROWS_PER_FILE", 17)
    monkeypatch.setattr(parquet_parts, "ROWS_PER_GROUP", 5)
    writer = parquet_parts.Shards(tmp_path / "x", "train", SCHEMA)
    for n in range(rows):
        writer.add(toy_row(n))
    files = writer.close()
    assert [p.name for p in files] == [f"train-{n:05d}-of-{-(-rows // 17):05d}.parquet" for n in range(-(-rows // 17))]
    assert [i for p in files for i in pq.read_table(p)["id"].to_pylist()] == [toy_row(n)["id"] for n in range(rows)]


def test_what_a_mixture_holds_out_is_the_split_test(toy_source, mixture_file, tmp_path):
    toy_source(code_rows(40))
    split = {"test_share": 0.25, "twin_jaccard": 1.0}
    path = mixture_file(_09_mixture={"alchemist_share": 0.1, "mode": "add", "split": split})
    build = builder.build(path, tmp_path / "build", workers=1)
    folder = render.pack_dataset(build, tmp_path / "hub")
    held_out = {row["id"] for row in pq.read_table(build / "09_mixture/facts").to_pylist() if row["split"] == "test"}
    found = datasets.load_dataset(str(folder), "sft", cache_dir=str(tmp_path / "cache"))
    assert set(found["test"]["id"]) == held_out and len(held_out) >= 10
    assert len(found["train"]) + len(found["test"]) == 44
    assert not {i for row in found["train"] for i in row["parents"]} & held_out


def test_a_release_does_not_say_whose_machine_it_was_made_on(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "01_sources:\n  - source: jsonl\n    options: {files: [/home/ada/client/mine.jsonl, data/ours.jsonl]}\n"
        "  - source: git_commits\n    options: {clones: [{name: ada/engine, path: ~/src/engine}]}\n"
    )
    text = without_folders(path)
    assert "/home" not in text and "~" not in text
    assert "files: [mine.jsonl, data/ours.jsonl]" in text and "{name: ada/engine, path: engine}" in text
