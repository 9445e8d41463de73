"""evol-codealpaca-v1: Code Alpaca evolved with GPT-4. 29 of 164 HumanEval tasks were reported inside."""

from dataset_scripts.sources import hub

SOURCE = hub.source(
    "theblackcat102/evol-codealpaca-v1",
    licence="Apache-2.0",
    generator="gpt-4",
    pair=lambda raw: (raw["instruction"], raw["output"]),
)
