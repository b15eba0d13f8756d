"""What a comparison says in sentences, the same in every form."""

from __future__ import annotations

from collections.abc import Sequence

from robust.amounts import number
from robust.compare.record import CellComparison, Change, Outcome, ThreatComparison
from robust.metrics.registry import metric_name
from robust.statistics.differences import Difference


def amount(kind: str, value: float) -> str:
    """A loss in percent of the base's level, or in percentage points; a gain has a minus."""
    shown = number(100 * value, ".1f")
    return f"{shown}%" if kind == "drop" else f"{shown} pp"


def span(kind: str, change: Change | None) -> str:
    """`4.2% (1.0 to 7.5)`; empty where there is none."""
    if change is None:
        return ""
    low, high = (amount(kind, end).rstrip("%p ") for end in (change.low, change.high))
    return f"{amount(kind, change.mean)} ({low} to {high})"


def levels(cell: CellComparison, who: str) -> str:
    """`0.412 → 0.305`, clean and attacked."""
    clean, attacked = getattr(cell, f"{who}_clean"), getattr(cell, f"{who}_attacked")
    return "" if attacked is None else f"{clean:.3f} → {attacked:.3f}"


def name_of(cell: CellComparison) -> str:
    """`substitution, 2 edits, behind pca`."""
    behind = "" if cell.defense == "none" else f", behind {cell.defense}"
    planned = "" if cell.planned_on in ("plain", "none") else f", planned on the {cell.planned_on} model"
    return f"{cell.attack}, {cell.budget}{behind}{planned}"


def reason_of(cell: CellComparison, found: Difference, cells: int, alpha: float, blind: str) -> str:
    """Why a cell has its outcome, and where the difference comes from."""
    if blind:
        return f"it looks no worse, but the attack on the candidate was held back ({blind})"
    margin, loss = amount(cell.kind, cell.margin), found.loss
    metric = f"{metric_name(cell.metric)} under attack"
    if loss is None:
        return (
            f"{metric} of the base cannot be told from 0, so no loss is relative to it"
            if cell.outcome == "can't be told"
            else f"{metric} rises from about 0"
        )
    said = f"{metric} is {_moved(cell.kind, loss.mean)}"
    low, high = amount(cell.kind, loss.low), amount(cell.kind, loss.high)
    if cell.outcome == "worse":
        return f"{said}; a loss is shown (p = {cell.p_worse:.2g}), and it may be {high}. {_where(cell)}"
    if cell.outcome == "better":
        return f"{said}; a gain is shown (p = {cell.p_better:.2g}). {_where(cell)}"
    if cell.outcome == "not worse":
        return f"{said}; the loss is at most {high}, within the margin of {margin}"
    if loss.low > 0:
        return f"{said}, which would be a loss on its own, but not after correcting for {cells} cells"
    return f"{said}; the loss lies between {low} and {high}, and the margin is {margin}: more seeds or users would tell"


def _moved(kind: str, loss: float) -> str:
    if amount(kind, loss) == amount(kind, 0.0):
        return "about the base's"
    if kind == "drop":
        return f"{amount(kind, abs(loss))} {'lower' if loss >= 0 else 'higher'} than the base's"
    return f"{amount(kind, abs(loss))} {'above' if loss >= 0 else 'below'} the base's"


def _where(cell: CellComparison) -> str:
    """Whether a difference stems from clean data, from falling deeper, or both, as far as each is shown."""
    if cell.deeper is None or cell.clean is None:
        return ""
    lost = "quality" if cell.kind == "drop" else "exposure"
    parts = []
    if cell.clean.low > 0:
        parts.append(f"{lost} is worse on clean data, too")
    elif cell.clean.high < 0:
        parts.append(f"{lost} is better on clean data")
    if cell.deeper.low > 0:
        parts.append("the attack takes more than from the base")
    elif cell.deeper.high < 0:
        parts.append("the attack takes less than from the base")
    return f"Of this: {'; '.join(parts)}." if parts else ""


def summary_of(outcome: Outcome, cells: Sequence[CellComparison]) -> str:
    """A threat's outcome in a line: its cells by outcome, and the one that says most."""
    own = [cell for cell in cells if cell.outcome == outcome]
    said = f"{len(own)} of {len(cells)} cells" if len(cells) > 1 else ""
    measured = [cell for cell in own if cell.loss is not None]
    if not measured:
        return said or own[0].reason
    sign = -1 if outcome == "better" else 1
    most = max(measured, key=lambda cell: sign * (cell.loss.mean if cell.loss else 0.0))
    told = f"{name_of(most)}: {metric_name(most.metric)} {_moved(most.kind, most.loss.mean if most.loss else 0.0)}"
    return f"{said}; {told}" if said else told


def headline(
    outcome: Outcome, cells: Sequence[CellComparison], threats: Sequence[ThreatComparison], missing: int
) -> str:
    """The answer in a sentence, and how many cells only one run has."""
    count = {word: sum(cell.outcome == word for cell in cells) for word in ("worse", "can't be told", "better")}
    untold = count["can't be told"]
    total = f"{len(cells)} cell{'s' if len(cells) != 1 else ''}"
    left = f" Not compared: {missing} that only one run has." if missing else ""
    if outcome == "worse":
        named = ", ".join(threat.title for threat in threats if threat.outcome == "worse")
        return f"The candidate is less robust: worse in {count['worse']} of {total} ({named}).{left}"
    if outcome == "can't be told":
        return f"No cell is shown to be worse, but {untold} of {total} can't be told.{left}"
    if outcome == "better":
        return f"The candidate is no less robust, and better in {count['better']} of {total}.{left}"
    where = f"any of {total}" if len(cells) != 1 else "the one cell compared"
    return f"The candidate is no less robust: not worse in {where}.{left}"
