"""The report of a large build: seconds, peak memory and size, and how soon a browser paints its pages.

    python tests/perf/report.py [--rows 200000]

A synthetic build of the real schema (seven sources, three tasks, 2 kB a row, 4 % rejected, 5 % copies with a prompt,
evidence on one row in a hundred), packed as the real one would be; neither is timed. Then `python -m analysis.report`,
and each page in headless Chromium from its folder, where there is one. Limits of the project: 3 minutes on 2 cores,
25 MB, first paint under 2 s; the command exits with 1 where one is broken.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from artefacts import ROOT  # noqa: E402
from model_cards.dataset_repository import pack_dataset  # noqa: E402
from tests.analysis import browser  # noqa: E402
from tests.analysis.conftest import evidence, prompted  # noqa: E402
from tests.model_cards.toy_build import toy_row, write_build, write_stage  # noqa: E402

LIMIT_S, LIMIT_MB, LIMIT_PAINT_S = 180, 25, 2
SOURCES = ("evol", "exercise", "alpaca", "commits", "dialogues", "self_instruct", "stdlib")
LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
VOCABULARY = [f"word{n}" for n in range(5000)]


def row(n: int, noise: random.Random, **changes) -> dict:
    """A row of about 2 kB, different from all others."""
    words = noise.choices(VOCABULARY, k=220)
    lines = "\n".join(f"    x_{i} = {words[i]}({i}, {words[-i]!r})" for i in range(1, 25))
    changes |= {"instruction": f"Task {n}: {' '.join(words[:60])}.",
                "response": f"Here it is.\n\n```python\ndef f_{n}(x):\n{lines}\n```\n{' '.join(words[60:])}",
                "source": SOURCES[n % 7], "language": LANGUAGES[n % 6], "generator": ("human", "gpt-4")[n % 2],
                "task": ("generation", "commit", "code_review")[n % 3]}  # fmt: skip
    return toy_row(n) | changes | {"id": f"{n:020x}"}


def synthetic(folder: Path, count: int) -> Path:
    """Write the build and pack it; returns its folder."""
    noise = random.Random(0)
    kept = [row(n, noise) for n in range(count)]
    copies = [prompted(kept[n], "Write it with a loop, and name what it returns.") for n in range(0, count, 20)]
    some = range(count, count + count // 25)
    rejected = [row(n, noise, reason=("does_not_compile", "short", "near_duplicate", "secret")[n % 4]) for n in some]
    for one in rejected:
        if one["reason"] == "secret":
            one |= dict.fromkeys(("instruction", "response"))
    build = write_build(folder / "large", [*kept, *copies], rejected=rejected)
    facts = [{"id": r["id"], "evidence": [evidence(decides=None)] if n % 100 == 0 else [], "borderline": n % 100 == 0}
             for n, r in enumerate(kept)]  # fmt: skip
    write_stage(build, "04_decontaminate", kept, [], {"config": {}}, facts)
    write_stage(
        build, "08_customise", kept, [], {"config": {}}, [{"id": r["id"], "alchemist": "static"} for r in kept]
    )
    pack_dataset(build, folder / "hub")
    return build


def measure(build: Path) -> tuple[float, float]:
    """Run the command; prints and returns seconds and MB."""
    before = time.monotonic()
    subprocess.run([sys.executable, "-m", "analysis.report", str(build)], cwd=ROOT, check=True, capture_output=True)
    seconds, used = time.monotonic() - before, resource.getrusage(resource.RUSAGE_CHILDREN)
    size = sum(path.stat().st_size for path in (build / "report").rglob("*") if path.is_file()) / 1e6
    cpu_s, peak_mib = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"  {seconds:.1f} s ({cpu_s:.1f} cpu-s), peak {peak_mib:,.0f} MiB, {size:.1f} MB", flush=True)
    return seconds, size


def paint(site: Path) -> float:
    """First contentful paint and load of every page from its folder, in s; the slowest paint is returned."""
    slowest = 0.0
    for page in sorted(site.glob("*.html")):
        with browser.Browser() as window:  # a fresh profile: nothing is in a cache
            window.open(page)
            while not (painted := window.run(PAINTED)):  # what is drawn after the load is noted a moment later
                time.sleep(0.05)
            loaded = window.run("return performance.getEntriesByType('navigation')[0].loadEventEnd")
        print(f"  {page.name:12} painted {painted / 1000:.2f} s, loaded {loaded / 1000:.2f} s", flush=True)
        slowest = max(slowest, painted / 1000)
    return slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    given = parser.parse_args()
    print(f"{given.rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, pyarrow {pa.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        build = synthetic(Path(folder), given.rows)
        seconds, size = measure(build)
        slowest = 0.0 if browser.MISSING else paint(build / "report")
    if browser.MISSING:
        print(f"  not painted: {browser.MISSING}")
    return int(seconds > LIMIT_S or size > LIMIT_MB or slowest > LIMIT_PAINT_S)


if __name__ == "__main__":
    raise SystemExit(main())
