"""Artefacts -> complete Hub repositories, ready to push: Parquet or weights, and a card rendered from run JSON only.

    python -m model_cards.render dataset build/demo recipes/mixtures/demo.yaml
    python -m model_cards.render model build/runs/smollm2-135m-full

reads   stages of a mixture, or a run with its evaluations; writes build/hub/{datasets,models}/<name>/

A number that the artefacts do not hold is an error, never a blank. The same artefacts give the same bytes.
"""

import argparse
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artefacts import Refusal, code_key, command_line, read_json, read_mapping, sha256_of_file, write_json
from dataset_scripts.schema import PUBLISHED_FEATURES, REDACTED_REASONS, SCHEMA, messages

PINS = ("jinja2", "pyarrow", "datasets")
ROWS_PER_FILE = 100_000
_HUB_LICENCE_IDS = {"Apache-2.0": "apache-2.0", "MIT": "mit", "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HERE = Path(__file__).resolve().parent


def render(template: str, values: dict[str, Any]) -> str:
    """Render a card.

    Raises:
        Refusal: the template names a value that `values` does not hold.
    """
    loader = jinja2.FileSystemLoader(_HERE)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.get_template(template).render(values)
    except jinja2.UndefinedError as error:
        raise Refusal(f"model_cards/{template}: the artefacts hold no such value: {error}.") from None


def size_category(rows: int) -> str:
    """The Hub's size category of a dataset."""
    return next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")


def hub_licence(licences: set[str]) -> str:
    """Licence id for a card: the common one where the Hub has an id for it, else `other` (each row says its own)."""
    return _HUB_LICENCE_IDS.get(next(iter(licences)), "other") if len(licences) == 1 else "other"


def finished_json(path: Path, remedy: str) -> dict[str, Any]:
    """JSON of a finished step.

    Raises:
        Refusal: there is none; the sentence names the command that makes it.
    """
    found = read_json(path)
    if found is None:
        raise Refusal(f"{path} is missing; {remedy}.")
    return found


def pack(folder: Path, key: str, fill: Callable[[Path], None]) -> bool:
    """Make a repository folder at once or not at all; True when it was already there under this key."""
    marker = folder.with_name(f".{folder.name}.json")  # beside, not inside: the folder is what gets pushed
    if read_json(marker) == key and folder.is_dir():
        return True
    temporary = folder.with_name(f".{folder.name}.unfinished")
    for stale in (temporary, folder):
        shutil.rmtree(stale, ignore_errors=True)
    marker.unlink(missing_ok=True)
    temporary.mkdir(parents=True)
    fill(temporary)
    temporary.rename(folder)
    write_json(marker, key)
    return False


def pack_dataset(build: Path, mixture_file: Path, hub: Path) -> Path:
    """Pack a built mixture as a dataset repository.

    Raises:
        Refusal: the mixture is not built.
    """
    mixture = read_mapping(mixture_file)
    stages = [build / name for name in mixture if name[:2].isdigit()]
    manifests = {stage.name: finished_json(stage / "manifest.json", "run `make mixture` first") for stage in stages}
    folder = hub / "datasets" / mixture["name"]
    digests = [m["digest"] for m in manifests.values()]
    key = code_key(["model_cards.render"], [mixture, sha256_of_file(_HERE / "dataset.md.jinja")], PINS, digests)

    def fill(target: Path) -> None:
        kept = _read(stages[-1] / "kept", manifests[stages[-1].name])
        rejected = pa.concat_tables([_read(stage / "rejected", manifests[stage.name]) for stage in stages])
        with_messages = [{**row, "messages": messages(row)} for row in kept.to_pylist()]
        _write_split(target / "sft", pa.Table.from_pylist(with_messages, schema=PUBLISHED_FEATURES.arrow_schema))
        if len(rejected):
            _write_split(target / "rejected", rejected)
        ledgers = [finished_json(stage / "ledger.json", "run `make mixture` again") for stage in stages]
        write_json(target / "ledger.json", ledgers)
        sources = manifests["01_sources"]["notes"]["sources"]
        rows_of = {name: sum(pc.equal(kept["source"], name).to_pylist()) for name in sources}
        notes = manifests.get("04_decontaminate", {"notes": {}})["notes"]
        values = {
            "pretty_name": f"AlchemistCoder Recipes: {mixture['name']}",
            "card_license": hub_licence({source["licence"] for source in sources.values()}),
            "size_category": size_category(len(kept)),
            "mixture_file": mixture_file.as_posix(),
            "ledgers": ledgers,
            "rows_published": len(kept),
            "rows_with_prompt": len(kept) - kept["alchemist_prompt"].null_count,
            "has_rejected": len(rejected) > 0,
            "rows_rejected": len(rejected),
            "rows_redacted": sum(reason in REDACTED_REASONS for reason in rejected["reason"].to_pylist()),
            "sources": {name: source | {"rows": rows_of[name]} for name, source in sources.items()},
            "decontamination": mixture.get("04_decontaminate"),
            "contaminated": sum(ledger["rejected"].get("contaminated", 0) for ledger in ledgers),
            "parts_too_short": notes.get("parts_too_short_to_look_for"),
        }
        (target / "README.md").write_text(render("dataset.md.jinja", values), encoding="utf-8")

    unchanged = pack(folder, key, fill)
    print(f"{folder}: {'unchanged' if unchanged else 'a complete dataset repository'}")
    return folder


def _read(folder: Path, manifest: dict[str, Any]) -> pa.Table:
    paths = [folder.parent / s["path"] for s in manifest["shards"] if s["path"].startswith(f"{folder.name}/")]
    return pa.concat_tables([SCHEMA.empty_table(), *(pq.read_table(path, schema=SCHEMA) for path in paths)])


def _write_split(folder: Path, table: pa.Table) -> None:
    folder.mkdir(parents=True)
    files = -(-len(table) // ROWS_PER_FILE)
    for number in range(files):
        part = table.slice(number * ROWS_PER_FILE, ROWS_PER_FILE).combine_chunks()
        pq.write_table(part, folder / f"train-{number:05d}-of-{files:05d}.parquet", compression="zstd")


def pack_model(run_folder: Path, hub: Path) -> Path:
    """Pack a finished run and its evaluations (`eval-base/`, `eval-tuned/`) as a model repository.

    Raises:
        Refusal: the run or an evaluation is not finished.
    """
    run = finished_json(run_folder / "run.json", "train first (make train-demo)")
    results = {
        name: finished_json(run_folder / f"eval-{name}" / "result.json", "evaluate first (make evaluate-demo)")
        for name in ("base", "tuned")
    }
    base = finished_json(Path(run["settings"]["base"]) / "source.json", "convert the base first (make base-model)")
    folder = hub / "models" / run_folder.name
    parts = [run["key"], results["base"]["key"], results["tuned"]["key"], base["key"]]
    key = code_key(["model_cards.render"], sha256_of_file(_HERE / "model.md.jinja"), PINS, parts)

    def fill(target: Path) -> None:
        for path in sorted((run_folder / "model").iterdir()):
            os.link(path, target / path.name)  # the weights stay on disk once
        values = {
            "pretty_name": run_folder.name,
            "card_license": hub_licence({base["licence"]}),
            "base_name": base["name"],
            "base_model_id": base["hub_id"],
            "base_source": base["source"],
            "mixture": Path(run["settings"]["data"]).name,
            "run": run,
            "results": results,
        }
        (target / "README.md").write_text(render("model.md.jinja", values), encoding="utf-8")

    unchanged = pack(folder, key, fill)
    print(f"{folder}: {'unchanged' if unchanged else 'a complete model repository'}")
    return folder


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_cards.render", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--hub", type=Path, default=Path("build/hub"), help="where repositories go (default: build/hub)"
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    dataset = kinds.add_parser("dataset", help="a built mixture -> dataset repository")
    dataset.add_argument("build", type=Path, help="build/<mixture>")
    dataset.add_argument("mixture", type=Path, help="the mixture file it was built from")
    model = kinds.add_parser("model", help="a finished, evaluated run -> model repository")
    model.add_argument("run", type=Path, help="build/runs/<base>-<variant>")
    given = parser.parse_args()
    if given.kind == "dataset":
        pack_dataset(given.build, given.mixture, given.hub)
    else:
        pack_model(given.run, given.hub)


if __name__ == "__main__":
    raise SystemExit(main())
