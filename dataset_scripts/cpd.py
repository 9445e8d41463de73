"""Perplexity of responses with and without what stands before them (conditional perplexity discrepancy, CPD).

AlchemistCoder (arXiv 2405.19265, section 3) reads the harmony of a data set off CPD = PPL(instruction + response) -
PPL(response): lower means that the instruction helps to predict the response. Whether its first perplexity averages
over the instruction's tokens too is not said, so both readings are here: `response` (the response's tokens alone,
given the instruction) and `joint` (all tokens).

As a command it scores every row of a built mixture for the selections of 09_mixture (`cpd_scores`):

reads   build/<mixture>/08_customise/kept, a causal language model
writes  build/<mixture>/cpd.parquet (id, cpd), and cpd/ with the chunks scored so far, from which a rerun goes on
"""

import argparse
import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from artefacts import Refusal, code_key, command_line, read_json, sha256_of_file, write_bytes, write_json
from dataset_scripts.stage_files import manifest, read_rows

PINS = ("torch", "transformers")
ROWS_PER_CHUNK = 64
SEPARATOR = "\n\n"  # between what stands before and the response; its tokens belong to what stands before


class Score(NamedTuple):
    """Negative log-likelihoods in nats, summed over tokens, of one text."""

    context_nll: float
    context_tokens: int
    response_nll: float
    response_tokens: int

    @property
    def response_perplexity(self) -> float:
        """exp(mean NLL of the response's tokens), given the context."""
        return math.exp(self.response_nll / self.response_tokens)

    @property
    def joint_perplexity(self) -> float:
        """exp(mean NLL of all tokens)."""
        return math.exp((self.context_nll + self.response_nll) / (self.context_tokens + self.response_tokens))


class Text(NamedTuple):
    """Token ids of one text to score: the first token only conditions, it is not scored."""

    ids: list[int]
    context_tokens: int  # of the scored ids[1:]

    @property
    def response_tokens(self) -> int:
        """Tokens of the response, all of them scored."""
        return len(self.ids) - 1 - self.context_tokens


def tokenised(tokenizer: PreTrainedTokenizerBase, context: str, response: str) -> Text:
    """A beginning token, the context with its separator, the response; both tokenised apart.

    Tokenised apart, the response has the same tokens whatever stands before it, so that perplexities compare.

    Raises:
        ValueError: the tokenizer has neither a BOS nor an EOS token to begin with.
    """
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise ValueError("the tokenizer has neither a BOS nor an EOS token to begin a text with")
    before = tokenizer(context + SEPARATOR, add_special_tokens=False)["input_ids"] if context else []
    return Text([first, *before, *tokenizer(response, add_special_tokens=False)["input_ids"]], len(before))


def batches(texts: Sequence[Text], max_batch_tokens: int) -> Iterator[list[int]]:
    """Places of `texts`, longest first, in batches of at most `max_batch_tokens` tokens with their padding."""
    batch: list[int] = []
    for place in sorted(range(len(texts)), key=lambda i: (-len(texts[i].ids), i)):
        if batch and len(texts[batch[0]].ids) * (len(batch) + 1) > max_batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@torch.inference_mode()
def scores(
    model: PreTrainedModel,
    texts: Sequence[Text],
    max_batch_tokens: int = 2048,
    on_batch: Callable[[int], Any] = lambda texts_done: None,
) -> list[Score]:
    """Scores of `texts`, in their order.

    Args:
        max_batch_tokens: tokens of a batch with its padding; the logits take 4 bytes x this x the vocabulary.
        on_batch: is told how many texts were scored, after every batch.
    """
    found: list[Score | None] = [None] * len(texts)
    for batch in batches(texts, max_batch_tokens):
        longest = len(texts[batch[0]].ids)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, place in enumerate(batch):
            length = len(texts[place].ids)
            ids[row, :length] = torch.tensor(texts[place].ids)
            mask[row, :length] = 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for row, place in enumerate(batch):
            length, split = len(texts[place].ids), texts[place].context_tokens
            nll = torch.nn.functional.cross_entropy(
                logits[row, : length - 1].float(), ids[row, 1:length], reduction="none"
            ).double()
            found[place] = Score(float(nll[:split].sum()), split, float(nll[split:].sum()), length - 1 - split)
        on_batch(len(batch))
    return found


def score_rows(build: Path, model_folder: Path, max_length_tokens: int) -> Path:
    """Write `cpd.parquet`: of every row the response-only CPD under its plain instruction.

    Args:
        max_length_tokens: longer texts are cut at the end, so that every row has a score.

    Raises:
        Refusal: the instruction of a row alone is as long as that, so that nothing of its response could be scored.
    """
    key = code_key([__name__], max_length_tokens, PINS, [
        manifest(build / "08_customise")["digest"], sha256_of_file(model_folder / "model.safetensors"),
    ])  # fmt: skip
    rows = read_rows(build / "08_customise", columns=["id", "instruction", "response"]).to_pylist()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=dtype).to(device).eval()
    found: dict[str, float] = {}
    for start in tqdm(range(0, len(rows), ROWS_PER_CHUNK), desc="cpd", unit="chunk", disable=None):
        path = build / "cpd" / key[:12] / f"{start // ROWS_PER_CHUNK:05d}.json"
        chunk = read_json(path)
        if chunk is None:
            some = rows[start : start + ROWS_PER_CHUNK]
            texts = []
            for row in some:
                for context in (row["instruction"], ""):
                    text = tokenised(tokenizer, context, row["response"])
                    cut = Text(text.ids[:max_length_tokens], text.context_tokens)
                    if cut.response_tokens < 1:
                        raise Refusal(
                            f"row {row['id']}: its instruction has {text.context_tokens} tokens, so that no token of "
                            f"the response is among {max_length_tokens}; raise --max-length-tokens."
                        )
                    texts.append(cut)
            made = scores(model, texts)
            pairs = zip(some, made[::2], made[1::2], strict=True)
            chunk = {row["id"]: told.response_perplexity - alone.response_perplexity for row, told, alone in pairs}
            write_json(path, chunk)
        found |= chunk
    table = pa.table({"id": list(found), "cpd": list(found.values())})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(build / "cpd.parquet", buffer.getvalue())
    return build / "cpd.parquet"


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_scripts.cpd", description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="build/<mixture>")
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal language model")
    parser.add_argument("--max-length-tokens", type=int, default=1024, help="longer texts are cut at the end")
    given = parser.parse_args()
    print(score_rows(given.build, given.model, given.max_length_tokens))


if __name__ == "__main__":
    raise SystemExit(main())
