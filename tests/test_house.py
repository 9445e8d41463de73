"""The walls of the house: who may import whom, what README and Makefile promise, that pins are exact."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from artefacts import ROOT

# room -> what it may import of ours; artefacts is the ground that everybody stands on
ALLOWED = {
    "artefacts": set(),
    "bootstrap": set(),
    "llm": set(),
    "sandbox": set(),
    "evaluation": {"llm", "sandbox"},
    "dataset_scripts": {"llm", "sandbox", "evaluation.benchmarks"},
    "recipes": {"dataset_scripts.schema"},
    "analysis": {"dataset_scripts.schema"},
    "model_cards": {"dataset_scripts.schema", "recipes.inputs", "recipes.plan", "recipes.recipe"},
}
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
SOURCES = [p for p in TRACKED if p.endswith(".py") and not p.startswith("tests/")]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def forbidden(room: str, imported: set[str]) -> list[str]:
    ours = {
        name for name in imported if name.split(".")[0] in ALLOWED and name.split(".")[0] not in (room, "artefacts")
    }
    return sorted(n for n in ours if not any(n == a or n.startswith(f"{a}.") for a in ALLOWED[room]))


@pytest.mark.parametrize("path", SOURCES)
def test_a_room_imports_only_the_rooms_below_it(path):
    room = path.split("/")[0].removesuffix(".py")
    assert room in ALLOWED, f"{path} belongs to no room"
    assert not forbidden(room, imports(ROOT / path))


def test_the_import_rule_sees_a_violation():
    assert forbidden("recipes", {"dataset_scripts.stage.read_rows"}) == ["dataset_scripts.stage.read_rows"]
    assert forbidden("sandbox", {"evaluation.benchmarks"}) == ["evaluation.benchmarks"]
    assert not forbidden("recipes", {"dataset_scripts.schema.messages", "artefacts.Refusal", "recipes.plan"})


def test_requirements_are_exact_and_reasoned():
    lines = [li for li in (ROOT / "requirements.txt").read_text().splitlines() if li and not li.startswith("#")]
    assert len(lines) > 10
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]* +# \S.*", line), line


def test_every_make_command_in_the_readme_has_a_target():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", (ROOT / "README.md").read_text()))
    assert named - targets == set()
    assert {"demo", "test", "peek"} <= named


def test_help_lists_every_target_with_a_line():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == set(re.findall(r"^  make ([a-z0-9-]+) +\S", done.stdout, re.MULTILINE))
    groups = [part.splitlines() for part in done.stdout.strip().split("\n\n")]
    assert len(groups) > 5 and all(not lines[0].startswith(" ") and 1 < len(lines) < 18 for lines in groups)


def test_files_named_in_the_readme_exist():
    named = re.findall(
        r"`((?:recipes|dataset_scripts|evaluation|analysis|model_cards|docs|sandbox|tests)/[\w./-]*)`",
        (ROOT / "README.md").read_text(),
    )
    assert len(named) > 5
    assert not [name for name in named if not (ROOT / name).exists()]


def test_a_dry_run_of_the_demo_plans_its_stages_and_its_training_and_runs_nothing():
    done = subprocess.run(
        ["make", "-n", "demo", "DRY_RUN=1", "TEACHER=local"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commands = re.findall(r"python -m (\S+)", done.stdout.replace("\\\n", " "))
    assert commands == ["dataset_scripts.build", "recipes.launch"] and done.stdout.count("--dry-run") == 2
    assert re.search(r"dataset_scripts.build .*--teacher local .*--dry-run", done.stdout.replace("\\\n", " "))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["model", "RUN=nope"], "RUN=nope is no finished run (nope/run.json is not there); there are: none yet."),
        (["evaluate-run", "RUN=nope/"], "RUN=nope/ is no finished run (nope/run.json is not there)"),
        (["download-data"], "which repository, and which release of it? make download-data REPO=owner/name REVISION="),
        (["download-model", "REPO=lab/toy"], "make download-model REPO=owner/name REVISION=v1.0.0"),
    ],
)
def test_a_target_that_lacks_something_says_so_in_one_sentence(tmp_path, arguments, says):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "HF_NAMESPACE"))}
    done = subprocess.run(
        ["make", *arguments, "PYTHON=true", f"BUILD={tmp_path}"],  # nothing is installed
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and len(done.stderr.splitlines()) == 2  # the second is make's own
