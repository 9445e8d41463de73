"""What is asked is answered in order, kept, and paid once; what is no answer is never kept as one."""

import sqlite3
import time
from collections import Counter

import pytest

from artefacts import Refusal, StrictModel
from llm import Answers, Client, answers, pace, replay
from tests.llm.conftest import question
from tests.llm.server import Server, answer_to


class Echo(StrictModel):
    echo: str
    length: int


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch):
    monkeypatch.setattr(pace, "BASE_S", 0.005)


def rows(path, query):
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


def test_answers_come_in_the_order_of_the_questions_and_are_paid_once(profile, tmp_path):
    ledger = tmp_path / "answers.sqlite"
    slow_first = lambda content, nth: "500" if content in ("0", "7") and nth < 2 else "ok"  # noqa: E731
    with Server(slow_first) as server:
        for run in range(2):
            with Client(profile(server.url), ledger, "toy") as client:
                answers = list(client.ask((question(n % 40) for n in range(60)), total=60))
            assert [a.text for a in answers] == [answer_to(str(n % 40)) for n in range(60)]
            assert len(server.requests) == 40 + 4, "equal questions are asked once, a second run asks nothing"
            assert client.tally.reused == (60 if run else client.tally.reused)
    assert server.answered == Counter({str(n): 1 for n in range(40)})
    paid = rows(
        ledger, "SELECT scope, role, model, finish_reason, usd > 0, seconds > 0, length(raw) > 50 FROM answers"
    )
    assert paid == [("toy", "review", "m-1", "stop", 1, 1, 1)] * 40


def test_no_more_answers_than_may_be_in_flight_are_ever_unrecorded_however_slow_the_disk_is(
    profile, tmp_path, monkeypatch
):
    """What a crash can cost: answers that the server has given and the ledger does not have yet."""
    most, recorded, insert = 0, 0, answers._insert

    def slow(writer, entry):
        nonlocal most, recorded
        time.sleep(0.01)
        most = max(most, sum(server.answered.values()) - recorded)
        insert(writer, entry)
        recorded += 1

    monkeypatch.setattr(answers, "_insert", slow)
    with Server() as server, Client(profile(server.url, max_concurrency=4), tmp_path / "a.sqlite", "toy") as client:
        assert len(list(client.ask(question(n) for n in range(60)))) == 60
    assert recorded == 60 and 1 < most <= 4


