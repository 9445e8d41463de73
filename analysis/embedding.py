"""Instructions and responses on a map, and the distance between their clusters as a number.

reads   the kept rows of the last finished stage; writes nothing

Embeddings are TF-IDF of word 1-2-grams, reduced to 50 dimensions (latent semantic analysis): offline and
seeded. The map shows their two principal components, on which far is far: UMAP and t-SNE draw clusters nicely and keep
no distances, and umap-learn would bring a compiler (numba and LLVM, 0.2 GB) for one picture.

    distance = 1 - cosine(mean of the instructions, mean of the responses)      0 the same direction ... 1 unrelated

is measured in the 50 dimensions, without and with the AlchemistPrompt on the same rows, and the difference with a
paired bootstrap over rows.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts, chosen, rows_at
from dataset_scripts.schema import published_instruction

ROWS = 500
DIMENSIONS = 50
RESAMPLES = 1_000
LEAST_ROWS = 10
NAMES = {"instruction": "instructions", "prompted": "the same behind their prompts", "response": "responses"}


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """1 - cosine between the means of two clusters, rows x dimensions.

    >>> distance(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0]]))
    1.0
    """
    a, b = first.mean(axis=0), second.mean(axis=0)
    return float(1 - a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def change(plain: np.ndarray, prompted: np.ndarray, responses: np.ndarray, seed: int) -> dict[str, float]:
    """How much nearer (below 0) the prompts bring instructions to responses, with a 95 % interval.

    The interval is 1.96 bootstrap standard errors wide on either side: means of resampled rows are noisier than the
    means, so that percentiles of their distances lie too high.
    """
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        some = draws.integers(0, len(plain), len(plain))
        found.append(distance(prompted[some], responses[some]) - distance(plain[some], responses[some]))
    whole = distance(prompted, responses) - distance(plain, responses)
    half = 1.96 * float(np.std(found, ddof=1))
    return {"mean": whole, "low": whole - half, "high": whole + half, "n": len(plain)}


def sample(artefacts: Artefacts, seed: int) -> tuple[list[dict[str, Any]], bool]:
    """Rows that carry a prompt, or, where too few do, any rows; and whether they carry one."""
    stage = artefacts.last_stage
    prompts = artefacts.column(stage, "kept", "alchemist_prompt")
    carrying = [place for place, prompt in enumerate(prompts) if prompt]
    is_prompted = len(carrying) >= LEAST_ROWS
    places = chosen(carrying if is_prompted else range(len(prompts)), ROWS, seed)
    return rows_at(artefacts, stage, "kept", places), is_prompted


def numbers(artefacts: Artefacts, seed: int = 0) -> dict[str, Any] | None:
    """Distances between the clusters, and where every text lies on the map."""
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows, is_prompted = sample(artefacts, seed)
    if len(rows) < LEAST_ROWS:
        return None
    texts = {"instruction": [row["instruction"] for row in rows], "response": [row["response"] for row in rows]}
    if is_prompted:
        texts["prompted"] = [published_instruction(row["instruction"], row["alchemist_prompt"]) for row in rows]
    sparse = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), min_df=2, max_features=50_000, token_pattern=r"\w+"
    )
    weights = sparse.fit_transform([text for of in texts.values() for text in of])
    dimensions = min(DIMENSIONS, min(weights.shape) - 1)
    if dimensions < 2:
        return None
    dense = TruncatedSVD(dimensions, random_state=seed).fit_transform(weights)
    components = PCA(2, random_state=seed)
    map_ = components.fit_transform(dense)
    explained = components.explained_variance_ratio_
    at = {name: slice(i * len(rows), (i + 1) * len(rows)) for i, name in enumerate(texts)}
    vectors = {name: dense[place] for name, place in at.items()}
    found = {"plain": distance(vectors["instruction"], vectors["response"])}
    said = f"distance of the clusters {found['plain']:.3f}"
    if is_prompted:
        found["prompted"] = distance(vectors["prompted"], vectors["response"])
        found["change"] = change(vectors["instruction"], vectors["prompted"], vectors["response"], seed)
        one = found["change"]
        said += (
            f", behind prompts {found['prompted']:.3f} (change {one['mean']:+.3f}, 95 % interval {one['low']:+.3f} to "
            f"{one['high']:+.3f})"
        )
    return {
        "title": "Instructions and responses on a map (TF-IDF in 50 dimensions, two principal components)",
        "caption": f"n = {len(rows):,} rows{' that carry a prompt' if is_prompted else ''}, seed {seed}; {said}; "
        f"the map shows {explained.sum():.0%} of the variance; axes have no unit",
        "height_inches": 5.0,
        "rows": len(rows),
        "distance": found,
        "variance_explained": explained.round(4).tolist(),
        "map": {name: map_[place].astype(float).round(4).tolist() for name, place in at.items()},
    }


def draw(figure: Figure, found: style.Numbers) -> None:
    """A dot a text, the mean of each group as a large mark."""
    axes = figure.subplots()
    for place, name in enumerate(name for name in NAMES if name in found["map"]):
        points = np.array(found["map"][name])
        mark, colour = style.MARKERS[place], style.colour(place)
        axes.scatter(*points.T, s=10, marker=mark, color=colour, alpha=0.5, linewidths=0)
        axes.scatter(*points.mean(axis=0), s=140, marker=mark, color=colour, edgecolors=style.ink(), zorder=3,
                     label=f"{NAMES[name]} (large: their mean)")  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(loc="best", markerscale=0.6)
