"""The pure steps of which every cell is made: fit, extract, poison, evade, rank, perturb.

They run in any process of any engine, with the same number of threads, and leave the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, cast

from pydantic import TypeAdapter

from robust import measure
from robust.access import AccessView
from robust.attack import AnyGoal, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.checks import late_rows
from robust.defense import Sanitizer, SeenThrough, ServedRecommender
from robust.errors import NotApplicable
from robust.extraction import Extraction, agreement, constant_agreement, converse, distil
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.protocols import Persistent, Recommender
from robust.recommenders.resolve import resolve
from robust.runner.meter import Meter
from robust.runner.step import OTHER_SEED, Job, generator
from robust.runner.store import Artifact
from robust.runner.workshop import Workshop, attack_of, context_of, defense_of, fitted, train_rows
from robust.sanity import changing_answers_share
from robust.threat import Budget, Goal, Knowledge

AGREED_ON = 500
"""Histories on which a surrogate is compared with its victim."""


def fit(workshop: Workshop, job: Job) -> Artifact:
    """A fitted victim."""
    done = fitted(workshop, job)
    workshop.remember(job.key, done.model)
    if isinstance(done.model, Persistent) and "settings" not in done.note:
        arrays, settings = done.model.state()
        size = sum(int(array.nbytes) for array in arrays.values())
        note = {"settings": settings, "defense": job.params.get("defense"), "model_bytes": size, **done.note}
        return Artifact({**arrays, **done.examined}, note, done.meter.cost)
    refit = {"kind": job.kind, "params": job.params, "inputs": job.inputs, "key": job.key}
    return Artifact(done.examined, {"refit": refit, **done.note}, done.meter.cost)


def extract(workshop: Workshop, job: Job) -> Artifact:
    """The attacker's own model, from nothing but the lists of the victim as it is deployed."""
    params = job.params
    how = Extraction(**params["extract"])
    surrogate = params["surrogate"]
    subject = _subject(workshop, job)
    asked = subject.as_attacker(params["seed"] + OTHER_SEED) if isinstance(subject, SeenThrough) else subject
    said = converse(asked, how, generator(params["seed"], "extraction"))
    blank = resolve(surrogate["name"], dict(surrogate["settings"]))
    with Meter() as meter:
        model: Any = distil(blank, said, how, seed=params["seed"] + OTHER_SEED)
    workshop.remember(job.key, model)
    unasked = workshop.situation(job, params["context"]).sequences[:AGREED_ON]
    faithful = {f"agreement@{k}": agreement(subject, model, unasked, k) for k in (1, 10)}
    arrays, settings = model.state()
    constant = constant_agreement(subject, unasked, 10)
    note = {"settings": settings, "defense": None, "queries": said.queries, "faithful": faithful, "constant": constant}
    return Artifact(arrays, note, meter.cost)


def _granted(params: Mapping[str, Any]) -> tuple[Budget, Knowledge]:
    """Budget and knowledge; of a surrogate its owner knows everything, and asks it as often as they like."""
    budget, knowledge = Budget(**params["budget"]), Knowledge(**params["knowledge"])
    if not params.get("surrogate"):
        return budget, knowledge
    return budget.model_copy(update={"queries": None}), knowledge.model_copy(update={"model": "gradients"})


def _asked(params: Mapping[str, Any], queries: int) -> int:
    """Queries of the victim: those of a surrogate cost nothing, but taking it out of the victim did."""
    return int(params.get("extracted", 0)) if params.get("surrogate") else queries


def _goal(params: Mapping[str, Any]) -> AnyGoal:
    goal: AnyGoal = TypeAdapter(Goal).validate_python(params["goal"])
    return goal


def poison(workshop: Workshop, job: Job) -> Artifact:
    """A log edit within its budget."""
    params, split = job.params, workshop.split(job.inputs["split"])
    attack = cast(PoisoningAttack, attack_of(params))
    log, seed = split["log"], params["seed"]
    sanitizer = defense_of(params.get("defense"))
    suspicion: Callable[[InteractionLog], Any] | None = None
    if isinstance(sanitizer, Sanitizer):
        cleaner = sanitizer

        def suspicion(rows: InteractionLog) -> Any:
            return cleaner.suspicion(rows, generator(seed, "suspicion"))

    budget, knowledge = _granted(params)
    planned_on = workshop.model(params["victim"], job.inputs.get("model")) if "victim" in params else None
    access = AccessView(
        attack=attack.name,
        knowledge=knowledge,
        n_items=log.n_items,
        log=log,
        recommender=planned_on,
        suspicion=suspicion,
        queries=budget.queries,
    )
    poisoned = attack(access, _goal(params), budget, generator(seed, "attack"))
    edit = poisoned.edit
    arrays = {f.name: getattr(edit, f.name) for f in fields(edit) if f.name != "scope"}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    changed = float(edit.fake_users + edit.touched_rows > 0)
    queries = _asked(params, poisoned.queries)
    note: dict[str, Any] = {
        "scope": edit.scope,
        "queries": queries,
        "chosen": poisoned.chosen,
        "changed": changed,
        "late_rows": late_rows(edit, log),
        "sees": access.counter.sees,
    }
    if planned_on is not None:
        note |= measure.gradient_checks(attack, planned_on, log.sequences(context_of(planned_on), split["users"][:64]))
    return Artifact(arrays, note)


