"""The static reviewer: findings, scores and refined Python out of ruff, for nothing and offline.

reads   pieces of Python; writes them into a temporary folder and has ruff look at them there

Ruff parses and never executes. Many pieces go through one call, since a process a row would take most of the time;
where a call fails, halves of it are tried until the piece that it fails on stands alone. Four calls: findings, safe
fixes, layout, and the findings that are left, which tells the suggestions that the refined code follows from those
that are up to the author.

Scores, by rule and not by judgement:

    correctness  10 where the code's own tests pass, 8 where nothing was run; 2 less for each rule of BUGS that it
                 breaks, however often; at least 1
    clarity      10; 1 less for each rule of CLARITY that it breaks, 1 less where the formatter changes more than a
                 quarter of the lines, another 1 where it changes more than half; at least 1, and at most
                 9 where anything is found or laid out anew
"""

import difflib
import functools
import json
import re
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from artefacts import Refusal

BUGS = (
    "B002", "B003", "B005", "B006", "B008", "B012", "B015", "B016", "B017", "B018", "B020", "B021", "B023", "B025",
    "B029", "B030", "B031", "B032", "B035", "B904", "E722", "F502", "F503", "F504", "F505", "F506", "F507", "F508",
    "F509", "F521", "F522", "F523", "F524", "F525", "F601", "F602", "F632", "F702", "F704", "F706", "F707", "F811",
    "F821", "F822", "F823", "F901", "PLE", "SIM115", "W605",
)  # fmt: skip
CLARITY = (
    "B007", "B009", "B010", "B011", "B013", "B014", "B033", "C400", "C401", "C402", "C403", "C404", "C405", "C406",
    "C408", "C409", "C410", "C411", "C413", "C414", "C416", "C417", "C418", "C419", "E401", "E701", "E702", "E703",
    "E711", "E712", "E713", "E714", "E721", "E731", "E741", "F401", "F541", "F841", "FLY002", "PERF401", "PERF403",
    "PIE790", "PIE794", "PIE796", "PIE804", "PIE808", "PIE810", "PLR1711", "PLR1714", "PLR5501", "RET503",
    "SIM101", "SIM102", "SIM103", "SIM110", "SIM113", "SIM114", "SIM118", "SIM201", "SIM202", "SIM208", "SIM210",
    "SIM211", "SIM212", "SIM220", "SIM221", "SIM222", "SIM223", "SIM300", "SIM401", "UP006", "UP007", "UP008",
    "UP030", "UP031", "UP032", "UP034", "UP035", "UP039", "UP045",
)  # fmt: skip
# What judges provide without an import, and the interpreter's own names
_GIVEN = ("List", "Dict", "Set", "Tuple", "Optional", "Any", "Union", "TreeNode", "ListNode", "display", "get_ipython")
_OPTIONS = ("--isolated", "--no-cache", "--quiet", "--config", "target-version = 'py311'")
_SELECTED = (
    "--select", ",".join((*BUGS, *CLARITY)), "--config", f"builtins = {list(_GIVEN)}", "--ignore-noqa",
)  # fmt: skip
TIMEOUT_S = 300.0  # of one call: a guard against a hang, not a limit that a verdict depends on


@dataclass(frozen=True)
class Finding:
    """One thing that ruff says: the line counts from 1; `rule` such as F401."""

    line: int
    rule: str
    text: str

    @property
    def is_bug(self) -> bool:
        return self.rule.startswith(BUGS)


@dataclass(frozen=True)
class Reading:
    """What ruff made of one piece of code.

    Attributes:
        findings: in order of lines.
        mended: those of them that the refined code does not show any more.
        refined: after safe fixes and layout; ends with a line break.
    """

    findings: tuple[Finding, ...]
    mended: frozenset[Finding]
    refined: str


def read_all(codes: list[str]) -> list[Reading | None]:
    """A reading for every piece, in order; None for one that ruff cannot parse, or fails on.

    Raises:
        Refusal: ruff is not there.
    """
    if not codes:
        return []
    with tempfile.TemporaryDirectory(prefix="static_reviewer_") as folder:
        paths = [Path(folder) / f"{number:06d}.py" for number in range(len(codes))]
        for path, code in zip(paths, codes, strict=True):
            path.write_text(
                code if code.endswith("\n") else f"{code}\n", encoding="utf-8", errors="replace", newline=""
            )
        try:
            before = _findings(folder)
            _ruff("check", "--fix-only", *_SELECTED, folder)
            # a piece that does not parse: check has said so, format complains of it again
            _ruff("format", folder, fails=(0, 2))
            after = _findings(folder)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, ValueError):
            if len(codes) == 1:
                return [None]
            half = len(codes) // 2
            return read_all(codes[:half]) + read_all(codes[half:])
        return [_reading(path, before.get(path.name, []), after.get(path.name, [])) for path in paths]


