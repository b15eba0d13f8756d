"""The pure steps of which every cell is made: fit, poison, evade, rank, perturb.

A step is a kind, JSON-able parameters and input steps; its key is the hash of all three and of the code. Steps run in
any process of any engine, with the same number of threads, and leave the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, cast
from zlib import crc32

import numpy as np
from pydantic import TypeAdapter

import robust
from robust import measure, plugins
from robust.access import AccessView
from robust.attack import AnyGoal, Attack, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.checks import late_rows
from robust.defense import Defense, SanitizedRecommender, Sanitizer, SeenThrough, ServedRecommender, TrainingDefense
from robust.errors import ModelFault, NotApplicable
from robust.extraction import Extraction, agreement, converse, distil
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.measure import Seen, Situation
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Fittable, Persistent, Recommender, Resumable, capabilities
from robust.recommenders.resolve import resolve
from robust.runner.meter import Meter
from robust.runner.store import Artifact, Store, content_hash
from robust.sanity import changing_answers_share
from robust.threat import Budget, Goal, Knowledge

THREADS = 1
SUSPICION, FLAGGED = "sanitizer.suspicion", "sanitizer.flagged"
"""Arrays that a fit behind a sanitiser leaves beside the model's own: of all users of the log that it was given."""
OTHER_SEED = 1_000_003
AGREED_ON = 500
"""Histories on which a surrogate is compared with its victim."""
"""What an attacker's own draws have on top of the victim's seed: nobody outside knows how a victim was initialised, or
with what a defence is randomised."""


@dataclass(frozen=True)
class Step:
    """One node of the graph.

    Attributes:
        kind: a name in `STEPS`. params: JSON-able. inputs: other steps by role.
    """

    kind: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Step] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """The hash of everything that the outcome depends on."""
        return content_hash(
            {
                "kind": self.kind,
                "params": self.params,
                "inputs": {role: step.key for role, step in self.inputs.items()},
                "code": code_hash(),
                "machine": machine(),
            }
        )

    @cached_property
    def label(self) -> str:
        """What a progress line says."""
        named = self.params.get("attack") or self.params.get("defense") or self.params.get("victim") or {}
        seed = f", seed {self.params['seed']}" if "seed" in self.params else ""
        return f"{self.kind} {named.get('name', '')}{seed}".strip()

    def job(self) -> Job:
        """What a worker needs: no graph, only keys."""
        return Job(self.kind, dict(self.params), {role: step.key for role, step in self.inputs.items()}, self.key)


@dataclass(frozen=True)
class Job:
    """A step as it travels to a worker."""

    kind: str
    params: dict[str, Any]
    inputs: dict[str, str]
    key: str


@cache
def code_hash() -> str:
    """Hash of the code on which every step's outcome depends, other than plugins."""
    root = Path(robust.__file__).parent
    rooms = ("*.py", "defense/*.py", "metrics/*.py", "recommenders/*.py", "runner/steps.py")
    outside = {"cli.py", "bounds.py", "doctor.py", "plugins.py", "errors.py"}
    digest = hashlib.sha256()
    for pattern in rooms:
        for path in sorted(root.glob(pattern)):
            if path.name not in outside:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def machine() -> dict[str, Any]:
    """What changes bits: it belongs to the plan, so that every engine gives the same bytes."""
    import torch

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": THREADS,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def source_hash(kind: plugins.Kind, name: str) -> str:
    """Hash of a plugin's module and of all that it imports from its own project: for ours, attacks or defences."""
    plugin = plugins.load(kind, name)
    parts = plugin.__module__.split(".")
    project = ".".join(parts[: 2 if parts[0] == robust.__name__ else 1])
    waiting, seen = [plugin.__module__], set()
    while waiting:
        module = waiting.pop()
        if module in seen or module not in sys.modules:
            continue
        seen.add(module)
        waiting += [other for other in _imports(module) if other == project or other.startswith(f"{project}.")]
    digest = hashlib.sha256()
    for module in sorted(seen):
        if path := getattr(sys.modules[module], "__file__", None):
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:16]


def _imports(module: str) -> Iterator[str]:
    """The modules that a module's source names, relative imports resolved."""
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):  # compiled, or typed at a prompt
        return
    package = sys.modules[module].__package__ or ""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def plugin_params(kind: Literal["attacks", "defenses"], name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin as a step's parameter: name, all fields (what is left out has its default), and its source's hash."""
    built = plugins.build(kind, name, parameters)
    filled = {"name": name, "parameters": built.model_dump(mode="json"), "source": source_hash(kind, name)}
    others = built.runs() if isinstance(built, Attack) else ()
    return filled | ({"runs": [source_hash(kind, other) for other in others]} if others else {})


def generator(seed: int, purpose: str) -> np.random.Generator:
    """One stream per seed and purpose."""
    return np.random.default_rng([seed, crc32(purpose.encode())])


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
        edit = _edit(self, job.inputs.get("poison"))
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
            defense = _defense(artifact.note["defense"])
            if isinstance(defense, TrainingDefense):  # which may leave another type behind than it was given
                return defense.restore(blank, arrays, settings)
            return cast(Recommender, type(blank).from_state(arrays, settings))
        # a foreign model cannot be stored without pickle: fit it again, from the same inputs and seed
        return _fitted(self, Job(**artifact.note["refit"])).model


def _defense(params: Mapping[str, Any] | None) -> Defense | None:
    if params is None:
        return None
    return cast(Defense, plugins.build("defenses", params["name"], params["parameters"]))


def _attack(params: Mapping[str, Any]) -> Attack:
    return cast(Attack, plugins.build("attacks", params["attack"]["name"], params["attack"]["parameters"]))


def _edit(workshop: Workshop, key: str | None) -> LogEdit | None:
    if key is None:
        return None
    artifact = workshop.artifact(key)
    return LogEdit(scope=artifact.note["scope"], **artifact.arrays)


def _train_rows(workshop: Workshop, job: Job) -> InteractionLog:
    log: InteractionLog = workshop.split(job.inputs["split"])["log"]
    edit = _edit(workshop, job.inputs.get("poison"))
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


def _fitted(workshop: Workshop, job: Job) -> Fit:
    """Fit a victim from scratch, or further from `base`, behind a sanitiser or a training defence."""
    params = job.params
    log, seed, note = _train_rows(workshop, job), params["seed"], {}
    victim = params["victim"]
    base = job.inputs.get("base")
    start = workshop.model(victim, base) if base else adapt(resolve(victim["name"], dict(victim["settings"])))
    defense = _defense(params.get("defense"))
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


def fit(workshop: Workshop, job: Job) -> Artifact:
    """A fitted victim."""
    done = _fitted(workshop, job)
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
    note = {"settings": settings, "defense": None, "queries": said.queries, "faithful": faithful}
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
    attack = cast(PoisoningAttack, _attack(params))
    log, seed = split["log"], params["seed"]
    sanitizer = _defense(params.get("defense"))
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
    guard = _defense(job.params.get("guard"))
    if guard is None:
        return model
    return guard.protect(model, log=_train_rows(workshop, job), seed=job.params["seed"])


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
    attack = cast(EvasionAttack, _attack(params))
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
    attack = cast(EmbeddingAttack, _attack(params))
    measured_on = _subject(workshop, job)
    if _defense(params.get("guard")) is not None:
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


def context_of(model: Recommender) -> int:
    """How many of the newest items a victim reads; 50 where it does not say."""
    return int(getattr(model, "context", 0) or 50)


def offers(model: Recommender) -> frozenset[str]:
    """Capabilities as plain names."""
    return frozenset(capabilities(model))
