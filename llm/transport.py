"""One attempt at one request: the `openai` SDK sends it, and whatever comes back is a reply or has a reason.

Reads the network, writes nothing. The SDK's own retries are off: they know neither the budget nor the ledger. The
body is taken as text and judged here, since a server that is wrong is wrong in its body too.
"""

import asyncio
import email.utils
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from artefacts import Refusal
from llm.profile import Profile, Role
from llm.request import Message


@dataclass(frozen=True)
class Reply:
    """A whole response of the server; whether its answer is any good is in `reason` (None: it is)."""

    raw: str
    text: str | None
    finish_reason: str
    prompt_tokens: int | None  # None: the server does not say
    completion_tokens: int | None
    seconds: float
    reason: str | None = None


class Attempt(Exception):
    """No reply: why, whether trying again makes sense, and whether it may have been billed all the same."""

    def __init__(
        self, reason: str, detail: str, *, retry: bool = True, overloaded: bool = False, rest_s: float = 0.0,
        maybe_billed: bool = False, raw: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.retry, self.overloaded = reason, detail, retry, overloaded
        self.rest_s, self.maybe_billed, self.raw = rest_s, maybe_billed, raw


class Transport:
    """The connection to the server of a profile; lives in one event loop."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self._key = profile, profile.key()
        limits = httpx2.Limits(
            max_connections=profile.max_concurrency, max_keepalive_connections=profile.max_concurrency
        )
        self._client = openai.AsyncOpenAI(
            api_key=self._key, base_url=profile.url(), max_retries=0, timeout=profile.timeout_s,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits, timeout=profile.timeout_s),
        )  # fmt: skip

    async def send(
        self, role: Role, messages: tuple[Message, ...], schema: dict[str, Any] | None,
        stop: tuple[str, ...] = (), continues: bool = False,
    ) -> Reply:  # fmt: skip
        """Ask once.

        Args:
            stop, continues: as in `llm.Request`.
            schema: JSON schema for the server to hold the answer to; None where it cannot, or nothing is wanted.

        Raises:
            Attempt: there is no reply.
            Refusal: the server will refuse every request: a wrong key, an unknown model, no credit.
        """
        body: dict[str, Any] = {k: v for k, v in role.sampling().items() if v is not None and k != "max_tokens"}
        body["max_tokens" if continues else self.profile.max_tokens_field] = role.max_tokens
        if stop:
            body["stop"] = list(stop)
        if schema is not None:
            form = {"name": schema.get("title", "answer"), "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        asked: Any = self._client.chat.completions
        if continues:
            asked, body["prompt"] = self._client.completions, messages[-1]["content"]
        else:
            body["messages"] = list(messages)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.profile.timeout_s):  # httpx's own are per read: a dribble never ends
                response = await asked.with_raw_response.create(model=role.model, **body)
        except (TimeoutError, openai.APITimeoutError) as error:
            sent = not isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            said = f"no whole answer within {self.profile.timeout_s:g} s"
            raise Attempt("time_out", said, overloaded=True, maybe_billed=sent) from None
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIConnectionError as error:
            raise self._broken_off(error) from None
        return read_reply(self.redacted(response.http_response.content), time.monotonic() - started)

    def redacted(self, text: str | bytes) -> str:
        """The text without the key: servers quote it in error messages, and some echo whole requests."""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return text.replace(self._key, "[key]") if self.profile.api_key_env else text

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _refused(self, error: openai.APIStatusError) -> Exception:
        status, raw = error.status_code, self.redacted(error.response.content)
        detail = f"HTTP {status}: {_message(raw)}"
        who = f"teacher '{self.profile.name}' ({error.request.url.host})"
        if status in (401, 403):
            source = self.profile.api_key_env or "an API key, which the profile does not name (api_key_env)"
            return Refusal(f"{who} refuses the key; check {source} ({detail}).")
        if status == 404:
            return Refusal(f"{who} does not know the model or the address; mend the profile ({detail}).")
        if status == 402 or "insufficient_quota" in raw:
            return Refusal(f"{who} has no credit left; pay there, then run again ({detail}).")
        if status in (408, 409, 429) or status >= 500:
            reason = "rate_limited" if status == 429 else "server_error"
            rest_s = retry_after_s(error.response.headers.get("retry-after"))
            return Attempt(reason, detail, overloaded=status in (408, 429, 503, 529), rest_s=rest_s, raw=raw)
        return Attempt("bad_request", detail, retry=False, raw=raw)

    def _broken_off(self, error: openai.APIConnectionError) -> Attempt:
        cause = error.__cause__
        detail = self.redacted(f"{type(cause).__name__}: {cause}" if cause else str(error))
        if isinstance(cause, httpx2.RemoteProtocolError) and "message body" in str(cause):
            return Attempt("cut_body", detail, maybe_billed=True)
        return Attempt("connection", detail, maybe_billed=not isinstance(cause, httpx2.ConnectError))


def _message(raw: str) -> str:
    try:
        said = json.loads(raw)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = raw
    return " ".join(str(said).split())[:300] or "no message"


def retry_after_s(header: str | None) -> float:
    """Seconds of a Retry-After header, which is a number or a date; 0.0 where there is none or no sense in it."""
    if not header:
        return 0.0
    try:
        return max(0.0, min(float(header), 1e6))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def read_reply(raw: str, seconds: float) -> Reply:
    """Judge the body of a response with status 200.

    Raises:
        Attempt: the body is no JSON object: something between us and the model is broken.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Attempt("cut_body", "the body is not JSON", maybe_billed=True, raw=raw) from None
    if not isinstance(body, dict):
        raise Attempt("cut_body", "the body is not a JSON object", maybe_billed=True, raw=raw)
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    tokens = [_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))]

    def reply(text: object, finish: str, reason: str | None) -> Reply:
        return Reply(raw, text if isinstance(text, str) else None, finish, *tokens, seconds, reason)

    try:
        choice = body["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        finish = str(choice.get("finish_reason"))
    except (KeyError, IndexError, TypeError, AttributeError):
        return reply(None, "none", "empty_choice")
    if finish != "stop":
        return reply(text, finish, "length" if finish == "length" else "finish_reason")
    if not isinstance(text, str) or not text.strip() or "\0" in text or not _is_utf8(text):
        return reply(text, finish, "empty_answer")
    return reply(text, finish, None)


def _count(said: object) -> int | None:
    return said if isinstance(said, int) and said >= 0 else None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: no file can hold it
        return False
    return True
