"""Every fact that the static alchemist may state: code of which it holds, and code that only looks like it."""
# ruff: noqa: E501 - a table of snippets reads best with one a line

import doctest

import pytest

from dataset_scripts import customise, static_alchemist
from dataset_scripts.fact_table import FACTS
from dataset_scripts.static_alchemist import prompt, readings
from dataset_scripts.static_facts import read
from dataset_scripts.syntax import LANGUAGES

# fact, language, code of which it holds, code of which it does not
SNIPPETS = [
    ("recursion", "python", "def f(n):\n    return n and f(n - 1)", "def f(n):\n    return n and g(n - 1)"),
    ("recursion", "python", "class A:\n    def f(self, n):\n        return self.f(n - 1)",
     "class A(B):\n    def f(self, n):\n        return super().f(n) + f(n)"),
    ("recursion", "javascript", "const f = (n) => n ? f(n - 1) : 0;", "class A extends B { m(x) { return super.m(x); } }"),
    ("recursion", "java", "class A { int f(int n) { return f(n - 1); } }",
     "class A { int f(int n) { return f(n, 0); } int f(int n, int m) { return m; } }"),
    ("recursion", "go", "package a\nfunc f(n int) int { return f(n - 1) }",
     "package a\nfunc (s *S) Close() { s.file.Close() }"),
    ("recursion", "cpp", "int f(int n) { return n ? f(n - 1) : 0; }", "int f(int n) { return n; } int g(int n) { return f(n); }"),
    ("recursion", "rust", "fn f(n: u32) -> u32 { f(n - 1) }", "fn f(n: u32) -> u32 { other::f(n) }"),
    ("dynamic_programming", "python", "for i in x:\n    t[i] = t[i - 1] + t[i - 2]", "for i in x:\n    t[i] = t[i + 1]"),
    ("dynamic_programming", "python", "for i in x:\n    t[i] = min(t[i], t[i - c] + 1)", "for i in x:\n    t[i] = t[i - 1] + x[i]"),
    ("dynamic_programming", "java", "class A { void f() { for (;;) { t[i][j] = t[i - 1][j] + t[i][j - 1]; } } }",
     "class A { void f() { t[1] = t[i - 1] + t[i - 2]; } }"),
    ("dynamic_programming", "java", "class A { void f() { for (;;) { t[i] = Math.max(t[i - 1], t[i]); } } }",
     "class A { void f() { for (;;) { places[j] = places[j - 1] + 1; t[i] += t[i - 1] + t[i - 2]; } } }"),
    ("dynamic_programming", "javascript", "for (;;) { t[i] = t[i - 1] + t[i - 2]; }", "for (;;) { t[i] *= t[i + 1]; t[i] = t[i] + t[i + 1]; }"),
    ("dynamic_programming", "go", "package a\nfunc f() { for i := range x { t[i] = t[i-1] + t[i-2] } }",
     "package a\nfunc f() { for i := range x { t[i] = u[i-1] + 1 } }"),
    ("dynamic_programming", "cpp", "void f() { for (;;) { t[i] = max(t[i - 1], 0); } }",
     "void f() { for (;;) { t[i] = t[i] + 1; } }"),
    ("memoisation", "python", "@lru_cache(None)\ndef f(n): pass", "def f(n, cache={}): pass"),
    ("sorting", "python", "xs.sort()", "class A:\n    def sort(self): pass\nA().sort()"),
    ("sorting", "cpp", "void f() { std::sort(a, b); }", "void sort(int a) {} void f() { sort(1); }"),
    ("sorting", "rust", "fn f() { v.sort_by(|a, b| a.cmp(b)); }", "fn f() { v.sorted(); }"),
    ("binary_search", "python", "import bisect\ni = bisect.bisect_left(a, x)", "def bisect_left(a, x): pass\nbisect_left(a, x)"),
    ("binary_search", "java", "class A { int f() { return Arrays.binarySearch(a, 1); } }",
     "class A { int f() { return my.binarySearch(a, 1); } }"),
    ("nested_loops", "python", "for a in x:\n    for b in y:\n        pass", "for a in x:\n    pass\nfor b in y:\n    pass"),
    ("bit_operations", "python", "x = n & 1", "x = a | b"),
    ("regular_expression", "python", "import re\nre.sub('a', 'b', x)", "import re"),
    ("regular_expression", "javascript", "/a+/.test(x)", "a / b / c"),
    ("generator", "python", "def f():\n    yield 1", "def f():\n    return 1"),
    ("async", "python", "async def f():\n    await g()", "async def f():\n    return 1"),
    ("threads", "java", "class A { void f() { new Thread(r).start(); } }", "class A { void f() { Thread.sleep(1); } }"),
    ("threads", "python", "import threading\nthreading.Thread(target=f)", "class Thread: pass\nThread()"),
    ("goroutines", "go", "package a\nfunc f() { go g() }", "package a\nfunc f() { g() }"),
    ("lock", "java", "class A { synchronized void f() {} }", "class A { void lock() {} }"),
    ("anonymous_function", "python", "f = lambda x: x", "def f(x): return x"),
    ("closure", "rust", "fn f() { let g = |x| x + 1; }", "fn f() { let g = x | y; }"),
    ("list_comprehension", "python", "[x for x in y]", "list(x for x in y)"),
    ("dict_comprehension", "python", "{x: 1 for x in y}", "{x for x in y}"),
    ("set_comprehension", "python", "{x for x in y}", "{x: 1 for x in y}"),
    ("generator_expression", "python", "any(x for x in y)", "[x for x in y]"),
    ("array_methods", "javascript", "xs.map((x) => x)", "new Map()"),
    ("streams", "java", "class A { void f() { xs.stream().count(); } }", "class A { void stream() {} }"),
    ("iterator_adaptors", "rust", "fn f() { let v: Vec<i32> = xs.iter().map(g).collect(); }", "fn f() { x.map(g); }"),
    ("pattern_matching", "rust", "fn f(x: i32) { match x { _ => {} } }", "fn f() { s.matches('a'); }"),
    ("switch", "go", "package a\nfunc f() { switch x { case 1: } }", "package a\nfunc f() { select {} }"),
    ("inheritance", "python", "class A(B): pass", "class A(object): pass"),
    ("generics", "java", "class A<T> {}", "class A { List<String> xs; }"),
    ("generics", "rust", "fn f<T: Copy>(x: T) {}", "fn f<'a>(x: &'a str) {}"),
    ("templates", "cpp", "template <typename T> T f(T x) { return x; }", "std::vector<int> x;"),
    ("greatest_common_divisor", "python", "import math\nmath.gcd(1, 2)", "def gcd(a, b): pass\ngcd(1, 2)"),
    ("combinatorics", "python", "import itertools\nitertools.permutations(x)", "def product(a): pass\nproduct(1)"),
    ("heap", "python", "from heapq import heappush\nheappush(h, 1)", "def heappush(h, x): pass\nheappush(h, 1)"),
    ("heap", "java", "class A { PriorityQueue<Integer> q = new PriorityQueue<>(); }", "class A { PriorityQueue q; }"),
    ("double_ended_queue", "python", "from collections import deque\nq = deque()", "class deque: pass"),
    ("stack", "java", "class A { Stack<Integer> s = new Stack<>(); }", "class A { Object stack; }"),
    ("hash_map", "go", "package a\nvar m map[string]int", "package a\nvar m []int"),
    ("hash_map", "rust", "fn f() { let m = HashMap::new(); }", "fn f() { let v = Vec::new(); }"),
    ("ordered_map", "java", "class A { Map m = new TreeMap(); }", "class A { Map m = new HashMap(); }"),
    ("set", "javascript", "new Set(xs)", "function set(x) {}"),
    ("counter", "python", "from collections import Counter\nCounter(x)", "class Counter: pass\nCounter()"),
    ("default_dictionary", "python", "import collections\ncollections.defaultdict(int)", "dict()"),
    ("dynamic_array", "cpp", "std::vector<int> v;", "int v[3];"),
    ("string_builder", "java", "class A { StringBuilder s = new StringBuilder(); }", 'class A { String s = "StringBuilder"; }'),
    ("channels", "go", "package a\nvar c chan int", "package a\nvar c int"),
    ("dataclass", "python", "@dataclass\nclass A:\n    x: int", "class A:\n    x: int"),
    ("record", "java", "record P(int x) {}", "class P {}"),
    ("enumeration", "cpp", "enum class A { X };", "class A {};"),
    ("interface", "go", "package a\ntype A interface { F() }", "package a\ntype A struct { f int }"),
    ("trait", "rust", "trait A {}", "impl A {}"),
    ("reads_standard_input", "python", "x = input()", "def input(): pass\ninput()"),
    ("reads_standard_input", "python", "import sys\nfor line in sys.stdin: f(line)", "import sys\nsys.stdin.isatty()"),
    ("reads_standard_input", "python", "import sys\nx = sys.stdin.read()", "import sys\nsys.stdin = x"),
    ("reads_standard_input", "python", "import sys\nx = json.load(sys.stdin)", "import sys\nhasattr(sys.stdin, 'fileno')"),
    ("reads_standard_input", "java", "class A { Scanner s = new Scanner(System.in); }", "class A { Scanner s = new Scanner(f); }"),
    ("reads_standard_input", "javascript", "readline.createInterface({ input: process.stdin })",
     "readline.createInterface({ input: fs.createReadStream(name) })"),
    ("reads_standard_input", "cpp", "int main() { int x; std::cin >> x; }", "int main() { file >> x; }"),
    ("command_line", "python", "import sys\nprint(sys.argv[1])", "argv = 1"),
    ("command_line", "go", "package a\nfunc f() { g(os.Args) }", "package a\nfunc f() { g(Args) }"),
    ("reads_files", "python", "with open('x') as f: pass", "class A:\n    def open(self): pass\nA().open()"),
    ("json", "javascript", "JSON.parse(x)", "const json = 1"),
    ("http", "javascript", "fetch(url)", "store.fetch(url)"),
    ("random_numbers", "python", "import random\nrandom.choice(x)", "import random"),
    ("handles_errors", "java", "class A { void f() { try { g(); } catch (E e) {} } }", "class A { void f() throws E {} }"),
    ("returns_error", "go", "package a\nfunc f() (int, error) { return 0, nil }", "package a\nfunc f() int { return 0 }"),
    ("returns_result", "rust", "fn f() -> Result<u8, String> { Ok(1) }", "fn f() -> u8 { 1 }"),
    ("returns_option", "rust", "fn f() -> Option<u8> { None }", "fn f() -> Vec<u8> { v }"),
    ("defers", "go", "package a\nfunc f() { defer g() }", "package a\nfunc f() { g() }"),
    ("context_manager", "python", "with lock:\n    pass", "lock.acquire()"),
    ("type_hints", "python", "def f(x: int): pass", "def f(x): pass"),
    ("formatted_strings", "python", "f'{x}'", "'{x}'"),
    ("template_literals", "javascript", "`a ${x}`", "`a`"),
    ("main_guard", "python", "if __name__ == '__main__':\n    f()", "__name__ = 1"),
    ("assertions", "python", "assert x == 1", "self.assertEqual(x, 1)"),
    ("prints", "rust", 'fn f() { println!("x"); }', 'fn f() { format!("x"); }'),
    ("prints", "java", "class A { void f() { System.out.println(1); } }", "class A { void f() { log.println(1); } }"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "language", "holds", "does_not"), SNIPPETS)
