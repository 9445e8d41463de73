"""Which problems of a benchmark a run is about."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from artefacts import Refusal
from evaluation import benchmarks
from evaluation.benchmarks import Problem


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which problems are asked: the first `limit`, or those named by `tasks`."""

    limit: int | None = None
    tasks: tuple[str, ...] = ()
    data: Path | None = None
    workers: int | None = None

    def of(self, name: str, version: str, languages: Sequence[str], where: str) -> tuple[list[Problem], list[Problem]]:
        """(all problems of the test split, the selected ones).

        Raises:
            Refusal: a task or language is not there.
        """
        known = [p for p in benchmarks.load(name, self.data, version, where) if p.split == "test"]
        absent = set(languages) - {p.language for p in known}
        if absent:
            raise Refusal(
                f"{where}: {name} has no {', '.join(sorted(absent))} here; put its file into the data folder."
            )
        whole = [p for p in known if not languages or p.language in languages]
        if self.tasks:
            ids = {p.task_id for p in whole}
            missing = [task_id for task_id in self.tasks if task_id not in ids]
            if missing:
                raise Refusal(f"--tasks: {name} has no task '{missing[0]}'; its ids look like '{whole[0].task_id}'.")
            return whole, [p for p in whole if p.task_id in self.tasks]
        return whole, whole[: self.limit]
