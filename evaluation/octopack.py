"""HumanEvalPack by the rules that its published scores rest on: where a generation ends, what is put around it.

    cut("    return 1\\n\\nprint(f())", "python", ["\\nprint"])  ->  "    return 1\\n"
    program(prompt + cut(...), problem)                          ->  the program that is judged, in six languages

The rules are those of bigcode-evaluation-harness (`bigcode_eval/tasks/humanevalpack.py` at 8fc5bae6), the odd ones
included: a score beside a published one must come from the same programs. docs/evaluation.md says what differs.
"""

import re
from collections.abc import Sequence

from evaluation.benchmarks import Problem
from evaluation.benchmarks.humaneval_x import GO_PACKAGES

_PYTHON_IMPORTS = (
    "import math", "import re", "import sys", "import copy", "import datetime", "import itertools",
    "import collections", "import heapq", "import statistics", "import functools", "import hashlib", "import numpy",
    "import numpy as np", "import string", "from typing import *", "from collections import *",
)  # fmt: skip
_CPP_HEADERS = (
    "stdlib.h", "algorithm", "cmath", "math.h", "numeric", "stdio.h", "vector", "set", "map", "queue", "stack", "list",
    "deque", "boost/any.hpp", "string", "climits", "cstring", "iostream", "sstream", "fstream",
)  # fmt: skip
_RUST_MAIN = "fn main(){}\n"
_QUOTED_CHARS = 20  # a line of the solution that is longer may not stand in a description


def declaration(problem: Problem) -> str:
    """What a solution continues where no docstring is shown; Rust's needs a `main` above it."""
    text = str(problem.extra.get("declaration", problem.prompt))
    return _RUST_MAIN + text if problem.language == "rust" else text


def _until(text: str, stops: Sequence[str]) -> str:
    ends = [at for at in map(text.find, stops) if at >= 0]
    return text[: min(ends)] if ends else text


def description(answer: str, problem: Problem, stops: Sequence[str]) -> str:
    """What is kept of a model's explanation: no longer than the docstring, without lines of the solution.

    First it is shortened, then cut at `stops`, then lines of the solution of over 20 characters are taken out.
    """
    text = _until(answer.strip()[: len(str(problem.extra["docstring"]))], stops).rstrip()
    for line in map(str.strip, problem.solution.split("\n")):
        if len(line) > _QUOTED_CHARS:
            text = text.replace(line, "")
    return text


def cut(generation: str, language: str, stops: Sequence[str]) -> str:
    """A generation up to the end of the function that the prompt began.

    Python ends at the first line that is not indented; elsewhere at the brace that closes the function (Java: the
    class). Braces in strings and comments count. Without that brace the last one there is ends it.
    """
    text = _until(generation.rstrip(), stops)
    if language == "python":
        lines = text.split("\n")
        ends = [n for n, line in enumerate(lines) if line.strip() and line[0] not in " \t"]
        return "\n".join(lines[: ends[0]]) if ends else text
    depth = 2 if language == "java" else 1
    for brace in re.finditer("[{}]", text):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[: brace.end()]
    if language == "java" and "public static void main" in text:
        text = text[: text.find("public static void main")] + "}"
    text = text[: text.rfind("}") + 1] or text
    open_class = language == "java" and text.count("{") - 1 == text.count("}")
    return text + "\n}" if open_class else text


def program(code: str, problem: Problem) -> str:
    """The program that is judged: imports, and what else a language needs around the shown code and its continuation.

    Args:
        code: prompt or declaration without its last line's end, then the generation, cut.
    """
    around = {"python": _python, "java": _java, "go": _go, "cpp": _cpp, "rust": _rust}.get(problem.language)
    return around(code, problem) if around else code


def _python(code: str, problem: Problem) -> str:
    # loading numpy takes longer than most tasks, and only a program that names it can tell
    lines = [line for line in _PYTHON_IMPORTS if "numpy" not in line or re.search(r"\b(np|numpy)\b", code)]
    return "\n".join([*lines, code]).strip()


def _cpp(code: str, problem: Problem) -> str:
    # boost may be missing, and only a program that names it can tell
    headers = [name for name in _CPP_HEADERS if "boost" not in name or "boost" in code + problem.test]
    lines = ["using namespace std;", *(f"#include<{name}>" for name in headers), code.split("int main")[0]]
    return "\n".join(lines).strip()


def _java(code: str, problem: Problem) -> str:
    return code.replace("public class Main {\n    }", "").strip()


def _go(code: str, problem: Problem) -> str:
    """The test's head without what the code imports itself, then packages that are used and not imported."""
    head = str(problem.extra["test_setup"]) + "\n"
    for line in head.split("\n"):
        name = re.sub(r"import|[()]", "", line).strip()
        if name.startswith('"') and name in code:
            head = head.replace(name, "")
    whole = f"{head}{code}\n\n{problem.test}"
    statements = [line for line in whole.split("\n") if not line.strip().startswith("//")]
    missing = []
    for package in GO_PACKAGES:
        name = package.rsplit("/", 1)[-1]  # imported by its last part: what needs math/rand does not compile
        if f'"{package}"' not in whole and any(f"{name}." in line for line in statements):
            missing.append(f'    "{name}"\n')
    if "package main" in head:
        code = code.replace("package main", "")
    return head + (f"import (\n{''.join(missing)})\n" if missing else "") + code


def _rust(code: str, problem: Problem) -> str:
    """`main` and lines of the declaration that the code lacks; a second `main` and what follows it go."""
    lines = [] if "fn main()" in code else [_RUST_MAIN]
    for line in map(str.strip, str(problem.extra["declaration"]).split("\n")):
        if line not in code and not (line.startswith("fn") and line.split("(")[0] in code):
            lines.append(line + "\n")
    return "".join(lines) + "fn main()".join(code.split("fn main()")[:2])
