# ruff: noqa: E501  (prompts and programs are data here)
"""HumanEvalPack's prompts, byte by byte, and what generations become: expected texts are written by hand."""

import json

import pytest

import sandbox
from evaluation import checkpoint as module
from evaluation import octopack, protocol, reproduce, result
from evaluation.benchmarks import Problem
from evaluation.judge import Limits, judge

# one function in six languages, in the columns of the set; spaces at the ends of texts differ as they do there
ROWS = {
    "python": {
        "prompt": 'from typing import List\n\n\ndef twice(x: int) -> int:\n    """ Twice x. """\n',
        "declaration": "from typing import List\n\n\ndef twice(x: int) -> int:\n",
        "solution": "    return x + x\n",
        "buggy_solution": "    return x\n",
        "test": "\n\ndef check(twice):\n    assert twice(2) == 4\n\ncheck(twice)",
    },
    "javascript": {
        "prompt": "/* Twice x. */\nconst twice = (x) => {\n",
        "declaration": "\nconst twice = (x) => {\n",
        "solution": "  return x + x;\n}\n\n",
        "buggy_solution": "  return x;\n}\n\n",
        "test": "console.assert(twice(2) === 4)\n",
    },
    "java": {
        "prompt": "import java.util.*;\n\nclass Solution {\n    /** Twice x. */\n    public int twice(int x) {\n",
        "declaration": "import java.util.*;\n\nclass Solution {\n    public int twice(int x) {\n",
        "solution": "        return x + x;\n    }\n}",
        "buggy_solution": "        return x;\n    }\n}",
        "test": "public class Main {\n    public static void main(String[] args) {\n"
        "        if (new Solution().twice(2) != 4) throw new AssertionError();\n    }\n}\n",
    },
    "go": {
        "prompt": 'import (\n    "math"\n)\n\n// Twice x.\nfunc Twice(x float64) float64 {\n',
        "declaration": "\nfunc Twice(x float64) float64 {\n",
        "solution": "    return math.Abs(x) + x\n}\n\n",
        "buggy_solution": "    return math.Abs(x)\n}\n\n",
        "test": "func TestTwice(t *testing.T) {\n    assert := assert.New(t)\n    assert.Equal(4.0, Twice(2))\n}\n",
        "test_setup": 'package main\n\nimport (\n    "testing"\n    "github.com/stretchr/testify/assert"\n)\n',
    },
    "cpp": {
        "prompt": "/*\nTwice x.\n*/\n#include<stdio.h>\nint twice(int x){\n",
        "declaration": "#include<stdio.h>\nint twice(int x){\n",
        "solution": "    return x + x;\n}\n\n",
        "buggy_solution": "    return x;\n}\n\n",
        "test": "#undef NDEBUG\n#include<assert.h>\nint main(){\n    assert (twice(2) == 4);\n}\n",
    },
    "rust": {
        "prompt": "fn main(){}\n\nuse std::cmp::max;\n\n/*\n Twice x.\n*/\nfn twice(x: i32) -> i32{\n",
        "declaration": "\nuse std::cmp::max;\n\nfn twice(x: i32) -> i32{\n",
        "solution": "\n    return x + max(x, x);\n\n}\n",
        "buggy_solution": "\n    return max(x, x);\n\n}\n",
        "test": "\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn test_twice() {\n"
        "        assert_eq!(twice(2), 4);\n    }\n}\n",
    },
}


def problem(language):
    row = {"docstring": "Twice x.", "instruction": "Write `twice` to solve the following problem:\nTwice x. "}
    row |= ROWS[language]
    entry_point = "Twice" if language == "go" else "twice"
    return Problem(f"{language}/0", row["prompt"], row.pop("solution"), row["test"], entry_point, language, extra=row)


def rules(name):
    return protocol.read(protocol.FOLDER / f"{name}.yaml")


def prompt_of(name, language, describe=False, description=None):
    asked, has = rules(name), problem(language)
    if description is not None:
        (has,) = protocol.described(asked, has, [description])
    (made,) = module._prompts(asked, {has.task_id: [has]}, [], asked.describe if describe else None)[has.task_id]
    assert not made.chat
    return made.text + made.prefix


