"""CommitPackFT: 702,062 commits of 277 languages that read like an instruction and its solution (OctoPack).

The repository ships a loader script, which `datasets` refuses; its files are read as they are:
`data/<language>/data.jsonl`.
Every row carries the licence of its repository.
"""

from collections.abc import Iterator

from pydantic import Field

from artefacts import StrictModel
from dataset_scripts import commits
from dataset_scripts.raw_rows import sample
from dataset_scripts.sources import Raw, Source, hub

REPO_ID = "bigcode/commitpackft"
SIX_LANGUAGES = ["python", "javascript", "java", "go", "c++", "rust"]  # those of OctoCoder and HumanEvalPack


class Options(StrictModel):
    """Options of `commitpackft` in a mixture file."""

    languages: list[str] = Field(default=SIX_LANGUAGES, min_length=1)  # folders below data/, in this order


def source(options: Options) -> Source:
    """The commits of the languages; `sample_rows` draws from all of them together."""

    def read(revision: str, sample_rows: int | None, seed: int) -> Iterator[Raw]:
        paths = [f"data/{language}/data.jsonl" for language in options.languages]
        yield from sample(hub.read_json_lines(REPO_ID, revision, paths), sample_rows, seed)

    return hub.source(
        REPO_ID, licence="other", generator="human", pair=commits.exchange, read=read, checks=("compiles",),
        notes={"languages": options.languages},
    )  # fmt: skip
