"""Recorded outputs of BIG-Bench Hard (arXiv 2210.09261) -> accuracy by the authors' rule.

    python -m evaluation.evaluate --benchmark bbh --version cot --samples FILE_OR_FOLDER --out result.json

reads the authors' form, one file a task, `{"outputs": [{"input", "prediction", "target"}]}`, or the rows alone as JSON
or JSON Lines, plain or .gz. A folder holds several tasks; each is named by what its file's name begins with.
"""

import re
from pathlib import Path
from typing import Any

from artefacts import Refusal, sha256_of_file
from evaluation.generic import rows
from evaluation.result import build_answers
from evaluation.samples import files

BENCHMARK = "bbh"
VERSIONS = ("cot", "direct")  # the two prompts of the paper: chain of thought, answer only


def answer(prediction: str, version: str) -> str:
    """What a prediction says: what follows the last "So the answer is" without its full stop, or the first line.

    A chain of thought that never says so is taken whole.

    >>> answer("1 + 1 = 2. So the answer is (B).", "cot"), answer(" (B)\\n\\nQ: more", "direct")
    ('(B)', '(B)')
    """
    if version == "direct":
        return prediction.strip().split("\n")[0].strip()
    said = prediction.rsplit("So the answer is", 1)
    return said[1].strip().removesuffix(".") if len(said) == 2 else prediction


def version_of(version: str | None, where: str) -> str:
    """`version`, or `cot` for None.

    Raises:
        Refusal: it is neither of VERSIONS.
    """
    if version is not None and version not in VERSIONS:
        raise Refusal(f"{where}: {BENCHMARK} has no version '{version}'; known versions: {', '.join(VERSIONS)}.")
    return version or VERSIONS[0]


def task_of(path: Path) -> str:
    """The task that a file is of.

    >>> task_of(Path("navigate_few_shot_template_0-255000.json.gz"))
    'navigate'
    """
    return re.split(r"_few_shot|\.", path.name)[0]


def rows_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by task, of a file or of the files of a folder.

    Raises:
        Refusal: there are none, or a row lacks prediction or target.
    """
    paths = [path]
    if path.is_dir():
        paths = sorted(p for p in path.iterdir() if re.search(r"\.jsonl?(\.gz)?$", p.name) and "metrics" not in p.name)
        if not paths:
            raise Refusal(f"{path}: no .json, .jsonl or .gz files in this folder.")
    found: dict[str, list[dict[str, Any]]] = {}
    for file in paths:
        rows = files.rows_of(file)
        if len(rows) == 1 and isinstance(rows[0], dict) and isinstance(rows[0].get("outputs"), list):
            rows = rows[0]["outputs"]
        for number, row in enumerate(rows, 1):
            given = row if isinstance(row, dict) else {}
            if lacking := [key for key in ("prediction", "target") if not isinstance(given.get(key), str)]:
                raise Refusal(f"{file} row {number}: has no text under '{lacking[0]}'.")
        if task_of(file) in found:
            raise Refusal(f"{file}: another file of this folder holds the task {task_of(file)}, too; keep one.")
        found[task_of(file)] = rows
    return found


def score(path: Path, version: str | None) -> dict[str, Any]:
    """The result of a file or a folder.

    Raises:
        Refusal: it cannot be read, or there is no such version.
    """
    version = version_of(version, str(path))
    said = {}
    for task, of_task in rows_of(path).items():
        answers = [answer(row["prediction"], version) for row in of_task]
        said[task] = [
            (f"{task}/{n}", found == row["target"], row["target"], found)
            for n, (row, found) in enumerate(zip(of_task, answers, strict=True))
        ]
    return {
        "benchmark": BENCHMARK,
        "version": version,
        "samples": {"path": str(path), "sha256": sha256_of_file(path) if path.is_file() else None},
        **build_answers(said, rows.absent(BENCHMARK, {task: len(answers) for task, answers in said.items()})),
    }
