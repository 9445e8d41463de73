"""Artefacts -> complete Hub repositories, ready to push: Parquet or weights, and a card rendered from run JSON only.

    python -m model_cards.render dataset build/demo
    python -m model_cards.render model build/runs/smollm2-135m-full

reads   stages of a mixture, or a run with its evaluations; writes build/hub/{datasets,models}/<name>/

A number that the artefacts do not hold is an error, never a blank. The same artefacts give the same bytes.
"""

import argparse
from pathlib import Path

from artefacts import command_line
from model_cards.dataset_repository import pack_dataset
from model_cards.model_repository import pack_model


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_cards.render", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--hub", type=Path, default=Path("build/hub"), help="where repositories go (default: build/hub)"
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    dataset = kinds.add_parser("dataset", help="a built mixture -> dataset repository")
    dataset.add_argument("build", type=Path, help="build/<mixture>")
    model = kinds.add_parser("model", help="a finished, evaluated run -> model repository")
    model.add_argument("run", type=Path, help="build/runs/<base>-<variant>")
    model.add_argument("--licence", help="to publish under, if base and rows do not forbid it (default: theirs)")
    model.add_argument("--watts", type=float, help="power of one device, measured (default: its data sheet's)")
    model.add_argument("--pue", type=float, help="power usage effectiveness of the machine room (default: 1)")
    given = parser.parse_args()
    if given.kind == "dataset":
        pack_dataset(given.build, given.hub)
    else:
        pack_model(given.run, given.hub, given.licence, given.watts, given.pue)


if __name__ == "__main__":
    raise SystemExit(main())
