"""A finished run -> model repository: weights, tokenizer, card, scores in both of the Hub's formats.

reads   a run (run.json, model/, eval-base/, eval-tuned/), its base and the data it was trained on
writes  build/hub/models/<run>/

A base in a folder says what it is in its `source.json`; of a base on the Hub its card is asked, at the run's revision.
What the data is, `release.json` of the dataset repository says, as long as it still is the one that was trained on.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, read_json
from model_cards import energy, hub, licences, release, repository, scores
from model_cards.limitations import limitations
from recipes.inputs import data_revision
from recipes.recipe import Recipe

PINS = ("jinja2", "huggingface_hub", "PyYAML")
_COMMIT = re.compile("[0-9a-f]{40}")  # of a data set on the Hub; a local one is known by a digest of 64 digits
_LICENCE_FILE = re.compile(r"(licen[cs]e|notice|use_policy|model_license)[\w.-]*", re.IGNORECASE)
OF_THE_BASE = "base"  # folder of a model repository: licence files of the base model, as they came with it


def pack_model(
    run_folder: Path, root: Path, licence: str | None = None, watts: float | None = None, pue: float | None = None
) -> Path:
    """Pack a finished run and its evaluations (`eval-tuned/`, `eval-base/`) as a model repository.

    Args:
        licence: the licence to publish under; None for those of everything the model was made from.
        watts: of one device, by whoever measured them; None for its data sheet's.
        pue: power usage effectiveness of the machine room, by whoever knows it.

    Raises:
        Refusal: the run or its evaluation is not finished, base and tuned were evaluated differently, or `licence` is
            one that the base or a source forbids.
    """
    run = repository.finished_json(run_folder / "run.json", "train first (make train-demo)")
    try:
        results, keys = scores.found(run_folder, run)
        base, data = base_of(run), data_of(run)
        facts = describe_run(run_folder.name, run, base, data, results)
        facts["energy"] = energy.estimate(run, watts, pue)
        facts["declared"] = licences.declared(licence, facts["licences"]) if licence else None
        facts |= {"limitations": limitations(facts), "front_matter": front_matter(facts)}
    except KeyError as missing:
        raise Refusal(
            f"{run_folder}: the artefacts hold no such value: {missing}; train and evaluate again."
        ) from None
    folder = root / "models" / run_folder.name
    templates = repository.templates_digest("model.md.jinja", "model_license.md.jinja")
    config = [templates, facts["declared"], facts["energy"], data["release"], facts["base"]]
    key = code_key(["model_cards.model_repository"], config, PINS, [run["key"], *keys, base["key"]])

    def fill(target: Path) -> None:
        for path in sorted((run_folder / "model").iterdir()):
            try:
                os.link(path, target / path.name)  # the weights stay on disk once
            except OSError:  # another disk
                shutil.copy2(path, target / path.name)
        (target / "LICENSE.md").write_text(repository.render("model_license.md.jinja", facts), encoding="utf-8")
        if lines := licences.notices(base["licence"]):
            (target / "NOTICE").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for name, path in base["licence_files"].items():
            (target / OF_THE_BASE).mkdir(exist_ok=True)
            shutil.copyfile(path, target / OF_THE_BASE / name)
        for name, text in scores.eval_results(scores.whole(results)).items():
            (target / ".eval_results").mkdir(exist_ok=True)
            (target / ".eval_results" / name).write_text(text, encoding="utf-8")
        repository.describe(target, facts)

    unchanged = repository.pack(folder, key, fill)
    print(f"{folder}: {'unchanged' if unchanged else 'a complete model repository'}")
    return folder


def base_of(run: dict[str, Any]) -> dict[str, Any]:
    """What the run's base model is: name, id on the Hub, where it came from, licence, its licence files.

    Raises:
        Refusal: a folder does not say what is in it, or the Hub does not give the model.
    """
    name, revision = run["settings"]["base"], run["settings"].get("base_revision")
    if Path(name).is_dir() or not revision:
        found = repository.finished_json(Path(name) / "source.json", "it would say whose model this is")
        files = {p.name: str(p) for p in sorted(Path(name).iterdir()) if _LICENCE_FILE.fullmatch(p.name)}
        return found | {"licence": licences.canonical(found["licence"]), "licence_files": files}
    repo = hub.Repository(hub.connect(), "model", name)
    card = repo.call("repo_info", revision=revision).card_data or {}
    said = licences.LICENCE_OF_BASE.get(name) or card.get("license_name") or card.get("license") or "unknown"
    licence = licences.joined(licences.canonical(one) for one in ([said] if isinstance(said, str) else said))
    wanted = [path for path in sorted(repo.tree(revision)) if _LICENCE_FILE.fullmatch(path)]
    return {
        "key": revision,
        "name": name,
        "hub_id": name,
        "source": f"the Hub, {name} at {revision}",
        "licence": licence,
        "licence_files": {path: repo.download(path, revision) for path in wanted},
    }


def data_of(run: dict[str, Any]) -> dict[str, Any]:
    """What the run was trained on: `name`, `revision`, `on_the_hub`, and of its `release.json` what a card says.

    `release` is None where the data is not at hand as it was trained on, or is no repository of ours.
    """
    where, revision = run["settings"]["data"], run["data_revision"]
    on_the_hub = bool(_COMMIT.fullmatch(revision))
    if on_the_hub:
        found = release.release_at(hub.Repository(hub.connect(), "dataset", where), revision)
    else:
        settings = {key: value for key, value in run["settings"].items() if key in Recipe.model_fields}
        found = read_json(Path(where) / "release.json") if (Path(where) / "README.md").is_file() else None
        found = found if found and data_revision(Recipe.model_construct(**settings)) == revision else None
    facts = found and {
        "tag": found["tag"],
        "decontamination": found["decontamination"],
        "contaminated": found["contaminated"],
        "leaks": found["leaks"],
        "generators": found["rows_by"]["generator"],
        "languages": found["rows_by"]["language"],
        "sources": {
            name: {key: source[key] for key in ("repo_id", "revision", "licence", "generator", "rows")}
            for name, source in found["sources"].items()
        },
    }
    name = where if on_the_hub else Path(where).name
    return {"name": name, "revision": revision, "on_the_hub": on_the_hub, "release": facts}


def describe_run(
    name: str, run: dict[str, Any], base: dict[str, Any], data: dict[str, Any], results: dict[str, Any]
) -> dict[str, Any]:
    """All facts of a model card but those that follow from them; paths of the machine that trained stay at home."""
    settings = run["settings"]
    shown = {key: value for key, value in run.items() if key not in ("settings", "losses", "loss_steps")}
    return {
        "kind": "model",
        "name": name,
        "licences": sorted({base["licence"], *run["data_licences"]}),
        "base": {key: base[key] for key in ("name", "hub_id", "source", "licence")}
        | {"licence_files": sorted(base["licence_files"]), "address": _address(settings["base"], base)},
        "data": data,
        "run": shown | {"recipe": _at_home(run["recipe"])},
        "results": results,
        "settings": {"recipe": settings | {"base": base["hub_id"], "data": data["name"]}},
        "rebuild": rebuild_options(settings, base, data),
    }


def _at_home(path: str) -> str:
    return Path(path).name if Path(path).is_absolute() else path


def _address(where: str, base: dict[str, Any]) -> str:
    """How a reader of the card names the base on a command line."""
    return where if where == base["hub_id"] or where.startswith("build/") else f"<folder of {base['name']}>"


def rebuild_options(settings: dict[str, Any], base: dict[str, Any], data: dict[str, Any]) -> str:
    """What `make rebuild` must be told besides the model: where base and data lie, if they lie in folders.

    A folder of this machine is named only where it is the one that `make` makes.
    """
    options = []
    if base["hub_id"] != settings["base"]:
        options.append(f"BASE={_address(settings['base'], base)}")
    if not data["on_the_hub"]:
        where = settings["data"] if settings["data"].startswith("build/") else f"<folder of {data['name']}>"
        options.append(f"DATA={where}")
    return "".join(f" {option}" for option in options)


def front_matter(facts: dict[str, Any]) -> dict[str, Any]:
    """The card's YAML; with `model-index`, the older of the Hub's two formats of scores, where a score is whole."""
    licence = licences.hub_licence([facts["declared"]] if facts["declared"] else facts["licences"])
    named = "-and-".join(sorted({p.lower() for e in facts["licences"] for p in licences.parts(e)}))
    whole, data = scores.whole(facts["results"]), facts["data"]
    return {
        "license": licence,
        **({"license_name": named, "license_link": "LICENSE.md"} if licence == "other" else {}),
        "base_model": facts["base"]["hub_id"],
        **({"datasets": [data["name"]]} if data["on_the_hub"] else {}),
        "library_name": "peft" if facts["run"]["checkpoint"]["kind"] == "adapter" else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["code", "alchemistcoder", "trl", "sft"],
        **({"model-index": scores.model_index(facts["name"], whole)} if whole else {}),
    }
