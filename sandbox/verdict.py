"""What goes in (Job, Limits) and what comes out (Verdict).

Reads nothing, writes nothing. Every other file of the room speaks in these three words.
"""

import dataclasses
import json
import math

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")

STATUSES = (
    "ok",  # ran to its end; with a test: every assertion held, compared outside the candidate where possible
    "wrong_output",  # the test's comparison failed
    "exception",  # the program raised, crashed or left early
    "timeout",  # CPU time spent, or the generous wall stop reached
    "memory",  # address space or resident memory
    "output_limit",  # too much printed, too much or too many files written
    "blocked",  # the sandbox refused what the program tried
    "compile_error",
    "internal",  # our fault or the test's: never counted as the candidate's
    "not_run",  # toolchain missing: never zero
)


class SandboxError(Exception):
    """A request that cannot be served; its text is one sentence naming the remedy."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Budget of one sample. CPU time decides; wall time is only a generous stop, so a busy machine flips nothing."""

    cpu_s: float = 5.0
    """CPU seconds of all processes of the sample together."""
    wall_s: float = 60.0
    """Wall seconds after which even a sleeping sample is stopped."""
    memory_mib: int = 1024
    """MiB: address space per process for Python, C++ and Rust; resident memory of all processes for every language."""
    processes: int = 16
    """Processes and threads alive at once (Java, Go and node count their runtime threads on top)."""
    file_mib: int = 32
    """MiB that the sample may keep in files at once."""
    output_kib: int = 64
    """KiB kept, and allowed, of each of stdout and stderr."""
    compile_cpu_s: float = 30.0
    """CPU seconds of the compiler."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise SandboxError(f"Limits.{field.name} must be a positive number, got {value!r}.")
            if not field.name.endswith("_s") and not isinstance(value, int):
                raise SandboxError(f"Limits.{field.name} must be a whole number, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class Job:
    """One program to judge.

    `test` with `entry_point` (Python) turns on the trusted oracle: the test runs in a process of its own and calls
    the candidate in another. `prompt` is benchmark text that belongs to the test's side: helpers it defines (`poly`
    of HumanEval/32) are then taken from there and not from the candidate. In other languages `test` is appended to
    the program, shares its process, and the verdict says so. `trusted_test` says that the test comes from a published
    benchmark: it may then follow other such tests in one process, which saves a third of the time.
    """

    program: str | bytes
    language: str = "python"
    stdin: str | bytes = ""
    limits: Limits = Limits()
    test: str | None = None
    entry_point: str | None = None
    prompt: str | None = None
    trusted_test: bool = False

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise SandboxError(f"Language {self.language!r} is not one of {', '.join(LANGUAGES)}.")
        if self.language == "python" and (self.test is None) != (self.entry_point is None):
            raise SandboxError(
                "A Python test needs both `test` and `entry_point`, the callable that the test is given."
            )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What happened to one sample. stdout and stderr are bounded by Limits.output_kib; times are seconds."""

    status: str
    exception_type: str | None = None
    exception_message: str | None = None
    stdout: str = ""
    stderr: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    backend: str = ""
    shared_process: bool = False
    """True where the candidate had a hand in its own judging: another language's in-process test, or `borrowed`."""
    borrowed: tuple[str, ...] = ()
    """Helpers that the test took from the candidate because neither test nor prompt defines them."""

    def to_dict(self) -> dict:
        """Plain dictionary with the fields above, ready for JSON or a Parquet row."""
        return {**dataclasses.asdict(self), "borrowed": list(self.borrowed)}

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=True)
