"""Numbers -> Hub: cards and repositories, from artefacts only."""
