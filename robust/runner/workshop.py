"""What a worker keeps between steps, and how it makes of a step's parameters what they stand for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust import plugins
from robust.attack import Attack
from robust.defense import Defense, SanitizedRecommender, Sanitizer, TrainingDefense
from robust.errors import ModelFault
from robust.log import InteractionLog, LogEdit
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Fittable, Recommender, Resumable
from robust.recommenders.resolve import resolve
from robust.runner.meter import Meter
from robust.runner.step import Job
from robust.runner.store import Artifact, Store, content_hash
from robust.seen import Seen
from robust.situation import Situation

SUSPICION, FLAGGED = "sanitizer.suspicion", "sanitizer.flagged"
"""Arrays that a fit behind a sanitiser leaves beside the model's own: of all users of the log that it was given."""

NEWEST = 50
"""How many of a history's newest items a model is shown that does not say how many it reads."""


def context_of(model: Recommender) -> int:
    """How many of the newest items a victim reads; `NEWEST` where it does not say."""
    return int(getattr(model, "context", 0) or NEWEST)


def cut_histories(model: Recommender, name: str, lengths: NDArray[np.int64]) -> list[str]:
    """A note where a model does not say how many items it reads, and so is shown less than some histories hold.

    Args:
        model: one that was handed over fitted. name: as the report calls it. lengths: of histories, int64 [users].
    """
    longer = int((lengths > NEWEST).sum())
    if getattr(model, "context", 0) or not longer:
        return []
    return [
        f"{name} does not say how many items it reads, so it is shown the newest {NEWEST} of a history; {longer:,} of "
        f"{len(lengths):,} evaluated users have more (padding: {{length: N}} in its mapping, or an attribute "
        "`context`, shows it N)"
    ]


class Workshop:
    """What a worker keeps between steps: the store, the split, and the models that it used last."""

    def __init__(self, store: Store, models: int = 4) -> None:
        self.store, self._limit = store, models
        self._models: OrderedDict[str, Recommender] = OrderedDict()
        self._splits: dict[str, dict[str, Any]] = {}

    def artifact(self, key: str) -> Artifact:
        """A finished step's outcome."""
        found = self.store.get(key)
        if found is None:
            raise ModelFault(f"the stored step {key[:12]} is missing or damaged; run the same command again")
        return found

    def split(self, key: str) -> dict[str, Any]:
        """The split as objects: log, sequences' source, truth, seen, trained."""
        if key not in self._splits:
            artifact = self.artifact(key)
            arrays, note = artifact.arrays, artifact.note
            log = InteractionLog(
                arrays["user"],
                arrays["item"],
                arrays["timestamp"],
                n_users=note["n_users"],
                n_items=note["n_items"],
                item_ids=np.array(note["item_ids"]) if "item_ids" in note else None,
                name=note["name"],
            )
            self._splits = {
                key: {
                    "log": log,
                    "users": arrays["users"],
                    "truth": arrays["truth"],
                    "trained": log.popularity > 0,
                    "seen": Seen.of(log, arrays["users"]) if note["seen"] == "exclude" else None,
                }
            }
        return self._splits[key]

    def situation(self, job: Job, context: int) -> Situation:
        """What an attack at inference meets; histories as poison left them, if it reaches so far."""
        split = self.split(job.inputs["split"])
        edit = edit_of(self, job.inputs.get("poison"))
        read = split["log"] if edit is None or edit.scope == "train" else edit.apply(split["log"])
        return Situation(
            read.sequences(context, split["users"]),
            split["truth"],
            split["log"],
            split["seen"],
            split["trained"],
            job.params.get("k", 10),
        )

    def model(self, victim: Mapping[str, Any], key: str | None) -> Recommender:
        """A victim: handed over fitted (no key), or as a `fit` step left it."""
        name = key or content_hash(dict(victim))
        if name not in self._models:
            self._models[name] = self._load(victim, key)
            while len(self._models) > self._limit:
                self._models.popitem(last=False)
        self._models.move_to_end(name)
        return self._models[name]

    def remember(self, key: str, model: Recommender) -> None:
        """Keep a model that was just fitted."""
        self._models[key] = model
        self._models.move_to_end(key)
        while len(self._models) > self._limit:
            self._models.popitem(last=False)

    def _load(self, victim: Mapping[str, Any], key: str | None) -> Recommender:
        blank = resolve(victim["name"], dict(victim["settings"]))
        if key is None:
            return adapt(blank)
        artifact = self.artifact(key)
        if "settings" in artifact.note:
            arrays = {name: own for name, own in artifact.arrays.items() if name not in (SUSPICION, FLAGGED)}
            settings = artifact.note["settings"]
            defense = defense_of(artifact.note["defense"])
            if isinstance(defense, TrainingDefense):  # which may leave another type behind than it was given
                return defense.restore(blank, arrays, settings)
            return cast(Recommender, type(blank).from_state(arrays, settings))
        # a foreign model cannot be stored without pickle: fit it again, from the same inputs and seed
        return fitted(self, Job(**artifact.note["refit"])).model


