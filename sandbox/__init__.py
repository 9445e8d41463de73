"""The room for untrusted code: dataset rows and model outputs run here and nowhere else.

    from sandbox import run, run_many, Job, Limits

    run("print(6 * 7)").status                                        -> "ok"
    run_many([Job(program, test=test, entry_point="add"), ...])       -> verdicts, in order

Imports nothing of ours. docs/sandbox.md says what is and what is not defended.
"""

from sandbox.backends import backend
from sandbox.pool import close, judge, run, run_many
from sandbox.verdict import LANGUAGES, STATUSES, Job, Limits, SandboxError, Verdict

__all__ = [
    "LANGUAGES", "STATUSES", "Job", "Limits", "SandboxError", "Verdict", "backend", "close", "judge", "run",
    "run_many",
]  # fmt: skip
