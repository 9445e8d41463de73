"""Money is counted before it is spent, over all runs, and the plan says what a run would cost."""

import pytest

from artefacts import Refusal
from llm import Answers, Client, Role, plan, plan_table
from llm.budget import most_prompt_tokens
from llm.request import repair
from tests.llm.conftest import question
from tests.llm.server import Server
from tests.llm.test_client import Echo, rows


def dear(max_tokens: int = 10) -> dict[str, Role]:
    """A dollar a token: what is spent can be counted by hand."""
    price = {"usd_per_million_prompt_tokens": 1e6, "usd_per_million_completion_tokens": 1e6}
    return {"review": Role(model="m-1", max_tokens=max_tokens, **price)}


@pytest.mark.parametrize("limit", [{"max_cost_usd": 600.0}, {"max_tokens_total": 600}])
def test_a_run_stops_before_the_limit_and_the_next_run_counts_on(profile, tmp_path, limit):
    (key,), asked = limit, set()
    with Server(say=lambda content: "yes") as server:
        teacher = profile(server.url, roles=dear(), **limit)
        for _ in range(2):
            with Client(teacher, tmp_path / "a.sqlite", "toy") as client:
                with pytest.raises(Refusal, match=rf"'toy' has spent .* beyond {key}: 600; raise it"):
                    list(client.ask(question(f"{n:03}") for n in range(1000)))
            asked.add(len(server.requests))
        (spent,) = rows(tmp_path / "a.sqlite", "SELECT sum(usd), sum(prompt_tokens + completion_tokens) FROM answers")
        assert spent[0] == spent[1] <= 600
        assert spent[0] + most_prompt_tokens([{"content": "000"}]) + 10 > 600, "it stops no earlier than it must"
        assert asked == {len(server.requests)}, "the second run sent nothing"
        with Client(teacher, tmp_path / "a.sqlite", "another mixture") as client:
            assert next(iter(client.ask([question("new")]))).text == "yes", "a budget belongs to its mixture"


def test_requests_in_flight_are_counted_at_their_most(profile, tmp_path):
    with Server(say=lambda content: "yes", delay_s=0.05) as server:
        teacher = profile(server.url, roles=dear(), max_cost_usd=100.0)
        with Client(teacher, tmp_path / "a.sqlite", "toy") as client, pytest.raises(Refusal, match="raise it"):
            list(client.ask(question(n) for n in range(100)))
        assert server.most_in_flight == 3, "29 dollars each at most: three fit into 100"


def test_an_attempt_that_may_have_been_billed_counts_at_its_most(profile, tmp_path):
    with Server(lambda content, nth: "cut_body" if nth == 0 else "ok", say=lambda content: "yes") as server:
        with Client(profile(server.url, roles=dear()), tmp_path / "a.sqlite", "toy") as client:
            list(client.ask([question("q")]))
    ((usd, is_bound),) = rows(tmp_path / "a.sqlite", "SELECT usd, usd_is_bound FROM failures")
    assert (usd, is_bound) == (most_prompt_tokens([{"content": "q"}]) + 10, 1)
    assert Answers(tmp_path / "a.sqlite").spent("toy").usd == usd + 2


def steps(n):
    first = yield question(f"first {n}")
    second = yield question(f"second {n} {first.text[:3]}")
    return second


def test_the_plan_is_what_the_run_then_asks(profile, tmp_path):
    with Server() as server:
        teacher = profile(server.url, roles=dear())
        with Client(teacher, tmp_path / "a.sqlite", "toy") as client:
            list(client.run(steps(n) for n in range(4)))
        answers = Answers(tmp_path / "a.sqlite")
        (line,) = plan(answers, teacher, (steps(n) for n in range(10)), lambda request: "stand-in", "05_evolve")
        assert (line.requests, line.recorded, line.stage, line.model) == (12, 8, "05_evolve", "m-1")
        assert line.completion_tokens == 12 * 10 and line.usd_about < line.usd_most
        assert len(server.requests) == 8, "a plan sends nothing"
    shown = plan_table([line])
    assert "about $" in shown and "at most $" in shown and f"{line.usd_most:.2f}" in shown


def test_a_plan_counts_the_repair_of_every_answer_that_must_fit_a_schema(profile, tmp_path):
    def asked(request):
        yield request

    teacher = profile("http://127.0.0.1:9/v1", roles=dear())
    answers = Answers(tmp_path / "a.sqlite")
    free, bound = question("q"), question("q", schema=Echo)
    most = [
        plan(answers, teacher, [asked(request)], lambda request: '{"echo": "q"}')[0].usd_most
        for request in (free, bound)
    ]
    repaired = teacher.role("review").usd(most_prompt_tokens(repair(bound, "", "")) + 10, 10)
    assert most[1] == pytest.approx(most[0] + repaired)


def test_a_bill_has_a_line_per_role_and_template(profile, tmp_path):
    with Server(lambda content, nth: "length" if content == "bad" else "ok", say=lambda content: "yes") as server:
        with Client(profile(server.url, roles=dear()), tmp_path / "a.sqlite", "toy") as client:
            list(client.ask(question(q) for q in ("a", "b", "bad")))
    (line,) = Answers(tmp_path / "a.sqlite").bill("toy")
    assert (line["template"], line["answers"], line["failures"], line["usd"]) == ("test/question@1", 2, 1, 6.0)
    assert Answers(tmp_path / "a.sqlite").bill("other") == []