FIX_TESTS = {
    "python": "Question: Fix bugs in twice.\nfrom typing import List\n\n\ndef twice(x: int) -> int:\n    return x\n\n\n\n"
    "def check(twice):\n    assert twice(2) == 4\n\ncheck(twice)\n\nAnswer:\n"
    "from typing import List\n\n\ndef twice(x: int) -> int:",
    "javascript": "Question: Fix bugs in twice.\n\nconst twice = (x) => {\n  return x;\n}\n\n\n"
    "console.assert(twice(2) === 4)\n\n\nAnswer:\n\nconst twice = (x) => {",
    "java": "Question: Fix bugs in twice.\nimport java.util.*;\n\nclass Solution {\n    public int twice(int x) {\n"
    "        return x;\n    }\n}\npublic class Main {\n    public static void main(String[] args) {\n"
    "        if (new Solution().twice(2) != 4) throw new AssertionError();\n    }\n}\n\n\nAnswer:\n"
    "import java.util.*;\n\nclass Solution {\n    public int twice(int x) {",
    "go": "Question: Fix bugs in Twice.\n\nfunc Twice(x float64) float64 {\n    return math.Abs(x)\n}\n\n\n"
    "func TestTwice(t *testing.T) {\n    assert := assert.New(t)\n    assert.Equal(4.0, Twice(2))\n}\n\n\nAnswer:\n"
    "\nfunc Twice(x float64) float64 {",
    "cpp": "Question: Fix bugs in twice.\n#include<stdio.h>\nint twice(int x){\n    return x;\n}\n\n\n"
    "#undef NDEBUG\n#include<assert.h>\nint main(){\n    assert (twice(2) == 4);\n}\n\n\nAnswer:\n"
    "#include<stdio.h>\nint twice(int x){",
    "rust": "Question: Fix bugs in twice.\nfn main(){}\n\nuse std::cmp::max;\n\nfn twice(x: i32) -> i32{\n\n"
    "    return max(x, x);\n\n}\n\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn test_twice() {\n"
    "        assert_eq!(twice(2), 4);\n    }\n}\n\n\nAnswer:\n"
    "fn main(){}\n\nuse std::cmp::max;\n\nfn twice(x: i32) -> i32{",
}
FIX_DOCS = {
    "python": "Question: Fix bugs in twice.\nfrom typing import List\n\n\ndef twice(x: int) -> int:\n"
    '    """ Twice x. """\n    return x\n\n\nAnswer:\nfrom typing import List\n\n\ndef twice(x: int) -> int:\n'
    '    """ Twice x. """',
    "javascript": "Question: Fix bugs in twice.\n/* Twice x. */\nconst twice = (x) => {\n  return x;\n}\n\n\n\nAnswer:\n"
    "/* Twice x. */\nconst twice = (x) => {",
    "java": "Question: Fix bugs in twice.\nimport java.util.*;\n\nclass Solution {\n    /** Twice x. */\n"
    "    public int twice(int x) {\n        return x;\n    }\n}\n\nAnswer:\nimport java.util.*;\n\nclass Solution {\n"
    "    /** Twice x. */\n    public int twice(int x) {",
    "go": 'Question: Fix bugs in Twice.\nimport (\n    "math"\n)\n\n// Twice x.\nfunc Twice(x float64) float64 {\n'
    '    return math.Abs(x)\n}\n\n\n\nAnswer:\nimport (\n    "math"\n)\n\n// Twice x.\n'
    "func Twice(x float64) float64 {",
    "cpp": "Question: Fix bugs in twice.\n/*\nTwice x.\n*/\n#include<stdio.h>\nint twice(int x){\n    return x;\n}\n\n\n\n"
    "Answer:\n/*\nTwice x.\n*/\n#include<stdio.h>\nint twice(int x){",
    "rust": "Question: Fix bugs in twice.\nfn main(){}\n\nuse std::cmp::max;\n\n/*\n Twice x.\n*/\n"
    "fn twice(x: i32) -> i32{\n\n    return max(x, x);\n\n}\n\n\nAnswer:\nfn main(){}\n\nuse std::cmp::max;\n\n/*\n"
    " Twice x.\n*/\nfn twice(x: i32) -> i32{",
}
_SAY = "Question: Provide a concise natural language description of the code using at most 8 characters.\n"
DESCRIBE = {
    "python": "from typing import List\n\n\ndef twice(x: int) -> int:\n    return x + x\n\n\nAnswer:",
    "javascript": "\nconst twice = (x) => {\n  return x + x;\n}\n\n\n\nAnswer:",
    "java": "import java.util.*;\n\nclass Solution {\n    public int twice(int x) {\n        return x + x;\n    }\n}\n\nAnswer:",
    "go": "\nfunc Twice(x float64) float64 {\n    return math.Abs(x) + x\n}\n\n\n\nAnswer:",
    "cpp": "#include<stdio.h>\nint twice(int x){\n    return x + x;\n}\n\n\n\nAnswer:",
    "rust": "fn main(){}\n\nuse std::cmp::max;\n\nfn twice(x: i32) -> i32{\n\n    return x + max(x, x);\n\n}\n\n\nAnswer:",
}
EXPLAINED = {
    "python": ("Python", "from typing import List\n\n\ndef twice(x: int) -> int:"),
    "javascript": ("JavaScript", "\nconst twice = (x) => {"),
    "java": ("Java", "import java.util.*;\n\nclass Solution {\n    public int twice(int x) {"),
    "go": ("Go", "\nfunc Twice(x float64) float64 {"),
    "cpp": ("C++", "#include<stdio.h>\nint twice(int x){"),
    "rust": ("Rust", "fn main(){}\n\nuse std::cmp::max;\n\nfn twice(x: i32) -> i32{"),
}
SYNTHESIZED = {
    "python": 'from typing import List\n\n\ndef twice(x: int) -> int:\n    """ Twice x. """',
    "javascript": "/* Twice x. */\nconst twice = (x) => {",
    "java": "import java.util.*;\n\nclass Solution {\n    /** Twice x. */\n    public int twice(int x) {",
    "go": 'import (\n    "math"\n)\n\n// Twice x.\nfunc Twice(x float64) float64 {',
    "cpp": "/*\nTwice x.\n*/\n#include<stdio.h>\nint twice(int x){",
    "rust": "fn main(){}\n\nuse std::cmp::max;\n\n/*\n Twice x.\n*/\nfn twice(x: i32) -> i32{",
}


