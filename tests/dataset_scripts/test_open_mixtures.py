"""The published mixture files, whole, through the Hub's own protocol: toy rows always, real rows where they are."""

import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artefacts import ROOT, read_json
from dataset_scripts import why
from dataset_scripts.sources import hub
from dataset_scripts.sources.commitpackft import SIX_LANGUAGES
from dataset_scripts.stage_files import read_rows
from evaluation.benchmarks import mbpp
from tests.conftest import run_module
from tests.dataset_scripts.test_six_kinds import say
from tests.llm.server import Server
from tests.local_hub import LocalHub

EXTENSIONS = dict(zip(SIX_LANGUAGES, ("py", "js", "java", "go", "cpp", "rs"), strict=True))
PROGRAMS = {  # one program a language, whose table of numbers makes every copy another one
    "python": "def look_up(i):\n    return [{table}][i]\n",
    "javascript": "function lookUp(i) {{\n  return [{table}][i];\n}}\n",
    "java": "class T {{\n  double lookUp(int i) {{\n    return new double[] {{{table}}}[i];\n  }}\n}}\n",
    "go": "package t\n\nfunc lookUp(i int) float64 {{\n\treturn []float64{{{table}}}[i]\n}}\n",
    "c++": "double lookUp(int i) {{\n  double t[] = {{{table}}};\n  return t[i];\n}}\n",
    "rust": "fn look_up(i: usize) -> f64 {{\n    [{table}][i]\n}}\n",
}


MBPP = "google-research-datasets/mbpp"
MBPP_PARTS = {"prompt": range(1, 11), "test": range(11, 511), "validation": range(511, 601), "train": range(601, 975)}
SANITIZED = {"prompt": 7, "test": 257, "validation": 43, "train": 120}  # problems of a part


def mbpp_parts() -> dict[str, bytes]:
    """As many problems as MBPP has, in its layout; those of the tests where REAL_DATA_DIR has no real ones."""
    found = {}
    for part, numbers in MBPP_PARTS.items():
        rows = [
            {
                "task_id": n, "text": f"Write a function that multiplies by {n} and adds the {n + 1}th number.",
                "code": f"def work_{n}(x):\n    return x * {n} + {n + 1}\n",
                "test_list": [f"assert work_{n}(0) == {n + 1}"],
                "test_setup_code": "", "challenge_test_list": [],
            }
            for n in numbers
        ]  # fmt: skip
        found[f"full/{part}-00000-of-00001.parquet"] = parquet(rows)
        clean = [row | {"prompt": row["text"], "test_imports": []} for row in rows[: SANITIZED[part]]]
        found[f"sanitized/{part}-00000-of-00001.parquet"] = parquet(clean)
    return found


def program(language: str, seed: str, entries: int = 16) -> str:
    noise = random.Random(seed)
    return PROGRAMS[language].format(table=", ".join(f"{noise.random():.6f}" for _ in range(entries)))


def json_lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(rows) -> bytes:
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    return table.getvalue()


def toy_pairs(name: str, count: int) -> list[dict]:
    return [
        {"instruction": f"Look up number {n} of {name}.", "output": f"```python\n{program('python', f'{name}{n}')}```"}
        for n in range(count)
    ]


def toy_commit(language: str, number: int) -> dict:
    path, old = f"src/walk.{EXTENSIONS[language]}", program(language, f"{language}{number}", 24)
    new = old.replace("0.", "1.", 3).replace("look_up", "raised").replace("lookUp", "raised")  # what a prompt may name
    return {
        "commit": f"{number:040x}", "old_file": path, "new_file": path, "old_contents": old,
        "new_contents": new, "subject": f"Add one to the first {number + 3} numbers",
        "message": "Add one to them", "lang": language, "license": "mit", "repos": "lab/walk",
    }  # fmt: skip


