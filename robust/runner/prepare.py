"""What a review is made of before anything runs: the log, its split, the victims, the cells."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robust.datasets import Split, default_seen, global_time, leave_last_out, load_dataset, open_log
from robust.datasets.query_text import query
from robust.errors import EndpointFault, InputError
from robust.extraction import check_can_learn
from robust.log import InteractionLog
from robust.recommenders.adapt import adapt, reads_item_ids
from robust.recommenders.fingerprint import answers_digest
from robust.recommenders.protocols import Recommender
from robust.recommenders.resolve import fingerprint, is_fitted, resolve
from robust.runner.cell import Cell
from robust.runner.contradictions import check_log
from robust.runner.ground import Ground, Victim, describe_victim
from robust.runner.obstacles import obstacle, resolvable
from robust.runner.plan import cells
from robust.runner.reading import load_scenario
from robust.runner.scenario import GlobalTime, LogFile, Scenario, VictimSpec
from robust.runner.source import scenario_source
from robust.runner.step import Step
from robust.runner.store import Artifact, Store, content_hash
from robust.runner.surrogate import Surrogate, needs_copy, surrogate_of
from robust.runner.workshop import cut_histories
from robust.seen import Seen

if TYPE_CHECKING:
    from robust.datasets.names import ItemNames

BASELINES = ("popularity", "markov", "item-knn")


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    scenario: str = "quick"
    out: Path = Path("robust-out")
    log: str | None = None
    columns: Mapping[str, str] | None = None
    vocabulary: str | None = None
    names: str | None = None
    show_ids: bool = False
    model: str | None = None
    seed: int = 0
    workers: int = 2
    engine: str = "processes"
    max_time: float | None = None
    command: str = "robust review"


def review_command(scenario: str, **options: Any) -> str:
    """The command that repeats a review, without what does not change its results."""
    words = ["robust", "review", scenario]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before anything runs."""

    scenario: Scenario
    log: InteractionLog
    split: Split
    seen: str
    victims: list[Victim]
    ground: Ground
    cells: list[Cell]
    holdings: Seen
    notes: list[str] = field(default_factory=list)
    named: bool = False
    names: ItemNames | None = None
    source: Mapping[str, Any] = field(default_factory=dict)  # the scenario's file, where it was read from one


def prepare(request: Request, store: Store | None) -> Prepared:
    """Read the scenario and the log, resolve the victims, expand the cells. Runs no step.

    Raises:
        InputError: anything that the user has to mend.
    """
    scenario, text = load_scenario(request.scenario)
    source = scenario_source(request.scenario, text)
    return replace(expand(_overridden(scenario, request), request, store), source=source)


def expand(scenario: Scenario, request: Request, store: Store | None, log: InteractionLog | None = None) -> Prepared:
    """The same for a scenario, and a log, that have been read already.

    Raises:
        InputError: anything that the user has to mend.
    """
    victims_asked = [(spec, *_resolved(spec)) for spec in scenario.victims]
    if store is not None:
        store.prepare()
    log = _log(scenario) if log is None else log
    split = _split(scenario, log)
    split, notes = _limited(split, scenario.users)
    names = _names(scenario, request, log)
    notes += names.notes if names is not None else ()
    split = _by_length(split)
    seen = scenario.seen or default_seen(split.train)
    victims = []
    for spec, model, mark, fixed in victims_asked:
        if fixed and int(model.n_items) != log.n_items:
            raise InputError(
                f"The model '{spec.name}' ranks {model.n_items} items, but {log.name} has {log.n_items}. Give the "
                "catalogue on which it was fitted with --vocabulary FILE (item ids in the order of its dense ids)."
            )
        victims.append(describe_victim(spec, model, mark, fixed))
        if fixed:
            notes += cut_histories(model, spec.label, split.train.lengths[split.users])
    named = any(reads_item_ids(model) for _, model, _, _ in victims_asked)
    ground = Ground(_split_step(split, seen, named), split.train, scenario.retrain, request.seed)
    holdings = Seen.of(split.train, split.users)
    check_log(scenario, split.train, holdings)
    expanded = list(cells(scenario, victims, ground, _surrogates(scenario, victims)))
    prepared = Prepared(scenario, log, split, seen, victims, ground, expanded, holdings, notes, named, names=names)
    if store is not None:
        write_split(prepared, store)
    return prepared


def check_measurable(prepared: Prepared, seed: int) -> None:
    """Refuse a review of which it is known beforehand that it measures nothing.

    Raises:
        InputError: no cell can be measured on these victims and this log, with every reason.
    """
    reasons = [obstacle(cell) or resolvable(cell, seed) for cell in prepared.cells]
    if None in reasons:
        return
    victims = ", ".join(f"'{victim.spec.label}'" for victim in prepared.victims)
    named = (f"{cell.attack_spec.name}: {reason}" for cell, reason in zip(prepared.cells, reasons, strict=True))
    said = "; ".join(dict.fromkeys(named)) or "it has no cells"
    raise InputError(f"Nothing of this scenario can be measured on {victims}, so nothing was run: {said}.")


def write_split(prepared: Prepared, store: Store) -> None:
    """Put the split, on which all steps stand, into a store.

    Raises:
        InputError: the store cannot be written.
    """
    store.prepare()
    if prepared.ground.split.key not in store:
        store.put(prepared.ground.split.key, _split_artifact(prepared.split, prepared.seen, prepared.named))