@pytest.mark.parametrize("language", ROWS)
def test_prompts_of_octocoder(language):
    assert prompt_of("octopack/fix_tests", language) == FIX_TESTS[language]
    assert prompt_of("octopack/fix_docs", language) == FIX_DOCS[language]
    assert prompt_of("octopack/explain", language, describe=True) == _SAY + DESCRIBE[language]
    name, shown = EXPLAINED[language]
    said = f"Question: Write functional code in {name} according to the description.\nDoubles.\n\nAnswer:\n{shown}"
    assert prompt_of("octopack/explain", language, description=" Doubles.\n") == said
    said = "Question: Write `twice` to solve the following problem:\nTwice x.\n\nAnswer:\n" + SYNTHESIZED[language]
    assert prompt_of("octopack/synthesize", language) == said


def squeezed(text):
    """A prompt of OctoCoder as OctoGeeX's: the question ends without space."""
    question, answer = text.split("\n\nAnswer:")
    return f"{question.rstrip()}\n\nAnswer:{answer}"


@pytest.mark.parametrize("language", ROWS)
def test_prompts_of_octogeex_have_no_space_behind_the_question(language):
    assert prompt_of("octogeex/fix_tests", language) == squeezed(FIX_TESTS[language])
    assert prompt_of("octogeex/fix_docs", language) == squeezed(FIX_DOCS[language])
    assert prompt_of("octogeex/explain", language, describe=True) == squeezed(_SAY + DESCRIBE[language])
    name, shown = EXPLAINED[language]
    said = f"Question: Write functional code in {name} according to the description.\nIt does\n\nAnswer:\n{shown}"
    assert prompt_of("octogeex/explain", language, description="It does\n") == said
    assert prompt_of("octogeex/synthesize", language) == prompt_of("octopack/synthesize", language)


def test_a_description_is_shortened_then_cut_then_loses_lines_of_the_solution():
    line = "return sorted(set(numbers))[:-1]"
    extra = {"docstring": "x" * 60, "declaration": "d"}
    has = Problem("Go/0", "p", f"    {line}\n    short = 1\n", "t", "f", "go", extra=extra)
    stops = rules("octopack/explain").stop_by_language["go"]

    def told(text):
        return octopack.description(text, has, stops)

    assert told(f"  It does {line}, short = 1, and then more") == "It does , short = 1, and the"  # 60 less 32
    assert told("A constructor of it.") == "A con"  # `struct` ends Go's descriptions, too
    assert told("One.\n// Two.") == "One."


