"""Artefacts -> complete Hub repositories, ready to push: Parquet or weights, and a card rendered from run JSON only.

    python -m model_cards.render dataset build/demo
    python -m model_cards.render model build/runs/smollm2-135m-full

reads   stages of a mixture, or a run with its evaluations; writes build/hub/{datasets,models}/<name>/

A number that the artefacts do not hold is an error, never a blank. The same artefacts give the same bytes.
"""

import argparse
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq

from artefacts import Refusal, code_key, command_line, read_json, sha256_of_file, write_json
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
    """Make a repository folder at once or not at all; True when it was already there under this key.

    A `fill` that fails leaves the folder of before.
    """
    marker = folder.with_name(f".{folder.name}.json")  # beside, not inside: the folder is what gets pushed
    if read_json(marker) == key and folder.is_dir():
        return True
    temporary = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    fill(temporary)
    marker.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    write_json(marker, key)
    return False


def pack_dataset(build: Path, hub: Path) -> Path:
    """Pack a built mixture as a dataset repository, from its manifests and ledgers alone.

    Raises:
        Refusal: the mixture is not built.
    """
    remedy = "run `make mixture` first"
    mixture = finished_json(build / "mixture.json", remedy)
    stages = [build / name for name in mixture["stages"]]
    manifests = {stage.name: finished_json(stage / "manifest.json", remedy) for stage in stages}
    ledgers = [finished_json(stage / "ledger.json", remedy) for stage in stages]
    folder = hub / "datasets" / mixture["name"]
    parts = [mixture, sha256_of_file(_HERE / "dataset.md.jinja"), manifests]
    key = code_key(["model_cards.render"], parts, PINS)

    def fill(target: Path) -> None:
        kept = _shards(stages[-1], manifests[stages[-1].name], "kept")
        rows, with_prompt, rows_of = _write_sft(target / "sft", kept)
        rejected = pa.concat_tables(
            [SCHEMA.empty_table()]
            + [pq.read_table(p) for s in stages for p in _shards(s, manifests[s.name], "rejected")]
        )
        if len(rejected):
            (target / "rejected").mkdir()
            pq.write_table(rejected, target / "rejected" / "train-00000-of-00001.parquet", compression="zstd")
        write_json(target / "ledger.json", ledgers)
        sources = manifests["01_sources"]["notes"]["sources"]
        notes = manifests.get("04_decontaminate", {"notes": {}})["notes"]
        values = {
            "pretty_name": f"AlchemistCoder Recipes: {mixture['name']}",
            "card_license": hub_licence({source["licence"] for source in sources.values()}),
            "size_category": size_category(rows),
            "mixture_file": mixture["file"],
            "ledgers": ledgers,
            "rows_published": rows,
            "rows_with_prompt": with_prompt,
            "has_rejected": len(rejected) > 0,
            "rows_rejected": len(rejected),
            "rows_redacted": sum(reason in REDACTED_REASONS for reason in rejected["reason"].to_pylist()),
            "sources": {name: source | {"rows": rows_of[name]} for name, source in sources.items()},
            "decontamination": notes.get("config"),
            "contaminated": sum(ledger["rejected"].get("contaminated", 0) for ledger in ledgers),
            "parts_too_short": notes.get("parts_too_short_to_look_for"),
        }
        (target / "README.md").write_text(render("dataset.md.jinja", values), encoding="utf-8")

    unchanged = pack(folder, key, fill)
    print(f"{folder}: {'unchanged' if unchanged else 'a complete dataset repository'}")
    return folder


def _shards(stage: Path, manifest: dict[str, Any], kind: str) -> list[Path]:
    return [stage / shard["path"] for shard in manifest["shards"] if shard["path"].startswith(f"{kind}/")]


def _write_sft(folder: Path, shards: list[Path]) -> tuple[int, int, Counter]:
    """Write the kept rows with their `messages`, shard by shard; returns rows, rows with a prompt, rows by source."""
    total = sum(pq.read_metadata(path).num_rows for path in shards)
    files = max(1, -(-total // ROWS_PER_FILE))
    folder.mkdir(parents=True)
    rows = with_prompt = 0
    by_source: Counter[str] = Counter()
    writer = None
    for table in (pq.read_table(path, schema=SCHEMA) for path in shards):
        while len(table):
            if rows % ROWS_PER_FILE == 0:
                if writer:
                    writer.close()
                path = folder / f"train-{rows // ROWS_PER_FILE:05d}-of-{files:05d}.parquet"
                writer = pq.ParquetWriter(path, PUBLISHED_FEATURES.arrow_schema, compression="zstd")
            part = table.slice(0, ROWS_PER_FILE - rows % ROWS_PER_FILE)
            published = [{**row, "messages": messages(row)} for row in part.to_pylist()]
            writer.write_table(pa.Table.from_pylist(published, schema=PUBLISHED_FEATURES.arrow_schema))
            rows += len(part)
            with_prompt += len(part) - part["alchemist_prompt"].null_count
            by_source.update(part["source"].to_pylist())
            table = table.slice(len(part))
    if writer:
        writer.close()
    return rows, with_prompt, by_source


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
    base = finished_json(Path(run["settings"]["base"]) / "source.json", "only runs on the demo's base can be packed")
    ways = [(result["protocol"], sorted(result["tasks"])) for result in results.values()]
    if ways[0] != ways[1]:
        raise Refusal(f"{run_folder}: base and tuned were evaluated differently; evaluate both again, alike.")
    licences = {base["licence"], *run["data_licences"]}
    folder = hub / "models" / run_folder.name
    parts = [run["key"], results["base"]["key"], results["tuned"]["key"], base["key"]]
    key = code_key(["model_cards.render"], sha256_of_file(_HERE / "model.md.jinja"), PINS, parts)

    def fill(target: Path) -> None:
        for path in sorted((run_folder / "model").iterdir()):
            try:
                os.link(path, target / path.name)  # the weights stay on disk once
            except OSError:  # another disk
                shutil.copy2(path, target / path.name)
        values = {
            "pretty_name": run_folder.name,
            "card_license": hub_licence(licences),
            "licences": sorted(licences),
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
    model = kinds.add_parser("model", help="a finished, evaluated run -> model repository")
    model.add_argument("run", type=Path, help="build/runs/<base>-<variant>")
    given = parser.parse_args()
    if given.kind == "dataset":
        pack_dataset(given.build, given.hub)
    else:
        pack_model(given.run, given.hub)


if __name__ == "__main__":
    raise SystemExit(main())
