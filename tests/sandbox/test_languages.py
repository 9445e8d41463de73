# ruff: noqa: E501  (programs are data here, and stay on one line)
"""JavaScript, Java, Go, C++ and Rust: compile and run in a room, never a pass by exit code alone."""

import pytest

from sandbox import Job, Limits, languages
from sandbox.backends import self_test
from sandbox.worker import Worker

LIMITS = Limits(cpu_s=3, wall_s=30, memory_mib=256, compile_cpu_s=20)

JAVA_MAIN = "public class Main { public static void main(String[] args) throws Exception { %s } }"
CPP_MAIN = "#undef NDEBUG\n#include <assert.h>\nint main() { %s }"
GO_HEAD = 'package main\nimport "testing"\n'
PROGRAMS = {
    "javascript": {
        "hello": "console.log('hello')",
        "stdin": "console.log(require('fs').readFileSync(0, 'utf8').trim())",
        "candidate": "const f = x => x + 1",
        "right": "console.assert(f(1) === 2)",
        "wrong": "console.assert(f(1) === 3)",
        "leaves": "const f = x => process.exit(0)",
        "broken": "const f = (",
        "loop": "while (true) {}",
        "memory": "const a = []; while (true) a.push(new Array(1e6).fill(1.5))",
        "flood": "while (true) require('fs').writeSync(1, 'x'.repeat(1000))",
        "crash": "null.x",
    },
    "java": {
        "hello": 'class Any { public static void main(String[] args) { System.out.println("hello"); } }',
        "candidate": "class Solution { int f(int x) { return x + 1; } }",
        "right": JAVA_MAIN % "if (new Solution().f(1) != 2) throw new AssertionError();",
        "wrong": JAVA_MAIN % "if (new Solution().f(1) != 3) throw new AssertionError();",
        "leaves": "class Solution { int f(int x) { System.exit(0); return x; } }",
        "broken": "class Solution { int f(",
        "loop": JAVA_MAIN % "while (true) {}",
        "memory": JAVA_MAIN % "java.util.List<long[]> a = new java.util.ArrayList<>(); while (true) a.add(new long[1 << 20]);",
        "crash": JAVA_MAIN % 'throw new IllegalStateException("oh");',
    },
    "cpp": {
        "hello": '#include <cstdio>\nint main() { puts("hello"); }',
        "candidate": "int f(int x) { return x + 1; }",
        "right": CPP_MAIN % "assert(f(1) == 2);",
        "wrong": CPP_MAIN % "assert(f(1) == 3);",
        "leaves": "#include <cstdlib>\nint f(int x) { exit(0); }",
        "broken": "int f(",
        "loop": "int main() { for (volatile int i = 0;; i = 0) {} }",
        "memory": "#include <vector>\nint main() { std::vector<std::vector<char>> a; for (;;) a.emplace_back(1 << 26, 'x'); }",
        "flood": '#include <cstdio>\nint main() { for (;;) puts("xxxxxxxxxxxxxxxx"); }',
        "crash": "#include <stdexcept>\nint main() { throw std::out_of_range(\"oh\"); }",
    },
    "go": {
        "hello": 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
        "candidate": GO_HEAD + "func f(x int) int { return x + 1 }",
        "right": "func TestF(t *testing.T) { if f(1) != 2 { t.Fatal() } }",
        "wrong": "func TestF(t *testing.T) { if f(1) != 3 { t.Fatal() } }",
        "leaves": 'package main\nimport ("testing"; "os")\nfunc f(x int) int { os.Exit(0); return x }',
        "broken": "package main\nfunc f(",
        "loop": "package main\nfunc main() { for {} }",
        "crash": 'package main\nfunc main() { panic("oh") }',
    },
    "rust": {
        "hello": 'fn main() { println!("hello"); }',
        "candidate": "fn f(x: i32) -> i32 { x + 1 }",
        "right": "#[cfg(test)] mod tests { #[test] fn t() { assert_eq!(super::f(1), 2); } }",
        "wrong": "#[cfg(test)] mod tests { #[test] fn t() { assert_eq!(super::f(1), 3); } }",
        "leaves": "fn f(x: i32) -> i32 { std::process::exit(0) }",
        "broken": "fn f(",
        "loop": "fn main() { loop {} }",
        "memory": "fn main() { let mut a = vec![]; loop { a.push(vec![1u8; 1 << 26]); } }",
        "crash": 'fn main() { panic!("oh") }',
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def judge():
    """Judges a job in bubblewrap; skips where that, or the language's tools, are missing."""
    reason = self_test("bubblewrap")
    if reason:
        pytest.skip(f"languages other than Python need bubblewrap: {reason}")
    worker = Worker("bubblewrap")

    def judged(language, program, test=None, limits=LIMITS, **more):
        absent = languages.missing(language)
        if absent:
            pytest.skip(f"{language}: {', '.join(absent)} not installed")
        return worker.judge(Job(program, language, limits=limits, test=test, **more))

    yield judged
    worker.close()


@pytest.mark.parametrize("language", PROGRAMS)
def test_hello(judge, language):
    verdict = judge(language, PROGRAMS[language]["hello"])
    assert (verdict.status, verdict.stdout, verdict.shared_process) == ("ok", "hello\n", False), verdict


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_test_decides_and_says_that_it_shared_a_process(judge, language):
    programs = PROGRAMS[language]
    right = judge(language, programs["candidate"], programs["right"])
    assert (right.status, right.shared_process) == ("ok", True), right
    wrong = judge(language, programs["candidate"], programs["wrong"])
    assert wrong.status == "wrong_output", wrong


@pytest.mark.parametrize("language", PROGRAMS)
def test_leaving_early_with_0_is_no_pass(judge, language):
    programs = PROGRAMS[language]
    verdict = judge(language, programs["leaves"], programs["right"])
    assert (verdict.status, verdict.exception_type) == ("exception", "EarlyExit"), verdict


@pytest.mark.parametrize("language", PROGRAMS)
def test_compile_errors(judge, language):
    verdict = judge(language, PROGRAMS[language]["broken"])
    expected = {"exception"} if language == "javascript" else {"compile_error"}
    assert verdict.status in expected and (verdict.exception_message or verdict.stderr), verdict


@pytest.mark.parametrize("language", PROGRAMS)
def test_crash(judge, language):
    verdict = judge(language, PROGRAMS[language].get("crash"))
    assert verdict.status == "exception" and verdict.exception_type, verdict


@pytest.mark.parametrize("language", PROGRAMS)
def test_endless_loop(judge, language):
    limits = Limits(cpu_s=0.7, wall_s=30, memory_mib=256)
    assert judge(language, PROGRAMS[language]["loop"], limits=limits).status == "timeout"


@pytest.mark.parametrize("language", [name for name in PROGRAMS if "memory" in PROGRAMS[name]])
def test_memory(judge, language):
    assert judge(language, PROGRAMS[language]["memory"]).status == "memory"


@pytest.mark.parametrize("language", [name for name in PROGRAMS if "flood" in PROGRAMS[name]])
def test_flood(judge, language):
    assert judge(language, PROGRAMS[language]["flood"]).status == "output_limit"


def test_stdin(judge):
    assert judge("javascript", PROGRAMS["javascript"]["stdin"], stdin="hi\n").stdout == "hi\n"


def test_compiler_bomb(judge):
    bomb = "template<int N> struct A { typedef typename A<N-1>::T x; A<N+1> y; A<N+2> z; };\nA<0> a;\nint main() {}"
    nested = "#include __FILE__\n#include __FILE__\nint main() {}"
    endless = "constexpr long f(long n) { long s = 0; for (long i = 0; i < n; i++) s += i; return s; }\nstatic_assert(f(30000000) > 0);\nint main() {}"
    big = "char a[1L << 33] = {1};\nint main() { return a[5]; }"
    for program in (bomb, nested, endless, big):
        verdict = judge("cpp", program, limits=Limits(compile_cpu_s=2))
        assert verdict.status in ("compile_error", "timeout", "memory", "output_limit"), verdict


def test_network_and_host_are_out_of_reach(judge, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("canary-1b2c")
    program = f"""
        const fs = require('fs'), net = require('net');
        try {{ console.log(fs.readFileSync({str(secret)!r}, 'utf8')); }} catch (e) {{ console.log(e.code); }}
        net.connect(80, '127.0.0.1').on('error', e => console.log(e.code));"""
    verdict = judge("javascript", program)
    assert "canary" not in verdict.stdout and verdict.stdout.split()[0] == "ENOENT"
    assert "EPERM" in verdict.stdout or "EACCES" in verdict.stdout or "ENETUNREACH" in verdict.stdout, verdict


def test_a_missing_toolchain_is_not_run(monkeypatch):
    monkeypatch.setattr(languages, "missing", lambda language: ["rustc"])
    worker = Worker("bubblewrap")
    verdict = worker.judge(Job("fn main() {}", "rust"))
    assert verdict.status == "not_run" and "rustc" in verdict.exception_message


def test_landlock_runs_python_only():
    verdict = Worker("landlock").judge(Job("console.log(1)", "javascript"))
    assert verdict.status == "not_run"
