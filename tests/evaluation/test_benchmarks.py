"""Benchmarks come whole from a folder or a pinned origin, or one sentence says why not."""

import ast
import gzip
import hashlib
import http.server
import json
import pkgutil
import re
import threading

import pytest

from artefacts import Refusal
from evaluation import benchmarks, extract
from evaluation.benchmarks import Problem, ds1000, files, humaneval_plus, humaneval_x, mbpp, mbpp_plus


def test_every_name_is_a_module_with_versions_and_load():
    modules = {m.name for m in pkgutil.iter_modules(benchmarks.__path__)}
    assert set(benchmarks.NAMES) == modules - {"files"}
    for name in benchmarks.NAMES:
        assert benchmarks.module(name, "here").VERSIONS and callable(benchmarks.module(name, "here").load)


COUNTS = {
    ("humaneval", "v1.0"): 164,
    ("humaneval_plus", "v0.1.10"): 164,
    ("humaneval_plus", "v0.1.9"): 164,
    ("humaneval_plus", "mini-v0.1.10"): 164,
    ("mbpp", "full"): 974,
    ("mbpp", "sanitized"): 427,
    ("mbpp_plus", "v0.2.0"): 378,
    ("mbpp_plus", "v0.1.0"): 399,
    ("humaneval_x", "v1"): 656,
    ("humanevalpack", "v1"): 656,
    ("ds1000", "v1"): 779,
}


@pytest.mark.parametrize(("name", "version"), COUNTS)
def test_real_sets_are_read_whole(real_data, name, version):
    problems = benchmarks.load(name, real_data, version)
    assert len(problems) == COUNTS[name, version]
    assert len({(p.task_id, p.language) for p in problems}) == len(problems)
    assert all(p.prompt and p.solution and (p.entry_point or name == "ds1000") for p in problems)


def test_the_function_of_a_declaration_is_the_one_humanevalpack_names(real_data):
    known = {p.task_id: p.entry_point for p in benchmarks.load("humanevalpack", real_data)}
    found = {p.task_id: p.entry_point for p in benchmarks.load("humaneval_x", real_data)}
    other = {i for i in found if found[i].lower() != known[i].lower()}
    # translated names were corrected between the two sets
    assert other <= {"Java/22", "Java/99", "Java/101", "CPP/27", "CPP/77", "CPP/121", "CPP/156"}


def test_mbpp_splits_and_functions(real_data):
    sanitized = benchmarks.load("mbpp", real_data, "sanitized")
    assert sum(p.split == "test" for p in sanitized) == 257
    assert [p.task_id for p in sanitized if p.split == "prompt"][:3] == ["Mbpp/2", "Mbpp/3", "Mbpp/4"]
    plus = {p.task_id: p.entry_point for p in benchmarks.load("mbpp_plus", real_data, "v0.1.0")}
    assert all(plus.get(p.task_id, p.entry_point) == p.entry_point for p in sanitized)


def test_mbpp_plus_restores_tuples_sets_and_complex_numbers(real_data):
    problems = {p.task_id: p for p in benchmarks.load("mbpp_plus", real_data)}
    for task_id, types in {"Mbpp/2": (tuple, tuple), "Mbpp/124": (float, complex), "Mbpp/106": (list, tuple)}.items():
        assert tuple(type(a) for a in problems[task_id].extra["base_input"][0]) == types
    # the base inputs are those of the asserts: same values, same types
    call = ast.parse(problems["Mbpp/580"].test.strip().splitlines()[0]).body[0].test.left
    assert problems["Mbpp/580"].extra["base_input"][0] == [ast.literal_eval(a) for a in call.args]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ({"name": "humanevil"}, "no benchmark 'humanevil'; known benchmarks: humaneval, "),
        ({"name": "mbpp_plus", "version": "v9"}, "mbpp_plus has no version 'v9'; known versions: v0.2.0, v0.1.0"),
        ({"name": "ds1000"}, "has no ds1000.jsonl.gz or ds1000.jsonl"),
        ({"name": "humanevalpack"}, "has no python_humanevalpack.jsonl.gz"),
    ],
)
def test_what_is_not_there_is_one_sentence(tmp_path, ask, says):
    with pytest.raises(Refusal, match=says) as refusal:
        benchmarks.load(folder=tmp_path, **ask)
    assert str(refusal.value).count("\n") == 0


