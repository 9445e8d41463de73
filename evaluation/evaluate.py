"""Checkpoint, or generations that anybody made -> pass@k with its error, a verdict and a reason for every sample.

    python -m evaluation.evaluate MODEL --protocol alchemist/humaneval_plus --output DIR
    python -m evaluation.evaluate --benchmark humaneval --samples FILE --out result.json

reads   a model (folder or Hub id), evaluation/protocols/<name>.yaml, the benchmark; or a file of samples
writes  DIR/samples.jsonl (one answer a line, kept as they are made), DIR/result.json last; or result.json; beside
        either result.programs.jsonl, what was judged

Programs run in the sandbox; without one nothing is run, unless ALLOW_UNSANDBOXED=1, which marks the result.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artefacts import command_line, write_json
from evaluation import benchmarks, generate, plan, protocol, result
from evaluation.checkpoint import evaluate
from evaluation.generator import Generator
from evaluation.generic import recorded
from evaluation.score_file import score_samples
from evaluation.selection import Selection


def _say(built: Mapping[str, Any]) -> None:
    print(result.line(built))
    if ignored := built.get("ignored_of_generation_config"):
        said = ", ".join(f"{key} {value}" for key, value in ignored.items())
        print(f"not followed, of the checkpoint's generation_config (the protocol decides): {said}")
    if "form" in (how := built.get("samples", {})):
        counts = ", ".join(
            f"{count} {name.replace('_', ' ')}" for name, count in how["samples"].items() if name != "all"
        )
        print(
            f"read as {how['form']}: {how['text']}, {how['program']}, cut {how['cut']}, code blocks: {how['fences']} "
            f"({counts} of {how['samples']['all']} samples)"
        )
    for kind, odd in built.get("odd", {}).items():
        print(f"{kind}: {odd.get('tasks') or odd.get('samples')} ({', '.join(odd['first'])}, ...)")


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="model folder, or Hub id (owner/name, owner/name@revision)")
    parser.add_argument("--samples", type=Path, help="score this file (.jsonl, .json, .gz, .zip) or MultiPL-E folder")
    parser.add_argument("--benchmark", help=f"of the samples: {', '.join((*benchmarks.NAMES, recorded.BENCHMARK))}")
    parser.add_argument("--version", help="of the benchmark (default: its newest)")
    parser.add_argument("--languages", default="", help="of a set with several: python,javascript,java,go,cpp,rust")
    parser.add_argument("--output", type=Path, help="folder for samples.jsonl and result.json of a model")
    parser.add_argument("--out", type=Path, help="result file of --samples")
    parser.add_argument("--protocol", default="demo", help="file or folder in evaluation/protocols (default: demo)")
    parser.add_argument("--limit", type=int, help="only the first problems of the benchmark")
    parser.add_argument("--tasks", default="", help="only these task ids, with commas")
    parser.add_argument("--data", type=Path, help="folder that holds the benchmarks' files (default: REAL_DATA_DIR)")
    parser.add_argument("--engine", choices=generate.ENGINES, default="transformers", help="who generates")
    parser.add_argument("--server", default="", help="an OpenAI-compatible server: its address (.../v1), or a profile")
    parser.add_argument("--workers", type=int, help="sandbox workers (default: one per core)")
    parser.add_argument("--lenient", action="store_true", help="leave out and count tasks that are missing or unknown")
    parser.add_argument(
        "--text", choices=("program", "completion"), help="what the samples are (default: by majority)"
    )
    parser.add_argument(
        "--cut", choices=("yes", "no"), help="cut samples where the function ends (default: by majority)"
    )
    parser.add_argument("--dry-run", action="store_true", help="of a model: print the plan, ask and run nothing")
    given = parser.parse_args()
    if given.limit is not None and given.limit < 1:
        parser.error("--limit must be at least 1")
    if given.workers is not None and given.workers < 1:
        parser.error("--workers must be at least 1")
    if (given.model is None) == (given.samples is None):
        parser.error("give a model, or --samples with --benchmark")
    tasks = tuple(t for t in given.tasks.split(",") if t)
    selection = Selection(given.limit, tasks, given.data, given.workers)
    if given.samples is not None:
        if given.dry_run:
            parser.error("--dry-run is of a model; a file of samples is scored in minutes")
        if not given.benchmark or not given.out:
            parser.error("--samples needs --benchmark and --out")
        if given.benchmark == recorded.BENCHMARK:  # texts are compared, nothing is run
            built = recorded.score(given.samples, given.version)
            write_json(given.out, built)
            _say(built)
            return
        languages = [name for name in given.languages.split(",") if name]
        decided = {key: value for key, value in (("text", given.text), ("cut", given.cut)) if value}
        built, held = score_samples(
            given.samples, given.benchmark, given.version, selection, given.lenient, languages, decided
        )
        result.write_programs(given.out, held.programs)
        write_json(given.out, built)
        _say(built)
        return
    if given.output is None:
        parser.error("a model needs --output")
    if (given.engine == "server") != bool(given.server):
        parser.error("--engine server and --server go together")
    paths = protocol.find(given.protocol)
    if given.dry_run:
        print(plan.of_model(given.model, paths, selection, given.output))
        return
    for path in paths:
        output = given.output if len(paths) == 1 else given.output / path.stem
        built = evaluate(Generator(given.model, given.engine, given.server), path, selection, output)
        if built:
            _say(built)


if __name__ == "__main__":
    raise SystemExit(main())
