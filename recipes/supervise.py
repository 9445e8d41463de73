"""Above `accelerate launch`: a stop that is asked for reaches every rank, and its exit code reaches who asked.

    python -m recipes.supervise <command that launches ranks of recipes.sft>        (recipes.launch does it)

reads, writes   one small temporary file on this machine, which the ranks find by RANKS_FILE

torch's launcher turns every exit code of a rank into 1, and SIGUSR1 ends it. So it is not the one to be signalled:

    this process             -> accelerate launch -> ranks, on each machine
    holds a lock on the file                         go on while the lock is held; they look at the end of each step
    SIGTERM, SIGUSR1, Ctrl-C: lets go of it          vote, write a checkpoint, note "stopped" in the file, exit with 0
    reads "stopped": exit code 75

A process that dies lets go of its locks too: ranks whose supervisor was killed stop by themselves, with a checkpoint.
"""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from artefacts import Refusal, command_line

STOPPED_EXIT_CODE = 75  # EX_TEMPFAIL: run the same command again (a scheduler may requeue on it)
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # that ask a run to stop
RANKS_FILE = "RANKS_FILE"


def is_supervised() -> bool:
    """Whether this process is a rank below `supervise`."""
    return RANKS_FILE in os.environ


def asked_to_stop() -> bool:
    """Whether the supervisor of this rank has let go of the lock, or is dead; never without one."""
    if not is_supervised():
        return False
    try:
        with open(os.environ[RANKS_FILE]) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # it is gone, and took its file along
        pass
    return True


def note_stopped() -> None:
    """Tell the supervisor that the ranks stopped together, the checkpoint written; call it on every rank."""
    try:
        with open(os.environ[RANKS_FILE], "r+") as file:
            file.write("stopped")
    except FileNotFoundError:  # nobody is left to be told
        pass


def supervise(command: list[str]) -> int:
    """Run a launcher of ranks to its end.

    A second Ctrl-C ends the launcher at once, and it the ranks.

    Raises:
        Refusal: there is no such command.

    Returns:
        STOPPED_EXIT_CODE where the ranks stopped because they were asked to, else the launcher's code.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        path = Path(folder) / "go-on"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            interrupts: list[int] = []
            launcher = None

            def let_go(number: int, frame: FrameType | None) -> None:
                fcntl.flock(lock, fcntl.LOCK_UN)
                if number == signal.SIGINT:
                    interrupts.append(number)
                    if len(interrupts) == 2 and launcher:
                        launcher.terminate()

            before = {number: signal.signal(number, let_go) for number in (*SIGNALS, signal.SIGINT)}
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # recipes.launch blocked them over its exec
            try:
                # a session of its own: Ctrl-C is for this process; some schedulers signal every process of a job, and
                # the launcher has to outlive that
                launcher = subprocess.Popen(
                    command, env=os.environ | {RANKS_FILE: str(path)}, start_new_session=True,
                    preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
                )  # fmt: skip
                code = launcher.wait()
            except FileNotFoundError:
                raise Refusal(f"{command[0]}: there is no such command to launch the ranks.") from None
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
        if path.read_text() == "stopped":
            return STOPPED_EXIT_CODE
    return code if code >= 0 else 128 - code


@command_line
def main() -> int:
    if not sys.argv[1:]:
        raise Refusal("name the command that launches the ranks: python -m recipes.supervise <command>.")
    return supervise(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
