"""What the project makes itself faces what the sources' rows have faced; those are left alone."""

import ast
import builtins
import json

import pyarrow.parquet as pq
import pytest

from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import clean, decontaminate, dedup, filtering_task, leaks, recheck, why
from dataset_scripts.commit_tokens import code_pieces
from dataset_scripts.engine import Processes
from dataset_scripts.schema import MADE_SOURCES, make_row, published_instruction
from dataset_scripts.stage import Rows, Stage, run_on_rows, run_on_stream
from dataset_scripts.stage_files import read_rows
from evaluation.benchmarks import humaneval
from model_cards.dataset_repository import pack_dataset
from tests.conftest import DECONTAMINATE, code_rows
from tests.dataset_scripts.test_teacher import ROWS, build, server  # noqa: F401 - fixtures

SETTINGS = recheck.Settings(
    dedup=dedup.Config(near_duplicate_similarity=0.7),
    clean=clean.Config(min_response_chars=40, detectors=["refusal", "undefined_names", "no_asked_function"]),
    decontaminate=decontaminate.Settled(**DECONTAMINATE),
)
LEAK = humaneval.load()[0]
KEY = "ghp_" + "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"
LONG = "def mean_of_squares(values):\n" + "".join(
    f"    part_{n} = [value * {n} for value in values]\n" for n in range(9)
)
LONG += "    return sum(part_1) / len(part_2)\n"
OTHER = "def words_by_length(text):\n    table = {}\n    for word in text.split():\n"
OTHER += (
    "        table.setdefault(len(word), []).append(word.strip().lower())\n    return dict(sorted(table.items()))\n"
)
HARDER = "Sort the words of a text by how long they are, and give back a table that names every length once."
PARENT = make_row(
    source="toy", instruction=f"Write the mean of squares of values.\n{LONG}", response=f"```python\n{LONG}```",
    license="CC-BY-NC-4.0", generator="gpt-4", language="python",
)  # fmt: skip


def fenced(code):
    return f"```python\n{code}\n```"


def made(source, instruction, response, n=0):
    return make_row(
        source=source, instruction=instruction, response=response, license="MIT", generator="human", language="python",
        task="generation" if source == "evolcode" else source, parents=(PARENT["id"],), occurrence=n,
    )  # fmt: skip


BY_REASON = [  # what is made, why it goes
    (made("evolcode", "Add 3 to every number of a stream.", code_rows(4)[3][1]), None),
    (made("evolcode", PARENT["instruction"], PARENT["response"]), "duplicate"),
    (made("evolcode", f"Please: {PARENT['instruction']}", fenced(f"{LONG}\n# and so on")), "near_duplicate"),
    (made("evolcode", f"{HARDER} Write a function.", fenced(f"{OTHER}# the longer of two twins is broken (\n)")),
     "does_not_compile"),
    (made("evolcode", HARDER, fenced(OTHER)), None),
    (made("evolcode", f"{HARDER} Now.", fenced(OTHER)), "near_duplicate"),
    (made("evolcode", f"Log in with {KEY} and then add one.", code_rows(4)[2][1]), "secret"),
    (made("evolcode", "Do it in a hard way.", fenced(f"{LEAK.prompt}{LEAK.solution}")), "contaminated"),
    (made("evolcode", "Sum up what is there.", "Nothing."), "too_short_without_code"),
    (made("evolcode", "Write a function that sums.", fenced("def f(x):\n    return nowhere(x)")), "undefined_names"),
    (made("data_filtering", f"What is wrong?\n{fenced('def f(:')}\nA short, B broken", "B"), None),
    (made("data_filtering", f"What is wrong?\n{fenced(f'{LEAK.prompt}{LEAK.solution} (')}", "B"), "contaminated"),
    (made("data_filtering", "Which one?", fenced("def f(:\n")), "does_not_compile"),
    (made("code_review", PARENT["instruction"], PARENT["response"]), None),
    (made("code_review", PARENT["instruction"], PARENT["response"], n=1), "duplicate"),
    (made("code_review", "Review this.", f"Correctness 3.\n{fenced('return (')}"), "does_not_compile"),
    (made("code_review", "Review that.", f"Correctness 9.\n{fenced('spam(eggs)')}"), None),
    (made("code_review", "Review it all.", "I'm sorry, but I cannot review code."), "refusal"),
    (made("instruction_evolution", "Make this harder: add.", "Add, and mail jane.roe@gmx.net."), "email_address"),
    (made("instruction_evolution", "Make this harder: sum.", "Sum. Mind `def f(:`."), None),
]  # fmt: skip
OLD = [
    PARENT,
    make_row(source="toy", instruction="A twin of old.", response="B", license="MIT", generator="human",
             language="unknown", task="generation"),
    *(make_row(source="toy", instruction=i, response=r, license="MIT", generator="human", language="python")
      for i, r in code_rows(3)),
]  # fmt: skip


