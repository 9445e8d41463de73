"""How often the static alchemist's statements are true of real code: read by hand, judged, and kept true.

reads   REAL_DATA_DIR (see tests/conftest.py), judged_facts.json: a verdict a line on a statement about a piece of code
        (the first 20 digits of its SHA-256), without the code; `mended` says what its wording had wrong before

Samples 1 and 2 were read before and between mendings, 3 and 4 after; what is wrong of 1 must never be said again.
"""

import gzip
import hashlib
import json
import random
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dataset_scripts import static_alchemist
from dataset_scripts.asked_language import asked_language
from dataset_scripts.facts_of_code import code_blocks
from dataset_scripts.languages import language_name
from dataset_scripts.static_facts import Reading, read
from dataset_scripts.syntax import LANGUAGES
from tests.dataset_scripts.test_detectors import real_rows

JUDGED = json.loads((Path(__file__).parent / "judged_facts.json").read_text())
HEX_DIGITS = 20  # of a digest that are kept
FRESH = {3: 40, 4: 44}  # the samples drawn after mending: seed -> statements a language
MAX_EXAMPLE_LINES = 90  # that is read in one sitting


class Pair(NamedTuple):
    """A statement about a piece of code, known by its digest."""

    language: str
    fact: str
    sha256: str  # HEX_DIGITS of it


def real_code(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Digest -> (set, language, code) of every different piece of real code in the six languages.

    Fences of answers, joined by language as `static_alchemist.readings` joins them; answers without a fence, in the
    language that the instruction asks for; solutions of HumanEvalPack behind their prompts; files of Java commits.
    """
    return {_digest(code): (name, *rest, code) for name, *rest, code in _pieces(folder)}


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()[:HEX_DIGITS]


def _pieces(folder: Path) -> Iterator[tuple[str, str, str]]:
    for name, instruction, response in real_rows(folder):
        blocks = code_blocks(response)
        by_language = defaultdict(list)
        for tag, code in blocks:
            by_language[language_name(tag)].append(code)
        if not blocks and (asked := asked_language(instruction)):
            by_language[asked].append(response)
        yield from ((name, key, "\n".join(codes)) for key, codes in by_language.items() if key in LANGUAGES)
    for language, short in (("python", "python"), ("javascript", "js"), ("java", "java"), ("cpp", "cpp")):
        for row in _rows(folder / f"humanevalpack/{short}_humanevalpack.jsonl.gz"):
            yield "humanevalpack", language, row["prompt"] + row["canonical_solution"]
    for row in _rows(folder / "commit_samples/smallcommits_java.jsonl.gz"):
        yield "commit_samples", "java", row["new_contents"]


def go_examples() -> dict[str, tuple[str, str, str]]:
    """The same of the examples of the installed Go toolchain's library: the real rows hold six pieces of Go."""
    go = shutil.which("go")
    root = Path(subprocess.run([go, "env", "GOROOT"], capture_output=True, text=True).stdout.strip()) if go else None
    files = sorted(root.glob("src/*/example*_test.go")) if root else []
    codes = [text for path in files if (text := path.read_text(encoding="utf-8")).count("\n") <= MAX_EXAMPLE_LINES]
    return {_digest(code): ("go_library", "go", code) for code in codes}


def _rows(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def statements(found: Reading) -> list[str]:
    """What the static alchemist may say of the code: the facts that hold, and that it names things."""
    functions = any(not name.startswith("main(") for name in found.functions)
    named = {
        "defines": bool(functions or found.methods or found.classes),
        "imports": not static_alchemist.SAY_NOTHING.issuperset(found.modules),
        "raises": bool(found.raises),
    }
    return [*found.facts, *(name for name, is_said in named.items() if is_said)]


def all_pairs(code: dict[str, tuple[str, str, str]]) -> list[Pair]:
    """Every statement about every piece of code that can be read."""
    found = []
    for digest, (_, language, text) in sorted(code.items()):
        if (reading := read(language, text)) and reading.tokens:
            found += [Pair(language, fact, digest) for fact in statements(reading)]
    return found


def drawn(pairs: list[Pair], per_language: int, seed: int) -> list[Pair]:
    """A seeded sample: of every language, one pair of every fact in turn until `per_language` are there."""
    by_language: dict[str, dict[str, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in sorted(pairs):
        by_language[pair.language][pair.fact].append(pair)
    chance, found = random.Random(seed), []
    for language in sorted(by_language):
        facts = by_language[language]
        for name in sorted(facts):
            chance.shuffle(facts[name])
        rounds = max(map(len, facts.values()))
        order = [facts[name][i] for i in range(rounds) for name in sorted(facts) if i < len(facts[name])]
        found += order[:per_language]
    return found


def precision(pairs: list[Pair]) -> dict[str, tuple[int, int]]:
    """Language -> (judged, right) of the statements that are made today."""
    verdicts = {(row["fact"], row["sha256"]): row["right"] for row in JUDGED}
    judged = [(pair.language, verdicts[pair.fact, pair.sha256]) for pair in pairs if pair[1:] in verdicts]
    asked, right = Counter(language for language, _ in judged), Counter(language for language, ok in judged if ok)
    return {language: (asked[language], right[language]) for language in sorted(asked)}


@pytest.mark.slow
def test_statements_about_real_code_are_true(real_data):
    """All of both fresh samples were read, 99 in 100 are true, in all six languages; what was wrong is not said."""
    pairs = all_pairs(real_code(real_data))
    known = {(row["fact"], row["sha256"]) for row in JUDGED}
    fresh = {pair for seed, size in FRESH.items() for pair in drawn(pairs, size, seed)}
    unread = sorted(pair for pair in fresh if pair[1:] not in known)
    assert not unread, f"{len(unread)} statements of the samples were never read, e.g. {unread[:3]}: read them"
    found = precision(pairs)
    assert set(found) == set(LANGUAGES)
    judged, right = map(sum, zip(*found.values(), strict=True))
    assert judged >= 600 and right >= 0.99 * judged, found
    wrong = {(row["fact"], row["sha256"]) for row in JUDGED if not row["right"]}
    assert wrong and not [pair for pair in pairs if pair[1:] in wrong]
