"""evol-codealpaca-v1: Code Alpaca evolved with GPT-4. 29 of 164 HumanEval tasks were reported inside."""

import functools

from dataset_scripts.sources import Source, hub

REPO_ID = "theblackcat102/evol-codealpaca-v1"

SOURCE = Source(
    licence="Apache-2.0",
    generator="gpt-4",
    find_revision=functools.partial(hub.find_revision, REPO_ID),
    read=functools.partial(hub.read, REPO_ID),
    pair=lambda raw: (raw["instruction"], raw["output"]),
    repo_id=REPO_ID,
)
