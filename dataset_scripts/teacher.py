"""The teacher of a build: who is asked, what that may cost, and what came of it.

reads   recipes/teachers/<name>.yaml, build/answers.sqlite; writes build/answers.sqlite (shared by all mixtures of a
        build folder, so that an answer is paid once), build/<mixture>/asked/NN_stage.json

A stage that asks has, besides `prepare` and `batch`: ROLES and TEMPLATES (names), `asks(config)`, `stand_in(request)`
for plans, and `conversations(rows, **arguments)`, which makes one conversation a row that is asked about. They are run
before the stage; `batch` then replays them out of the ledger, in as many processes as it likes. The answers are an
input of the stage: its key holds their digest.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from artefacts import ROOT, Refusal, hash_of, read_json, write_json
from dataset_scripts import prompts
from dataset_scripts.stage import Prepared
from dataset_scripts.stage_files import iterate_rows
from llm import Answers, Client, Profile, load, plan, plan_table

TEACHERS = ROOT / "recipes/teachers"
STATIC = "static"
WITHOUT_TEACHER = {  # what a stage that would ask does where nobody is asked
    "05_evolve": "makes no rows",
    "06_comprehend": "has ruff review, and Python alone",
    "08_customise": "has static prompts alone",
}


class Teacher:
    """Who is asked in this build.

    Args:
        name: a profile of recipes/teachers, or `static`: nobody is asked; None: as in the last build of this mixture,
            or `static`. A key is only missed where somebody is really asked then.
        root: the build folder, which holds the ledger.
        scope: the mixture, whose budget it is.
        dry_run: plan, and send nothing; needs no key.

    Raises:
        Refusal: there is no such profile, it is wrong, or its key is not in the environment.
    """

    def __init__(self, name: str | None, root: Path, scope: str, dry_run: bool = False) -> None:
        self._memory = root / scope / "teacher.json"
        self.name = name or read_json(self._memory) or STATIC
        self.scope, self.dry_run = scope, dry_run
        self.ledger = root / "answers.sqlite"
        self.profile: Profile | None = None
        self._answers = Answers(self.ledger)
        self._planned: list = []
        if self.name != STATIC:
            if not (TEACHERS / f"{self.name}.yaml").is_file():
                known = ", ".join([STATIC, *sorted(path.stem for path in TEACHERS.glob("*.yaml"))])
                raise Refusal(f"TEACHER={self.name}: there is no such teacher; known ones: {known}.")
            self.profile = load(TEACHERS / f"{self.name}.yaml")
            self.profile.url()
            if name and not dry_run:
                self.profile.key()

    def remember(self) -> None:
        """Leave the name for the next build, lest `make peek` asks nobody and builds the mixture anew."""
        if not self.dry_run and read_json(self._memory) != self.name:
            write_json(self._memory, self.name)

    def model(self, role: str) -> str:
        """Id of the model that plays `role`: what rows name as their `generator`."""
        return self.profile.role(role).model

    def asked_by(self, module: ModuleType, config: Any) -> bool:
        """True when this stage asks somebody, under this configuration and this teacher."""
        return self.profile is not None and hasattr(module, "conversations") and module.asks(config)

    def missed_by(self, name: str, module: ModuleType, config: Any) -> str | None:
        """What a stage that would ask does instead, where nobody is asked; None where it asks or would not."""
        if self.profile is not None or not hasattr(module, "conversations") or not module.asks(config):
            return None
        return f"{name} {WITHOUT_TEACHER[name]}"

    def shape(self, module: ModuleType) -> dict[str, Any]:
        """What of the profile shapes a stage's answers: part of its key."""
        roles = {role: self.profile.role(role) for role in module.ROLES}
        return {name: {"model": role.model, **role.sampling()} for name, role in roles.items()}

    def described(self, module: ModuleType) -> dict[str, Any]:
        """What a card says of a stage's teacher: models, sampling, templates with versions."""
        templates = [prompts.version(name) for name in module.TEMPLATES]
        return {
            "name": self.name, "open_weights": self.profile.open_weights, "roles": self.shape(module),
            "templates": templates,
        }  # fmt: skip

    def ask(
        self, stage: str, folder: Path, key: str, module: ModuleType, source: Path, prepare: Callable[[], Prepared]
    ) -> str:  # fmt: skip
        """Have all conversations of a stage answered; returns the stage's key, with the digest of their results in it.

        Nothing is asked where the same conversations were finished before. What could not be answered is asked again
        by the next run, until it is given up (see `Profile.max_bad_answers`).

        Args:
            key: of the stage's code, configuration and input.
            source: folder of the stage whose kept rows are asked about.
            prepare: called where something is to be asked.
        """
        key = hash_of([key, self.shape(module)])
        path = folder / "asked" / f"{stage}.json"
        found = read_json(path)
        if found and found["key"] == key and not found["open"]:
            return hash_of([key, found["digest"]])
        digest, prepared = hashlib.sha256(), prepare()
        conversations = module.conversations(iterate_rows(source), **prepared.arguments)
        with Client(self.profile, self.ledger, self.scope) as client:
            for result in client.run(conversations, total=prepared.conversations, name=stage):
                digest.update(json.dumps(result, default=vars, sort_keys=True).encode() + b"\n")
            tally, spent = client.tally, client.spent
        facts = {
            "key": key, "digest": digest.hexdigest(), "conversations": prepared.conversations, "open": tally.open,
            "given_up": tally.given_up, "bill": self.bill(),
        }  # fmt: skip
        write_json(path, facts)
        print(
            f"{stage:18} teacher {self.name}: {tally.asked} answered, {tally.reused} from the ledger, "
            f"{sum(tally.given_up.values())} given up{_listed(tally.given_up)}, "
            f"{sum(tally.open.values())} open{_listed(tally.open)}; ${spent.usd:.4f} in all"
        )
        return hash_of([key, facts["digest"]])

    def plan(self, stage: str, module: ModuleType, source: Path, prepared: Prepared) -> None:
        """Add a stage to the plan of a dry run."""
        conversations = module.conversations(iterate_rows(source), **prepared.arguments)
        self._planned += plan(self._answers, self.profile, conversations, module.stand_in, stage)

    def planned(self) -> str:
        """The plan as a table, with what has been spent."""
        spent = self._answers.spent(self.scope)
        total = sum(line.usd_most for line in self._planned)
        limit = self.profile.max_cost_usd
        allowed = "no max_cost_usd" if limit is None else f"max_cost_usd {limit:g}"
        return (
            f"{plan_table(self._planned)}\n'{self.scope}' has spent ${spent.usd:.4f} with this build folder; the plan "
            f"adds ${total:.2f} at most; {allowed}"
        )

    def bill(self) -> list[dict]:
        """What this mixture has cost so far, per role, model and template."""
        return self._answers.bill(self.scope)

    def arguments(self) -> dict[str, Any]:
        """What the batch function of an asking stage is given besides its own arguments; picklable, keyless."""
        return {"profile": self.profile, "answers": self._answers}

    def close(self) -> None:
        """Let go of the ledger until it is read again."""
        self._answers.close()


def _listed(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{n} {reason}' for reason, n in sorted(counts.items()))})" if counts else ""
