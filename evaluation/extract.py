"""Texts of models to programs: out of code blocks, cut where the function ends, behind the prompt.

    code(answer, problem) -> code        cut(completion, problem) -> completion        program(text, problem) -> source

The same rules serve our own generations and other people's (`evaluation.samples`); a protocol names those it
applies.
"""

import re

from evaluation.benchmarks import Problem

_FENCE = re.compile(r"```[ \t]*[\w+#-]*[ \t]*\r?\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
# where a sampled function ends, as Codex's and CodeT's evaluations cut it, and a closing fence
PYTHON_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n@", "\nassert", "\n```")
_DEFINITION = {
    "python": r"^(?:async\s+)?def\s+{name}\b",
    "javascript": r"^(?:const|let|var|function|async function)\s+{name}\b",
    "java": r"^(?!\s*(?:return|else|new|throw)\b)\s*[\w<>\[\], ?]+\s{name}\s*\([^;{{}}]*\)[\w\s,.]*\{{",
    "go": r"^func\s+{name}\b",
    "cpp": r"^[\w:<>,&*\s]+\b{name}\s*\([^;]*?\)\s*\{{",
    "rust": r"^\s*(?:pub\s+)?fn\s+{name}\b",
}


# a line that no sentence looks like: a keyword where a statement begins, an assignment, a bracket or ; at its end
_CODE = re.compile(
    r"^\s*(?:(?:async )?def \w|class \w+[(:{ ]"
    r"|return\b(?! (?:the|an?) (?!if |and |or |in |is |not )\w)|pass$|raise \w|yield\b"
    r"|import [\w.{*]+(?:$| as |,|;| from )"
    r"|from [\w.]+ import |(?:for|while|if|elif|switch) ?[(\w].*[:{]$|(?:else|try|finally) ?[:{]|with .* as \w+:|@\w+"
    r"|(?:fn|func|function) \w+|(?:let|const|var|auto|int|public|private|static) .*[=({]|using namespace|package \w+$"
    r"|(?:[\w.]+(?:, ?[\w.]+)*|[\w.]+\[.*\]) ?(?:[-+*/|&%^:]|//|\*\*|<<|>>)?= ?[^=\s]|[\w.\[\]]+\((?:.*\);?)?$"
    r"|#include|.*[;{}]$)",
    re.MULTILINE,
)


def is_fenced(text: str) -> bool:
    """Whether a text holds a code block."""
    return _FENCE.search(text) is not None


def holds_code(text: str) -> bool:
    """Whether anything in an answer looks like code: not in an empty one, a refusal, or prose.

    >>> holds_code("I cannot help with that."), holds_code("    return 1"), holds_code("```\\nx\\n```")
    (False, True, True)
    """
    blocks = [match[1] for match in _FENCE.finditer(text)]
    return any(block.strip() for block in blocks) or _CODE.search(text) is not None


def _definition(text: str, problem: Problem) -> re.Match[str] | None:
    if not problem.entry_point:
        return None
    pattern = _DEFINITION[problem.language].format(name=re.escape(problem.entry_point))
    return re.search(pattern, text, re.MULTILINE)


def defines(text: str, problem: Problem) -> bool:
    """Whether a text defines the problem's function at the top level (Java: at any)."""
    return _definition(text, problem) is not None


def is_program(text: str, problem: Problem) -> bool:
    """Whether a text is a whole program: it defines the function, and does not first end the prompt's.

    A raw continuation may define the function anew once it has come to the end of the prompt's.
    """
    found = _definition(text, problem)
    if found is None:
        return False
    if problem.language == "python":
        return not _is_indented(text)
    end = _closing(problem.prompt, text)
    return end is None or found.start() < end


def _is_indented(text: str) -> bool:
    """Whether the first line that says something is inside of a function; one space is how some models begin."""
    return re.match(r"(?:[ \t]*\r?\n)*(?: {2,}|\t)", text) is not None


def code(answer: str, problem: Problem) -> str:
    """Code of an answer: its first block that defines the function, else its first block, else all of it.

    A block that the token limit left open still counts. Where the prompt opened the block, it is what stands above
    the first fence.
    """
    first = _FENCE.search(answer)
    if first and (_is_indented(answer[: first.start()]) or defines(answer[: first.start()], problem)):
        return answer[: first.start()]
    blocks = [match[1] for match in _FENCE.finditer(answer)]
    named = [block for block in blocks if defines(block, problem)]
    return (named or blocks or [answer])[0]


def between(answer: str, opening: str, closing: str) -> str:
    """What stands between two markers (MBPP's [BEGIN] and [DONE]); a missing marker is the text's own end.

    >>> between("[BEGIN]\\nx = 1\\n[DONE] and more", "[BEGIN]", "[DONE]")
    '\\nx = 1\\n'
    """
    return answer.split(opening, 1)[-1].split(closing, 1)[0]


def cut(completion: str, problem: Problem) -> str:
    """A raw continuation up to the end of the function: Python by stop words, braces elsewhere.

    Where there is no function (DS-1000) nothing ends, and all of it stays.
    """
    if not problem.entry_point:
        return completion
    if problem.language == "python":
        ends = [at for at in (completion.find(stop) for stop in PYTHON_STOPS) if at >= 0]
        return completion[: min(ends)] if ends else completion
    end = _closing(problem.prompt, completion)
    if end is None:
        return completion
    closed = completion[:end]
    return closed + "\n}\n" if problem.language == "java" and "class Solution" in problem.prompt else closed + "\n"


def runs_on(completion: str, problem: Problem) -> bool:
    """Whether a text goes on after its function."""
    return bool(cut(completion, problem).strip() != completion.strip() and completion.strip())


def _closing(prompt: str, completion: str) -> int | None:
    """Where the brace that the prompt's last line opened is closed in the completion; strings are passed over."""
    depth = 1
    for match in re.finditer(
        r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|`[^`]*`|//[^\n]*|/\*.*?\*/|[{}]', completion, re.DOTALL
    ):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return None


def is_prose(problem: Problem) -> bool:
    """Whether a problem's prompt is a question and no beginning of a program."""
    return problem.task_id.startswith(("Mbpp/", "DS-1000/"))


def program(text: str, problem: Problem, own_prompt: str | None = None) -> str:
    """The candidate that is judged: the prompt (its imports and helper functions), then the text.

    Text that does not define the function continues the prompt's. `own_prompt` is the prompt that the sample was made
    from, where it is not the benchmark's (docstrings shortened, for instance).
    """
    prompt = own_prompt or problem.prompt
    if is_prose(problem):  # unless the sample brings a prompt of its own
        return own_prompt + text if own_prompt and "def " in own_prompt and not defines(text, problem) else text
    if not defines(text, problem):
        return prompt + text
    if problem.language == "python":
        return f"{prompt}\n    pass\n\n{text}" if own_prompt is None else text
    return _preamble(problem) + text


def _preamble(problem: Problem) -> str:
    """Imports and headers that stand above the function in the benchmark's declaration, for a whole program."""
    declaration = str(problem.extra.get("declaration", ""))
    lines = [
        line
        for line in declaration.splitlines()
        if re.match(r"\s*(?:import|#include|using|use|package|const \w+ = require)\b", line)
    ]
    return "\n".join([*lines, ""])