def _subject(workshop: Workshop, job: Job) -> Recommender:
    """The plain victim, or guarded or served. A sanitiser or training defence has already acted in the `fit` step."""
    model = workshop.model(job.params["victim"], job.inputs.get("model"))
    guard = defense_of(job.params.get("guard"))
    if guard is None:
        return model
    return guard.protect(model, log=train_rows(workshop, job), seed=job.params["seed"])


def _planned_on(workshop: Workshop, job: Job) -> Recommender:
    """What an attack at inference is planned on: a model, or what an attacker who knows its defence makes of that."""
    if not job.params["adaptive"]:
        return workshop.model(job.params["victim"], job.inputs.get("model"))
    subject = _subject(workshop, job)
    return subject.as_attacker(job.params["seed"] + OTHER_SEED) if isinstance(subject, SeenThrough) else subject


def rank(workshop: Workshop, job: Job) -> Artifact:
    """Ranks of the true next item and of watched targets, from clean or edited sequences."""
    params = job.params
    situation = workshop.situation(job, params["context"])
    sequences = situation.sequences
    if "sequences" in job.inputs:
        edited = workshop.artifact(job.inputs["sequences"])
        sequences = SequenceBatch(edited.arrays["items"], situation.sequences.users)
    subject = _subject(workshop, job)
    with Meter(memory=False) as asking:
        ranking = situation.rank(subject, sequences, tuple(params["targets"]), params["demoted"])
    if "sequences" in job.inputs or "poison" in job.inputs:
        return Artifact(ranking.arrays(), {})
    # once for each victim, defence and seed, on clean sequences: nothing that an attack does can change it
    again = subject
    if isinstance(subject, ServedRecommender):  # its record of callers could make a second answer a refusal
        subject, again = subject.reopened(), subject.reopened()
    change = changing_answers_share(subject, sequences, situation.k, again=again)
    return Artifact(ranking.arrays(), {"answers_change": change}, {**asking.cost, "users": float(len(sequences))})


def evade(workshop: Workshop, job: Job) -> Artifact:
    """Edited sequences."""
    params = job.params
    attack = cast(EvasionAttack, attack_of(params))
    budget, knowledge = _granted(params)
    sequences, noticed = measure.evade(
        attack,
        workshop.situation(job, params["context"]),
        planned_on=_planned_on(workshop, job),
        goal=_goal(params),
        budget=budget,
        knowledge=knowledge,
        rng=generator(params["seed"], "attack"),
    )
    note = {**asdict(noticed), "queries": _asked(params, noticed.queries)}
    return Artifact({"items": sequences.items}, note)


def perturb(workshop: Workshop, job: Job) -> Artifact:
    """Ranks under an attack in the embedding space; deltas are planned on `planned` and measured on `model`."""
    params = job.params
    attack = cast(EmbeddingAttack, attack_of(params))
    measured_on = _subject(workshop, job)
    if defense_of(params.get("guard")) is not None:
        raise NotApplicable("deltas in the embedding space do not meet a guard that works on item ids")
    planned = job.inputs.get("planned")
    planned_on = workshop.model(params["victim"], planned) if planned else measured_on
    ranking, noticed = measure.perturb(
        attack,
        workshop.situation(job, params["context"]),
        planned_on=planned_on,
        measured_on=measured_on,
        goal=_goal(params),
        budget=Budget(**params["budget"]),
        knowledge=Knowledge(**params["knowledge"]),
        rng=generator(params["seed"], "attack"),
    )
    return Artifact(ranking.arrays(), asdict(noticed))


STEPS: dict[str, Callable[[Workshop, Job], Artifact]] = {
    "fit": fit,
    "extract": extract,
    "poison": poison,
    "evade": evade,
    "rank": rank,
    "perturb": perturb,
}
