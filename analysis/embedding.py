"""Instructions and responses on a map, and the distance between their clusters as a number.

reads   the kept rows of the last finished stage; writes nothing

Embeddings are TF-IDF of word 1-2-grams, reduced to 50 dimensions (latent semantic analysis): offline and seeded. The
map is UMAP's (McInnes et al., arXiv 1802.03426), the kind that AlchemistCoder draws. It keeps neighbours and no
distances, so nothing is measured on it:

    distance = 1 - cosine(mean of the instructions, mean of the responses)      0 the same direction ... 1 unrelated

is that of the embeddings in their 50 dimensions, without and with the AlchemistPrompt on the same rows, and the
difference with a paired bootstrap over rows.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis import style
from analysis.reading import Artefacts, chosen, rows_at
from dataset_scripts.schema import published_instruction

ROWS = 1_000  # of a text or three each: 3,000 points are a cloud, and below UMAP's 4,096 neighbours are exact
NEIGHBOURS = 15  # of a text, of which UMAP makes its graph; its default
DIMENSIONS = 50
RESAMPLES = 1_000
LEAST_ROWS = 10
SHOWN, MARGIN = (2, 98), 0.1  # percentiles of the map's places, and how much of their range more is shown beyond them
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
    from sklearn.decomposition import TruncatedSVD
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
    map_ = _map(dense, seed)
    window, outside = _window(map_)
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
        "title": "Instructions and responses on a map (UMAP of TF-IDF in 50 dimensions)",
        "caption": f"n = {len(rows):,} rows{' that carry a prompt' if is_prompted else ''}, seed {seed}; {said}; "
        "the distance is 1 - cosine between the means in the 50 dimensions, not on the map, which keeps neighbours "
        f"and no distances; axes have no unit{f'; {outside} texts lie far outside of the picture' if outside else ''}",
        "height_inches": 5.0,
        "rows": len(rows),
        "distance": found,
        "window": window,
        "map": {name: map_[place].astype(float).round(4).tolist() for name, place in at.items()},
    }


def _map(dense: np.ndarray, seed: int) -> np.ndarray:
    """UMAP of points x dimensions, points x 2; one thread and a seed: the same points give the same map."""
    from umap import UMAP

    # from the first two principal components: a start at random decides where whole clusters come to lie
    # (Kobak and Linderman 2021, https://doi.org/10.1038/s41587-020-00809-z)
    neighbours = min(NEIGHBOURS, len(dense) - 1)
    return UMAP(neighbours, metric="cosine", init="pca", random_state=seed, n_jobs=1).fit_transform(dense)


def _window(places: np.ndarray) -> tuple[list[list[float]], int]:
    """What the picture shows of the map, [low, high] of either axis, and how many points are outside of it.

    A few texts like no other would leave a corner to all the rest.
    """
    low, high = np.percentile(places, SHOWN, axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    outside = int(((places < low) | (places > high)).any(axis=1).sum())
    return np.stack([low, high], axis=1).astype(float).round(4).tolist(), outside


def draw(figure: Figure, found: style.Numbers) -> None:
    """A dot a text; the distances, which are not those of the dots, beside the names."""
    axes = figure.subplots()
    distance_of = {"instruction": found["distance"]["plain"], "prompted": found["distance"].get("prompted")}
    for place, name in enumerate(name for name in NAMES if name in found["map"]):
        points = np.array(found["map"][name])
        far = distance_of.get(name)
        axes.scatter(*points.T, s=12, marker=style.MARKERS[place], color=style.colour(place), alpha=0.5, linewidths=0,
                     label=NAMES[name] + (f" ({far:.3f} from the responses)" if far is not None else ""))  # fmt: skip
    axes.set(**{f"{axis}lim": limits for axis, limits in zip("xy", found["window"], strict=True)})
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=3, markerscale=2)
