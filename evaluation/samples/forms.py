"""The forms that samples come in: which task a row is of, and which of its columns is the text.

    found("x.jsonl", rows, problems)  ->  "one sample a row", [Found("HumanEval/0", "    return 1\\n", ...), ...]

A row may call its task `name` or `id`, or by a number, and its text otherwise (`_TEXTS`, `_LISTS`).
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from artefacts import Refusal
from evaluation.benchmarks import Problem

_TEXTS = ("solution", "completion", "generation", "code", "output", "response", "generated_code", "raw_generation",
          "generated_text", "model_output", "prediction")  # fmt: skip
_LISTS = ("completions", "samples", "solutions", "generations", "outputs", "responses", "code_list", "results")
_NAMES = ", ".join((*_TEXTS, *_LISTS))
_KINDS_OF_HUMANEVAL = ("Python", "JavaScript", "Java", "Go", "CPP", "Rust")  # HumanEval-X and HumanEvalPack
_LANGUAGES = {"py": "python", "js": "javascript", "c++": "cpp", "golang": "go", "rs": "rust"}
_IDS = ("id", "problem_id", "question_id")  # what some call a task's id; only where it is one of the benchmark's


class Found(NamedTuple):
    """One sample: its task, its text, the prompt of its own row, the row's key for it, what the row says of it."""

    task_id: str
    text: str
    own_prompt: str | None
    key: str
    passed: bool | None


