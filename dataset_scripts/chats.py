"""Chats become rows by their first exchange; every other turn is counted, lest the row be taken for the chat."""

from collections.abc import Sequence
from typing import Any

from dataset_scripts.sources import Exchange

USER_ROLES = frozenset({"user", "human", "prompter"})
ASSISTANT_ROLES = frozenset({"assistant", "bot", "gpt", "chatgpt", "model"})


def first_exchange(turns: Sequence[tuple[Any, Any]]) -> Exchange:
    """The first user turn and the assistant turn right after it; None for a turn that is not there.

    >>> first_exchange([("system", "Be kind."), ("human", "Hi?"), ("gpt", "Hi!"), ("human", "Bye.")])[:2]
    ('Hi?', 'Hi!')
    """
    roles = [role.lower() if isinstance(role, str) else role for role, _ in turns]
    user = next((i for i, role in enumerate(roles) if role in USER_ROLES), None)
    if user is None:
        return Exchange(None, None, left_out=len(turns))
    answered = roles[user + 1 : user + 2] and roles[user + 1] in ASSISTANT_ROLES
    response = turns[user + 1][1] if answered else None
    return Exchange(turns[user][1], response, left_out=len(turns) - 1 - bool(answered))
