"""The forms of a model-blind attack among which an attacker who knows the sanitiser searches."""

from __future__ import annotations

from itertools import product
from typing import Any

from robust.attacks.poisoning.orders import Order

TRIED: tuple[Order, ...] = ("shuffle", "target_last", "interleave")
"""Orders that need no knowledge of the log and show each target once: no form is easier to detect by its repeats."""


def shape_variants(order: Order, length: float, **more: list[float]) -> list[dict[str, Any]]:
    """All combinations of order, profile length (all of it, half, a quarter) and the shares in `more`, each list of
    which begins with the attack's own value. The attack itself comes first; no form is longer than it."""
    orders = [order, *(o for o in TRIED if o != order)]
    lengths = [length, length / 2, length / 4]
    names = ["order", "length", *more]
    return [dict(zip(names, values, strict=True)) for values in product(orders, lengths, *more.values())]


def shares(own: float, *others: float) -> list[float]:
    """An attack's own share, then the others that differ from it."""
    return [own, *(share for share in others if share != own)]