def test_a_fact_holds_of_the_one_and_not_of_the_other(fact, language, holds, does_not):
    assert fact in read(language, holds).facts
    assert fact not in read(language, does_not).facts


def test_every_fact_has_its_snippets_and_every_language_its_facts():
    assert len(FACTS) >= 40
    assert {fact.name for fact in FACTS} == {name for name, *_ in SNIPPETS}
    assert {language for _, language, *_ in SNIPPETS} == set(LANGUAGES)
    for fact in FACTS:
        assert len(set(fact.phrases)) == 2 and set(fact.evidence) <= set(LANGUAGES) and fact.evidence


@pytest.mark.parametrize(
    ("language", "code", "functions", "classes"),
    [
        ("python", "class A:\n    def m(self): pass\ndef f(a, b=1): pass", ("f(a, b=1)",), ("A",)),
        ("javascript", "function f(a) {}\nconst g = async (x, y) => x;\nclass A { m() {} }", ("f(a)", "g(x, y)"), ("A",)),
        ("java", "class A { int f(int a) { return a; } }", (), ("A",)),
        ("go", "package a\ntype A struct{}\nfunc (a A) M() {}\nfunc F(x int, y string) error { return nil }",
         ("F(x int, y string)",), ("A",)),
        ("cpp", "struct A { int m() { return 1; } };\nstd::string f(const std::string& s, int n) { return s; }\nint* g() {}",
         ("f(const std::string& s, int n)", "g()"), ("A",)),
        ("rust", "struct A;\nimpl A { fn m(&self) {} }\npub fn f(x: &str) -> u8 { 1 }", ("f(x: &str)",), ("A",)),
    ],
)  # fmt: skip
def test_what_the_code_defines(language, code, functions, classes):
    found = read(language, code)
    assert found.functions == functions and found.classes == classes


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "def f(:"), ("cobol", "MOVE A TO B."), ("python", "x = 1\n" * 400_000), ("java", "a<" * 2_000_000),
    ],
)  # fmt: skip
def test_code_that_cannot_be_read_has_no_reading(language, code):
    assert read(language, code) is None


