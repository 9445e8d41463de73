import gzip
import json
import platform
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from artefacts import read_json
from dataset_scripts import clean, sources
from dataset_scripts.facts_of_code import compile_error, has_code, language_of
from dataset_scripts.schema import make_row
from dataset_scripts.sources import code_exercise_python, python_stdlib
from tests.conftest import run_module
from tests.local_hub import LocalHub


@pytest.fixture(scope="module")
def stdlib():
    return list(python_stdlib.read(platform.python_version(), None, 0))


def test_the_standard_library_gives_enough_rows(stdlib):
    assert len(stdlib) >= 1500
    assert {"function", "method", "coroutine method"} <= {row["kind"] for row in stdlib}
    assert not [row for row in stdlib if "test" in row["module"].split(".")]


def test_an_instruction_names_what_the_code_is(stdlib):
    (raw,) = [row for row in stdlib if (row["module"], row["qualname"]) == ("collections", "Counter.most_common")]
    instruction, response = python_stdlib.pair(raw)
    first = (
        "Write the Python method `most_common(self, n=None)` of the class `Counter` in the module `collections`.\n\n"
    )
    assert instruction.startswith(first + "List the n most common elements")
    assert response.startswith("```python\ndef most_common(self, n=None):\n") and response.endswith("\n```")
    assert compile_error(response) is None


def test_only_indentation_is_taken_off_the_code():
    lines = ["    def f(self):\n", "\n", '        """One.\n', "left\n", '        """\n', "        return 1\n"]
    assert python_stdlib._outdented(lines, 4) == 'def f(self):\n\n    """One.\nleft\n    """\n    return 1\n'


def test_no_code_starts_indented(stdlib):
    assert not [row["qualname"] for row in stdlib if row["code"][:1].isspace()]


def test_decorators_belong_to_the_code(stdlib):
    (raw,) = [row for row in stdlib if (row["module"], row["qualname"]) == ("fractions", "Fraction.from_float")]
    assert raw["code"].startswith("@classmethod\ndef from_float(cls, f):")


def test_a_sample_is_seeded_and_keeps_the_order(stdlib, monkeypatch):
    monkeypatch.setattr(python_stdlib, "_documented", lambda path, root: documented.get(path, []))
    root = Path(sysconfig.get_paths()["stdlib"])
    documented = {path: [row for row in stdlib if row["module"] == path.stem] for path in root.glob("*.py")}
    names = [(row["module"], row["qualname"]) for row in stdlib]
    one, same, other = ([(r["module"], r["qualname"]) for r in python_stdlib.read("", 50, seed)] for seed in (1, 1, 2))
    assert one == same != other and len(one) == 50
    assert [names.index(n) for n in one] == sorted(names.index(n) for n in one)


@pytest.mark.parametrize(
    ("rounds", "pair"),
    [
        ([("human", "q"), ("bot", "a"), ("human", "q2"), ("bot", "a2")], ("q", "a")),
        ([("system", "s"), ("human", "q"), ("bot", "a")], ("q", "a")),
        ([("human", "q")], ("q", None)),
        ([("bot", "a")], (None, None)),
        ([], (None, None)),
    ],
)
def test_the_first_exchange_of_a_chat_becomes_the_row(rounds, pair):
    raw = {"chat_rounds": [{"role": r, "content": c, "chat_round_id": i} for i, (r, c) in enumerate(rounds)]}
    assert code_exercise_python.pair(raw)[:2] == pair


def hub_with_the_papers_sets(folder) -> LocalHub:
    code = "```python\ndef f{n}(x):\n    return [x + {n} for x in range(x)]\n```"
    pairs = [{"instruction": f"Add {n}.", "output": code.replace("{n}", str(n))} for n in range(600)]
    chats = [
        {
            "chat_rounds": [
                {"role": "human", "content": f"Exercise: {p['instruction']}", "chat_round_id": 0},
                {"role": "bot", "content": p["output"], "chat_round_id": 1},
            ]
        }
        for p in pairs
    ]
    lines = lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode()  # noqa: E731
    return LocalHub(
        folder,
        {
            "nickrosh/Evol-Instruct-Code-80k-v1": {"EvolInstruct-Code-80k.json": json.dumps(pairs).encode()},
            "theblackcat102/evol-codealpaca-v1": {"train.jsonl": lines(pairs)},
            "codefuse-ai/CodeExercise-Python-27k": {"CodeExercise-Python-27k.jsonl": lines(chats)},
        },
    )


def test_the_papers_open_sets_are_sampled_through_the_hubs_own_protocol(tmp_path):
    with hub_with_the_papers_sets(tmp_path / "hub") as hub:
        env = hub.environment(tmp_path / "home")
        done = run_module("dataset_scripts.build", "recipes/mixtures/demo_hub.yaml", "--build", str(tmp_path), env=env)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "demo_hub"
    assert {n: s["rows_in"] for n, s in read_json(folder / "01_sources/ledger.json")["by_source"].items()} == {
        "code_exercise_python": 500,
        "evol_codealpaca": 500,
        "evol_instruct_code": 500,
    }
    noted = read_json(folder / "01_sources/manifest.json")["notes"]["sources"]
    assert (
        noted["evol_codealpaca"]["revision"]
        == hub.repositories["dataset", "theblackcat102/evol-codealpaca-v1"].branches["main"]
    )
    # the two sets hold the same pairs here, so what both samples drew is a duplicate
    assert read_json(folder / "02_dedup/ledger.json")["rejected"]["duplicate"] > 300


def test_a_hub_that_does_not_answer_is_one_sentence(tmp_path):
    env = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = run_module("dataset_scripts.build", "recipes/mixtures/demo_hub.yaml", "--build", str(tmp_path), env=env)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "http://127.0.0.1:9 did not give this dataset" in done.stderr and "make demo" in done.stderr


NEEDED_OPTIONS = {
    "jsonl": {"files": ["mine.jsonl"], "licence": "MIT", "generator": "human"},
    "git_commits": {"clones": [{"name": "a/b", "path": "."}]},
}


@pytest.mark.parametrize("name", sources.names())
def test_every_source_says_who_wrote_it_and_under_which_licence(name):
    source = sources.load(name, "test", NEEDED_OPTIONS.get(name))
    assert source.licence and source.generator and callable(source.find_revision)
    assert set(source.checks) <= set(sources.CHECKS)
    assert source.about.endswith(".") and 20 < len(source.about) < 200  # what a row is, for cards and the report


def test_cleaning_of_real_evolved_rows_rejects_few_and_with_reason(real_data):
    with gzip.open(real_data / "evol_instruct_code/evol-codealpaca-2k-1.json.gz", "rt") as file:
        rows = json.load(file)
    made = [
        make_row(
            source="evol", instruction=r["instruction"], response=r["output"], license="MIT", generator="gpt-4",
            language=language_of(r["output"]),
        )
        for r in rows
    ]  # fmt: skip
    columns = {name: [row[name] for row in made] for name in made[0]}
    config = clean.Config(min_response_chars=40)
    reasons = Counter(clean.batch(columns, config=config, checks={"evol": sources.CHECKS})["reason"])
    assert len(rows) == 1966 and sum(reasons.values()) == 1966
    assert 0 < reasons["does_not_compile"] < 200
    assert sum(has_code(r["output"]) for r in rows) > 1000
