"""CodeExercise-Python-27k: exercises as chats of a human and a bot. Its card admits errors and semantic duplicates.

A raw row is `{"chat_rounds": [{"role": "human" | "bot", "content": str, "chat_round_id": int}, ...]}`; the first
exchange becomes the row.
"""

import functools
from collections.abc import Mapping
from typing import Any

from dataset_scripts.sources import Source, hub

REPO_ID = "codefuse-ai/CodeExercise-Python-27k"


def first_exchange(raw: Mapping[str, Any]) -> tuple[Any, Any]:
    """Content of the first human turn and of the bot turn after it; None for a turn that is not there."""
    turns = raw["chat_rounds"] or []
    human = next((i for i, turn in enumerate(turns) if turn["role"] == "human"), None)
    if human is None:
        return None, None
    bot = next((turn["content"] for turn in turns[human + 1 :] if turn["role"] == "bot"), None)
    return turns[human]["content"], bot


SOURCE = Source(
    licence="CC-BY-NC-SA-4.0",
    generator="gpt-3.5-turbo",
    find_revision=functools.partial(hub.find_revision, REPO_ID),
    read=functools.partial(hub.read, REPO_ID),
    pair=first_exchange,
    repo_id=REPO_ID,
)
