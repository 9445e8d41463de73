"""answers.sqlite: what was paid for, kept for good.

reads and writes   build/answers.sqlite (WAL): `answers`, one row per request that has a complete and valid answer;
                   `failures`, one row per attempt that cost or may have cost something and gave none, and one per
                   request that a run gave up. Failures are never served as answers.

An answer counts as paid when its row is on the disk (`synchronous=FULL`). Rows are committed in groups: while one
group is being synced the next one gathers, so a thousand answers a second cost as many syncs as the disk can do.
"""

import fcntl
import json
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from artefacts import Refusal
from llm.request import UNUSABLE

VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,            -- hash of model, messages, schema, sampling, template, sample
    scope TEXT NOT NULL,             -- the mixture that paid
    role TEXT NOT NULL, model TEXT NOT NULL, template TEXT NOT NULL,
    raw TEXT NOT NULL,               -- body of the response, whole
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,               -- by the price table of the profile, at the time
    seconds REAL NOT NULL,           -- from dispatch to the last byte
    time TEXT NOT NULL               -- UTC, when it was recorded
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL, scope TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL, template TEXT NOT NULL,
    reason TEXT NOT NULL,            -- one of llm.request.REASONS
    detail TEXT NOT NULL,            -- what the server or the validator said
    raw TEXT,                        -- body of the response, as far as there was one
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    usd_is_bound INTEGER NOT NULL,   -- 1: the server may have billed it; tokens and usd are the most it can be
    time TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS failures_by_key ON failures(key);
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True)
class Paid:
    """A complete, valid answer on its way into the ledger; columns as in the table."""

    key: str
    scope: str
    role: str
    model: str
    template: str
    raw: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    usd: float
    seconds: float


@dataclass(frozen=True)
class Failure:
    """An attempt, or a request given up, that is no answer; columns as in the table."""

    key: str
    scope: str
    role: str
    model: str
    template: str
    reason: str
    detail: str
    raw: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    usd_is_bound: bool = False


@dataclass
class Spent:
    """What a scope has cost so far, unbilled-or-not failures counted at the most they can be."""

    usd: float = 0.0
    tokens: int = 0


def text_of(raw: str) -> str:
    """The text of a recorded answer."""
    choice = json.loads(raw)["choices"][0]
    return (choice["message"]["content"] if "message" in choice else choice["text"]) or ""


class Answers:
    """Read access, for any number of processes. A file that is not there yet holds no answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader: sqlite3.Connection | None = None
        self._means: dict[tuple[str, str], float | None] = {}

    def text(self, key: str) -> str | None:
        """Text of the answer recorded under `key`; None where there is none."""
        found = self._one("SELECT raw FROM answers WHERE key = ?", key)
        return text_of(found[0]) if found else None

    def failed(self, key: str) -> tuple[str, int] | None:
        """(reason of the last failure, how many answers to it were no good); None where it never failed."""
        last = self._one("SELECT reason FROM failures WHERE key = ? ORDER BY id DESC LIMIT 1", key)
        if last is None:
            return None
        marks = ", ".join("?" * len(UNUSABLE))
        return last[0], self._one(
            f"SELECT count(*) FROM failures WHERE key = ? AND reason IN ({marks})", key, *UNUSABLE
        )[0]

    def spent(self, scope: str) -> Spent:
        """What `scope` has cost, over all runs."""
        total = Spent()
        for table in ("answers", "failures"):
            found = self._one(
                f"SELECT total(usd), sum(prompt_tokens + completion_tokens) FROM {table} WHERE scope = ?", scope
            )
            total = Spent(total.usd + found[0], total.tokens + (found[1] or 0)) if found else total
        return total

    def bill(self, scope: str) -> list[dict]:
        """Per role, model and template: answers, failures, tokens and dollars of `scope`, sorted; for cards."""
        query = """
            SELECT role, model, template, sum(ok), sum(1 - ok), sum(prompt_tokens), sum(completion_tokens), sum(usd)
            FROM (SELECT role, model, template, 1 AS ok, prompt_tokens, completion_tokens, usd, scope FROM answers
                  UNION ALL
                  SELECT role, model, template, 0, prompt_tokens, completion_tokens, usd, scope FROM failures)
            WHERE scope = ? GROUP BY role, model, template ORDER BY role, model, template"""
        names = ("role", "model", "template", "answers", "failures", "prompt_tokens", "completion_tokens", "usd")
        reader = self._connection()
        return [dict(zip(names, row, strict=True)) for row in reader.execute(query, (scope,))] if reader else []

    def mean_completion_tokens(self, model: str, template: str, at_least: int) -> float | None:
        """Mean length of the recorded answers to a template, in tokens; None where there are fewer than `at_least`."""
        known = (model, template)
        if known not in self._means:
            query = "SELECT avg(completion_tokens), count(*) FROM answers WHERE model = ? AND template = ?"
            mean, count = self._one(query, *known) or (None, 0)
            self._means[known] = mean if count >= at_least else None
        return self._means[known]

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __getstate__(self) -> dict:  # a worker process opens the file for itself
        return {"path": self.path, "_reader": None, "_means": {}}

    def _one(self, query: str, *values: object) -> tuple | None:
        reader = self._connection()
        return reader.execute(query, values).fetchone() if reader else None

    def _connection(self) -> sqlite3.Connection | None:
        if self._reader is None and self.path.is_file():
            self._reader = _open(self.path)
        return self._reader


def _open(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise Refusal(f"{path}: not a ledger of answers ({error}); move it away and run again.") from None
    if version > VERSION:
        raise Refusal(f"{path}: written by a newer version of this project (format {version}); update the project.")
    return connection


class Ledger(Answers):
    """Read and write access, for one process at a time: two that ask at once would pay the same answer twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise Refusal(f"{path}: another run is asking a teacher; wait for it or end it.") from None
        writer = _open(path)
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")  # an answer is on the disk before it counts as paid
        writer.executescript(_SCHEMA)
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, args=(writer,), name="ledger", daemon=True)
        self._thread.start()

    def record(self, entry: Paid | Failure, done: Callable[[BaseException | None], None]) -> None:
        """Queue a row; `done` is called from another thread once it is on the disk, or with what went wrong."""
        self._queue.put((entry, done))

    def close(self) -> None:
        """Write what is queued, then let go of the file."""
        self._queue.put(None)
        self._thread.join()
        super().close()
        self._lock.close()

    def _write(self, writer: sqlite3.Connection) -> None:
        more = True
        while more:
            group = [self._queue.get()]
            while not self._queue.empty():
                group.append(self._queue.get())
            more = None not in group
            rows = [item for item in group if item is not None]
            error = None
            try:
                writer.execute("BEGIN IMMEDIATE")
                for entry, _ in rows:
                    _insert(writer, entry)
                writer.execute("COMMIT")
            except sqlite3.Error as problem:  # the disk is full, the file is gone: whoever waits must hear of it
                error = problem
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            for _, done in rows:
                done(error)
        writer.close()


def _insert(writer: sqlite3.Connection, entry: Paid | Failure) -> None:
    values = {**vars(entry), "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    table = "answers" if isinstance(entry, Paid) else "failures"
    marks = ", ".join(f":{name}" for name in values)
    writer.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(values)}) VALUES ({marks})", values)