def _reading(path: Path, before: list[Finding], after: list[Finding]) -> Reading | None:
    if any(finding.rule in ("", "E999", "invalid-syntax") for finding in before):
        return None
    left = [(finding.rule, finding.text) for finding in after]
    mended = {finding for finding in before if (finding.rule, finding.text) not in left}
    return Reading(tuple(before), frozenset(mended), path.read_text(encoding="utf-8"))


def _findings(folder: str) -> dict[str, list[Finding]]:
    """File name -> findings in order of lines; one that does not parse has a finding of no rule."""
    said = json.loads(_ruff("check", "--output-format=json", "--exit-zero", *_SELECTED, folder))
    found: dict[str, list[Finding]] = {}
    for entry in sorted(said, key=lambda e: (e["filename"], e["location"]["row"], e["location"]["column"])):
        finding = Finding(entry["location"]["row"], entry["code"] or "", entry["message"])
        found.setdefault(Path(entry["filename"]).name, []).append(finding)
    return found


def _ruff(command: str, *arguments: str, fails: Collection[int] = (0,)) -> str:
    done = subprocess.run(
        [binary(), command, *_OPTIONS, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode not in fails:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


@functools.cache
def binary() -> str:
    """Path of ruff.

    Raises:
        Refusal: it is not installed.
    """
    try:
        from ruff import find_ruff_bin

        return find_ruff_bin()
    except (ImportError, FileNotFoundError):
        raise Refusal("the static reviewer needs ruff, which is not installed; run `make install`.") from None


def about(findings: Collection[Finding], known_words: Collection[str]) -> list[Finding]:
    """The findings without names that are undefined in the code, but known from the task or what tests set up."""
    return [
        finding for finding in findings
        if finding.rule != "F821" or not (name := re.search(r"`([^`]+)`", finding.text)) or name[1] not in known_words
    ]  # fmt: skip


def correctness(findings: Collection[Finding], tests_pass: bool) -> int:
    """0 to 10, see the head of this file."""
    return max(1, (10 if tests_pass else 8) - 2 * len({f.rule for f in findings if f.is_bug}))


def clarity(findings: Collection[Finding], code: str, refined: str) -> int:
    """0 to 10, see the head of this file."""
    flawless = not findings and code.strip("\n") == refined.strip("\n")
    lost = len({f.rule for f in findings if not f.is_bug}) + poor_layout(code, refined)
    return 10 if flawless else max(1, 10 - max(1, lost))


def poor_layout(code: str, refined: str) -> int:
    """0, 1 or 2: what layout costs in clarity."""
    changed = layout_change(code, refined)
    return (changed > 0.25) + (changed > 0.5)


def layout_change(code: str, refined: str) -> float:
    """Share of the lines of `code` that do not stand in `refined` as they are; blank lines do not count."""
    one, other = ([line.rstrip() for line in text.split("\n") if line.strip()] for text in (code, refined))
    if not one:
        return 0.0
    same = sum(block.size for block in difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
    return 1 - same / len(one)


def layout(code: str, refined: str) -> str:
    """In words what the formatter changed."""
    lines, after = code.split("\n"), refined.split("\n")
    found = {
        "blank lines around definitions": sum(not line.strip() for line in lines)
        < sum(not li.strip() for li in after),
        "double quotes": code.count("'") > refined.count("'"),
        "four spaces of indentation": any("\t" in line or _indent(line) % 4 for line in lines if line.strip()),
        "no blanks at the ends of lines": any(line != line.rstrip() for line in lines),
        "lines of at most 88 characters": any(len(line) > 88 for line in lines) and len(after) > len(lines),
        "fewer blank lines": sum(not line.strip() for line in lines) > sum(not li.strip() for li in after),
    }
    named = [what for what, holds in found.items() if holds] or ["blanks around operators and commas"]
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
