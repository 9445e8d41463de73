"""Rows for the measurements of decontamination: real ones, and copies of benchmark items planted into them.

A copy is made from one problem in five ways, each as a whole row (the prompt asks, the solution answers) and as the
solution alone behind an instruction that says nothing:

    verbatim   as the benchmark has it
    edited     5 % of the words replaced by others, in prompt and solution; the code need not parse any more
    renamed    functions, parameters and variables have other names, also where the prompt says them
    reordered  a third of the neighbouring statements of a block swapped
"""

import ast
import builtins
import gzip
import json
import os
import random
import re
from pathlib import Path

from dataset_scripts.references import whole_program
from evaluation.benchmarks import Problem

WAYS = ("verbatim", "edited", "renamed", "reordered")
WORD = re.compile(r"[A-Za-z_]\w*")


def data_folder() -> Path:
    folder = os.environ.get("REAL_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        raise SystemExit("REAL_DATA_DIR must name a folder of real public data.")
    return Path(folder)


def language_of(source: str) -> str:
    """Of code that does not say."""
    return "java" if source == "commits_java" else "python"


def original_rows() -> dict[str, list[tuple[str, str]]]:
    """Real (instruction, response) pairs by source."""
    folder = data_folder()
    found: dict[str, list[tuple[str, str]]] = {}
    for source, path, columns in (
        ("code_alpaca", "code_alpaca/code_alpaca_2k.json.gz", ("instruction", "input", "output")),
        ("evol_instruct_code", "evol_instruct_code/evol-codealpaca-2k-1.json.gz", ("instruction", None, "output")),
        ("gpteacher_codegen", "gpteacher_codegen/codegen-instruct.json.gz", ("instruction", "input", "response")),
        ("leetcode", "leetcode_dataset/LeetCodeDataset-v0.1.0-train.jsonl.gz", ("query", None, "response")),
        ("oasst_octopack", "oasst_octopack/oasstcommitpackftmanual.jsonl.gz", ("prompt", None, "completion")),
        ("oasst_commitpackft", "oasst_octopack/oasstcommitpackft.jsonl.gz", ("prompt", None, "completion")),
        ("alpaca", "alpaca_5000/alpaca_5000.json.gz", ("instruction", "input", "output")),
        ("commits_java", "commit_samples/smallcommits_java.jsonl.gz", ("message", None, "new_contents")),
    ):
        text = gzip.decompress((folder / path).read_bytes()).decode()
        rows = [json.loads(line) for line in text.split("\n") if line] if ".jsonl" in path else json.loads(text)
        instruction, more, response = columns
        pairs = [("\n".join(filter(None, (r[instruction], more and r[more]))), r[response]) for r in rows]
        found[source] = [p for p in pairs if all(isinstance(t, str) and t.strip() for t in p)]
    return found


def planted(problem: Problem, way: str, alone: bool, seed: int = 0) -> tuple[str, str] | None:
    """A copy of the problem as (instruction, response); None where the way leaves it as it is."""
    chance = random.Random(f"{seed}/{problem.task_id}/{way}")
    prompt, code = problem.prompt, whole_program(problem)
    if way == "edited":
        prompt, code = _edited(prompt, chance), _edited(code, chance)
    elif way == "renamed":
        names = local_names(code)
        if not names:
            return None
        new = {name: f"{chance.choice('abcdefgh')}_{number}" for number, name in enumerate(sorted(names))}
        prompt, code = (WORD.sub(lambda m: new.get(m.group(), m.group()), text) for text in (prompt, code))
    elif way == "reordered":
        changed = _reordered(code, chance)
        if changed is None:
            return None
        code = changed
    return "Solve this task." if alone else prompt, f"Here you are:\n\n```python\n{code}\n```\n"


def _edited(text: str, chance: random.Random) -> str:
    words = WORD.findall(text)
    places = set(chance.sample(range(len(words)), max(1, round(0.05 * len(words))))) if words else set()
    count = -1

    def other(found: re.Match) -> str:
        nonlocal count
        count += 1
        return chance.choice(words + ["value", "data", "result"]) if count in places else found.group()

    return WORD.sub(other, text)


def local_names(code: str) -> set[str]:
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names - set(dir(builtins)) - {"self"}


def _reordered(code: str, chance: random.Random) -> str | None:
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return None
    swapped = 0
    for node in ast.walk(tree):
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if not isinstance(block, list):
                continue
            pairs = [i for i in range(len(block) - 1) if not isinstance(block[i + 1], ast.Return)]
            for i in chance.sample(pairs, -(-len(pairs) // 3)):
                block[i], block[i + 1] = block[i + 1], block[i]
                swapped += 1
    return ast.unparse(tree) if swapped else None
