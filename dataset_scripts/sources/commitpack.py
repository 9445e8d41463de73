"""CommitPack: 57.7 M commits of 350 languages, 3.7 TB (OctoPack). Streamed: what is not read is not downloaded.

Files are `data/<language>/<language>-0001.jsonl`, half a gigabyte each. The languages take turns row by row, so
`sample_rows` gives each the same share; it takes the first rows of every language and not a random sample, which would
cost the whole download. The manifest says so.
"""

import itertools
from collections.abc import Iterator

from pydantic import Field

from artefacts import StrictModel
from dataset_scripts import commits
from dataset_scripts.commit_tokens import CODE_PIECES, counter
from dataset_scripts.sources import Raw, Source, hub
from dataset_scripts.sources.commitpackft import SIX_LANGUAGES

REPO_ID = "bigcode/commitpack"


class Options(StrictModel):
    """Options of `commitpack` in a mixture file."""

    languages: list[str] = Field(default=SIX_LANGUAGES, min_length=1)  # folders below data/
    chain: commits.Chain = "commitpackft"
    tokenizer: str = CODE_PIECES


def source(options: Options) -> Source:
    """The commits of the languages, put through the chain."""
    count_tokens, noted = counter(options.tokenizer) if options.chain == "commitpackft" else (len, {})

    def of_language(revision: str, language: str) -> Iterator[Raw]:
        for path in hub.files(REPO_ID, revision, f"data/{language}", ".jsonl"):
            yield from hub.stream_json_lines(REPO_ID, revision, path)

    def read(revision: str, sample_rows: int | None, seed: int) -> Iterator[Raw]:
        rows = _in_turns([of_language(revision, language) for language in options.languages])
        for raw in itertools.islice(rows, sample_rows):
            yield commits.judged(raw, options.chain, count_tokens, seed)

    return hub.source(
        REPO_ID, licence="other", generator="human", pair=commits.exchange, read=read, checks=("compiles",),
        notes={"languages": options.languages, "chain": options.chain, "sample": "the first rows of every language"}
        | noted,
    )  # fmt: skip


def _in_turns(streams: list[Iterator[Raw]]) -> Iterator[Raw]:
    """One row of each in turn; those that have ended are left out.

    >>> list(_in_turns([iter("ab"), iter("c"), iter("def")]))
    ['a', 'c', 'd', 'b', 'e', 'f']
    """
    left = list(streams)
    while left:
        for stream in list(left):
            try:
                yield next(stream)
            except StopIteration:
                left.remove(stream)
