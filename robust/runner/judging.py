"""From a cell's outcomes to its verdict, corrected over all cells of a review."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from robust.errors import NotApplicable
from robust.runner.cell import Cell
from robust.runner.engines import Failure
from robust.runner.outcomes import Measured, values
from robust.runner.results import Verdict
from robust.statistics import Judgement, adjusted_p, correct_failures, judge


@dataclass(frozen=True)
class Assessment:
    """A cell with everything that a report says of it, before multiplicity is corrected."""

    cell: Cell
    measured: Measured
    judgement: Judgement | None
    failure: Failure | None


def assess(cell: Cell, measured: Measured, failure: Failure | None) -> Assessment:
    """Judge the bound on the seeds measured; a failure after some look leaves that look's verdict in force."""
    if not measured.seeds or (failure is not None and failure.kind != "time"):
        return Assessment(cell, measured, None, failure)
    bound = cell.threat.bound
    try:
        judgement = judge(
            values(bound.metric, measured.clean, measured.held),
            values(bound.metric, measured.attacked, measured.held),
            kind=bound.kind,
            limit=bound.limit,
            fixed_model=cell.fixed,
        )
    except NotApplicable as error:
        return Assessment(cell, measured, None, Failure("not_applicable", str(error)))
    return Assessment(cell, measured, judgement, failure)


def correct(assessments: Sequence[Assessment]) -> list[tuple[Verdict, str]]:
    """Final verdicts: PASS stands uncorrected, FAIL must survive the correction over attack × victim pairs."""
    chains = _chains(assessments)
    p_values = {chain: [_p_fail(assessments[i]) for i in members] for chain, members in chains.items()}
    rejected: dict[int, bool] = {}
    for chain, decisions in correct_failures(p_values).items():
        rejected.update(zip(chains[chain], decisions, strict=True))
    verdicts: list[tuple[Verdict, str]] = []
    for index, assessment in enumerate(assessments):
        judgement, failure = assessment.judgement, assessment.failure
        if judgement is None:
            verdicts.append(unmeasured(failure))
        elif judgement.verdict == "PASS":
            verdicts.append(("PASS", judgement.reason))
        elif rejected[index]:
            verdicts.append(("FAIL", judgement.reason if judgement.verdict == "FAIL" else ""))
        elif judgement.verdict == "FAIL":
            pairs = len(chains)
            reason = f"beyond the bound on its own, but not after correcting for {pairs} attack × victim pairs"
            verdicts.append(("INCONCLUSIVE", reason))
        else:
            reason = failure.message if failure is not None else judgement.reason
            verdicts.append(("INCONCLUSIVE", reason))
    return verdicts


def adjusted(assessments: Sequence[Assessment]) -> dict[int, float]:
    """Each judged cell's p-value of FAIL, adjusted for budgets and attack × victim pairs."""
    chains = _chains(assessments)
    p_values = {chain: [_p_fail(assessments[i]) for i in members] for chain, members in chains.items()}
    found: dict[int, float] = {}
    for chain, adjusted_values in adjusted_p(p_values).items():
        found.update(zip(chains[chain], adjusted_values, strict=True))
    return found


def _chains(assessments: Sequence[Assessment]) -> dict[tuple[str, ...], list[int]]:
    """The judged cells of each attack × victim pair, largest budget first."""
    chains: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, assessment in enumerate(assessments):
        if assessment.judgement is not None:
            chains[assessment.cell.chain].append(index)
    for members in chains.values():
        members.sort(key=lambda i: -assessments[i].cell.budget.size)
    return chains


def _p_fail(assessment: Assessment) -> float:
    assert assessment.judgement is not None
    return 1.0 if assessment.judgement.verdict == "PASS" else assessment.judgement.p_fail


def unmeasured(failure: Failure | None) -> tuple[Verdict, str]:
    """What is said of a cell that was not measured."""
    if failure is None:
        return "ERROR", "nothing was measured"
    if failure.kind == "not_applicable":
        return "NOT_APPLICABLE", failure.message
    if failure.kind == "time":
        return "INCONCLUSIVE", "time: left out by --max-time; run the same command again to go on"
    return "ERROR", failure.message


def undecided(verdict: Verdict, assessment: Assessment) -> bool:
    """Whether more seeds could decide this cell."""
    return verdict == "INCONCLUSIVE" and assessment.failure is None and not assessment.cell.fixed
