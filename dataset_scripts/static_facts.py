"""How code is built, read off its syntax tree in six languages: the facts that the static alchemist may state.

Nothing is executed and nothing is guessed: every fact rests on a form of the tree, a library call or an import that is
there. A call counts only where the code does not define a function of that name itself. The AlchemistPrompts of the
paper name the same themes: the language, the algorithm or concept, the data structure, what the output contains
(AlchemistCoder, arXiv 2405.19265, section 2.2).

    read("python", "import heapq\\ndef top(xs):\\n    return heapq.nlargest(3, xs)").facts  ->  ("heap", ...)
"""

import functools
import re
import sys
from dataclasses import dataclass

import tree_sitter
from tree_sitter import Node

from dataset_scripts.code_queries import QUERIES
from dataset_scripts.fact_table import FACTS
from dataset_scripts.syntax import grammar, parse, walk

MAX_SIGNATURE_CHARS = 90  # of a function that a prompt names with its parameters; longer ones are named alone


@dataclass(frozen=True)
class Reading:
    """What was read off one piece of code. Names are in order of appearance, without repeats."""

    language: str
    functions: tuple[str, ...]  # functions that stand alone, as `name(parameters)`
    methods: tuple[str, ...]
    classes: tuple[str, ...]  # classes and structs
    modules: tuple[str, ...]  # imported modules: of Python those of the standard library and well-known packages
    raises: tuple[str, ...]
    facts: tuple[str, ...]  # names of FACTS that hold
    tokens: frozenset[str]


KNOWN_PACKAGES = frozenset({
    "bs4", "cv2", "django", "fastapi", "flask", "matplotlib", "nltk", "numpy", "pandas", "PIL", "pytest", "pygame",
    "requests", "scipy", "seaborn", "sklearn", "sqlalchemy", "sympy", "tensorflow", "keras", "torch", "transformers",
})  # fmt: skip


def read(language: str, code: str) -> Reading | None:
    """The reading of `code`; None where it has no grammar, does not parse whole, or is too large to parse."""
    tree = parse(language, code if code.endswith("\n") else f"{code}\n")  # Go ends its statements with the line
    if tree is None or tree.root_node.has_error:
        return None
    captures = tree_sitter.QueryCursor(_query(language)).captures(tree.root_node)
    functions, methods = _definitions(language, captures)
    own = {_name(node) for node in (*functions, *methods)}
    tokens = _tokens(language, captures, own)
    if any(_calls_itself(language, node, node in methods, own) for node in (*functions, *methods)):
        tokens.add("form:recursion")
    if _fills_a_table(tree.root_node):
        tokens.add("form:table")
    unique = lambda items: tuple(dict.fromkeys(items))  # noqa: E731
    return Reading(
        language,
        unique(_signature(node) for node in _in_order(functions)),
        unique(_signature(node) for node in _in_order(methods)),
        unique(_text(node) for node in _in_order(captures.get("class", []))),
        unique(_modules(language, _in_order(captures.get("import", [])))),
        unique(name for name in map(_last, map(_text, _in_order(captures.get("raise", [])))) if _is_error(name)),
        tuple(fact.name for fact in FACTS if _holds(fact.evidence.get(language, ""), tokens)),
        frozenset(tokens),
    )


def _definitions(language: str, captures: dict[str, list[Node]]) -> tuple[list[Node], list[Node]]:
    """Functions and methods; a method of Python that stands alone (the class is elsewhere) is known by its `self`."""
    functions, methods = captures.get("function", []), list(captures.get("method", []))
    if language == "python":
        alone = [node for node in functions if re.match(r"\((self|cls)\b", _parameters(node))]
        functions, methods = [node for node in functions if node not in alone], methods + alone
    return functions, methods


def _is_error(name: str) -> bool:
    """True for the name of an error, not of a variable that holds one, nor of Python's mark of an abstract method."""
    return name[:1].isupper() and name != "NotImplementedError"


