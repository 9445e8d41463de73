"""Other engines, same rows: processes, datatrove here, datatrove through a Slurm of four shell scripts."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from artefacts import ROOT, Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts.engine import Processes
from dataset_scripts.engine_datatrove import Config, Datatrove
from dataset_scripts.stage_files import read_rows
from tests.conftest import code_rows, run_module
from tests.dataset_scripts.test_near_duplicates import perturbed_rows


def a_mixture(toy_source, mixture_file):
    broken = [("Broken.", "```python\ndef f(:\n```"), ("Short.", "No.")]
    pairs = [(f"{a} and so on", f"{b} number") for a, b in perturbed_rows(40, 2)]
    toy_source([*code_rows(30), *broken, *pairs, *code_rows(3)])
    return mixture_file(_02_dedup={"near_duplicate_similarity": 0.6})


def ids_and_reasons(folder):
    found = {}
    for stage in sorted(path.parent for path in folder.glob("*/manifest.json")):
        for kind in ("kept", "rejected"):
            rows = read_rows(stage, kind, ["id", "reason"]).to_pylist()
            found[stage.name, kind] = [(row["id"], row["reason"]) for row in rows]
    assert len(found) == 12
    return found


def digests(folder):
    return {p.parent.name: json.loads(p.read_text())["digest"] for p in sorted(folder.glob("*/manifest.json"))}


def test_datatrove_gives_the_ids_and_reasons_of_the_laptop(toy_source, mixture_file, tmp_path):
    path = a_mixture(toy_source, mixture_file)
    laptop = builder.build(path, tmp_path / "laptop", 2)
    engine = Datatrove(
        Config(executor="local", tasks=3, options={"workers": 2, "start_method": "fork"}), tmp_path / "logs"
    )
    trove = builder.build(path, tmp_path / "trove", 1, engine)
    found = ids_and_reasons(laptop)
    assert ids_and_reasons(trove) == found and digests(trove) == digests(laptop)
    assert {reason for _, reason in found["02_dedup", "rejected"]} == {"duplicate", "near_duplicate"}
    assert {reason for _, reason in found["03_clean", "rejected"]} == {"does_not_compile", "too_short_without_code"}
    logs = sorted(p.name.rsplit("-", 1)[0] for p in (tmp_path / "logs").iterdir())
    named = read_json(trove / "mixture.json")["stages"]
    assert logs == ["02_dedup", "02_dedup-sketch", *named[2:]]
    assert all(len(list(p.glob("completions/*"))) == 3 for p in (tmp_path / "logs").glob("02_dedup*"))


def test_what_datatrove_calls_completed_is_made_again_when_it_is_gone(toy_source, mixture_file, tmp_path):
    """Its completions know neither that a shard is damaged nor that a threshold has changed."""
    toy_source(code_rows(25))
    engine = Datatrove(Config(executor="local", tasks=1), tmp_path / "logs")
    folder = builder.build(mixture_file(), tmp_path / "build", 1, engine)
    before = digests(folder)
    for _ in range(2):  # twice the same loss: the same units under the same key
        (folder / "03_clean/kept/00001.parquet").unlink()
        builder.build(mixture_file(), tmp_path / "build", 1, engine)
        assert digests(folder) == before and len(read_rows(folder / "03_clean")) == 25


SLURM = {
    "sbatch": """#!{python}
import os, subprocess, sys
script = open(sys.argv[-1]).read()
array = [line for line in script.splitlines() if line.startswith("#SBATCH --array=")]
if "dependency=afterok" in script:
    sys.exit(print("Submitted batch job 8"))  # the statistics: not wanted here
first, last = array[0].split("=")[1].split("%")[0].split("-")
open("{folder}/queue", "w").write("7")
for task in range(int(first), int(last) + 1):
    env = os.environ | {{"SLURM_ARRAY_TASK_ID": str(task), "SLURM_NODELIST": "here", "RUN_OFFSET": "0"}}
    with open("{folder}/out", "a") as out:
        subprocess.run(["bash", "-c", script], env=env, cwd="/", stdout=out, stderr=out)