@pytest.mark.parametrize("data", [b"\x1f\x8bbroken", b"{}\n" * 3, b"{not json\n", b"\xff\xfe\n"])
def test_a_damaged_file_is_one_sentence(tmp_path, data):
    (tmp_path / "HumanEvalPlus.jsonl.gz").write_bytes(data)
    with pytest.raises(Refusal, match=r"humaneval_plus v0.1.10: .*(cannot be read|holds 3 problems, not 164)"):
        benchmarks.load("humaneval_plus", tmp_path)


def test_a_row_of_another_shape_is_one_sentence(tmp_path):
    (tmp_path / "HumanEval.jsonl").write_text('{"id": 1}\n' * 164)
    with pytest.raises(Refusal, match="has not the columns it should .*task_id"):
        benchmarks.load("humaneval", tmp_path)


def test_a_folder_of_some_languages_gives_those(tmp_path):
    row = {"task_id": "Go/0", "prompt": "p", "canonical_solution": "s", "test": "t",
           "declaration": "func Twice(x int) int {\n"}  # fmt: skip
    lines = "".join(json.dumps(row | {"task_id": f"Go/{n}"}) + "\n" for n in range(164))
    (tmp_path / "humaneval_go.jsonl").write_text(lines)
    problems = benchmarks.load("humaneval_x", tmp_path)
    assert len(problems) == 164 and {(p.language, p.entry_point) for p in problems} == {("go", "Twice")}


def rows_of(folder, file, count, **columns):
    row = {"prompt": "p", "canonical_solution": "s", "test": "t", "entry_point": "f", "declaration": "d"} | columns
    folder.mkdir(exist_ok=True)
    (folder / file).write_text("".join(json.dumps(row | {"task_id": f"T/{n}"}) + "\n" for n in range(count)))


def test_a_rust_solution_of_humaneval_x_continues_its_function(tmp_path):
    """Its rows have the docstring in `prompt` and the function's head in `declaration`: it takes both to compile."""
    row = {"task_id": "Rust/0", "prompt": "\n/*\n Add one.\n*/\n", "canonical_solution": "    n + 1\n}\n",
           "declaration": "\nuse std::mem;\nfn add(n:i32) -> i32{\n",
           "test": "rng.gen_range(b'a', b'z' + 1);\n"}  # fmt: skip
    path = tmp_path / "humaneval_rust.jsonl"
    path.write_text("".join(json.dumps(row | {"task_id": f"Rust/{n}"}) + "\n" for n in range(164)))
    problem = benchmarks.load("humaneval_x", tmp_path)[0]
    whole = "\nuse std::mem;\nfn add(n:i32) -> i32{\n\n/*\n Add one.\n*/\n    n + 1\n}\n"
    assert extract.program(problem.solution, problem) == whole and problem.entry_point == "add"
    assert problem.test == "rng.gen_range(b'a'..b'z' + 1);\n"  # as the crate rand has it since 0.8
    assert extract.program("fn add(n:i32) -> i32{ n + 1 }", problem).startswith("use std::mem;\n")


def test_what_a_folder_lacks_of_the_published_set_is_named(tmp_path):
    rows_of(tmp_path, "go_humanevalpack.jsonl", 164)
    rows_of(tmp_path, "rust_humanevalpack.jsonl", 164)
    problems = benchmarks.load("humanevalpack", tmp_path)
    names = ("python", "javascript", "java", "cpp")
    assert benchmarks.absent("humanevalpack", problems) == {n: {"expected": 164, "found": 0} for n in names}
    assert benchmarks.absent("humanevalpack", problems, ["go", "java"]) == {"java": {"expected": 164, "found": 0}}
    assert benchmarks.absent("humanevalpack", problems, ["go"]) == {}
    assert sum(ds1000.PARTS.values()) == 1000 and set(ds1000.PARTS) == set(ds1000.MODULES)


def test_what_the_real_folder_lacks(real_data):
    def found(name):
        return benchmarks.absent(name, benchmarks.load(name, real_data))

    assert found("ds1000") == {"Sklearn": {"expected": 115, "found": 0}, "Scipy": {"expected": 106, "found": 0}}
    assert list(found("humaneval_x")) == list(found("humanevalpack")) == ["go", "rust"]
    assert found("humaneval") == found("mbpp_plus") == {}


