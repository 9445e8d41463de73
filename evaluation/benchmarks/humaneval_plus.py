"""HumanEval+ (EvalPlus, arXiv 2305.01210): HumanEval's 164 tasks with many more inputs.

The inputs are in the release, the outputs are not: they are what the reference solution returns (`expected.py`).
"""

from pathlib import Path

from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import File, GitHub, read

_RELEASE = "evalplus/humanevalplus_release"
_V0_1_10 = "200defce9e3429d28ca215b6dd061c0f7f31c18b"
_V0_1_9 = "68cd26d53a0dec69f85eafe1f82a2a74155a2bd6"
FILES = {
    "v0.1.10": File(
        ("HumanEvalPlus-v0.1.10.jsonl.gz", "HumanEvalPlus.jsonl.gz"),
        GitHub(_RELEASE, _V0_1_10, "HumanEvalPlus.jsonl.gz",
               "272720b90ac375502c8ed23cd791c2a93dfb22a911641a494da74a426c09f101"),
        164,
    ),
    "v0.1.9": File(
        ("HumanEvalPlus-v0.1.9.jsonl.gz",),
        GitHub(_RELEASE, _V0_1_9, "HumanEvalPlus.jsonl.gz",
               "e62f4130146963d969da64553f407a66e52d095adbfed4ee6733b4d59e14a3ed"),
        164,
    ),
    "mini-v0.1.10": File(
        ("HumanEvalPlus-Mini-v0.1.10.jsonl.gz", "HumanEvalPlus-Mini.jsonl.gz"),
        GitHub(_RELEASE, _V0_1_10, "HumanEvalPlus-Mini.jsonl.gz",
               "91486741f1627101021fbe50523df08eebb5b0bf5e804b633dcd5ca3c14dbd2f"),
        164,
    ),
}  # fmt: skip
VERSIONS = tuple(FILES)
ITEMS = 164


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """The 164 problems, in order; `extra` holds base_input, plus_input, atol and contract.

    Raises:
        Refusal: the file can be had from nowhere.
    """
    rows = read(FILES[version], folder, f"humaneval_plus {version}")
    return [
        Problem(
            row["task_id"], row["prompt"], row["canonical_solution"], row.get("test", ""), row["entry_point"],
            extra={name: row[name] for name in ("base_input", "plus_input", "atol", "contract")},
        )
        for row in rows
    ]  # fmt: skip
