"""Protocols hold whatever moves a score; a wrong one is refused by file and key; prompts are what they say."""

import re

import pytest
import yaml

from artefacts import Refusal, read_mapping
from evaluation import benchmarks, protocol, reproduce
from evaluation.benchmarks import Problem

FILES = sorted(protocol.FOLDER.rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(protocol.FOLDER)))
def test_every_protocol_is_valid_and_says_where_it_comes_from(path):
    rules = protocol.read(path)
    assert len(rules.about) > 40 and rules.version in benchmarks.module(rules.benchmark, "here").VERSIONS


def test_papers_rules():
    octopack = protocol.read(protocol.find("octopack/fix_tests")[0])
    assert (octopack.samples_per_task, octopack.temperature, octopack.top_p) == (20, 0.2, 0.95)
    mbpp = protocol.read(protocol.find("alchemist/mbpp")[0])
    assert (mbpp.version, mbpp.shots, mbpp.max_new_tokens, mbpp.temperature) == ("sanitized", 3, 512, 0)
    assert protocol.read(protocol.find("alchemist/humaneval_x")[0]).max_new_tokens == 1024
    octopack, octogeex = ({path.name for path in protocol.find(name)} for name in ("octopack", "octogeex"))
    assert octopack == octogeex == {"fix_tests.yaml", "fix_docs.yaml", "explain.yaml", "synthesize.yaml"}


DEMO = read_mapping(protocol.FOLDER / "demo.yaml")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": "v7"}, "has no version 'v7'"),
        ({"languages": ["cobol"]}, "there is no 'cobol'"),
        ({"instruction": "{promt} {prompt}"}, "holds {promt}; known placeholders"),
        ({"extract": "between"}, "key 'between' must be two markers"),
        ({"shots": 3}, "key 'shot' must be the form of an example"),
        ({"task": "fix_tests"}, "key 'benchmark' must be humanevalpack"),
        ({"samples_per_task": 5}, "key 'temperature' must be more than 0"),
        ({"cpu_s": -1.0}, "cpu_s"),
        ({"stop_by_language": {"cobol": ["STOP"]}}, "key 'stop_by_language': there is no 'cobol'"),
        ({"stop_by_language": {"go": ["func"]}}, "key 'extract' must be octopack"),
        ({"extract": "octopack"}, "key 'benchmark' must be humanevalpack"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path, changes, says):
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(DEMO | changes))
    with pytest.raises(Refusal, match=says) as refusal:
        protocol.read(path)
    assert str(path) in str(refusal.value)


def test_a_problems_own_braces_stay():
    problem = Problem("T/0", "def f(x):\n    {prompt} {x}\n", "s", "t", "f")
    assert protocol.fill("<{prompt}>", problem) == "<def f(x):\n    {prompt} {x}>"


def test_answers_become_programs_by_the_protocols_rules():
    problem = Problem("Mbpp/2", "Do it.", "s", "assert f(1)", "f", extra={"test_list": ["assert f(1)"]})
    rules = protocol.read(protocol.find("alchemist/mbpp")[0])
    assert (
        protocol.program(rules, problem, "def f(x):\n    return x\n[DONE]\nmore").strip() == "def f(x):\n    return x"
    )
    cpp = Problem("CPP/0", "int f(int x){\n", "s", "t", "f", "cpp")
    raw = protocol.read(protocol.find("alchemist/humaneval_x")[0])
    found = protocol.program(raw, cpp, '    if (x) { return 1; } // }\n    return "}"[0];\n}\nint main() { junk')
    assert found.endswith('return "}"[0];\n}\n') and "junk" not in found


