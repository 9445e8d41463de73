"""The rows of a file of samples: JSON Lines or JSON, plain, .gz or the only member of a .zip, or a folder of them.

    rows_of(Path("samples.jsonl.gz"))  ->  [{"task_id": "HumanEval/0", "completion": "..."}, ...]

EvalPlus's folders of programs (`HumanEval_0/0.py`) become rows, too. What the rows mean is not known here (forms.py).
"""

import gzip
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from artefacts import Refusal

_PROGRAM_PATH = re.compile(r"([A-Za-z]+)[_-](\d+)/\d+\.py$")  # EvalPlus's folders


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