def defense_of(params: Mapping[str, Any] | None) -> Defense | None:
    """The defence that a step names; None for none."""
    if params is None:
        return None
    return cast(Defense, plugins.build("defenses", params["name"], params["parameters"]))


def attack_of(params: Mapping[str, Any]) -> Attack:
    """The attack that a step names."""
    return cast(Attack, plugins.build("attacks", params["attack"]["name"], params["attack"]["parameters"]))


def edit_of(workshop: Workshop, key: str | None) -> LogEdit | None:
    """What a `poison` step left; None for no step."""
    if key is None:
        return None
    artifact = workshop.artifact(key)
    return LogEdit(scope=artifact.note["scope"], **artifact.arrays)


def train_rows(workshop: Workshop, job: Job) -> InteractionLog:
    """The train rows of a step, as poison left them."""
    log: InteractionLog = workshop.split(job.inputs["split"])["log"]
    edit = edit_of(workshop, job.inputs.get("poison"))
    return log if edit is None else edit.apply(log)


@dataclass(frozen=True)
class Fit:
    """A fitted victim, and what is known of its fit.

    Attributes:
        examined: a sanitiser's arrays, by name; empty without one. note: JSON-able.
        meter: of the fit, cleaning included.
    """

    model: Recommender
    examined: dict[str, Any]
    note: dict[str, Any]
    meter: Meter


def fitted(workshop: Workshop, job: Job) -> Fit:
    """Fit a victim from scratch, or further from `base`, behind a sanitiser or a training defence."""
    params = job.params
    log, seed, note = train_rows(workshop, job), params["seed"], {}
    victim = params["victim"]
    base = job.inputs.get("base")
    start = workshop.model(victim, base) if base else adapt(resolve(victim["name"], dict(victim["settings"])))
    defense = defense_of(params.get("defense"))
    protected: Recommender = start
    examined: dict[str, Any] = {}
    if isinstance(defense, (Sanitizer, TrainingDefense)):
        protected = defense.protect(start, log=log, seed=seed)
    with Meter() as meter:
        if isinstance(protected, SanitizedRecommender):
            suspicion, flagged = protected.examine(log)
            examined = {SUSPICION: suspicion, FLAGGED: flagged}
            removed = flagged & (log.lengths > 0)
            genuine = workshop.split(job.inputs["split"])["log"].n_users
            note = {"removed_genuine": int(removed[:genuine].sum()), "removed_fake": int(removed[genuine:].sum())}
            log, protected = log.without_users(flagged), start
        if base:
            model = cast(Resumable, protected).resume(log, seed=seed, share=params["share"])
        else:
            model = cast(Fittable, protected).fit(log, seed=seed)
    return Fit(model, examined, note, meter)
