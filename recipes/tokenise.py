"""Rows -> token ids with a mask, and the audit of both before the first step.

A row of the mixture is a conversation of two turns. The prompt is what the chat template makes of the user's turn,
including the opening of the answer; the loss is taken on the answer and on the token that ends it, on nothing else:

    <|im_start|>user\\nWrite f.<|im_end|>\\n<|im_start|>assistant\\n  def f(): ...  <|im_end|>  \\n
    |------------------------- label -100 -------------------------| |--- supervised ---|  | -100 |

The ids and labels go to TRL as they are: it packs them, and neither truncates nor masks again.
"""

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from artefacts import Refusal
from dataset_scripts.schema import messages

IGNORED = -100


@dataclass(frozen=True)
class TokenisedRow:
    """A row as the trainer sees it; both lists have one entry per token."""

    row_id: str
    source: str
    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Selection:
    """The rows to train on, and what became of the others: rows_in = rows + dropped + not_sampled."""

    rows: list[TokenisedRow]
    rows_in: int
    dropped: dict[str, dict[str, int]]  # reason -> source -> rows
    not_sampled: int


def tokenise(row: dict[str, Any], tokenizer: Any) -> TokenisedRow | None:
    """Apply the chat template to one row and mark what is supervised.

    Returns:
        None for a row whose text spells a special token (`<|im_end|>`): the tokenizer would take it for the real one.

    Raises:
        Refusal: the template does not render the prompt as a prefix of the conversation, or does not end the answer
            with EOS; either would train on something else than what is generated from.
    """
    user, assistant = messages(row)
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    if any(token in turn["content"] for turn in (user, assistant) for token in special):
        return None
    prompt = tokenizer.apply_chat_template([user], add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([user, assistant], return_dict=False)
    if whole[: len(prompt)] != prompt:
        raise Refusal(f"row {row['id']}: the chat template renders the prompt differently before an answer.")
    if tokenizer.eos_token_id not in whole[len(prompt) :]:
        raise Refusal(f"row {row['id']}: the chat template does not end the answer with {tokenizer.eos_token!r}.")
    end = len(whole) - whole[::-1].index(tokenizer.eos_token_id)  # past the last EOS
    labels = [IGNORED] * len(prompt) + whole[len(prompt) : end] + [IGNORED] * (len(whole) - end)
    return TokenisedRow(row["id"], row["source"], whole, labels)


def select(rows: Any, tokenizer: Any, max_length: int, sample_tokens: int | None, seed: int) -> Selection:
    """Tokenise rows, drop those over `max_length` tokens (never cut), take a seeded sample of `sample_tokens` tokens.

    Rows are looked at in a shuffled order until the sample is full, so that a small sample of a large mixture is
    quick; the sample keeps the order of the data. Without `sample_tokens` all rows are taken.

    Args:
        rows: sequence of rows of the mixture (a `datasets.Dataset`, a list).
    """
    dropped: dict[str, Counter[str]] = {"over_max_length": Counter(), "spells_a_special_token": Counter()}
    taken: dict[int, TokenisedRow] = {}
    total = looked_at = 0
    for index in random.Random(seed).sample(range(len(rows)), len(rows)):
        row = rows[index]
        tokenised = tokenise(row, tokenizer)
        if tokenised is not None and len(tokenised.input_ids) <= max_length:
            total += len(tokenised.input_ids)
            if sample_tokens is not None and total > sample_tokens:
                break
            taken[index] = tokenised
        else:
            reason = "spells_a_special_token" if tokenised is None else "over_max_length"
            dropped[reason][row["source"]] += 1
        looked_at += 1
    counted = {reason: dict(sorted(by_source.items())) for reason, by_source in dropped.items() if by_source}
    return Selection([taken[i] for i in sorted(taken)], len(rows), counted, len(rows) - looked_at)


def audit(selection: Selection, tokenizer: Any, where: str) -> dict[str, Any]:
    """Check what the trainer will see, and count it.

    Returns:
        JSON-able counts: rows, tokens, supervised tokens and their share.

    Raises:
        Refusal: no row is left, EOS is not supervised, padding is EOS, a prompt is supervised, or BOS is doubled.
    """
    if not selection.rows:
        raise Refusal(f"{where}: none of {selection.rows_in} rows is left; raise max_length or sample_tokens.")
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise Refusal(f"{where}: pad_token is EOS ({tokenizer.eos_token}); the model would never learn to stop.")
    for row in selection.rows:
        supervised = [label for label in row.labels if label != IGNORED]
        if not supervised or supervised[-1] != tokenizer.eos_token_id:
            raise Refusal(f"{where}: row {row.row_id} does not supervise EOS; the model would never learn to stop.")
        if row.labels[0] != IGNORED:
            raise Refusal(f"{where}: row {row.row_id} supervises its prompt.")
        if row.input_ids[:2] == [tokenizer.bos_token_id] * 2:
            raise Refusal(f"{where}: row {row.row_id} starts with BOS twice: tokenizer and template both add it.")
    tokens = sum(len(row.input_ids) for row in selection.rows)
    supervised = sum(label != IGNORED for row in selection.rows for label in row.labels)
    return {
        "rows_in": selection.rows_in,
        "rows_dropped": selection.dropped,
        "rows_not_sampled": selection.not_sampled,
        "rows": len(selection.rows),
        "tokens": tokens,
        "supervised_tokens": supervised,
        "supervised_share": round(supervised / tokens, 4),
    }


def show_mask(row: TokenisedRow, tokenizer: Any) -> str:
    """The row decoded, what is supervised between >>> and <<<."""
    pieces, start = [], 0
    while start < len(row.labels):
        ignored = row.labels[start] == IGNORED
        end = next(
            (i for i in range(start, len(row.labels)) if (row.labels[i] == IGNORED) != ignored), len(row.labels)
        )
        text = tokenizer.decode(row.input_ids[start:end])
        pieces.append(text if ignored else f">>>{text}<<<")
        start = end
    return "".join(pieces)