def upstream(pairs: dict[str, list[dict]], dialogues: list[dict], commits: dict[str, list[dict]]) -> dict:
    """Repositories of the Hub, each in the layout that its source expects, from rows in one plain shape."""
    chats = [
        [{"role": role, "content": row[key], "chat_round_id": i} for i, (role, key) in enumerate(
            (("human", "instruction"), ("bot", "output")))]
        for row in pairs["code_exercise"]
    ]  # fmt: skip
    turns = [
        {"conversations": [{"text": d["prompt"], "role": "prompter"}, {"text": d["completion"], "role": "assistant"}]}
        for d in dialogues
    ]
    asked = [{"inputs": row["instruction"], "targets": row["output"]} for row in pairs["xp3x"]]
    raw = [row | {"most_similar": "{}"} for row in pairs["self_instruct"]]
    return {
        MBPP: mbpp_parts(),
        "nickrosh/Evol-Instruct-Code-80k-v1": {"EvolInstruct-Code-80k.json": json.dumps(pairs["evol"]).encode()},
        "theblackcat102/evol-codealpaca-v1": {"train.jsonl": json_lines(pairs["codealpaca"])},
        "codefuse-ai/CodeExercise-Python-27k": {
            "CodeExercise-Python-27k.jsonl": json_lines({"chat_rounds": chat} for chat in chats)
        },
        "bigcode/commitpackft": {f"data/{name}/data.jsonl": json_lines(rows) for name, rows in commits.items()},
        "bigcode/oasst-octopack": {"oasst_octopack.jsonl": json_lines(turns)},
        "bigcode/xp3x-octopack": {"xp3x_code_5k.jsonl": json_lines(asked)},
        "codeparrot/self-instruct-starcoder": {"data/raw-00000-of-00001.parquet": parquet(raw)},
    }


@pytest.fixture(params=[8])
def toy_hub(request, tmp_path):
    """Every source with so many rows; `indirect` for another number."""
    names = ("evol", "codealpaca", "code_exercise", "xp3x", "self_instruct")
    dialogues = [
        {"prompt": f"How do I walk {n} steps in a direction of {n * n}?", "completion": program("python", f"walk{n}")}
        for n in range(6)
    ]
    commits = {language: [toy_commit(language, n) for n in range(6)] for language in SIX_LANGUAGES}
    served = upstream({name: toy_pairs(name, request.param) for name in names}, dialogues, commits)
    with LocalHub(tmp_path / "hub", served, pins(served)) as hub_:
        yield hub_


def pins(served) -> dict[str, str]:
    known = {name: hub.pinned(name) for name in served if name != MBPP} | {MBPP: mbpp._REVISION}
    return {name: pinned for name, pinned in known.items() if pinned}


def build(served: LocalHub, tmp_path, name: str, *options: str, **variables: str):
    """Build the mixture file and render its repository; returns the folder of its stages."""
    env = served.environment(tmp_path / "home") | variables
    file = str(ROOT / f"recipes/mixtures/{name}.yaml")
    done = run_module("dataset_scripts.build", file, "--build", str(tmp_path), "--workers", "2", *options, env=env)
    assert done.returncode == 0, done.stderr
    # alchemist pins a model that this Hub does not have
    warned = [line for line in done.stderr.splitlines() if "warning" in line]
    assert [line for line in warned if "code is compared by TF-IDF in its place (delete" not in line] == []
    assert len(warned) == (name == "alchemist")
    rendered = run_module(
        "model_cards.render", "--hub", str(tmp_path / "hub"), "dataset", str(tmp_path / name), env=env
    )
    assert rendered.returncode == 0, rendered.stderr
    return tmp_path / name


def ledger_of(folder, stage):
    return read_json(folder / stage / "ledger.json")["by_source"]


def test_all_open_sources_become_one_mixture_through_the_hub(toy_hub, tmp_path):
    folder = build(toy_hub, tmp_path, "alchemist_open")
    sources = {
        "evol_instruct_code": 8, "code_exercise_python": 8, "evol_codealpaca": 8, "commitpackft": 36,
        "oasst_octopack": 6, "self_instruct_starcoder": 8, "xp3x_octopack": 8,
    }  # fmt: skip
    assert {name: part["kept"] for name, part in ledger_of(folder, "01_sources").items()} == sources
    assert {name: part["kept"] for name, part in ledger_of(folder, "09_mixture").items()} == sources
    rows = read_rows(folder / "09_mixture").to_pylist()
    assert len(rows) == 82 + round(0.05 * 82)
    assert {row["language"] for row in rows if row["task"] == "commit"} >= {"python", "go", "rust", "cpp", "java"}
    assert "In the mixture" in "\n".join(why.told(folder, rows[0]["id"]))