print("Submitted batch job 7")
""",
    "srun": '#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -n ]] && shift; shift; done\nexec "$@"\n',
    "scontrol": "#!/bin/bash\necho here\n",
    "squeue": "#!/bin/bash\n[[ $3 == 7 ]] || exit 1\ncat {folder}/queue\nrm -f {folder}/queue; touch {folder}/queue\n",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of Slurm that run an array job at once, task by task."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in SLURM.items():
        path = folder / name
        path.write_text(script.format(python=sys.executable, folder=folder))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("dataset_scripts.engine_datatrove.POLL_S", 0.05)
    return folder


CLUSTER = {"executor": "slurm", "tasks": 2, "options": {"partition": "cpu", "time": "01:00:00"}}


def test_slurm_by_the_same_call(toy_source, mixture_file, tmp_path, slurm):
    """The script that datatrove submits, run by bash from another folder: environment, import path, waiting."""
    toy_source([*code_rows(14), code_rows(1)[0]])
    path = mixture_file(_02_dedup=None, _03_clean=None, _04_decontaminate=None, _08_customise=None,
                        _09_mixture={"alchemist_share": 0, "mode": "add"})  # fmt: skip
    laptop = builder.build(path, tmp_path / "laptop", 1)
    engine = Datatrove(Config(**CLUSTER), tmp_path / "logs")
    found = builder.build(path, tmp_path / "cluster", 1, engine)
    assert digests(found) == digests(laptop), (slurm / "out").read_text()


def test_a_slurm_job_that_dies_is_told_with_its_logs(tmp_path, slurm):
    with pytest.raises(
        Refusal, match="03_clean: 2 of 2 tasks of the Slurm job 7 did not finish; look into .*slurm_logs"
    ):
        list(Datatrove(Config(**CLUSTER), tmp_path / "logs").run(_fail, range(5), "03_clean", "k"))


def _fail(number):
    raise MemoryError


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"executor": "ray", "tasks": 2}, "engine 'ray': .*ray"),
        (CLUSTER, "engine 'slurm': sbatch is not installed here"),
        ({"executor": "local", "tasks": 2, "options": {"partition": "x"}}, "engine 'local', options: .*'partition'"),
        ({"executor": "slurm", "tasks": 2}, "engine 'slurm', options: missing 2 required .*'time' and 'partition'"),
    ],
)
def test_an_engine_that_is_not_to_be_had_here_is_one_sentence(config, says, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refusal, match=says):
        list(Datatrove(Config(**config), tmp_path / "logs").run(_fail, range(5), "03_clean", "k"))


def test_ray_is_constructed_with_the_same_pipeline(tmp_path):
    config = Config(executor="ray", tasks=4, options={"cpus_per_task": 2})
    executor = Datatrove(config, tmp_path).executor(_fail, range(10), "03_clean", "k")
    assert executor.world_size == 4 and executor.cpus_per_task == 2
    assert [list(executor.pipeline[0].numbers[rank::4]) for rank in (0, 3)] == [[0, 4, 8], [3, 7]]


def test_the_command_line_takes_an_engine(tmp_path):
    (tmp_path / "cluster.yaml").write_text("executor: locall\ntasks: 2\n")
    mixture = "recipes/mixtures/demo.yaml"
    done = run_module(
        "dataset_scripts.build", mixture, "--build", str(tmp_path), "--engine", str(tmp_path / "cluster.yaml")
    )
    assert done.returncode == 2 and "cluster.yaml" in done.stderr and "'executor'" in done.stderr


def test_a_killed_worker_is_one_sentence_and_a_failure_comes_through(tmp_path):
    def die(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(Refusal, match="02_x: a worker process was killed"):
        list(Processes(2).run(die, range(6), "02_x", "k"))
    with pytest.raises(MemoryError):
        list(Processes(2).run(_fail, range(6), "02_x", "k"))


def test_workers_die_with_their_parent(tmp_path):
    script = (
        "import os, time\nfrom pathlib import Path\nfrom dataset_scripts.engine import Processes\n"
        f"def task(n):\n    Path({str(tmp_path)!r}, str(os.getpid())).touch()\n    time.sleep(60)\n"
        "list(Processes(2).run(task, range(4), 'x', 'k'))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    while any(_is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_is_alive(pid) for pid in workers)


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
