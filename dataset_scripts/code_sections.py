"""Where the code of a text is, and in which language: its fenced blocks, or all of it where there are none.

    "Here:\\n```go\\nx := 1\\n```\\nDone."   ->   [Section(start=12, code="x := 1\\n", language="go")]

A fence ends at one of at least as many backticks, so what it quotes may hold shorter ones: a block of text (`text`,
`markdown`, or without a tag) is looked through like the text around it. Other than `facts_of_code.code_blocks`, which
says what a response claims to be code, this loses little: a fence that was never closed ends at the next one of any
length, or at the end; a tagged fence in place of a closing one begins a new block, and so does one behind words on its
line (`Answer: ```python`); text without fences may be code, and so may text outside of them that has lines of code.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from dataset_scripts.languages import language_name

_TAG = re.compile(r"[ \t]*([\w+#.-]*)")
_TEXT = frozenset(
    {"text", "txt", "plaintext", "markdown", "md"}
)  # tags of blocks that quote: what is in them may be code
_DEPTH = 4  # blocks of text within each other that are looked through
_LINE_OF_CODE = re.compile(r"^(?:def|class|import|from|async def|@\w)", re.MULTILINE)
# Prose around blocks has none of these: a definition, or a line that ends as those of C's family do.
_CODE_OUTSIDE = re.compile(r"^[ \t]*def \w+[ ]*\(|^[ \t]*class \w+.*[:{][ \t]*$|[;{][ \t]*$", re.MULTILINE)
_LOOKS_LIKE_CODE = re.compile(r"\b(?:def|class|import|lambda|print|function|return)\b|=|;$", re.MULTILINE)


class Section(NamedTuple):
    """A stretch of code: `text[start : start + len(code)] == code`.

    Attributes:
        start: first character in the text.
        code: as the text has it, indentation included.
        language: by the fence's tag, else what the caller says.
        fenced: a block of its own; False for text that may be code.
    """

    start: int
    code: str
    language: str
    fenced: bool = True


class _Fence(NamedTuple):
    at: int
    ticks: int
    tag: str
    is_bare: bool  # nothing else stands on its line
    line_end: int  # -1 on the last line


def sections(text: str, language: str) -> list[Section]:
    """Code of the text; `language` is for blocks without a tag, or tagged as text, and for text without fences."""
    found: list[Section] = []
    _look(text, 0, language, _DEPTH, found)
    return found


def _look(text: str, offset: int, language: str, depth: int, found: list[Section]) -> None:
    """Add the sections of a text that begins at `offset` of the whole."""
    fences = _fences(text)
    if not fences:
        found.append(Section(offset, text, language, fenced=False))
    number = outside = 0
    while number < len(fences) and fences[number].line_end >= 0:
        opened = fences[number]
        closed = _closing(fences, number)
        stop = text.rfind("\n", opened.line_end, fences[closed].at) + 1 if closed < len(fences) else len(text)
        start, tag = opened.line_end + 1, opened.tag.lower()
        code = text[start:stop]
        _add_outside(text[outside : opened.at], offset + outside, language, found)
        if depth and (tag in _TEXT or (not tag and "```" in code and _fences(code))):
            _look(code, offset + start, language, depth - 1, found)
        elif code:
            is_named = tag and tag not in _TEXT
            found.append(Section(offset + start, code, language_name(tag) if is_named else language))
        number = closed + (closed < len(fences) and fences[closed].is_bare)
        outside = len(text) if closed == len(fences) else fences[closed].at + fences[closed].ticks
    if fences:
        end = fences[number].at if number < len(fences) else len(text)
        _add_outside(text[outside:end], offset + outside, language, found)


def _add_outside(text: str, start: int, language: str, found: list[Section]) -> None:
    """Add a stretch between blocks where it has lines of code: somebody lost a fence, or never set one."""
    if _CODE_OUTSIDE.search(text):
        found.append(Section(start, text, language, fenced=False))


def _closing(fences: Sequence[_Fence], opened: int) -> int:
    """Number of the fence that ends a block: the next of as many backticks, else the next; behind the last without."""
    ticks = fences[opened].ticks
    for number in range(opened + 1, len(fences)):
        if fences[number].ticks >= ticks:
            return number
    return min(opened + 1, len(fences))


def parsable(section: Section) -> tuple[str, int]:
    """The part of a section that a parser should see, outdented, and how many lines stand before it.

    Text without fences is passed over (an empty string) where nothing looks like code, and begins at its first line
    of Python where there is one: "Fix this function:" is not to spoil it.
    """
    code, lines = section.code, 0
    if not section.fenced:
        if not _LOOKS_LIKE_CODE.search(code):
            return "", 0
        begin = _LINE_OF_CODE.search(code) if section.language == "python" else None
        if begin and begin.start():
            lines, code = code.count("\n", 0, begin.start()), code[begin.start() :]
    body = code.lstrip("\n")
    indent = body[: len(body) - len(body.lstrip(" \t"))]
    if indent:
        code = "\n".join(line.removeprefix(indent) for line in code.split("\n"))
    return code, lines


def _fences(text: str) -> list[_Fence]:
    """Every three or more backticks that have no more behind them on their line, and nothing but blanks before or
    nothing but a tag behind."""
    found: list[_Fence] = []
    at = text.find("```")
    while at >= 0:
        before = at - 1
        while before >= 0 and text[before] in " \t":
            before -= 1
        stop = at
        while stop < len(text) and text[stop] == "`":
            stop += 1
        line_end = text.find("\n", stop)
        rest = text[stop : line_end if line_end >= 0 else len(text)]
        if "`" not in rest:
            tag = _TAG.match(rest).group(1)
            if before < 0 or text[before] == "\n" or (tag and line_end >= 0 and tag == rest.strip()):
                found.append(_Fence(at, stop - at, tag, not rest.strip(), line_end))
        at = text.find("```", stop)
    return found
