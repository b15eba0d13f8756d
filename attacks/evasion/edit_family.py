"""Random edits of every kind that happen to histories, in nature or by an attacker's hand.

    replace, insert, delete, swap   as in `moves.py`; a swap costs 2
    duplicate     an item once more, right after itself: 1
    insert-cold   an item of the lowest fifth of popularity: 1
    truncate      only the newest items are left: 1 for each that is gone
    shuffle       the items of a random window in another order: what that costs
    reverse       the whole sequence backwards: what that costs

"What that costs" is the Levenshtein distance between before and after, as the harness counts. The costs of edits made
one after another add up to at least the distance from the first form to the last (triangle inequality), so what stays
within a budget here stays within it there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robust.attacks.evasion.item_choice import Draw
from robust.attacks.evasion.moves import DELETE, INSERT, REPLACE, SWAP, edited
from robust.checks import edit_distance
from robust.log import Int32, Int64, SequenceBatch

NaturalKind = Literal[
    "replace", "insert", "delete", "swap", "duplicate", "insert-cold", "truncate", "shuffle", "reverse"
]
_AS_MOVE = {
    "replace": REPLACE,
    "insert": INSERT,
    "insert-cold": INSERT,
    "delete": DELETE,
    "duplicate": INSERT,
    "swap": SWAP,
}
Index = NDArray[np.integer[Any]]


def draw_edits(
    items: Int32,
    edits: int,
    kinds: tuple[NaturalKind, ...],
    window: int,
    draw: Draw,
    draw_cold: Draw | None,
    rng: np.random.Generator,
) -> Int32:
    """int32 [B, W], each row after random edits of random kinds that cost `edits` in all, or a little less.

    An edit that would cost more than what is left is not made; twice as many are tried as there are edits.

    Args:
        items: int32 [B, W], left-padded, with room for `edits` insertions.
    """
    made, spent = items.copy(), np.zeros(len(items), np.int64)
    for _ in range(2 * edits):
        kind = rng.integers(len(kinds), size=len(items))
        for place, name in enumerate(kinds):
            rows = np.flatnonzero((kind == place) & (spent < edits))
            if len(rows) == 0:
                continue
            source = draw_cold if name == "insert-cold" and draw_cold is not None else draw
            after, cost = _once(made[rows], name, edits - spent[rows], window, source, rng)
            fits = (cost > 0) & (cost <= edits - spent[rows])
            made[rows[fits]], spent[rows[fits]] = after[fits], spent[rows[fits]] + cost[fits]
    return made


def _once(
    items: Int32, kind: NaturalKind, left: Int64, window: int, draw: Draw, rng: np.random.Generator
) -> tuple[Int32, Int64]:
    """One random edit of each row [R, W], and what it costs [R]; 0 where it cannot be made."""
    length, width = np.count_nonzero(items, axis=1), items.shape[1]
    if kind == "truncate":
        gone = rng.integers(1, np.maximum(np.minimum(left, length - 1), 1) + 1)
        after = np.where(np.arange(width) < (width - length + gone)[:, None], 0, items)
        return after, np.where(length > 1, gone, 0)
    if kind in ("shuffle", "reverse"):
        after = _reordered(items, length, width if kind == "reverse" else window, kind == "reverse", rng)
        return after, edit_distance(SequenceBatch(items), SequenceBatch(after))
    move = _AS_MOVE[kind]
    places = length + {REPLACE: 0, DELETE: 0, INSERT: 1, SWAP: -1}[move] - (kind == "duplicate")
    column = width - 1 - rng.integers(0, np.maximum(places, 1))
    possible = (places > 0) & (length > int(move == DELETE))
    # an insertion goes between the item of this column, which moves to the left, and the newer one
    beside = items[np.arange(len(items)), column]
    new = beside if kind == "duplicate" else draw(beside, rng)
    after = edited(items, np.full(len(items), move), column, new)
    if move == SWAP:
        older = items[np.arange(len(items)), np.maximum(column - 1, 0)]
        return after, np.where(possible & (older != beside), 2, 0)
    changed = (after != items).any(axis=1) | (move == INSERT)
    return after, (possible & changed).astype(np.int64)


def _reordered(items: Int32, length: Int64, window: int, backwards: bool, rng: np.random.Generator) -> Int32:
    """Rows whose `window` neighbouring items (all, if there are fewer) are reversed, or in a random order."""
    width = items.shape[1]
    size = np.minimum(length, window)
    last = width - rng.integers(0, length - size + 1)
    here = np.arange(width)[None, :]
    inside = (here >= (last - size)[:, None]) & (here < last[:, None])
    keys = np.where(inside, (last[:, None] - here) if backwards else rng.random(items.shape), 0.0)
    # outside the window a column keeps its place: columns of the window are sorted among themselves
    order = np.argsort(np.where(inside, keys, np.inf), axis=1, kind="stable")
    after = items.copy()
    row, column = np.nonzero(inside)
    rank = column - (last - size)[row]
    after[row, column] = items[row, order[row, rank]]
    return after
