"""One site for a person to decide by: what is in the data, what was removed, what prompts did, how good the model is.

reads   build/<mixture>/ and what was made from it beside it (see `reading`)
writes  build/<mixture>/report/: index.html and its pages, figures/, data/, assets/, README.md (a static Space)

    python -m analysis.report build/demo

No server and no request to anywhere: the site opens from a folder, or as a static Space of the Hub. Texts out of rows
and models are escaped by Jinja or set as text by the scripts; a policy in every page forbids everything that is not
the site's own. A part whose artefacts are missing says which command makes them.
"""

import argparse
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jinja2
from tqdm import tqdm

from analysis import ablation_curves, figures, funnel, report_leaks, report_rows, report_scores
from analysis.reading import Artefacts
from artefacts import Refusal, command_line, read_json

TEMPLATES = Path(__file__).resolve().parent / "templates"
PAGES = {
    "index.html": "Overview", "rows.html": "Rows", "leaks.html": "Leaks", "model.html": "Model",
    "about.html": "How it was made",
}  # fmt: skip
SCRIPTS = ("rows.js", "tasks.js")
DEFAULT_MIXTURE = "demo"  # whose targets need no MIXTURE=
SHOWN_DIGITS = 4  # of a number of a run
MIN_EXAMPLE_CHARS = 80  # of a prompt: a language and a function take less
_EXPORT = re.compile(r"\bexport\s*\{[^}]*?([\w$]+) as jQuery\b[^}]*\}")


def datatables() -> dict[str, str]:
    """The table library as a classic script and its style: pages that open from a folder may load no modules.

    It is DataTables (MIT) as the package itables ships it; `jQuery` becomes a global name.

    Raises:
        Refusal: the package is not there, or another than the one that is pinned.
    """
    package = importlib.util.find_spec("itables")  # its files are wanted, not what its import does
    if package is None:
        raise Refusal("the package itables is not installed; run `make install`.")
    folder = Path(package.origin).parent / "html"
    script, found = _EXPORT.subn(r"globalThis.jQuery=\1", (folder / "dt_bundle.js").read_text(encoding="utf-8"))
    if found != 1:
        raise Refusal("itables ships another bundle than the pinned version; run `make install`.")
    style = (folder / "dt_bundle.css").read_text(encoding="utf-8")
    return {"datatables.js": f"(()=>{{{script}\n}})();\n", "datatables.css": style}


def as_script(name: str, value: Any) -> str:
    """Data as a script: a page that is opened from a folder may fetch nothing, but it may load scripts.

    >>> as_script("x", ["</script>"])
    'globalThis.x = ["\\\\u003c/script\\\\u003e"];\\n'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"globalThis.{name} = {text};\n"


def environment() -> jinja2.Environment:
    """Templates that escape whatever they print, and refuse a value that is not there."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, lstrip_blocks=True, trim_blocks=True
    )
    made.filters["n"] = lambda value: f"{value:,}"
    made.filters["share"] = lambda part, whole: f"{100 * part / whole:.1f} %" if whole else "-"
    return made


def facts(artefacts: Artefacts, drawn: dict[str, Any], rows: dict[str, Any]) -> dict[str, Any]:
    """Everything that the pages show, but for the rows and answers that their scripts load."""
    grid, scores, mixture = report_scores.tasks(artefacts), report_scores.table(artefacts), artefacts.mixture["name"]
    # the evaluation of the most problems; of several such, not the one of the base
    headline = max(scores, key=lambda row: (row["problems"], row["name"] != "eval-base"), default=None)
    of_mixture = "" if mixture == DEFAULT_MIXTURE else f" MIXTURE={mixture}"
    stages = funnel.numbers(artefacts)["stages"]
    prompted = [row for row in rows["rows"] if row["fate"] == report_rows.PROMPTED and not row["withheld"]]
    return {
        "mixture": mixture,
        "of_mixture": of_mixture,
        "pages": PAGES,
        "figures": drawn,
        "remedies": {name: kind.remedy + of_mixture for name, kind in figures.KINDS.items()},
        "stages": stages,
        "last_stage": artefacts.last_stage,
        "rows_in": stages[0]["rows_in"],
        "rows_rejected": sum(n for stage in stages for n in stage["rejected"].values()),
        "sample": {name: value for name, value in rows.items() if name != "rows"} | {"shown": len(rows["rows"])},
        "grids": ablation_curves.grids_for(mixture),
        "ablations": [name for name in drawn if name.startswith("ablation_")],
        "example": min(prompted, key=_as_example, default=None),
        "leaks": report_leaks.hits(artefacts),
        "scores": scores,
        "headline": headline,
        "headline_base": next(
            (row for row in scores if headline and row["name"].startswith("eval-base") and _alike(row, headline)), None
        ),
        "gains": report_scores.gains(artefacts),
        "protocols": {row["protocol"]: row["about"] for row in scores},
        "published": report_scores.published(),
        "grid": grid,
        "changed": report_scores.changed(grid),
        "runs": [_run(run.name, run.record) for run in artefacts.runs],
        "sources": _sources(artefacts),
        "seconds": _seconds(artefacts),
        "keys": {
            stage: manifest.get("key", manifest["digest"])[:12] for stage, manifest in artefacts.manifests.items()
        },
        "harmony": artefacts.harmony,
    }


