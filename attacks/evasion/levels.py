"""The search that `exhaustive`, `greedy`, `beam` and `first-order` share: forms of a sequence, level by level.

Level c holds forms that cost c edits. It is made by moves that cost 1 from the forms of level c − 1, and by those that
cost 2 (swaps) from level c − 2; of each level the `width` best are gone on from, even if none of them is better than
the clean sequence, since an edit that helps may need another one first. The best form of all levels is kept.

    width   moves tried at each level
    all     all                                    exhaustive
    1       so many, spread evenly over them       greedy
    b       so many, spread evenly over them       beam
    b       those of largest first-order gain      first-order
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from robust.attacks.evasion.feedback import Feedback
from robust.attacks.evasion.moves import COSTS, DELETE, INSERT, KINDS, REPLACE, Kind, Moves, Space
from robust.attacks.evasion.pool import Best, Pool, leading
from robust.curve import Track
from robust.log import Int32
from robust.perturbation import chunk_rows

Float64 = NDArray[np.float64]
Propose = Callable[[Space, Float64, Feedback], Iterator[Moves]]
"""From the moves of S forms, and the forms' values [S], those to be tried, in blocks."""
FORMS = 4096
"""Forms that are asked about together, at most."""
TOGETHER = 256
"""From so many items on, all replacements of one place are asked about together where the model can do that."""
TYPICAL_DIMENSION = 64


def block_of(space: Space) -> int:
    """Forms to ask about together, so that memory stays bounded for large catalogues."""
    return min(chunk_rows(space.items.shape[1], TYPICAL_DIMENSION, space.n_items), FORMS)


def search_levels(
    feedback: Feedback,
    edits: int,
    kinds: tuple[Kind, ...],
    n_items: int,
    width: int | None,
    propose: Propose | None,
    track: Track,
) -> Int32:
    """int32 [B, L + edits], the best forms found within `edits`.

    Args:
        propose: which moves to try; None tries all.
    """
    clean = feedback.clean
    room = np.pad(clean.items, ((0, 0), (edits, 0)))
    best, levels = Best(room), [Pool(width, room.shape[1])]
    levels[0].offer(np.arange(len(room)), room, np.zeros(len(room)))
    for level in range(1, edits + 1):
        space, values = _moves_to(level, levels, kinds, n_items)
        found = Pool(width if level < edits else 1, room.shape[1])
        tried = (
            _together(space, feedback) if propose is None else _apart(space, feedback, propose(space, values, feedback))
        )
        for moves, reached in tried:
            kept = leading(space.rows[moves.states], reached, found.width)
            found.offer(space.rows[moves.states[kept]], space.apply(moves.take(kept)), reached[kept])
        top = leading(found.rows, found.values, 1)
        best.offer(found.rows[top], found.items[top], found.values[top])
        levels.append(found)
        track.note(level, best.values)
    return best.items


def _moves_to(level: int, levels: list[Pool], kinds: tuple[Kind, ...], n_items: int) -> tuple[Space, Float64]:
    """All moves that end at this level, and the values [S] of the forms that they begin from."""
    sources = [(levels[level - cost], cost) for cost in (1, 2) if level >= cost]
    allowed = [
        np.tile([kind in kinds and COSTS[kind] == cost for kind in KINDS], (len(pool.rows), 1))
        for pool, cost in sources
    ]
    rows = np.concatenate([pool.rows for pool, _ in sources])
    order = np.argsort(rows, kind="stable")
    items = np.concatenate([pool.items for pool, _ in sources])[order]
    values = np.concatenate([pool.values for pool, _ in sources])[order]
    return Space(rows[order], items, np.concatenate(allowed)[order], n_items), values


def _apart(space: Space, feedback: Feedback, proposed: Iterator[Moves]) -> Iterator[tuple[Moves, Float64]]:
    """Ask about each form by itself."""
    for moves in proposed:
        yield moves, feedback(space.rows[moves.states], space.apply(moves))


def _together(space: Space, feedback: Feedback) -> Iterator[tuple[Moves, Float64]]:
    """All moves; all new items of one place at once where that is cheaper."""
    block = block_of(space)
    nobody = np.random.default_rng(0)  # all moves are listed, none is drawn
    if not feedback.replaces_together or space.n_items < TOGETHER:
        yield from _apart(space, feedback, space.spread(None, block, nobody))
        return
    rest = Space(space.rows, space.items, (space.counts > 0) & (np.arange(4) >= DELETE), space.n_items)
    yield from _apart(rest, feedback, rest.spread(None, block, nobody))
    new = np.arange(1, space.n_items + 1)
    newest, unread = space.items.shape[1] - 1, space.items.shape[1] - feedback.clean.width
    # each turn of this loop asks about a whole catalogue
    for state, kind in np.argwhere(space.counts[:, :DELETE] > 0):
        length = int(np.count_nonzero(space.items[state]))
        oldest = max(newest - length + int(kind == REPLACE), unread)  # what is not read makes no difference
        for column in range(newest, oldest - 1, -1):
            moves = Moves(np.full(len(new), state), np.full(len(new), kind), np.full(len(new), column), new)
            opened = space.apply(moves.take(np.arange(1)))[0]
            opened[column] = 0 if kind == INSERT else opened[column]
            values = feedback.replacements(int(space.rows[state]), opened, column)
            if kind == REPLACE:
                values[space.items[state, column] - 1] = -np.inf
            yield moves, values


def spreading(candidates: int, rng: np.random.Generator) -> Propose:
    """Try so many moves at each level, spread evenly over all."""

    def propose(space: Space, values: Float64, feedback: Feedback) -> Iterator[Moves]:
        yield from space.spread(candidates, block_of(space), rng)

    return propose
