"""Better, worse, not worse, or can't be told: a rule for each cell, corrected for the number of cells.

What is tested is the attacked level: what users get while the attack runs. With a margin δ, and the loss of that level
from base to candidate,

    worse           a loss is shown (p ≤ α, Holm over all cells), and it is not shown to be smaller than δ
    not worse       the loss is shown to be smaller than δ (upper limit below δ, at α)
    better          not worse, and a gain is shown (p ≤ α, Holm over all cells)
    can't be told   neither

as in the figure of the CONSORT extension to non-inferiority trials (Piaggio et al., JAMA 2012). "Not worse" is not
corrected: that no cell is worse is an intersection-union claim, each part of which holds at α. One model twice, known
by its hash, that gave every user the same is not worse without a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robust.compare.comparable import Pairing
from robust.compare.record import CellComparison, Change, Comparison, Outcome, ThreatComparison, Version, gravest
from robust.compare.runs import Run
from robust.compare.seeds import pair_seeds
from robust.compare.words import headline, reason_of, summary_of
from robust.errors import InputError, NotApplicable
from robust.runner.results import CellResult
from robust.statistics import Kind, Limits, adjusted_p
from robust.statistics.differences import Difference, difference

HELD_BACK = {
    "changed_nothing": "the attack changed nothing",
    "zero_gradient": "the gradient that the attack follows is zero",
    "noisy_gradient": "the gradient that the attack follows is noise",
    "black_box_stronger": "an attack that sees less did more",
    "transfer_stronger": "an attack planned on another model did more",
    "unfaithful_surrogate": "the copy on which the attack was planned shares little with the model",
}
"""Flags by which an attack on one model is no measure of its robustness, if the other's has them not."""


@dataclass(frozen=True)
class Margins:
    """How much worse a candidate may be under attack.

    Attributes:
        quality: relative to the base's attacked level, for metrics of which more is better (0.10: 10%).
        exposure: in the metric's units, for exposure and levels of which less is better (0.02: 2 percentage points).

    Raises:
        InputError: a margin that is not above 0, or not below 1.
    """

    quality: float = 0.10
    exposure: float = 0.02

    def __post_init__(self) -> None:
        for name in ("quality", "exposure"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"The margin of {name} is {getattr(self, name)}: expected between 0 and 1, as 0.1.")

    @classmethod
    def parse(cls, quality: str, exposure: str) -> Margins:
        """From `10%` and `2pp` (or `2%`), or plain shares (`0.1`, `0.02`).

        Raises:
            InputError: it is neither, or out of range.
        """
        return cls(_share("--margin", quality), _share("--exposure-margin", exposure))

    def of(self, kind: Kind) -> float:
        """The margin of a bound of this kind."""
        return self.quality if kind == "drop" else self.exposure


