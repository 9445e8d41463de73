"""Questions of MMLU, BIG-Bench Hard and GSM8K, from a folder or their pinned origin, as lm-eval's tasks want them.

    load("bbh")  ->  {"navigate": {"test": [{"input": ..., "target": ...}, ...]}, ...}

The folder, or REAL_DATA_DIR, holds `bbh/**/<task>.json.gz`, `gsm8k/test.jsonl.gz`, and for MMLU the authors' archive
(a .zip with test/<subject>_test.csv and dev/<subject>_dev.csv) or the Hub's files; `absent` names subjects it lacks.
"""

import csv
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from artefacts import Refusal
from evaluation.benchmarks import Lacking, lacking
from evaluation.benchmarks.files import File, GitHub, Hub, data_folder, in_folder, read

Rows = list[dict[str, Any]]

_BBH = "suzgunmirac/BIG-Bench-Hard", "9ee07bd481feebf959a6b59d61ea57bdcf30964d"
_BBH_SHA256 = {
    "boolean_expressions": "ea6c754ec005e2d3f2d085d349a740f593b5764f32ea4638ffed4cfc0061b12a",
    "causal_judgement": "6e8bca44dd402008ed41c07a3d0a1d5e7b03db7001a7e002fcdf4c60985ea081",
    "date_understanding": "0148d4ac5fca05b2f82373e5fef7208e15363b9c6079493034d77b3dab496bf5",
    "disambiguation_qa": "cf06df9ebf911b883671cb1b35d3fbd1a1c306b19b9e9a012407e596c85fe8c6",
    "dyck_languages": "3f9badedf15c2be1ce53d94fdf016299bb30ba231ef087ab9f51a7ed6d0bdc25",
    "formal_fallacies": "4c1adb664821157faade1d4153685403afcc02648f3c180a608a18f17f589629",
    "geometric_shapes": "07be68a124420caa2ebc0b2c858ad79fc55c5c8806170e496e1e17ebfb11f31c",
    "hyperbaton": "b6d7f55c75f5d02f2987a4f3123802dfa093872089a56a334144aae8a7264fdc",
    "logical_deduction_five_objects": "d2df31394b903b7f0e085d42a69572a092987856eac076799017d70ef266fa8f",
    "logical_deduction_seven_objects": "2896c7e3482eea318dd37bcc370d24ec3cc91e8374c1784287b5dbd38a529e33",
    "logical_deduction_three_objects": "e590fae72e3a6041fbd23bd8ff6b74baf44ca563f6ba40a041c55e7b867c1681",
    "movie_recommendation": "a8b53a87ee21a865b7248e694f388a9b8f7cf6b839b11d44796a2dd3fc088983",
    "multistep_arithmetic_two": "c9d5a6433c9b78256422a15c78463949c8bec8d85607aa28b52d7234ad4a8595",
    "navigate": "b7944dfd3c81da5c4815bd75b00d6fa3c64140823498e78ed496f4c3d36f7f0d",
    "object_counting": "8acef14dbbdd40d2326ef7755750b6b5fe919fef06276af1bab3f1c297f022ff",
    "penguins_in_a_table": "bb87ee449698eee51215e025a453b1bcb2f5e6589c2063b2c79e68b8f0655228",
    "reasoning_about_colored_objects": "0a8850cf95166020fce7a78244026ceedd7ea839302471512b4f8744e85a6a49",
    "ruin_names": "b6f723aef2bafdd4c7bfc3c7e0329c7e8a8279391a609969c8ed76c9319f5f7f",
    "salient_translation_error_detection": "becf3eb8dd53c821a555ecd5c1334ecd93eb25f980e63be963c518e7138de5da",
    "snarks": "54a0661fe2de06167645a4965e6bcf963c4ba307e76262a7c750998b0e3d0d0e",
    "sports_understanding": "63ca262858f6176864515cd8cf53cdaa40839ebecc155b726d77930855d167bf",
    "temporal_sequences": "92a1189faaa84aacc4c405aaa13f13f48c2992eb884772eedb622505252baef5",
    "tracking_shuffled_objects_five_objects": "2063a46a4fb484236ed4310523606543a3e1dd4a4dc34eda65d407910ece25a5",
    "tracking_shuffled_objects_seven_objects": "b59fd05b850c37cf57cb514ae1e6975c00b1638ade2291722056b2af3c54084d",
    "tracking_shuffled_objects_three_objects": "546cc7bf10c6a01a6a4c17ae28a4966485f21f29fd5d111f37858ec78e354f6b",
    "web_of_lies": "3e60323f8514a107fdb4edf35f8832a9171c5a09c0eaa47823559de905e8ab8b",
    "word_sorting": "2a6132d2c99f00d0d2eb1113ac6b4a918bd969d863c48749210d969713db8d43",
}
_GSM8K = File(
    ("test.jsonl.gz", "test.jsonl"),
    GitHub("openai/grade-school-math", "3101c7d5072418e28b9008a6636bde82a006892c",
           "grade_school_math/data/test.jsonl",
           "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"),
    1319,
)  # fmt: skip
_MMLU = {
    part: File(
        (f"{part}-00000-of-00001.parquet",),
        Hub("cais/mmlu", "c30699e8356da336a370243923dbaf21066bb9fe", f"all/{part}-00000-of-00001.parquet"),
        rows,
    )
    for part, rows in (("test", 14042), ("dev", 285))
}
_MMLU_SUBJECTS = """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security
    conceptual_physics econometrics electrical_engineering elementary_mathematics formal_logic global_facts
    high_school_biology high_school_chemistry high_school_computer_science high_school_european_history
    high_school_geography high_school_government_and_politics high_school_macroeconomics high_school_mathematics
    high_school_microeconomics high_school_physics high_school_psychology high_school_statistics
    high_school_us_history high_school_world_history human_aging human_sexuality international_law jurisprudence
    logical_fallacies machine_learning management marketing medical_genetics miscellaneous moral_disputes
    moral_scenarios nutrition philosophy prehistory professional_accounting professional_law professional_medicine
    professional_psychology public_relations security_studies sociology us_foreign_policy virology world_religions
""".split()
# questions of BBH's tasks
_BBH_ROWS = dict.fromkeys(_BBH_SHA256, 250) | {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}