def test_a_method_whose_class_is_elsewhere_is_a_method():
    found = read("python", "def walk(self):\n    self.walk()\n    return sys.maxsize\n")
    assert found.methods == ("walk(self)",) and not found.functions and "recursion" in found.facts
    assert found.modules == ("sys",)
    assert "recursion" not in read("python", "def close(self):\n    self.file.close()").facts


def test_what_is_raised():
    code = "def f(e):\n    raise NotImplementedError\n    raise e\n    raise ValueError('x')"
    assert read("python", code).raises == ("ValueError",)


def test_code_too_deep_for_recursion_is_read():
    deep = "def f(x=" + "+".join(["'a'"] * 900) + "):\n    return x\n"
    assert read("python", deep).functions == ("f",)


def test_the_modules_a_prompt_may_name():
    assert read("python", "import os.path, numpy as np\nfrom my.code import x").modules == ("os", "numpy")
    assert read("javascript", 'import a from "node:fs"; const b = require("./mine");').modules == ("fs",)
    assert read("rust", "use std::io::{self, Read};\nuse crate::a;").modules == ("std::io",)


def test_docstring_examples_hold():
    done = doctest.testmod(static_alchemist)
    assert done.attempted and not done.failed


ROW = "```rust\nuse std::collections::HashMap;\nfn count(s: &str) -> Option<u8> { let m = HashMap::new(); None }\n```"


