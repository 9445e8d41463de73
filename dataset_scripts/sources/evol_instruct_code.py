"""Evol-Instruct-Code-80k-v1: Code Alpaca evolved WizardCoder-style, instructions and answers by gpt-3.5-turbo."""

from dataset_scripts.sources import hub

SOURCE = hub.source(
    "nickrosh/Evol-Instruct-Code-80k-v1",
    licence="CC-BY-NC-SA-4.0",
    generator="gpt-3.5-turbo",
    pair=lambda raw: (raw["instruction"], raw["output"]),
)