@functools.cache
def _query(language: str) -> tree_sitter.Query:
    return tree_sitter.Query(grammar(language), QUERIES[language])


def _holds(evidence: str, tokens: set[str]) -> bool:
    return any(all(part in tokens for part in token.split("&")) for token in evidence.split())


_NAMED = ("call", "type", "import", "raise", "decorator", "macro", "name", "returns", "path")  # captures kept as text
_TAIL = re.compile(r"[\w.]*$")


def _tokens(language: str, captures: dict[str, list[Node]], own: set[str]) -> set[str]:
    found = {f"node:{name}" for name in captures if name not in _NAMED}
    for name in _NAMED:
        for node in captures.get(name, ()):
            text = _callee(node) if name == "call" else _text(node).strip('"<>')
            dotted = _TAIL.search(text.replace("::", ".").replace("->", ".").replace("?.", ".")).group()
            parts = [part for part in dotted.split(".") if part]
            if not parts:
                continue
            if name != "call":
                found |= {f"{name}:{parts[-1]}", f"{name}:{'.'.join(parts[-2:])}", f"{name}:{parts[0]}"}
            elif len(parts) == 1 and not dotted.startswith("."):
                found |= {f"call:{parts[0]}"} if parts[0] not in own else set()
            elif parts[-1] not in own:
                found |= {f"method:{parts[-1]}"} | ({f"call:{'.'.join(parts[-2:])}"} if len(parts) > 1 else set())
    return found


def _callee(node: Node) -> str:
    """The called expression: Java's node is the whole invocation, the others' is the function alone."""
    if node.type != "method_invocation":
        return _text(node)
    owner, name = node.child_by_field_name("object"), _text(node.child_by_field_name("name"))
    return f"{_text(owner)}.{name}" if owner else name


def _text(node: Node) -> str:
    return node.text.decode("utf-8", "replace")


def _last(name: str) -> str:
    return re.split(r"::|\.", name)[-1]