class _Tasks:
    """The benchmark's tasks, as the rows of others call them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        self.ids = {p.task_id.lower(): p.task_id for p in problems}
        self.kinds = {p.language: p.task_id.split("/")[0] for p in problems}  # python -> HumanEval
        self.functions: dict[str, list[Problem]] = {}
        for p in problems:
            self.functions.setdefault(p.entry_point, []).append(p)

    def plain(self, given: str | int, language: str | None = None) -> str:
        """An id as the benchmark writes it: 7, "7", "humaneval_7_f" and "HumanEval/7" are one; others stay.

        Where the benchmark is HumanEval in several languages, "HumanEval/7" and 7 of a known language are tasks, too.
        """
        if str(given).lower() in self.ids:
            return self.ids[str(given).lower()]
        is_known = language is not None or len(self.kinds) == 1
        kind = self.kinds.get(language) or next(iter(self.kinds.values()))
        found = re.fullmatch(r"(?:([A-Za-z]+)[/_-])?(\d+)(?:_.*)?", str(given))
        if found and found[1] and f"{found[1]}/{found[2]}".lower() in self.ids:
            return self.ids[f"{found[1]}/{found[2]}".lower()]
        names = {"", kind.lower()} | ({"humaneval"} if kind in _KINDS_OF_HUMANEVAL else set())
        is_named = found and is_known and (found[1] or "").lower() in names
        return f"{kind}/{found[2]}" if is_named else str(given)

    def of(self, where: str, row: dict, prompt: str | None, language: str | None) -> str:
        """The task of a row, by its id or by the function that its prompt ends with.

        Raises:
            Refusal: it names none.
        """
        for key in ("task_id", "name", *_IDS):
            given = row.get(key)
            if isinstance(given, str | int) and not isinstance(given, bool):
                task_id = self.plain(given, language)
                if key not in _IDS or task_id.lower() in self.ids:
                    return task_id
        if prompt is not None:
            named = re.findall(r"^\s*def\s+(\w+)", prompt, re.MULTILINE)
            if named and named[-1] in self.functions:  # six names of HumanEval stand twice: the beginning tells
                return max(self.functions[named[-1]], key=lambda p: _shared(p.prompt, prompt)).task_id
            raise Refusal(f"{where}: no task is known by the function that its prompt ends with; add a task_id.")
        raise Refusal(f"{where}: has neither task_id nor name nor prompt; add a task_id.")

    def language(self, where: str, row: dict) -> str | None:
        """The sandbox's name of a row's language, None where it names none.

        Raises:
            Refusal: the benchmark has not that language here, or the row brings its own tests in it (MultiPL-E).
        """
        given = row.get("language")
        if given is None:
            return None
        if not isinstance(given, str):
            raise Refusal(f"{where}: 'language' is {type(given).__name__}, expected a text.")
        name = _LANGUAGES.get(given.lower(), given.lower())
        if name not in self.kinds:
            here = ", ".join(self.kinds)
            raise Refusal(f"{where}: is in {given}, the benchmark here in {here}; name the benchmark it was made for.")
        if name != "python" and "tests" in row:
            raise Refusal(
                f"{where}: is of MultiPL-E in {given}, which brings tests of its own; they are not run here."
            )
        return name


def paired(path: Path, rows: list[Any], problems: Sequence[Problem]) -> tuple[str, list[Found]]:
    if rows and all(isinstance(row, list) for row in rows):
        return "bigcode", _bigcode(path, rows, problems)
    tasks = _Tasks(problems)
    form = None
    if len(rows) == 1 and isinstance(rows[0], dict):
        if isinstance(rows[0].get("eval"), dict):  # EvalPlus's result file holds the solutions, too
            form, rows = "EvalPlus results", _by_task(path, rows[0]["eval"])
        elif any(tasks.plain(key).lower() in tasks.ids for key in rows[0]):
            form, rows = "by task", _by_task(path, rows[0])
    found: list[Found] = []
    forms = Counter()
    for number, row in enumerate(rows, 1):
        where = f"{path} row {number}"
        if not isinstance(row, dict):
            raise Refusal(f"{where}: expected an object, found {type(row).__name__}.")
        if form:
            where = f"{path} entry '{row['task_id']}'"
        prompt = row.get("prompt") if isinstance(row.get("prompt"), str) else None
        language = tasks.language(where, row)
        key = next((key for key in (*_LISTS, *_TEXTS) if isinstance(row.get(key), list)), None)
        if key is None:
            forms["one sample a row"] += 1
            key = next((key for key in _TEXTS if key in row), None)
            if key is None and "base" in row:  # EvalPlus before 0.2
                raise Refusal(f"{where}: holds verdicts and no program; name the file of samples that they are of.")
            if key is None:
                raise Refusal(f"{where}: has no text; expected one of {_NAMES}.")
            task_id, text = tasks.of(where, row, prompt, language), _text(where, key, row[key])
            found.append(Found(task_id, text, None, key, _passed(row.get("passed"))))
        else:
            forms["MultiPL-E" if "name" in row else "prompt and samples"] += 1
            task_id, said = tasks.of(where, row, prompt, language), row.get("passed")
            if key == "results":  # MultiPL-E's verdicts, each with the program that was run, its tests included
                said = [isinstance(text, dict) and text.get("status") == "OK" for text in row[key]]
            said = said if isinstance(said, list) else [None] * len(row[key])  # a number is none of each sample's
            if len(said) != len(row[key]):
                raise Refusal(f"{where}: 'passed' holds {len(said)} verdicts, '{key}' {len(row[key])} texts.")
            for text, passed in zip(row[key], said, strict=True):
                text = text.get("program") if key == "results" and isinstance(text, dict) else text
                found.append(Found(task_id, _text(where, key, text), prompt, key, _passed(passed)))
    return form or (forms.most_common(1)[0][0] if forms else "none"), found


def _text(where: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Refusal(f"{where}: '{key}' is {type(value).__name__}, expected a text.")
    return value


def _passed(given: Any) -> bool | None:
    """What a file says of a sample, where it says it: true, 1 or "True"."""
    return {"true": True, "1": True, "false": False, "0": False}.get(str(given).lower())


def _by_task(path: Path, mapping: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a mapping of tasks to a text, texts, or entries like rows.

    Raises:
        Refusal: something else stands under a task.
    """
    rows = []
    for task_id, value in mapping.items():
        entries = value if isinstance(value, list) else [value]
        if all(isinstance(entry, dict) for entry in entries):
            rows += [{"task_id": task_id} | entry for entry in entries]
        elif all(isinstance(entry, str) for entry in entries):
            rows.append({"task_id": task_id, "generations": entries})
        else:
            odd = next(type(entry).__name__ for entry in entries if not isinstance(entry, str))
            raise Refusal(f"{path} entry '{task_id}': holds {odd}, expected a text, texts or objects that hold one.")
    return rows


def _bigcode(path: Path, rows: list[Any], problems: Sequence[Problem]) -> list[Found]:
    if len(rows) > len(problems):
        raise Refusal(f"{path}: holds {len(rows)} tasks, the benchmark {len(problems)}; was it made for this one?")
    languages = list(dict.fromkeys(p.language for p in problems))
    if len(languages) > 1 and len(rows) < len(problems):
        raise Refusal(
            f"{path}: holds {len(rows)} tasks and no ids, the benchmark {len(problems)} in {', '.join(languages)}; "
            "name the language they are in (--languages)."
        )
    found: list[Found] = []
    for number, (texts, problem) in enumerate(zip(rows, problems, strict=False), 1):
        for text in texts:
            if not isinstance(text, str):
                raise Refusal(f"{path} row {number}: holds {type(text).__name__}, expected texts.")
            found.append(Found(problem.task_id, text, None, "generations", None))
    return found


def _shared(first: str, second: str) -> int:
    return len(os.path.commonprefix([" ".join(first.split()), " ".join(second.split())]))
