"""The licence of a row made from several: never laxer than any of theirs, none where they do not go together."""

import itertools

import pytest

from dataset_scripts.licences import BY_CONDITIONS, combined
from dataset_scripts.schema import LICENCE_TERMS, licence_terms


@pytest.mark.parametrize(
    ("licences", "both"),
    [
        (["MIT", "MIT"], "MIT"),
        (["MIT", "CC0-1.0", "Apache-2.0"], "Apache-2.0"),
        (["CC-BY-NC-SA-4.0", "MIT"], "CC-BY-NC-SA-4.0"),
        (["CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"], "CC-BY-NC-SA-4.0"),
        (["CC-BY-NC-SA-4.0", "CC-BY-NC-SA-3.0"], "CC-BY-NC-SA-4.0"),
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], None),
        (["GPL-3.0", "CC-BY-NC-4.0"], None),
        (["GPL-2.0-only", "Apache-2.0"], None),
        (["GPL-3.0", "MPL-2.0"], None),
        (["bigcode-openrail-m", "CC-BY-NC-4.0"], None),
        (["CC-BY-NC-ND-4.0"], None),
        (["unknown", "MIT"], None),
        (["unknown", "unknown"], "unknown"),
    ],
)
def test_the_strictest_or_none(licences, both):
    assert combined(licences) == combined(licences[::-1]) == both


def test_no_pair_comes_out_laxer_than_it_went_in():
    assert set(BY_CONDITIONS) == {licence for licence, terms in LICENCE_TERMS.items() if terms == "permissive"}
    for one, other in itertools.combinations(LICENCE_TERMS, 2):
        both = combined((one, other))
        assert both == combined((other, one)), (one, other)
        strict = {licence_terms(one), licence_terms(other)} - {"permissive"}
        assert both is None or {licence_terms(both)} == (strict or {"permissive"}), (one, other)
