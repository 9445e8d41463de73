"""What a build meets in the world: kill -9 at any moment, a full disk; it ends as an undisturbed one does."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from artefacts import ROOT
from tests.conftest import run_module
from tests.dataset_scripts.test_stage_contract import NEW_ROWS

KILLS = 20


def small_mixture(folder, rows_per_shard, source="source: python_stdlib\n    sample_rows: 600", more=""):
    path = folder / "small.yaml"
    text = (ROOT / "recipes/mixtures/demo.yaml").read_text() + more
    path.write_text(
        text.replace("name: demo", "name: small")
        .replace("rows_per_shard: 2000", f"rows_per_shard: {rows_per_shard}")
        .replace("source: python_stdlib", source)
    )
    return path


def digests(folder):
    found = {p.parent.name: json.loads(p.read_text())["digest"] for p in sorted(folder.glob("*/manifest.json"))}
    assert len(found) >= 5
    return found


@pytest.mark.slow
def test_killed_at_20_seeded_moments_the_build_ends_with_the_digest_of_an_undisturbed_one(tmp_path):
    mixture = small_mixture(tmp_path, 20, more=NEW_ROWS)
    arguments = ["dataset_scripts.build", str(mixture), "--workers", "2", "--build"]
    begun = time.monotonic()
    whole = run_module(*arguments, str(tmp_path / "whole"))
    seconds = time.monotonic() - begun
    assert whole.returncode == 0, whole.stderr
    moments, killed = random.Random(20), 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments, str(tmp_path / "killed")],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            child.wait(timeout=moments.uniform(0.2, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            killed += 1
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode == 0:  # it got through: begin anew, so that every kill meets an unfinished build
            shutil.rmtree(tmp_path / "killed")
    assert killed >= KILLS // 2, f"only {killed} of {KILLS} moments met a running build"
    last = run_module(*arguments, str(tmp_path / "killed"))
    assert last.returncode == 0, last.stderr
    assert digests(tmp_path / "killed/small") == digests(tmp_path / "whole/small")
    left = [p for p in (tmp_path / "killed/small").rglob(".*") if p.name != ".lock"]
    assert len(left) <= KILLS, "temporary files of killed builds pile up"


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=400k tmpfs "$1" || exit 77
"${@:3}" --build "$1"; first=$?
mount -o remount,size=64m "$1"
"${@:3}" --build "$1"; second=$?
cp -r "$1/small" "$2"
echo "exit codes $first $second"
"""


def test_a_full_disk_is_one_sentence_and_a_rerun_goes_on(tmp_path):
    noise = random.Random(0)
    rows = []
    for n in range(1500):
        table = ", ".join(str(noise.random()) for _ in range(12))
        code = f"```python\ndef look_up_{n}(i):\n    return [{table}][i]\n```"
        rows.append({"instruction": f"Look up number {n}.", "output": code})
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = f"source: jsonl\n    options: {{files: [{tmp_path}/mine.jsonl], licence: MIT, generator: human}}"
    arguments = [
        sys.executable,
        "-m",
        "dataset_scripts.build",
        str(small_mixture(tmp_path, 300, source)),
        "--workers",
        "1",
    ]
    disk = tmp_path / "disk"
    disk.mkdir()
    script = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", ON_A_SMALL_DISK, "on_a_small_disk"]
    done = subprocess.run(
        [*script, str(disk), str(tmp_path / "after"), *arguments],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this system lets nobody mount a small disk of its own")
    assert "exit codes 2 0" in done.stdout, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "disk is full" in line]
    assert len(complaints) == 1 and "make room and run the same command again" in complaints[0]
    assert "Traceback" not in done.stderr
    whole = run_module(*arguments[2:], "--build", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    assert digests(tmp_path / "after") == digests(tmp_path / "whole/small")
