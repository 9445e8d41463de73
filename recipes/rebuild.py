"""Train a published run again, from its own record, and compare the weights.

    make rebuild MODEL=owner/name@<commit>        (or a folder that holds release.json or run.json)

reads   release.json of a published model (or run.json of a run); writes build/rebuild/<name>/

Recipe, data revision and base are those of the record; another base or other data is refused. On the machine type and
the packages of the record the weights of the demo are byte-identical; the report names the processor, GPUs, processes,
threads, packages and commit that differ.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from artefacts import Refusal, command_line, read_json, write_bytes
from recipes import inputs, run_record, save
from recipes import recipe as recipes

REBUILT = Path("build/rebuild")


def fetch_record(model: str) -> dict[str, Any]:
    """Settings, revisions and digests of a published run.

    Returns:
        `settings` (a whole recipe), `data_revision`, `base_digest`, `commit`, `versions`, `hardware`, `files` (name ->
        sha256).

    Raises:
        Refusal: no such folder or repository, no commit given for a repository, or no record in it.
    """
    folder = Path(model)
    if not folder.is_dir():
        repo_id, _, revision = model.partition("@")
        if inputs.is_local(model) or repo_id.count("/") != 1:
            raise Refusal(f"MODEL '{model}': no such folder, and not owner/name@<commit>.")
        if len(revision) != 40:
            raise Refusal(f"MODEL '{model}': name the commit, {repo_id}@<40 hex digits>: a branch moves.")
        folder = _download_record(repo_id, revision)
    release, run = read_json(folder / "release.json"), read_json(folder / "run.json")
    if release is None and run is None:
        raise Refusal(f"{model}: neither release.json nor run.json there; only runs of these recipes can be rebuilt.")
    settings = run["settings"] if run else release["settings"]["recipe"]
    run = run or release["run"]
    missing = [key for key in ("data_revision", "base_digest", "checkpoint") if key not in run]
    if missing:
        raise Refusal(f"{model}: the record has no '{missing[0]}'; it was made before runs could be rebuilt.")
    kept = {key: run.get(key) for key in ("data_revision", "base_digest", "commit", "versions", "hardware")}
    return kept | {"settings": settings, "files": run["checkpoint"]["files"]}


def _download_record(repo_id: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=["release.json", "run.json"]))
    except Exception as error:  # whatever the client raises, the sentence is the same
        raise Refusal(f"MODEL '{repo_id}@{revision}': the Hub does not give it ({type(error).__name__}).") from None


def write_recipe(record: dict[str, Any], base: str | None, data: str | None, path: Path) -> dict[str, Any]:
    """The record's recipe as a file, with where base and data lie now; both are checked against the record.

    Raises:
        Refusal: base or data are not those of the record, or the Hub has that commit no more; says what was wanted.
    """
    values = {k: v for k, v in record["settings"].items() if v is not None or k == "chat_template"}
    values |= {k: v for k, v in (("base", base), ("data", data)) if v}
    write_bytes(path, yaml.safe_dump(values, sort_keys=False).encode())
    named = (("data", "data_revision", "DATA"), ("base", "base_digest", "BASE"))
    for what, key, flag in named:
        if len(record[key]) == 64 and not Path(values[what]).is_dir():
            how = [inputs.how_to_make(what, values[what]), "make download-data" if what == "data" else None]
            made = f" ({' or '.join(filter(None, how))})" if any(how) else ""
            raise Refusal(
                f"{what} '{values[what]}' was a folder when the model was trained, and the record knows its files by "
                f"a digest; name a folder that holds them with {flag}={made}."
            )
    recipe, _ = recipes.ours(path)
    recipe = inputs.pin(recipe)
    inputs.refuse_missing_commits(recipe)
    found = {"data_revision": inputs.data_revision(recipe), "base_digest": inputs.base_digest(recipe)}
    for what, key, flag in named:
        if found[key] != record[key]:
            raise Refusal(
                f"{what} '{values[what]}' is {found[key][:16]}, the record was made with {record[key][:16]}; name the "
                f"right one with {flag}=."
            )
    return values


def train(path: Path, output: Path, *flags: str) -> None:
    """Run the recipe as `make train-*` does, or print its plan (`--dry-run`).

    Raises:
        Refusal: it did not end well; what it printed says why.
    """
    command = [sys.executable, "-m", "recipes.launch", str(path), "--output", str(output), *flags]
    if subprocess.run(command, check=False).returncode:
        raise Refusal(f"{path}: the training did not finish; see above, then run the same command again.")


def compare(record: dict[str, Any], output: Path) -> str | None:
    """None where the weights are byte-identical, else the first file that is not, with both digests."""
    found = read_json(output / "run.json")["checkpoint"]["files"]
    for name in sorted(found.keys() | record["files"].keys()):
        if found.get(name) != record["files"].get(name):
            wanted, got = (str(files.get(name))[:16] for files in (record["files"], found))
            return f"{name} is {got}, was {wanted}"
    return None


def differences(record: dict[str, Any], output: Path) -> list[str]:
    """What differs between the record's surroundings and those of the rebuilt run: machine, packages and commit."""
    before, now = dict(record["versions"] or {}), run_record.versions()
    here = read_json(output / "run.json")["hardware"]
    for name in ("cpu", "gpus", "processes", "threads"):  # what the rounding of a sum may depend on
        if record["hardware"]:
            before[name], now[name] = record["hardware"].get(name), here[name]
    said = [f"{name} {value} (now {now.get(name)})" for name, value in before.items() if now.get(name) != value]
    commit = run_record.commit()
    return said + ([f"commit {record['commit']} (now {commit})"] if record["commit"] != commit else [])


@command_line
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m recipes.rebuild", description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="owner/name@<commit>, or a folder with release.json or run.json")
    parser.add_argument("--base", help="where the record's base lies now (folder or Hub id)")
    parser.add_argument("--data", help="where the record's data lies now (folder or Hub id)")
    parser.add_argument("--dry-run", action="store_true", help="compare base and data with the record, print the plan")
    given = parser.parse_args()
    if not given.model:
        raise Refusal("name the model: make rebuild MODEL=owner/name@<commit>.")
    record = fetch_record(given.model)
    name = Path(given.model.partition("@")[0]).name
    path = REBUILT / name / "recipe.yaml"
    write_recipe(record, given.base, given.data, path)
    output = REBUILT / name / "run"
    if given.dry_run:
        train(path, output, "--dry-run")
        print(f"  base and data are those of the record; {len(record['files'])} file(s) of weights would be compared")
        return 0
    train(path, output)
    wrong = compare(record, output)
    for difference in differences(record, output):
        print(f"differs from the record: {difference}")
    weights = len(save.weight_files(output / "model"))
    print(f"{output}/model: {wrong or f'byte-identical to {given.model} ({weights} file(s))'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
