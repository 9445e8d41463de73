"""What the other rooms left, read for figures and the report: stages, runs, evaluations, ablations.

reads   build/<mixture>/NN_stage/, build/<mixture>/harmony/, build/hub/datasets/<mixture>/, build/runs/<run>/,
        build/ablations/<grid>/; writes nothing

Whatever is not there is None or empty here: the figures say which command makes it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artefacts import Refusal, read_json

BATCH_ROWS = 5_000


def ledgers(build: Path) -> list[dict[str, Any]]:
    """Ledgers of all finished stages, in order.

    Raises:
        Refusal: no stage is finished.
    """
    found = [read_json(path) for path in sorted(build.glob("[0-9][0-9]_*/ledger.json"))]
    if not found:
        raise Refusal(f"{build}: no finished stage there; run `make mixture MIXTURE={build.name}` first.")
    return found


class Noted(dict):
    """What a JSON file of an artefact holds; a key that it lacks is a sentence and no traceback."""

    def __init__(self, path: Path) -> None:
        super().__init__(read_json(path))
        self.path = path

    def __missing__(self, key: str) -> None:
        raise Refusal(f"{self.path} holds no '{key}': an earlier version of this repository wrote it; make it again.")


@dataclass(frozen=True)
class Evaluation:
    """A result of a run: its name below the run's folder (`eval-tuned`), and what result.json holds."""

    name: str
    folder: Path
    result: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished training run on the mixture, and its evaluations."""

    name: str
    folder: Path
    record: dict[str, Any]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Finished evaluations, by name.

        Raises:
            Refusal: a result is no model's, or was written by an earlier version.
        """
        found = []
        for path in sorted(self.folder.glob("eval-*/**/result.json")):
            name, result = path.parent.relative_to(self.folder).as_posix(), Noted(path)
            if "protocol_name" not in result or not all("verdicts" in task for task in result["tasks"].values()):
                raise Refusal(
                    f"{path}: it names no protocol, or no verdict of every sample; evaluate the model again."
                )
            found.append(Evaluation(name, path.parent, result))
        return found


@dataclass(frozen=True)
class Artefacts:
    """A built mixture and what was made from it.

    Attributes:
        build: build/<mixture>; runs, ablations and the packed repositories are looked for beside it.
    """

    build: Path

    @cached_property
    def ledgers(self) -> list[dict[str, Any]]:
        """See `ledgers`."""
        return ledgers(self.build)

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Stage -> manifest, of the finished stages."""
        return {path.parent.name: read_json(path) for path in sorted(self.build.glob("[0-9][0-9]_*/manifest.json"))}

    @cached_property
    def mixture(self) -> dict[str, Any]:
        """What mixture.json says: name, file, stages."""
        return read_json(self.build / "mixture.json") or {"name": self.build.name, "file": None, "stages": []}

    @property
    def last_stage(self) -> str:
        """The last finished stage: `09_mixture` of a whole build."""
        return self.ledgers[-1].get("stage") or list(self.manifests)[-1]

    def files(self, stage: str, kind: str) -> list[Path]:
        """Shards of a stage, in order."""
        return sorted((self.build / stage / kind).glob("*.parquet"))

    def names(self, stage: str, kind: str) -> list[str]:
        """Names of the columns of a stage's rows or facts; empty where there are none."""
        files = self.files(stage, kind)
        return pq.read_schema(files[0]).names if files else []

    def columns(self, stage: str, kind: str, names: list[str]) -> Iterator[dict[str, list]]:
        """Some columns of a stage's rows, batch by batch, in order."""
        for path in self.files(stage, kind):
            for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=names):
                yield batch.to_pydict()

    def column(self, stage: str, kind: str, name: str) -> list[Any]:
        """One column of all rows."""
        return [value for batch in self.columns(stage, kind, [name]) for value in batch[name]]

    def find(self, stage: str, kind: str, ids: set[str]) -> dict[str, dict[str, Any]]:
        """Rows (or facts) of a stage by id; one shard at a time is in memory."""
        wanted, found = pa.array(sorted(ids), pa.string()), {}
        for path in self.files(stage, kind) if ids else ():
            table = pq.read_table(path)
            found |= {row["id"]: row for row in table.filter(pc.is_in(table["id"], wanted)).to_pylist()}
        return found

    @cached_property
    def harmony(self) -> dict[str, Any] | None:
        """What `make harmony` measured; None where it did not, or on rows that are no longer these."""
        found = read_json(self.build / "harmony" / "harmony.json")
        customised = self.manifests.get("08_customise", {})
        return found if found and found["input"] == customised.get("digest") else None

    @cached_property
    def runs(self) -> list[Run]:
        """Finished runs that trained on this mixture, by name."""
        found = []
        for path in sorted((self.build.parent / "runs").glob("*/run.json")):
            record = Noted(path)
            if Path(record["settings"]["data"]).name == self.mixture["name"]:
                found.append(Run(path.parent.name, path.parent, record))
        return found

    @cached_property
    def ablations(self) -> dict[str, dict[str, Any]]:
        """Grid -> result of its cells."""
        found = sorted((self.build.parent / "ablations").glob("*/result.json"))
        return {path.parent.name: read_json(path) for path in found}

    @cached_property
    def tokenizer(self) -> Path | None:
        """tokenizer.json of a model that was trained on the mixture."""
        found = [run.folder / "model" / "tokenizer.json" for run in self.runs]
        return next((path for path in found if path.is_file()), None)

    @cached_property
    def packed(self) -> Path | None:
        """The packed dataset repository; None where there is none, or it was packed from other rows than these."""
        folder = self.build.parent / "hub" / "datasets" / self.mixture["name"]
        release = read_json(folder / "release.json")
        return folder if release and release["ledgers"] == self.ledgers else None


def chosen(places: list[int], most: int, seed: int) -> list[int]:
    """A seeded sample without replacement, in the order of the data."""
    return sorted(random.Random(seed).sample(places, min(most, len(places))))


def rows_at(artefacts: Artefacts, stage: str, kind: str, places: list[int]) -> list[dict[str, Any]]:
    """Rows of a stage by their places, in that order of the data; only shards that hold one are read."""
    found, first, wanted = [], 0, sorted(places)
    for path in artefacts.files(stage, kind):
        count = pq.read_metadata(path).num_rows
        here = [place - first for place in wanted if first <= place < first + count]
        if here:
            found += pq.read_table(path).take(here).to_pylist()
        first += count
    return found
