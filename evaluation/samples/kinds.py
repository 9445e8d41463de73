"""What the texts of a file are: programs or completions, in code blocks or not, cut or running on.

Each decision is taken once for the whole file, by what nine in ten of its samples are; in a file that mixes more than
that, by sample. It stands in the result with its counts.
"""

from typing import Any

from evaluation import extract
from evaluation.benchmarks import Problem
from evaluation.samples.forms import Found

MAX_CHARS = 1 << 20  # a longer text is no program and is not run
MIXED = 0.1  # a file is of one kind where fewer of its rows are of the other: stray answers of a model, no second form
ALONE = "text alone"  # and no prompt before it


def _is_mixed(share: float) -> bool:
    return MIXED <= share <= 1 - MIXED


def decide(form: str, found: list[Found], by_id: dict[str, Problem], decided: dict[str, str]) -> dict[str, Any]:
    """The decisions for the file, each with the share of rows it rests on; `mixed` is decided by sample."""
    texts = [(text, by_id[task_id]) for task_id, text, *_ in found if text.strip() and len(text) <= MAX_CHARS]
    count = max(1, len(texts))
    blocks = [extract.is_fenced(text) for text, _ in texts]
    fenced = sum(blocks) / count
    codes = [(extract.code(text, p) if fenced >= MIXED else text, p) for text, p in texts]
    programs = [extract.is_program(text, p) for text, p in codes]
    whole = sum(programs) / count
    rest = [extract.runs_on(text, p) for (text, p), is_whole in zip(codes, programs, strict=True) if not is_whole]
    running_on = sum(rest) / max(1, len(rest))
    text = decided.get("text") or ("mixed" if _is_mixed(whole) else "program" if whole > 0.5 else "completion")
    raw = form == "prompt and samples" or running_on > 0.5  # CodeT's form holds continuations as they were sampled
    cut = decided.get("cut") or ("yes" if text != "program" and raw else "no")
    return {
        "form": form,
        "fences": "code blocks are taken out" if fenced >= MIXED else "none",
        "text": text,
        "cut": cut,
        "program": _put_together(found, by_id, text),
        "samples": {
            "all": len(found),
            "fenced": sum(blocks),
            "programs": sum(programs),
            "completions": len(texts) - sum(programs),
            "completions_that_run_on": sum(rest),
        },
    }


def _put_together(found: list[Found], by_id: dict[str, Problem], text: str) -> str:
    """What a program is made of, in words; `text` is what the texts are."""
    if any("library" in by_id[sample.task_id].extra for sample in found):
        return "text in the problem's own context"
    if all(extract.is_prose(by_id[sample.task_id]) and sample.own_prompt is None for sample in found):
        return ALONE
    alone = text != "completion" and {sample.key for sample in found} <= {"solution", "generations", "results"}
    return ALONE if alone else "prompt, then text"


def program(text: str, problem: Problem, own_prompt: str | None, how: dict[str, Any]) -> str:
    """The program of a sample, by the decisions `how`."""
    if how["fences"] != "none":
        text = extract.code(text, problem)
    is_program = extract.is_program(text, problem)
    if how["cut"] == "yes" and not is_program:
        text = extract.cut(text, problem)
    if how["program"] == ALONE and (how["text"] == "program" or is_program):
        return text
    return extract.program(text, problem, own_prompt)