def test_a_prompt_says_what_holds_and_not_what_the_instruction_says():
    said = prompt("Count the letters.", ROW, "rust", "1", 3)
    assert "Rust" in said and "`count(s: &str)`" in said and "Option" in said and said.endswith(".")
    assert any(phrase in said for phrase in ("a hash map", "a hash table"))
    already = prompt("In Rust, write count(s) with a hash map that returns an Option.", ROW, "rust", "1", 3)
    assert "hash" not in already and "count(" not in already


@pytest.mark.parametrize(
    ("instruction", "code", "says", "is_silent_about"),
    [
        ("Sort.", "def f(a):\n    return f(a[1:])", ["`f(a)`", "recursi"], []),
        ("Write the Python function f.", "def f(a):\n    return f(a[1:])", ["recursi"], ["`f(a)`"]),
        ("Use os in Python.", "import os, re\nos.sep", ["`re`"], ["`os`"]),
        ("Raise ValueError in Python.", "def x():\n    raise ValueError", ["`x()`"], ["ValueError"]),
        ("Show a print in Python.", "print(1)", [], ["rint"]),
        ("Sort.", "class A:\n    pass", ["class `A`"], []),
        ("Pop.", "def f(a):\n    raise IndexError", ["`IndexError` where it cannot go on"], []),
        ("Sum up.", "import os\nprint(os.sep)", ["`os`", "to the console"], []),
        ("Sum up.", "def total(xs):\n    return sum(xs)\n\nprint(total([1]))", ["`total(xs)`"], ["console"]),
        ("Shorten it.\nimport os\nx = os.sep", "print(1)", [], ["Python"]),
        ("Shorten it.\n```python\nx = 2 - 1\n```", "print(1)", [], ["Python"]),
        ("Translate it.\n```java\nint x = 1;\n```", "print(1)", ["Python"], []),
        ("Shorten it: import less,\nfrom x on: one\n", "print(1)", ["Python"], []),
    ],
)
def test_a_static_prompt_says_what_the_instruction_does_not(instruction, code, says, is_silent_about):
    said = prompt(instruction, f"```python\n{code}\n```", "python", "0", 3) or ""
    assert all(part in said for part in says), said
    assert not [part for part in is_silent_about if part in said], said
    assert len(said.split(". ")) <= 3


