"""Cosine of code embeddings: which references a piece of code looks like, whatever its names are.

Two embeddings, one interface (`similar`). The result of a stage says which was used.

    TfidfIndex   1-, 2- and 3-grams of blind code tokens, weighted by how rare they are among the references; needs
                 no download. A copy with other names, literals, comments or layout is the same vector.
    ModelIndex   a sentence-transformers model of code, pinned by its revision on the Hub or by the content of its
                 folder; reads names too.

Both compute (rows x references) in blocks, so memory does not grow with the number of rows.

An index of TF-IDF is built in less time than a file of it would be checked and read; vectors of a model take minutes,
so those of the references are kept in build/embeddings/, a file for each model, revision and set of references.
"""

import concurrent.futures
import functools
import importlib.metadata
import io
import multiprocessing
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import TfidfTransformer

from artefacts import ROOT, Refusal, hash_of, sha256_of_file, write_bytes
from dataset_scripts.code_tokens import Tokens, ngram_hashes

_BUCKET_BITS = 20  # n-grams are told apart by this much of their hash: about 30,000 occur in 4,000 solutions
_BUCKETS = 1 << _BUCKET_BITS
MODEL_BLOCK_TEXTS = 256
CACHE = ROOT / "build" / "embeddings"
MODEL_PACKAGES = ("sentence-transformers", "transformers", "torch")


class Similar(NamedTuple):
    """Pairs at or above a cosine, one entry each: arrays of one length."""

    text: np.ndarray  # int64, index of the piece of code
    reference: np.ndarray  # int64, index of the reference
    cosine: np.ndarray  # float64


def counts(tokens: Tokens, texts: int) -> scipy.sparse.csr_matrix:
    """Counts of 1-, 2- and 3-grams, `[texts, buckets]`."""
    rows, buckets = [], []
    for n in (1, 2, 3):
        grams, in_one_text = ngram_hashes(tokens, n)
        salted = (grams[in_one_text] ^ np.uint64(n)) * np.uint64(0x9E3779B97F4A7C15)
        buckets.append((salted >> np.uint64(64 - _BUCKET_BITS)).astype(np.int32))
        rows.append(tokens.text[: len(grams)][in_one_text])
    row, bucket = np.concatenate(rows), np.concatenate(buckets)
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(texts + 1)).astype(np.int32)
    matrix = scipy.sparse.csr_matrix((np.ones(len(row)), bucket[order], starts), shape=(texts, _BUCKETS))
    matrix.sum_duplicates()
    return matrix


class TfidfIndex:
    """TF-IDF over blind code tokens.

    Attributes:
        name: what the result calls this embedding.
    """

    name = "tfidf of blind code tokens, 1-3-grams"

    def __init__(self, codes: Sequence[str], blind: Tokens, min_tokens: int) -> None:
        """Fit on the references.

        Args:
            codes: their texts.
            blind: their blind tokens.
            min_tokens: references, and pieces of code, with fewer tokens match nothing.
        """
        self._min_tokens = min_tokens
        matrix = counts(blind, len(codes))
        self._weights = TfidfTransformer(sublinear_tf=True).fit(matrix)
        small = np.bincount(blind.text, minlength=len(codes)) < min_tokens
        self.too_small = np.flatnonzero(small).tolist()
        vectors = scipy.sparse.csr_matrix(scipy.sparse.diags(~small * 1.0) @ self._weights.transform(matrix))
        vectors.eliminate_zeros()
        # Only buckets of references can add to a product, dropping the others makes it cheap; a row's vector was
        # divided by its whole length before, n-grams that no reference has included.
        self._columns = np.unique(vectors.indices)
        self._transposed = vectors[:, self._columns].T.tocsr()

    def similar(self, codes: Sequence[str], blind: Tokens, at_least: float) -> Similar:
        """Pairs of the pieces of code and the references with cosine >= `at_least`, sorted."""
        big = np.bincount(blind.text, minlength=len(codes)) >= self._min_tokens
        if not big.any() or not len(self._columns):
            return _none()
        rows = self._weights.transform(counts(blind.where(big[blind.text]), len(codes)))
        products = (rows[:, self._columns] @ self._transposed).tocoo()
        hit = products.data >= at_least
        order = np.lexsort((products.col[hit], products.row[hit]))
        return Similar(
            products.row[hit][order].astype(np.int64),
            products.col[hit][order].astype(np.int64),
            np.minimum(products.data[hit][order], 1.0),
        )


