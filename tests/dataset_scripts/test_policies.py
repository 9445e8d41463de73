"""Licences and writers: who may stand in a mixture, decided before de-duplication and asserted at its end."""

import pytest

from artefacts import Refusal, read_json
from dataset_scripts import build as builder
from dataset_scripts import sources
from dataset_scripts.schema import licence_terms, writer
from dataset_scripts.sources import Exchange
from dataset_scripts.stage_files import read_rows
from tests.conftest import code_rows


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("MIT", "permissive"), ("apache-2.0", "permissive"), ("PSF-2.0", "permissive"),
        ("GPL-3.0-or-later", "copyleft"), ("AGPL-3.0-only", "copyleft"), ("CC-BY-NC-SA-4.0", "non-commercial"),
        ("bigscience-openrail-m", "use-restricted"), ("unknown", "unknown"), ("", "unknown"),
        ("proprietary", "unknown"),
    ],
)  # fmt: skip
def test_terms_of_a_licence(licence, terms):
    assert licence_terms(licence) == terms


@pytest.mark.parametrize("name", sources.names())
def test_the_licence_of_every_source_has_known_terms(name):
    options = {
        "jsonl": {"files": ["mine.jsonl"], "licence": "MIT", "generator": "human"},
        "git_commits": {"clones": [{"name": "a/b", "path": "."}]},
    }
    source = sources.load(name, "test", options.get(name))
    assert source.licence == "other" or licence_terms(source.licence) != "unknown"
    assert writer(source.generator) != "unknown"


@pytest.mark.parametrize(
    ("generator", "kind"),
    [
        ("human", "person"), ("static", "program"), ("bigcode/starcoder", "open model"),
        ("Qwen/Qwen3-8B", "open model"),
        ("openai/gpt-oss-20b", "open model"), ("EleutherAI/gpt-j-6b", "open model"), ("gpt-4", "closed model"),
        ("gpt-3.5-turbo", "closed model"), ("openai/gpt-4o", "closed model"), ("GPT-4", "closed model"),
        ("text-davinci-003", "closed model"), ("o1-mini", "closed model"), ("anthropic/claude-3", "closed model"),
        ("bedrock/anthropic.claude-v2", "closed model"), ("azure/my-gpt4", "closed model"),
        ("amazon/nova-pro", "closed model"),
        ("qwen/qwen-max", "closed model"), ("openai/o5-mini", "closed model"),
        ("codellama/CodeLlama-7b-hf", "open model"),
        ("unknown", "unknown"), ("some model", "unknown"),
    ],
)  # fmt: skip
def test_who_wrote_a_response(generator, kind):
    assert writer(generator) == kind


def rows_of_mixed_terms():
    said = [
        ("MIT", "human"), ("CC-BY-NC-4.0", "human"), ("MIT", "gpt-4"), ("unknown", "human"),
        ("MIT", "bigcode/starcoder"), ("AGPL-3.0", "human"), ("MIT", "who knows"),
    ]  # fmt: skip
    return [
        Exchange(*pair, licence=licence, generator=by) for pair, (licence, by) in zip(code_rows(7), said, strict=True)
    ]


@pytest.mark.parametrize(
    ("policies", "rejected", "kept"),
    [
        ({}, {"licence": 1}, 6),
        ({"license_policy": "permissive"}, {"licence": 3}, 4),
        ({"generator_policy": "no_closed_models"}, {"licence": 1, "generator": 2}, 4),
        ({"license_policy": "permissive", "generator_policy": "no_closed_models"}, {"licence": 3, "generator": 2}, 2),
    ],
)
def test_rows_that_a_policy_forbids_are_counted_before_de_duplication(
    toy_source, mixture_file, tmp_path, policies, rejected, kept
):
    toy_source(rows_of_mixed_terms())
    folder = builder.build(mixture_file(**policies), tmp_path / "build", workers=1)
    ledger = read_json(folder / "01_sources/ledger.json")
    assert ledger["rejected"] == rejected and ledger["kept"] == kept
    withheld = [r for r in read_rows(folder / "01_sources", "rejected").to_pylist() if r["reason"] == "licence"]
    assert withheld and all(row["response"] is None for row in withheld)


def test_a_forbidden_twin_does_not_oust_an_allowed_row(toy_source, mixture_file, tmp_path):
    (pair,) = code_rows(1)
    toy_source([Exchange(*pair, generator="gpt-4"), Exchange(*pair, generator="human")])
    folder = builder.build(mixture_file(generator_policy="no_closed_models"), tmp_path / "build", workers=1)
    assert [row["generator"] for row in read_rows(folder / "09_mixture").to_pylist()] == ["human"]


@pytest.mark.parametrize(
    ("source", "policy", "says"),
    [
        (
            "evol_instruct_code",
            {"license_policy": "permissive"},
            r"is licensed CC-BY-NC-SA-4.0 \(non-commercial\), which",
        ),
        ("evol_codealpaca", {"generator_policy": "no_closed_models"}, r"written by gpt-4 \(closed model\), which"),
    ],
)
def test_a_forbidden_source_is_refused_before_the_hub_is_asked(mixture_file, tmp_path, source, policy, says):
    path = mixture_file(**{"01_sources": [{"source": source}]}, **policy)
    with pytest.raises(Refusal, match=says):
        builder.build(path, tmp_path / "build", workers=1)


def test_the_mixture_itself_is_asserted(toy_source, mixture_file, tmp_path, monkeypatch):
    """A later stage that makes rows by a closed model cannot smuggle them in."""
    toy_source(code_rows(12))
    whole = builder.mixture_file.mixture.batch

    def smuggle(columns, **arguments):
        out = whole(columns, **arguments)
        return out | {"generator": ["gpt-4" if i == 0 else by for i, by in enumerate(out["generator"])]}

    monkeypatch.setattr(builder.mixture_file.mixture, "batch", smuggle)
    with pytest.raises(Refusal, match="written by gpt-4: a stage made rows that the mixture's generator"):
        builder.build(mixture_file(generator_policy="no_closed_models"), tmp_path / "build", workers=1)


def test_a_source_that_is_emptied_is_said_so(toy_source, mixture_file, tmp_path, capsys):
    broken = [(f"Broken {n}.", f"```python\ndef f{n}(:\n```") for n in range(3)]
    toy_source(broken, "all_broken")
    (tmp_path / "mine.jsonl").write_text(
        '{"instruction": "Add.", "output": "```python\\ndef f(x):\\n    return x\\n```"}\n'
    )
    mine = {
        "source": "jsonl",
        "options": {"files": [str(tmp_path / "mine.jsonl")], "licence": "MIT", "generator": "human"},
    }
    builder.build(mixture_file(**{"01_sources": [{"source": "all_broken"}, mine]}), tmp_path / "build", workers=1)
    assert "source 'all_broken' has no row left after 03_clean (3 does_not_compile)" in capsys.readouterr().err