def rechecked(folder, settings=SETTINGS, workers=1, rows=None):
    """Run the stage over old rows and new ones; returns its folder."""
    rows = [*OLD[:2], *(row for row, _ in BY_REASON), *OLD[2:]] if rows is None else rows
    run_on_stream(Stage("06_comprehend", "s", 7), folder, rows, len(rows))
    stage, engine = Stage("07_recheck", "k", 4, recheck.FACTS), Processes(workers)
    prepared = recheck.prepare(settings, Rows(stage, folder, folder / "06_comprehend", engine), 0, "x.yaml")
    stage = Stage("07_recheck", "k", 4, recheck.FACTS, prepared.notes)
    run_on_rows(stage, folder, folder / "06_comprehend", recheck.batch, engine, **prepared.arguments)
    return folder / "07_recheck"


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    return rechecked(tmp_path_factory.mktemp("recheck"))


@pytest.fixture(scope="module")
def outcomes(checked):
    kept, rejected = (read_rows(checked, kind).to_pylist() for kind in ("kept", "rejected"))
    return {row["id"]: row for row in [*kept, *rejected]}


@pytest.fixture(scope="module")
def facts(checked):
    return {row["id"]: row for row in read_rows(checked, "facts", ["id", *recheck.FACTS.names]).to_pylist()}


@pytest.mark.parametrize(("row", "reason"), BY_REASON, ids=[f"{r['source']}-{why}" for r, why in BY_REASON])
def test_a_new_row_faces_what_fits_it(outcomes, row, reason):
    assert outcomes[row["id"]]["reason"] == reason
    is_redacted = reason in ("secret", "email_address", "contaminated")
    assert outcomes[row["id"]]["response"] == (None if is_redacted else row["response"])


def renamed(code):
    """The code without comments, and with other names for everything that it defines itself."""
    tree, names = ast.parse(code), {}
    for node in ast.walk(tree):
        for field in ("id", "arg", "name"):
            name = getattr(node, field, None)
            if name and not isinstance(node, ast.alias | ast.keyword) and name not in vars(builtins):
                setattr(node, field, names.setdefault(name, f"v{len(names)}q"))
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
            del node.body[0]
    return ast.unparse(tree)


