"""Evolution: seeded, in rounds, every elimination named, parents kept, new rows with their descent."""

import pyarrow as pa
import pytest

from artefacts import Refusal, hash_of, read_json
from dataset_scripts import evolve
from dataset_scripts.evolve import Config, fault_of_instruction, fault_of_response, operation_of
from dataset_scripts.stage_files import read_rows
from llm import Answer
from tests.dataset_scripts.test_teacher import build, profile, server  # noqa: F401 - fixtures
from tests.llm.server import Server

GOOD = "```python\nprint(sum(x + 1 for x in range(3)))\n```"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Add 1 to every number of a stream, in constant memory, and skip what is negative.", None),
        ("Add 1 to every number!", "no_gain"),
        ("Add 1 to each number.", "no_gain"),
        ("I'm sorry, I cannot rewrite this task for you today.", "refusal"),
        ("New task: Add 1 to every number of a stream in constant memory.", "copied_prompt"),
        ("## Rewritten Prompt ##: Add 1 to every number of a long stream.", "copied_prompt"),
        ("Add 1 to all. Write out the whole new task, ready to be handed to a programmer.", "copied_prompt"),
    ],
)
def test_an_instruction_is_eliminated(text, reason):
    assert fault_of_instruction(text, "Add 1 to every number.", "constraint", min_new_words=3) == reason


def test_words_that_the_task_shares_with_the_template_are_not_copied():
    parent = "Do not solve it, do not explain the change, and write nothing around it: add 1."
    text = f"{parent} Also keep three running totals of squares."
    assert fault_of_instruction(text, parent, "constraint", 3) is None
    assert fault_of_instruction(text, "Add 1.", "constraint", 3) == "copied_prompt"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ("```python\nprint(1)\n", "truncated"),
        ("One could use a loop here.", "no_code"),
        ("I'm sorry, I can't help with that.", "refusal"),
        ("```python\ndef f(:\n```", "does_not_compile"),
        ("```go\nfunc main() {\n}\n```", None),
    ],
)
def test_an_answer_is_eliminated(text, reason):
    assert fault_of_response(text) == reason


def drive(config, answers, row=None):
    """Result of a conversation whose answers are given one after the other; the requests, too."""
    row = row or {"id": "r1", "instruction": "Add 1 to every number."}
    conversation, requests = evolve.conversation(row, config, seed=0), []
    try:
        request = next(conversation)
        for text in answers:
            requests.append(request)
            known = (
                {"text": text} if text and not text.startswith("!") else {"text": None, "reason": (text or "!")[1:]}
            )
            request = conversation.send(Answer("k", "m", **known))
    except StopIteration as end:
        return end.value, requests
    raise AssertionError(f"asks on: {request}")


def test_each_round_goes_on_from_the_last_good_instruction():
    first, third = (
        "Add 1 to numbers of a long stream lazily.",
        "Add 1 to numbers of a long stream lazily, on two threads.",
    )
    steps, requests = drive(Config(rounds=4), [first, GOOD, "no", third, GOOD, "!length"])
    assert [(s.round, s.parent, s.reason) for s in steps] == [
        (1, None, None), (2, 0, "no_gain"), (3, 0, None), (4, 2, "truncated"),
    ]  # fmt: skip
    assert [r.role for r in requests] == ["evolve", "answer", "evolve", "evolve", "answer", "evolve"]
    asked = [r.messages[0]["content"] for r in requests]
    assert asked[2].endswith(first) and asked[3].endswith(first) and asked[5].endswith(third)
    assert asked[1].startswith(first) and requests[1].template == "evolve/answer@1"


def test_an_answer_that_fails_keeps_the_old_instruction():
    text = "Add 1 to numbers of a long stream lazily."
    steps, requests = drive(Config(rounds=2), [text, "prose", text, "!server_error"])
    assert [s.reason for s in steps] == ["no_code", "teacher_server_error"]
    assert requests[2].messages[0]["content"].endswith("Add 1 to every number.")


def test_operations_are_seeded_and_all_of_them_come_up():
    chosen = [operation_of(f"r{n}", 1, 0) for n in range(200)]
    assert set(chosen) == set(evolve.OPERATIONS) and min(map(chosen.count, evolve.OPERATIONS)) > 20
    assert chosen == [operation_of(f"r{n}", 1, 0) for n in range(200)]
    assert (
        chosen
        != [operation_of(f"r{n}", 2, 0) for n in range(200)]
        != [operation_of(f"r{n}", 1, 1) for n in range(200)]
    )


def say(content: str) -> str:
    if content.startswith("Below stands"):
        task = content.rsplit("Task:\n", 1)[1]
        return f"{task} Also mind {' '.join(hash_of(task)[at : at + 5] for at in (0, 5, 10, 15))}."
    if "Add 5 " in content:
        return "```python\nprint(undefined_name)\n```"
    if "Add 6 " in content:
        return "```python\nimport surely_no_such_module\n```"
    return GOOD