def _in_order(nodes: list[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: node.start_byte)


def _name(node: Node) -> str:
    """The name of a definition; C++ hides it in declarators, JavaScript binds it to a variable."""
    named = node.child_by_field_name("name")
    while named is None and (inner := node.child_by_field_name("declarator")) is not None:
        node, named = inner, inner.child_by_field_name("name")
        if named is None and inner.child_by_field_name("declarator") is None:
            named = inner
    return _last(_text(named)) if named is not None else ""


def _parameters(node: Node) -> str:
    while node is not None:
        if (found := node.child_by_field_name("parameters")) is not None:
            return " ".join(_text(found).split())
        node = node.child_by_field_name("declarator") or node.child_by_field_name("value")
    return "()"


def _signature(node: Node) -> str:
    whole = f"{_name(node)}{_parameters(node)}"
    return whole if len(whole) <= MAX_SIGNATURE_CHARS else _name(node)


def _modules(language: str, nodes: list[Node]) -> list[str]:
    """Modules that a prompt may name: those anybody can install or has, not the files beside the code."""
    named = [_text(node).strip('"<>') for node in nodes]
    if language == "python":
        roots = [name.split(".")[0] for name in named]
        return [root for root in roots if root in sys.stdlib_module_names or root in KNOWN_PACKAGES]
    if language == "javascript":
        return [name.removeprefix("node:") for name in named if not name.startswith((".", "/"))]
    if language == "rust":
        return [name.partition("::{")[0] for name in named if not name.startswith(("crate", "self", "super"))]
    return [name for name in named if not name.startswith("bits/")]


_OWNERS = {"python": ("self.", "cls."), "javascript": ("this.",), "java": ("", "this."), "cpp": ("", "this->"),
           "rust": ("self.", "Self::")}  # fmt: skip


def _calls_itself(language: str, node: Node, is_method: bool, own: set[str]) -> bool:
    """A call of its own name inside its body; of a method, on the object itself.

    Overloads are not told apart by Java's and C++'s call, so the number of arguments must agree; `super().f()` and
    `other.f()` are delegation.
    """
    name, body = _name(node), node.child_by_field_name("body") or node.child_by_field_name("value")
    if not name or body is None:
        return False
    owners = _OWNERS.get(language, ("",)) if is_method else ("",)
    if language == "go" and is_method:
        receiver = _text(node.child_by_field_name("receiver")).strip("()").split()
        owners = (f"{receiver[0]}.",) if len(receiver) > 1 else ()
    wanted, count = {f"{owner}{name}" for owner in owners}, _arity(_parameters(node))
    for inner in walk(body):
        if inner.type in ("call", "call_expression", "method_invocation"):
            called = inner if inner.type == "method_invocation" else inner.child_by_field_name("function")
            if called is not None and _callee(called) in wanted:
                given = inner.child_by_field_name("arguments")
                if language not in ("java", "cpp") or (given is not None and given.named_child_count == count):
                    return True
    return False


def _arity(parameters: str) -> int:
    """Parameters at the outermost level: commas within `<...>`, `(...)` and `[...]` do not count."""
    inside, depth, commas = parameters[1:-1].strip(), 0, 0
    for character in inside:
        depth += (character in "<([{") - (character in ">)]}")
        commas += character == "," and depth == 0
    return commas + 1 if inside else 0


_SUBSCRIPTS = frozenset({"subscript", "subscript_expression", "array_access", "index_expression"})
_ASSIGNMENTS = frozenset({"assignment", "assignment_expression", "assignment_statement"})
_LOOPS = frozenset({
    "for_statement", "for_in_statement", "for_expression", "enhanced_for_statement", "for_range_loop",
    "while_statement", "while_expression",
})  # fmt: skip
_ARITHMETIC = frozenset({"binary_operator", "binary_expression"})


def _fills_a_table(root: Node) -> bool:
    """Inside a loop, an entry of a table is computed from two other entries of it, or the best of one and something.

    Moving an entry (a swap, a shift) computes nothing and does not count; neither does a running sum, an entry that is
    updated in place (`+=`) or one that is its neighbour plus one.
    """
    for node in walk(root):
        if node.type not in _ASSIGNMENTS or _operator(node) not in ("=", None):
            continue
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        left, right = _only(left), _only(right)
        if left is None or right is None or left.type not in _SUBSCRIPTS or right.type in _SUBSCRIPTS:
            continue
        if not _in_a_loop(node):
            continue
        table, entry = _root(left), _text(left)
        others = {
            _text(read_)
            for read_ in walk(right)
            if read_.type in _SUBSCRIPTS
            and _root(read_) == table
            and _text(read_) != entry
            and any(part.type in _ARITHMETIC for part in walk(read_))
        }
        if len(others) > 1 or (others and _takes_the_best(right)):
            return True
    return False


def _operator(node: Node) -> str | None:
    """`=`, `+=`, ... of an assignment; None where the grammar has another node for the latter."""
    found = next((part for part in node.children if not part.is_named and part.type.endswith("=")), None)
    return found.type if found is not None else None


def _takes_the_best(node: Node) -> bool:
    """True where `min` or `max` is called in it."""
    called = (part.child_by_field_name("function") or part.child_by_field_name("name")
              for part in walk(node) if part.type in ("call", "call_expression", "method_invocation"))  # fmt: skip
    return any(_last(_text(name)) in ("min", "max") for name in called if name is not None)


def _only(node: Node | None) -> Node | None:
    """Go wraps both sides of an assignment in lists; a list of one is its element."""
    if node is not None and node.type == "expression_list":
        return node.named_child(0) if node.named_child_count == 1 else None
    return node


def _in_a_loop(node: Node) -> bool:
    while (node := node.parent) is not None:
        if node.type in _LOOPS:
            return True
    return False


def _root(node: Node) -> str:
    """The table of a subscript: `t` of `t[i - 1][j]`."""
    while node.type in _SUBSCRIPTS and node.named_child_count:
        node = node.named_child(0)
    return _text(node)