def _alike(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two scores are of one run, protocol and number of problems."""
    return all(row[key] == other[key] for key in ("run", "protocol", "problems"))


def _as_example(row: dict[str, Any]) -> tuple:
    """Order of rows as an example: in letters that every reader's fonts have, with a prompt of some length, short."""
    is_poor = len(row["alchemist_prompt"]) < MIN_EXAMPLE_CHARS
    return not row["instruction"].isascii(), is_poor, len(row["instruction"]), row["id"]


def _sources(artefacts: Artefacts) -> dict[str, dict[str, Any]]:
    """What 01_sources says of every source, without folders of this machine."""
    said = next(iter(artefacts.manifests.values()), {}).get("notes", {}).get("sources", {})
    return {
        name: {key: of.get(key) for key in ("about", "repo_id", "revision", "licence", "generator")}
        for name, of in said.items()
    }


def _seconds(artefacts: Artefacts) -> dict[str, float]:
    found = {stage: read_json(artefacts.build / stage / "run.json") for stage in artefacts.manifests}
    return {stage: run["seconds"] for stage, run in found.items() if run}


def _run(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """What a page shows of a run; of folders only their names, since a page may be published."""

    def readable(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.{SHOWN_DIGITS}g}") if abs(value) < 10**SHOWN_DIGITS else round(value)
        return Path(value).name if isinstance(value, str) and value.startswith(("/", "~", "..")) else value

    shown = ("recipe", "commit", "rows", "rows_in", "tokens", "supervised_share", "steps", "loss_first", "loss_last",
             "seconds", "tokens_per_s")  # fmt: skip
    base = readable(record["settings"]["base"])
    return {
        "name": name,
        "told": f"{base}, fine-tuned on {record['rows']:,} of {record['rows_in']:,} rows of the split train: "
        f"{record['tokens']:,} tokens, {record['steps']:,} steps",
        "facts": {key.replace("_", " "): readable(record[key]) for key in shown if record.get(key) is not None},
        "settings": {key: readable(value) for key, value in record["settings"].items()},
        "hardware": record.get("hardware") or {},
        "versions": record["versions"],
    }


def build(mixture: Path, out: Path) -> Path:
    """Write the site, whole or not at all: an earlier one stays until the new one is finished. Returns its index.html.

    Raises:
        Refusal: no stage is finished, or an artefact lacks what today's have.
    """
    artefacts = Artefacts(mixture)
    _ = artefacts.ledgers  # refused before anything is written
    temporary = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    steps = len(figures.KINDS) + 3
    drawn = {}
    with tqdm(total=steps, desc="report", unit=" parts", leave=False, disable=None) as bar:
        for name, numbers in figures.make(artefacts, temporary / "figures"):
            drawn[name] = numbers
            bar.update(name in figures.KINDS)
        rows = report_rows.sample(artefacts)
        bar.update()
        known = facts(artefacts, drawn, rows)
        bar.update()
        _write(temporary, known, rows)
        bar.update()
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
    return out / "index.html"


def _write(folder: Path, known: dict[str, Any], rows: dict[str, Any]) -> None:
    templates = environment()
    texts = {page: templates.get_template(f"{page}.jinja").render(known, page=page) for page in PAGES}
    texts["README.md"] = templates.get_template("README.md.jinja").render(known)
    texts |= {f"assets/{name}": text for name, text in datatables().items()}
    texts |= {f"assets/{name}": (TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", *SCRIPTS)}
    texts["data/rows.js"] = as_script("reportRows", rows["rows"])
    if known["grid"]:
        texts["data/tasks.js"] = as_script("reportTasks", known["grid"])
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.split("\n\n")[0])
    parser.add_argument("build", type=Path, help="build/<mixture>")
    given = parser.parse_args()
    index = build(given.build, given.build / "report")
    size = sum(path.stat().st_size for path in index.parent.rglob("*") if path.is_file())
    print(f"{index.parent}: {size / 1e6:.1f} MB; look:")
    print(f"  open {index}        (Linux: xdg-open {index})")


if __name__ == "__main__":
    raise SystemExit(main())
