"""Findings that only a comparison of cells shows: the weaker attacker did more than the stronger.

After AutoAttack's checks and Carlini et al., "On evaluating adversarial robustness" (2019), from memory: white-box
attacks are to do at least as much as black-box ones, direct ones as transferred ones, larger budgets as smaller ones.
Where they do not, the stronger attack was not run as it should be, and its cell says little.

Two cells are compared on the same users and seeds, by the paired difference of the bounded metric under attack; a
finding needs its one-sided 99% limit above 0. The level is not corrected for the number of comparisons: a flag is a
reason to look, no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, permutations
from math import inf

from robust.access import ACCESS, Access
from robust.errors import NotApplicable
from robust.runner.cell import Cell
from robust.runner.judging import Assessment
from robust.runner.outcomes import Measured, values
from robust.runner.protection import flag_protection
from robust.runner.results import CellResult, Flag
from robust.runner.summary import amount
from robust.statistics import limits
from robust.threat import Budget

ALPHA = 0.01
FEWEST_SEEDS = 3
"""Of anything but a fixed model: fewer say nothing about how seeds differ."""


@dataclass(frozen=True)
class Outcome:
    """A measured cell and its record."""

    cell: Cell
    measured: Measured
    record: CellResult

    @property
    def sees(self) -> Access:
        """The most of a model that its attack looked at."""
        return max((note.get("sees", "none") for note in self.measured.notes), key=ACCESS.index)

    @property
    def directness(self) -> int:
        """How near what it was planned on comes to what is measured: 2 is the same model."""
        if self.cell.planned_on == "none":
            return 0
        return 2 if self.cell.planned_on == self.cell.measured_on else 1

    @property
    def setting(self) -> tuple[str, ...]:
        """What two cells share that can be compared at all: the threat's id is not part of it."""
        threat, cell = self.cell.threat, self.cell
        wanted = (threat.goal.label, threat.bound.metric, threat.bound.kind, str(threat.knowledge.next_item))
        return cell.victim.spec.label, cell.defense_spec.label, *wanted

    @property
    def said(self) -> str:
        """`'substitution' at 2 edits: NDCG@10 down 32.0%`."""
        return f"'{self.record.attack}' at {self.record.budget}: {amount(self.record)}"


def flag_across(records: Sequence[CellResult], assessments: Sequence[Assessment]) -> None:
    """Add to each record what a comparison with the others shows, one flag of a kind, by the cell that did most.

    What a comparison with the undefended cell shows is in `protection`.
    """
    outcomes = [
        Outcome(assessment.cell, assessment.measured, record)
        for record, assessment in zip(records, assessments, strict=True)
        if assessment.judgement is not None and record.verdict != "ERROR"
    ]
    outcomes.sort(key=lambda outcome: outcome.setting)
    for _, members in groupby(outcomes, key=lambda outcome: outcome.setting):
        for weaker, stronger, kind in _expectations(list(members)):
            if not any(flag.name == kind for flag in stronger.record.flags) and _did_more(weaker, stronger):
                stronger.record.flags.append(FLAGS[kind](weaker, stronger))
    flag_protection(records, assessments)


def _expectations(members: list[Outcome]) -> Iterator[tuple[Outcome, Outcome, str]]:
    """Pairs of which the second should do at least as much as the first; the firsts that do most come first."""
    members = sorted(members, key=lambda outcome: -_change(outcome))
    for weaker, stronger in permutations(members, 2):
        a, b = weaker.cell, stronger.cell
        if a.chain == b.chain:
            if _spends_less(a.budget, b.budget):
                yield weaker, stronger, "larger_budget_weaker"
        elif _spends_alike(a.budget, b.budget):
            if _sees_less(weaker, stronger) and weaker.directness <= stronger.directness:
                yield weaker, stronger, "black_box_stronger"
            if _alike(a, b) and weaker.directness == 1 and stronger.directness == 2:
                yield weaker, stronger, "transfer_stronger"


def _change(outcome: Outcome) -> float:
    return outcome.record.metrics[outcome.record.bound.metric].change


def _alike(a: Cell, b: Cell) -> bool:
    return a.attack_spec == b.attack_spec and a.threat.knowledge == b.threat.knowledge


