"""The forms of a model-blind attack among which an attacker who knows the sanitiser searches."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

from robust.attacks.poisoning.orders import Order


def shape_variants(order: Order, length: float, **more: list[float]) -> list[dict[str, Any]]:
    """All combinations of order, profile length (all of it, half, a quarter) and the shares in `more`, each list of
    which begins with the attack's own value. The attack itself comes first; no form is longer than it."""
    orders = [order, *(o for o in get_args(Order) if o != order)]
    lengths = [length, length / 2, length / 4]
    names = ["order", "length", *more]
    return [dict(zip(names, values, strict=True)) for values in product(orders, lengths, *more.values())]
