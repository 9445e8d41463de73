"""The checks of 03_clean, one row at a time, and rows that want to break it."""

import pyarrow as pa
import pytest

from dataset_scripts import clean
from dataset_scripts.clean import Config
from dataset_scripts.detectors import DETECTORS
from dataset_scripts.schema import SCHEMA, make_row
from dataset_scripts.sources import CHECKS
from dataset_scripts.stage_files import parquet_bytes

ALL = Config(min_response_chars=40, detectors=list(DETECTORS))


def cleaned(response, instruction="Do it.", config=ALL, language="unknown", task="generation", **arguments):
    row = make_row(
        source="toy", instruction=instruction, response=response, license="MIT", generator="human",
        language=language, task=task,
    )  # fmt: skip
    columns = {name: [value] for name, value in row.items()}
    out = clean.batch(columns, config=config, **arguments)
    assert {name: out[name] for name in columns if name != "reason"} == {
        name: value for name, value in columns.items() if name != "reason"
    }, "cleaning changes no row"
    return out["reason"][0], out["findings"][0], out["compile_error"][0]


@pytest.mark.parametrize(
    ("response", "mode", "reason"),
    [
        ("No.", "and", "too_short_without_code"),
        ("print(1)", "and", None),
        ("print(1)", "or", "too_short"),
        ("A long answer in words that holds no code at all, sadly.", "and", None),
        ("A long answer in words that holds no code at all, sadly.", "or", "no_code"),
        ("```python\ndef f(:\n    pass  # long enough to be kept otherwise\n```", "and", "does_not_compile"),
    ],
)
def test_short_and_codeless_by_both_readings(response, mode, reason):
    config = Config(min_response_chars=40, short_and_codeless=mode)
    assert cleaned(response, config=config)[0] == reason


PLACEHOLDER = "def save(data):\n    # Add your code here to write the file\n    pass\n"
MIXED = "Here is a function that does what you asked for.\n\nint add(int a, int b) {\n    return a + b;\n}\n"


@pytest.mark.parametrize(
    ("instruction", "response", "reason"),
    [
        ("Fix it.", "I'm sorry, but I cannot fix code that I have not been shown.", "refusal"),
        ("Write a function in Go that adds.", "```python\ndef add(a, b):\n    return a + b\n```", "language_mismatch"),
        ("Write it.", "```javascript\nfunction f( {\n```", "does_not_compile"),
        ("Write a save function.", PLACEHOLDER, "placeholder_code"),
        ("Area of a circle.", "def area(radius):\n    return math.pi * radius**2", "undefined_names"),
        (
            "Write a function to add two numbers.",
            "a, b = 1, 2\nprint('the sum is', a + b)  # 3",
            "no_asked_function",
        ),
        ("Add two numbers.", MIXED, "code_mixed_with_prose"),
        ("Add two numbers.", f"```c\n{MIXED}```", None),
        ("Mail me.", "Write to Ada: ada.lovelace@analytical-engine.org and she will answer.", "email_address"),
        ("Mail me.", "Write to john.doe@gmail.com or info@example.com and they will answer.", None),
        ("Key?", "aws_access_key_id = 'AKIAQ3EGRIWOZ4ZTNMBV'  # never commit this", "secret"),
    ],
)
def test_each_reason(instruction, response, reason):
    got, findings, _ = cleaned(response, instruction)
    assert got == reason and (not findings) == (reason is None)


def test_the_first_reason_counts_and_the_others_are_kept_as_findings():
    response = "I'm sorry, I can't do that in the language you want.\n\nint f() {\n  return 1;\n}\n"
    reason, findings, _ = cleaned(response, "Write a function that returns one.")
    assert reason == "refusal" and [f.split(":")[0] for f in findings] == ["refusal", "code_mixed_with_prose"]


def test_a_row_with_a_secret_is_rejected_for_it_first_and_nothing_of_its_text_is_noted():
    token = "ghp_" + "a8Kd03jfLq9ZbX7c" * 2 + "Ux1p"
    reason, findings, error = cleaned(f"```python\nx = ('{token}'\n```", f"Use {token}")
    assert reason == "secret" and error is None
    assert findings == ["secret: GitHub Token, instruction line 1", "secret: GitHub Token, response line 2"]
    assert cleaned(f"x = '{token}'", config=Config(min_response_chars=4, secrets="ignore"))[0] is None