def _share(name: str, text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(%|pp)?\s*", text)
    if match is None:
        raise InputError(f"{name} '{text}': expected a share such as 10%, 2pp or 0.1.")
    return float(match[1]) / (100 if match[2] else 1)


def decide(base: Run, candidate: Run, pairing: Pairing, margins: Margins, *, alpha: float) -> Comparison:
    """Compare the paired cells of two comparable runs."""
    cells: list[CellComparison] = []
    found: dict[str, Difference] = {}
    for before, after in pairing.cells:
        cell = _described(before, after, margins)
        cells.append(cell)
        obstacle = _obstacle(before, after)
        if obstacle is None:
            try:
                found[cell.cell] = _measured(cell, before, after, base, candidate, alpha)
                continue
            except (NotApplicable, InputError) as error:
                obstacle = str(error)
        cell.reason = obstacle
    p_worse, p_better = (
        adjusted({name: getattr(d, side) for name, d in found.items()}) for side in ("p_worse", "p_better")
    )
    for cell, (before, after) in zip(cells, pairing.cells, strict=True):
        if cell.cell in found:
            cell.p_worse, cell.p_better = p_worse[cell.cell], p_better[cell.cell]
            if _unchanged((base, before), (candidate, after)):
                cell.outcome, cell.reason = "not worse", "it is the same model, and every user got the same"
                continue
            cell.outcome = outcome(found[cell.cell], p_worse[cell.cell], p_better[cell.cell], cell.margin, alpha)
            blind = _held_back(before, after) if cell.outcome in ("better", "not worse") else ""
            cell.outcome = "can't be told" if blind else cell.outcome
            cell.reason = reason_of(cell, found[cell.cell], len(found), alpha, blind)
            if cell.outcome == "worse" and (spared := _held_back(after, before)):
                cell.reason += f" But the attack on the base was held back ({spared}), so it may be no more robust."
    threats = _by_threat(cells, {threat.id: threat.title for threat in candidate.results.threats})
    whole = gravest([threat.outcome for threat in threats])
    return Comparison(
        outcome=whole,
        headline=headline(whole, cells, threats, len(pairing.missing)),
        base=_version(base),
        candidate=_version(candidate),
        dataset=candidate.results.dataset.name,
        seeds=_seeds_said(cells),
        alpha=alpha,
        threats=threats,
        cells=cells,
        missing=pairing.missing,
        notes=pairing.notes,
    )


def adjusted(p: Mapping[str, float]) -> dict[str, float]:
    """p-values by Holm's rule over all cells."""
    return {name: values[0] for name, values in adjusted_p({name: [value] for name, value in p.items()}).items()}


def outcome(found: Difference, p_worse: float, p_better: float, margin: float, alpha: float) -> Outcome:
    """The rule of this module, for one cell.

    Args:
        found: its limits are one-sided at `alpha`. p_worse, p_better: corrected for the number of cells.
    """
    if found.loss is not None and found.loss.high < margin:
        return "better" if p_better <= alpha else "not worse"
    if p_worse <= alpha:
        return "worse"
    return "better" if found.loss is None and p_better <= alpha else "can't be told"


def _described(base: CellResult, candidate: CellResult, margins: Margins) -> CellComparison:
    same = {
        name: getattr(candidate, name) for name in ("threat", "victim", "attack", "budget", "defense", "planned_on")
    }
    bound = candidate.bound
    return CellComparison(
        cell=candidate.id,
        base_cell=base.id,
        metric=bound.metric,
        kind=bound.kind,
        margin=margins.of(bound.kind),
        base_seeds=base.seeds,
        candidate_seeds=candidate.seeds,
        **same,
    )


def _obstacle(base: CellResult, candidate: CellResult) -> str | None:
    """Why a pair of cells cannot be compared; None if nothing is known against it."""
    for name, cell in (("base", base), ("candidate", candidate)):
        if cell.verdict == "ERROR":
            return f"it ended in an error in the {name}: {cell.reason or 'no reason is given'}"
        if not cell.points:
            return f"it was not measured in the {name}: {cell.reason or 'no reason is given'}"
    if base.retrain != candidate.retrain:
        words = {"warm": "trained further", "scratch": "trained from scratch", "none": "not retrained"}
        return f"the base's model was {words[base.retrain]}, and the candidate's {words[candidate.retrain]}"
    ways = [_copied(cell) for cell in (base, candidate)]
    if ways[0] != ways[1]:
        return f"the attacks were planned on copies made in different ways: {ways[0]} in the base, {ways[1]} here"
    return None


def _copied(cell: CellResult) -> str:
    """How the copy was made on which its attack was planned."""
    own = cell.surrogate
    if own is None:
        return "none"
    more = ", ".join(f"{name} {value}" for name, value in own.extract.items() if name != "queries")
    return own.model + (f" ({more})" if more else "")  # the label tells how many lists


def _measured(
    cell: CellComparison, before: CellResult, after: CellResult, base: Run, candidate: Run, alpha: float
) -> Difference:
    """Fill in what a pair of cells shows.

    Raises:
        NotApplicable: seeds or targets that do not fit, or nobody to measure. InputError: values outside the metric's
            range.
    """
    rows = pair_seeds(base, candidate, (before, after))
    own, new = base.values[before.id], candidate.values[after.id]
    found = difference(
        (own.clean[rows.base], own.attacked[rows.base]),
        (new.clean[rows.candidate], new.attacked[rows.candidate]),
        kind=cell.kind,
        alpha=alpha,
        same_seeds=rows.same_seeds,
    )
    cell.base_clean, cell.base_attacked, cell.candidate_clean, cell.candidate_attacked = found.means
    cell.loss, cell.deeper, cell.clean = (_change(limits) for limits in (found.loss, found.deeper, found.clean))
    cell.n_users, cell.same_seeds = found.n_users, rows.same_seeds
    cell.base_seeds = [own.seeds[row] for row in rows.base]
    cell.candidate_seeds = [new.seeds[row] for row in rows.candidate]
    return found


def _change(limits: Limits | None) -> Change | None:
    return None if limits is None else Change(mean=limits.mean, low=limits.low, high=limits.high)


def _unchanged(*sides: tuple[Run, CellResult]) -> bool:
    """Whether it is known to be one model twice, with the same answers: no limits are needed to tell then."""
    (base, before), (candidate, after) = sides
    marks = [dict(run.results.environment.get("models") or {}).get(cell.victim) for run, cell in sides]
    if base.checksum != candidate.checksum and (None in marks or marks[0] != marks[1]):
        return False
    old, new = base.values[before.id], candidate.values[after.id]
    pairs = (old.clean, new.clean), (old.attacked, new.attacked)
    return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)


def _held_back(other: CellResult, cell: CellResult) -> str:
    """Why an attack on the second shows nothing of its robustness, though it does of the first's; or nothing."""
    known = {flag.name for flag in other.flags}
    new = [flag.name for flag in cell.flags if flag.name in HELD_BACK and flag.name not in known]
    return "; ".join(f"{name}: {HELD_BACK[name]}" for name in new)


def _by_threat(cells: Sequence[CellComparison], titles: Mapping[str, str]) -> list[ThreatComparison]:
    found = []
    for threat in dict.fromkeys(cell.threat for cell in cells):
        own = [cell for cell in cells if cell.threat == threat]
        gravity = gravest([cell.outcome for cell in own])
        found.append(
            ThreatComparison(
                threat=threat, title=titles.get(threat, threat), outcome=gravity, summary=summary_of(gravity, own)
            )
        )
    return found


def _version(run: Run) -> Version:
    results = run.results
    return Version(
        run=str(run.folder),
        checksum=run.checksum,
        title=results.title,
        finished=results.finished,
        victims=list(dict.fromkeys(cell.victim for cell in results.cells)),
        seqrobust=str(results.environment.get("seqrobust", "unknown")),
    )


def _seeds_said(cells: Sequence[CellComparison]) -> str:
    """How seeds pair, in words."""
    compared = [cell for cell in cells if cell.base_attacked is not None]
    by_seed = sum(cell.same_seeds for cell in compared)
    if compared and by_seed == len(compared):
        return "The same seeds, so targets and the attack's randomness are shared: compared seed by seed."
    if by_seed:
        return f"{by_seed} of {len(compared)} cells have the same seeds in both runs; the others' count as independent."
    return "Other seeds, or fixed models: users pair, seeds do not, so what they cause counts from both runs."
