"""What two arms of an ablation differ by on held-out rows: rows in pairs, seeds apart, sources apart."""

import pytest

from recipes.ablation_table import compared


def scored(source: str, *losses: float) -> dict:
    """Row id -> a row of ten supervised tokens with the loss given, per token."""
    return {
        f"{source}{n}": {"source": source, "nll_nats": 10 * loss, "supervised_tokens": 10}
        for n, loss in enumerate(losses)
    }


def test_arms_are_compared_on_the_rows_that_all_their_runs_have():
    base = [scored("a", 2.0, 1.0, 9.0), scored("a", 2.0, 1.0, 9.0)]
    other = [scored("a", 1.5, 0.5), scored("a", 1.7, 0.7)]
    found = compared(other, base)["a"]
    assert (found["rows"], found["tokens"]) == (2, 20)
    assert found["loss"] == pytest.approx(1.1) and found["seeds"] == pytest.approx([1.0, 1.2])
    difference = found["difference"]
    assert difference["difference"] == pytest.approx(-0.4)
    assert (difference["low"], difference["high"]) == pytest.approx((-0.5, -0.3)), "the seeds' noise, no row's"


def test_the_interval_holds_the_noise_of_rows_in_pairs():
    steady = compared([scored("a", *range(1, 41))], [scored("a", *(n + 0.5 for n in range(1, 41)))])["a"]
    assert steady["difference"]["low"] == pytest.approx(-0.5) == steady["difference"]["high"]
    noisy = [n + (1 if n % 2 else -2) for n in range(1, 41)]
    found = compared([scored("a", *noisy)], [scored("a", *range(1, 41))])["a"]["difference"]
    assert found["difference"] == pytest.approx(-0.5)
    assert 0.35 < found["high"] - found["difference"] < 0.6, "1.96 x 1.5 / sqrt(40) = 0.46"


def test_sources_stand_apart_and_the_baseline_has_no_difference():
    found = compared([scored("a", 1.0) | scored("b", 3.0)], None)
    assert {source: of["loss"] for source, of in found.items()} == {"a": 1.0, "b": 3.0}
    assert found["a"]["difference"] is None