def test_a_commit_is_bare_code_of_its_language():
    broken, whole = "package a;\nclass A { int f() { return 1 } }\n", "package a;\nclass A { int f() { return 1; } }\n"
    assert cleaned(broken, language="java", task="commit")[0] == "does_not_compile"
    assert cleaned(whole, language="java", task="commit")[0] is None
    assert cleaned(broken, language="haskell", task="commit")[0] is None, "no grammar, no verdict"
    only_python = Config(min_response_chars=40, compiles=["python"])
    assert cleaned(broken, language="java", task="commit", config=only_python)[0] is None
    readme = "# A\n```python\nx = (\n```\n"
    assert cleaned(readme, language="markdown", task="commit")[0] is None, "a fence in a commit's file is its text"


@pytest.mark.parametrize("check", CHECKS)
def test_a_source_is_exempt_from_the_checks_that_it_does_not_list(check):
    example = {
        "code": ("Do it.", "No."),
        "compiles": ("Do it.", "```python\ndef f(:\n```"),
        "refusal": ("Do it.", "I'm sorry, but I cannot do that, whatever you may say to me."),
        "language": ("Write a function in Rust that adds.", "```go\nfunc add(a, b int) int { return a + b }\n```"),
        "unclear": ("Write a save function.", PLACEHOLDER),
        "disorganised": ("Add two numbers.", MIXED),
    }[check]
    assert cleaned(example[1], example[0], checks={"toy": [check]})[0] is not None
    assert cleaned(example[1], example[0], checks={"toy": [c for c in CHECKS if c != check]})[0] is None


def test_a_row_that_fails_its_own_tests():
    row_id = make_row(
        source="toy", instruction="Do it.", response="x = 1", license="MIT", generator="human", language="python"
    )["id"]
    for status, reason in [("wrong_output", "fails_own_tests"), ("timeout", "fails_own_tests"), ("ok", None)]:
        assert cleaned("x = 1", test_statuses={row_id: status})[0] == reason
    assert cleaned("x = 1", test_statuses={row_id: "not_judged"})[0] is None
    assert cleaned("x = 1", test_statuses={})[0] is None


DEEP = "(" * 10_000 + "1" + ")" * 10_000
HOSTILE = {
    "nul": "```python\nx = 1\0\n```",
    "surrogate": "```python\nx = '\ud800'\n```",
    "bare surrogate": "print('\udfff')",
    "deep": f"```python\n{DEEP}\n```",
    "deep java": f"```java\nint x = {DEEP};\n```",
    "deep bare": DEEP,
    "deep blocks": "```python\n" + "".join(" " * i + "if x:\n" for i in range(2_000)) + "```",
    "compiler's stack": "```python\n[x " + "for x in y " * 80_000 + "]\n```",
    "half a million attributes": "a" + ".b" * 150_000,
    "open fence": "```" * 100_000,
    "backticks": "`" * 300_000,
    "comments": "# your code\n" * 40_000,
    "placeholders": "if x:\n    # add your code here\n" * 40_000,
    "prose": "This is a sentence of more than six words.\nx = 1;\n" * 20_000,
    "emails": "a@" * 150_000,
    "dots": "a@" + "a." * 150_000,
    "addresses": ("a." * 30 + "@") * 5_000,
    "jwt": "eyJ" * 100_000,
    "jwt parts": "eyJaaaaaaaa." * 40_000,
    "urls": "://a:" * 60_000,
    "credentials": "://a:bbbbb@" * 40_000,
    "keys": "BEGIN RSA PRIVATE KEY-" * 14_000,
    "slack": "xoxb-" + "1-" * 150_000,
    "aws": "awskey" * 50_000,
    "sorry": "I'm sorry, " * 30_000,
    "unfortunately": "unfortunately, the " * 50_000,
    "functions": "f(a)" * 80_000,
    "open brackets": "f(" * 150_000,
    "types": "int " * 80_000,
    "bars": "|a," * 100_000,
    "spaces": " " * 300_000,
    "one line": "x = 1; " * 20_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_rows_are_kept_or_rejected(text):  # hours, were any of it quadratic
    for instruction, response in [("Write a function in Python that adds.", text), (text, "print('a plain answer')")]:
        reason, findings, error = cleaned(response, instruction)
        assert reason is None or isinstance(reason, str)
        assert sum(map(len, findings)) < 100_000 and len(error or "") < 500, "facts stay small"


@pytest.mark.slow
def test_five_megabytes_are_kept_or_rejected():
    for response in ("```cpp\n" + "x = 1;\n" * 700_000 + "```", "x = 1\n" * 800_000):
        cleaned(response)


def test_findings_of_hostile_rows_fit_into_parquet():
    texts = [HOSTILE[name] for name in ("nul", "deep", "comments", "emails")]
    rows = [
        make_row(source="toy", instruction="a", response=t, license="MIT", generator="human", language="python")
        for t in texts
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    out = clean.batch(columns, config=ALL)
    assert parquet_bytes(pa.Table.from_pydict(out, schema=pa.schema([*SCHEMA, *clean.FACTS])))
