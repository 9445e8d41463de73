"""A server that misbehaves in every way, a client killed at twenty moments: nothing paid is lost or paid twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from artefacts import ROOT
from llm.answers import text_of
from llm.request import REASONS
from tests.llm.server import FAULTS, Server, seeded
from tests.llm.test_client import rows

ROWS, KILLS, CONCURRENCY = 800, 20, 16
PAID = "SELECT key, raw FROM answers"


# what a provider charges for and the client has read to its end
BILLED = ("empty_choice", "empty_answer", "length", "cut_body", "invalid_json", "wrong_schema")


def on_disk(ledger) -> int:
    """Responses that the ledger knows of."""
    if not ledger.exists():
        return 0
    (answers,), (failures,) = rows(
        ledger, f"SELECT count(*) FROM answers UNION ALL SELECT count(*) FROM failures WHERE reason IN {BILLED}"
    )
    return answers + failures


def start(server, folder):
    command = [sys.executable, "-m", "tests.llm.asker", server.url, folder / "a.sqlite", folder / "results.json"]
    return subprocess.Popen([*map(str, command), str(ROWS)], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(child, folder):
    _, said = child.communicate(timeout=300)
    assert child.returncode == 0, said
    return json.loads((folder / "results.json").read_text())


def wait_until_quiet(server):
    """What a killed child had sent may still lie in a socket: until the server hears nothing new."""
    heard = None
    while heard != (now := (len(server.requests), server.in_flight, server.billed)):
        heard = now
        time.sleep(0.2)


@pytest.mark.slow
def test_no_paid_answer_is_lost_or_paid_twice_by_faults_and_twenty_kills(tmp_path):
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
    with Server(seeded(0, 0.3)) as server:
        finish(start(server, folders[0]), folders[0])
        undisturbed = len(server.requests)
    assert {fault for _, fault in server.requests} == {"ok", *FAULTS}

    moments = sorted(random.Random(0).sample(range(20, undisturbed - 50), KILLS))
    ledger, in_flight, paid = folders[1] / "a.sqlite", 0, {}
    with Server(seeded(0, 0.3)) as server:
        for moment in moments:
            before, billed, kept = server.answered.copy(), server.billed, on_disk(ledger)
            child = start(server, folders[1])
            while len(server.requests) < moment and child.poll() is None:
                time.sleep(0.001)
            assert child.poll() is None, "ended before it was killed"
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.stderr.close()
            seen, at_server, unread = len(server.requests), server.in_flight, server.billed - billed
            wait_until_quiet(server)
            unread -= on_disk(ledger) - kept
            in_flight += at_server + unread + len(server.requests) - seen
            found = dict(rows(ledger, PAID)) if ledger.exists() else {}
            assert paid.items() <= found.items(), "an answer that was paid before is gone"
            recorded = {json.loads(text_of(raw))["echo"] for raw in found.values()}
            assert len(set(server.answered - before) - recorded) <= CONCURRENCY
            paid = found
        results = finish(start(server, folders[1]), folders[1])
    twice = sum(server.answered.values()) - len(server.answered)
    print(
        f"\n{ROWS} rows, {KILLS} kills: {undisturbed} requests undisturbed, {len(server.requests)} with kills "
        f"({in_flight} in flight when killed), {twice} answered twice, "
        f"{sum(reason is None for _, reason, _ in results)} answered in the end"
    )
    assert paid.items() <= dict(rows(ledger, PAID)).items()
    assert twice <= in_flight <= KILLS * CONCURRENCY
    assert len(server.requests) <= 1.02 * undisturbed + in_flight
    reasons = dict(rows(ledger, "SELECT key, reason FROM failures ORDER BY id"))
    for n, (echo, reason, key) in enumerate(results):
        assert (echo == f"row {n}") if reason is None else (echo is None and reasons[key] == reason in REASONS)
    assert sum(reason is None for _, reason, _ in results) > 0.95 * ROWS
