"""Run the stages that a mixture file names, in the order of the house plan.

reads   recipes/mixtures/<name>.yaml; writes build/<name>/NN_stage/

Finished stages are skipped, an unfinished one goes on where it stopped.
"""

import argparse
import fcntl
import functools
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from artefacts import Refusal, StrictModel, code_key, command_line, read_json, read_yaml, write_json
from dataset_scripts import collect, decontaminate, dedup, kinds, leaks, mixture_file, recheck, sources
from dataset_scripts.engine import Engine, Processes
from dataset_scripts.mixture_file import STAGES, MixtureHead, also_read
from dataset_scripts.stage import Prepared, Rows, Stage, run_on_rows, run_on_stream
from dataset_scripts.stage_files import is_finished, manifest, read_rows
from dataset_scripts.teacher import STATIC, Teacher
from evaluation import benchmarks


def build(
    path: Path, root: Path, workers: int, engine: Engine | None = None, teacher_name: str | None = None,
    dry_run: bool = False,
) -> Path:  # fmt: skip
    """Build the mixture file `path` below `root`; returns `root/<name>`.

    Args:
        workers: processes of the laptop's engine.
        engine: another one; rows do not depend on it.
        teacher_name: whom the stages that ask a teacher ask (see `teacher.Teacher`); None: the same as in the last
            build of this mixture, or nobody.
        dry_run: build what costs nothing as far as it goes, and print what the rest would ask and cost.

    Raises:
        Refusal: the file is wrong, a source is empty or unreachable, a stage rejected every row, another build of
            this mixture is running, or the teacher cannot be asked.
    """
    recipe = mixture_file.read(path)
    folder = root / recipe.name
    teacher = Teacher(teacher_name, root, recipe.name, dry_run)
    named = [name for name in STAGES if getattr(recipe, name) is not None]
    asking = [name for name in named if teacher.asked_by(STAGES[name], getattr(recipe, name))]
    if teacher_name not in (None, STATIC) and not asking:
        print(
            f"note: no stage of {path} asks a teacher, so TEACHER={teacher_name} changes nothing; set "
            "`alchemist: teacher` in 08_customise, or name 05_evolve (docs/teachers.md).",
            file=sys.stderr,
        )
    if missed := [said for name in named if (said := teacher.missed_by(name, STAGES[name], getattr(recipe, name)))]:
        print(f"note: TEACHER={STATIC} asks nobody: {'; '.join(missed)} (docs/teachers.md).", file=sys.stderr)
    _check_models(recipe, teacher, {role for name in asking for role in STAGES[name].ROLES}, str(path))
    with _locked(folder):
        teacher.remember()
        for stale in {p.name for p in folder.glob("[0-9][0-9]_*")} - {"01_sources", *named}:
            shutil.rmtree(folder / stale)  # of a stage that the file no longer names: not part of this mixture
        recipe = _settled(recipe, folder, str(path))
        previous = _collect(recipe, folder, str(path))
        for name in named:
            if dry_run and name in asking:
                return _plan(named[named.index(name) :], recipe, folder, previous, teacher, str(path))
            previous = _run(name, recipe, folder, previous, engine or Processes(workers), str(path), teacher)
        _assert_policies(recipe, previous)
        described = {"name": recipe.name, "file": path.as_posix(), "stages": ["01_sources", *named]}
        if read_json(folder / "mixture.json") != described:
            write_json(folder / "mixture.json", described)
        counted = kinds.write(previous)
    makes_rows = not set(recheck.MAKERS).isdisjoint(named)
    print(f"\n{kinds.table(counted)}\n" if makes_rows else f"{counted['tokens']:,} tokens by {counted['tokenizer']}")
    found = manifest(previous)["notes"]
    chosen, wanted = found["rows_chosen"], found["rows_wanted"]
    short = f" of {wanted} that alchemist_share asks for, as no more rows of their sources have one" * (
        chosen < wanted
    )
    print(f"{folder}: {chosen} rows carry an AlchemistPrompt{short}; look: make peek MIXTURE={recipe.name}")
    return folder


def _settled(recipe: MixtureHead, folder: Path, where: str) -> MixtureHead:
    """The mixture file with what depends on the machine decided, as it was when the mixture was first built."""
    asked = getattr(recipe, leaks.STAGE)
    if asked is None:
        return recipe
    return recipe.model_copy(update={leaks.STAGE: decontaminate.settled(asked, folder / "embedding.json", where)})