FORMS = {
    "fenced": "Here is how:\n\n```python\n{}\n```\nThen call it.\n\n```python\n# your code here\n```\n",
    "untagged": "Here is how:\n\n```\n{}\n```\nThen call it.\n\n```python\n# your code here\n```\n",
    "bare": "{}",
    "bare behind a sentence": "This is how it goes:\n\n{}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_quoted_answer_is_contaminated_wherever_the_plain_one_is(form):
    counterpart = {"instruction": "Say hello.", "response": "```python\nprint('hello')\n```", "language": "python"}
    plain, wrapped = [], []
    for number, problem in enumerate(humaneval.load()[:30]):
        copied = FORMS[form].format(renamed(f"{problem.prompt}{problem.solution}"))
        plain.append(("Solve it, please.", copied) if number % 3 else (copied, "Done."))
        asked = filtering_task.Question(
            "q", *plain[-1], "generation", "MIT", "python", "unclear", "placeholder_code: # x", "c", 0.5
        )
        wrapped.append(filtering_task.written(asked, counterpart, seed=0)[:2])
    settings = SETTINGS.decontaminate
    index = decontaminate.indexed(settings, decontaminate.load(settings, "x.yaml"), "x.yaml")
    reasons = []
    for rows in (plain, wrapped):
        columns = {"instruction": [i for i, _ in rows], "response": [r for _, r in rows]}
        columns |= {
            name: [value] * len(rows) for name, value in (("language", "python"), ("source", "data_filtering"))
        }
        columns["id"] = [str(number) for number in range(len(rows))]
        found = recheck.batch(columns, decontamination={"index": index, "config": settings})
        reasons.append([reason == "contaminated" for reason in found["reason"]])
    assert sum(reasons[0]) >= 10 and not [n for n, (a, b) in enumerate(zip(*reasons, strict=True)) if a and not b]


def test_rows_of_sources_stay_whoever_is_the_better(outcomes, facts):
    for row in OLD:
        assert outcomes[row["id"]] == row
        assert {value for name, value in facts[row["id"]].items() if name != "id"} == {None}


def test_a_rejected_row_names_its_twin_finding_or_evidence(facts):
    by_reason = {(row["source"], reason): facts[row["id"]] for row, reason in reversed(BY_REASON)}  # the first of each
    assert (
        by_reason["evolcode", "duplicate"]["twin"] == PARENT["id"] == by_reason["evolcode", "near_duplicate"]["twin"]
    )
    assert 0.7 <= by_reason["evolcode", "near_duplicate"]["similarity"] < 1
    (found,) = by_reason["evolcode", "secret"]["findings"]
    assert found.startswith("secret: ") and found.endswith(", instruction line 1") and KEY not in found
    for source in ("evolcode", "data_filtering"):
        evidence = by_reason[source, "contaminated"]["evidence"]
        assert "humaneval/HumanEval/0" in {name for piece in evidence for name in piece["names"]}
    # in the field where it stands
    assert {s["field"] for piece in evidence for s in piece["spans"]} == {"instruction"}


def test_the_same_shards_for_one_worker_and_two(checked, tmp_path):
    digest = read_json(checked / "manifest.json")["digest"]
    assert read_json(rechecked(tmp_path, workers=2) / "manifest.json")["digest"] == digest


def test_a_stage_that_the_mixture_does_not_name_is_not_repeated(tmp_path):
    settings = recheck.Settings(dedup=None, clean=SETTINGS.clean, decontaminate=None)
    found = read_rows(rechecked(tmp_path, settings), "rejected")["reason"].to_pylist()
    assert not {"duplicate", "near_duplicate", "contaminated"} & set(found) and {"secret", "refusal"} <= set(found)


def test_without_new_rows_nothing_is_prepared(tmp_path):
    folder = rechecked(tmp_path, rows=OLD)
    assert read_rows(folder).to_pylist() == OLD and read_json(folder / "manifest.json")["notes"] == {"new_rows": 0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_05_evolve": {"rounds": 1}}, "05_evolve makes rows that nobody has searched .* add `07_recheck: {}`"),
        ({"_07_recheck": {}}, "07_recheck looks at new rows, and no stage makes any"),
        (
            {"_05_evolve": {"rounds": 1}, "_07_recheck": {}, "_02_dedup": None, "_03_clean": None,
             "_04_decontaminate": None},
            "07_recheck repeats 02_dedup, 03_clean, 04_decontaminate .* none of them",
        ),
        ({"_05_evolve": {"rounds": 1}, "_07_recheck": {"secrets": "ignore"}}, "unknown key '07_recheck.secrets'"),
    ],
)  # fmt: skip
def test_a_mixture_that_does_not_fit_is_refused(toy_source, mixture_file, tmp_path, changes, says):
    toy_source(code_rows(12))
    with pytest.raises(Refusal, match=says):
        builder.build(mixture_file(**changes), tmp_path / "build", workers=1)
    assert not (tmp_path / "build").exists()


