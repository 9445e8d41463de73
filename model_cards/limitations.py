"""What a model's card must say against the model: sentences that follow from its facts alone.

reads   nothing: the card's facts are handed in; writes nothing
"""

from collections.abc import Iterator
from typing import Any

from dataset_scripts.schema import writer
from model_cards import licences

CHANCE = 0.05  # a difference that chance makes at least so often proves nothing
SMALL_RUN_TOKENS = 10_000_000  # a tenth of a percent of what even small bases were trained on: shows the way, no more


def limitations(facts: dict[str, Any]) -> list[str]:
    """Sentences on data, training, measurement and licence, in this order."""
    return [*_of_the_data(facts), *_of_the_training(facts), *_of_the_scores(facts), *_of_the_licences(facts)]


def _of_the_data(facts: dict[str, Any]) -> Iterator[str]:
    data = facts["data"]
    if data["release"] is None:
        yield "What the rows are and what they were compared with is not known to this card; see the data's own."
        return
    release = data["release"]
    if not release["decontamination"]:
        yield "The rows were **not** compared with any benchmark: a score may rest on having seen the answers."
    else:
        named = ", ".join(release["decontamination"]["benchmarks"])
        yield (
            f"The rows were compared with {named} and with no other benchmark. What the base model saw before is not "
            "known."
        )
    closed = {name: n for name, n in release["generators"].items() if writer(name) == "closed model"}
    if closed:
        said = ", ".join(f"{n:,} by {name}" for name, n in closed.items())
        yield f"Rows of the mixture were written by closed models ({said}); their makers' terms may bind you."
    if unknown := release["generators"].get("unknown"):
        yield f"Nobody knows who wrote {unknown:,} rows of the mixture."
    languages = release["languages"]
    first, total = max(languages, key=lambda name: languages[name]), sum(languages.values())
    share = 100 * languages[first] / total
    yield f"{share:.0f} % of the mixture's rows are in {first}; expect less elsewhere."


def _of_the_training(facts: dict[str, Any]) -> Iterator[str]:
    run, settings = facts["run"], facts["settings"]["recipe"]
    if run["tokens"] < SMALL_RUN_TOKENS:
        yield f"Trained on {run['tokens']:,} tokens: it shows that the way holds, not what the data is worth."
    dropped = {reason: sum(n.values()) for reason, n in run.get("rows_dropped", {}).items()}
    if sum(dropped.values()):
        said = ", ".join(f"{n:,} {reason}" for reason, n in dropped.items())
        yield f"Rows were dropped before training, none cut: {said}."
    if "max_row_tokens" in settings:
        yield f"It never saw a conversation of more than {settings['max_row_tokens']:,} tokens, or two questions."
    yield "It was not aligned, and not tested for harmful, insecure or licensed code: read what it writes before use."


def _of_the_scores(facts: dict[str, Any]) -> Iterator[str]:
    for name, pair in facts["results"].items():
        tuned, difference = pair["tuned"], pair["difference"]
        if tuned["caveat"]:
            yield f"`{name}`: {tuned['caveat']}"
        if difference and difference["p"] >= CHANCE:
            yield f"`{name}`: the difference to the base may be chance (p = {difference['p']:.3f} by the sign test)."
        elif difference and difference["gained"] < difference["lost"]:
            yield f"`{name}`: it scores **worse** than its base (p = {difference['p']:.3f} by the sign test)."
        if pair["base"] is None:
            yield f"`{name}`: the base was not measured, so the score does not say what the tuning did."
    named = ", ".join(sorted({pair["tuned"]["benchmark"] for pair in facts["results"].values()}))
    yield f"Measured on {named} and on nothing else."


def _of_the_licences(facts: dict[str, Any]) -> Iterator[str]:
    for name in sorted({p for expression in facts["licences"] for p in licences.parts(expression)}):
        if note := licences.note_of(name):
            yield f"Licence `{name}`: {note}"
