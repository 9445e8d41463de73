"""Publishing a data set: what is refused, what a release is, and every way in which a push can go wrong."""

import errno
import json
import shutil
import signal
import subprocess
import sys

import pytest
from huggingface_hub import HfApi

from artefacts import ROOT, Refusal
from model_cards import publish
from model_cards.dataset_repository import pack_dataset
from tests.local_hub import READ_TOKEN, TOKEN
from tests.model_cards.toy_build import toy_row, toy_source, write_build


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed toy mixture of 12 rows, two of them non-commercial, one rejected. Not to be changed."""
    return pack(
        tmp_path_factory.mktemp("packed"),
        [*(toy_row(n) for n in range(10)), *(toy_row(n, license="CC-BY-NC-4.0") for n in (10, 11))],
    )


def pack(tmp_path, rows, **options):
    options = {"rejected": [toy_row(90, reason="too_short_without_code")]} | options
    return pack_dataset(write_build(tmp_path / "toy", rows, **options), tmp_path / "hub")


def push(folder, tag="v1", public=False):
    return publish.publish("dataset", folder, tag, public)


def repository(hub, repo_id="lab/toy"):
    return hub.repositories["dataset", repo_id]


def published(hub, revision):
    """path -> bytes at a revision."""
    repo = repository(hub)
    return {name: file.data for name, file in repo.commits[repo.resolve(revision)].items()}


def writes(hub):
    """Requests that change a repository."""
    return [
        r for r in hub.requests if r.split()[0] in ("POST", "PUT", "DELETE") and "/api/" in r and "paths-" not in r
    ]


def test_a_release_is_one_commit_and_one_tag_and_private(hub, packed):
    commit = push(packed)
    repo = repository(hub)
    assert repo.private and repo.tags == {"v1": commit} and repo.branches == {"main": commit}
    assert len(repo.commits) == 2  # the Hub's own, and ours
    there = published(hub, "v1")
    local = {p.relative_to(packed).as_posix() for p in packed.rglob("*") if p.is_file()}
    assert there.keys() == local | {".gitattributes", "CHANGELOG.md"}
    release = json.loads(there["release.json"])
    assert release["tag"] == "v1" and release["repo_id"] == "lab/toy" and release["code_commit"] == "c" * 40
    assert 'load_dataset("lab/toy", "sft", split="train", revision="v1")' in there["README.md"].decode()
    assert len([r for r in hub.requests if "/commit/" in r]) == 1


def test_a_rerun_of_a_complete_release_changes_nothing(hub, packed):
    first = push(packed)
    hub.requests.clear()
    assert push(packed) == first
    assert not [r for r in writes(hub) if "repos/create" not in r]
    assert len(repository(hub).commits) == 2


def test_a_public_release_is_hidden_until_it_is_complete(hub, packed):
    seen = []
    hub.fail("POST", "/tag/", times=1, then=lambda: seen.append(repository(hub).private))
    push(packed, public=True)
    assert seen == [True] and not repository(hub).private


def test_a_public_repository_is_not_pushed_to_by_accident(hub, packed):
    push(packed, public=True)
    with pytest.raises(Refusal, match="lab/toy is public; say PUBLIC=1, or make it private"):
        push(packed, "v2")
    assert push(packed) == repository(hub).tags["v1"]  # it is out already


def test_a_tag_never_moves(hub, packed, tmp_path):
    push(packed)
    other = pack(tmp_path, [toy_row(n) for n in range(11)])
    with pytest.raises(Refusal, match="the tag v1 already names another release; a tag never moves"):
        push(other)
    assert len(repository(hub).commits) == 2


def test_the_changelog_says_what_changed_since_the_last_release(hub, packed, tmp_path):
    first = push(packed)
    rows = [toy_row(0, generator="someone"), *(toy_row(n) for n in range(2, 10)), toy_row(11, license="CC-BY-NC-4.0")]
    rows += [toy_row(n, source="more") for n in (20, 21)]
    push(pack(tmp_path, rows, settings={"09_mixture": {"alchemist_share": 0.2}}), "v2")
    there = published(hub, "v2")
    log = there["CHANGELOG.md"].decode()
    assert "**v2**, since v1" in log and "**v1**, the first release" in log
    assert "- rows of toy: 0 added, 2 removed, 1 changed" in log and "- rows of more: 2 added, 0 removed, 0" in log
    assert "- 09_mixture.alchemist_share: 0.05 -> 0.2" in log and "- config.sft: 10 -> 11" in log
    assert log.split("## Changes")[-1] in there["README.md"].decode() or "since v1" in there["README.md"].decode()
    assert json.loads(there["release.json"])["previous"] == {"tag": "v1", "commit": first}
    assert not [name for name in published(hub, "v1") if "/more/" in name]  # v1 is what it was


def test_files_of_the_last_release_that_are_no_more_go_in_the_same_commit(hub, packed, tmp_path):
    push(packed)
    push(pack(tmp_path, [toy_row(n) for n in range(10)]), "v2")
    assert [name for name in published(hub, "v1") if name.startswith("data/research")]
    assert not [name for name in published(hub, "v2") if name.startswith("data/research")]
    assert len(repository(hub).commits) == 3


ANSWERS = [(429, {"Retry-After": "7"}), (429, {}), (500, {}), (503, {"Retry-After": "1"})]
CALLS = [
    ("POST", "/api/repos/create"), ("GET", "/revision/main"), ("GET", "/refs"), ("POST", "/preupload/"),
    ("POST", "objects/batch"), ("PUT", "/_lfs/"), ("POST", "/commit/"), ("POST", "/tag/"), ("GET", "/tree/"),
    ("GET", "/api/whoami-v2"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_survives_refusals_that_pass_and_cut_connections(hub, packed, method, path):
    for status, headers in ANSWERS:
        hub.fail(method, path, status=status, headers=headers)
    hub.fail(method, path, cut="before")
    commit = push(packed)
    assert repository(hub).tags == {"v1": commit} and len(repository(hub).commits) == 2
    assert not any(fault.times for fault in hub.faults)


def test_a_server_that_says_when_is_believed_and_one_that_does_not_is_given_more_time_each_time(hub, packed, waits):
    hub.fail("POST", "/commit/", status=429, headers={"Retry-After": "7"})
    hub.fail("POST", "/commit/", status=429, times=4)
    push(packed)
    assert waits[0] == 7
    assert all(base / 2 <= wait <= base for base, wait in zip((2, 4, 8, 16), waits[1:], strict=True)), waits


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            {"status": 500, "times": 99},
            "the Hub answered 500 6 times; run the same command again, it goes on from here",
        ),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, "the Hub asks to wait 60 minutes"),
        ({"cut": "before", "times": 99}, "broke off .* 6 times"),
        ({"status": 403}, "this token may not write there"),
        ({"status": 418}, "the Hub answered 418"),
    ],
)
def test_what_does_not_pass_is_one_sentence_and_shows_nothing(hub, packed, fault, says):
    hub.fail("POST", "/commit/", **fault)
    with pytest.raises(Refusal, match=says) as refusal:
        push(packed)
    assert TOKEN not in str(refusal.value) and "\n" not in str(refusal.value)
    assert len(repository(hub).commits) == 1 and not repository(hub).tags
    hub.faults.clear()
    uploaded = len(hub.uploads)
    push(packed)
    assert repository(hub).tags and len(hub.uploads) == uploaded  # large files are not sent again


@pytest.mark.parametrize("path", ["/commit/", "/tag/"])
def test_an_answer_that_was_lost_is_not_acted_upon_twice(hub, packed, path):
    hub.fail("POST", path, cut="after")
    commit = push(packed)
    assert repository(hub).tags == {"v1": commit} and len(repository(hub).commits) == 2


def test_an_upload_cut_in_the_middle_sends_that_file_alone_again(hub, packed):
    hub.fail("PUT", "/_lfs/", skip=1, cut="before")
    push(packed)
    assert len(hub.uploads) == len(set(hub.uploads)) == 4  # two parts of the rows, the rejected, the index


def test_somebody_elses_commit_in_between_is_built_upon(hub, packed):
    other = []

    def commit_something():
        repo = repository(hub)
        other.append(repo.commit(dict(repo.commits[repo.branches["main"]]), "somebody else's"))

    hub.fail("POST", "/commit/", then=commit_something)
    commit = push(packed)
    repo = repository(hub)
    assert len(repo.commits) == 3 and repo.tags == {"v1": commit} and other[0] in repo.commits
    headers = [json.loads(b.splitlines()[0])["value"] for b in hub.bodies if b.startswith('{"key": "header"')]
    assert [h["parentCommit"] for h in headers][-1] == other[0]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionError("reset"), None),
        (TimeoutError("too slow"), None),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the disk is full; make room and run",
        ),
        (RuntimeError("CAS refused\nthe shard"), "RuntimeError .CAS refused the shard.; run the same command again"),
    ],
)
def test_errors_of_the_uploader_of_the_real_hub_are_waited_out_or_one_sentence(hub, packed, monkeypatch, error, says):
    whole, failures = HfApi.create_commit, [error, error]

    def fails_twice(self, *arguments, **options):
        if failures:
            raise failures.pop()
        return whole(self, *arguments, **options)

    monkeypatch.setattr(HfApi, "create_commit", fails_twice)
    if says:
        with pytest.raises(Refusal, match=says):
            push(packed)
        failures.clear()
    assert push(packed) == repository(hub).tags["v1"]


def test_a_branch_that_never_rests_is_given_up_on(hub, packed):
    def commit_something():
        repo = repository(hub)
        repo.commit(dict(repo.commits[repo.branches["main"]]), "somebody else's")

    hub.fail("POST", "/commit/", times=99, then=commit_something)
    with pytest.raises(Refusal, match="was changed 4 times while we were publishing"):
        push(packed)
    assert not repository(hub).tags


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/_lfs/"), ("POST", "/commit/"), ("POST", "/tag/"), ("GET", "/tree/")]
)
def test_killed_at_any_point_it_shows_nothing_half_and_a_rerun_finishes(hub, packed, tmp_path, method, path):
    command = [sys.executable, "-m", "model_cards.publish", "data", str(packed), "--tag", "v1"]
    env = {"PATH": "", "HF_NAMESPACE": "lab"} | hub.environment(tmp_path / "home")
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # skip: the tree is first listed before the commit, and once more after it
    hub.fail(method, path, skip=method == "GET", then=lambda: process.send_signal(signal.SIGKILL), cut="after")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    repo = repository(hub)
    for commit, files in repo.commits.items():  # whatever a reader may see is empty or whole
        assert set(files) == {".gitattributes"} or "release.json" in files, commit
    uploaded = len(hub.uploads)
    before = dict(repo.branches), dict(repo.tags)
    commit = push(packed)
    assert repo.tags == {"v1": commit} and len(repo.commits) == 2
    if path in ("/tag/", "/tree/"):
        assert before[0]["main"] == commit and len(hub.uploads) == uploaded
    assert len(hub.uploads) == len(set(hub.uploads))


def test_bytes_that_the_hub_does_not_hold_are_not_tagged(hub, packed):
    def spoil():
        repo = repository(hub)
        files = repo.commits[repo.branches["main"]]
        name = next(n for n in files if n.startswith("data/permissive"))
        files[name] = type(files[name])(name, files[name].data[:-1] + b"?", True)

    hub.fail("GET", "/tree/", skip=1, then=spoil)
    with pytest.raises(Refusal, match="data/permissive/toy/rows/train-.* is not what was sent; not tagged"):
        push(packed)
    assert not repository(hub).tags


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HF_TOKEN": ""}, "publishing needs a token: set HF_TOKEN"),
        ({"HF_TOKEN": "hf_wrong"}, "the Hub does not know this token"),
        ({"HF_TOKEN": READ_TOKEN}, "HF_TOKEN may only read"),
        ({"HF_NAMESPACE": ""}, "publishing needs HF_NAMESPACE"),
        ({"HF_NAMESPACE": "google"}, "HF_NAMESPACE is 'google', but this token writes to tester, lab"),
    ],
)
def test_who_may_not_publish_is_told_so_before_anything_is_sent(hub, packed, monkeypatch, environment, says):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refusal, match=says) as refusal:
        push(packed)
    assert "hf_" not in str(refusal.value).replace("hf auth", "") and not hub.repositories


@pytest.mark.parametrize(
    ("source", "licence", "says"),
    [
        ({"pinned": False}, "MIT", "source 'toy' was read at a revision that nobody pinned"),
        ({"revision": None}, "MIT", "source 'toy' was read at a revision that nobody pinned"),
        ({}, "unknown", "1 row.s. of source 'toy' are under the licence 'unknown', which does not let us publish"),
        ({}, "CC-BY-NC-ND-4.0", "are under the licence 'CC-BY-NC-ND-4.0'"),
        ({}, "MIT AND who-knows", "are under the licence 'who-knows'"),
    ],
)
def test_what_may_not_be_published_is_refused(hub, tmp_path, source, licence, says):
    rows = [toy_row(0), toy_row(1, license=licence)]
    folder = pack(tmp_path, rows, sources={"toy": toy_source(**source)})
    with pytest.raises(Refusal, match=says):
        push(folder)
    assert not hub.requests


def test_rows_that_nobody_searched_for_secrets_are_refused(hub, tmp_path):
    folder = pack(tmp_path, [toy_row(0)], settings={"03_clean": {"secrets": "ignore"}})
    with pytest.raises(Refusal, match="toy.yaml: nobody searched these rows for secrets; name 03_clean"):
        push(folder)
    assert not hub.requests


@pytest.mark.parametrize("maker", ["05_evolve", "06_comprehend"])
def test_new_rows_that_nobody_checked_are_refused(packed, maker):
    facts = json.loads((packed / "release.json").read_text())
    facts["settings"][maker] = {}
    with pytest.raises(Refusal, match=f"nobody searched the rows that {maker} made .* add `07_recheck: {{}}`"):
        publish.check_dataset(facts)
    facts["settings"]["07_recheck"] = {}
    publish.check_dataset(facts)


def test_a_source_of_this_machine_needs_no_pin(hub, tmp_path):
    local = toy_source(repo_id=None, pinned=False, revision="3.11.7")
    push(pack(tmp_path, [toy_row(0)], sources={"toy": local}))
    assert repository(hub).tags


@pytest.mark.parametrize("tag", ["", "main", "a b", "-x", "../v1", "1234567", "refs/heads/main"])
def test_what_is_no_tag_is_refused(hub, packed, tag):
    with pytest.raises(Refusal, match="is no name for a release"):
        push(packed, tag)


def test_a_folder_that_was_meddled_with_is_refused(hub, packed, tmp_path):
    folder = shutil.copytree(packed, tmp_path / "meddled")
    (folder / "extra.parquet").write_bytes(b"x")
    with pytest.raises(Refusal, match="extra.parquet is not as it was packed; delete the folder"):
        push(folder)


def test_the_token_is_nowhere(hub, packed, tmp_path, capfd):
    hub.fail("POST", "/commit/", status=500, times=2)
    push(packed)
    said = capfd.readouterr()
    assert "500; attempt 2 of 6" in said.err and TOKEN not in said.out + said.err
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]


def test_a_release_that_never_got_its_tag_is_passed_over_by_the_next_ones_changelog(hub, packed, tmp_path):
    push(packed)
    hub.fail("POST", "/tag/", times=99, status=500)
    with pytest.raises(Refusal, match="the Hub answered 500 6 times"):
        push(pack(tmp_path, [toy_row(n) for n in range(3)]), "v1.1")
    hub.faults.clear()
    push(pack(tmp_path, [toy_row(n) for n in range(9)]), "v2")
    release = json.loads(published(hub, "v2")["release.json"])
    assert [entry["tag"] for entry in release["changelog"]] == ["v2", "v1"] and release["previous"]["tag"] == "v1"
    assert "rows of toy: 0 added, 3 removed, 0 changed" in release["changelog"][0]["lines"]
    assert set(repository(hub).tags) == {"v1", "v2"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["check", "--tag", "v1"], 0, ""),
        (["check", "--tag", "main"], 2, "'main' is no name for a release; give a tag such as TAG=v1.0.0."),
        (["data", "nowhere", "--tag", "v1"], 2, "nowhere/release.json is missing; pack it first (make data)."),
    ],
)
def test_the_command_line_answers_in_one_sentence(hub, monkeypatch, capsys, arguments, code, says):
    monkeypatch.setattr("sys.argv", ["publish", *arguments])
    assert publish.main() == code
    assert says in capsys.readouterr().err and not hub.repositories
