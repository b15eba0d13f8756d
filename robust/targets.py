"""The target items that a goal names: drawn by popularity (`cold*5`), or found by their raw ids."""

from __future__ import annotations

import re

import numpy as np

from robust.errors import InputError, NotApplicable
from robust.log import InteractionLog

CHOICE = re.compile(r"(cold|popular|any)\*(\d+)")


def draw_targets(choice: str, log: InteractionLog, rng: np.random.Generator) -> tuple[int, ...]:
    """Items, sorted: the lowest fifth of popularity with at least one train row, the highest fifth, or any.

    Raises:
        InputError: not such a choice.
        NotApplicable: fewer candidate items than targets.
    """
    match = CHOICE.fullmatch(choice)
    if match is None:
        raise InputError(f"Targets are cold*5, popular*5 or any*5, got '{choice}'.")
    kind, wanted = match[1], int(match[2])
    trained = np.flatnonzero(log.popularity > 0)
    by_popularity = trained[np.argsort(log.popularity[trained], kind="stable")]
    fifth = max(len(by_popularity) // 5, 1)
    pool = {"cold": by_popularity[:fifth], "popular": by_popularity[-fifth:], "any": trained}[kind]
    if len(pool) < wanted:
        raise NotApplicable(f"'{choice}' needs {wanted} items, but only {len(pool)} qualify in this log.")
    return tuple(sorted(int(i) for i in rng.choice(pool, size=wanted, replace=False)))


def find_items(raw: tuple[int | str, ...], log: InteractionLog) -> tuple[int, ...]:
    """Items, sorted, each once.

    Raises:
        InputError: an item that the log does not have.
    """
    if log.item_ids is None:
        vocabulary = {str(i): i for i in range(1, log.n_items + 1)}
    else:
        vocabulary = {str(value): place + 1 for place, value in enumerate(log.item_ids)}
    found = []
    for item in raw:
        if str(item) not in vocabulary:
            raise InputError(
                f"Target item '{item}' is not in {log.name}, which has {log.n_items} items "
                f"(for example '{next(iter(vocabulary), '')}')."
            )
        found.append(vocabulary[str(item)])
    return tuple(sorted(set(found)))
