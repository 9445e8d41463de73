"""HumanEval-X (CodeGeeX, arXiv 2303.17568): HumanEval by hand in Python, JavaScript, Java, Go, C++ and Rust."""

import re
from pathlib import Path
from typing import Any

from evaluation.benchmarks import Problem
from evaluation.benchmarks.files import File, GitHub, data_folder, in_folder, read

_REPO, _COMMIT = "THUDM/CodeGeeX", "2838420b7b4492cf3d16bce5320e26e65960c9e2"
_SHA256 = {
    "python": "5752fb122efddb0e9b47c77907ae6ce9a15aac4dea14e44c46032c831e6b987a",
    "js": "fe5d467f2c1a027b3f6f18d3729aca01f6458c1de2e2d1292a019c5aa9bed424",
    "java": "276f36db2eb7aeb864f36a19a2f4e1bb2460fb6e22ff100f0b5bedabe3799967",
    "go": "09126ef64ac68f87296c5f3781186aedc5dec799b114d9df99d6de4a715a7830",
    "cpp": "dcf2e280a1e91bbc3c5f90edb41397e8a9ac1ccc9f5d2b70082f0b0fbfb6dbb0",
    "rust": "ae5cabbbfc8fe25244a608b04f09ac3b324c645ac969dfc033756c12f0f9924c",
}
LANGUAGES = {
    "python": "python", "js": "javascript", "java": "java", "go": "go", "cpp": "cpp", "rust": "rust",
}  # the benchmark's name -> the sandbox's  # fmt: skip
FILES = {
    short: File(
        (f"humaneval_{short}.jsonl.gz", f"humaneval_{short}.jsonl"),
        GitHub(_REPO, _COMMIT, f"codegeex/benchmark/humaneval-x/{short}/data/humaneval_{short}.jsonl.gz", digest),
        164,
    )
    for short, digest in _SHA256.items()
}
VERSIONS = ("v1",)
ITEMS = 6 * 164
PARTS = dict.fromkeys(LANGUAGES.values(), 164)
_NAME = {
    "python": r"^def\s+(\w+)",
    "js": r"^(?:const|let|function)\s+(\w+)",
    "java": r"(\w+)\s*\([^()]*\)\s*(?:throws \w+\s*)?\{",
    "go": r"^func\s+(\w+)",
    "cpp": r"(\w+)\s*\([^()]*\)\s*\{",
    "rust": r"^\s*(?:pub\s+)?fn\s+(\w+)",
}


def entry_point(declaration: str, short: str) -> str:
    """Name of the function that a declaration ends with.

    >>> entry_point("import java.util.*;\\nclass Solution {\\n    public int addTwo(int a, int b) {\\n", "java")
    'addTwo'
    """
    found = re.findall(_NAME[short], declaration, re.MULTILINE)
    found = [name for name in found if name not in ("for", "if", "while")]
    return found[-1] if found else ""


# what a Go solution may use without an import of its own, as in CodeGeeX's evaluation
GO_PACKAGES = ("math", "strings", "fmt", "strconv", "time", "bytes", "regexp", "sort", "math/rand", "crypto/md5")
_GO_IMPORTS = re.compile(r"^import[ \t]*(?:\(([^)]*)\)|([^\n]*))[ \t]*\n?", re.MULTILINE)


def go_program(program: str, problem: Problem) -> str:
    """A Go program below the test's package line, with one list of imports; one that has that line's is left as it is.

    Go compiles neither a package that is imported twice nor one that is not used, and the prompt's imports are both:
    they are kept where program or test need them. Those that the program adds are its own, used or not.
    """
    head = str(problem.extra.get("test_setup", ""))
    if not head.strip() or '"testing"' in program:
        return program

    def imports(text: str) -> list[str]:
        return [line.strip() for found in _GO_IMPORTS.findall(text) for line in "".join(found).split("\n")]

    def name(line: str) -> str:
        return line.rsplit("/", 1)[-1].strip('"')

    body = re.sub(r"^package \w+\s*", "", _GO_IMPORTS.sub("", program), flags=re.MULTILINE)
    used = re.sub(r"//[^\n]*", "", f"{body}\n{problem.test}")
    given, own = [*imports(head), *imports(problem.prompt)], imports(program)
    may = [*given, *(f'"{package}"' for package in GO_PACKAGES if name(package) not in map(name, own))]
    needed = [line for line in may if re.search(rf"\b{re.escape(name(line))}\.", used)]
    needed += [line for line in own if line not in given]
    lines = "".join(f"    {line}\n" for line in dict.fromkeys(needed) if line)
    return f"package main\n\nimport (\n{lines})\n\n{body}"


def available(files: dict[str, File], folder: Path | None, benchmark: str) -> dict[str, list[dict[str, Any]]]:
    """Rows by language: all six of the pinned origin, or those that a folder has (`benchmarks.absent` names the rest).

    Raises:
        Refusal: the folder has none of them, or an origin does not answer.
    """
    known = data_folder(folder)
    there = [short for short, file in files.items() if known and in_folder(known, file.names)]
    return {short: read(files[short], folder, f"{benchmark} {short}") for short in there or files}


def _prompt(row: dict[str, Any], short: str) -> str:
    """What a solution continues. Rust's rows have the docstring alone there, and it stands within the function."""
    return row["declaration"] + row["prompt"] if short == "rust" else row["prompt"]


_TWO_ARGUMENTS = re.compile(r"\bgen_range\(([^(),]+), ([^(),]+)\)")


def judged_test(row: dict[str, Any], short: str) -> str:
    """A row's test. Rust's 32 and 50 are written for a crate `rand` before 0.8, which took no range.

    >>> judged_test({"test": "rng.gen_range(b'a', b'z' + 1)"}, "rust")
    "rng.gen_range(b'a'..b'z' + 1)"
    """
    return _TWO_ARGUMENTS.sub(r"gen_range(\1..\2)", row["test"]) if short == "rust" else row["test"]


def load(folder: Path | None = None, version: str = VERSIONS[0]) -> list[Problem]:
    """164 problems a language, of the languages that can be had.

    Raises:
        Refusal: none can be had.
    """
    return [
        Problem(
            row["task_id"], _prompt(row, short), row["canonical_solution"], judged_test(row, short),
            entry_point(row["declaration"], short), LANGUAGES[short],
            extra={name: row[name] for name in ("declaration", "example_test", "import", "test_setup") if name in row},
        )
        for short, rows in available(FILES, folder, "humaneval_x").items()
        for row in rows
    ]  # fmt: skip
