"""Which of CommitPack's licences a licence file holds, by sentences that only that licence has."""

import re

# In order: the longer text that quotes a shorter one comes first. All phrases of an entry must be there.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("MPL-2.0", ("mozilla public license", "version 2.0")),
    ("EPL-1.0", ("eclipse public license", "v 1.0")),
    ("Artistic-2.0", ("the artistic license 2.0",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "endorse or promote products")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("ISC", ("permission to use, copy, modify, and distribute this software for any purpose",)),
    ("MIT", ("permission is hereby granted, free of charge, to any person obtaining a copy",)),
)
FILE_NAME = re.compile(r"(un)?licen[cs]e([.-].*)?|copying([.-].*)?", re.IGNORECASE)


def licence_of(text: str) -> str:
    """SPDX id, `unknown` where no licence of CommitPack's list is found.

    >>> licence_of("Permission is hereby granted, free of charge,\\nto any person obtaining a copy ...")
    'MIT'
    """
    folded = " ".join(text.lower().split())
    return next((spdx for spdx, phrases in _PHRASES if all(p in folded for p in phrases)), "unknown")
