"""Numbers of figures, recomputed from the rows; what is missing is missing and not drawn."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis import (
    ablation_curves,
    concepts,
    cpd_density,
    distribution,
    embedding,
    error_cases,
    funnel,
    leak_table,
    lengths,
    style,
    training_curves,
)
from analysis.reading import Artefacts
from artefacts import read_json, write_json
from tests.model_cards.toy_build import toy_row, write_build


@pytest.fixture(scope="module")
def artefacts(toy_mixture):
    return Artefacts(toy_mixture)


@pytest.fixture(scope="module")
def rows(toy_mixture):
    return pq.read_table(toy_mixture / "09_mixture/kept/00000.parquet").to_pylist()


def test_the_distribution_counts_every_row_once(artefacts, rows):
    found = distribution.numbers(artefacts)
    assert found["rows"] == len(rows) == 52 and "n = 52" in found["caption"]
    for name in ("source", "language", "task", "generator", "license"):
        assert found[name] == {value: sum(r[name] == value for r in rows) for value in found[name]}
        assert sum(found[name].values()) == 52
    assert found["generator"] == {"lab/model": 26, "human": 26}
    assert found["prompt"] == {"without a prompt": 40, "static": 12}  # a copy's writer is its original's


def test_concepts_are_counted_by_language_among_the_rows_whose_code_was_read(artefacts):
    found = concepts.numbers(artefacts)
    # the 12 copies with a prompt have the code of the first 12 rows
    assert found["read"] == {"python": 32} and found["concepts"] == {"python": {"sorting": 32, "heap": 10}}
    assert "n = 52 rows, 32 of them with code that was read" in found["caption"]


def test_only_the_most_common_concepts_are_drawn(artefacts, monkeypatch):
    monkeypatch.setattr(concepts, "MOST_CONCEPTS", 1)
    assert concepts.numbers(artefacts)["concepts"] == {"python": {"sorting": 32}}


def test_lengths_are_those_of_the_texts(artefacts, rows):
    found = lengths.numbers(artefacts)["lengths"]
    words = [len(row["instruction"].split()) for row in rows]
    of = found["instruction_words"]["toy"]
    assert (of["n"], of["mean"]) == (52, pytest.approx(sum(words) / 52))
    assert [of["p5"], of["p50"], of["p95"]] == pytest.approx(np.percentile(words, [5, 50, 95]))
    assert found["code_lines"]["toy"]["p50"] == 2  # a def and its return
    assert "response_tokens" not in found  # the toy run has no tokenizer


@pytest.mark.parametrize(
    "response, lines",
    [
        ("prose", None),
        ("```python\na\n\nb\n```\nand\n```\nc\n```", 3),
        ("```\nleft open\nby the limit", 2),
        ("a ``` in prose", None),
    ],
)
def test_lines_of_code_are_those_inside_fences(response, lines):
    assert lengths.code_lines(response) == lines


def test_the_funnel_adds_up(artefacts, toy_mixture):
    found = funnel.numbers(artefacts)
    for stage in found["stages"]:
        assert stage == stage | {"rows_in": stage["kept"] + sum(stage["rejected"].values())}
    cleaned = next(s for s in found["stages"] if s["stage"] == "03_clean")
    assert cleaned["rejected"] == {"does_not_compile": 1, "near_duplicate": 2, "secret": 1}
    assert found["stages"][-1]["new"] == 12 and "5 rejected" in found["caption"]


def test_leaks_are_those_of_the_stage(artefacts):
    found = leak_table.numbers(artefacts)
    assert found["total"]["removed"] == 1 and found["by_source"]["toy"]["by_signal"]["cosine"] == 1
    assert "n = 41 rows, 1 removed" in found["caption"]


def test_the_density_of_cpd_is_one_over_its_range_and_differences_are_harmonys_own(artefacts):
    found = cpd_density.numbers(artefacts)
    assert set(found["density"]) == {"none", "static"}
    grid = np.array(found["cpd"])
    inside = np.trapezoid(found["density"]["none"], grid)
    assert 0.5 < inside <= 1.001  # the tails beyond the shown range are missing
    assert found["difference_to_none"]["static"]["low"] == -0.9
    assert cpd_density.density(np.zeros(8), grid) is None  # all the same: no kernel fits


def test_harmony_of_other_rows_is_not_drawn(toy_mixture, tmp_path):
    report = read_json(toy_mixture / "harmony/harmony.json")
    build = write_build(tmp_path / "toy", [toy_row(1)])
    write_json(build / "harmony/harmony.json", report)
    assert cpd_density.numbers(Artefacts(build)) is None


def test_the_distance_of_clusters_is_between_their_means():
    a, b = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    assert embedding.distance(a, b) == pytest.approx(1 - 1 / math.sqrt(2))
    assert embedding.distance(a, a) == pytest.approx(0)


def test_the_change_by_prompts_has_an_interval_around_it(artefacts):
    found = embedding.numbers(artefacts)
    one = found["distance"]["change"]
    assert found["rows"] == one["n"] == 12  # those that carry a prompt
    assert one["mean"] == pytest.approx(found["distance"]["prompted"] - found["distance"]["plain"])
    assert one["low"] <= one["mean"] <= one["high"]
    assert {name: len(points) for name, points in found["map"].items()} == dict.fromkeys(embedding.NAMES, 12)
    assert embedding.numbers(artefacts) == found  # the same rows give the same numbers


def test_a_few_texts_like_no_other_do_not_leave_a_corner_to_the_rest():
    cloud = np.random.default_rng(0).uniform(0, 1, (300, 2))
    (x, y), outside = embedding._window(np.vstack([cloud, [[50.0, 0.5]]]))
    assert outside == 1 and -0.3 < x[0] < x[1] < 1.3 and -0.3 < y[0] < y[1] < 1.3
    assert embedding._window(cloud)[1] == 0


def test_on_the_map_texts_with_the_same_words_are_neighbours_and_nothing_is_measured(artefacts, umap, monkeypatch):
    """The one test that draws UMAP's own map: to compile it takes longer than all others of this file."""
    off_the_map = embedding.numbers(artefacts)["distance"]
    monkeypatch.setattr(embedding, "_map", umap)
    found = embedding.numbers(artefacts)
    assert {name: np.shape(points) for name, points in found["map"].items()} == dict.fromkeys(embedding.NAMES, (12, 2))
    assert found["distance"] == off_the_map
    assert embedding.numbers(artefacts) == found  # the same rows give the same map
    groups = np.repeat(np.eye(3), 20, axis=0) + np.random.default_rng(0).normal(0, 0.02, (60, 3))
    places = umap(groups, seed=0).reshape(3, 20, 2)
    spread = np.linalg.norm(places - places.mean(axis=1, keepdims=True), axis=2).max()
    means = places.mean(axis=1)
    assert min(np.linalg.norm(means[i] - means[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 2 * spread


def test_error_cases_are_counted_per_evaluation(artefacts):
    found = error_cases.numbers(artefacts)
    assert found["order"] == ["passes", "NameError", "no code"]
    assert found["runs"] == {
        "tiny-full": {"base": {"passes": 1, "NameError": 2}, "tuned": {"passes": 1, "no code": 1}}
    }


def test_training_curves_are_the_runs_losses(artefacts):
    run = training_curves.numbers(artefacts)["runs"]["tiny-full"]
    assert run["steps"] == [1, 3, 6] and run["loss"][0] == 2.0
    assert run["held_out"] == {"toy": [[3, 1.9], [6, 1.7]]}


def test_ablation_curves_hold_share_and_mode_alone_and_every_cell_its_difference(artefacts):
    found = ablation_curves.numbers(ablation_curves.of_mixture(artefacts)["shares"])
    assert found["curves"] == {"add": [[0, 20, 10], [5, 30, 10], [10, 25, 10]]}  # the control is no point of the line
    cells = {cell["name"]: cell for cell in found["cells"]}
    assert cells["share_0"]["difference"] is None
    assert cells["add_5"]["difference"] == pytest.approx({"difference": 10, "low": 0, "high": 20})
    assert cells["add_5"]["held_out_loss"] == {"toy": pytest.approx([1.8, 2.8])}
    assert "n = 10 tasks of humaneval and 2 seeds" in found["caption"] and "1 cells failed" in found["caption"]


def test_the_grids_for_a_mixture_are_those_that_name_it():
    assert ablation_curves.grids_for("demo") == ["recipes/ablations/demo.yaml"]
    assert ablation_curves.grids_for("nobody_wrote_one") == []


def test_a_grid_on_another_mixture_is_not_this_mixtures(tmp_path):
    build = write_build(tmp_path / "toy", [toy_row(1)])
    for grid in ("share", "other"):
        file = tmp_path / f"{grid}.yaml"
        file.write_text(f"mixture: recipes/mixtures/{'toy' if grid == 'share' else 'else'}.yaml\n")
        write_json(tmp_path / f"ablations/{grid}/result.json", {"file": str(file), "cells": [{}]})
    assert list(ablation_curves.of_mixture(Artefacts(build))) == ["share"]


def test_a_run_on_another_mixture_is_not_this_mixtures(toy_mixture):
    record = read_json(toy_mixture.parent / "runs/tiny-full/run.json")
    assert [run.name for run in Artefacts(toy_mixture).runs] == ["tiny-full"]
    other = toy_mixture.parent / "runs/other"
    write_json(other / "run.json", record | {"settings": record["settings"] | {"data": "hub/else"}})
    try:
        assert [run.name for run in Artefacts(toy_mixture).runs] == ["tiny-full"]
    finally:
        (other / "run.json").unlink()


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme, least", [("light", 2.0), ("dark", 4.5)])
def test_text_and_colours_stand_out_from_the_background(theme, least):
    colours = style.THEMES[theme]
    back = luminance(colours["back"])

    def contrast(colour: str) -> float:
        high, low = sorted((luminance(colour), back), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast(colours["ink"]) >= 7
    assert all(contrast(one) >= least for one in colours["palette"])
