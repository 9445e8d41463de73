"""The accepted row that is most like a given one: by the words of the instructions, in the same language.

reads   the kept rows of the stage before, shard by shard; writes nothing

Cosine of TF-IDF vectors over the words of the instructions (scikit-learn's hashing vectoriser, so that no vocabulary
is held and shards can be read one by one). About 0.7 kB a row stay in memory, no text. Ties go to the earlier row.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from tqdm import tqdm

from dataset_scripts.schema import COMPREHENSION_TASKS
from dataset_scripts.stage_files import shards
from dataset_scripts.syntax import LANGUAGES

MAX_CHARS = 8_000  # of a response, or of an instruction, that a new row may quote
MIN_CHARS = 60  # of a response that shows how a good answer looks
_COLUMNS = ["id", "license", "language"]
_AT_ONCE = 64  # queries multiplied with all rows at a time
_NEAREST = 64  # rows that are looked at for one query
_VECTORS = HashingVectorizer(
    n_features=1 << 20, norm=None, alternate_sign=False, binary=True, token_pattern=r"(?u)\b\w\w+\b|[+#]{1,2}",
    dtype=np.float32,
)  # fmt: skip


@dataclass
class Accepted:
    """Rows of one input that another row may quote: with code, in one of six languages, and not too long.

    Attributes:
        ids, licences, languages: a column each.
        chars: characters of the responses.
        fenced: whether a response holds a fence.
        vectors: TF-IDF of the instructions, rows of length one.
    """

    ids: list[str] = field(default_factory=list)
    licences: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)
    fenced: list[bool] = field(default_factory=list)
    vectors: scipy.sparse.csr_matrix | None = None
    weights: TfidfTransformer | None = None

    def __len__(self) -> int:
        return len(self.ids)


def read_accepted(source: Path, name: str) -> Accepted:
    """The rows of a finished stage that can stand as an example.

    Args:
        source: folder of the stage.
        name: on the progress bar.
    """
    found, counts = Accepted(), []
    columns = (found.ids, found.licences, found.languages)
    files = shards(source)
    for path in tqdm(files, desc=f"{name}: accepted rows", unit=" shards", leave=False, disable=None, delay=2):
        table = pq.read_table(path, columns=[*_COLUMNS, "task", "instruction", "response"])
        table = table.append_column("chars", pc.utf8_length(table["response"]))
        fits = pc.is_in(table["language"], pc.cast(list(LANGUAGES), "string"))
        fits = pc.and_(fits, pc.invert(pc.is_in(table["task"], pc.cast(list(COMPREHENSION_TASKS), "string"))))
        fits = pc.and_(fits, pc.greater_equal(table["chars"], MIN_CHARS))
        for length in (table["chars"], pc.utf8_length(table["instruction"])):
            fits = pc.and_(fits, pc.less_equal(length, MAX_CHARS))
        table = table.filter(fits)
        if not len(table):
            continue
        for column, into in zip(_COLUMNS, columns, strict=True):
            into += table[column].to_pylist()
        found.chars += table["chars"].to_pylist()
        found.fenced += pc.match_substring(table["response"], "```").to_pylist()
        counts.append(_VECTORS.transform(table["instruction"].to_pylist()))
    if counts:
        found.weights = TfidfTransformer(sublinear_tf=False)
        found.vectors = found.weights.fit_transform(scipy.sparse.vstack(counts, format="csr"))
    return found


def nearest(
    accepted: Accepted, instructions: list[str], languages: list[str | None], name: str
) -> Iterator[list[tuple[int, float]]]:
    """For each instruction the accepted rows most like it, best first: (index, cosine), at most 64.

    Args:
        languages: that the rows must have; None where any will do.
    """
    if accepted.vectors is None or not instructions:
        yield from ([] for _ in instructions)
        return
    groups: dict[str | None, np.ndarray] = {None: np.arange(len(accepted))}
    known = np.array(accepted.languages)
    for language in {language for language in languages if language}:
        groups[language] = np.flatnonzero(known == language)
    queries = accepted.weights.transform(_VECTORS.transform([text[:MAX_CHARS] for text in instructions]))
    by_group: dict[str | None, list[int]] = defaultdict(list)
    for number, language in enumerate(languages):
        by_group[language].append(number)
    results: dict[int, list[tuple[int, float]]] = {}
    bar = tqdm(total=len(instructions), desc=f"{name}: counterparts", leave=False, disable=None, delay=2)
    for language, numbers in by_group.items():
        rows = groups[language]
        columns = accepted.vectors[rows].T.tocsr()
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            product = (queries[some] @ columns).tocsr()
            for line, number in enumerate(some):
                part = slice(product.indptr[line], product.indptr[line + 1])
                results[number] = _best(rows[product.indices[part]], product.data[part])
            bar.update(len(some))
    bar.close()
    yield from (results[number] for number in range(len(instructions)))


def _best(rows: np.ndarray, cosines: np.ndarray) -> list[tuple[int, float]]:
    rounded = np.round(cosines.astype(np.float64), 4)  # the last digits are the machine's
    order = np.lexsort((rows, -rounded))[:_NEAREST]
    return [(int(rows[i]), float(rounded[i])) for i in order if rounded[i] > 0]


def quoted(text: str, tag: str = "text", least: int = 3) -> str:
    """The text within a fence of at least so many backticks that nothing in it closes.

    >>> print(quoted("x = 1", "python"))
    ```python
    x = 1
    ```
    """
    ticks = max([least - 1, *(len(run) for run in re.findall(r"`{3,}", text))]) + 1
    return f"{'`' * ticks}{tag}\n{text.strip(chr(10))}\n{'`' * ticks}"
