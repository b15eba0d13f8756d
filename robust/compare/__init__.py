"""Is this version less robust than that one? Two run folders, compared cell by cell on the same users.

`compare` is the way in; docs/comparing.md says what is tested and why, and how often it is wrong.
"""

from __future__ import annotations

from pathlib import Path

from robust.compare.comparable import check_comparable
from robust.compare.decide import Margins, decide
from robust.compare.record import Comparison
from robust.compare.runs import read_run

__all__ = ["Comparison", "Margins", "compare"]


def compare(base: Path, candidate: Path, margins: Margins | None = None, *, alpha: float = 0.05) -> Comparison:
    """Compare two run folders.

    Args:
        base, candidate: folders written by `robust review --out`.
        margins: how much worse a candidate may be; by default 10% of quality, and 2 percentage points of exposure.
        alpha: one-sided error: of calling any cell worse that is not, over all cells together, and of calling one not
            worse that is, each.

    Raises:
        InputError: a folder cannot be read or was changed since it was written, or the two cannot be compared, with
            every reason.
    """
    before, after = read_run(base), read_run(candidate)
    return decide(before, after, check_comparable(before, after), margins or Margins(), alpha=alpha)