class ModelIndex:
    """Embeddings of a sentence-transformers model, loaded in each process when it is first needed.

    Attributes:
        name: model and revision.
    """

    def __init__(
        self, model: str, revision: str, codes: Sequence[str], blind: Tokens, min_tokens: int, where: str
    ) -> None:
        """Embed the references, or read their vectors where they were embedded before; see TfidfIndex.

        Raises:
            Refusal: sentence-transformers is not installed, or the Hub does not give the model.
        """
        self.name = f"{model}@{revision}"
        self._model, self._revision, self._min_tokens, self._where = model, revision, min_tokens, where
        self.too_small = np.flatnonzero(np.bincount(blind.text, minlength=len(codes)) < min_tokens).tolist()
        self._references = reference_vectors(model, revision, codes, where)
        self._references[self.too_small] = 0

    def similar(self, codes: Sequence[str], blind: Tokens, at_least: float) -> Similar:
        """Pairs of the pieces of code and the references with cosine >= `at_least`, sorted."""
        found = [_none()]
        big = np.flatnonzero(np.bincount(blind.text, minlength=len(codes)) >= self._min_tokens)
        for start in range(0, len(big), MODEL_BLOCK_TEXTS):
            block = big[start : start + MODEL_BLOCK_TEXTS]
            vectors = embedded(self._model, self._revision, [codes[i] for i in block], self._where)
            products = vectors @ self._references.T
            row, reference = np.nonzero(products >= at_least)
            cosine = np.minimum(products[row, reference].astype(np.float64), 1.0)
            found.append(Similar(block[row], reference.astype(np.int64), cosine))
        return Similar(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _none() -> Similar:
    return Similar(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def reference_vectors(model: str, revision: str, codes: Sequence[str], where: str) -> np.ndarray:
    """float32 `[codes, width]`, each of length 1: out of CACHE, else embedded and kept there.

    A file that is damaged, or that other versions of the libraries made, is made anew.

    Raises:
        Refusal: see `model_versions` and `embedded`.
    """
    made_by, path = " ".join(model_versions()), CACHE / f"{hash_of([model, revision, *codes])[:32]}.npz"
    if path.is_file():
        try:
            return _read_vectors(path, len(codes), made_by)
        except ValueError as error:
            print(f"{path}: {error}; embedding {len(codes):,} solutions again.", file=sys.stderr)
    vectors = _embedded_apart(model, revision, codes, where)
    file = io.BytesIO()
    np.savez(file, vectors=vectors, made_by=np.array(made_by))
    write_bytes(path, file.getvalue())
    return vectors


def model_versions() -> list[str]:
    """Versions of the packages that shape a model's vectors.

    Raises:
        Refusal: one of them is not installed.
    """
    try:
        return [f"{name}=={importlib.metadata.version(name)}" for name in MODEL_PACKAGES]
    except importlib.metadata.PackageNotFoundError as error:
        raise Refusal(
            f"04_decontaminate.embedding names a model, but {error.name} is not installed; "
            "pip install -r requirements-extras.txt, or write embedding: tfidf."
        ) from None


def why_absent(model: str, revision: str) -> str | None:
    """Why a model cannot be had here: its library is not installed, or the Hub does not answer; None where it can.

    A name or revision that the Hub does not know is no reason: that is a mistake, and loading it says so.
    """
    try:
        model_versions()
    except Refusal:
        return "sentence-transformers is not installed"
    return None if Path(model).is_dir() or _hub_gives(model, revision) else "the Hub does not answer"


def _hub_gives(model: str, revision: str) -> bool:
    import httpx2  # the client of huggingface_hub 2.x
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        hf_hub_download(model, "config.json", revision=revision)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.TransportError, OSError) as error:
        return isinstance(error, HfHubHTTPError)  # it did answer
    return True


def folder_digest(folder: Path) -> str:
    """Digest of the names and bytes of all files of a model's folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hash_of([[str(path.relative_to(folder)), sha256_of_file(path)] for path in files])[:40]


def _read_vectors(path: Path, count: int, made_by: str) -> np.ndarray:
    """The vectors in a file of `reference_vectors`.

    Raises:
        ValueError: why they cannot be used.
    """
    try:
        with np.load(path, allow_pickle=False) as found:  # a zip file: every member has its checksum
            vectors, maker = found["vectors"], str(found["made_by"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"the file is damaged ({str(error)[:100]})") from None
    if maker != made_by:
        raise ValueError(f"it was made by {maker[:200]}")
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != count:
        raise ValueError(f"it holds {vectors.dtype} {list(vectors.shape)}")
    return vectors


def _embedded_apart(model: str, revision: str, codes: Sequence[str], where: str) -> np.ndarray:
    """`embedded` in a process of its own: a worker can use no GPU if the process that it is forked from has.

    Raises:
        Refusal: the process was killed; see `embedded`.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(embedded, model, revision, list(codes), where).result()
        except BrokenProcessPool:
            raise Refusal(
                f"{where}: the process that runs {model} was killed, most likely for want of memory; free some, name "
                "a smaller model, or write embedding: tfidf."
            ) from None


def embedded(model: str, revision: str, codes: Sequence[str], where: str) -> np.ndarray:
    """float32 `[codes, width]`, each of length 1.

    Raises:
        Refusal: the Hub does not give the model.
    """
    return _load_model(model, revision, where).encode(
        list(codes), batch_size=32, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def _load_model(model: str, revision: str, where: str) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)  # workers are many already; and one forked from a threaded parent would wait for ever
    try:
        pinned = None if Path(model).is_dir() else revision
        return SentenceTransformer(model, revision=pinned, trust_remote_code=False)
    except (OSError, ValueError) as error:
        said = str(error).strip().split("\n")[0][:200]
        raise Refusal(
            f"{where}: the model {model} at {revision} cannot be loaded ({said}); check the name, the revision and "
            "the network, or write embedding: tfidf."
        ) from None
