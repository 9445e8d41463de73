"""What can be read off a response without a model: its code blocks, whether they compile, how they are built.

Pure functions over text; nothing is executed. `clean` asks whether code compiles, the static alchemist asks how it is
built.
"""

import ast
import re
import sys
import warnings
from dataclasses import dataclass, field

from dataset_scripts.languages import language_name

_TAG = re.compile(r"[\w+#.-]*")
_SESSION = re.compile(r"^[ \t]*>>> ", re.MULTILINE)
_PYTHON_TAGS = frozenset({"python", "py", "python3", "py3"})
_MEMO_DECORATORS = frozenset({"cache", "lru_cache", "cached_property", "memoize"})
_HEAP_CALLS = frozenset({"heappush", "heappop", "heapify", "nlargest", "nsmallest", "heapreplace", "heappushpop"})


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks as `[(tag, code), ...]`; the tag is lower-cased and may be empty.

    A fence is a line of three or more backticks and ends at a line of at least as many; one left open is no block.

    >>> code_blocks("Use this:\\n```Python\\nx = 1\\n```\\n")
    [('python', 'x = 1\\n')]
    """
    blocks: list[tuple[str, str]] = []
    fence, tag, body = 0, "", []
    for line in text.split("\n"):  # one pass, since a row may be a megabyte of backticks
        stripped = line.strip(" \t\r")
        ticks = len(stripped) - len(stripped.lstrip("`"))
        if not fence and ticks >= 3 and "`" not in stripped[ticks:]:
            fence, tag, body = ticks, _TAG.match(stripped[ticks:].lstrip()).group().lower(), []
        elif fence and ticks >= fence and ticks == len(stripped):
            blocks.append((tag, "".join(body)))
            fence = 0
        elif fence:
            body.append(f"{line}\n")
    return blocks


def language_of(response: str) -> str:
    """Programming language of the response: the first tagged fence; `python` if it parses; `unknown`."""
    blocks = code_blocks(response)
    for tag, _ in blocks:
        if tag:
            return language_name(tag)
    return "python" if python_code(response) is not None else "unknown"


def has_code(response: str) -> bool:
    """True when there is a fenced block, or the whole response is Python."""
    return bool(code_blocks(response)) or python_code(response) is not None


def python_code(response: str) -> str | None:
    """The Python of a response: its Python fences joined, else untagged fences, else the text itself, if it parses.

    A bare sentence of one word parses as an expression; it does not count as code.
    """
    blocks = code_blocks(response)
    tagged = [code for tag, code in blocks if tag in _PYTHON_TAGS]
    candidates = tagged or [code for tag, code in blocks if not tag]
    code = "\n".join(candidates) if candidates else (response if not blocks else "")
    tree = _parse(code)
    if tree is None or all(isinstance(s, ast.Expr) and not isinstance(s.value, ast.Call) for s in tree.body):
        return None
    return code


def compile_error(response: str) -> str | None:
    """The error of the first Python fence that does not compile, None when all do or none claims to be Python.

    A transcript of an interpreter session (`>>>`) is no program and is passed over. The code is not executed.
    """
    for tag, code in code_blocks(response):
        if tag not in _PYTHON_TAGS or _SESSION.search(code):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # SyntaxWarning: "\d" in a row's string is the row's business
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                compile(_dedented(code), "<response>", "exec", flags, dont_inherit=True)
        except SyntaxError as error:
            return f"line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:  # NUL bytes, deep nesting
            return f"{type(error).__name__}: {error}"
    return None


def _dedented(code: str) -> str:
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines) if indent else code


def _parse(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(_dedented(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


@dataclass
class Facts:
    """How Python code is built. Lists are in order of appearance, without repeats."""

    functions: list[str] = field(default_factory=list)  # top-level functions, `name(arg, arg)`
    classes: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)  # functions whose first argument is self or cls
    is_async: bool = False
    recursive: list[str] = field(default_factory=list)  # functions that call themselves
    memoised: bool = False
    heap: bool = False
    dynamic_programming: bool = False
    comprehension: str | None = None  # `list`, `dict`, `set`, `generator expression`
    generator: bool = False  # yields
    modules: list[str] = field(default_factory=list)  # modules of the standard library that are imported or named
    printed_example: bool = False  # prints, or shows a doctest
    raises: list[str] = field(default_factory=list)


def facts(code: str) -> Facts | None:
    """Read the facts off Python code; None when it does not parse, or nests too deep to be read."""
    tree = _parse(code)
    if tree is None:
        return None
    try:
        return _facts_of(tree, Facts(printed_example=">>> " in code))
    except RecursionError:  # ast.unparse recurses where the parser did not: 'a' + 'a' + ... a thousand times
        return None


def _facts_of(tree: ast.Module, found: Facts) -> Facts:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            (found.methods if arguments[:1] in (["self"], ["cls"]) else found.functions).append(_signature(node))
        elif isinstance(node, ast.ClassDef):
            found.classes.append(node.name)
    for node in ast.walk(tree):
        _add_facts_of(node, found)
    for name in ("recursive", "modules", "raises"):
        setattr(found, name, list(dict.fromkeys(getattr(found, name))))
    return found


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"{node.name}({ast.unparse(node.args)})"


_COMPREHENSIONS = {ast.ListComp: "list", ast.DictComp: "dictionary", ast.SetComp: "set"}


def _add_facts_of(node: ast.AST, found: Facts) -> None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            found.is_async |= isinstance(node, ast.AsyncFunctionDef)
            if _calls_itself(node):
                found.recursive.append(node.name)
            found.memoised |= any(_last_name(d) in _MEMO_DECORATORS for d in node.decorator_list)
            found.dynamic_programming |= _fills_a_table(node)
        case ast.ListComp() | ast.DictComp() | ast.SetComp():
            found.comprehension = found.comprehension or _COMPREHENSIONS[type(node)]
        case ast.Yield() | ast.YieldFrom():
            found.generator = True
        case ast.Import():
            found.modules += [a.name.split(".")[0] for a in node.names if _is_standard(a.name)]
        case ast.ImportFrom(module=str(module), level=0) if _is_standard(module):
            found.modules.append(module.split(".")[0])
            found.heap |= module == "heapq"
        case ast.Attribute(value=ast.Name(id=name)) if _is_standard(name) and name in _MODULES_NAMED_PLAINLY:
            found.modules.append(name)
        case ast.Call():
            called = _last_name(node.func)
            found.heap |= called in _HEAP_CALLS
            found.printed_example |= called == "print"
        case ast.Raise(exc=ast.expr() as raised):
            name = _last_name(raised)
            if name[:1].isupper() and name != "NotImplementedError":  # that one marks an abstract method
                found.raises.append(name)


# `os.path` names the module os even where the import is out of sight; `email` or `code` may as well be variables.
_MODULES_NAMED_PLAINLY = frozenset({"os", "sys", "re", "math", "json", "itertools", "functools", "heapq", "operator"})


def _is_standard(module: str) -> bool:
    return module.split(".")[0] in sys.stdlib_module_names


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _calls_itself(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A plain call of its own name, or for a method `self.name(...)`; `super().name(...)` is delegation."""
    own = node.args.args[0].arg if node.args.args and node.args.args[0].arg in ("self", "cls") else None
    for inner in ast.walk(node):
        match inner:
            case ast.Call(func=ast.Name(id=name)) if name == node.name and own is None:
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)):
                if name == node.name and own is not None and owner == own:
                    return True
    return False


def _fills_a_table(node: ast.AST) -> bool:
    """Inside a loop, an entry of a table is computed from other entries of the same table at computed places."""
    for loop in ast.walk(node):
        if not isinstance(loop, ast.For):
            continue
        for inner in ast.walk(loop):
            if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Subscript):
                target = inner.targets[0]
                if isinstance(inner.value, ast.Subscript):  # moves an entry (a swap, a shift), computes nothing
                    continue
                table, entry = ast.unparse(_root(target)), ast.unparse(target)
                for read in ast.walk(inner.value):
                    if isinstance(read, ast.Subscript) and ast.unparse(_root(read)) == table != ast.unparse(read):
                        computed = any(isinstance(part, ast.BinOp) for part in ast.walk(read))
                        if computed and ast.unparse(read) != entry:
                            return True
    return False


def _root(node: ast.Subscript) -> ast.expr:
    value = node.value
    while isinstance(value, ast.Subscript):
        value = value.value
    return value
