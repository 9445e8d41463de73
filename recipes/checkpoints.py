"""Checkpoints that say of themselves whether they are whole, and what they were made with.

reads, writes   build/runs/<run>/checkpoint-<step>/, complete.json last: checksums of all files, the run's settings

transformers resumes from a checkpoint without its optimiser, or of another recipe, without a word and with other
weights. Here such a checkpoint is not resumed from.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from artefacts import Refusal, read_json, sha256_of_file, write_json

MARKER = "complete.json"
KEPT = 2


def mark_complete(folder: Path, settings: dict[str, Any]) -> None:
    """Write the marker of a checkpoint whose files are all there; call it last, on one process."""
    files = {str(p.relative_to(folder)): sha256_of_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    write_json(folder / MARKER, {"files": files, "settings": settings})


def what_is_wrong(folder: Path) -> str | None:
    """Why a checkpoint cannot be resumed from, or None."""
    try:
        marker = read_json(folder / MARKER)
    except Refusal:
        marker = None
    if marker is None:
        return f"{MARKER} is missing: its writing was cut short"
    for name, digest in marker["files"].items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if sha256_of_file(folder / name) != digest:
            return f"{name} is not what was written"
    return None


def step_of(folder: Path | None) -> int:
    """Step of a checkpoint by its folder's name, 0 for None (the base model)."""
    return int(folder.name.removeprefix("checkpoint-")) if folder else 0


def steps_of(output: Path) -> list[tuple[int, Path]]:
    """Steps and folders of the checkpoints of a run, newest first."""
    found = [(re.fullmatch(r"checkpoint-(\d+)", p.name), p) for p in output.glob("checkpoint-*") if p.is_dir()]
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


def is_after_the_last_step(folder: Path) -> bool:
    """Whether the run of a whole checkpoint had no step left to take."""
    state = read_json(folder / "trainer_state.json")
    return state["global_step"] >= state["max_steps"]


def newest_complete(output: Path) -> tuple[Path | None, list[str]]:
    """The checkpoint to resume from, or None; and a sentence about each newer one that is not whole."""
    said = []
    for _, folder in steps_of(output):
        wrong = what_is_wrong(folder)
        if wrong is None:
            return folder, said
        said.append(f"{folder}: not resumed from, {wrong}.")
    return None, said


def refuse_other_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse to go on from a checkpoint of another recipe, other data or other packages.

    Raises:
        Refusal: names the first key that differs, with both values.
    """
    before = read_json(folder / MARKER)["settings"]
    for key in sorted(before.keys() | settings.keys()):
        if before.get(key) != settings.get(key):
            raise Refusal(
                f"{folder}: {key} was {before.get(key)!r} when the run began and is {settings.get(key)!r} now; "
                "restore it, or start over with --fresh (make: FRESH=1)."
            )


def rotate(output: Path) -> None:
    """Delete all but the newest checkpoints; call it after `mark_complete`, never before."""
    for _, folder in steps_of(output)[KEPT:]:
        shutil.rmtree(folder)


def delete_all(output: Path) -> None:
    """Delete the checkpoints of a run: it is finished, or starts over."""
    for _, folder in steps_of(output):
        shutil.rmtree(folder)


def delete(folder: Path) -> None:
    """Delete one checkpoint."""
    shutil.rmtree(folder)
