"""Cells with planted outcomes: no log is read, nothing is fitted and nothing runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.log import InteractionLog
from robust.ranking import Ranking
from robust.runner.cell import Cell
from robust.runner.cell_results import result
from robust.runner.ground import Ground, Victim
from robust.runner.judging import Assessment, assess
from robust.runner.outcomes import Measured
from robust.runner.plan import cells
from robust.runner.reading import parse_scenario
from robust.runner.results import CellResult, Verdict
from robust.runner.scenario import VictimSpec
from robust.runner.step import Step
from robust.runner.surrogate import Surrogate
from robust.seen import Seen
from tests.toys import chain_log

USERS = 200
LOG: InteractionLog = chain_log(users=USERS, n_items=60)
EDITED = """\
threats:
  - id: white
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [substitution]
    budgets: [{edits: 1}, {edits: 2}]
    defenses: [none, surprise]
    bound: {metric: hr@10, kind: drop, limit: 0.5}
  - id: black
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [random-substitution]
    budgets: [{edits: 1}, {edits: 2}]
    bound: {metric: hr@10, kind: drop, limit: 0.5}
"""
COPIED = """\
threats:
  - id: copied
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [substitution]
    budgets: [{edits: 1}]
    plan: [surrogate]
    surrogate: {name: gru4rec, extract: {queries: 100}}
    bound: {metric: hr@10, kind: drop, limit: 0.5}
"""
PROMOTED = """\
threats:
  - id: promotion
    goal: {promote: cold*2}
    attacks: [random]
    budgets: [{users: 1%}, {users: 3%}]
    defenses: [none, pca]
    bound: {metric: target_hr@10, kind: rise, limit: 0.5}
"""


def planned(scenario: str, *, fixed: bool = False) -> list[Cell]:
    """The cells of a scenario on a small log, for a victim that can do everything."""
    able = frozenset({"lists", "scores", "gradients", "fit", "resume", "loss"})
    victim = Victim(VictimSpec(name="gru4rec"), "0", fixed, able, 50, not fixed)
    ground = Ground(Step("split", {}), LOG, "scratch", 0)
    parsed = parse_scenario(scenario, "planted.yaml")
    other = Victim(VictimSpec(name="gru4rec"), "1", False, able, 50, True)
    return list(cells(parsed, [victim], ground, {t.id: Surrogate(other, t.surrogate.extract) for t in parsed.threats}))


def one(found: list[Cell], threat: str, size: float, defense: str = "none", planned_on: str | None = None) -> Cell:
    """The one cell of this description."""
    (cell,) = [
        c
        for c in found
        if (c.threat.id, c.budget_spec.size, c.defense_spec.label) == (threat, size, defense)
        and planned_on in (None, c.planned_on)
    ]
    return cell


def ranked(hits: NDArray[np.bool_], targets: int = 0) -> Ranking:
    """Who of the users finds the true item (or, with targets, all of these) in the list."""
    places = np.where(hits, 1, 50).astype(np.int64)
    lists = np.tile(np.arange(1, 11, dtype=np.int32), (len(hits), 1))
    return Ranking(places, np.tile(places[:, None], (1, targets)), lists)


def lucky(share: float, seed: int, jitter: float = 0.02) -> NDArray[np.bool_]:
    """bool [USERS], about this share of them: the same users for each share, but for a little chance."""
    rng = np.random.default_rng(seed)
    order = np.random.default_rng(99).permutation(USERS)
    return np.asarray(order < USERS * np.clip(share + jitter * rng.standard_normal(), 0, 1))


def outcome(
    cell: Cell,
    attacked: float,
    *,
    clean: float = 0.8,
    seeds: int = 3,
    changed: float = 1.0,
    verdict: Verdict = "PASS",
    **note: Any,
) -> tuple[CellResult, Assessment]:
    """The cell as if this share of users had been hit under attack, with what its steps noted."""
    exposed = cell.threat.bound.kind == "rise"
    targets = 2 if exposed else 0
    measured = Measured()
    for seed in range(1 if cell.fixed else seeds):
        measured.seeds.append(seed)
        # a clean ranking watches the targets of the seed before, too
        measured.clean.append(ranked(lucky(clean, seed), 2 * targets))
        measured.attacked.append(ranked(lucky(attacked, seed), targets))
        measured.held.append(np.zeros((USERS, targets), dtype=bool))
        measured.previous.append((1, 2) if seed and exposed else ())
        measured.queries.append(1)
        measured.changed.append(changed)
        measured.notes.append({"sees": cell.attack.model_access, **note})
    assessment = assess(cell, measured, None)
    holdings = Seen.of(LOG, np.arange(USERS))
    return result(assessment, verdict, "", holdings=holdings, train=LOG), assessment
