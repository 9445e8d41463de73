"""Publish a packed repository: one commit, then a tag, under HF_NAMESPACE; private unless --public.

    HF_TOKEN=... HF_NAMESPACE=you python -m model_cards.publish data build/hub/datasets/demo --tag v1.0.0
    HF_TOKEN=... HF_NAMESPACE=you python -m model_cards.publish model build/hub/models/smollm2-135m-full --tag v1.0.0

reads   build/hub/{datasets,models}/<name>/ (made by `make data`, `make model`) and what the Hub already holds

Cut off at any moment, it shows nothing new; run again, it sends what is missing. A complete release is left alone.
"""

import argparse
import re
import subprocess
from pathlib import Path
from typing import Any

from artefacts import ROOT, Refusal, command_line, sha256_of_file
from model_cards import hub, licences, release, repository
from model_cards.dataset_rows import MAKERS

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_tag(tag: str) -> None:
    """Refuse what is no tag, or could be taken for a branch or a commit."""
    if not _TAG.fullmatch(tag) or tag in ("main", "HEAD") or re.fullmatch("[0-9a-f]{7,40}", tag):
        raise Refusal(f"'{tag}' is no name for a release; give a tag such as TAG=v1.0.0.")


def check_dataset(facts: dict[str, Any]) -> None:
    """Refuse a dataset that nobody could build again, nobody searched for secrets, or a licence keeps from others.

    Raises:
        Refusal: naming the source, the setting or the licence.
    """
    cleaning = facts["settings"].get("03_clean")
    if cleaning is None or cleaning.get("secrets", "reject") != "reject":
        raise Refusal(
            f"{facts['mixture_file']}: nobody searched these rows for secrets; name 03_clean in the mixture file, "
            "with `secrets: reject`, and build again."
        )
    makers = sorted(MAKERS & facts["settings"].keys())
    if makers and "07_recheck" not in facts["settings"]:
        raise Refusal(
            f"{facts['mixture_file']}: nobody searched the rows that {makers[0]} made for secrets, or compared them "
            "with the benchmarks; add `07_recheck: {}` to the mixture file, and build again."
        )
    for name, source in facts["sources"].items():
        if source["revision"] is None or (source["repo_id"] and not source["pinned"]):
            raise Refusal(
                f"source '{name}' was read at a revision that nobody pinned, so nobody could build this release "
                "again; run `make pin-sources`, then build again."
            )
        for expression, rows in source["rows_by"]["license"].items():
            if forbidding := licences.forbids_publishing(expression):
                raise Refusal(
                    f"{rows} row(s) of source '{name}' are under the licence '{forbidding}', which does not let us "
                    "publish them; leave them out by the mixture's license_policy, or name the licence they have."
                )


def check_model(facts: dict[str, Any], folder: Path) -> None:
    """Refuse a model whose reload nobody verified, or that a licence of its base or its rows does not let us pass on.

    Raises:
        Refusal: saying which.
    """
    checkpoint = facts["run"]["checkpoint"]
    if not checkpoint.get("reloaded_tokens_equal"):
        raise Refusal(f"{folder}: nobody has seen this checkpoint reload; train it again, a run ends with that check.")
    verified = checkpoint["files"]
    packed = {path.name for path in folder.glob("*.safetensors")}
    for name in sorted(verified.keys() | packed):
        if name not in packed or sha256_of_file(folder / name) != verified.get(name):
            raise Refusal(f"{folder / name} is not what was verified after training; pack the run again (make model).")
    for licence in facts["licences"]:
        if forbidding := licences.forbids_publishing(licence):
            raise Refusal(
                f"{folder}: the base model or the rows are under the licence '{forbidding}', which does not let us "
                "publish what was made from them; train on others."
            )
    for licence in licences.parts(facts["base"]["licence"]):
        if licence in licences.WEIGHTS and not facts["base"]["licence_files"]:
            raise Refusal(
                f"{folder}: the licence '{licence}' of the base model asks that its text goes along with what is made "
                f"from it, and {facts['base']['name']} came without a LICENSE file; put one beside its weights and "
                "pack the run again (make model)."
            )
    notice = (folder / "NOTICE").read_text(encoding="utf-8") if (folder / "NOTICE").is_file() else ""
    for line in licences.notices(facts["base"]["licence"]):
        if line not in notice.splitlines():
            raise Refusal(f"{folder}/NOTICE lacks the line '{line}'; pack the run again (make model).")


def code_commit() -> str | None:
    """Commit of this project, marked where the tree differs from it; None outside Git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty= with changes of its own"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def publish(kind: str, folder: Path, tag: str, public: bool) -> str:
    """Check and push; returns the 40-hex commit.

    Raises:
        Refusal: the folder may not be published, or cannot be; see the checks and `release.push`.
    """
    check_tag(tag)
    made_by = {"dataset": "make data", "model": "make model"}[kind]
    facts = repository.finished_json(folder / "release.json", f"pack it first ({made_by})")
    if changed := _changed(folder, facts):
        raise Refusal(f"{folder / changed} is not as it was packed; delete the folder and pack it again ({made_by}).")
    check_dataset(facts) if kind == "dataset" else check_model(facts, folder)
    api = hub.connect()
    repo = hub.Repository(api, kind, f"{hub.writable_namespace(api)}/{facts['name']}")
    commit = release.push(repo, folder, facts, tag, public, code_commit())
    print(f"{repo.url}: {tag} is published at {commit}")
    if kind == "dataset":
        first = facts["configs"][0]["name"]
        print(f'  load_dataset("{repo.id}", "{first}", split="train", revision="{commit}")')
    else:
        print(f'  AutoModelForCausalLM.from_pretrained("{repo.id}", revision="{commit}")')
    return commit


def _changed(folder: Path, facts: dict[str, Any]) -> str | None:
    """The first file that is not what `release.json` says, by name and size (contents are compared on the Hub)."""
    there = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    wanted = {name: file["bytes"] for name, file in facts["files"].items()}
    found = {name: size for name, size in there.items() if name not in repository.WRITTEN_BY_A_RELEASE}
    return next((name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)), None)


@command_line
def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m model_cards.publish", description=__doc__, formatter_class=layout)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("check", help="may this token publish under HF_NAMESPACE? sends nothing")
    for step, where in (("data", "build/hub/datasets/<mixture>"), ("model", "build/hub/models/<run>")):
        pushing = steps.add_parser(step, help=f"publish {where}")
        pushing.add_argument("folder", type=Path, help=where)
        pushing.add_argument("--public", action="store_true", help="let everybody see it, once it is complete")
    for step in steps.choices.values():
        step.add_argument("--tag", required=True, help="name of the release, e.g. v1.0.0; a tag never moves")
    given = parser.parse_args()
    if given.step == "check":
        check_tag(given.tag)
        hub.writable_namespace(hub.connect())
    else:
        publish({"data": "dataset", "model": "model"}[given.step], given.folder, given.tag, given.public)


if __name__ == "__main__":
    raise SystemExit(main())
