"""The licence of a row that is made from several others: the strictest of theirs, where they go together.

Reads nothing, writes nothing. No legal advice: where it is not plain that two licences go together they are taken not
to, and no row is made.
"""

from collections.abc import Iterable

from dataset_scripts.schema import licence_terms

# Permissive licences by what they ask for, the least first: whoever keeps to a later one keeps to an earlier one's
# spirit, too (nothing, a notice, attribution with changes stated).
BY_CONDITIONS = (
    "0BSD", "CC0-1.0", "MIT-0", "Unlicense", "BSL-1.0", "Zlib", "ISC", "MIT", "BSD-2-Clause", "BSD-3-Clause",
    "Python-2.0", "PSF-2.0", "Artistic-2.0", "CC-BY-3.0", "CC-BY-4.0", "Apache-2.0",
)  # fmt: skip
# What allows an adaptation to be licensed as what: Creative Commons' later versions, and share-alike over none
# (https://creativecommons.org/faq/#if-i-derive-or-adapt-material-offered-under-a-creative-commons-license).
_PASSES_INTO = {
    "CC-BY-SA-3.0": ("CC-BY-SA-4.0",),
    "CC-BY-NC-2.0": ("CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
    "CC-BY-NC-3.0": ("CC-BY-NC-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
    "CC-BY-NC-4.0": ("CC-BY-NC-SA-4.0",),
    "CC-BY-NC-SA-3.0": ("CC-BY-NC-SA-4.0",),
}
_APART = ({"Apache-2.0", "GPL-2.0"},)  # https://www.gnu.org/licenses/license-list.html#apache2


def combined(licences: Iterable[str]) -> str | None:
    """The licence of what is made from rows of these licences; None where no row may be made.

    >>> combined(["MIT", "CC-BY-NC-4.0"]), combined(["MIT", "Apache-2.0"]), combined(["GPL-3.0", "CC-BY-NC-4.0"])
    ('CC-BY-NC-4.0', 'Apache-2.0', None)
    """
    found: str | None = None
    for licence in licences:
        if "-ND" in licence.upper():  # no derivatives
            return None
        found = licence if found is None else _stricter(found, licence)
        if found is None:
            return None
    return found


def _stricter(one: str, other: str) -> str | None:
    if one.lower() == other.lower():
        return one
    terms = {licence_terms(one), licence_terms(other)}
    if "unknown" in terms or {_plain(one), _plain(other)} in _APART:
        return None
    if terms == {"permissive"}:
        return max(one, other, key=lambda licence: BY_CONDITIONS.index(_plain(licence)))
    if "permissive" in terms:
        return other if licence_terms(one) == "permissive" else one
    if _plain(other) in _PASSES_INTO.get(_plain(one), ()):
        return other
    return one if _plain(one) in _PASSES_INTO.get(_plain(other), ()) else None


def _plain(licence: str) -> str:
    return _SPELLED.get(licence.lower(), licence).removesuffix("-only").removesuffix("-or-later")


_SPELLED = {licence.lower(): licence for licence in (*BY_CONDITIONS, *_PASSES_INTO, "CC-BY-SA-4.0", "CC-BY-NC-SA-4.0")}
