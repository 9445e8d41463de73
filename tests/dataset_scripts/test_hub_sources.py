"""OctoPack's sources through the Hub's own protocol, at their pinned revisions, on a Hub of the loopback."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from artefacts import Refusal, read_json
from dataset_scripts import pin_sources, sources
from dataset_scripts.sources import commitpack, hub
from dataset_scripts.stage_files import read_rows
from tests.conftest import run_module
from tests.local_hub import LocalHub

CODE = "".join(f"def f{n}(x):\n    return x + {n}\n\n" for n in range(8))
LANGUAGES = {"python": ("Python", "py"), "c++": ("C++", "cpp")}


def lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def commit(language, number, **changes):
    lang, extension = LANGUAGES[language]
    return {
        "commit": f"{number:040x}", "old_file": f"src/walk.{extension}", "new_file": f"src/walk.{extension}",
        "old_contents": CODE, "new_contents": CODE.replace("x + 3", f"x - {number + 10}"),
        "subject": f"Subtract {number + 10} from the third one", "message": "Subtract it", "lang": lang,
        "license": "mit" if number % 2 else "apache-2.0", "repos": "lab/walk,fork/walk",
    } | changes  # fmt: skip


def repositories() -> dict[str, dict[str, bytes]]:
    ft = {f"data/{name}/data.jsonl": lines(commit(name, n) for n in range(20)) for name in LANGUAGES}
    ft["data/python/data.jsonl"] += b'{"commit": "cut in ha\n'
    pack = {}
    for name in LANGUAGES:
        for first in (100, 200):
            rows = [commit(name, n, **({} if n % 4 else {"subject": "fix"})) for n in range(first, first + 20)]
            pack[f"data/{name}/{name}-000{first // 100}.jsonl"] = lines(rows)
    pack["data/python/python-0002.jsonl"] += lines([commit("python", 7, old_contents="x" * 5_000_000)])
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"instruction": "Add.", "output": CODE, "most_similar": "{}"}] * 3), table)
    turns = [{"text": t, "role": r} for t, r in [("q?", "prompter"), ("An answer.", "assistant"), ("q2", "prompter")]]
    return {
        "bigcode/commitpackft": ft | {"commitpackft.py": b"raise SystemExit"},
        "bigcode/commitpack": pack | {"commitpack.py": b"raise SystemExit"},
        "bigcode/oasst-octopack": {"oasst_octopack.jsonl": lines([{"conversations": turns, "lang": "en"}] * 2)},
        "bigcode/xp3x-octopack": {"xp3x_code_5k.jsonl": lines([{"inputs": "Solve it.", "targets": "print(1)"}])},
        "codeparrot/self-instruct-starcoder": {"data/raw-00000-of-00001.parquet": table.getvalue()},
    }


@pytest.fixture
def octopack_hub(tmp_path):
    """The Hub with the five repositories; those that are pinned answer to their pinned commit alone."""
    revisions = {name: pinned for name in repositories() if (pinned := hub.pinned(name))}
    with LocalHub(tmp_path / "hub", repositories(), revisions) as served:
        yield served


def build(served, tmp_path, entries, name="octo"):
    mixture = {
        "name": name, "seed": 0, "rows_per_shard": 50, "01_sources": entries, "03_clean": {"min_response_chars": 40},
        "09_mixture": {"alchemist_share": 0.0, "mode": "add"},
    }  # fmt: skip
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(mixture))
    env = served.environment(tmp_path / "home")
    done = run_module("dataset_scripts.build", str(path), "--build", str(tmp_path), "--workers", "1", env=env)
    return done, tmp_path / name


def test_octopacks_sources_are_read_at_their_pinned_revisions(octopack_hub, tmp_path):
    languages = {"languages": list(LANGUAGES)}
    done, folder = build(
        octopack_hub,
        tmp_path,
        [
            {"source": "commitpackft", "options": languages},
            {"source": "commitpack", "options": languages, "sample_rows": 30},
            {"source": "oasst_octopack"},
            {"source": "self_instruct_starcoder"},
            {"source": "xp3x_octopack"},
        ],
    )
    assert done.returncode == 0, done.stderr
    ledger = read_json(folder / "01_sources/ledger.json")["by_source"]
    assert {name: (s["rows_in"], s["kept"]) for name, s in ledger.items()} == {
        "commitpackft": (41, 40), "commitpack": (30, 22), "oasst_octopack": (2, 2), "self_instruct_starcoder": (3, 3),
        "xp3x_octopack": (1, 1),
    }  # fmt: skip
    assert ledger["commitpackft"]["rejected"] == {"not_json": 1}
    assert ledger["commitpack"]["rejected"] == {"subject_length": 8}
    notes = read_json(folder / "01_sources/manifest.json")["notes"]
    assert notes["chat_turns_left_out"]["oasst_octopack"] == 2
    assert notes["sources"]["commitpackft"]["revision"] == hub.pinned("bigcode/commitpackft")
    assert notes["sources"]["commitpackft"]["pinned"] and not notes["sources"]["xp3x_octopack"]["pinned"]
    assert notes["sources"]["commitpack"]["sample"] == "the first rows of every language"
    kept = read_rows(folder / "01_sources").to_pylist()
    packed = [row for row in kept if row["source"].startswith("commitpack")]
    assert {row["license"] for row in packed} == {"MIT", "Apache-2.0"} and {row["task"] for row in packed} == {
        "commit"
    }
    assert {row["language"] for row in packed} == {"python", "cpp"}
    assert not [row for row in kept if row["generator"].startswith("gpt")]
    assert read_json(folder / "03_clean/ledger.json")["by_source"]["oasst_octopack"]["rejected"] == {}
    asked = [r for r in octopack_hub.requests if r.startswith("GET") and "resolve" in r]
    assert asked and not [r for r in asked if "/main/" in r or r.endswith(".py")]


def test_a_stream_does_not_fetch_what_it_does_not_read(octopack_hub, tmp_path):
    entry = {"source": "commitpack", "options": {"languages": ["python"]}, "sample_rows": 5}
    done, _ = build(octopack_hub, tmp_path, [entry])
    assert done.returncode == 0, done.stderr
    assert not [r for r in octopack_hub.requests if r.startswith("GET") and "python-0002" in r]


@pytest.mark.parametrize(
    ("change", "entry", "says"),
    [
        ("gated", {"source": "oasst_octopack"}, "is gated; accept its terms on the Hub and set HF_TOKEN"),
        ("gone", {"source": "oasst_octopack"}, "is not there, or not for this token"),
        ("moved", {"source": "oasst_octopack"}, "has lost this revision; pin one that it has"),
        ("no_file", {"source": "xp3x_octopack"}, "lacks a file that this source reads"),
        ("renamed", {"source": "xp3x_octopack"}, "source 'xp3x_octopack', row 1: no column 'inputs', only question"),
        ("no_file", {"source": "commitpack", "options": {"languages": ["cobol"]}}, "bigcode/commitpack"),
        ("moved", {"source": "commitpack", "options": {"languages": ["python"]}}, "has lost this revision"),
        ("truncated", {"source": "self_instruct_starcoder"}, "its files cannot be read as the split 'raw'"),
        ("", {"source": "self_instruct_starcoder", "options": {"split": "all"}}, "key 'split'"),
        ("", {"source": "xp3x_octopack", "options": {"split": "all"}}, "unknown key 'split'; this source has no"),
    ],
)
def test_what_is_wrong_upstream_is_one_sentence(tmp_path, change, entry, says):
    served = repositories()
    repo_id = next(name for name in served if name.split("/")[1].replace("-", "_") == entry["source"])
    revisions = {name: pinned for name in served if (pinned := hub.pinned(name))}
    if change == "gone":
        del served[repo_id]
    if change == "moved":
        revisions[repo_id] = "0" * 40
    if change == "no_file":
        served[repo_id] = {"README.md": b"moved"}
    if change == "renamed":
        served[repo_id] = {"xp3x_code_5k.jsonl": lines([{"question": "Solve it.", "targets": "print(1)"}])}
    if change == "truncated":
        served[repo_id] = {name: data[:-40] for name, data in served[repo_id].items()}
    with LocalHub(tmp_path / "hub", served, revisions, gated={repo_id} if change == "gated" else ()) as hub_:
        done, _ = build(hub_, tmp_path, [entry])
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


def test_pins_are_whole_commits_and_every_repository_has_its_line(monkeypatch, tmp_path):
    repo_ids = {source.repo_id for name in sources.names() if (source := _load(name)).repo_id}
    assert repo_ids == set(yaml.safe_load(hub.REVISIONS.read_text()))
    broken = tmp_path / "revisions.yaml"
    monkeypatch.setattr(hub, "REVISIONS", broken)
    broken.write_text("a/b: main\n")
    with pytest.raises(Refusal, match="key 'a/b': expected a commit of 40 hex digits or null, got 'main'"):
        hub.pinned("a/b")
    with pytest.raises(Refusal, match="the key 'c/d' is missing"):
        hub.pinned("c/d")


def _load(name):
    options = {"jsonl": {"files": ["x"], "licence": "MIT", "generator": "human"}}
    options["git_commits"] = {"exports": ["x.jsonl"]}
    return sources.load(name, "test", options.get(name))


def test_pinning_fills_the_nulls_and_leaves_the_rest(monkeypatch, tmp_path):
    file = tmp_path / "revisions.yaml"
    file.write_text(f'# why\na/b: "{"1" * 40}"\nc/d: null\n')
    monkeypatch.setattr(hub, "REVISIONS", file)
    monkeypatch.setattr(hub, "find_revision", lambda repo_id: "2" * 40)
    assert pin_sources.pin(every=False) == {"c/d": "2" * 40}
    assert file.read_text() == f'# why\na/b: "{"1" * 40}"\nc/d: "{"2" * 40}"\n'
    assert pin_sources.pin(every=False) == {}
    assert pin_sources.pin(every=True) == {"a/b": "2" * 40}


def test_languages_take_turns():
    assert "".join(commitpack._in_turns([iter("ab"), iter("c"), iter("def")])) == "acdbef"
