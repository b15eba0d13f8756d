"""Results arranged for reading: a group per threat, its cells in numbered rows, findings gathered by name.

Every form of the report shows these same groups, so that they never disagree on a number, an order or a count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from robust.metrics.registry import metric_name
from robust.report.quantities import NBSP, Figures, Quantity, figures, finite, fixed, p_value
from robust.report.text import attack_label, bound_text, change_heading, knowledge, planning
from robust.runner.results import BoundResult, CellResult, Flag, MetricResult, Results, ThreatResult, flag_page


@dataclass(frozen=True)
class Row:
    """A cell with the number by which the report refers to it, and its figures in words.

    Attributes:
        attack: with its parameters. planning: `adaptive`, `oblivious`, `transfer`, `model-blind` or empty.
        setting: `plain → protected`, what it was planned and measured on. reason: the verdict's reason, with p.
    """

    number: int
    cell: CellResult
    figures: Figures
    attack: str
    planning: str
    setting: str
    reason: str

    @classmethod
    def of(cls, number: int, cell: CellResult) -> Row:
        """Number a cell and write its figures."""
        return cls(
            number=number,
            cell=cell,
            figures=figures(cell),
            attack=attack_label(cell),
            planning=planning(cell),
            setting=f"{'nothing' if cell.planned_on == 'none' else cell.planned_on} → {cell.measured_on}",
            reason=_reason(cell),
        )

    @property
    def metric(self) -> MetricResult | None:
        """The bounded metric, where it was measured."""
        return self.cell.metrics.get(self.cell.bound.metric)

    @property
    def budget(self) -> str:
        """The cell's budget, not broken at its equals sign."""
        return self.cell.budget.replace(" = ", f"{NBSP}={NBSP}")

    @property
    def attempt(self) -> str:
        """`bandwagon, 3% fake users, behind pca`."""
        behind = [] if self.cell.defense == "none" else [f"behind {self.cell.defense}"]
        return ", ".join([self.attack, self.budget, *behind])

    @property
    def others(self) -> dict[str, MetricResult]:
        """The other metrics."""
        return {name: value for name, value in self.cell.metrics.items() if name != self.cell.bound.metric}


def _reason(cell: CellResult) -> str:
    parts = [cell.reason.strip()] if cell.reason.strip() else []
    if not parts and cell.verdict == "INCONCLUSIVE" and cell.bound.metric in cell.metrics:
        limit = Quantity.of(cell.bound).amount(cell.bound.limit)
        parts.append(f"the interval straddles the bound of {limit}: more seeds or users are missing")
    if cell.verdict == "FAIL" and cell.p_fail is not None:
        parts.append(f"{p_value(cell.p_fail)} after correction")
    parts += _projection(cell) + _copied(cell)
    said = ""
    for part in parts:
        if said.endswith("."):
            said += f" {part if part.startswith('p ') else part[:1].upper() + part[1:]}"  # p is no word
        else:
            said += f"; {part}" if said else part
    return said


def _copied(cell: CellResult) -> list[str]:
    """How faithful a copy was that the attack was planned on: `planned on a copy that 20,000 lists gave, …`."""
    if cell.surrogate is None:
        return []
    shares = sorted((int(name.partition("@")[2]), share) for name, share in cell.surrogate.agreement.items())
    said = " and ".join(f"{fixed(100 * share, 0)}% of its top {k}" for k, share in shares)
    return [f"planned on a copy that {cell.surrogate.queries:,} lists gave, which agrees with the victim on {said}"]


def _projection(cell: CellResult) -> list[str]:
    """`the same deltas, projected onto real items: NDCG@10 −0.4% (3% of the items change)`; nothing elsewhere."""
    changed = cell.metrics.get("projected_items")
    if changed is None:
        return []
    found = []
    for name, metric in cell.metrics.items():
        plain = name.removeprefix("projected_")
        if plain.startswith("ndcg") and plain != name:
            found.append(f"{metric_name(plain)} {fixed(-100 * metric.change, 1, signed=True)}%")
        elif plain.startswith("target_hr") and plain != name:
            found.append(f"{metric_name(plain)} {fixed(100 * metric.change, 1, signed=True)}{NBSP}pp")
    share = fixed(100 * changed.attacked, 1)
    return [f"the same deltas, projected onto real items: {', '.join(found)} ({share}% of the items change)"]


@dataclass(frozen=True)
class Series:
    """One victim, attack, defence and planning over its budgets, smallest first."""

    victim: str
    attack: str
    defense: str
    planning: str
    rows: list[Row]

    def label(self, *, with_victim: bool) -> str:
        """`bandwagon, behind pca, adaptive`."""
        parts = [self.victim] if with_victim else []
        parts.append(self.attack)
        parts.append("no defence" if self.defense == "none" else f"behind {self.defense}")
        if self.planning:
            parts.append(self.planning)
        return ", ".join(parts)


