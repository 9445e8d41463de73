"""Every filter of the chain rejects for its own reason, and lets its near miss pass."""

import doctest

import pytest

from dataset_scripts import chats, commit_tokens, commitpackft_filters, commits, languages, licence_text, raw_rows
from dataset_scripts.commit_tokens import code_pieces
from dataset_scripts.commit_verbs import IMPERATIVE_VERBS
from dataset_scripts.commitpackft_filters import REASONS, survives_the_draw, verdict

OLD = "def walk(step, limit):\n    for place in range(0, limit, step):\n        print(place)\n"
NEW = OLD.replace("step, limit", "limit, step=1").replace("print(place)", "yield place")
GOOD = {
    "commit": "c" * 40, "old_file": "src/steps.py", "new_file": "src/steps.py", "old_contents": OLD,
    "new_contents": NEW, "subject": "Give the pace a default value", "message": "Give the pace a default value",
    "lang": "Python", "license": "mit", "repos": "lab/walk",
}  # fmt: skip
HEX = "0123456789abcdef0123456789abcdef01234567"


def reason(**changes):
    return verdict(GOOD | changes, code_pieces, seed=0).reason


def test_a_plain_instruction_passes_the_whole_chain():
    assert verdict(GOOD, code_pieces, 0) == commitpackft_filters.Verdict(GOOD["subject"], None)


@pytest.mark.parametrize(
    ("expected", "rejected", "passes"),
    [
        ("old_file_too_long", {"old_contents": "x" * 50_000}, None),
        ("new_file_empty", {"new_contents": ""}, {"new_contents": OLD + "\n\n# more\n"}),
        ("nothing_changed", {"new_contents": OLD}, {"new_contents": OLD + " "}),
        ("extension_of_another_language", {"new_file": "src/steps.js"}, {"new_file": "src/steps.pyi"}),
        ("subject_names_the_file", {"new_file": "src/pace.py"}, {"new_file": "src/Pace.py"}),
    ],
)
def test_filters_of_the_files(expected, rejected, passes):
    assert reason(**rejected) == expected
    assert passes is None or reason(**passes) is None


@pytest.mark.parametrize(
    ("repeats", "expected"), [(1, None), (10, None), (40, "token_count")], ids=["short", "long", "too_long"]
)
def test_files_of_50_to_768_tokens_stay(repeats, expected):
    assert reason(new_contents=NEW * repeats) == expected


@pytest.mark.parametrize(("count", "expected"), [(49, "token_count"), (50, None), (768, None), (769, "token_count")])
def test_both_ends_of_the_token_window_are_inside(count, expected):
    asked = []
    assert verdict(GOOD, lambda text: asked.append(text) or count, 0).reason == expected
    assert asked == [f"{OLD}<|endoftext|>{NEW}"]


@pytest.mark.parametrize(
    ("expected", "rejected", "passes"),
    [
        ("subject_has_hash_sign", "Give the pace a default (#12)", "Give the pace a default (12)"),
        ("subject_length", "Add a default value", "Add a new default value"),
        ("subject_length", "Do a b c d", "Add a b c d"),
        ("subject_length", "Add " + "word " * 999, "Add " + "word " * 150),
        ("subject_length", "Add " + "words " * 200, None),
        ("subject_length_when_tidied", "walk: Add a default value", "walk: Add a new default value"),
        ("subject_length_when_tidied", "[walk] Add a default value", "[walk] Add a new default value"),
        ("subject_length_when_tidied", "Add a default value [minor]", "Add a new default value [minor]"),
        ("subject_length_when_tidied", "Add a default value [skip ci]", "Add a new default value [skip ci]"),
        ("subject_not_capitalised", "give the pace a default value", None),
        ("subject_not_capitalised", "walk: give the pace a default value", None),
        ("subject_without_imperative", "The pace has a default value", None),
        ("subject_without_imperative", "Added a default to the pace", "Add a default to the pace"),
        ("subject_without_imperative", "Addition of a default to the pace", "Set up the pace for a walk"),
        ("subject_on_the_list", "Fix a bug in the code.", "Fix a bug in the code of walks"),
        ("subject_holds_listed_text", "Fix what Merge branch x broke here", "Fix what branch x broke here"),
        ("cherry_pick", "Add the default by cherry-pick from main", "Pick a cherry for the cake"),
        ("names_a_commit", f"Undo the default of {HEX} again", f"Undo the default of {HEX[:12]} again"),
        ("first_person", "Add the default that I forgot", "Add the default that IO forgot"),
        ("first_person", "Add what I\u2019ve left out before", "Add what they\u2019ve left out before"),
        ("thanks_somebody", "Add a default, thanks to Ann for asking", "Add a default, thanks to Ann"),
        ("code_review", "Address the code review of the walk", "Add the code that Ann reviewed"),
        ("numbered_issue", "Fix issue 12 of the long walk", "Fix the issue of 12 long walks"),
        ("numbered_issue", "Fix bug 12 of the long walk", "Fix the bug of the long walk"),
        ("numbered_issue", "Add feature 3 to the long walk", "Add a feature to the long walk"),
        ("work_in_progress", "Add a default value, still WIP", "Add a default value to wipe"),
        ("holds_a_url", "Add the default of https://a.example here", "Add the default of a.example here"),
        ("holds_a_url", "Add the default of www.a.example here", None),
        ("leetcode", "Add the solution of a LeetCode task", "Add the solution of a coding task"),
    ],
)
def test_filters_of_the_subject(expected, rejected, passes):
    assert reason(subject=rejected) == expected
    assert passes is None or reason(subject=passes) is None


