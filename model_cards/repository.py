"""A repository folder as it will stand on the Hub: made whole or not at all, its card rendered from its own facts.

    build/hub/datasets/demo/     README.md  release.json  and everything it describes
    build/hub/datasets/.demo.json           what the folder was made from, beside it: the folder is what gets pushed

`release.json` holds every fact of the card, and size and sha256 of every file but those that a release writes anew
(WRITTEN_BY_A_RELEASE). The same artefacts give the same bytes.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import yaml

from artefacts import Refusal, read_json, sha256_of_file, write_json

WRITTEN_BY_A_RELEASE = ("README.md", "CHANGELOG.md", "release.json")
_HERE = Path(__file__).resolve().parent


def finished_json(path: Path, remedy: str) -> Any:
    """JSON of a finished step.

    Raises:
        Refusal: there is none; the sentence names the command that makes it.
    """
    found = read_json(path)
    if found is None:
        raise Refusal(f"{path} is missing; {remedy}.")
    return found


def render(template: str, values: dict[str, Any]) -> str:
    """Render a template of this folder.

    Raises:
        Refusal: the template names a value that `values` does not hold: a number is never left blank.
    """
    loader = jinja2.FileSystemLoader(_HERE)
    options = {"keep_trailing_newline": True, "lstrip_blocks": True, "trim_blocks": True}
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **options)
    environment.filters["yaml"] = lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    try:
        return environment.get_template(template).render(values)
    except jinja2.UndefinedError as error:
        raise Refusal(f"model_cards/{template}: the artefacts hold no such value: {error}.") from None


def templates_digest(*names: str) -> list[str]:
    """What the key of a repository must know of its templates."""
    return [sha256_of_file(_HERE / name) for name in names]


def pack(folder: Path, key: str, fill: Callable[[Path], None]) -> bool:
    """Make a repository folder at once or not at all; True when it was already there under this key.

    A `fill` that fails leaves the folder of before.
    """
    marker = folder.with_name(f".{folder.name}.json")
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


def describe(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write `release.json`, then the card from it alone; returns the release."""
    release = facts | {
        "repo_id": None,  # it has no name on the Hub before a release gives it one
        "tag": None,
        "code_commit": None,
        "previous": None,
        "changelog": [],
        "files": checksums(folder),
    }
    for name, content in written_files(release).items():
        (folder / name).write_text(content, encoding="utf-8")
    return release


def written_files(release: dict[str, Any]) -> dict[str, str]:
    """The files that follow from a release's facts alone, by name."""
    texts = {
        "README.md": render(f"{release['kind']}.md.jinja", release),
        "release.json": json.dumps(release, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    if release["changelog"]:
        texts["CHANGELOG.md"] = render("changelog.md.jinja", release)
    return texts


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """`{path: {"bytes": n, "sha256": hex}}` of every file that a release does not write anew, sorted by path."""
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        name: {"bytes": paths[name].stat().st_size, "sha256": sha256_of_file(paths[name])}
        for name in sorted(paths)
        if name not in WRITTEN_BY_A_RELEASE
    }
