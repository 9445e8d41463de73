"""The site: whole, closed, escaped; what a rejected row may show; and, in a browser, that it works."""

import contextlib
import io
import json
import re
import shutil

import pytest

from analysis import figures, reading, report, report_leaks, report_rows, report_scores
from analysis.reading import Artefacts
from artefacts import Refusal, read_json, write_json
from dataset_scripts.decontaminate import RULES
from tests.analysis import browser
from tests.analysis.conftest import ATTACK, SECRET_TEXT, evaluated, evidence
from tests.model_cards.toy_build import toy_row, write_build


@pytest.fixture(scope="module")
def site(toy_mixture, tmp_path_factory):
    return report.build(toy_mixture, tmp_path_factory.mktemp("site") / "report").parent


@pytest.fixture(scope="module")
def sample(toy_mixture):
    return report_rows.sample(Artefacts(toy_mixture))


def test_the_site_is_whole_and_asks_nobody(site):
    pages = {path.name for path in site.glob("*.html")}
    assert pages == set(report.PAGES)
    for page in pages:
        text = (site / page).read_text(encoding="utf-8")
        assert "default-src 'none'" in text and not re.search(r"""(src|href)=["'](https?:)?//""", text)
        for address in re.findall(r'(?:src|href|srcset)="([^"#]+)', text):
            assert (site / address).is_file(), f"{page} points to {address}, which is not there"
    front_matter = (site / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert "sdk: static" in front_matter and "app_file: index.html" in front_matter


def test_every_picture_says_of_how_many_and_has_both_themes(site):
    pictures = sorted(path.stem for path in site.glob("figures/*.json"))
    assert pictures == sorted([*figures.KINDS, "ablation_shares"])  # the toy has whatever a picture can be of
    for name in pictures:
        assert re.search(r"\bn = [\d,]+", read_json(site / f"figures/{name}.json")["caption"]), name
        assert {path.suffixes[0] for path in site.glob(f"figures/{name}.*.png")} == {".light", ".dark"}


def test_no_text_of_a_row_or_an_answer_becomes_markup(site):
    for path in [*site.glob("*.html"), *site.glob("data/*.js")]:
        assert "<script>document.title" not in path.read_text(encoding="utf-8"), path
        assert "<img src=x" not in path.read_text(encoding="utf-8"), path
    data = (site / "data/rows.js").read_text(encoding="utf-8")
    rows = json.loads(data.removeprefix("globalThis.reportRows = ").removesuffix(";\n"))
    assert any(ATTACK in (row["instruction"] or "") for row in rows)  # it is there, as text
    assert not set("<>&\u2028") & set(data)


def test_the_overview_escapes_its_example(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "<ins>Use plain arithmetic" in text and "does. &lt;/script&gt;&lt;script&gt;" in text and "{{7*7}}" in text


def test_the_example_is_short_and_in_letters_that_all_fonts_have():
    long = "Use Python and define the function `f(xs)`, with the library's sort. Raise `ValueError`."
    rows = [("排序", long), ("Sort this list.", long), ("Sort it.", long), ("Sort.", "Use Python.")]
    records = [{"instruction": asked, "alchemist_prompt": said, "id": "1"} for asked, said in rows]
    assert min(records, key=report._as_example)["instruction"] == "Sort it."


def test_the_leak_rate_stands_beside_the_perplexity(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "-0.500 [-0.900, -0.100]" in text and "12.5 %" in text


def test_a_run_shows_no_folder_of_the_machine(site, toy_mixture):
    base = read_json(toy_mixture.parent / "runs/tiny-full/run.json")["settings"]["base"]
    assert base.startswith("/")
    text = (site / "about.html").read_text(encoding="utf-8")
    assert "tiny-full" in text and base not in text and str(toy_mixture.parent) not in text


def test_the_sample_states_what_it_is_a_sample_of(sample):
    assert sample["of"] == {report_rows.PROMPTED: [12, 12], report_rows.IN: [40, 40], report_rows.REJECTED: [5, 5]}
    assert len({row["id"] for row in sample["rows"]}) == len(sample["rows"]) == 57


def test_a_redacted_row_shows_its_reason_and_nothing_else(site, sample):
    rejected = [row for row in sample["rows"] if row["fate"] == report_rows.REJECTED and not row["twin"]]
    by_reason = {row["reason"]: row for row in rejected}
    assert by_reason["does_not_compile"]["response"].startswith("```python")
    for reason in ("secret", "contaminated", "near_duplicate"):  # the last is a twin of the first
        row = by_reason[reason]
        assert row["withheld"] and not any(row[name] for name in report_rows.TEXTS), reason
    assert by_reason["near_duplicate"]["facts"] == {}  # nor what the stages noted about it
    assert by_reason["contaminated"]["facts"]["04_decontaminate"] == {
        "evidence": "humaneval/HumanEval/5 solution: cosine 0.970, 40 tokens; this alone removes the row"
    }
    assert not [path for path in site.rglob("*") if path.is_file() and SECRET_TEXT.encode() in path.read_bytes()]


def test_without_a_packed_repository_no_rejected_row_shows_text(toy_mixture, tmp_path):
    copied = tmp_path / "toy"
    shutil.copytree(toy_mixture, copied)
    alone = report_rows.sample(Artefacts(copied))
    rejected = [row for row in alone["rows"] if row["fate"] == report_rows.REJECTED]
    assert not alone["is_packed"] and len(rejected) == 5
    (beside,) = [row for row in rejected if row["twin"]]  # the row in its place is public
    assert beside["reason"] == "near_duplicate" and beside["facts"] == {"03_clean": {"similarity": "0.750"}}
    assert all(row["withheld"] and row["reason"] and row["response"] is None for row in rejected)
    # packed from other rows than these
    shutil.copytree(toy_mixture.parent / "hub", tmp_path / "hub")
    assert Artefacts(copied).packed is not None
    path = copied / "03_clean" / "ledger.json"
    write_json(path, read_json(path) | {"rows_in": 7})
    assert Artefacts(copied).packed is None


def test_parents_and_children_find_each_other(sample):
    by_id = {row["id"]: row for row in sample["rows"]}
    copies = [row for row in sample["rows"] if row["fate"] == report_rows.PROMPTED]
    for copy in copies:
        assert by_id[copy["parents"][0]]["children"] == [copy["id"]]
        assert copy["facts"]["08_customise"]["alchemist"] == "static"  # its original's


def test_a_small_sample_keeps_the_originals_of_copies(toy_mixture, monkeypatch):
    monkeypatch.setattr(report_rows, "MOST_ROWS", 12)
    monkeypatch.setattr(report_rows, "MOST_PROMPTED", 3)
    monkeypatch.setattr(report_rows, "MOST_REJECTED", 2)
    artefacts = Artefacts(toy_mixture)
    found = report_rows.sample(artefacts)
    assert len(found["rows"]) == 12 and found["of"][report_rows.REJECTED] == [2, 5]
    ids = {row["id"] for row in found["rows"]}
    assert all(parent in ids for row in found["rows"] for parent in row["parents"])
    assert report_rows.sample(artefacts) == found != report_rows.sample(artefacts, seed=1)


def test_a_near_duplicate_stands_beside_the_row_that_was_kept(toy_mixture, monkeypatch):
    monkeypatch.setattr(report_rows, "MOST_ROWS", 7)
    monkeypatch.setattr(report_rows, "MOST_PROMPTED", 0)
    rows = {row["id"]: row for row in report_rows.sample(Artefacts(toy_mixture))["rows"]}
    beside = [row for row in rows.values() if row["twin"]]
    assert len(rows) == 7 and [row["reason"] for row in beside] == ["near_duplicate"]
    assert rows[beside[0]["twin"]]["instruction"] == "Add 3."  # it is in the sample, however small that is


def test_every_rule_of_decontamination_is_said_in_its_own_words():
    said = {report_rows.evidence_line(evidence(decides=rule)) for rule in (None, *RULES)}
    assert len(said) == len(RULES) + 1


def test_long_texts_are_cut_and_all_texts_fit(toy_mixture, monkeypatch):
    monkeypatch.setattr(report_rows, "MOST_CHARS", 20)
    rows = report_rows.sample(Artefacts(toy_mixture))["rows"]
    longest = next(row for row in rows if row["response"])
    assert len(longest["response"]) == 20 and longest["more"]["response"] > 0
    monkeypatch.setattr(report_rows, "MOST_BYTES", 500)
    few = report_rows.sample(Artefacts(toy_mixture))
    assert 0 < len(few["rows"]) < 57 and sum(shown for shown, _ in few["of"].values()) == len(few["rows"])


def test_hits_stand_beside_their_item_and_only_kept_rows_are_quoted(site, toy_mixture):
    found = report_leaks.hits(Artefacts(toy_mixture))
    assert found["of"] == {"removed": 1, "borderline": 1}
    gone, close = found["removed"][0]["pieces"][0], found["borderline"][0]["pieces"][0]
    assert gone["items"] == ["humaneval/HumanEval/5"] and gone["where"] == ["response, characters 10 to 25"]
    assert gone["marked"] == {} and ("def add_1(x):\n ", True) in close["marked"]["response"]
    assert gone["item_text"].startswith("def known(x):"), "cosine compared the whole program"
    page = (site / "leaks.html").read_text(encoding="utf-8")
    assert "HumanEval/5" in page and "def known(x):" in page


def test_the_text_of_a_benchmark_is_the_one_that_the_signal_compared_cut_where_it_is_long(toy_mixture, monkeypatch):
    items = {"r5": {"text": "t" * 9, "program": "p"}}
    monkeypatch.setattr(report_leaks, "MOST_ITEM_CHARS", 5)
    said = [
        report_leaks._piece(evidence(signal=s), None, i)["item_text"]
        for s, i in (("ngram", items), ("tree", items), ("tree", {}))
    ]
    assert said == ["ttttt [...]", "p", None]


@pytest.mark.parametrize(
    "text, spans, marked",
    [
        ("abc", [], [("abc", False)]),
        ("abcdef", [(1, 3), (2, 4)], [("a", False), ("bc", True), ("d", True), ("ef", False)]),
        ("a" * 500 + "HIT", [(500, 503)], [(" [...] " + "a" * 80, False), ("HIT", True)]),
    ],
)
def test_marked_stretches_keep_the_text_between_them(text, spans, marked):
    assert report_leaks.marked(text, spans) == marked


def test_scores_have_errors_and_stand_beside_figures_of_the_same_protocol_only(toy_mixture, tmp_path):
    base, tuned = report_scores.table(Artefacts(toy_mixture))
    assert (base["score"], tuned["score"]) == (20, 30) and tuned["published"] == []
    assert tuned["standard_error"] == pytest.approx(100 * (0.3 * 0.7 / 10) ** 0.5)
    assert "--limit 10" in tuned["command"]
    whole = {"problems": 164, "problems_in_benchmark": 164}
    result = {"protocol_name": "alchemist/humaneval_plus", "pass_at_1": 0.7, "standard_error": 0.03, **whole,
              "scores": {"base": {"pass_at_1": 0.79, "standard_error": 0.03},
                         "plus": {"pass_at_1": 0.7, "standard_error": 0.03}}}  # fmt: skip
    beside = {(r["model"].split("-")[1], r["is_plus"]): r for r in report_scores._beside(result)}
    assert beside["DS", False]["difference"] == pytest.approx(79 - 79.9)
    assert (
        beside["DS", False]["verdict"] == "within two errors" and beside["L", True]["verdict"] == "beyond two errors"
    )
    none = {"scores": {"base": {"pass_at_1": 0.8, "standard_error": 0.0}}} | {"pass_at_1": 0.8, "standard_error": 0.0}
    same = {r["is_plus"]: r["verdict"] for r in report_scores._beside(result | none) if "-DS-" in r["model"]}
    assert same[False] == "within two errors", "of 164 problems that end alike 1.8 points are open"
    (part, *_) = report_scores._beside(result | {"problems": 160})
    assert part["verdict"] == "no verdict, 4 of 164 problems were not scored"


def test_the_score_on_top_stands_beside_its_bases(site):
    assert "30.0 ± 14.5 %<small>" in (text := (site / "index.html").read_text(encoding="utf-8"))
    assert "10 of 164 problems of humaneval v1.0; its base: 20.0 ± 12.6 %</small>" in text


def test_the_overview_says_what_the_model_saw_and_what_the_protocol_is(site):
    page = (site / "index.html").read_text()
    assert "fine-tuned on 10 of 40 rows of the split train: 5,000 tokens, 6 steps." in page
    assert "The protocol <code>demo</code>: A toy." in page


def test_the_gain_is_paired_and_both_pages_say_how_sure_it_is(site, toy_mixture):
    (one,) = report_scores.gains(Artefacts(toy_mixture))
    assert (one["run"], one["problems"], one["difference"]) == ("tiny-full", 10, pytest.approx(10))
    half = 196 * (sum((x - 0.1) ** 2 for x in (-1, 1, 1, *[0] * 7)) / 9 / 10) ** 0.5  # a task is lost, two are won
    assert (one["low"], one["high"]) == (pytest.approx(10 - half), pytest.approx(10 + half))
    for page in ("index.html", "model.html"):
        text = (site / page).read_text(encoding="utf-8")
        assert "tuned minus base: +10.0 points, 95 % interval -25.2 to +45.2" in text and "10 of 164 problems" in text
        assert "10 problems cannot show a gain" not in text, "the errors of one score say little about a difference"
        assert "it cannot be told from its base" in text and "none: nobody published a figure under it" in text


@pytest.mark.parametrize(
    ("tuned", "changes", "says"),
    [
        ({0, 1, 2, 3, 4, 5}, {}, 4),
        ({0, 1}, {"unscored": ["HumanEval/0"]}, 0),
        ({0, 1}, {}, 0),
        ({0, 1}, {"protocol": {"benchmark": "another", "about": "Another."}}, None),
        ({0, 1}, {"tasks": {"HumanEval/0": {"samples": 1, "passed": 1, "verdicts": []}}}, None),
    ],
)
def test_a_gain_is_of_evaluations_that_were_made_alike(toy_mixture, tmp_path, tuned, changes, says):
    run = Artefacts(toy_mixture).runs[0]
    for name, passing in (("eval-base", {0, 1}), ("eval-tuned", tuned)):
        shutil.copytree(run.folder / name, tmp_path / "run" / name)
        evaluated(tmp_path / "run" / name, passing)
    path = tmp_path / "run/eval-tuned/result.json"
    write_json(path, read_json(path) | changes)
    artefacts = Artefacts(toy_mixture)
    artefacts.__dict__["runs"] = [reading.Run("run", tmp_path / "run", run.record)]
    found = report_scores.gains(artefacts)
    assert [round(one["difference"] * one["problems"] / 100) for one in found] == ([] if says is None else [says])
    if says == 0:  # nothing changed sides, which is no proof that nothing would
        assert found[0]["low"] == -found[0]["high"] < -25 and found[0]["verdict"] == "open"


def test_a_mean_over_libraries_is_judged_by_its_own_error():
    result = {"protocol_name": "alchemist/ds1000", "pass_at_1": 0.5, "standard_error": 0.001, "scores": {},
              "problems": 1000, "problems_in_benchmark": 1000,
              "unweighted_mean": 0.415, "unweighted_standard_error": 0.02}  # fmt: skip
    (ours,) = [r for r in report_scores._beside(result) if "-DS-" in r["model"]]
    assert ours["difference"] == pytest.approx(41.5 - 40.5) and ours["verdict"] == "within two errors"


def test_a_result_of_another_kind_is_refused_in_a_sentence(toy_mixture, tmp_path):
    run, result = (
        Artefacts(toy_mixture).runs[0],
        read_json(toy_mixture.parent / "runs/tiny-full/eval-base/result.json"),
    )
    for wrong in ({"protocol_name": None}, {"tasks": {"HumanEval/0": {"status": "ok"}}}):
        changed = {key: value for key, value in (result | wrong).items() if value is not None}
        write_json(tmp_path / "eval-x/result.json", changed)
        with pytest.raises(Refusal, match="eval-x/result.json: .*evaluate the model again"):
            _ = reading.Run(run.name, tmp_path, run.record).evaluations


def test_every_task_has_its_verdict_and_its_answer(site, toy_mixture):
    grid = report_scores.tasks(Artefacts(toy_mixture))
    assert [c["passes"] for c in grid["columns"]] == [2, 3] and len(grid["rows"]) == 10
    assert report_scores.changed(grid) == {"both": 1, "first": 1, "second": 2, "neither": 6}
    task, (first, second) = grid["rows"][4]
    assert (task, first["status"], first["reason"]) == ("HumanEval/4", "NameError", "NameError: no")
    assert first["texts"]["program"].startswith("program 4") and first["texts"]["answer"].startswith("answer 4")
    page = (site / "model.html").read_text(encoding="utf-8")
    assert page.count("✗ NameError") == 15 and page.count("✓ passes") == 5


def test_answers_that_do_not_fit_are_counted(toy_mixture, monkeypatch):
    monkeypatch.setattr(report_scores, "MOST_BYTES", 500)
    grid = report_scores.tasks(Artefacts(toy_mixture))
    missing = [cell for _, cells in grid["rows"] for cell in cells if not cell["texts"]]
    assert grid["left_out"] == len(missing) > 0
    monkeypatch.setattr(report_scores, "MOST_CHARS", 9)
    _, (first, _) = report_scores.tasks(Artefacts(toy_mixture))["rows"][4]
    assert first["texts"]["program"] == "program 4" and first["more"]["program"] == len(ATTACK) + 1


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A mixture of three rows and nothing else, reported by the command line: the folder and what it said."""
    build, said = write_build(tmp_path_factory.mktemp("bare") / "toy", [toy_row(n) for n in range(3)]), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr("sys.argv", ["report", str(build)])
        assert report.main() == 0
    return build, said.getvalue()


def test_what_is_not_there_is_neither_drawn_nor_made_up(bare):
    build, said = bare
    site = build / "report"
    assert f"open {site}/index.html" in said
    assert {path.name.split(".")[0] for path in site.glob("figures/*")} == {"funnel", "distribution", "lengths"}
    texts = {name: (site / name).read_text(encoding="utf-8") for name in report.PAGES}
    for name, command in (
        ("index", "make harmony"),
        ("model", "make train-demo"),
        ("rows", "make data"),
    ):
        text = texts[f"{name}.html"]  # of this mixture, which is not the one that the targets take by default
        assert "not there yet" in text and f"<code>{command} MIXTURE=toy</code>" in text
        assert "then <code>make report MIXTURE=toy</code>" in text
    assert "is not known of this mixture: only an ablation tells." in texts["index.html"]
    assert "<img" not in texts["model.html"] and "not there yet" in texts["about.html"]


def test_a_figure_has_two_themes_and_its_numbers(bare):
    folder = bare[0] / "report/figures"
    assert read_json(folder / "distribution.json")["rows"] == 3
    light, dark = ((folder / f"distribution.{theme}.png").read_bytes() for theme in ("light", "dark"))
    assert light[:4] == dark[:4] == b"\x89PNG" and light != dark


def test_an_earlier_report_survives_a_failure(bare, monkeypatch):
    site = bare[0] / "report"
    monkeypatch.setattr(report.figures, "make", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.build(bare[0], site)
    assert (site / "index.html").is_file()


@pytest.mark.parametrize(
    ("file", "key"), [("toy/04_decontaminate/leaks.json", "compared_with"), ("runs/tiny-full/run.json", "loss_steps")]
)
def test_an_artefact_of_an_earlier_version_is_refused_in_a_sentence(toy_mixture, tmp_path, file, key):
    root = shutil.copytree(toy_mixture.parent, tmp_path / "build")
    found = read_json(root / file)
    del found[key]
    write_json(root / file, found)
    says = f"{file} holds no '{key}': an earlier version of this repository wrote it; make it again."
    with pytest.raises(Refusal, match=re.escape(says)):
        report.build(root / "toy", tmp_path / "report")


def test_an_unbuilt_mixture_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no finished stage there; run `make mixture MIXTURE="):
        report.build(tmp_path, tmp_path / "report")


@pytest.mark.slow
@pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))
def test_a_person_can_search_filter_and_read_with_the_keyboard_alone(site):
    with browser.Browser() as page:
        page.open(site / "rows.html")
        assert page.run("return document.querySelectorAll('#rows tbody tr').length") == 25
        assert page.run("return document.title") == "Rows · toy"  # no row has run a script
        page.run("document.querySelector('.dt-search input').focus()")
        page.type("x): add_37")  # words of the response, which no column shows
        assert page.run("return document.querySelector('.dt-info').textContent").startswith("rows 1 to 1 of 1 (of 57 ")
        assert "Add 37." in page.run("return document.querySelector('#rows tbody tr').textContent")
        page.type("x")  # add_37x is nowhere
        said = page.run("return document.querySelector('#rows tbody').textContent")
        assert said == "No row of the sample is like that."
        page.run("document.getElementById('filters').reset()")
        page.open(site / "rows.html", "reason=secret")
        assert page.run("return document.querySelectorAll('#rows tbody tr').length") == 1
        page.run("document.querySelector('#rows tbody button').focus()")
        page.type("\ue007")  # Enter
        assert page.run("return document.getElementById('row').open")
        assert "withheld" in page.run("return document.getElementById('row-content').textContent")
        page.type("\ue00c")  # Escape
        assert not page.run("return document.getElementById('row').open")
        page.open(site / "rows.html", "fate=kept, with a prompt")
        page.run("document.querySelector('#rows tbody button').click()")
        assert page.run("return document.querySelector('#row ins').textContent").startswith("Use plain arithmetic")
        before = page.run("return document.getElementById('row').dataset.id")
        page.type("\ue014")  # the arrow to the right
        assert page.run("return document.getElementById('row').dataset.id") != before
        page.type("\ue012")
        assert page.run("return document.getElementById('row').dataset.id") == before
        assert page.messages() == []
        assert not [address for address in page.requests() if address.startswith(("http", "ws"))]


@pytest.mark.slow
@pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))
def test_a_duplicate_is_read_beside_the_row_that_was_kept_in_its_place(site, toy_mixture, tmp_path):
    """With its text, lines marked, where the packed repository has it; else the kept row alone, and why."""
    headings = "return [...document.querySelectorAll('#row-content h3')].map((one) => one.textContent)"
    marked = "return [...document.querySelectorAll('#row-content mark')].map((one) => one.textContent)"
    texts = "return [...document.querySelectorAll('#row-content pre')].map((one) => one.textContent)"
    shutil.copytree(toy_mixture, tmp_path / "toy")  # and no packed repository beside it
    unpacked = report.build(tmp_path / "toy", tmp_path / "report").parent
    with browser.Browser() as page:
        page.open(site / "rows.html", "reason=near_duplicate")
        buttons = page.run("return [...document.querySelectorAll('#rows tbody button')].map((one) => one.dataset.id)")
        rows = {row["id"]: row for row in report_rows.sample(Artefacts(toy_mixture))["rows"]}
        (duplicate,) = [row_id for row_id in buttons if rows[row_id]["twin"]]
        twin = rows[duplicate]["twin"]
        page.run(f"document.querySelector('#rows button[data-id=\"{duplicate}\"]').click()")
        assert page.run(headings)[:2] == ["This row, rejected", "The row that was kept"]
        found = page.run(marked)  # and not the fences, which both have
        assert found[:3] == ["Add 3. Add 3.", "def add_103(x):", "    return x + 103"]
        assert found[3:] == ["Add 3.", "def add_3(x):", "    return x + 3"]
        ours, kept = page.run(texts)
        assert ours.startswith("Add 3. Add 3.\n") and kept.startswith("Add 3.\n") and ours.count("```") == 2
        page.run(f"document.querySelector('#row-content button[data-id=\"{twin}\"]').focus()")
        page.type("\ue007")  # Enter
        assert page.run("return document.getElementById('row-title').textContent") == f"{twin}: kept"
        assert page.run(marked) == [] and page.run("return location.hash").endswith(f"row={twin}")
        page.open(unpacked / "rows.html", f"row={duplicate}")
        assert "withheld" in page.run("return document.querySelector('#row-content .missing').textContent")
        assert page.run(headings)[0] == "The row that was kept in its place"
        assert page.run(texts)[0] == "Add 3." and "def add_3(x)" in page.run(texts)[1] and page.run(marked) == []
        assert page.messages() == []


@pytest.mark.slow
@pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))
def test_a_failing_program_is_one_click_away(site):
    with browser.Browser(width=500) as page:
        page.open(site / "model.html")
        page.run("document.querySelector('#grid button.fail').click()")
        for name in ("program", "answer"):
            said = page.run(f"return document.getElementById('task-{name}').textContent")
            assert said.startswith(f"{name} ") and ATTACK in said
        assert page.run("return document.title") == "Model · toy"
        page.run("document.getElementById('task').close(); document.getElementById('only-changed').click()")
        assert page.run("return document.getElementById('task-count').textContent") == "3 of 10 tasks"
        for name in report.PAGES:
            page.open(site / name)
            assert page.run("return document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
            assert page.run("return document.querySelectorAll('main h1').length") == 1
        assert page.messages() == []
