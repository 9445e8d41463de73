"""The client: drives conversations, serves what is recorded, pays for the rest once, in input order.

reads and writes   build/answers.sqlite (`llm.answers`)

The generators run in the caller's thread, the requests in an event loop of their own, so whatever a conversation does
between two requests (parse, judge in the sandbox) does not hold up the network.
"""

import asyncio
import queue
import random
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tqdm import tqdm

from artefacts import Refusal
from llm.answers import Failure, Ledger, Paid, Spent
from llm.budget import Budget, most_prompt_tokens
from llm.conversation import Conversation, recorded
from llm.pace import Pace, backoff_s
from llm.profile import Profile, Role
from llm.request import UNREACHED, Answer, Message, Request, key_of, parse, repair, schema_of
from llm.transport import Attempt, Reply, Transport

T = TypeVar("T")

MOST_RATE_LIMITED = 30  # times that one request is sent away with 429 before this run gives it up


@dataclass
class Tally:
    """What a run did.

    Attributes:
        asked: answers paid in this run.
        reused: answers that the ledger had.
        open: requests that this run could not get answered, by reason; the next run asks them again.
        given_up: requests whose answers were no good as often as the profile allows, by reason; asked no more.
    """

    asked: int = 0
    reused: int = 0
    open: dict[str, int] = field(default_factory=dict)
    given_up: dict[str, int] = field(default_factory=dict)


@dataclass
class _Slot(Generic[T]):
    conversation: Conversation[T]
    result: T | None = None
    done: bool = False