def test_a_request_is_known_by_everything_that_shapes_its_answer(profile, tmp_path):
    role = profile("http://x").roles["review"]
    asked = [
        (profile, question("q")),
        (profile, question("q", sample=1)),
        (profile, question("q", schema=Echo)),
        (profile, question("other")),
    ]
    with Server() as server:
        kinds = [profile(server.url, roles={"review": role.model_copy(update=c)}) for c in (
            {}, {"model": "m-2"}, {"temperature": 0.5}, {"top_p": 0.9}, {"max_tokens": 99},
            {"usd_per_million_prompt_tokens": 11.0},
        )]  # fmt: skip
        for kind in kinds:
            with Client(kind, tmp_path / "a.sqlite", "toy") as client:
                assert all(a.reason is None for a in client.ask(q for _, q in asked))
    assert len(server.requests) == 4 * 5, "a price shapes no answer, all else does"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("length", "length"), ("empty_choice", "empty_choice"), ("null", "empty_answer"), ("not_json", "cut_body"),
        ("cut_body", "cut_body"), ("reset", "connection"), ("500", "server_error"), ("400", "bad_request"),
        ("invalid_json", "invalid_json"), ("wrong_schema", "wrong_schema"), ("hang", "time_out"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_recorded_with_its_reason_and_asked_again_by_the_next_run(
    profile, tmp_path, fault, reason
):
    ledger, healed = tmp_path / "answers.sqlite", False
    with Server(lambda content, nth: fault if content == "bad" and not healed else "ok") as server:
        # `bad` after a good one, which shows that the server lives
        teacher = profile(server.url, max_attempts=2, timeout_s=0.5)
        with Client(teacher, ledger, "toy") as client:
            good, bad = client.ask(question(q, schema=Echo) for q in ("good", "bad"))
        assert good.value.echo == "good" and (bad.text, bad.value, bad.reason) == (None, None, reason)
        assert len(rows(ledger, "SELECT 1 FROM answers")) == 1
        assert rows(ledger, "SELECT DISTINCT reason FROM failures") == [(reason,)]
        assert {**client.tally.open, **client.tally.given_up} == {reason: 1}
        healed = True
        with Client(teacher, ledger, "toy") as client:
            good, bad = client.ask(question(q, schema=Echo) for q in ("good", "bad"))
        assert bad.value is not None and bad.value.echo == "bad"


def test_the_raw_text_of_what_was_no_good_is_kept_for_a_person(profile, tmp_path):
    with Server(lambda content, nth: "wrong_schema" if nth == 0 else "ok") as server:
        with Client(profile(server.url), tmp_path / "a.sqlite", "toy") as client:
            (answer,) = client.ask([question("q", schema=Echo)])
        (_, repaired) = server.bodies
    assert answer.value is not None, "repaired"
    assert [m["role"] for m in repaired["messages"]] == ["user", "assistant", "user"]
    assert '{"echo": 5}' in repaired["messages"][1]["content"] and "length" in repaired["messages"][2]["content"]
    ((reason, detail, raw, usd),) = rows(tmp_path / "a.sqlite", "SELECT reason, detail, raw, usd FROM failures")
    assert reason == "wrong_schema" and "echo" in detail and "5}" in raw and usd > 0, "a bad answer was paid as well"


def test_a_request_whose_answers_stay_bad_is_given_up(profile, tmp_path):
    with Server(lambda content, nth: "length") as server:
        for run in range(5):
            with Client(profile(server.url, max_bad_answers=3), tmp_path / "a.sqlite", "toy") as client:
                (answer,) = client.ask([question("q")])
            assert answer.reason == "length"
            assert (client.tally.given_up if run >= 2 else client.tally.open) == {"length": 1}
        assert len(server.requests) == 3


def test_a_schema_goes_to_a_server_that_has_it_and_to_no_other(profile, tmp_path):
    with Server() as server:
        for has in (True, False):
            with Client(profile(server.url, json_schema=has), tmp_path / f"{has}.sqlite", "toy") as client:
                list(client.ask([question("q", schema=Echo), question("q")]))
    formats = [body.get("response_format") for body in server.bodies]
    assert [f and f["json_schema"]["schema"]["additionalProperties"] for f in formats] in (
        [False, None, None, None], [None, False, None, None],
    )  # fmt: skip


def conversation(first):
    answer = yield question(first)
    again = yield question(f"{first} then {answer.text[:9]}")
    return first, again.text


def test_a_conversation_goes_on_with_its_answers_and_replays_to_the_same_result(profile, tmp_path):
    with Server() as server:
        teacher = profile(server.url)
        with Client(teacher, tmp_path / "a.sqlite", "toy") as client:
            live = list(client.run(conversation(n) for n in range(20)))
        asked = len(server.requests)
        answers = Answers(tmp_path / "a.sqlite")
        assert [replay(answers, teacher, conversation(n)) for n in range(20)] == live
        assert asked == len(server.requests) == 40
        assert live[3][1] == answer_to('3 then {"echo": ')


def test_replay_without_a_ledger_says_that_nothing_was_asked(profile, tmp_path):
    def reason():
        return (yield question("q")).reason

    assert replay(Answers(tmp_path / "none.sqlite"), profile("http://x"), reason()) == "not_asked"


def test_two_runs_cannot_ask_into_one_ledger_at_once(profile, tmp_path):
    with Server() as server, Client(profile(server.url), tmp_path / "a.sqlite", "toy"):
        with pytest.raises(Refusal, match="another run is asking a teacher"):
            Client(profile(server.url), tmp_path / "a.sqlite", "toy")


def test_rate_limits_slow_the_asking_down_and_cost_nobody_an_answer(profile, tmp_path):
    crowd = {"now": 0, "most": 0}

    def crowded(content, nth):
        crowd["now"] = server.in_flight
        return "429" if server.in_flight > 4 else "ok"

    with Server(crowded, delay_s=0.01) as server:
        with Client(profile(server.url, max_concurrency=64), tmp_path / "a.sqlite", "toy") as client:
            answers = list(client.ask(question(n) for n in range(300)))
    assert all(a.reason is None for a in answers)
    sent_away = sum(fault == "429" for _, fault in server.requests)
    assert sent_away < 300, f"{sent_away} of {len(server.requests)} were sent away by a server that bears four at once"


def test_retry_after_is_waited_for_by_everybody(profile, tmp_path):
    stamps = []

    def first_is_busy(content, nth):
        stamps.append(time.monotonic())
        return "429_retry_after" if len(stamps) == 1 else "ok"

    with Server(first_is_busy, retry_after_s=0.5) as server:
        with Client(profile(server.url, max_concurrency=1), tmp_path / "a.sqlite", "toy") as client:
            assert all(a.reason is None for a in client.ask(question(n) for n in range(3)))
    assert stamps[1] - stamps[0] >= 0.5


def test_a_dead_server_is_one_sentence_and_not_a_thousand_time_outs(profile, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "BREAKER_AT_FIRST_S", 0.1)
    with Server() as server:
        url = server.url
    with Client(profile(url), tmp_path / "a.sqlite", "toy") as client:
        with pytest.raises(Refusal, match=r"teacher 'test' \(http://127.*answers nothing any more, last connection"):
            list(client.ask(question(n) for n in range(1000)))


@pytest.mark.parametrize(
    ("fault", "says"),
    [("401", "refuses the key"), ("404", "does not know the model"), ("402", "has no credit left")],
)
def test_what_no_retry_can_mend_stops_at_once(profile, tmp_path, fault, says):
    with Server(lambda content, nth: fault) as server:
        with Client(profile(server.url, max_concurrency=1), tmp_path / "a.sqlite", "toy") as client:
            with pytest.raises(Refusal, match=says):
                list(client.ask(question(n) for n in range(100)))
        assert len(server.requests) == 1


def test_bad_requests_alone_stop_a_run_too(profile, tmp_path):
    with Server(lambda content, nth: "400") as server:
        with Client(profile(server.url), tmp_path / "a.sqlite", "toy") as client:
            with pytest.raises(Refusal, match="any more, last bad_request: HTTP 400: something is wrong"):
                list(client.ask(question(n) for n in range(1000)))
        assert len(server.requests) < 100


def test_a_run_that_is_given_up_records_what_is_in_flight_and_sends_no_more(profile, tmp_path):
    with Server(delay_s=0.2) as server:
        with Client(profile(server.url, max_concurrency=4), tmp_path / "a.sqlite", "toy") as client:
            next(iter(client.ask(question(n) for n in range(100))))
        assert len(server.requests) <= 12
    assert len(rows(tmp_path / "a.sqlite", "SELECT 1 FROM answers")) == len(server.requests)
