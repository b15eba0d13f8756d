"""The best of several random draws, as the controls of all searches take it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robust.access import AccessView
from robust.attack import AnyGoal
from robust.attacks.evasion.feedback import Feedback, Signal, questions_about_clean
from robust.log import Int32, SequenceBatch


def affordable(tries: int, access: AccessView, sequences: SequenceBatch, clean: int) -> int:
    """As many tries as the query budget bears beside `clean` questions about each clean sequence; at least one."""
    allowed = access.queries_left(len(sequences))
    return tries if allowed is None else max(min(tries, allowed - clean), 1)


def best_of(
    tries: int,
    draw: Callable[[], Int32],
    harm: Callable[[Int32], NDArray[np.float64]],
    note: Callable[[NDArray[np.float64]], None],
) -> Int32:
    """Of each row [B, W], the most harmful of so many draws, the first of equals.

    Args:
        draw: a new draw of all rows. harm: float [B]. note: told, after each draw, the most harm so far.
    """
    kept = draw()
    most = harm(kept)
    note(most)
    for _ in range(tries - 1):
        drawn = draw()
        hurt = harm(drawn)
        better = hurt > most
        kept[better], most[better] = drawn[better], hurt[better]
        note(most)
    return kept


def best_draw(
    draw: Callable[[], Int32],
    access: AccessView,
    sequences: SequenceBatch,
    goal: AnyGoal,
    *,
    edits: int,
    tries: int,
    feedback: Signal,
    k: int,
) -> SequenceBatch:
    """Of each sequence, the most harmful of the draws that the budget bears; a single one asks nothing.

    Args:
        draw: a new draw of all rows [B, L + edits]. feedback, k: see `Feedback`.
    """
    tries = affordable(tries, access, sequences, questions_about_clean(feedback, goal, access.knowledge.next_item))
    if tries == 1:
        return SequenceBatch(draw(), sequences.users)
    track = access.curve.track(len(sequences))
    seen, rows = Feedback(access, sequences, goal, feedback, k), np.arange(len(sequences))
    kept = best_of(tries, draw, lambda forms: seen(rows, forms), lambda most: track.note(edits, most))
    return SequenceBatch(kept, sequences.users)
