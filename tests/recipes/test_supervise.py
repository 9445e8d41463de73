"""The parent of a launcher, with a stand-in for the launcher and its ranks (the real ones: test_sharded.py)."""

import os
import signal
import subprocess
import sys
import time

import pytest

from artefacts import ROOT
from recipes import supervise

RANK = """
import sys, time
from recipes import supervise
print("going on", flush=True)
while not supervise.asked_to_stop():
    time.sleep(0.02)
if sys.argv[1] == "stops":
    supervise.note_stopped()
print("asked", flush=True)
raise SystemExit(1)
"""


def supervised(*command) -> subprocess.Popen:
    whole = [sys.executable, "-m", "recipes.supervise", *command]
    return subprocess.Popen(whole, cwd=ROOT, text=True, stdout=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize(("rank", "code"), [("stops", supervise.STOPPED_EXIT_CODE), ("fails", 1)])
def test_a_signal_reaches_the_ranks_and_only_a_stop_becomes_75(number, rank, code):
    running = supervised(sys.executable, "-c", RANK, rank)
    assert running.stdout.readline() == "going on\n"
    running.send_signal(number)
    assert running.communicate(timeout=60)[0] == "asked\n" and running.returncode == code


def test_the_launcher_outlives_sigusr1_itself_and_ranks_stop_when_nobody_is_above_them():
    running = supervised(sys.executable, "-c", RANK, "stops")
    assert running.stdout.readline() == "going on\n"
    [rank] = map(int, subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True).stdout.split())
    os.kill(rank, signal.SIGUSR1)
    time.sleep(0.3)
    assert running.poll() is None
    running.kill()
    assert running.communicate(timeout=60)[0] == "asked\n"


@pytest.mark.parametrize("number", supervise.SIGNALS)
def test_a_stop_that_came_while_the_supervisor_started_reaches_the_ranks(number):
    """As recipes.launch becomes recipes.supervise: the signal is there before its first line runs."""
    became = [sys.executable, "-m", "recipes.supervise", sys.executable, "-c", RANK, "stops"]
    script = (
        f"import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, {[int(n) for n in supervise.SIGNALS]});"
        f"os.kill(os.getpid(), {number}); os.execv({sys.executable!r}, {became!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == supervise.STOPPED_EXIT_CODE and done.stdout == "going on\nasked\n", done.stderr


@pytest.mark.parametrize(("command", "says"), [([], "name the command"), (["no-such-launcher"], "no such command")])
def test_nothing_to_supervise_is_refused_in_a_sentence(command, says):
    run = [sys.executable, "-m", "recipes.supervise", *command]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_without_a_stop_the_code_is_the_launchers(script, code):
    assert supervised("bash", "-c", script).wait(timeout=60) == code
