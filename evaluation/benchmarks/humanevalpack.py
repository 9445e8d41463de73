"""HumanEvalPack (OctoPack, arXiv 2308.07124): fix, explain and synthesize HumanEval in six languages."""

from pathlib import Path

from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import File, Hub
from evaluation.benchmarks.humaneval_x import LANGUAGES, available, judged_test

_HUB, _REVISION = "bigcode/humanevalpack", "9a41762f73a8cb23bb5811b73d5aab164efcf378"
FILES = {
    short: File(
        (f"{short}_humanevalpack.jsonl.gz", f"{short}_humanevalpack.jsonl", f"{short}/test-00000-of-00001.parquet"),
        Hub(_HUB, _REVISION, f"{short}/test-00000-of-00001.parquet"),
        164,
    )
    for short in LANGUAGES
}
VERSIONS = ("v1",)
ITEMS = 6 * 164
PARTS = dict.fromkeys(LANGUAGES.values(), 164)
_EXTRA = (
    "declaration", "example_test", "buggy_solution", "bug_type", "failure_symptoms", "signature", "docstring",
    "instruction", "import", "test_setup",
)  # fmt: skip


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """164 problems a language, of the languages that can be had.

    Raises:
        Refusal: none can be had.
    """
    return [
        Problem(
            row["task_id"], row["prompt"], row["canonical_solution"], judged_test(row, short), row["entry_point"],
            LANGUAGES[short], extra={name: row[name] for name in _EXTRA if row.get(name) is not None},
        )
        for short, rows in available(FILES, folder, "humanevalpack").items()
        for row in rows
    ]  # fmt: skip