@pytest.mark.parametrize("name", read_mapping(reproduce.PUBLISHED))
def test_a_plan_reads_no_checkpoint_and_names_each_figure(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reproduce", name, "--dry-run"])
    assert reproduce.main() == 0
    out = capsys.readouterr().out
    entry = read_mapping(reproduce.PUBLISHED)[name]
    assert entry["model"] in out and f"{entry['weights_gb']} GB" in out and entry["source"] in out
    assert all(str(figure) in out for figure in entry["figures"].values())
    rows = [line for line in out.splitlines() if line.startswith(("alchemist/", "octopack/", "octogeex/", "all "))]
    assert len(rows) == len({key.removesuffix("+") for key in entry["figures"]}) + 1
    times = [re.search(r" ([1-9][\d.]*) (s|min|h)(?:   |$)", line) for line in rows]
    assert all(times), rows  # never 0.0 hours


def test_a_plan_says_what_a_gpu_must_hold():
    checkpoint = reproduce.Checkpoint(**read_mapping(reproduce.PUBLISHED)["ds67b"])
    (line,) = [li for li in reproduce.plan(checkpoint, "m").splitlines() if li.startswith("alchemist/humaneval_plus")]
    cache_gib = 16 * 1512 * 2 * 32 * 4096 * 2 / 2**30  # batch x tokens x (keys, values) x layers x width x bytes
    assert f"{2 * 6.74e9 / 2**30 + cache_gib:.1f} GiB" in line and "79.9, 75.6 plus" in line


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ((), "internlm/AlchemistCoder-DS-6.7B"),
        (("--revision", "5" * 40), f"internlm/AlchemistCoder-DS-6.7B@{'5' * 40}"),
        (("--model", "lab/own"), "lab/own"),
    ],
)
def test_a_checkpoint_is_resolved_once_for_all_of_its_protocols(more, asked, monkeypatch, capsys):
    seen = []
    result = {"pass_at_1": 0.5, "standard_error": 0.1, "scores": {}, "problems": 1, "problems_in_benchmark": 1}
    plus = {name: {"pass_at_1": 0.5, "standard_error": 0.1} for name in ("base", "plus")}
    monkeypatch.setattr(reproduce.generate, "resolved", lambda model: seen.append(model) or f"{model}#one commit")
    monkeypatch.setattr(reproduce.benchmarks, "load", lambda *_: [])
    monkeypatch.setattr(
        reproduce, "evaluate", lambda generator, *_: seen.append(generator.model) or result | {"scores": plus}
    )
    monkeypatch.setattr("sys.argv", ["reproduce", "ds67b", *more])
    assert reproduce.main() == 0
    protocols = reproduce.names_of(reproduce.Checkpoint(**read_mapping(reproduce.PUBLISHED)["ds67b"]))
    assert seen == [asked, *[f"{asked}#one commit"] * len(protocols)] and len(protocols) > 1
    (line,) = [li for li in capsys.readouterr().out.splitlines() if li.startswith("revision")]
    assert line.endswith("5" * 40) if "@" in asked else "resolved at the run" in line and "--revision" in line


def test_a_folder_has_no_revision(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reproduce", "l7b", "--model", str(tmp_path), "--revision", "main"])
    with pytest.raises(SystemExit):
        reproduce.main()
    assert "--revision is of a checkpoint on the Hub" in capsys.readouterr().err


def test_figures_are_met_within_two_standard_errors():
    scores = {name: {"pass_at_1": p, "standard_error": 0.03} for name, p in (("base", 0.78), ("plus", 0.74))}
    result = {
        "pass_at_1": 0.74, "standard_error": 0.03, "scores": scores, "problems": 164, "problems_in_benchmark": 164,
    }  # fmt: skip
    assert reproduce.row("a", 79.9, result)["verdict"].startswith("reproduced")
    part = reproduce.row("a", 79.9, result | {"problems": 5})["verdict"]
    assert part == "no verdict: 159 of 164 problems were not scored"
    assert reproduce.row("a+", 75.6, result)["ours"] == pytest.approx(74)
    assert reproduce.row("a+", 81.0, result)["verdict"].startswith("NOT")
    none = {"pass_at_1": 0.0, "standard_error": 0.0}
    nothing = result | none | {"scores": {}}
    assert reproduce.row("a", 0.6, nothing)["verdict"] == "reproduced (within 3 / problems, all ending alike)"
    assert reproduce.row("a", 2.0, nothing)["verdict"].startswith("NOT")


@pytest.mark.parametrize("path", sorted((protocol.FOLDER / "octogeex").glob("*.yaml")), ids=lambda path: path.stem)
def test_octogeex_differs_from_octopack_in_its_texts_alone(path):
    sibling = protocol.FOLDER / "octopack" / path.name
    ours, theirs = protocol.read(path).model_dump(), protocol.read(sibling).model_dump()
    assert {key for key in ours if ours[key] != theirs[key]} <= {"about", "instruction", "describe"}
    for key in ("instruction", "describe"):  # and there in the space behind the question
        assert (ours[key] or "").replace("_trimmed", "_as_is") == (theirs[key] or "").replace("_trimmed", "_as_is")
    assert len(list(sibling.parent.glob("*.yaml"))) == len(list(path.parent.glob("*.yaml"))) == 4
