"""alchemist.yaml's stages on toy rows: all six kinds, with a teacher, without one, and ablations that ask nobody."""

import json

import pytest
import yaml

from artefacts import ROOT, Refusal, hash_of, read_json
from dataset_scripts import build as builder
from dataset_scripts import sources
from dataset_scripts import teacher as teachers
from dataset_scripts.schema import COMPREHENSION_TASKS, MADE_SOURCES
from dataset_scripts.stage_files import read_rows
from model_cards.dataset_repository import pack_dataset
from tests.dataset_scripts.test_teacher import profile
from tests.llm.server import Server

SHIPPED = yaml.safe_load((ROOT / "recipes/mixtures/alchemist.yaml").read_text())
ROWS = 24
THINGS = ("apples", "queues", "colours", "matrices", "rivers", "tickets", "planets", "letters")


def toy_rows():
    """Rows to keep and rows of three of the paper's four kinds of poor ones, all about different things."""
    rows = []
    for n in range(ROWS):
        thing = f"{THINGS[n % 8]} of group {n}"
        code = f"import os\ndef count_{n}(things):\n    total_{n} = sum(things) * {n}\n    return total_{n}\n"
        rows.append((f"Write a function that counts the {thing}.", f"```python\n{code}```"))
    for n in range(4):
        thing = THINGS[n]
        rows.append((f"Count the {thing} there are.", f"```python\ndef count(things:\n    return {n}\n```"))
        rows.append(
            (f"Write a function to sort {thing}.", f"```python\ndef f{n}(x):\n    return undefined_{n}(x)\n```")
        )
        rows.append((f"Describe the {thing} well.", f"No {n}."))
    return rows


def say(content: str) -> str:
    """What the teacher answers, by the template that asks."""
    number = int(hash_of(content)[:6], 16)
    if content.startswith("Below stands"):
        task = content.rsplit("Task:\n", 1)[1]
        return f"{task} Skip negative ones, name {number} in the result and log every step."
    if content.startswith("Below are a programming task and the answer"):
        return f"Rely on {'plain' if number % 2 else 'modern'} Python. Keep it to one function."
    if content.startswith("Below are"):
        code = content.rsplit("Code:\n", 1)[1].replace("import os\n", "")
        review = {"correctness": 8, "clarity": 9, "suggestions": ["Drop the import."], "refined_code": code}
        return json.dumps(review)
    return f"```python\ndef answer(things):\n    return [thing + {number} for thing in things]\n```"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A teacher, the mixture file, and the finished build."""
    folder, patch = tmp_path_factory.mktemp("alchemist"), pytest.MonkeyPatch()
    source = sources.Source(
        licence="MIT", generator="human", find_revision=lambda: "1",
        read=lambda revision, sample_rows, seed: iter(toy_rows()), pair=lambda raw: raw,
    )  # fmt: skip
    known = sources.load
    patch.setattr(sources, "load", lambda key, *more: source if key == "toy" else known(key, *more))
    patch.setattr(teachers, "TEACHERS", folder / "teachers")
    with Server(say=say) as server:
        profile(folder, server.url)
        world = World(folder, server)
        world.build()
        yield world
    patch.undo()


class World:
    """Builds mixtures that differ from the shipped one in their rows and in what a test names."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server

    def write(self, name="alchemist", **changes):
        toy = {"name": name, "rows_per_shard": 30, "01_sources": [{"source": "toy"}]}
        small = {"05_evolve": SHIPPED["05_evolve"] | {"rounds": 2, "share": 0.5}}
        benchmarks = {"04_decontaminate": SHIPPED["04_decontaminate"] | {"benchmarks": ["humaneval"]}}
        sample = {"08_customise": SHIPPED["08_customise"] | {"teacher_share": 0.5}}
        values = SHIPPED | toy | small | benchmarks | sample
        values["09_mixture"] = SHIPPED["09_mixture"] | {"alchemist_share": 0.2, "split": None}
        for key, settings in changes.items():
            values[key[1:]] = values[key[1:]] | settings
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def build(self, root="build", teacher="toy", workers=1, name="alchemist", dry_run=False, **changes):
        path = self.write(name, **changes)
        return builder.build(path, self.folder / root, workers, teacher_name=teacher, dry_run=dry_run)


def counted(folder):
    return {kind: of["rows"] for kind, of in read_json(folder / "09_mixture/kinds.json")["kinds"].items()}


