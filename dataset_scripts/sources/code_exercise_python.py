"""CodeExercise-Python-27k: exercises as chats of a human and a bot. Its card admits errors and semantic duplicates.

A raw row is `{"chat_rounds": [{"role": "human" | "bot", "content": str, "chat_round_id": int}, ...]}`; the first
exchange becomes the row, the turns after it are counted.
"""

from collections.abc import Mapping
from typing import Any

from dataset_scripts.chats import first_exchange
from dataset_scripts.sources import Exchange, hub


def pair(raw: Mapping[str, Any]) -> Exchange:
    """The first human turn and the bot's turn after it."""
    return first_exchange([(turn["role"], turn["content"]) for turn in raw["chat_rounds"] or []])


SOURCE = hub.source(
    "codefuse-ai/CodeExercise-Python-27k", licence="CC-BY-NC-SA-4.0", generator="gpt-3.5-turbo", pair=pair
)
