"""Amounts in sentences: a true minus sign, no negative zero, and `1 percentage point` but `1.4 percentage points`.

Tables have `robust.report.quantities`, which also chooses the decimals.
"""

from __future__ import annotations

MINUS = "−"


def number(value: float, form: str = ".3g") -> str:
    """`−1.26`; `form` is that of a float."""
    text = f"{value:{form}}"
    return text.replace("-", MINUS) if any(digit in "123456789" for digit in text) else text.removeprefix("-")


def percent(share: float, form: str = ".3g") -> str:
    """`−9.62%` of a share of 1."""
    return f"{number(100 * share, form)}%"


def points(share: float, form: str = ".3g") -> str:
    """`1.4 percentage points` of a share of 1."""
    return _with_unit(number(100 * share, form))


def points_between(low: float, high: float, form: str = ".3g") -> str:
    """`−1.26 and 1.4 percentage points` of shares of 1: the unit once."""
    return f"{number(100 * low, form)} and {_with_unit(number(100 * high, form))}"


def _with_unit(shown: str) -> str:
    return f"{shown} percentage point{'' if shown.removeprefix(MINUS) == '1' else 's'}"
