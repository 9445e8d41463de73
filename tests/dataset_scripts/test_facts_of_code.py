import doctest

import pytest

from dataset_scripts import customise, decontaminate, facts_of_code
from dataset_scripts.facts_of_code import code_blocks, compile_error, facts, has_code, language_of, python_code


@pytest.mark.parametrize("module", [facts_of_code, customise, decontaminate])
def test_docstring_examples_hold(module):
    done = doctest.testmod(module)
    assert done.attempted and not done.failed


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("a\n```python\nx = 1\n```\nb\n```\nout\n```\n", [("python", "x = 1\n"), ("", "out\n")]),
        ("````python\ns = '''\n```\n'''\n````\n", [("python", "s = '''\n```\n'''\n")]),
        ("   ```js\nlet a;\n   ```", [("js", "let a;\n")]),
        ("no fence", []),
        ("```python\nnever closed\n", []),
    ],
)
def test_code_blocks(text, blocks):
    assert code_blocks(text) == blocks


@pytest.mark.parametrize(
    ("response", "language"),
    [
        ("```js\nlet a;\n```", "javascript"),
        ("```Python\nx = 1\n```", "python"),
        ("def f():\n    return 1\n", "python"),
        ("Sure", "unknown"),
        ("You should sort the list first.", "unknown"),
        ("```\nint main() { return 0; }\n```", "unknown"),
    ],
)
def test_language_of(response, language):
    assert language_of(response) == language


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ("```python\ndef f(:\n```", "invalid syntax"),
        ("```python\nreturn 1\n```", "'return' outside function"),
        ("```python\n" + "(" * 3000 + "\n```", ""),
        ("```python\nx = 1\n\0\n```", "null bytes"),
    ],
)
def test_python_that_does_not_compile(response, says):
    assert says in compile_error(response)


@pytest.mark.parametrize(
    "response",
    [
        "```python\nx = 1\n```",
        "```python\n    def method(self):\n        return 1\n```",
        "```python\nawait f()\n```",
        "```python\n>>> 1 +\n```",
        "```js\nlet a = ;\n```",
        "```\nsome output {\n```",
        "Not code at all (",
        '```python\ns = "\\d"\n```',
    ],
)
def test_what_does_not_claim_to_be_a_python_program_is_not_judged(response):
    assert compile_error(response) is None


def test_a_word_is_no_code():
    assert python_code("Sure") is None and not has_code("Sure")
    assert has_code("print(1)") and has_code("```\nanything\n```")


FIB = "from functools import lru_cache\n@lru_cache\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
LCS = "def lcs(a, b):\n    for i in a:\n        for j in b:\n            t[i][j] = t[i - 1][j - 1] + 1\n"
BUBBLE = "def sort(a):\n    for j in a:\n        t = a[j]\n        a[j] = a[j + 1]\n        a[j + 1] = t\n"


@pytest.mark.parametrize(
    ("code", "name", "value"),
    [
        (FIB, "functions", ["fib(n)"]),
        (FIB, "recursive", ["fib"]),
        (FIB, "memoised", True),
        (FIB, "modules", ["functools"]),
        (LCS, "dynamic_programming", True),
        (BUBBLE, "dynamic_programming", False),
        ("import heapq\nheapq.heappush(h, 1)", "heap", True),
        ("def close(self):\n    super().close()", "recursive", []),
        ("def walk(self):\n    self.walk()", "recursive", ["walk"]),
        ("def close(self):\n    self.file.close()", "recursive", []),
        ("def close():\n    file.close()", "recursive", []),
        ("x = {a: 1 for a in b}", "comprehension", "dictionary"),
        ("def f():\n    yield 1", "generator", True),
        ("def f():\n    raise NotImplementedError", "raises", []),
        ("def f():\n    raise ValueError('x')", "raises", ["ValueError"]),
        ("import numpy as np\nimport os.path", "modules", ["os"]),
        ("class A:\n    def f(self): pass", "classes", ["A"]),
        ("async def f(): pass", "is_async", True),
        ("print(1)", "printed_example", True),
    ],
)
def test_facts(code, name, value):
    assert getattr(facts(code), name) == value


@pytest.mark.parametrize(
    "text", ["```" + "a" * 500_000 + "`", "```python\n" + "\n" * 500_000 + "x\n```", "```a\n" * 100_000]
)
def test_hostile_text_is_read_in_one_pass(text):
    code_blocks(text), compile_error(text)  # hours, were any of it quadratic


def test_code_too_deep_to_be_read_back_has_no_facts_and_stops_nothing():
    deep = "def f(x=" + "+".join(["'a'"] * 900) + "):\n    return x\n"
    assert compile_error(f"```python\n{deep}```") is None
    assert facts(deep) is None or facts(deep).functions


def test_no_facts_of_what_does_not_parse():
    assert facts("def f(:") is None