def _collect(recipe: MixtureHead, folder: Path, where: str) -> Path:
    configs = collect.by_name(recipe.sources, where)
    loaded = {name: sources.load(config.source, where, config.options) for name, config in configs.items()}
    policies = collect.Policies(recipe.license_policy, recipe.generator_policy)
    for name, source in loaded.items():
        policies.check(name, source, where)
    revisions = {name: source.revision_to_read() for name, source in loaded.items()}
    left_out: Counter[str] = Counter()
    checks = {name: list(s.checks if (own := configs[name].checks) is None else own) for name, s in loaded.items()}
    config = {
        "sources": [c.model_dump() for c in recipe.sources],
        "revisions": revisions,
        "policies": policies._asdict(),
        "pinned": [name for name, source in loaded.items() if source.revision is not None],
        "seed": recipe.seed,
        "rows_per_shard": recipe.rows_per_shard,
    }
    modules = [collect.__name__, "dataset_scripts.stage", *(f"{sources.__name__}.{c.source}" for c in recipe.sources)]
    notes = {
        name: {
            "revision": revisions[name], "pinned": s.revision is not None, "repo_id": s.repo_id, "licence": s.licence,
            "generator": s.generator, "checks": checks[name], "about": s.about, **s.notes,
        }
        for name, s in loaded.items()
    }  # fmt: skip
    stage = Stage(
        "01_sources", code_key(modules, config, collect.PINS), recipe.rows_per_shard, collect.FACTS,
        notes={"sources": notes, "policies": policies._asdict(), "chat_turns_left_out": left_out},
    )  # fmt: skip
    rows = collect.rows(recipe.sources, revisions, recipe.seed, where, left_out, policies)
    return _finish(stage, folder, lambda: run_on_stream(stage, folder, rows, total=None), where)


def _check_models(recipe: MixtureHead, teacher: Teacher, roles: set[str], where: str) -> None:
    """The models that write rows and prompts obey the mixture's generator_policy; asked before anything is paid.

    Raises:
        Refusal: one does not.
    """
    policies = collect.Policies(recipe.license_policy, recipe.generator_policy)
    for model in sorted(teacher.model(role) for role in roles):
        if policies.forbid("MIT", model):
            raise Refusal(
                f"{where}: teacher '{teacher.name}' would have {model} write, which generator_policy "
                f"'{recipe.generator_policy}' forbids; choose another teacher (TEACHER=open) or change the policy."
            )


def _assert_policies(recipe: MixtureHead, final: Path) -> None:
    """Every row of the mixture obeys the policies: those that later stages made, too.

    Raises:
        Refusal: one does not.
    """
    policies = collect.Policies(recipe.license_policy, recipe.generator_policy)
    rows = read_rows(final, columns=["id", "license", "generator"])
    kinds = rows.group_by(["license", "generator"]).aggregate([("id", "min"), ("id", "count")])
    for kind in kinds.to_pylist():
        if reason := policies.forbid(kind["license"], kind["generator"]):
            raise Refusal(
                f"{final}: {kind['id_count']} row(s), {kind['id_min']} among them, are licensed {kind['license']} and "
                f"written by {kind['generator']}: a stage made rows that the mixture's {reason} policy forbids; "
                "change the stage's teacher or the policy."
            )


def _run(
    name: str, recipe: MixtureHead, folder: Path, source: Path, engine: Engine, where: str, teacher: Teacher
) -> Path:  # fmt: skip
    module, own = STAGES[name], getattr(recipe, name)
    settings = _settings(name, recipe, folder)
    config = {"stage": settings.model_dump(), "seed": recipe.seed, "rows_per_shard": recipe.rows_per_shard}
    modules, inputs = [module.__name__], [manifest(source)["digest"]]
    does = recheck.REPEATED if name == "07_recheck" else (name,)
    cleaning = getattr(recipe, "03_clean") if "03_clean" in does else None
    decontamination = getattr(recipe, "04_decontaminate") if "04_decontaminate" in does else None
    if decontamination is not None:
        modules += [f"{benchmarks.__name__}.{benchmark}" for benchmark in decontamination.benchmarks]
    if cleaning is not None and cleaning.row_tests is not None:
        # the tests stand in the facts of 01_sources, which the input's digest leaves out
        inputs.append(manifest(folder / "01_sources")["digest"])
    extra = {}
    if name == "03_clean":
        extra["checks"] = config["checks"] = _checks(folder)
    if hasattr(module, "inputs"):
        inputs += module.inputs(settings, where)
    inputs += [manifest(folder / other)["digest"] for other in also_read(module, own)]
    key = code_key(modules, config, module.PINS, inputs)
    prepared = functools.cache(lambda: _prepare(name, key, recipe, folder, source, engine, where))
    asked, final = {}, key
    if teacher.asked_by(module, own):
        final = teacher.ask(name, folder, key, module, source, prepared)
        extra |= teacher.arguments()
        asked = {"teacher": teacher.described(module)}

    def run() -> None:
        notes = {"config": own.model_dump(), **asked, **prepared().notes}
        stage = Stage(name, final, recipe.rows_per_shard, module.FACTS, notes)
        run_on_rows(stage, folder, source, module.batch, engine, **prepared().arguments, **extra)
        teacher.close()

    finished = _finish(Stage(name, final, recipe.rows_per_shard), folder, run, where)
    if decontamination is not None:
        leaks.write(finished)
    return finished


