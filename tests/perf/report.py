"""The report of a large build: seconds, peak memory and size, and how soon a browser paints its pages.

    python tests/perf/report.py [--rows 200000]

A synthetic build of the real schema (seven sources, three tasks, 2 kB a row, 4 % rejected, 5 % copies with a prompt,
evidence on one row in a hundred) with what would be packed of its rejected rows; making it is not timed. Then
`python -m analysis.report`, and each page in headless Chromium from its folder, where there is one. Limits of the
project: 3 minutes on 2 cores, 25 MB, first paint under 2 s; the command exits with 1 where one is broken.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from artefacts import ROOT, write_json  # noqa: E402
from dataset_scripts import ledger  # noqa: E402
from dataset_scripts.schema import SCHEMA  # noqa: E402
from tests.analysis import browser  # noqa: E402
from tests.analysis.conftest import evidence, prompted  # noqa: E402

LIMIT_S, LIMIT_MB, LIMIT_PAINT_S = 180, 25, 2
SOURCES = ("evol", "exercise", "alpaca", "commits", "dialogues", "self_instruct", "stdlib")
LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
STAGES = ("01_sources", "03_clean", "04_decontaminate", "08_customise", "09_mixture")
ROWS_PER_SHARD, BODIES = 2000, 1000
# what `python -m analysis.report` runs; then how long its main thread ran and waited for a core (ns), and how often
REPORT = """
import sys
sys.argv = sys.argv[1:]
from analysis import report
report.main()
print(open("/proc/thread-self/schedstat").read())
"""
VOCABULARY = [f"word{n}" for n in range(5000)]


def rows(numbers: range, bodies: list[tuple[str, str]], reasons: tuple[str | None, ...] = (None,)) -> list[dict]:
    """Rows of about 2 kB, each different from all others."""
    found = []
    for n in numbers:
        instruction, response = bodies[n % len(bodies)]
        row = {"id": f"{n:020x}", "source": SOURCES[n % 7], "license": "MIT", "generator": ("human", "gpt-4")[n % 2],
               "language": LANGUAGES[n % 6], "task": ("generation", "commit", "code_review")[n % 3],
               "instruction": f"Task {n}: {instruction}", "response": response.replace("NAME", f"f_{n}"),
               "alchemist_prompt": None, "parents": [], "reason": reasons[n % len(reasons)]}  # fmt: skip
        found.append(row | dict.fromkeys(("instruction", "response")) if row["reason"] == "secret" else row)
    return found


def body(noise: random.Random) -> tuple[str, str]:
    """The words of an instruction and of a response that holds 25 lines of code."""
    words = noise.choices(VOCABULARY, k=220)
    lines = "\n".join(f"    x_{i} = {words[i]}({i}, {words[-i]!r})" for i in range(1, 25))
    text = f"Here it is.\n\n```python\ndef NAME(x):\n{lines}\n```\n{' '.join(words[60:])}"
    return f"{' '.join(words[:60])}.", text


def write_shards(folder: Path, kind: str, table: pa.Table) -> None:
    """Shards of 2,000 rows, as a build has them."""
    (folder / kind).mkdir(parents=True)
    for number, start in enumerate(range(0, len(table), ROWS_PER_SHARD)):
        shard = table.slice(start, ROWS_PER_SHARD)
        pq.write_table(shard, folder / kind / f"{number:05d}.parquet", compression="zstd")


def synthetic(folder: Path, count: int) -> Path:
    """Write the build and what is packed of its rejected rows; returns its folder."""
    noise, build = random.Random(0), folder / "large"
    bodies = [body(noise) for _ in range(BODIES)]
    kept = rows(range(count), bodies)
    rejected = rows(
        range(count, count + count // 25), bodies, ("does_not_compile", "short", "near_duplicate", "secret")
    )
    copies = [prompted(row, "Write it with a loop, and name what it returns.") for row in kept[::20]]
    ids = pa.array([row["id"] for row in kept])
    close = [[evidence(decides=None)] if n % 100 == 0 else [] for n in range(count)]
    facts = {
        "04_decontaminate": pa.table({"id": ids, "evidence": close, "borderline": [bool(one) for one in close]}),
        "08_customise": pa.table({"id": ids, "alchemist": ["static"] * count, "concepts": [["sorting"]] * count}),
    }
    write_shards(build / STAGES[0], "kept", pa.Table.from_pylist(kept, schema=SCHEMA))
    write_shards(build / "03_clean", "rejected", pa.Table.from_pylist(rejected, schema=SCHEMA))
    ledgers = []
    for stage in STAGES:
        if stage != STAGES[0]:
            shutil.copytree(build / STAGES[0] / "kept", build / stage / "kept", copy_function=os.link)
        if stage in facts:
            write_shards(build / stage, "facts", facts[stage])
        gone = rejected if stage in STAGES[:2] else []  # 01_sources has them as kept ones
        counts = Counter(
            (row["source"], None if stage == STAGES[0] else row["reason"], False) for row in [*kept, *gone]
        )
        counts.update((row["source"], None, True) for row in copies if stage == STAGES[-1])
        ledgers.append(ledger.add_up(stage, [[*key, n] for key, n in counts.items()]))
        write_json(build / stage / "ledger.json", ledgers[-1])
        write_json(build / stage / "manifest.json", {"key": stage, "digest": stage, "notes": {}, "shards": []})
    last = build / STAGES[-1] / "kept"
    pq.write_table(pa.Table.from_pylist(copies, schema=SCHEMA), last / "99999.parquet", compression="zstd")
    write_json(build / "mixture.json", {"name": "large", "file": "large.yaml", "stages": list(STAGES)})
    packed = folder / "hub/datasets/large"
    write_shards(packed, "rejected", pa.Table.from_pylist(rejected, schema=SCHEMA))
    write_json(packed / "release.json", {"ledgers": ledgers})
    return build


def measure(build: Path) -> tuple[float, float]:
    """Run the command; prints and returns seconds and MB."""
    before = time.monotonic()
    command = [sys.executable, "-c", REPORT, "report", str(build)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, used = time.monotonic() - before, resource.getrusage(resource.RUSAGE_CHILDREN)
    waited_s = int(done.stdout.split()[-2]) / 1e9
    size = sum(path.stat().st_size for path in (build / "report").rglob("*") if path.is_file()) / 1e6
    cpu_s, peak_mib = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(
        f"  {seconds:.1f} s ({cpu_s:.1f} cpu-s; the main thread waited {waited_s:.1f} s for a core), peak "
        f"{peak_mib:,.0f} MiB, {size:.1f} MB",
        flush=True,
    )
    return seconds, size


def paint(site: Path) -> float:
    """First contentful paint and load of every page from its folder, in s; the slowest paint is returned."""
    slowest = 0.0
    with browser.Browser() as window:  # not counted: the first browser of a machine is read from its disk
        window.open(site / "index.html")
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