class Client:
    """Asks the server of a profile, with a ledger and a budget; use it as a context manager.

    Args:
        profile: the teacher.
        ledger: path of `answers.sqlite`.
        scope: whose budget it is, and who is named on the bill: the mixture.

    Raises:
        Refusal: no key, a wrong address, or another run is using the ledger; before anything is sent.
    """

    def __init__(self, profile: Profile, ledger: Path, scope: str) -> None:
        self.profile, self.scope, self.tally = profile, scope, Tally()
        profile.key(), profile.url()  # refuse before the ledger is touched
        self.answers = Ledger(ledger)
        self._chance = random.Random()  # jitter wants no seed: two clients must not move in step
        self._waiting: dict[str, list[_Slot]] = {}  # by key: equal requests are asked once
        self._ready: queue.SimpleQueue = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="teacher", daemon=True)
        self._thread.start()
        self._stop: BaseException | None = None
        asyncio.run_coroutine_threadsafe(self._set_up(), self._loop).result()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def spent(self) -> Spent:
        """Dollars and tokens of the scope so far."""
        return self._budget.spent

    def ask(self, requests: Iterable[Request], **options) -> Iterator[Answer]:
        """Answers to single requests, in order; see `run` for the options and what is raised."""

        def once(request: Request) -> Conversation[Answer]:
            return (yield request)

        return self.run((once(request) for request in requests), **options)

    def run(
        self, conversations: Iterable[Conversation[T]], *, total: int | None = None, name: str = "teacher"
    ) -> Iterator[T]:
        """Results of the conversations, in their order, however the answers come in.

        Memory does not depend on how many there are: a bounded window is open at a time.

        Args:
            conversations: may be lazy; taken from it in the caller's thread.
            total: number of conversations, for the bar and its estimate.
            name: name on the bar.

        Raises:
            Refusal: the budget is spent, every request fails, or the server refuses us; what is in flight is waited
                for and recorded first.
        """
        window: deque[_Slot[T]] = deque()
        size = max(256, 16 * self.profile.max_concurrency)
        source, more = iter(conversations), True
        before = self.spent.usd
        with tqdm(total=total, desc=name, unit=" rows", leave=False, disable=None) as bar:
            try:
                while more or window:
                    while more and len(window) < size:
                        conversation = next(source, None)
                        if conversation is None:
                            more = False
                            break
                        window.append(slot := _Slot(conversation))
                        self._advance(slot, None)
                        self._collect(block=False)
                    while window and window[0].done:
                        yield window.popleft().result
                        bar.update()
                        self._show(bar, before)
                    if window:
                        self._collect(block=not window[0].done)
            finally:
                if window:  # not read to its end: whoever gave it up wants no more of it paid
                    self._stop = self._stop or Refusal("the run was given up.")

    def close(self) -> None:
        """End: what is in flight is waited for and recorded, what has not left is dropped."""
        if self._loop.is_closed():
            return
        self._stop = self._stop or Refusal("the client is closed.")
        if self._pace.in_flight:
            print(f"waiting for {self._pace.in_flight} answers that are on their way", file=sys.stderr)
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.answers.close()

    # --- the caller's thread

    def _advance(self, slot: _Slot, answer: Answer | None) -> None:
        """Send the conversation its answer, and serve its next requests as long as the ledger can."""
        try:
            while True:
                request = slot.conversation.send(answer)
                answer = self._known(request)
                if answer is None:
                    self._ask(slot, request)
                    return
        except StopIteration as end:
            slot.result, slot.done = end.value, True

    def _known(self, request: Request) -> Answer | None:
        answer = recorded(self.answers, self.profile, request)
        if answer.reason is None:
            self.tally.reused += 1
        elif self._is_open(answer):
            return None
        else:
            _count(self.tally.given_up, answer.reason)
        return answer

    def _ask(self, slot: _Slot, request: Request) -> None:
        role = self.profile.role(request.role)
        key = key_of(request, role.model, role.sampling())
        if key in self._waiting:
            self._waiting[key].append(slot)
            return
        self._waiting[key] = [slot]
        asyncio.run_coroutine_threadsafe(self._task(request, role, key), self._loop)

    def _collect(self, block: bool) -> None:
        """Take in what the event loop has finished."""
        while block or not self._ready.empty():
            block = False
            answer, error = self._ready.get()
            if error is not None:
                raise error
            if answer.reason is None:
                self.tally.asked += 1
            else:
                _count(self.tally.open if self._is_open(answer) else self.tally.given_up, answer.reason)
            for slot in self._waiting.pop(answer.key):
                self._advance(slot, answer)

    def _is_open(self, answer: Answer) -> bool:
        if answer.reason in UNREACHED:
            return True
        failed = self.answers.failed(answer.key)
        return failed is None or failed[1] < self.profile.max_bad_answers

    def _show(self, bar: tqdm, before: float) -> None:
        if bar.disable or not bar.n:
            return
        text = f"${self.spent.usd:.4f}, {self._pace.in_flight} in flight"
        if bar.total:
            text += f", about ${before + (self.spent.usd - before) * bar.total / bar.n:.4f} in all"
        bar.set_postfix_str(text, refresh=False)

    # --- the event loop

    async def _set_up(self) -> None:
        self._transport = Transport(self.profile)
        self._pace = Pace(self.profile.max_concurrency)
        self._budget = Budget(self.profile, self.scope, self.answers.spent(self.scope))
        self._tasks: set[asyncio.Task] = set()
        self._idle: set[asyncio.Task] = set()  # those that only wait for their turn

    async def _wind_up(self) -> None:
        for task in self._idle:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.close()

    async def _task(self, request: Request, role: Role, key: str) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            self._ready.put((await self._answer(request, role, key), None))
        except asyncio.CancelledError:
            return
        except BaseException as error:  # whatever it is, the caller must hear of it
            self._stop = self._stop or error
            self._ready.put((None, error))
        finally:
            self._tasks.discard(asyncio.current_task())

    async def _idly(self, wait: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Wait for something that may be dropped when the client ends: nothing of it is on its way."""
        if self._stop is not None:
            raise asyncio.CancelledError
        self._idle.add(task := asyncio.current_task())
        try:
            return await wait(*arguments)
        finally:
            self._idle.discard(task)

    async def _answer(self, request: Request, role: Role, key: str) -> Answer:
        """Ask until there is a good answer, repair once what does not fit the schema, record either way."""
        messages = request.messages
        for is_repair in (False, True):
            found = await self._reply(request, role, key, messages)
            if isinstance(found, str):
                return Answer(key, role.model, None, reason=found)
            reply, entered = found
            try:  # the place is given back when the answer is on disk: what a crash can cost is what is in flight
                reason, detail, value = reply.reason, f"finish_reason {reply.finish_reason}", None
                if request.verbatim and reason in ("length", "empty_answer"):
                    reason = None
                if reason is None and request.schema is not None:
                    value, reason, detail = parse(reply.text, request.schema)
                cost = _cost(reply, role, messages)
                if reason is None:
                    about = (key, self.scope, request.role, role.model, request.template, reply.raw)
                    await self._write(Paid(*about, reply.finish_reason, *cost, role.usd(*cost), reply.seconds))
                    return Answer(key, role.model, reply.text or "", value)
                await self._fail(request, role, key, reason, detail, reply.raw, cost)
            finally:
                self._pace.leave(entered, success=True)
            if is_repair or reason not in ("invalid_json", "wrong_schema"):
                return Answer(key, role.model, None, reason=reason)
            messages = repair(request, reply.text, detail)
        raise AssertionError("unreachable")

    async def _reply(
        self, request: Request, role: Role, key: str, messages: tuple[Message, ...]
    ) -> tuple[Reply, int] | str:
        """A whole reply, which still has its place (see `_attempt`), or the reason why this run gives the request up,
        which is then recorded."""
        schema = schema_of(request.schema) if request.schema and self.profile.json_schema else None
        attempt = rate_limited = 0
        while True:
            try:
                return await self._attempt(request, role, messages, schema)
            except Attempt as failure:
                limited = failure.reason == "rate_limited"
                rate_limited, attempt = rate_limited + limited, attempt + (not limited)
                end = not failure.retry or attempt >= self.profile.max_attempts or rate_limited >= MOST_RATE_LIMITED
                if end or failure.maybe_billed:
                    most = (most_prompt_tokens(messages), role.max_tokens) if failure.maybe_billed else (0, 0)
                    about = (failure.reason, failure.detail, failure.raw, most, failure.maybe_billed)
                    await self._fail(request, role, key, *about)
                if self._pace.broken():
                    raise Refusal(
                        f"teacher '{self.profile.name}' ({self.profile.url()}) answers nothing any more, last "
                        f"{failure}; see to the server and run again, every answer so far is kept."
                    ) from None
                if end:
                    return failure.reason
                if not failure.rest_s:
                    await self._idly(asyncio.sleep, backoff_s(attempt + rate_limited - 1, self._chance))

    async def _attempt(
        self, request: Request, role: Role, messages: tuple[Message, ...], schema: dict | None
    ) -> tuple[Reply, int]:
        """A reply, and what `Pace.leave` wants to know when the reply is recorded; a failure has left."""
        entered = await self._idly(self._pace.enter)
        cost, aside = Spent(), None
        try:
            aside = await self._idly(self._budget.set_aside, role, messages)
            reply = await self._transport.send(role, messages, schema, request.stop, request.continues)
            tokens = _cost(reply, role, messages)
            cost = Spent(role.usd(*tokens), sum(tokens))
            return reply, entered
        except Attempt as failure:
            cost = aside if failure.maybe_billed else cost
            success = False if failure.retry else None
            self._pace.leave(entered, success=success, overloaded=failure.overloaded, rest_s=failure.rest_s)
            raise
        except BaseException:
            self._pace.leave(entered, success=None)
            raise
        finally:
            if aside is not None:
                self._budget.settle(aside, cost)

    async def _fail(self, request: Request, role: Role, key: str, reason: str, detail: str, raw: str | None,
                    tokens: tuple[int, int], is_bound: bool = False) -> None:  # fmt: skip
        about = (key, self.scope, request.role, role.model, request.template, reason, detail[:500], raw)
        await self._write(Failure(*about, *tokens, role.usd(*tokens), is_bound))

    async def _write(self, entry: Paid | Failure) -> None:
        written: asyncio.Future = self._loop.create_future()

        def done(error: BaseException | None) -> None:
            self._loop.call_soon_threadsafe(_settle, written, error)

        self.answers.record(entry, done)
        await written


def _settle(written: asyncio.Future, error: BaseException | None) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(Refusal(f"the ledger of answers cannot be written ({error}); see to the disk."))


def _cost(reply: Reply, role: Role, messages: tuple[Message, ...]) -> tuple[int, int]:
    """(prompt, completion) tokens; the most that they can be where the server does not say."""
    prompt = most_prompt_tokens(messages) if reply.prompt_tokens is None else reply.prompt_tokens
    return prompt, role.max_tokens if reply.completion_tokens is None else reply.completion_tokens


def _count(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1
