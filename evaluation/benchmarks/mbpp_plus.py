"""MBPP+ (EvalPlus): sanitised MBPP with many more inputs; v0.1.0 has 399 tasks, v0.2.0 dropped 21 doubtful ones.

JSON has no tuples, sets and complex numbers: `inputs` restores, per task, what the reference solution takes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import File, GitHub, read

_RELEASE = "evalplus/mbppplus_release"
FILES = {
    "v0.2.0": File(
        ("MbppPlus-v0.2.0.jsonl.gz", "MbppPlus.jsonl.gz"),
        GitHub(_RELEASE, "dadf43da556a00f7bacd71cb154f2932757d9144", "MbppPlus.jsonl.gz",
               "af43697e8791c4c149bdfd6b489d8b5412507551ac20e28a439f650b8225db63"),
        378,
    ),
    "v0.1.0": File(
        ("MbppPlus-v0.1.0.jsonl.gz",),
        GitHub(_RELEASE, "f995b084ce4658b7647d6f4a91cd93626faeee75", "MbppPlus.jsonl.gz",
               "57d639e77667d88930052b2b07212011c25c0bab94dfc1f19d15e1f7f558bfa9"),
        399,
    ),
}  # fmt: skip
VERSIONS = tuple(FILES)
ITEMS = 399  # those of v0.2.0 are among them


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _each(value: list) -> list:
    return [tuple(item) for item in value]


# What the arguments of a task are made into, by what EvalPlus does for the same ids.
_RESTORE: dict[Callable[[list], Any], tuple[int, ...]] = {
    lambda a: [tuple(x) for x in a]: (
        2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
    ),
    lambda a: [_each(x) for x in a]: (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    lambda a: [_each(a[0]), a[1]]: (75, 413, 444, 753),
    lambda a: [a[0], tuple(a[1])]: (106, 750),
    lambda a: [[set(x) if isinstance(x, list) and x else {} for x in a[0]]]: (115,),
    lambda a: [float(a[0]), complex(a[1])]: (124,),
    lambda a: [tuple(a[0]), a[1]]: (250, 405, 446, 617, 720, 763, 808),
    lambda a: [tuple(_each(x)) for x in a]: (259, 401, 445),
    lambda a: [tuple(tuple(x) if isinstance(x, list) else x for x in a[0])]: (278,),
    lambda a: [tuple(a[0]), a[1], a[2]]: (307,),
    lambda a: [{key: tuple(value) for key, value in a[0].items()}, *a[1:]]: (722,),
    lambda a: [complex(a[0])]: (252,),
    lambda a: list(_deep(a)): (580, 615, 791),
}  # fmt: skip
_RESTORE_BY_ID = {number: restore for restore, numbers in _RESTORE.items() for number in numbers}


def inputs(task_id: str, rows: list[list]) -> list[list]:
    """Argument lists of a task with the types that its reference solution takes.

    >>> inputs("Mbpp/2", [[[1, 2], [2]]])
    [[(1, 2), (2,)]]
    """
    restore = _RESTORE_BY_ID.get(int(task_id.split("/")[1]))
    return [restore(row) for row in rows] if restore else rows


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """All problems; `extra` holds base_input, plus_input (types restored), atol and contract.

    Raises:
        Refusal: the file can be had from nowhere.
    """
    rows = read(FILES[version], folder, f"mbpp_plus {version}")
    return [
        Problem(
            row["task_id"], row["prompt"], row["canonical_solution"], row["assertion"], row["entry_point"],
            extra={
                "base_input": inputs(row["task_id"], row["base_input"]),
                "plus_input": inputs(row["task_id"], row["plus_input"]),
                "atol": row["atol"],
                "contract": row["contract"],
            },
        )
        for row in rows
    ]  # fmt: skip
