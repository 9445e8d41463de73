"""What is asked of a model, and what came of it. Reads nothing, writes nothing.

A `Request` is known by what shapes its answer: model, messages, schema, sampling, version of the template, index of
the sample. That key is the answer's name in `answers.sqlite`, so equal requests are paid for once, whoever asks.
"""

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from artefacts import hash_of

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


@dataclass(frozen=True)
class Request:
    """One question to one model.

    Attributes:
        role: entry of the teacher profile (`evolve`, `alchemist`, `review`) that says model, sampling and price.
        messages: the conversation so far; the last one is the user's.
        template: name and version of the template that made the messages, `evolve/deepen@1`.
        schema: a pydantic model that the answer must fit as JSON (without defaults and forbidding extra keys: a
            subclass of `artefacts.StrictModel`); None for free text.
        sample: 0 for the first answer to these messages, 1 for another, independent one, ...
        stop: texts that end an answer; they are not part of it.
        continues: the one message is a text to be continued as it stands (/completions, no chat template).
        verbatim: whatever the model says is its answer, cut off at max_tokens or empty, too: for scoring models.
    """

    role: str
    messages: tuple[Message, ...]
    template: str
    schema: type[BaseModel] | None = None
    sample: int = 0
    stop: tuple[str, ...] = ()
    continues: bool = False
    verbatim: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of a request: either `text` (complete and valid), or a `reason` why there is none.

    Attributes:
        key: name of the request in the ledger.
        model: model that was asked, as the profile names it.
        text: the answer as the model wrote it; None where there is none.
        value: the text as the request's schema, None without a schema.
        reason: None, or one of REASONS; the ledger keeps the raw text of what was no answer.
    """

    key: str
    model: str
    text: str | None
    value: BaseModel | None = None
    reason: str | None = None


# Why a request has no answer. The first row never reached a complete answer and is asked again by every run; the
# second was answered, and paid for, and the answer was no good: it is asked again a bounded number of times.
UNREACHED = ("rate_limited", "server_error", "time_out", "connection", "cut_body", "not_asked")
UNUSABLE = ("invalid_json", "wrong_schema", "empty_choice", "empty_answer", "length", "finish_reason", "bad_request")
REASONS = UNREACHED + UNUSABLE


def key_of(request: Request, model: str, sampling: dict[str, Any]) -> str:
    """Hex digest of what shapes the answer (64 characters)."""
    rare = {name: value for name in ("stop", "continues", "verbatim") if (value := getattr(request, name))}
    return hash_of(
        {
            "model": model,
            "messages": request.messages,
            "schema": schema_of(request.schema) if request.schema else None,
            "sampling": sampling,
            "template": request.template,
            "sample": request.sample,
            **rare,  # only where they are used: names that older ledgers know stay theirs
        }
    )


@functools.cache
def schema_of(schema: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of a pydantic model."""
    return schema.model_json_schema()


_FENCED = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*\Z", re.DOTALL)


def parse(text: str, schema: type[BaseModel]) -> tuple[BaseModel | None, str | None, str]:
    """The text as `schema`: (value, None, "") or (None, `invalid_json` or `wrong_schema`, what is wrong).

    A fence around the whole JSON is taken off: models that were asked for JSON alone love to add it.

    >>> from artefacts import StrictModel
    >>> class Score(StrictModel):
    ...     score: int
    >>> parse('```json\\n{"score": 7}\\n```', Score)[0].score, parse('{"score": "7"}', Score)[1], parse("7,", Score)[1]
    (7, 'wrong_schema', 'invalid_json')
    """
    fenced = _FENCED.match(text)
    body = fenced[1] if fenced else text
    try:
        return schema.model_validate_json(body), None, ""
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            return None, "invalid_json", first["msg"]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        return None, "wrong_schema", f"{where}: {first['msg']}"


def repair(request: Request, text: str, complaint: str) -> tuple[Message, ...]:
    """Messages of the one further attempt: the answer that was no good, and what is wrong with it."""
    wanted = json.dumps(schema_of(request.schema), sort_keys=True)
    ask = f"That is not what was asked for ({complaint}). Answer again with nothing but JSON of this schema:\n{wanted}"
    return (*request.messages, {"role": "assistant", "content": text}, {"role": "user", "content": ask})
