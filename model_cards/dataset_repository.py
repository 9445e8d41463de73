"""A built mixture -> dataset repository: parted Parquet, an index of row ids, the mixture file, the card.

reads   build/<mixture>/: manifests, ledgers, kept and rejected rows; writes build/hub/datasets/<mixture>/
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artefacts import code_key, read_mapping
from model_cards import changes, dataset_rows, licences, repository

PINS = ("jinja2", "pyarrow", "datasets", "PyYAML")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def size_category(rows: int) -> str:
    """The Hub's size category of a dataset."""
    return next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")


def pack_dataset(build: Path, hub: Path) -> Path:
    """Pack a built mixture as a dataset repository, from its manifests, ledgers and rows alone.

    Raises:
        Refusal: the mixture is not built, or a row names a parent that no stage holds.
    """
    remedy = "run `make mixture` first"
    mixture = repository.finished_json(build / "mixture.json", remedy)
    stages = [build / name for name in mixture["stages"]]
    manifests = {stage.name: repository.finished_json(stage / "manifest.json", remedy) for stage in stages}
    ledgers = [repository.finished_json(stage / "ledger.json", remedy) for stage in stages]
    folder = hub / "datasets" / mixture["name"]
    parts = [mixture, repository.templates_digest("dataset.md.jinja", "dataset_license.md.jinja"), manifests]
    key = code_key(["model_cards.dataset_repository"], parts, PINS)

    def fill(target: Path) -> None:
        written = dataset_rows.write(target, stages, manifests)
        asked = {}
        mixture_file = Path(mixture["file"])
        if mixture_file.is_file():
            (target / "mixture.yaml").write_text(without_folders(mixture_file), encoding="utf-8")
            entries = read_mapping(target / "mixture.yaml")["01_sources"]
            asked = {entry.get("name") or entry["source"]: entry for entry in entries}
        shown = mixture_file.name if mixture_file.is_absolute() else mixture["file"]
        facts = {"kind": "dataset", "name": mixture["name"], "mixture_file": shown, "ledgers": ledgers}
        facts |= written | _what_the_manifests_say(manifests, ledgers, written)
        tables = {
            "leaks": "04_decontaminate/leaks.md",
            "leaks_of_new_rows": "07_recheck/leaks.md",
            "kinds": "09_mixture/kinds.md",
        }
        for name, path in tables.items():
            table = build / path
            facts[name] = table.read_text(encoding="utf-8") if table.is_file() else None
        facts["kinds"] = (
            facts["kinds"] if dataset_rows.MAKERS & manifests.keys() else None
        )  # of a mixture like the paper's
        facts["settings"] = {"01_sources": asked} | facts["settings"]
        facts["front_matter"] = front_matter(facts)
        (target / "LICENSE.md").write_text(repository.render("dataset_license.md.jinja", facts), encoding="utf-8")
        repository.describe(target, facts)

    unchanged = repository.pack(folder, key, fill)
    print(f"{folder}: {'unchanged' if unchanged else 'a complete dataset repository'}")
    return folder


def without_folders(mixture_file: Path) -> str:
    """The text of a mixture file in which files of this machine are named without their folders.

    A release must not say whose machine it was made on; relative paths, as in a shared repository, stay.
    """
    text = mixture_file.read_text(encoding="utf-8")

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from strings(inner)

    local = {s for s in strings(read_mapping(mixture_file)["01_sources"]) if s.startswith(("/", "~", ".."))}
    for path in sorted(local, key=len, reverse=True):
        text = text.replace(path, Path(path).name)
    return text


def _what_the_manifests_say(manifests: dict, ledgers: list[dict], written: dict[str, Any]) -> dict[str, Any]:
    notes = manifests["01_sources"]["notes"]["sources"]
    decontaminated = manifests.get("04_decontaminate", {"notes": {}})["notes"]
    nothing: dict = {"license": {}, "generator": {}}
    return {
        "sources": {
            name: facts
            | {
                "rows_by": (rows_by := written["rows_by_source"].get(name, nothing)),
                "rows": sum(rows_by["license"].values()),
                "funnel": [
                    {"stage": led["stage"], **led["by_source"][name]} for led in ledgers if name in led["by_source"]
                ],
            }
            for name, facts in notes.items()
        },
        "teachers": {name: m["notes"]["teacher"] for name, m in manifests.items() if "teacher" in m["notes"]},
        "settings": {name: m["notes"]["config"] for name, m in manifests.items() if "config" in m["notes"]},
        "decontamination": changes.flat(decontaminated["config"]) if decontaminated else None,
        "contaminated": sum(
            led["rejected"].get("contaminated", 0) + led["new"]["rejected"].get("contaminated", 0) for led in ledgers
        ),
        "parts_too_short": decontaminated.get("parts_too_short_to_look_for", []),
    }  # fmt: skip


def front_matter(facts: dict[str, Any]) -> dict[str, Any]:
    """The card's YAML: what the Hub's viewer, search and `load_dataset` read."""
    licence = licences.hub_licence(facts["rows_by"]["license"])
    generators = set(facts["rows_by"]["generator"])
    made = ["machine-generated"] if generators - {"human"} or facts["rows_with_prompt"] else []
    return {
        "pretty_name": f"AlchemistCoder Recipes: {facts['name']}",
        "license": licence,
        **({"license_name": "per-row", "license_link": "LICENSE.md"} if licence == "other" else {}),
        "language": ["en", "code"],
        "task_categories": ["text-generation"],
        "size_categories": [size_category(facts["rows"])],
        "source_datasets": [s["repo_id"] for s in facts["sources"].values() if s["repo_id"]] or ["original"],
        "annotations_creators": [*(["found"] if "human" in generators else []), *made],
        "tags": ["code", "instruction-tuning", "alchemistcoder"],
        "configs": [
            {"config_name": c["name"], **({"default": True} if n == 0 else {}), "data_files": c["data_files"]}
            for n, c in enumerate(facts["configs"])
        ],
        "dataset_info": [c["dataset_info"] for c in facts["configs"]],
    }  # fmt: skip
