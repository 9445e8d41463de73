"""A card for every recipe: what it is, what it is planned to take, whether it was run, and what came out.

    python -m model_cards.recipe_cards                                        # writes all cards (make recipe-cards)
    python -m model_cards.recipe_cards --check                                # refuses if one is stale
    python -m model_cards.recipe_cards --record build/runs/smollm2-135m-full  # notes a finished run, writes all cards

reads   recipes/sft/<base>/<variant>.yaml, the tables its plan reads, model_cards/recipes/records/
writes  model_cards/recipes/<base>-<variant>.md, and a record where a run is named

A record holds what a run's own files say and nothing that a person typed. A recipe without one was not run.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from artefacts import ROOT, Refusal, command_line, read_json, write_bytes, write_json
from model_cards import energy, repository, scores
from recipes import plan
from recipes.recipe import ours

RECIPES = ROOT / "recipes" / "sft"
CARDS = ROOT / "model_cards" / "recipes"
_OF_A_RUN = (
    "recipe", "commit", "data_revision", "rows", "tokens", "supervised_share", "steps", "loss_first", "loss_last",
    "seconds", "tokens_per_s", "resumed_from_step", "hardware", "versions",
)  # fmt: skip


def header(path: Path) -> dict[str, str]:
    """What the comment before the first key says: `about`, and its lines `launch`, `hardware` and `hours`.

    Raises:
        Refusal: one of the lines is missing.
    """
    comment = [line[1:].strip() for line in path.read_text(encoding="utf-8").split("\nbase:")[0].splitlines()]
    found = {"about": []}
    for line in comment:
        key, _, rest = line.partition(":")
        if key in ("launch", "hardware", "hours"):
            found[key] = [rest.strip()]
        else:
            found[list(found)[-1]].append(line)
    if missing := [key for key in ("launch", "hardware", "hours") if key not in found]:
        raise Refusal(f"{path}: the comment at its head has no line '{missing[0]}:'; say it, the card shows it.")
    return {key: " ".join(lines) for key, lines in found.items()}


def name_of(path: Path) -> str:
    """`<base>-<variant>`, also the name of the run that the recipe makes."""
    return f"{path.parent.name}-{path.stem}"


def facts_of(path: Path, record: dict[str, Any] | None) -> dict[str, Any]:
    """Everything that a recipe's card shows.

    Raises:
        Refusal: the recipe is wrong, or cannot be planned.
    """
    recipe, arguments = ours(path)
    said = header(path)
    commands = re.findall(r"make [a-z0-9-]+(?: [A-Z_]+=[\w./-]+)*", said["launch"])
    if not commands:
        raise Refusal(f"{path}: the line 'launch:' at its head names no `make ...`; say the command.")
    return {
        "name": name_of(path),
        "path": path.relative_to(ROOT).as_posix(),
        "about": said["about"],
        "written_for": said["hardware"],
        "commands": commands,
        "recipe": recipe.model_dump(),
        "arguments": arguments,
        "planned": plan.plan(path, recipe, arguments),
        "record": record,
    }


def cards() -> dict[Path, str]:
    """Path -> text of the card of every recipe on disk.

    Raises:
        Refusal: a record is of no recipe, or see `facts_of`.
    """
    recipes = {name_of(path): path for path in sorted(RECIPES.rglob("*.yaml"))}
    records = {path.stem: read_json(path) for path in sorted((CARDS / "records").glob("*.json"))}
    if strangers := sorted(records.keys() - recipes.keys()):
        raise Refusal(f"{CARDS}/records/{strangers[0]}.json is of no recipe in {RECIPES}; delete it.")
    return {
        CARDS / f"{name}.md": repository.render("recipe.md.jinja", facts_of(path, records.get(name)))
        for name, path in recipes.items()
    }


def stale() -> list[Path]:
    """Cards that are not what the recipes and records say now: changed, missing, or of a recipe that is gone."""
    wanted = cards()
    there = {path: path.read_text(encoding="utf-8") for path in CARDS.glob("*.md")}
    return sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))


def record_of(run_folder: Path) -> dict[str, Any]:
    """What is kept of a finished run: numbers and revisions, no text of the model and no path.

    Raises:
        Refusal: the run is not finished or not evaluated, or is of no recipe on disk.
    """
    run = repository.finished_json(run_folder / "run.json", "train first")
    if not (ROOT / run["recipe"]).is_relative_to(RECIPES) or not (ROOT / run["recipe"]).is_file():
        raise Refusal(f"{run_folder}: it was trained by {run['recipe']}, which is no recipe of {RECIPES}.")
    try:
        results, _ = scores.found(run_folder, run)
        kept = {key: run[key] for key in _OF_A_RUN}
        kept["checkpoint"] = {key: run["checkpoint"][key] for key in ("kind", "parameters", "reloaded_tokens_equal")}
        return kept | {"data": Path(run["settings"]["data"]).name, "energy": energy.estimate(run), "results": results}
    except KeyError as missing:
        raise Refusal(
            f"{run_folder}: the artefacts hold no such value: {missing}; train and evaluate again."
        ) from None


@command_line
def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m model_cards.recipe_cards", description=__doc__, formatter_class=layout)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="write nothing; refuse if a card is stale")
    what.add_argument("--record", type=Path, metavar="RUN", help="note a finished, evaluated run first")
    given = parser.parse_args()
    if given.record:
        record = record_of(given.record)
        write_json(CARDS / "records" / f"{name_of(ROOT / record['recipe'])}.json", record)
    changed = stale()
    if given.check:
        if changed:
            names = ", ".join(path.name for path in changed)
            raise Refusal(f"{names} in {CARDS}: not what the recipes and records say now; run `make recipe-cards`.")
        return
    wanted = cards()
    for path in changed:
        if path in wanted:
            write_bytes(path, wanted[path].encode())
        else:
            path.unlink()
    print(f"{CARDS.relative_to(ROOT)}: {len(wanted)} cards, {len(changed)} changed")


if __name__ == "__main__":
    raise SystemExit(main())