def test_all_six_kinds_are_made_and_counted(world, capsys):
    folder = world.build()
    out = capsys.readouterr().out
    found = counted(folder)
    assert all(found.values()) and found["open sets"] == ROWS
    rows = read_rows(folder / "09_mixture").to_pylist()
    for task in COMPREHENSION_TASKS:
        assert found[task] == sum(row["source"] == task for row in rows)
    assert found["customised"] == sum(row["alchemist_prompt"] is not None for row in rows)
    assert not [row for row in rows if row["alchemist_prompt"] and row["task"] in COMPREHENSION_TASKS]
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert lines["data_filtering"][1:3] == ["06_comprehend", str(found["data_filtering"])]
    assert "of AlchemistCoder's about 200 M, " in out and " short." in out and "of the kind" not in out


def test_every_new_row_was_rechecked(world):
    folder = world.folder / "build/alchemist"
    ledger = read_json(folder / "07_recheck/ledger.json")["by_source"]
    assert ledger.keys() == {"toy", *MADE_SOURCES} and ledger["toy"]["rejected"] == {}
    compared = read_json(folder / "07_recheck/leaks.json")["by_source"]
    assert {name: of["rows"] for name, of in compared.items()} == {name: ledger[name]["kept"] for name in MADE_SOURCES}


def test_the_card_names_the_kinds_and_every_template(world):
    card = (pack_dataset(world.folder / "build/alchemist", world.folder / "hub") / "README.md").read_text()
    assert "## Kinds of data" in card and f"| open sets | `01_sources` | {ROWS} |" in card
    for line in (
        "| `06_comprehend` | toy (open weights) | review: lab/review | review@1 |",
        "| `08_customise` | toy (open weights) | alchemist: lab/alchemist | alchemist@1 |",
    ):
        assert line in card
    assert "evolve/answer@1" in card


def digests(folder):
    return {path.parent.name: read_json(path)["digest"] for path in sorted(folder.glob("*/manifest.json"))}


def test_an_ablation_is_a_mixture_file_that_sends_no_request(world):
    """Of share, mode and control; built by two workers, so its other stages also show that these change no row."""
    asked, whole = len(world.server.requests), world.folder / "build/alchemist"
    replaced = {"alchemist_share": 0.05, "mode": "replace"}
    for final in (replaced, {"alchemist_share": 0.0}, {"prompt": "shuffled"}, replaced | {"prompt": "placebo"}):
        folder = world.build(name="ablation", workers=2, _09_mixture=final)
        assert counted(folder)["customised"] == read_json(folder / "09_mixture/manifest.json")["notes"]["rows_chosen"]
        assert bool(counted(folder)["customised"]) == (final.get("alchemist_share") != 0)
        differ = {name for name, digest in digests(whole).items() if digests(folder)[name] != digest}
        assert differ == {"09_mixture"} and len(digests(folder)) == 9
    assert len(world.server.requests) == asked


def test_without_a_teacher_nobody_is_asked_and_what_is_missing_is_said(world, capsys):
    asked = len(world.server.requests)
    folder = world.build(root="static", teacher="static")
    out, err = capsys.readouterr()
    assert len(world.server.requests) == asked and not (folder.parent / "answers.sqlite").exists()
    (note,) = [line for line in err.splitlines() if line.startswith("note: ")]
    assert "05_evolve makes no rows; 06_comprehend has ruff review, and Python alone; 08_customise has static" in note
    found = counted(folder)
    assert not found["evolcode"] and not found["instruction_evolution"]
    assert found["data_filtering"] and found["code_review"] and found["customised"]
    assert "no row is of the kind evolcode, instruction_evolution." in out


def test_the_plan_of_all_stages_asks_nobody(world, capsys):
    asked = len(world.server.requests)
    world.build(root="planned", dry_run=True)
    planned = {line.split()[0] for line in capsys.readouterr().out.splitlines() if "lab/" in line}
    assert planned == {"05_evolve", "06_comprehend", "08_customise"} and len(world.server.requests) == asked


def test_openai_without_a_key_is_refused_before_anything(world, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(teachers, "TEACHERS", ROOT / "recipes/teachers")
    with pytest.raises(Refusal, match="OPENAI_API_KEY is not set"):
        builder.build(ROOT / "recipes/mixtures/alchemist.yaml", tmp_path / "build", 1, teacher_name="openai")
    assert not (tmp_path / "build").exists()
