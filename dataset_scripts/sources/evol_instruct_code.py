"""Evol-Instruct-Code-80k-v1: Code Alpaca evolved WizardCoder-style, instructions and answers by gpt-3.5-turbo."""

import functools

from dataset_scripts.sources import Source, hub

REPO_ID = "nickrosh/Evol-Instruct-Code-80k-v1"

SOURCE = Source(
    licence="CC-BY-NC-SA-4.0",
    generator="gpt-3.5-turbo",
    find_revision=functools.partial(hub.find_revision, REPO_ID),
    read=functools.partial(hub.read, REPO_ID),
    pair=lambda raw: (raw["instruction"], raw["output"]),
    repo_id=REPO_ID,
)