def test_new_rows_stand_behind_their_parents_with_descent_licence_and_reason(build, server):  # noqa: F811
    server.say = say
    folder = build(_05_evolve={"rounds": 2}, _07_recheck={}, _08_customise={"alchemist": "static"})
    kept, rejected = (read_rows(folder / "05_evolve", kind).to_pylist() for kind in ("kept", "rejected"))
    before = {r["id"]: r for r in read_rows(folder / "04_decontaminate").to_pylist()}
    assert {i: r for r in kept if (i := r["id"]) in before} == before, "parents are kept as they are"
    new = {r["id"]: r for r in [*kept, *rejected] if r["source"] == "evolcode"}
    assert len(new) == 80, "two rounds of forty rows"
    assert {(r["license"], r["generator"], r["task"]) for r in new.values()} == {("MIT", "lab/answer", "generation")}
    for row in new.values():
        (parent,) = row["parents"]
        assert row["instruction"].startswith({**before, **new}[parent]["instruction"])
    facts = {f["id"]: f for f in read_rows(folder / "05_evolve", "facts", ["id", *evolve.FACTS.names]).to_pylist()}
    assert {facts[i]["round"] for i in new} == {1, 2} and {facts[i]["round"] for i in before} == {None}
    fails, excused = ([r for r in new.values() if word in r["instruction"]] for word in ("Add 5 ", "Add 6 "))
    assert len(fails) == len(excused) == 2 and sorted(rejected, key=str) == sorted(fails, key=str)
    assert {r["reason"] for r in fails} == {"fails_in_sandbox"}
    assert {facts[r["id"]]["sandbox"] for r in excused} == {"exception"}
    ledger = read_json(folder / "05_evolve/ledger.json")
    assert ledger["rows_in"] == ledger["kept"] == 40
    assert ledger["new"] == {"kept": 78, "rejected": {"fails_in_sandbox": 2}}
    build(_05_evolve={"rounds": 2}, _07_recheck={}, _08_customise={"alchemist": "static"})
    assert len(server.requests) == 160, "a second build asks nothing"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("print(1)", "ok"), ("print(undefined_name)", "fault"), ("import surely_no_such_module", "exception"),
        ("import sys\nprint(sys.argv[1])", "exception"), ("open('/nowhere')", "exception"),
        ("print(int(input()))", "exception"),
    ],
)  # fmt: skip
def test_only_what_is_the_codes_own_fault_counts_against_it(code, status):
    assert evolve.run_code(f"```python\n{code}\n```") == status
    assert evolve.run_code("```go\nfunc main() {}\n```") is None


def test_without_a_teacher_nothing_is_evolved(build, server):  # noqa: F811
    folder = build(teacher="static", _05_evolve={"rounds": 2}, _07_recheck={})
    assert not server.requests and read_json(folder / "05_evolve/ledger.json")["new"]["kept"] == 0


def test_a_closed_model_is_refused_before_it_is_paid_where_the_policy_forbids_it(build, tmp_path):  # noqa: F811
    from dataset_scripts import build as builder

    with Server() as other:
        path = build(teacher="static").parents[1] / "toy.yaml"
        role = {"model": "gpt-4", "max_tokens": 9, "usd_per_million_prompt_tokens": 0.0}
        role["usd_per_million_completion_tokens"] = 0.0
        profile(tmp_path, other.url, roles=dict.fromkeys(("evolve", "answer", "alchemist"), role))
        path.write_text(
            path.read_text() + "\ngenerator_policy: no_closed_models\n05_evolve: {rounds: 1}\n07_recheck: {}\n"
        )
        with pytest.raises(Refusal, match="would have gpt-4 write, which generator_policy 'no_closed_models' forbids"):
            builder.build(path, tmp_path / "build", 1, teacher_name="toy")
        assert not other.requests


def test_the_plan_counts_every_round(build, server, capsys):  # noqa: F811
    build(dry_run=True, _05_evolve={"rounds": 3}, _07_recheck={})
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("05_evolve")]
    assert [(line[1], line[3]) for line in lines] == [("evolve", "120"), ("answer", "120")] and not server.requests


def test_nothing_is_evolved_out_of_a_row_whose_licence_forbids_it():
    table = pa.table(
        {"id": ["a", "b", "c"], "source": ["s"] * 3, "license": ["MIT", "CC-BY-NC-ND-4.0", "CC-BY-NC-4.0"]}
    )
    found = evolve.prepare(Config(rounds=1, execute=False), lambda columns: table.select(columns), 0, "here")
    assert found.arguments["sample"] == {"a", "c"}
    assert found.notes == {"rows_to_evolve": 2, "rows_without_derivatives": 1}
