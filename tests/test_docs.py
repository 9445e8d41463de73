"""Pages that say how a thing is done: their files are written and their commands run, in a copy of the project.

`<!-- file: PATH -->` before a block makes it a file, a block of bash is run, `<!-- not run ... -->` leaves one out.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from artefacts import ROOT, read_json
from dataset_scripts.stage_files import read_rows
from recipes import recipe as recipes

TRACKED = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
PAGES = [p for p in TRACKED.stdout.split() if p.endswith(".md") and Path(ROOT / p).is_file()]


class Block(NamedTuple):
    """A fenced block of a page, with the comment right before it."""

    comment: str
    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = re.finditer(
        r"(?:<!-- (.*?) -->\n)?^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    return [Block(match[1] or "", match[2], match[3]) for match in found]


def files_of(page: str) -> dict[str, str]:
    """Path -> text of the files that a page shows."""
    return {b.comment.removeprefix("file: "): b.text for b in blocks(page) if b.comment.startswith("file: ")}


@pytest.fixture
def project(tmp_path):
    """A copy of the project's own files, without what they have built."""
    for name in TRACKED.stdout.split():
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def follow(page: str, project: Path) -> str:
    """Do what a page says; what its commands printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    # `python` of this environment; what make would install is there already
    more = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    more["MAKEFLAGS"] = f"PYTHON=true PY={sys.executable} WORKERS=1"
    said = ""
    for block in blocks(page):
        if block.comment.startswith("not run"):
            continue
        if block.comment.startswith("file: "):
            path = project / block.comment.removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind == "bash":
            command = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(command, cwd=project, env=kept | more, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{page}:\n{block.text}\n{done.stdout}\n{done.stderr}"
            said += done.stdout
    return said


def test_a_source_is_added_as_the_page_says(project):
    said = follow("docs/adding-a-source.md", project)
    benchmarks = {path.name for path in (ROOT / "evaluation/benchmarks").rglob("*.py")}
    kept, rejected = (read_rows(project / "build/files/01_sources", kind).to_pylist() for kind in ("kept", "rejected"))
    assert len(kept) + len(rejected) == len(benchmarks)
    assert any(row["instruction"].startswith("Write a Python file: HumanEval (arXiv 2107.03374)") for row in kept)
    assert {row["license"] for row in kept} == {"Apache-2.0"} and "documented_files" in said
    assert said.endswith("sahil2801/CodeAlpaca-20k\n")


def test_a_benchmark_is_added_as_the_page_says(project):
    said = follow("docs/adding-a-benchmark.md", project)
    result = read_json(project / "my_data/result.json")
    assert result["problems"] == 2 and result["pass_at_1"] == 0.5 and result["outcomes"]["IndexError"] == 1
    assert said.endswith("two_sums\n")


def test_the_recipe_of_the_page_is_whole_and_differs_where_the_page_says(tmp_path):
    demo, mine = (tmp_path / f"recipes/sft/smollm2-135m/{name}.yaml" for name in ("full", "lora"))
    demo.parent.mkdir(parents=True)
    shutil.copy(ROOT / demo.relative_to(tmp_path), demo)
    command = next(block.text for block in blocks("docs/adding-a-recipe.md") if block.kind == "bash")
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, check=True)
    recipe, _ = recipes.ours(mine)  # TRL's own keys: the slow test below
    was, now = (yaml.safe_load(path.read_text()) for path in (demo, mine))
    changed = {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)}
    assert changed == {"method", "learning_rate", *(key for key in now if key.startswith("lora_"))}
    assert recipe.method == "lora" and recipe.lora_r == 8 and "make train-demo RECIPE=lora" in mine.read_text()


@pytest.mark.slow
def test_a_recipe_is_added_as_the_page_says(project):
    said = follow("docs/adding-a-recipe.md", project)
    assert "plan of recipes/sft/smollm2-135m/lora.yaml" in said and "1 changed" in said
    assert "**Not run.**" in (project / "model_cards/recipes/smollm2-135m-lora.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_and_commands_are_targets(page):
    text = (ROOT / page).read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]
    assert not [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()]
    named = re.findall(
        r"`((?:recipes|dataset_scripts|evaluation|analysis|model_cards|docs|sandbox|tests|llm)/[\w./-]*)`", text
    )
    own = files_of(page).keys()
    assert not [name for name in named if name not in own and not (ROOT / name).exists()]
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [block.text for block in blocks(page)] + re.findall(r"`([^`]+)`", prose)
    named = {
        name for command in commands for name in re.findall(r"\bmake ((?:[a-z][a-z0-9-]*(?: |$))+)", command, re.M)
    }
    named = {word for name in named for word in name.split()}
    assert named - targets == set()


def test_the_citation_file_has_what_cff_asks_and_names_both_papers():
    """Required keys and types of Citation File Format 1.2.0 (github.com/citation-file-format, schema.json)."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software" and cited["license"] == "Apache-2.0"
    for work in (cited, *cited["references"]):
        assert work["title"] and work["authors"]
        assert all({"name"} <= a.keys() or {"family-names", "given-names"} <= a.keys() for a in work["authors"])
    assert isinstance(cited["message"], str) and all(work["type"] == "article" for work in cited["references"])
    papers = {identifier["value"] for work in cited["references"] for identifier in work["identifiers"]}
    assert papers == {"arXiv:2405.19265", "arXiv:2308.07124"}


def test_the_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "[Unreleased]"
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
