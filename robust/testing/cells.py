"""A scenario's cells, each judged on its own, so that running some of them changes no verdict of theirs.

A review judges FAIL with a correction (Holm) over all cells that it measured; what is left out changes the rest. Here a
FAIL needs p ≤ α/m, m = the attack × victim pairs of the whole file (Bonferroni), and, within a pair, that all larger
budgets fail too (fixed sequence). PASS stands uncorrected. More cautious than a review, never less.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from robust.runner.across import flag_across
from robust.runner.cell import Cell
from robust.runner.cell_results import result
from robust.runner.judging import Assessment, unmeasured
from robust.runner.looks import take_looks
from robust.runner.obstacles import obstacle
from robust.runner.prepare import Prepared, Request, prepare, write_split
from robust.runner.results import CellResult, Verdict
from robust.runner.store import Store
from robust.runner.summary import accept
from robust.runner.victims import victim_results

ALPHA = 0.05


@dataclass
class Cells:
    """The cells of one scenario, and what was found of them so far.

    Attributes:
        request: what was asked for; its `out` holds the store. prepared: what is known before anything runs.
    """

    request: Request
    prepared: Prepared
    found: dict[str, CellResult] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> Cells:
        """Read the scenario and the log, and expand the cells. Runs and writes nothing.

        Raises:
            InputError: anything that the user has to mend.
        """
        return cls(request, prepare(request, None))

    @property
    def names(self) -> list[str]:
        """The cells' ids, in order."""
        return [cell.id for cell in self.prepared.cells]

    @property
    def pairs(self) -> int:
        """Attack × victim pairs of the whole file that can be measured at all."""
        return len({cell.chain for cell in self.prepared.cells if obstacle(cell) is None}) or 1

    def run(self, names: Sequence[str]) -> None:
        """Measure and judge these cells, and the larger budgets that their verdicts rest on."""
        wanted = [cell for cell in self.prepared.cells if cell.id in names and cell.id not in self.found]
        if not wanted:
            return
        store = Store(self.request.out / "store")
        write_split(self.prepared, store)
        ids = {cell.id for cell in [*wanted, *self._larger(wanted)]}
        prepared = replace(self.prepared, cells=[cell for cell in self.prepared.cells if cell.id in ids])
        outcome = take_looks(self.request, prepared, store, time.monotonic(), None, self._judge)
        _, undertrained = victim_results(prepared, store, outcome.seeds[: prepared.scenario.seeds[0]])
        records = [
            self._record(assessment, verdict, reason, undertrained)
            for assessment, (verdict, reason) in zip(outcome.assessments, outcome.verdicts, strict=True)
        ]
        flag_across(records, outcome.assessments)
        self.found |= {record.id: record for record in records}
        accept(list(self.found.values()), self.prepared.scenario, date.today())

    def _larger(self, wanted: Sequence[Cell]) -> list[Cell]:
        """The cells of the same pairs with larger budgets."""
        sizes: dict[tuple[str, ...], float] = {}
        for cell in wanted:
            sizes[cell.chain] = min(sizes.get(cell.chain, cell.budget.size), cell.budget.size)
        return [c for c in self.prepared.cells if c.chain in sizes and c.budget.size > sizes[c.chain]]

    def _judge(self, assessments: Sequence[Assessment]) -> list[tuple[Verdict, str]]:
        level = ALPHA / self.pairs
        beyond = {
            a.cell.id: a.judgement is not None and a.judgement.verdict != "PASS" and a.judgement.p_fail <= level
            for a in assessments
        }
        return [self._verdict(a, level, beyond, assessments) for a in assessments]

    def _verdict(
        self, assessment: Assessment, level: float, beyond: dict[str, bool], everyone: Sequence[Assessment]
    ) -> tuple[Verdict, str]:
        judgement, cell = assessment.judgement, assessment.cell
        if judgement is None:
            return unmeasured(assessment.failure)
        if judgement.verdict == "PASS":
            return "PASS", judgement.reason
        larger = [
            a.cell
            for a in everyone
            if a.cell.chain == cell.chain and a.cell.budget.size > cell.budget.size and a.judgement is not None
        ]
        if beyond[cell.id] and all(beyond[other.id] for other in larger):
            return "FAIL", judgement.reason if judgement.verdict == "FAIL" else ""
        if beyond[cell.id]:
            return "INCONCLUSIVE", "beyond the bound, but a larger budget of the same attack is not"
        if judgement.verdict == "FAIL":
            said = f"beyond the bound on its own (p = {judgement.p_fail:.2g}), but not at 5% over the {self.pairs}"
            return "INCONCLUSIVE", f"{said} attack × victim pairs of this file"
        return "INCONCLUSIVE", judgement.reason if assessment.failure is None else assessment.failure.message

    def _record(
        self, assessment: Assessment, verdict: Verdict, reason: str, undertrained: dict[str, str]
    ) -> CellResult:
        name = assessment.cell.victim.spec.label
        if name in undertrained and verdict != "NOT_APPLICABLE":
            verdict, reason = "ERROR", f"undertrained: {undertrained[name]}"
        prepared = self.prepared
        record = result(assessment, verdict, reason, holdings=prepared.holdings, train=prepared.split.train)
        if assessment.judgement is not None:
            record.p_fail = min(assessment.judgement.p_fail * self.pairs, 1.0)
        record.reproduce = self.request.command
        return record