def _sees_less(weaker: Outcome, stronger: Outcome) -> bool:
    """Less of the model, and no more of the log."""
    order = ("none", "popularity", "full")
    logs = [order.index(outcome.cell.threat.knowledge.log) for outcome in (weaker, stronger)]
    return ACCESS.index(weaker.sees) < ACCESS.index(stronger.sees) and logs[0] <= logs[1]


def _spends_alike(a: Budget, b: Budget) -> bool:
    """The same of everything but queries: what is asked for them is part of an attack's weakness or strength."""
    return a.model_copy(update={"queries": None}) == b.model_copy(update={"queries": None})


def _spends_less(a: Budget, b: Budget) -> bool:
    """At most as much of everything, in the same units, and not the same."""
    if a == b or (a.norm, a.unit) != (b.norm, b.unit):
        return False
    asks = [inf if budget.queries is None else budget.queries for budget in (a, b)]
    spent = ((getattr(a, name), getattr(b, name)) for name in ("users", "profile_length", "rows", "edits", "epsilon"))
    return asks[0] <= asks[1] and all((x is None) == (y is None) and (x is None or x <= y) for x, y in spent)


def _did_more(weaker: Outcome, stronger: Outcome) -> bool:
    """Whether the first did more harm than the second, beyond chance; one fixed model is met under every seed."""
    both = (weaker, stronger)
    seeds = [outcome.measured.seeds for outcome in both if not outcome.cell.fixed]
    count = min(map(len, seeds), default=1)
    if seeds and (count < FEWEST_SEEDS or seeds[0][:count] != seeds[-1][:count]):
        return False
    bound = stronger.cell.threat.bound
    under = [values(bound.metric, o.measured.attacked, o.measured.held)[: 1 if o.cell.fixed else count] for o in both]
    more = under[1] - under[0] if bound.kind == "drop" else under[0] - under[1]
    try:
        return limits(more, alpha=ALPHA, worst=(-1.0, 1.0)).low > 0
    except NotApplicable:  # nobody left to compare
        return False


def _black_box_stronger(weaker: Outcome, stronger: Outcome) -> Flag:
    remedy = (
        "The model's gradients are masked, or the attack that follows them is too short or held back by its own "
        "constraints. Judge by the stronger of the two; look for zero_gradient and noisy_gradient."
    )
    if stronger.cell.planned_on == "surrogate":
        remedy = (
            "What holds of the surrogate does not hold of the victim, or the attack is too short or held back by its "
            "own constraints. Judge by the stronger of the two; look at how faithful the surrogate is."
        )
    return Flag(
        name="black_box_stronger",
        cause=f"{weaker.said}, though it sees {_looked(weaker)}. {stronger.said}, though it sees "
        f"{_looked(stronger)}: whoever sees more could have done the same.",
        remedy=remedy,
    )


def _looked(outcome: Outcome) -> str:
    words = {"none": "nothing of the model", "lists": "lists only", "scores": "scores", "gradients": "gradients"}
    if outcome.cell.planned_on == "surrogate":
        return f"{words[outcome.sees].removesuffix(' of the model').removesuffix(' only')} of a surrogate"
    return words[outcome.sees]


def _transfer_stronger(weaker: Outcome, stronger: Outcome) -> Flag:
    return Flag(
        name="transfer_stronger",
        cause=f"{weaker.said}, planned on the {weaker.cell.planned_on}; {stronger.said}, planned on the very model "
        "that is measured.",
        remedy="What is measured hides its gradient or its scores from an attack. Judge by the transferred one, and "
        "plan the direct one on more steps or through a smoother copy of the model.",
    )


def _larger_budget_weaker(weaker: Outcome, stronger: Outcome) -> Flag:
    return Flag(
        name="larger_budget_weaker",
        cause=f"{weaker.said}. {stronger.said}, though whoever may spend more may spend as little.",
        remedy="The attack does not use its budget: give it more steps or candidates at the larger one, or let it keep "
        "the best of all smaller budgets. Judge by the smaller one, which an attacker can choose.",
    )


FLAGS: dict[str, Callable[[Outcome, Outcome], Flag]] = {
    "black_box_stronger": _black_box_stronger,
    "transfer_stronger": _transfer_stronger,
    "larger_budget_weaker": _larger_budget_weaker,
}