CUTS = {
    "python": [
        ("\n    return 1\n\n\nprint(f(1))\n", "\n    return 1\n\n"),
        ("\n    return 1\n}\nx = 1", "\n    return 1"),
        ("\n    return 1\n\n", "\n    return 1"),
        ("```python\ndef f():", ""),
    ],
    "javascript": [
        ("\n  if (x) { return 1 }\n}\nf(1)", "\n  if (x) { return 1 }\n}"),
        ("\n  return '}'\n}\n", "\n  return '}"),  # braces in strings count
        ("\n  while (x) { y() }\n  oh", "\n  while (x) { y() }"),
        ("\n  return 1", "\n  return 1"),
    ],
    "java": [
        ("\n  return 1;\n }\n}\nclass B {}", "\n  return 1;\n }\n}"),
        ("\n  return 1;\n }\n  public static void main(String[] a) {", "\n  return 1;\n }\n  }"),
        ("\n  if (x) { y(); ", "\n  if (x) { y();\n}"),
        ("\n  return 1;\n }\n", "\n  return 1;\n }"),
    ],
    "go": [
        ("\n    return 1\n}\n\nfunc main() {}", "\n    return 1\n}"),
        ("\n    x := []struct{a int}{}", "\n    x := []"),
        ("\n    if x {\n        a()\n    }\n// more", "\n    if x {\n        a()\n    }"),
    ],
    "cpp": [("\n    return 1;\n}\nint main(){ }", "\n    return 1;\n}")],
    "rust": [("\n    1\n}\nfn main() { f(); }", "\n    1\n}")],
}


@pytest.mark.parametrize(
    ("language", "pair"), [(language, pair) for language, pairs in CUTS.items() for pair in pairs]
)
def test_a_generation_ends_with_the_function(language, pair):
    stops = rules("octopack/synthesize").stop_by_language.get(language, [])
    assert octopack.cut(pair[0], language, stops) == pair[1]


_CPP_HEAD = (
    "using namespace std;\n#include<stdlib.h>\n#include<algorithm>\n#include<cmath>\n#include<math.h>\n"
    "#include<numeric>\n#include<stdio.h>\n#include<vector>\n#include<set>\n#include<map>\n#include<queue>\n"
    "#include<stack>\n#include<list>\n#include<deque>\n#include<string>\n#include<climits>\n#include<cstring>\n"
    "#include<iostream>\n#include<sstream>\n#include<fstream>\n"
)
_PYTHON_HEAD = (
    "import math\nimport re\nimport sys\nimport copy\nimport datetime\nimport itertools\nimport collections\n"
    "import heapq\nimport statistics\nimport functools\nimport hashlib\n%simport string\nfrom typing import *\n"
    "from collections import *\n"
)
PROGRAMS = [  # task, generation, program
    ("fix_tests", "python", "\n    return x + x\n",
     _PYTHON_HEAD % "" + "from typing import List\n\n\ndef twice(x: int) -> int:\n    return x + x"),
    ("explain", "python", "\n    return int(np.sum([x, x]))\n\nx = 1",
     _PYTHON_HEAD % "import numpy\nimport numpy as np\n" + "from typing import List\n\n\ndef twice(x: int) -> int:\n"
     '    """ Twice x. """\n    return int(np.sum([x, x]))'),
    ("synthesize", "javascript", "\n  return 2 * x\n}\nmore", "/* Twice x. */\nconst twice = (x) => {\n  return 2 * x\n}"),
    ("fix_docs", "java", "\n        return 2 * x;\n    }\n\n    public static void main(String[] args) {\n    }",
     "import java.util.*;\n\nclass Solution {\n    /** Twice x. */\n    public int twice(int x) {\n"
     "        return 2 * x;\n    }\n\n    }"),
    ("fix_tests", "cpp", "\n    return 2 * x;\n}\n", _CPP_HEAD + "#include<stdio.h>\nint twice(int x){\n    return 2 * x;\n}"),
    ("fix_tests", "go", "\n    return math.Abs(x) + x // strconv.Itoa\n}\n",
     'package main\n\nimport (\n    "testing"\n    "github.com/stretchr/testify/assert"\n)\n\n'
     'import (\n    "math"\n    "strconv"\n)\n\n'
     "func Twice(x float64) float64 {\n    return math.Abs(x) + x // strconv.Itoa\n}"),
    ("synthesize", "go", "\n    return math.Abs(x) + x\n}\n",
     'package main\n\nimport (\n    "testing"\n    "github.com/stretchr/testify/assert"\n)\n\n'
     'import (\n    "math"\n)\n\n// Twice x.\nfunc Twice(x float64) float64 {\n    return math.Abs(x) + x\n}'),
    ("fix_tests", "rust", "\n    x + max(x, x)\n}\n",
     "fn main(){}\n\nuse std::cmp::max;\n\nfn twice(x: i32) -> i32{\n    x + max(x, x)\n}"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "language", "generation", "expected"), PROGRAMS)
