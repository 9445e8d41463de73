"""A chat-completion server on the loopback that misbehaves on demand; plain asyncio, so that it can also break HTTP.

    with Server(schedule=lambda content, nth: "500" if nth == 0 else "ok") as server:
        ...server.url, server.requests

`schedule(content of the first user message, how often it was asked before)` names one of FAULTS or `ok`.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

FAULTS = (
    "429", "429_retry_after", "500", "503", "hang", "reset", "cut_body", "not_json", "invalid_json", "wrong_schema",
    "empty_choice", "length", "null",
)  # fmt: skip


def seeded(seed: int, share: float, faults: tuple[str, ...] = FAULTS) -> Callable[[str, int], str]:
    """A schedule that gives `share` of all requests one of the faults; the same for the same request and turn."""

    def fault(content: str, nth: int) -> str:
        chance = random.Random(f"{seed}:{content}:{nth}")
        return chance.choice(faults) if chance.random() < share else "ok"

    return fault


def answer_to(content: str) -> str:
    """What the model says: JSON that a test can check against its question."""
    return json.dumps({"echo": content[:200], "length": len(content)})


class Server:
    """Attributes:
    requests: (content, fault) of every request that came in whole, in order.
    answered: contents that were answered in full and well.
    billed: responses with status 200, good or bad: what a provider would charge for.
    most_in_flight: most requests open at once.
    """

    def __init__(
        self, schedule: Callable[[str, int], str] = lambda content, nth: "ok", say: Callable[[str], str] = answer_to,
        delay_s: float = 0.0, retry_after_s: float = 0.2, hang_s: float = 3600.0,
    ) -> None:  # fmt: skip
        self.schedule, self.say, self.delay_s = schedule, say, delay_s
        self.retry_after_s, self.hang_s = retry_after_s, hang_s
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[dict] = []
        self.keep_bodies = True
        self.error_message = "something is wrong"
        self.answered: Counter[str] = Counter()
        self.billed = 0
        self.keys: set[str] = set()
        self.in_flight = self.most_in_flight = 0
        self._turns: Counter[str] = Counter()

    def __enter__(self) -> "Server":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        made = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512), self._loop
        )
        self._server = made.result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = json.loads(await reader.readexactly(int(fields.get("content-length", "0"))))
                self.keys.add(fields.get("authorization", ""))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    if not await self._answer(body, reader, writer):
                        return
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _answer(self, body: dict, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False when the connection is to be closed."""
        content = body.get("prompt") or next(m["content"] for m in body["messages"] if m["role"] == "user")
        nth = self._turns[content]
        self._turns[content] += 1
        fault = self.schedule(content, nth)
        self.requests.append((content, fault))
        if self.keep_bodies:
            self.bodies.append(body)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if fault == "hang":
            async with asyncio.timeout(self.hang_s):
                await reader.read(1)  # until the client hangs up
            return False
        if fault == "reset":
            writer.transport.abort()
            return False
        status, headers, payload = self._payload(fault, body, content)
        head = [f"HTTP/1.1 {status} x", "content-type: application/json", f"content-length: {len(payload)}", *headers]
        if fault == "cut_body":
            payload = payload[: len(payload) // 2]
        writer.write("\r\n".join([*head, "", ""]).encode() + payload)
        await writer.drain()
        self.billed += status == 200
        if fault == "ok":
            self.answered[content] += 1
        return fault != "cut_body"

    def _payload(self, fault: str, body: dict, content: str) -> tuple[int, list[str], bytes]:
        if fault.startswith("429"):
            headers = [f"retry-after: {self.retry_after_s}"] if fault == "429_retry_after" else []
            return 429, headers, self._error()
        if fault.isdigit():
            return int(fault), [], self._error()
        if fault == "not_json":
            return 200, [], b"<html>gateway</html>"
        text = {"invalid_json": "{oops", "wrong_schema": '{"echo": 5}', "null": None}.get(fault, "")
        text = self.say(content) if fault in ("ok", "length", "cut_body") else text
        said = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
        choice = {"index": 0, **said}
        choice["finish_reason"] = "length" if fault == "length" else "stop"
        prompt = sum(len(m["content"]) for m in body.get("messages", [{"content": content}])) // 4 + 1
        completion = len(text or "") // 4 + 1
        answer = {
            "id": "x", "object": "chat.completion", "created": int(time.time()), "model": body["model"],
            "choices": [] if fault == "empty_choice" else [choice],
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
        }  # fmt: skip
        return 200, [], json.dumps(answer).encode()

    def _error(self) -> bytes:
        return json.dumps({"error": {"message": self.error_message, "type": "x"}}).encode()
