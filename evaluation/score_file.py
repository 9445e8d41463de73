"""A file of samples that anybody made -> result: read (samples/), judged (judge.py), counted (result.py).

reads   the file, the benchmark, evaluation/limits.yaml; writes nothing (evaluate.py and rescore.py do)
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sandbox
from artefacts import ROOT, StrictModel, read_mapping, sha256_of_file, validate
from evaluation import benchmarks, judge, result, samples
from evaluation.judge import Limits
from evaluation.selection import Selection

LIMITS = ROOT / "evaluation" / "limits.yaml"


class SampleLimits(StrictModel):
    """What a sample of somebody else's may use: a benchmark's entry in limits.yaml."""

    cpu_s: float
    wall_s: float
    memory_mib: int
    call_cpu_s: float
    reference_cpu_factor: float
    packages: list[str] | None


def limits_for(benchmark: str) -> tuple[Limits, dict[str, Any]]:
    """The limits for samples of a benchmark, and the same as they go into a result."""
    own = validate(SampleLimits, read_mapping(LIMITS)[benchmark], f"{LIMITS}: {benchmark}")
    per_sample = sandbox.Limits(cpu_s=own.cpu_s, wall_s=own.wall_s, memory_mib=own.memory_mib)
    return Limits(per_sample, own.call_cpu_s, own.reference_cpu_factor, own.packages), own.model_dump()


def score_samples(
    path: Path, benchmark: str, wanted_version: str | None, selection: Selection, lenient: bool = False,
    languages: Sequence[str] = (), decided: dict[str, str] | None = None,
) -> tuple[dict[str, Any], samples.Samples]:  # fmt: skip
    """Score a file of samples; returns the result and what the file holds.

    Raises:
        Refusal: the file or the benchmark cannot be read, or no sandbox works here.
    """
    where = str(path)
    number = benchmarks.version_of(benchmark, wanted_version, where)
    backend = judge.backend()
    whole, problems = selection.of(benchmark, number, languages, where)
    limits, stated = limits_for(benchmark)
    held = samples.read(path, problems, lenient or bool(selection.limit or selection.tasks), decided, whole)
    started = time.monotonic()
    records = judge.judge(problems, held.programs, limits, path.name, selection.workers)
    lacks = benchmarks.absent(benchmark, whole, languages)
    judge.note_no_code(records, held.without_code)
    built = {
        "benchmark": benchmark,
        "version": number,
        "samples": {"path": str(path), "sha256": sha256_of_file(path) if path.is_file() else None, **held.how},
        "odd": held.counted,
        "limits": stated,
        **result.build([p for p in problems if p.task_id in records], records, len(whole), where, lacks),
        "sandbox": backend,
        "seconds": {"all": round(time.monotonic() - started, 1)},
    }
    return built, held