@pytest.mark.parametrize(
    ("language", "code", "says"),
    [
        ("go", 'package a\nimport "net/http"\n', "the package `net/http`"),
        ("java", "import org.jsoup.Jsoup;\ninterface A {}", " `org.jsoup.Jsoup`"),
        ("rust", "use rand::Rng;\nfn f() {}", " `rand::Rng`"),
        ("cpp", "#include <map>\nint f() { return 1; }", "the header `map`"),
        ("go", "package a\ntype User struct { name string }", "the type `User`"),
        ("rust", "struct User { name: String }", "the type `User`"),
    ],
)
def test_what_is_named_is_called_what_it_is(language, code, says):
    """`org.jsoup.Jsoup` is a class, `rand::Rng` a trait: neither is a package; Go and Rust have no classes."""
    said = prompt("Do it.", f"```{language}\n{code}\n```", language, "0", 3)
    assert says in said and ("package" in said) == ("package" in says) and "class" not in said


def test_the_wording_depends_on_the_row_alone():
    said = [prompt("Count the letters.", ROW, "rust", str(n), 3) for n in range(30)]
    assert said == [prompt("Count the letters.", ROW, "rust", str(n), 3) for n in range(30)]
    assert len(set(said)) > 5
    assert all(len(text.split(". ")) <= 3 for text in said)


@pytest.mark.parametrize("response", ["Sure.", "```python\ndef f(:\n```", "```text\nnothing\n```", "Sure", ""])
def test_no_prompt_where_no_code_can_be_read(response):
    assert prompt("Do it.", response, "python", "1", 3) is None


def test_concepts_are_noted_of_every_row_whose_code_can_be_read():
    heap = "```python\nimport heapq\ndef f(xs):\n    print(sorted(xs))\n    return heapq.heappop(xs)\n```"
    rows = [
        ("generation", heap),
        ("data_filtering", heap),
        ("generation", "Sure."),
        ("generation", "```python\nprint(1)\n```"),
    ]
    columns = {
        "id": ["1", "2", "3", "4"], "task": [task for task, _ in rows], "instruction": ["Do it."] * 4,
        "response": [text for _, text in rows], "language": ["python"] * 4,
    }  # fmt: skip
    found = customise.batch(columns, config=customise.Config(alchemist="static"), sample=frozenset())
    assert found["concepts"] == [["sorting", "heap"], ["sorting", "heap"], None, []]
    assert [prompt is None for prompt in found["alchemist_prompt"]] == [False, True, True, False]


def test_bare_code_of_a_commit_is_read_in_the_rows_language():
    assert readings("package a\nfunc F() {}\n", "go").functions == ("F()",)
