"""Rows and bases from the Hub, through its clients: a branch is resolved to a commit once, and that one counts."""

import json
import os
import subprocess
import sys

import pytest

from artefacts import ROOT, read_json, write_json
from tests.conftest import run_module
from tests.local_hub import LocalHub
from tests.recipes.conftest import toy_rows, write_dataset

pytestmark = pytest.mark.slow


def test_rows_of_a_mixture_on_the_hub_are_prepared_at_a_commit(recipe_file, tmp_path):
    recipe = recipe_file(data="lab/toy")
    with LocalHub(tmp_path / "hub", gated=["lab/gated"]) as hub:
        hub.add("model", "lab/gated", tmp_path / "tiny")
        commit = hub.add("dataset", "lab/toy", write_dataset(tmp_path / "set", toy_rows(30)))
        environment = hub.environment(tmp_path / "home")
        arguments = [str(recipe), "--json", "--to", str(tmp_path / "prepared")]
        done = run_module("recipes.prepare", *arguments, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        counts = json.loads(done.stdout[done.stdout.index("{") :])
        assert counts["data_revision"] == commit and counts["rows"] == 30 and counts["test_rows_in"] is None
        missing = run_module("recipes.prepare", *arguments, "--data", "lab/nothing", env=environment)
        gated = run_module("recipes.prepare", *arguments, "--base", "lab/gated", env=environment)
    assert gated.returncode == 2
    assert "base 'lab/gated' is gated; accept its licence at https://huggingface.co/lab/gated and run" in gated.stderr
    assert (
        missing.returncode == 2
        and "data 'lab/nothing': no such folder, and the Hub does not give it" in missing.stderr
    )


def test_a_published_run_is_rebuilt_from_its_record_to_the_same_bytes(recipe_file, tiny_model, tmp_path):
    """Base and data have moved on since; the record's commits count."""
    recipe = recipe_file(data="lab/toy", base="lab/tiny", max_steps=3, save_strategy="no", eval_strategy="epoch")
    trained = write_dataset(tmp_path / "set", toy_rows(30), test=toy_rows(33)[30:])
    later = write_dataset(tmp_path / "later", toy_rows(31))

    with LocalHub(tmp_path / "hub") as hub:
        hub.add("dataset", "lab/toy", trained)
        hub.add("model", "lab/tiny", tiny_model)

        def python_m(*arguments, home="home"):
            environment = os.environ | hub.environment(tmp_path / home) | {"PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-m", *map(str, arguments)]
            options = {"cwd": tmp_path, "env": environment | {"OMP_NUM_THREADS": "1"}}
            return subprocess.run(command, capture_output=True, text=True, timeout=900, **options)

        first = python_m("recipes.launch", recipe, "--output", tmp_path / "run")
        assert first.returncode == 0, first.stderr[-3000:]
        run = read_json(tmp_path / "run/run.json")
        assert run["eval_losses"].keys() == {"toy"}
        published = tmp_path / "published"
        published.mkdir()
        (published / "run.json").write_bytes((tmp_path / "run/run.json").read_bytes())
        commit = hub.add("model", "lab/tuned", published)
        gone = {"data_revision": "1" * 40}
        write_json(published / "run.json", run | gone | {"settings": run["settings"] | gone})
        of_vanished_data = hub.add("model", "lab/vanished", published)
        hub.add("dataset", "lab/toy", later)
        hub.add("model", "lab/tiny", later)

        rebuilt = python_m("recipes.rebuild", f"lab/tuned@{commit}", home="another")
        assert rebuilt.returncode == 0, rebuilt.stderr[-3000:]
        assert f"byte-identical to lab/tuned@{commit} (1 file(s))" in rebuilt.stdout
        weights = [tmp_path / where / "model/model.safetensors" for where in ("run", "build/rebuild/tuned/run")]
        assert weights[0].read_bytes() == weights[1].read_bytes()

        for model, says in [
            (f"lab/tuned@{'2' * 40}", "the Hub does not give it (RevisionNotFoundError)"),
            (f"lab/nothing@{commit}", "the Hub does not give it (RepositoryNotFoundError)"),
            (f"lab/vanished@{of_vanished_data}", f"data 'lab/toy' at {'1' * 40}: the Hub does not give it"),
        ]:
            refused = python_m("recipes.rebuild", model)
            assert refused.returncode == 2 and says in refused.stderr.strip().splitlines()[-1], refused.stderr[-3000:]
            assert "Traceback" not in refused.stderr
