'''Documented functions and methods of the running Python's standard library: the docstring asks, the code answers.

Real code by many hands that every machine with Python already has: the demo needs no download. The instruction is
written from name, signature and docstring; the response is the code. The files are read, not imported.

    heapq.nsmallest  ->  Write the Python function `nsmallest(n, iterable, key=None)` of the module `heapq`.

                         Find the n smallest elements in a dataset. ...
                     <-  ```python
                         def nsmallest(n, iterable, key=None):
                             """Find the n smallest elements in a dataset. ...
'''

import ast
import platform
import random
import sysconfig
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataset_scripts.sources import Source

# Tests and bundled third parties are no library code; what a distribution leaves out differs from machine to machine.
LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo", "ensurepip", "site-packages", "dist-packages"}
)


def read(revision: str, sample_rows: int | None, seed: int) -> Iterator[Mapping[str, Any]]:
    """Yield `{"module", "qualname", "kind", "signature", "docstring", "code"}`, ordered by file and line.

    Args:
        revision: version of the interpreter; the running one is the only one there is.
        sample_rows: size of a seeded sample, None for all.
        seed: of the sample.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    found = [row for path in sorted(root.rglob("*.py")) for row in _documented(path, root)]
    if sample_rows is not None and sample_rows < len(found):
        found = [found[i] for i in sorted(random.Random(seed).sample(range(len(found)), sample_rows))]
    yield from found


def _documented(path: Path, root: Path) -> Iterator[Mapping[str, Any]]:
    relative = path.relative_to(root)
    if LEFT_OUT & set(relative.parts):
        return
    try:
        with tokenize.open(path) as file:  # honours the coding line
            text = file.read()
        tree = ast.parse(text)
    except (SyntaxError, UnicodeDecodeError):  # files that are wrong on purpose, for tests
        return
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    lines = text.splitlines(keepends=True)

    def walk(node: ast.AST, prefix: str, owner: str | None) -> Iterator[Mapping[str, Any]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.", child.name)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                if docstring := ast.get_docstring(child):
                    first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                    yield {
                        "module": module,
                        "qualname": prefix + child.name,
                        "kind": _kind(child, owner),
                        "signature": f"{child.name}({ast.unparse(child.args)})",
                        "docstring": docstring,
                        "code": _outdented(lines[first - 1 : child.end_lineno], child.col_offset),
                    }
                yield from walk(child, f"{prefix}{child.name}.", None)
            else:
                yield from walk(child, prefix, owner)

    yield from walk(tree, "", None)


def _outdented(lines: list[str], indent: int) -> str:
    # not textwrap.dedent: the text of a string may stand further left than the function it is in
    return "".join(line[indent:] if line.strip() and not line[:indent].strip() else line for line in lines)


def _kind(node: ast.FunctionDef | ast.AsyncFunctionDef, owner: str | None) -> str:
    prefix = "coroutine " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}method" if owner else f"{prefix}function"


def pair(raw: Mapping[str, Any]) -> tuple[str, str]:
    """Instruction from name, signature and docstring; response with the code in a fence."""
    where = f"of the module `{raw['module']}`"
    if raw["kind"].endswith("method"):
        where = f"of the class `{raw['qualname'].rpartition('.')[0]}` in the module `{raw['module']}`"
    fence = "````" if "```" in raw["code"] else "```"
    instruction = f"Write the Python {raw['kind']} `{raw['signature']}` {where}.\n\n{raw['docstring']}"
    return instruction, f"{fence}python\n{raw['code'].rstrip()}\n{fence}"


SOURCE = Source(
    licence="PSF-2.0", generator="human", find_revision=platform.python_version, read=read, pair=pair,
    checks=("code", "compiles"),  # a function out of its module uses names that the module brings in
)  # fmt: skip
