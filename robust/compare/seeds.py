"""How the seeds of two runs pair, and what a fixed model needs instead of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robust.compare.runs import Run
from robust.errors import NotApplicable
from robust.runner.results import CellResult, Results

FEWEST_SEEDS = 3
"""With fewer, nobody knows how models retrained under other seeds differ."""


@dataclass(frozen=True)
class Rows:
    """Which rows of two cells' values are compared, and whether seed by seed."""

    base: list[int]
    candidate: list[int]
    same_seeds: bool


def pair_seeds(base: Run, candidate: Run, cells: tuple[CellResult, CellResult]) -> Rows:
    """The rows of a pair of cells that are compared.

    Raises:
        NotApplicable: too few seeds of what is trained; or a fixed model, which was measured on one draw of targets,
            beside a run on other targets.
    """
    before, after = cells
    fixed = _fixed(before), _fixed(after)
    if any(fixed):  # a model that no seed changes is paired with all seeds of the other
        drawn = _targets(base.results, before) | _targets(candidate.results, after)
        if len(drawn) > 1:
            raise NotApplicable(
                "the two runs drew other targets, and a fixed model is measured on those of one seed only: review with "
                "the same --seed, or list the items in the scenario"
            )
        rows = Rows(list(range(len(before.seeds))), list(range(len(after.seeds))), same_seeds=False)
    else:
        rows = align(before.seeds, after.seeds)
    for name, lone, kept in zip(("base", "candidate"), fixed, (rows.base, rows.candidate), strict=True):
        if not lone and len(kept) < FEWEST_SEEDS:
            raise NotApplicable(
                f"too few seeds: {len(kept)} of the {name} can be used, and what is trained needs {FEWEST_SEEDS}"
            )
    return rows


def align(base: Sequence[int], candidate: Sequence[int]) -> Rows:
    """Which seeds of two trained models are compared.

    Seed by seed where one run has all the seeds of the other (they share targets and the attack's randomness); the
    rest is left out then. Otherwise seeds are independent, and one that is in both counts in the smaller run only.
    """
    shared = [seed for seed in base if seed in set(candidate)]
    if shared and len(shared) == min(len(base), len(candidate)):
        return Rows([list(base).index(seed) for seed in shared], [list(candidate).index(seed) for seed in shared], True)
    keep = [list(range(len(base))), list(range(len(candidate)))]
    larger = 1 if len(candidate) >= len(base) else 0
    keep[larger] = [row for row in keep[larger] if (base, candidate)[larger][row] not in set(shared)]
    return Rows(keep[0], keep[1], same_seeds=False)


def _fixed(cell: CellResult) -> bool:
    """Whether it is one fixed model: only such a one has limits with one seed."""
    measured = cell.metrics.get(cell.bound.metric)
    return len(cell.seeds) == 1 and measured is not None and measured.low is not None


def _targets(results: Results, cell: CellResult) -> set[tuple[str, ...]]:
    """The sets of items that a cell's goal promoted or demoted, over its seeds; none where it degrades."""
    return {
        tuple(sorted(item.id for item in target.items))
        for target in results.targets
        if cell.threat in target.threats and set(target.seeds) & set(cell.seeds)
    }
