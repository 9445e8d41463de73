"""What a run would ask and cost, before anything is asked (DRY_RUN=1).

reads   build/answers.sqlite; sends nothing, writes nothing
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from llm.answers import Answers
from llm.budget import about_prompt_tokens, most_prompt_tokens
from llm.conversation import Conversation, recorded
from llm.profile import Profile
from llm.request import Answer, Request, parse, repair

MEASURED_ANSWERS = 20  # from so many recorded answers on, their mean length replaces max_tokens


@dataclass
class Line:
    """One role's share of a plan.

    Attributes:
        stage, role, model: who asks whom.
        requests: requests to be sent at most, those that the ledger answers left out.
        recorded: requests that the ledger answers.
        prompt_tokens, completion_tokens: about; completions by the mean of earlier ones, else by `max_tokens`.
        usd_about, usd_most: by these tokens; by the most that bytes can become, as the budget counts before it asks,
            with one repair of every answer that must fit a schema; lost and failed attempts are in neither.
    """

    stage: str
    role: str
    model: str
    requests: int = 0
    recorded: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd_about: float = 0.0
    usd_most: float = 0.0


def plan(
    answers: Answers, profile: Profile, conversations: Iterable[Conversation], stand_in: Callable[[Request], str],
    stage: str = "",
) -> list[Line]:  # fmt: skip
    """Walk through all conversations as far as they can go.

    Args:
        stand_in: text to take for an answer that is not there yet, such that the conversation goes on: what follows
            is then counted too, so the plan is the most that can be asked.
        stage: name of the lines.
    """
    lines: dict[str, Line] = {}
    for conversation in conversations:
        answer: Answer | None = None
        try:
            while True:
                request = conversation.send(answer)
                answer = recorded(answers, profile, request)
                role = profile.role(request.role)
                line = lines.setdefault(request.role, Line(stage, request.role, role.model))
                if answer.reason is None:
                    line.recorded += 1
                    continue
                _add(line, request, profile, answers)
                text = stand_in(request)
                value = parse(text, request.schema)[0] if request.schema else None
                answer = Answer(answer.key, role.model, text, value)
        except StopIteration:
            continue
    return list(lines.values())


def _add(line: Line, request: Request, profile: Profile, answers: Answers) -> None:
    role = profile.role(request.role)
    prompt = about_prompt_tokens(request.messages)
    completion = round(
        answers.mean_completion_tokens(role.model, request.template, MEASURED_ANSWERS) or role.max_tokens
    )
    line.requests += 1
    line.prompt_tokens += prompt
    line.completion_tokens += completion
    line.usd_about += role.usd(prompt, completion)
    line.usd_most += role.usd(most_prompt_tokens(request.messages), role.max_tokens)
    if request.schema is not None:  # what does not fit it is shown to the model once more, and answered again
        again = most_prompt_tokens(repair(request, "", "")) + role.max_tokens
        line.usd_most += role.usd(again, role.max_tokens)


def plan_table(lines: Iterable[Line]) -> str:
    """The plan as a table for a terminal."""
    head = ("stage", "role", "model", "to ask", "in ledger", "prompt tokens", "answer tokens", "about $", "at most $")
    rows = [
        (
            line.stage, line.role, line.model, f"{line.requests:,}", f"{line.recorded:,}", f"{line.prompt_tokens:,}",
            f"{line.completion_tokens:,}", f"{line.usd_about:.2f}", f"{line.usd_most:.2f}",
        )
        for line in lines
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def shown(row: tuple[str, ...]) -> str:
        cells = [f"{c:<{w}}" if i < 3 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join(map(shown, (head, *rows)))
