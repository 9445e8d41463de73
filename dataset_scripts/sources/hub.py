"""Reading a dataset repository of the Hub at one revision: the only code of the sources that needs a network.

Errors of the network become one sentence. No loader scripts and no pickle: `datasets` refuses the first, and the
sources name JSON or Parquet files only.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import datasets
import httpx2  # the client of huggingface_hub 2.x
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from artefacts import Refusal


def find_revision(repo_id: str) -> str:
    """The 40-hex commit that `main` of the dataset repository points to now.

    Raises:
        Refusal: the Hub does not answer, or says no.
    """
    try:
        return HfApi().dataset_info(repo_id, timeout=20).sha
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError, OSError) as error:
        raise Refusal(
            f"{repo_id}: {constants.ENDPOINT} did not give this dataset ({type(error).__name__}); check the network, "
            "or build the demo without the Hub: `make demo`."
        ) from None


def read(repo_id: str, revision: str, sample_rows: int | None, seed: int) -> Iterator[Mapping[str, Any]]:
    """Rows of the split `train`, or a seeded sample of them without replacement, in the order of the repository."""
    rows = datasets.load_dataset(repo_id, revision=revision, split="train")
    if sample_rows is not None and sample_rows < len(rows):
        rows = rows.select(sorted(random.Random(seed).sample(range(len(rows)), sample_rows)))
    yield from rows
