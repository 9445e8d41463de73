"""Which embedding compares code: what a mixture asks for, and what it gets where a model cannot be had.

reads and writes   build/<mixture>/embedding.json, what was decided when the mixture was first built
"""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from artefacts import Refusal, StrictModel, read_json, write_json
from dataset_scripts import code_cosine


class Model(StrictModel):
    """A sentence-transformers model of the Hub, or of a folder."""

    model: str
    # a commit, as a branch may move under a finished build; None of a folder, whose content stands for it
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    otherwise: Literal["tfidf"] | None = None  # where it cannot be had: this; without it the build is refused


class InPlace(StrictModel):
    """TF-IDF in place of the model that a mixture names, as that could not be had when it was first asked for."""

    model: str
    revision: str
    why: str


Asked = Literal["tfidf"] | Model
Decided = Asked | InPlace


def decided(asked: Asked, record: Path, where: str) -> Decided:
    """The embedding that a mixture is built with: whether a model could be had is asked once and kept in `record`.

    So a build goes on with what it began with, whether or not the Hub answers that day; another model is asked anew.

    Raises:
        Refusal: see `chosen`.
    """
    if asked == "tfidf" or asked.otherwise is None:
        return asked
    model, name = chosen(asked, where)
    noted = read_json(record)
    if noted is None or noted["asked"] != name:
        noted = {"asked": name, "why_absent": code_cosine.why_absent(*model)}
        write_json(record, noted)
    if why := noted["why_absent"]:
        print(
            f"warning: {name}: {why}; code is compared by TF-IDF in its place (delete {record} to ask again).",
            file=sys.stderr,
        )
        return InPlace(model=model[0], revision=model[1], why=why)
    return asked.model_copy(update={"otherwise": None})


def chosen(asked: Decided, where: str) -> tuple[tuple[str, str] | None, str]:
    """Model and revision (the digest of a folder), None for TF-IDF; and what the result says of it.

    Raises:
        Refusal: a model of the Hub has no revision, or one in a folder has; see `code_cosine.model_versions`.
    """
    if asked == "tfidf":
        return None, code_cosine.TfidfIndex.name
    if isinstance(asked, InPlace):
        return None, f"{code_cosine.TfidfIndex.name}, in place of {asked.model}@{asked.revision} ({asked.why})"
    if Path(asked.model).is_dir() is (asked.revision is not None):
        raise Refusal(
            f"{where}: 04_decontaminate.embedding: {asked.model} is "
            + ("a folder, whose content stands for its revision; leave the revision out." if asked.revision
               else "no folder here, so it is a model of the Hub; state the revision, 40 hex digits of a commit.")
        )  # fmt: skip
    model = (asked.model, asked.revision or code_cosine.folder_digest(Path(asked.model)))
    return model, f"{model[0]}@{model[1]}"
