"""Rows -> token ids with a mask, and the audit of both before the first step.

A row of the mixture is a conversation of two turns. The prompt is what the chat template makes of the user's turn,
including the opening of the answer; the loss is taken on the answer and on the token that ends it, on nothing else:

    <|im_start|>user\\nWrite f.<|im_end|>\\n<|im_start|>assistant\\n  def f(): ...  <|im_end|>  \\n
    |------------------------- label -100 -------------------------| |--- supervised ---|  | -100 |

With `full_sequence` (OctoCoder) the prompt is supervised too, but for its first token, which nothing predicts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from artefacts import Refusal
from dataset_scripts.schema import messages

IGNORED = -100
DROPPED = ("over_max_row_tokens", "spells_a_special_token", "answer_merges_with_prompt")


def tokenise_batch(
    batch: Mapping[str, Sequence[Any]], tokenizer: Any, loss_on: str, max_row_tokens: int
) -> dict[str, list[Any]]:
    """Apply the chat template to a batch of rows and mark what is supervised.

    Returns:
        Columns `row_id`, `source`, `relatives` (its id, and those of all rows it was made from), `input_ids`, `labels`
        (one label a token), `reason`: None, or why a row is dropped (never cut); the ids of a dropped row are empty.

    Raises:
        Refusal: the template does not render the prompt as a prefix of the conversation, or does not end the answer
            with EOS; either would train on something else than what is generated from.
    """
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    turns = [messages(row) for row in rows]
    prompts = [tokenizer.apply_chat_template(t[:1], add_generation_prompt=True, tokenize=False) for t in turns]
    wholes = [tokenizer.apply_chat_template(t, tokenize=False) for t in turns]
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    whole_ids = tokenizer(wholes, add_special_tokens=False)["input_ids"]
    found: dict[str, list[Any]] = {k: [] for k in ("row_id", "source", "relatives", "input_ids", "labels", "reason")}
    for index, row in enumerate(rows):
        prompt, whole = prompt_ids[index], whole_ids[index]
        reason = None
        if not wholes[index].startswith(prompts[index]):
            raise Refusal(f"row {row['id']}: the chat template renders the prompt differently before an answer.")
        if any(token in turn["content"] for turn in turns[index] for token in special):
            reason = "spells_a_special_token"  # the tokenizer would take it for the real one
        elif whole[: len(prompt)] != prompt:
            reason = "answer_merges_with_prompt"  # a token across the border: not what is generated from
        elif tokenizer.eos_token_id not in whole[len(prompt) :]:
            raise Refusal(f"row {row['id']}: the chat template does not end the answer with {tokenizer.eos_token!r}.")
        elif len(whole) > max_row_tokens:
            reason = "over_max_row_tokens"
        found["row_id"].append(row["id"])
        found["source"].append(row["source"])
        found["relatives"].append([row["id"], *(row["parents"] or [])])
        found["reason"].append(reason)
        found["input_ids"].append(whole if reason is None else [])
        found["labels"].append(_labels(whole, len(prompt), tokenizer.eos_token_id, loss_on) if reason is None else [])
    return found


def _labels(ids: list[int], prompt_tokens: int, eos: int, loss_on: str) -> list[int]:
    start = prompt_tokens if loss_on == "completion" else 1
    end = len(ids) - ids[::-1].index(eos)  # past the last EOS
    return [IGNORED] * start + ids[start:end] + [IGNORED] * (len(ids) - end)


def audit(rows: Any, tokenizer: Any, loss_on: str, where: str) -> dict[str, int]:
    """Check every row that the trainer will see.

    Args:
        rows: iterable of mappings with `row_id`, `input_ids`, `labels`.

    Returns:
        Counts: rows, tokens, supervised_tokens.

    Raises:
        Refusal: EOS is not supervised, padding is EOS, a prompt is supervised, or BOS is doubled.
    """
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise Refusal(f"{where}: pad_token is EOS ({tokenizer.eos_token}); the model would never learn to stop.")
    counts = Counter(rows=0, tokens=0, supervised_tokens=0)
    for row in rows:
        supervised = [label for label in row["labels"] if label != IGNORED]
        if not supervised or supervised[-1] != tokenizer.eos_token_id:
            raise Refusal(f"{where}: row {row['row_id']} does not supervise EOS; the model would never learn to stop.")
        if row["labels"][0] != IGNORED:
            raise Refusal(f"{where}: row {row['row_id']} supervises its prompt.")
        if tokenizer.bos_token_id is not None and row["input_ids"][:2] == [tokenizer.bos_token_id] * 2:
            raise Refusal(f"{where}: row {row['row_id']} starts with BOS twice: tokenizer and template both add it.")
        counts.update(rows=1, tokens=len(row["input_ids"]), supervised_tokens=len(supervised))
    return dict(counts)


def show_mask(input_ids: list[int], labels: list[int], tokenizer: Any) -> str:
    """The row decoded, what is supervised between >>> and <<<."""
    pieces, start = [], 0
    while start < len(labels):
        ignored = labels[start] == IGNORED
        end = next((i for i in range(start, len(labels)) if (labels[i] == IGNORED) != ignored), len(labels))
        text = tokenizer.decode(input_ids[start:end])
        pieces.append(text if ignored else f">>>{text}<<<")
        start = end
    return "".join(pieces)
