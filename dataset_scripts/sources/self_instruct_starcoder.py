"""Self-instruct-starcoder: StarCoder prompted with Code Alpaca's seed tasks and 20 more; OctoPack compares with it.

Four splits: `raw` (5,003 rows, the one OctoPack used), and `curated`, `unique` and `compile`, which are parts of it.
"""

import functools
from typing import Literal

from artefacts import StrictModel
from dataset_scripts.sources import Source, hub

REPO_ID = "codeparrot/self-instruct-starcoder"


class Options(StrictModel):
    """Options of `self_instruct_starcoder` in a mixture file."""

    split: Literal["raw", "curated", "unique", "compile"] = "raw"


def source(options: Options) -> Source:
    """The rows of one split."""
    return hub.source(
        REPO_ID,
        licence="bigscience-openrail-m",
        generator="bigcode/starcoder",
        pair=lambda raw: (raw["instruction"], raw["output"]),
        read=functools.partial(hub.read, REPO_ID, split=options.split),
        notes={"split": options.split},
    )