def _checks(folder: Path) -> dict[str, list[str]]:
    """Source -> the checks of cleaning that its rows face."""
    noted = manifest(folder / "01_sources")["notes"]["sources"]
    return {name: facts["checks"] for name, facts in noted.items()}


def _settings(name: str, recipe: MixtureHead, folder: Path) -> StrictModel:
    """What a stage goes by: its part of the mixture file, and those of stages that it foresees or repeats."""
    if name == "02_dedup":
        own, cleaning = getattr(recipe, name), getattr(recipe, "03_clean")
        return dedup.Settings(**own.model_dump(), cleaning=cleaning, checks=_checks(folder))
    if name == "07_recheck":
        dedup_, clean_, decontaminate_ = (getattr(recipe, stage) for stage in recheck.REPEATED)
        return recheck.Settings(dedup=dedup_, clean=clean_, decontaminate=decontaminate_)
    return getattr(recipe, name)


def _prepare(
    name: str, key: str, recipe: MixtureHead, folder: Path, source: Path, engine: Engine, where: str
) -> Prepared:  # fmt: skip
    module = STAGES[name]
    stage = Stage(name, key, recipe.rows_per_shard, module.FACTS)
    return module.prepare(_settings(name, recipe, folder), Rows(stage, folder, source, engine), recipe.seed, where)


def _plan(names: list[str], recipe: MixtureHead, folder: Path, source: Path, teacher: Teacher, where: str) -> Path:
    """Print what the stages `names` would ask about the rows that are there; what they make is not there yet."""
    for name in names:
        if teacher.asked_by(STAGES[name], getattr(recipe, name)):
            prepared = _prepare(name, "plan", recipe, folder, source, Processes(1), where)
            teacher.plan(name, STAGES[name], source, prepared)
    rows = sum(shard["rows"] for shard in manifest(source)["shards"] if shard["path"].startswith("kept/"))
    print(f"{source}: {rows} rows; with the rows that stages make on the way there will be more\n")
    print(teacher.planned())
    return folder


def _finish(stage: Stage, folder: Path, run: Callable[[], object], where: str) -> Path:
    done = is_finished(folder / stage.name, stage.key)
    if not done:
        run()
    ledger = read_json(folder / stage.name / "ledger.json")
    rejected = ", ".join(f"{n} {reason}" for reason, n in ledger["rejected"].items()) or "none"
    made = f", {ledger['new']['kept']} new" if ledger["new"]["kept"] else ""
    lost = ", ".join(f"{n} {reason}" for reason, n in ledger["new"]["rejected"].items())
    state = f"{f'; new rows rejected: {lost}' if lost else ''}{' (unchanged)' if done else ''}"
    print(f"{stage.name:18} {ledger['rows_in']:>7} in, {ledger['kept']:>7} kept{made}, rejected: {rejected}{state}")
    if not ledger["kept"]:
        raise Refusal(
            f"{folder / stage.name}: every row was rejected ({rejected}); mend the source or loosen {where}."
        )
    for name, part in ledger["by_source"].items():
        if part["rows_in"] and not part["kept"]:
            reasons = ", ".join(f"{n} {reason}" for reason, n in part["rejected"].items())
            print(
                f"warning: source '{name}' has no row left after {stage.name} ({reasons}); look: make ledger.",
                file=sys.stderr,
            )
    return folder / stage.name


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"{folder}: another build of this mixture is running; wait for it or end it.") from None
        yield


def _engine(name: str, workers: int, logs: Path) -> Engine:
    if name == "processes":
        return Processes(workers)
    from dataset_scripts.engine_datatrove import Config, Datatrove

    if name == "datatrove":
        return Datatrove(Config(executor="local", tasks=workers), logs)
    return Datatrove(read_yaml(Path(name), Config), logs)


@command_line
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset_scripts.build", description=__doc__.split("\n\n")[0])
    parser.add_argument("mixture", type=Path, help="mixture file, e.g. recipes/mixtures/demo.yaml")
    parser.add_argument("--build", type=Path, default=Path("build"), help="where artefacts go (default: build)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; rows do not depend on it")
    parser.add_argument("--engine", default="processes", help="processes (default), datatrove, or a file that names a "
                        "cluster: see dataset_scripts/engine_datatrove.py; rows do not depend on it")  # fmt: skip
    parser.add_argument(
        "--teacher", help="a profile of recipes/teachers, or static: no model is asked (default: as before, or static)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print rows, tokens and dollars per stage; ask nobody")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    logs = arguments.build / ".datatrove" / arguments.mixture.stem
    engine = _engine(arguments.engine, arguments.workers, logs)
    build(arguments.mixture, arguments.build, arguments.workers, engine, arguments.teacher, arguments.dry_run)


if __name__ == "__main__":
    raise SystemExit(main())
