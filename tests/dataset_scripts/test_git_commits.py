"""Commits out of a repository that is built here, with everything in it that a history can hold."""

import os
import subprocess
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artefacts import Refusal
from dataset_scripts import commits, git_history, sources
from dataset_scripts.sources import git_commits
from tests.conftest import run_module

# a mixture of these rows as they are
PLAIN = {"_04_decontaminate": None, "_08_customise": None, "_09_mixture": {"alchemist_share": 0, "mode": "add"}}

MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy of this software"
CODE = "".join(f"def f{n}(x):\n    return x + {n}\n\n" for n in range(8))


def git(folder, *arguments, **options):
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@a.example", "-c", "commit.gpgsign=false")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env=environment, capture_output=True, check=True, **options
    )
    return done.stdout.decode().strip()


def commit(folder, message, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git(folder, "add", "-A")
    git(folder, "commit", "--allow-empty", "--allow-empty-message", "-q", "-F", "-", input=message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clones") / "walk"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(
        folder,
        b"Begin the long walk here",
        LICENSE=MIT,
        steps_dot_py=CODE,
        b_dot_py="b = 1\n",
        data_dot_bin="x",
        n="1\n",
    )
    good = CODE.replace("x + 3", "x - 3")
    commit(folder, b"[math] Subtract three from the number\n\nIt was\nadded.", steps_dot_py=good)
    commit(folder, b"Change two files at the same time", steps_dot_py=CODE, b_dot_py="b = 2\n")
    commit(folder, b"Add a third file to the walk", c_dot_py="c = 1\n")
    git(folder, "mv", "c.py", "d.py")
    commit(folder, b"Rename the third file of the walk")
    git(folder, "rm", "-q", "d.py")
    commit(folder, b"Remove the third file of the walk")
    commit(folder, b"Write a letter that is not UTF-8", b_dot_py=b"b = '\xe9'\n")
    commit(folder, b"Write the letter as UTF-8 again", b_dot_py="b = 'é'\n")
    commit(folder, b"Write a NUL byte into the file", b_dot_py=b"b = '\0'\n")
    commit(folder, b"Grow the file beyond all measure", b_dot_py="b" * 1_000_001)
    commit(folder, b"", b_dot_py="b = 3\n")
    commit(folder, b"Say it in Latin-1: eee", b_dot_py="b = 4\n")
    raw = git(folder, "cat-file", "commit", "HEAD").encode().replace(b"eee", b"\xe9\xe9\xe9") + b"\n"
    git(folder, "reset", "-q", "--soft", git(folder, "hash-object", "-t", "commit", "-w", "--stdin", input=raw))
    commit(folder, b"Change nothing in any of the files")
    commit(folder, b"Change a file of no known language", n="2\n")
    commit(folder, b"Update README.md", b_dot_py="b = 5\n")
    (folder / "b.py").unlink()
    (folder / "b.py").symlink_to("steps.py")
    commit(folder, b"Turn the file into a symbolic link")
    for target in ("1" * 40, "2" * 40):
        git(folder, "update-index", "--add", "--cacheinfo", f"160000,{target},sub")
        git(folder, "commit", "-q", "-m", f"Move the submodule to another commit {target[0]}")
    git(folder, "rm", "-q", "--cached", "sub")
    git(folder, "commit", "-q", "-m", "Remove the submodule from the walk")
    git(folder, "checkout", "-q", "-b", "side")
    commit(folder, b"Multiply by two instead of adding", steps_dot_py=CODE.replace("x + 2", "x * 2"))
    git(folder, "checkout", "-q", "main")
    git(folder, "merge", "-q", "--no-ff", "-m", "Bring the side branch into the main one", "side")
    return folder


def options(clone, /, **changes):
    entry = {"name": "lab/walk", "path": str(clone)}
    return {"clones": [entry | changes.pop("clone", {})]} | changes


def read(given, sample_rows=None, seed=0):
    source = sources.load("git_commits", "toy.yaml", given)
    return list(source.read(source.find_revision(), sample_rows, seed))


def test_every_commit_is_a_row_and_its_history_names_the_reason(clone):
    rows = read(options(clone))
    assert len(rows) == int(git(clone, "rev-list", "--count", "HEAD")) == 21
    assert {row["subject"]: row["reason"] for row in rows} == {
        "Begin the long walk here": "several_files",
        "Subtract three from the number": None,
        "Change two files at the same time": "several_files",
        "Add a third file to the walk": "file_added",
        "Rename the third file of the walk": "file_renamed",
        "Remove the third file of the walk": "file_deleted",
        "Write a letter that is not UTF-8": "not_utf8",
        "Write the letter as UTF-8 again": "not_utf8",
        "Write a NUL byte into the file": "binary",
        "Grow the file beyond all measure": "binary",
        "": "message_too_short",
        "Say it in Latin-1: \\xe9\\xe9\\xe9": "message_not_utf8",
        "Change nothing in any of the files": "no_file_changed",
        "Change a file of no known language": "language_unknown",
        "Update README.md": "message_is_noise",
        "Turn the file into a symbolic link": "not_a_file",
        "Move the submodule to another commit 2": "not_a_file",
        "Move the submodule to another commit 1": "file_added",
        "Multiply by two instead of adding": None,
        "Remove the submodule from the walk": "file_deleted",
        "Bring the side branch into the main one": "merge",
    }


def test_the_counts_add_up_and_are_printed_in_the_order_of_the_chain(clone):
    done = run_module("dataset_scripts.sources.git_commits", f"lab/walk={clone}")
    assert done.returncode == 0, done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    counts = {name.strip("`*"): int(n.strip("*")) for name, n in lines[3:]}
    total = int(git(clone, "rev-list", "--count", "HEAD"))
    assert counts["commits"] == total == sum(n for name, n in counts.items() if name != "commits")
    assert counts["kept"] == 2 and lines[2] == ["licence of the rows", "MIT"]
    assert [name for name in counts][1:-1] == [reason for reason in git_commits.REASONS if reason in counts]
    assert str(clone) not in done.stdout


def test_a_kept_commit_holds_both_versions_and_says_where_it_is_from(clone):
    (row,) = [row for row in read(options(clone)) if row["subject"].startswith("Subtract")]
    assert row["old_contents"] == CODE and row["new_contents"] == CODE.replace("x + 3", "x - 3")
    assert row["message"] == "[math] Subtract three from the number\n\nIt was\nadded."
    found = commits.exchange(row)
    assert found.instruction == f"Subtract three from the number\n{CODE}"
    assert found.origin == f"lab/walk@{row['commit']}:steps.py" and (found.licence, found.language) == (
        "MIT",
        "python",
    )


def test_a_file_over_the_limit_is_not_read_and_the_next_one_is(clone):
    row = git(clone, "rev-parse", "HEAD:steps.py"), git(clone, "log", "--format=%H", "--grep=beyond all measure")
    large = git(clone, "rev-parse", f"{row[1]}:b.py")
    with git_history.Blobs(clone, 1_000_000) as blobs:
        assert blobs.read(large) is None
        assert blobs.read(row[0]).decode() == CODE.replace("x + 2", "x * 2")
        with pytest.raises(Refusal, match="is not there"):
            blobs.read("3" * 40)


def test_a_licence_that_is_not_on_the_list_rejects_every_row(clone):
    given = options(clone, clone={"licence": "GPL-3.0"})
    assert {row["reason"] for row in read(given)} == {"licence", "message_not_utf8"}


def test_a_fork_brings_no_commit_twice(clone, tmp_path):
    fork = tmp_path / "fork.git"
    git(tmp_path, "clone", "-q", "--bare", str(clone), str(fork))
    once = read(options(clone))
    both = read({"clones": [*options(clone)["clones"], {"name": "fork/walk", "path": str(fork)}]})
    assert both[: len(once)] == once
    again = Counter(row["reason"] for row in both[len(once) :])
    assert again["commit_seen_before"] == 2 and again[None] == 0


def test_a_repository_cannot_start_anything(clone, tmp_path):
    hostile, ran = tmp_path / "hostile", tmp_path / "ran"
    git(tmp_path, "clone", "-q", str(clone), str(hostile))
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\ncat\n")
    program.chmod(0o755)
    for key in (
        "core.fsmonitor", "core.pager", "core.sshCommand", "core.hooksPath", "diff.external", "diff.x.textconv",
        "diff.x.command", "filter.x.smudge", "filter.x.clean", "gpg.program", "core.alternateRefsCommand",
    ):  # fmt: skip
        git(hostile, "config", key, str(program))
    git(hostile, "config", "log.showSignature", "true")
    git(hostile, "config", "color.ui", "always")
    git(hostile, "config", "log.diffMerges", "separate")
    (hostile / ".git/info/attributes").write_text("* diff=x filter=x\n")
    for hook in ("post-checkout", "pre-auto-gc", "reference-transaction"):
        (hostile / ".git/hooks" / hook).write_bytes(program.read_bytes())
    assert read(options(hostile)) == read(options(clone))
    assert not ran.exists()


def test_a_sample_is_seeded_keeps_the_order_and_reads_the_commit_that_was_promised(clone):
    whole = read(options(clone))
    one, same, other = (read(options(clone), 8, seed) for seed in (1, 1, 2))
    assert one == same != other and len(one) == 8
    places = [whole.index(row) for row in one]
    assert places == sorted(places)
    source = sources.load("git_commits", "toy.yaml", options(clone))
    with pytest.raises(Refusal, match="was asked for, but the clones and exports are at"):
        list(source.read("lab/walk@" + "0" * 40, None, 0))


def test_an_export_with_commitpacks_columns_gives_the_same_rows(clone, tmp_path):
    rows = [row for row in read(options(clone, chain="commitpack")) if row["reason"] is None]
    assert len(rows) == 2
    exported = [{column: row[column] for column in commits.COLUMNS} for row in rows]
    pq.write_table(pa.Table.from_pylist(exported), tmp_path / "export.parquet")
    found = read({"exports": [str(tmp_path / "export.parquet")]})
    kept = [row for row in read(options(clone)) if row["reason"] is None]
    assert [commits.exchange(row) for row in found] == [commits.exchange(row) for row in kept]
    pq.write_table(pa.Table.from_pylist(exported).drop(["license"]), tmp_path / "export.parquet")
    with pytest.raises(Refusal, match="row 1: no column license"):
        read({"exports": [str(tmp_path / "export.parquet")]})


def test_a_build_accounts_for_every_commit(clone, mixture_file, tmp_path):
    from artefacts import read_json
    from dataset_scripts import build
    from dataset_scripts.stage_files import shards

    entry = {"source": "git_commits", "options": options(clone)}
    path = mixture_file(
        _01_sources=[entry],
        _04_decontaminate=None,
        _08_customise=None,
        _09_mixture={"alchemist_share": 0, "mode": "add"},
    )
    folder = build.build(path, tmp_path / "build", workers=1)
    ledger = read_json(folder / "01_sources/ledger.json")
    assert ledger["kept"] == 2 and ledger["rejected"]["several_files"] == 2
    facts = [r for p in shards(folder / "01_sources", "facts") for r in pq.read_table(p).to_pylist()]
    assert len(facts) == ledger["rows_in"] and all(r["origin"].startswith("lab/walk@") for r in facts)
    noted = read_json(folder / "01_sources/manifest.json")["notes"]["sources"]["git_commits"]
    assert noted["tokenizer"] == "code_pieces" and "stand-in" in noted["tokenizer_note"]
    assert read_json(folder / "03_clean/ledger.json")["kept"] == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "name neither clones nor exports"),
        ({"clone": []}, "toy.yaml: 01_sources, options of 'git_commits': unknown key 'clone'"),
        ({"clones": [{"name": "a/b"}]}, "options of 'git_commits': the key 'clones.0.path' is missing"),
        ({"clones": [{"name": "a b", "path": "x"}]}, "key 'clones.0.name'"),
        ({"chain": "none", "exports": ["x.jsonl"]}, "key 'chain'"),
        ({"tokenizer": "/nowhere", "exports": ["x.jsonl"]}, "tokenizer '/nowhere': cannot be loaded"),
        ({"exports": ["/nowhere.jsonl"]}, "/nowhere.jsonl: cannot be read"),
        ({"clones": [{"name": "a/b", "path": "/nowhere"}]}, "/nowhere: git cannot read it"),
    ],
)
def test_wrong_options_are_one_sentence(given, says):
    with pytest.raises(Refusal) as refusal:
        read(given)
    assert says in str(refusal.value)


def test_a_revision_cannot_be_an_option_of_git(clone):
    with pytest.raises(Refusal, match="git cannot read it"):
        read(options(clone, clone={"revision": "--output=/tmp/x"}))
