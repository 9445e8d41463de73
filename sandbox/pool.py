"""The front door: run one program, or a stream of jobs over several workers.

run_many keeps the order of the jobs and holds only a few of them at a time, whatever the length of the stream.
"""

import atexit
import collections
import concurrent.futures
import os
import queue
import threading
from collections.abc import Iterable, Iterator

from sandbox.backends import backend
from sandbox.verdict import Job, Limits, SandboxError, Verdict
from sandbox.worker import Worker

_AHEAD = 32  # jobs in hand per worker: enough to keep them busy behind one slow sample

_lock = threading.Lock()
_single: dict[tuple[int, str], Worker] = {}


def run(
    program: str | bytes,
    language: str = "python",
    stdin: str | bytes = "",
    limits: Limits | None = None,
) -> Verdict:
    """Runs one program to its end and says what happened.

    limits: None for the standard ones. Raises SandboxError when there is no sandbox here or the request makes no
    sense; whatever the program does is a verdict, not an exception.
    """
    return judge(Job(program, language, stdin, limits or Limits()))


def judge(job: Job) -> Verdict:
    """Like run, for a whole Job (a test, an entry point). One warm worker is kept per process."""
    name = backend()
    with _lock:
        key = (os.getpid(), name)  # a forked child must not talk to its parent's rooms
        if key not in _single:
            _single[key] = Worker(name)
        return _single[key].judge(job)


@atexit.register
def close() -> None:
    """Ends the warm worker of this process; the next run starts a new one."""
    with _lock:
        for (pid, _), worker in list(_single.items()):
            if pid == os.getpid():
                worker.close()
        _single.clear()


def run_many(jobs: Iterable[Job], workers: int | None = None) -> Iterator[Verdict]:
    """One verdict per job, in the order of the jobs, as soon as each is known.

    jobs: may be a generator; at most 32 per worker are taken ahead, also of a slow consumer. workers: None for one
    per core. Raises SandboxError before the first verdict when there is no sandbox here, and what the jobs' iterator
    raises, after the verdicts on the jobs that it gave.
    """
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise SandboxError(f"run_many needs at least one worker, got {count}.")
    name = backend()
    return _stream(iter(jobs), name, count)


def _stream(jobs: Iterator[Job], name: str, count: int) -> Iterator[Verdict]:
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    everyone = [Worker(name) for _ in range(count)]
    for worker in everyone:
        idle.put(worker)

    def judged(job: Job) -> Verdict:
        worker = idle.get()
        try:
            return worker.judge(job)
        except Exception as error:  # our own fault must cost one verdict's quality, not the stream
            worker.close()
            return Verdict("internal", type(error).__name__, str(error)[:500], backend=name)
        finally:
            idle.put(worker)

    pending: collections.deque[concurrent.futures.Future] = collections.deque()
    threads = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="sandbox")
    try:
        more, failure = True, None
        while more or pending:
            while more and len(pending) < count * _AHEAD:
                try:
                    pending.append(threads.submit(judged, next(jobs)))
                except StopIteration:
                    more = False
                except Exception as error:  # the verdicts on the jobs before it are still due
                    more, failure = False, error
            if pending:
                yield pending.popleft().result()
        if failure is not None:
            raise failure
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
        for worker in everyone:
            worker.hang_up()
        for worker in everyone:
            worker.close()
