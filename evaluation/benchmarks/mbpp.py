"""MBPP (arXiv 2108.07732): short Python tasks in one sentence, three asserts each; `full` and `sanitized`.

The split goes by task id: 1-10 prompt (few-shot examples), 11-510 test, 511-600 validation, 601-974 train.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from artefacts import write_bytes
from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import CACHE, File, Hub, read

_HUB, _REVISION = "google-research-datasets/mbpp", "4bb6404fdc6cacfda99d4ac4205087b89d32030c"
_PARTS = ("prompt", "test", "validation", "train")  # one file each on the Hub
FILES = {
    "full": (("mbpp.jsonl", "mbpp.jsonl.gz"), 974),
    "sanitized": (("sanitized-mbpp.json", "sanitized-mbpp.json.gz"), 427),
}
VERSIONS = tuple(FILES)
ITEMS = 974  # the sanitised ones are among them


class _HubParts(Hub):
    """The Hub keeps a split a file; together they are the set, in the order of its ids."""

    def fetch(self) -> Path:
        rows: list[dict[str, Any]] = []
        for part in _PARTS:
            found = Hub(self.repo_id, self.revision, f"{self.path}/{part}-00000-of-00001.parquet").fetch()
            rows += pq.read_table(found).to_pylist()
        rows.sort(key=lambda row: row["task_id"])
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        # by its bytes, not by the revision: another endpoint may answer to the same revision with other rows
        target = CACHE / f"{hashlib.sha256(data).hexdigest()[:16]}-{self.path}.jsonl"
        if not target.is_file():
            write_bytes(target, data)
        return target


def split_of(number: int) -> str:
    """The split that a task id belongs to.

    >>> split_of(2), split_of(11), split_of(600), split_of(974)
    ('prompt', 'test', 'validation', 'train')
    """
    return "prompt" if number <= 10 else "test" if number <= 510 else "validation" if number <= 600 else "train"


def entry_point(code: str, tests: list[str]) -> str:
    """Name of the function that the tests call: the last one that `code` defines and the first test names.

    >>> entry_point("def help(x): return x\\ndef area(a):\\n  return a", ["assert area(1) == 1"])
    'area'
    """
    called = set(re.findall(r"\b(\w+)\s*\(", tests[0])) if tests else set()
    defined = re.findall(r"^(?:def|class)\s+(\w+)", code.replace("\r", ""), re.MULTILINE)
    return next((name for name in reversed(defined) if name in called), defined[-1] if defined else "")


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """All problems of all splits; `extra` holds test_list, and challenge_test_list where there is one.

    Raises:
        Refusal: the file can be had from nowhere.
    """
    names, count = FILES[version]
    file = File(names, _HubParts(_HUB, _REVISION, version), count)
    return [_problem(row) for row in read(file, folder, f"mbpp {version}")]


def _problem(row: dict[str, Any]) -> Problem:
    number, tests = int(row["task_id"]), list(row["test_list"])
    setup = "\n".join(row["test_imports"]) if "test_imports" in row else row["test_setup_code"]
    return Problem(
        f"Mbpp/{number}",
        row["prompt"] if "prompt" in row else row["text"],
        row["code"],
        "\n".join([setup, *tests]).strip() + "\n",
        entry_point(row["code"], tests),
        split=split_of(number),
        extra={"test_list": tests, "challenge_test_list": list(row.get("challenge_test_list") or [])},
    )