ADDRESS = "jane.roe@gmx.net"


def test_leaks_why_and_card_know_what_was_rejected(build, server, capsys, monkeypatch, tmp_path):  # noqa: F811
    """A teacher copies a benchmark for one row, leaves a key in another, and an address where it writes no code."""

    def say(content):
        if content.startswith("Below stands"):
            task = content.rsplit("Task:\n", 1)[1]
            more = f"Log in with {KEY}." if "Add 4 " in task else "Mind every odd word there."
            return f"{task} {more}"
        if "Add 3 " in content:
            return fenced(f"{LEAK.prompt}{LEAK.solution}")
        return f"Ask {ADDRESS} about it." if "Add 5 " in content else fenced(f"print({len(content)})\n")

    server.say = say
    folder = build(_05_evolve={"rounds": 1}, _07_recheck={}, _08_customise={"alchemist": "static"})
    ledger = read_json(folder / "07_recheck/ledger.json")
    assert ledger["by_source"]["evolcode"]["rejected"]["contaminated"] == 1 == ledger["rejected"]["secret"]
    assert ledger["by_source"]["toy"]["rejected"] == {}
    found = read_json(folder / "07_recheck/leaks.json")
    assert found["by_source"].keys() == {"evolcode"} and found["total"]["removed"] == 1
    assert read_json(folder / "04_decontaminate/leaks.json")["total"]["removed"] == 0
    monkeypatch.setattr("sys.argv", ["leaks", str(folder), "--show", "1"])
    capsys.readouterr()
    assert leaks.main() == 0
    shown = capsys.readouterr().out
    assert "New rows (07_recheck):" in shown and "humaneval/HumanEval/0" in shown and "has_close_elements" in shown
    rejected = {row["reason"]: row for row in read_rows(folder / "07_recheck", "rejected").to_pylist()}
    assert rejected["secret"]["instruction"] is rejected["contaminated"]["response"] is None
    told = "\n".join(why.told(folder, rejected["contaminated"]["id"]))
    assert "HumanEval/0" in told and told.endswith("Not in the mixture: 07_recheck rejected it as contaminated.")
    told = "\n".join(why.told(folder, rejected["secret"]["id"]))
    assert KEY not in told and "text withheld" in told
    final = read_rows(folder / "09_mixture").to_pylist()
    assert KEY not in json.dumps(final) and "has_close_elements" not in json.dumps(final)
    counted = read_json(folder / "09_mixture/kinds.json")
    evolved = sum(row["source"] == "evolcode" and not row["alchemist_prompt"] for row in final)
    prompted = sum(row["alchemist_prompt"] is not None for row in final)
    assert {kind: of["rows"] for kind, of in counted["kinds"].items() if of["rows"]} == {
        "open sets": ROWS, "evolcode": evolved, "customised": prompted,
    }  # fmt: skip
    assert (evolved, counted["rows"]) == (ROWS - 3, len(final)) and prompted == round(0.1 * (2 * ROWS - 3))
    said = [code_pieces(f"{published_instruction(r['instruction'], r['alchemist_prompt'])}") for r in final]
    assert counted["tokens"] == sum(said) + sum(code_pieces(r["response"]) for r in final)
    packed = pack_dataset(folder, tmp_path / "hub")
    card = (packed / "README.md").read_text()
    assert "no row is of the kind instruction_evolution, data_filtering, code_review." in card
    assert f"| evolcode | `05_evolve` | {evolved} |" in card and "of AlchemistCoder's about 200 M" in card
    assert "Rows that were made on the way (`07_recheck`)" in card and "| evolcode | 38 | 1 (2.63 %)" in card
    published = json.dumps([r for path in packed.rglob("*.parquet") for r in pq.read_table(path).to_pylist()])
    assert "no_code" in published and ADDRESS not in published and KEY not in published


def test_every_made_source_says_which_checks_fit_it():
    assert recheck.CHECKS_OF.keys() == set(MADE_SOURCES)