def _overridden(scenario: Scenario, request: Request) -> Scenario:
    update: dict[str, Any] = {}
    if request.log is not None:
        columns = dict(request.columns) if request.columns else None
        update["dataset"] = LogFile(file=request.log, columns=columns, vocabulary=request.vocabulary)
    if request.model is not None:
        update["victims"] = (VictimSpec(name=request.model),)
    return scenario.model_copy(update=update)


def _resolved(spec: VictimSpec) -> tuple[Recommender, str, bool]:
    """The recommender that a scenario names, its fingerprint, and whether it was handed over fitted."""
    model = resolve(spec.name, dict(spec.settings))
    fixed = is_fitted(model)
    try:
        adapted, mark = adapt(model), fingerprint(spec.name, model)
    except EndpointFault as error:
        raise InputError(f"{error} Nothing was measured.") from error
    return adapted, f"{mark}-{answers_digest(adapted)}" if fixed else mark, fixed


def _surrogates(scenario: Scenario, victims: Sequence[Victim]) -> dict[str, Surrogate]:
    """The model on which a threat's attacks are planned, by the threat's id, where any is planned on one.

    Raises:
        InputError: a surrogate that cannot be trained.
    """
    found = {}
    for threat in scenario.threats:
        copied = any(needs_copy(threat, victim, attack) for victim in victims for attack in threat.attacks)
        if not copied and "surrogate" not in threat.plan:
            continue
        spec = surrogate_of(threat)
        model, mark, fixed = _resolved(spec)
        own = describe_victim(spec, model, mark, fixed)
        if fixed or "fit" not in own.capabilities:
            raise InputError(
                f"Threat '{threat.id}': the surrogate '{spec.label}' cannot be trained by an attacker; "
                "name a recommender with fit(log, *, seed), such as gru4rec or sasrec."
            )
        if spec.extract is not None:
            try:
                check_can_learn(model, spec.extract)
            except InputError as error:
                raise InputError(f"Threat '{threat.id}': the surrogate {error}") from error
        found[threat.id] = Surrogate(own, spec.extract)
    return found


def _log(scenario: Scenario) -> InteractionLog:
    source = scenario.dataset
    if isinstance(source, str):
        return load_dataset(source)
    asked = query(source.database, source.query) if source.query is not None else source.file or ""
    return open_log(asked, columns=source.columns, vocabulary=source.vocabulary, core=source.core)


def _names(scenario: Scenario, request: Request, log: InteractionLog) -> ItemNames | None:
    """What the log's items are called, where the command or the scenario says where that stands."""
    source = scenario.dataset
    given = request.names or (None if isinstance(source, str) else source.names)
    if given is None:
        return None
    from robust.datasets.names import read_names

    return read_names(given, np.arange(1, log.n_items + 1) if log.item_ids is None else log.item_ids)


def _split(scenario: Scenario, log: InteractionLog) -> Split:
    if isinstance(scenario.split, GlobalTime):
        return global_time(log, scenario.split.share)
    return leave_last_out(log)


def _limited(split: Split, most: int) -> tuple[Split, list[str]]:
    """At most `most` evaluated users, drawn once and for all seeds alike; training always uses everybody."""
    notes = [*split.train.notes, *split.notes]
    if len(split.users) <= most:
        return split, notes
    chosen = np.sort(np.random.default_rng(0).choice(len(split.users), size=most, replace=False))
    notes.append(f"{most:,} of {len(split.users):,} users are evaluated, drawn at random (scenario: users).")
    return replace(split, users=split.users[chosen], targets=split.targets[chosen]), notes


def _by_length(split: Split) -> Split:
    """The same split with its evaluated users in order of history length, so that a chunk holds little padding."""
    order = np.argsort(split.train.lengths[split.users], kind="stable")
    return replace(split, users=split.users[order], targets=split.targets[order])


def _split_artifact(split: Split, seen: str, named: bool) -> Artifact:
    train = split.train
    arrays: dict[str, NDArray[Any]] = {
        "user": train.user,
        "item": train.item,
        "timestamp": train.timestamp,
        "users": np.asarray(split.users, dtype=np.int64),
        "truth": np.asarray(split.targets, dtype=np.int32),
    }
    note: dict[str, Any] = {"n_users": train.n_users, "n_items": train.n_items, "name": train.name, "seen": seen}
    if named and train.item_ids is not None:
        note["item_ids"] = np.asarray(train.item_ids).tolist()
    return Artifact(arrays, note)


def _split_step(split: Split, seen: str, named: bool) -> Step:
    """The split as an input of steps; it is stored here and never run, so its parameters are its content's hash."""
    import xxhash

    artifact = _split_artifact(split, seen, named)
    content = {name: xxhash.xxh128_hexdigest(v.tobytes()) for name, v in artifact.arrays.items()}
    return Step("split", {"content": content_hash([content, artifact.note])})


def baselines() -> list[Victim]:
    """What tells whether order matters on a log, and a victim from an undertrained one."""
    found = []
    for name in BASELINES:
        spec = VictimSpec(name=name)
        model, mark, fixed = _resolved(spec)
        found.append(describe_victim(spec, model, mark, fixed))
    return found