_GO_HEAD = 'package main\n\nimport (\n    "testing"\n    "math"\n    "github.com/stretchr/testify/assert"\n)\n'
_GO_PROMPT = 'import (\n    "math"\n    "strings"\n)\n\nfunc F(x float64) string {\n'
_GO_USED = ["testing", "math", "github.com/stretchr/testify/assert"]
_GO_TEST = "func TestF(t *testing.T) {\n    assert := assert.New(t)\n    assert.Equal(math.Pi, F(1))\n}\n"


@pytest.mark.parametrize(
    ("program", "imported"),
    [
        # the prompt's `strings` is not used, `math` stands above test and prompt, `strconv` is imported by nobody
        (_GO_PROMPT + "    return strconv.Itoa(1)\n}\n", [*_GO_USED, "strconv"]),
        (_GO_PROMPT + "    // strings.ToUpper\n    return rand.Name()\n}\n",
         [*_GO_USED, "math/rand"]),
        # what a program imports itself stays, used or not, and no other package of that name is added
        ('package main\n\nimport "os"\nimport (\n\t"crypto/rand"\n)\nfunc F(x float64) string { return rand.Name() }',
         [*_GO_USED, "os", "crypto/rand"]),
    ],
)  # fmt: skip
def test_a_go_program_imports_what_it_needs_once(program, imported):
    problem = Problem("Go/0", _GO_PROMPT, "", _GO_TEST, "F", "go", extra={"test_setup": _GO_HEAD})
    text = humaneval_x.go_program(program, problem)
    assert re.findall(r'^    "(.*)"$', text, re.MULTILINE) == imported
    assert text.count("package main") == text.count("import") == 1 and "func F(x float64) string {" in text
    assert humaneval_x.go_program(text, problem) == text  # it has the head of a test already


@pytest.fixture
def github(monkeypatch, tmp_path):
    """A loopback stand-in for raw.githubusercontent.com; what it is asked for is noted."""
    served, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            data = served.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(files, "GITHUB", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(files, "CACHE", tmp_path / "cache")
    monkeypatch.delenv("REAL_DATA_DIR", raising=False)
    yield served, asked
    server.shutdown()
    server.server_close()


def toy_release(monkeypatch):
    row = {"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "    return 1\n",
           "entry_point": "f", "base_input": [[]], "plus_input": [], "atol": 0, "contract": ""}  # fmt: skip
    data = gzip.compress((json.dumps(row) + "\n").encode())
    origin = files.GitHub("lab/release", "c" * 40, "toy.jsonl.gz", hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(humaneval_plus.FILES, "v0.1.10", files.File(("absent.jsonl.gz",), origin, 1))
    return data, f"/lab/release/{'c' * 40}/toy.jsonl.gz"


def test_a_pinned_file_is_fetched_once_and_checked(github, monkeypatch):
    served, asked = github
    data, path = toy_release(monkeypatch)
    served[path] = data
    assert [p.task_id for p in benchmarks.load("humaneval_plus")] == ["HumanEval/0"]
    assert [p.task_id for p in benchmarks.load("humaneval_plus")] == ["HumanEval/0"]
    assert asked == [path]


def test_other_bytes_than_pinned_are_refused_and_not_kept(github, monkeypatch):
    served, _ = github
    data, path = toy_release(monkeypatch)
    served[path] = data + b"x"
    with pytest.raises(Refusal, match="its sha256 is .*, expected"):
        benchmarks.load("humaneval_plus")
    assert not list(files.CACHE.rglob("*.gz"))


def test_a_file_that_is_gone_is_one_sentence(github, monkeypatch):
    toy_release(monkeypatch)
    with pytest.raises(Refusal, match="humaneval_plus v0.1.10: .*cannot be fetched.*name a folder"):
        benchmarks.load("humaneval_plus")


def test_names_of_functions():
    assert humaneval_x.entry_point("int for_all(int a){\n return 1;\n}\nint add(int a, int b){\n", "cpp") == "add"
    assert mbpp.entry_point("def a(x): return 1\r\ndef b(x):\r\n  return a(x)\r\n", ["assert b(1) == 1"]) == "b"
    assert mbpp_plus.inputs("Mbpp/115", [[[[1], []]]]) == [[[{1}, {}]]]
