"""Numbers out of verdicts: pass@k, its standard error, and what a difference between two runs means.

pass_at_k(10, 3, 1)  ->  0.3
"""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

FEW_PROBLEMS = 100  # below this the standard error at 50 % exceeds 5 points
BOOTSTRAP_ROUNDS = 10_000


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased chance that at least one of k samples passes (Chen et al. 2021), 1 - C(n - c, k) / C(n, k).

    >>> round(pass_at_k(100, 5, 10), 4)
    0.4162
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {passed} passed among {samples} samples makes no sense")
    if samples - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(samples - passed + 1, samples + 1))


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean of one value a task; for 0/1 results it is sqrt(p (1 - p) / n).

    >>> round(standard_error([1] * 123 + [0] * 41), 3)
    0.034
    """
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values)) / len(values)


def score(counts: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Scores of a run.

    Args:
        counts: task id -> (samples, passed), at least one task.

    Returns:
        problems, passed (tasks, as the mean number for several samples), pass_at_1, standard_error, and pass_at_k
        with an error each for those k of 1, 10 and 100 that every task has samples for.
    """
    least = min(samples for samples, _ in counts.values())
    by_k = {}
    for k in (k for k in (1, 10, 100) if k <= least):
        values = [pass_at_k(samples, passed, k) for samples, passed in counts.values()]
        by_k[str(k)] = {"value": math.fsum(values) / len(values), "standard_error": standard_error(values)}
    mean = by_k["1"]["value"]
    return {
        "problems": len(counts),
        "passed": round(mean * len(counts), 2) if least > 1 else sum(passed for _, passed in counts.values()),
        "pass_at_1": mean,
        "standard_error": by_k["1"]["standard_error"],
        "pass_at_k": by_k,
    }


def noise(problems: int, error: float) -> float:
    """How far a score may lie from the true one (about 95 %): two standard errors.

    Where all problems end alike nothing is known of the spread; then 3 / n, by which no other outcome among n is
    explained at 95 % (the rule of three).

    >>> noise(164, 0.03), round(noise(10, 0.0), 2)
    (0.06, 0.3)
    """
    return 2 * error if error else min(1.0, 3 / problems)


def caveat(problems: int, error: float) -> str:
    """How sure one score is; what a difference of two means is for `paired_bootstrap`, of the same tasks."""
    if not error:
        return f"All {problems} problems end alike: the true score may be {100 * noise(problems, 0):.1f} points away."
    own = f"its own standard error is {100 * error:.1f} points"
    if problems >= FEW_PROBLEMS:
        return f"{own[0].upper()}{own[1:]}; whether it differs from another, make compare says, task by task."
    return f"{problems} problems cannot show a gain: {own}."


def sign_flip_p(gains: Sequence[float], draw: random.Random, rounds: int = BOOTSTRAP_ROUNDS) -> float:
    """How often runs that do not differ would be at least so far apart, either way (paired, two-sided).

    Had a task's two results been exchanged, its gain had the other sign. Where all gains that are not 0 are of one
    size (one sample a task) that is counted exactly, else drawn.

    >>> round(sign_flip_p([-1] * 7 + [0] * 157, random.Random(0)), 4)  # 2 / 2 ** 7
    0.0156
    """
    moved = [gain for gain in gains if gain]
    if len({abs(gain) for gain in moved}) <= 1:
        rarer = min(sum(gain > 0 for gain in moved), sum(gain < 0 for gain in moved))
        return min(1.0, 2 * sum(math.comb(len(moved), k) for k in range(rarer + 1)) / 2 ** len(moved))
    found = abs(math.fsum(moved)) - 1e-9
    further = sum(abs(sum(gain if draw.random() < 0.5 else -gain for gain in moved)) >= found for _ in range(rounds))
    return (further + 1) / (rounds + 1)


def mean_of_parts(first: Mapping[str, float], second: Mapping[str, float], parts: Mapping[str, str]) -> dict[str, Any]:
    """Difference second - first of the means over parts of a set, each part counting the same.

    Args:
        first, second: share by task, of the same tasks.
        parts: task -> its part; of all tasks.

    Returns:
        first, second, difference, its standard_error over tasks within their parts, low and high (1.96 standard errors
        to either side), and `parts`: the same of each part without an interval, with its number of tasks. Errors and
        interval are None where a part has one task only, or no task moved otherwise than its part: nothing is known
        of the spread then.
    """
    tasks: dict[str, list[str]] = {}
    for task in first:
        tasks.setdefault(parts[task], []).append(task)
    found = {}
    for name, own in tasks.items():
        gains = [second[task] - first[task] for task in own]
        found[name] = {
            "tasks": len(own),
            "first": math.fsum(first[task] for task in own) / len(own),
            "second": math.fsum(second[task] for task in own) / len(own),
            "difference": math.fsum(gains) / len(own),
            "standard_error": standard_error(gains) if len(own) > 1 else None,
        }
    whole = {
        key: math.fsum(part[key] for part in found.values()) / len(found) for key in ("first", "second", "difference")
    }
    errors = [part["standard_error"] for part in found.values()]
    error = None if None in errors else math.sqrt(math.fsum(own**2 for own in errors)) / len(found) or None
    low, high = (error and whole["difference"] + sign * 1.96 * error for sign in (-1, 1))
    return {**whole, "standard_error": error, "low": low, "high": high, "parts": found}


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], seed: int = 0, rounds: int = BOOTSTRAP_ROUNDS
) -> dict[str, float]:
    """Difference second - first of two runs on the same tasks, with its 95 % interval.

    Tasks are drawn again with replacement, the same for both runs.

    Returns:
        difference, its standard_error over tasks, low, high, and `p` (`sign_flip_p`: not of the draws, which hold no
        other tasks than these, and so are too sure where few tasks changed).

    Raises:
        ValueError: the runs do not pair up, or hold nothing.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} tasks do not pair up")
    gains = [b - a for a, b in zip(first, second, strict=True)]
    count, draw = len(gains), random.Random(seed)
    means = sorted(math.fsum(draw.choices(gains, k=count)) / count for _ in range(rounds))
    return {
        "difference": math.fsum(gains) / count,
        "standard_error": standard_error(gains),
        "low": means[int(0.025 * rounds)],
        "high": means[min(int(0.975 * rounds), rounds - 1)],
        "p": sign_flip_p(gains, random.Random(seed), rounds),
    }