@dataclass(frozen=True)
class Group:
    """A threat with its cells, in series.

    Attributes:
        bounds: what had to hold, each once (a scenario states one per threat).
    """

    number: int
    threat: ThreatResult
    series: list[Series]
    bounds: list[BoundResult]

    @property
    def rows(self) -> list[Row]:
        """All rows in order."""
        return [row for series in self.series for row in series.rows]

    @property
    def bound(self) -> str:
        """What had to hold, in words."""
        return "; ".join(bound_text(bound) for bound in self.bounds)

    @property
    def heading(self) -> str:
        """The heading of the column of changes."""
        headings = list(dict.fromkeys(change_heading(bound) for bound in self.bounds))
        return headings[0] if len(headings) == 1 else "Change"

    @property
    def measure(self) -> str:
        """The bounded metric's name."""
        names = list(dict.fromkeys(metric_name(bound.metric) for bound in self.bounds))
        return names[0] if len(names) == 1 else "Metric"

    @property
    def goal(self) -> str:
        """What the attacker wants and knows, as the cells state it."""
        goals = dict.fromkeys(row.cell.goal for row in self.rows if row.cell.goal)
        return "; ".join(goals)

    @property
    def knowledge(self) -> str:
        """What the attacker knows, each statement once: `how popular items are, nothing of the model, …`."""
        return ", ".join(dict.fromkeys(part for row in self.rows for part in knowledge(row.cell)))

    @property
    def worst(self) -> Row | None:
        """The measured row with the largest change relative to its bound's limit."""
        measured = [row for row in self.rows if row.metric is not None and finite(row.metric.change)]
        return max(measured, key=_excess, default=None)


def _excess(row: Row) -> float:
    change = row.metric.change if row.metric else 0.0
    return change / row.cell.bound.limit if row.cell.bound.limit > 0 else change


@dataclass(frozen=True)
class Finding:
    """A flag's name with every cause seen, and where: cell numbers, or a victim's name."""

    name: str
    remedies: list[str]
    causes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """Where the documentation says more."""
        return flag_page(self.name)


def groups(results: Results) -> list[Group]:
    """A group per threat in the results' order; a cell of an unlisted threat gets a group of its own."""
    by_id = {cell.id: cell for cell in results.cells}
    claimed = {cell_id for threat in results.threats for cell_id in threat.cells}
    threats = list(results.threats)
    known = {threat.id for threat in threats}
    orphans = [cell for cell in results.cells if cell.id not in claimed]
    for cell in orphans:
        if cell.threat not in known:
            known.add(cell.threat)
            threats.append(ThreatResult(id=cell.threat, title=cell.threat, verdict=cell.verdict, summary="", cells=[]))
    found: list[Group] = []
    number = 0
    for position, threat in enumerate(threats, start=1):
        cells = [by_id[cell_id] for cell_id in threat.cells if cell_id in by_id]
        cells += [cell for cell in orphans if cell.threat == threat.id]
        series: list[Series] = []
        for (victim, attack, defense, term), members in _series(cells).items():
            rows = [Row.of(number + offset, cell) for offset, cell in enumerate(members, start=1)]
            number += len(rows)
            series.append(Series(victim, attack, defense, term, rows))
        found.append(Group(position, threat, series, _bounds(cells)))
    return found


def _series(cells: list[CellResult]) -> dict[tuple[str, str, str, str], list[CellResult]]:
    """Cells by what they share but for the budget, in order of first appearance; budgets ascending."""
    found: dict[tuple[str, str, str, str], list[CellResult]] = {}
    for cell in cells:
        found.setdefault((cell.victim, attack_label(cell), cell.defense, planning(cell)), []).append(cell)
    return {key: sorted(members, key=lambda cell: cell.budget_size) for key, members in found.items()}


def _bounds(cells: list[CellResult]) -> list[BoundResult]:
    unique = {(cell.bound.metric, cell.bound.kind, cell.bound.limit): cell.bound for cell in cells}
    return list(unique.values())


def findings(results: Results, arranged: list[Group]) -> list[Finding]:
    """Flags of victims and cells, by name: victims' first, as they colour everything that follows."""
    found: dict[str, Finding] = {}

    def note(flag: Flag, where: str) -> None:
        finding = found.setdefault(flag.name, Finding(flag.name, []))
        if flag.remedy not in finding.remedies:
            finding.remedies.append(flag.remedy)
        finding.causes.setdefault(flag.cause, []).append(where)

    for victim in results.victims:
        for flag in victim.flags:
            note(flag, victim.victim)
    for row in (row for group in arranged for row in group.rows):
        for flag in row.cell.flags:
            note(flag, f"cell {row.number}")
    return list(found.values())


def commands(arranged: list[Group], fallback: str) -> dict[str, list[Row]]:
    """Each command that reproduces something, with the rows that it reproduces."""
    found: dict[str, list[Row]] = {}
    for row in (row for group in arranged for row in group.rows):
        found.setdefault(row.cell.reproduce.strip() or fallback, []).append(row)
    return found