def test_octopack_holds_no_row_of_a_closed_model(toy_hub, tmp_path):
    folder = build(toy_hub, tmp_path, "octopack")
    assert {name: part["kept"] for name, part in ledger_of(folder, "09_mixture").items()} == {
        "commitpackft": 36, "oasst_octopack": 6,
    }  # fmt: skip
    assert read_json(folder / "01_sources/manifest.json")["notes"]["policies"] == {
        "license_policy": "research", "generator_policy": "no_closed_models",
    }  # fmt: skip
    assert set(read_rows(folder / "09_mixture")["generator"].to_pylist()) == {"human"}


@pytest.mark.slow
@pytest.mark.parametrize("toy_hub", [30], indirect=True)
def test_the_papers_mixture_is_built_through_the_hub_with_open_weights_and_then_with_nobody(toy_hub, tmp_path):
    with Server(say=say) as server:
        folder = build(toy_hub, tmp_path, "alchemist", "--teacher", "open", TEACHER_BASE_URL=server.url)
        assert {body["model"] for body in server.bodies} == {"Qwen/Qwen2.5-Coder-32B-Instruct"}
        asked = len(server.requests)
        sources = {name: part["kept"] for name, part in ledger_of(folder, "07_recheck").items()}
        assert {name: sources[name] for name in ("evol_instruct_code", "code_exercise_python", "evol_codealpaca")} == {
            "evol_instruct_code": 30, "code_exercise_python": 30, "evol_codealpaca": 30,
        }  # fmt: skip
        assert sources["evolcode"] and sources["instruction_evolution"] and sources["code_review"]
        card = (tmp_path / "hub/datasets/alchemist/README.md").read_text()
        assert "review@1" in card and "evolve/answer@1" in card and "## Kinds of data" in card
        folder = build(toy_hub, tmp_path, "alchemist", "--teacher", "static", TEACHER_BASE_URL=server.url)
        assert len(server.requests) == asked
    made = {name: of["rows"] for name, of in read_json(folder / "09_mixture/kinds.json")["kinds"].items()}
    assert made["open sets"] == 90 and made["code_review"] and not made["evolcode"]


def read_gz(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file) if path.name.endswith(".json.gz") else [json.loads(line) for line in file]


@pytest.mark.slow
def test_the_open_mixture_is_built_from_real_rows(real_data, tmp_path):
    evolved = read_gz(real_data / "evol_instruct_code/evol-codealpaca-2k-1.json.gz")
    alpaca = read_gz(real_data / "code_alpaca/code_alpaca_2k.json.gz")
    teacher = read_gz(real_data / "gpteacher_codegen/codegen-instruct.json.gz")
    leetcode = read_gz(real_data / "leetcode_dataset/LeetCodeDataset-v0.1.0-train.jsonl.gz")
    commits = {language: [toy_commit(language, n) for n in range(6)] for language in SIX_LANGUAGES}
    java = read_gz(real_data / "commit_samples/smallcommits_java.jsonl.gz")
    commits["java"] = [
        row | {"license": "apache-2.0", "repos": "lab/java"} for row in java
    ]  # the sample leaves them empty

    def pair(row):
        given = f"{row['instruction']}\n{row['input']}" if row.get("input") else row["instruction"]
        return {"instruction": given, "output": row["output"] if "output" in row else row["response"]}

    pairs = {
        "evol": [pair(row) for row in evolved[:1000]], "codealpaca": [pair(row) for row in evolved[1000:]],
        "xp3x": [pair(row) for row in alpaca], "self_instruct": [pair(row) for row in teacher],
        "code_exercise": [{"instruction": row["query"], "output": row["response"]} for row in leetcode],
    }  # fmt: skip
    dialogues = read_gz(real_data / "oasst_octopack/oasstcommitpackftmanual.jsonl.gz")
    served = upstream(pairs, dialogues, commits)
    with LocalHub(tmp_path / "hub", served, pins(served)) as hub_:
        folder = build(hub_, tmp_path, "alchemist_open")
    first, last = ledger_of(folder, "01_sources"), ledger_of(folder, "09_mixture")
    assert sum(part["rows_in"] for part in first.values()) == 1966 + 2017 + len(teacher) + 1570 + 1178 + 55 + 30
    assert all(part["kept"] for part in last.values()) and len(last) == 7
    for stage in sorted(path.parent for path in folder.glob("*/ledger.json")):
        for part in ledger_of(folder, stage.name).values():
            assert part["rows_in"] == part["kept"] + sum(part["rejected"].values())