@pytest.mark.parametrize(
    ("subject", "is_version", "is_hash"),
    [
        ("v1.2.0", True, False), ("1.2.0 of the walk", True, False), ("Add 1.2.0 to the walk", False, False),
        ("0239a-2a41", False, True), ("decade", False, False), ("Undo 0239a-2a41", False, False),
    ],
)  # fmt: skip
def test_versions_and_hashes_are_told_from_words(subject, is_version, is_hash):
    assert commitpackft_filters.is_version(subject) == is_version
    assert commitpackft_filters.is_hash(subject) == is_hash


def test_three_filters_that_earlier_ones_overtake_still_stand_in_the_chain(monkeypatch):
    for earlier in ("has_fair_length", "starts_with_verb"):
        monkeypatch.setattr(commitpackft_filters, earlier, lambda subject: True)
    assert reason(subject="V1.2.0 of the long walk") == "subject_is_a_version"
    assert reason(subject="ABCD1-23") == "subject_is_a_hash"
    assert reason(subject="Add a default") == "under_four_words"


def test_the_first_filter_of_the_chain_names_the_reason():
    assert reason(subject="give (#1)", new_contents="", old_contents="x" * 50_000) == "old_file_too_long"
    assert reason(subject="give (#1)", new_contents="") == "new_file_empty"
    assert reason(subject="give (#1)") == "subject_has_hash_sign"
    assert len(REASONS) == len(set(REASONS)) == 26


def test_the_tidied_subject_is_what_goes_on_and_a_rejected_one_stays_as_it_was():
    subjects = ("[a] b: Give the pace a default", "[a] b: give the pace a default")
    kept, rejected = (verdict(GOOD | {"subject": subject}, code_pieces, 0) for subject in subjects)
    assert kept.subject == "Give the pace a default"
    assert rejected.subject == "[a] b: give the pace a default"


def test_one_version_bump_in_ten_is_kept_by_its_commit_alone():
    hashes = [f"{n:040x}" for n in range(2000)]
    drawn = [c for c in hashes if reason(subject="Bump the version of the walk", commit=c) is None]
    assert 150 < len(drawn) < 250
    assert drawn == [c for c in hashes if survives_the_draw(c, 0)] != [c for c in hashes if survives_the_draw(c, 1)]
    lost = next(c for c in hashes if c not in drawn)
    for subject in ("Bump the pace of the walk", "Set version of the long walk", "Update version of the long walk"):
        assert reason(subject=subject, commit=lost) == "version_bump_not_drawn"
    assert reason(subject="Update versions of the long walk", commit=lost) is None


def test_the_list_of_verbs_is_one_of_verbs():
    assert len(IMPERATIVE_VERBS) > 257
    assert {"add", "fix", "set up", "deduplicate"} <= IMPERATIVE_VERBS
    assert not {"added", "fixes", "adding", "readme", "the", "make:"} & IMPERATIVE_VERBS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"license": "gpl-3.0"}, "licence"),
        ({"license": ""}, "licence"),
        ({"license": "apache-2.0"}, None),
        ({"message": "Typo."}, "message_too_short"),
        ({"message": "Typos."}, None),
        ({"message": "x" * 10_000}, "message_too_long"),
        ({"message": "x" * 9_999}, None),
        ({"message": "Update README.md"}, "message_is_noise"),
        ({"message": "Merge branch 'x'"}, "message_is_noise"),
        ({"old_file": "src/old.py"}, "file_renamed"),
        ({"lang": ""}, "language_unknown"),
    ],
)
def test_commitpacks_own_rules(changes, expected):
    assert commits.judged(GOOD | changes, "commitpack", len, 0).get("reason") == expected


def test_a_commit_becomes_subject_and_old_code_asking_for_new_code():
    found = commits.exchange(GOOD | {"repos": "lab/walk,fork/walk"})
    assert found.instruction == f"Give the pace a default value\n{OLD}" and found.response == NEW
    assert (found.task, found.language, found.licence, found.generator) == ("commit", "python", "MIT", "human")
    assert found.origin == f"lab/walk@{'c' * 40}:src/steps.py"


def test_a_column_of_another_type_is_a_counted_reject():
    assert commits.judged(GOOD | {"subject": None}, "commitpackft", len, 0).reason == "wrong_type"


@pytest.mark.parametrize(
    "module", [chats, commit_tokens, commitpackft_filters, commits, languages, licence_text, raw_rows],
    ids=lambda m: m.__name__,
)  # fmt: skip
def test_examples_in_docstrings_hold(module):
    tried = doctest.testmod(module)
    assert tried.failed == 0 < tried.attempted