def _folder(folder: Path | None, name: str) -> Path | None:
    """The benchmark's own folder in the data folder; None where there is none."""
    known = data_folder(folder)
    return known / name if known and (known / name).is_dir() else None


def _bbh(folder: Path | None) -> dict[str, dict[str, Rows]]:
    found = {}
    for task, digest in _BBH_SHA256.items():
        file = File((f"{task}.json.gz", f"{task}.json"), GitHub(*_BBH, f"bbh/{task}.json", digest), None)
        found[task] = {"test": read(file, folder, f"bbh {task}")["examples"]}
    return found


def _gsm8k(folder: Path | None) -> dict[str, dict[str, Rows]]:
    return {"gsm8k": {"test": read(_GSM8K, folder, "gsm8k")}}


def _mmlu(folder: Path | None) -> dict[str, dict[str, Rows]]:
    archives = sorted(folder.glob("*.zip")) if folder else []
    if archives and in_folder(folder, _MMLU["test"].names) is None:
        return _archive(archives[0])
    found: dict[str, dict[str, Rows]] = {}
    for part, file in _MMLU.items():
        for row in read(file, folder, f"mmlu {part}"):
            found.setdefault(row["subject"], {}).setdefault(part, []).append(row)
    return found


def _archive(path: Path) -> dict[str, dict[str, Rows]]:
    """Subjects of the authors' archive that have a test split; rows are question, four choices, letter."""
    found: dict[str, dict[str, Rows]] = {}
    with zipfile.ZipFile(path) as archive:
        names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".csv")}
        for subject in sorted(stem.removesuffix("_test") for stem in names if stem.endswith("_test")):
            for part in ("test", "dev"):
                text = io.TextIOWrapper(archive.open(names[f"{subject}_{part}"]), "utf-8", newline="")
                found.setdefault(subject, {})[part] = [
                    {"question": row[0], "choices": row[1:5], "answer": "ABCD".index(row[5])}
                    for row in csv.reader(text)
                ]
    return found


_READERS: dict[str, Callable[[Path | None], dict[str, dict[str, Rows]]]] = {
    "mmlu": _mmlu, "bbh": _bbh, "gsm8k": _gsm8k,
}  # fmt: skip
NAMES = tuple(_READERS)


def load(name: str, folder: Path | None = None) -> dict[str, dict[str, Rows]]:
    """Task or subject -> split -> rows.

    Raises:
        Refusal: they can be had from nowhere, or are not what they should be.
    """
    try:
        return _READERS[name](_folder(folder, name))
    except (KeyError, IndexError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise Refusal(f"{name}: a row or file is not as it should be ({error!r}); fetch it again.") from None


def published(name: str) -> tuple[int, int]:
    """How many questions the published set has, and in how many tasks or subjects."""
    if name == "bbh":
        return sum(_BBH_ROWS.values()), len(_BBH_ROWS)
    return (_GSM8K.rows, 1) if name == "gsm8k" else (_MMLU["test"].rows, len(_MMLU_SUBJECTS))


def absent(name: str, found: Mapping[str, int]) -> Lacking:
    """What the published set has and a run has not.

    Args:
        found: task or subject -> its questions.

    Returns:
        As `benchmarks.absent`; the subjects that MMLU lacks stand in one entry, since its total alone is published.
    """
    if name == "bbh":
        return lacking(_BBH_ROWS, found)
    if name == "gsm8k":
        return {}  # counted when it is read
    total = sum(found.values())
    lacks = [subject for subject in _MMLU_SUBJECTS if subject not in found]
    whole = f"{len(lacks)} of {len(_MMLU_SUBJECTS)} subjects ({', '.join(lacks)})" if lacks else "mmlu"
    expected = _MMLU["test"].rows - (total if lacks else 0)
    return lacking({whole: expected}, {} if lacks else {whole: total})