def test_a_generation_becomes_a_program(task, language, generation, expected):
    assert protocol.program(rules(f"octopack/{task}"), problem(language), generation) == expected


def test_imports_and_mains_of_a_generation_are_not_there_twice():
    go = problem("go")
    own = octopack.program('package main\nimport "testing"\nfunc Twice() { rand.Intn(2) }', go)
    assert own == (
        'package main\n\nimport (\n    \n    "github.com/stretchr/testify/assert"\n)\n\nimport (\n    "rand"\n)\n'
        '\nimport "testing"\nfunc Twice() { rand.Intn(2) }'
    )
    rust = octopack.program("fn twice(x: i32) -> i32 { x }\nfn main() { 1 }\nfn main() { 2 }", problem("rust"))
    assert rust == "use std::cmp::max;\nfn twice(x: i32) -> i32 { x }\nfn main() { 1 }\n"
    assert octopack.program("fn twice(", problem("rust")) == "fn main(){}\nuse std::cmp::max;\nfn twice("
    cpp = octopack.program("int twice(int x){ return boost::any_cast<int>(x); }\nint main(){ }", problem("cpp"))
    assert "#include<deque>\n#include<boost/any.hpp>\n#include<string>\n" in cpp and "main" not in cpp


@pytest.mark.parametrize("task", ["fix_tests", "fix_docs", "explain", "synthesize"])
@pytest.mark.parametrize("language", ROWS)
def test_right_generations_pass_and_buggy_ones_fail(language, task):
    has, asked = problem(language), rules(f"octopack/{task}")
    texts = ["\n" + has.solution + "\nand more words", "\n" + has.extra["buggy_solution"]]
    programs = {has.task_id: [protocol.program(asked, has, text) for text in texts]}
    right, buggy = judge([has], programs, Limits(sandbox.Limits(cpu_s=10, wall_s=120, memory_mib=2048)))[has.task_id]
    if right["status"] == "not_run":
        pytest.skip(right["reason"])
    assert (right["status"], buggy["status"]) == ("ok", "wrong_output"), (right, buggy)


def test_a_program_is_written_from_every_description(tiny_model, tmp_path, monkeypatch):
    descriptions = ["Twice.", "Three!", "Nothing"]
    asked = []

    def answers(engine, model, prompts, decoding, title):
        asked.append([(prompt.task_id, prompt.sample, prompt.text) for prompt in prompts])
        for index, prompt in enumerate(prompts):
            is_first = "Provide a concise" in prompt.text
            yield {index: descriptions[prompt.sample] if is_first else f"\n    return {2 + prompt.sample} * x\n"}

    monkeypatch.setattr(module.generate, "answers", answers)
    monkeypatch.setattr(module.benchmarks, "load", lambda *_: [problem("python")])
    path = tmp_path / "explain.yaml"
    path.write_text(
        (protocol.FOLDER / "octopack/explain.yaml").read_text().replace("samples_per_task: 20", "samples_per_task: 3")
    )
    found = module.evaluate(module.Generator(str(tiny_model)), path, module.Selection(), tmp_path / "out")
    assert [[(task_id, n) for task_id, n, _ in some] for some in asked] == [[("python/0", n) for n in range(3)]] * 2
    assert [text.split("\n")[1] for _, _, text in asked[1]] == descriptions
    # answers stand where those of every other task do: under the task and the number of the sample
    for name, texts in (
        ("descriptions", descriptions), ("samples", [f"\n    return {n} * x\n" for n in (2, 3, 4)])
    ):  # fmt: skip
        rows = [json.loads(line) for line in (tmp_path / f"out/{name}.jsonl").open()]
        assert [(r["task_id"], r["sample"], r["answer"]) for r in rows] == [
            ("python/0", n, text) for n, text in enumerate(texts)
        ]  # fmt: skip
    task = found["tasks"]["python/0"]
    assert (task["samples"], task["passed"]) == (3, 1) and found["pass_at_1"] == pytest.approx(1 / 3)
    # 163 more in Python and 820 in other languages were published, and a result says so
    assert found["problems_in_benchmark"] == 984 and found["absent"]["python"] == {"expected": 164, "found": 1}
    assert "python: expected 164, found 1, javascript: expected 164, found 0" in result.line(found)
    verdict = reproduce.row("octopack/explain", 24.5, found)["verdict"]
    assert verdict == "no verdict: 983 of 984 problems were not scored"
    programs = [json.loads(line)["program"] for line in (tmp_path / "out/result.programs.jsonl").open()]
    assert [text[-8:] for text in programs] == [f"rn {n} * x" for n in (2, 3, 4)]
