"""Checks of an input guard: it drops items, rarely, by the sequence alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robust.errors import NotApplicable
from robust.log import SequenceBatch
from robust.testing.conformance.attacked import CONTEXT, histories
from robust.testing.conformance.base import require
from robust.testing.conformance.defended import Defended
from robust.testing.conformance.subject import padded


def only_drops(subject: Defended) -> None:
    """Nothing is put in or moved, on clean sequences and on foreign ones."""
    guard, sequences = subject.guard(), histories(subject.log)
    strange = np.random.default_rng([subject.seed, 2]).integers(1, subject.log.n_items + 1, sequences.items.shape)
    for batch in (sequences, sequences.with_items(np.where(sequences.items != 0, strange, 0))):
        guarded = np.asarray(guard.guard(batch))
        require(guarded.shape == batch.items.shape, f"Shape {guarded.shape} for {batch.items.shape}.")
        changed = (guarded != 0) & (guarded != batch.items)
        require(not changed.any(), "It put in or moved items; it may only drop them (0 in place).")


def row_by_row(subject: Defended) -> None:
    """By the items of a sequence: not by its neighbours, its place, its user or its padding."""
    guard, sequences = subject.guard(), histories(subject.log)
    together = np.asarray(guard.guard(sequences))
    some = range(min(len(sequences), 32))
    alone = np.concatenate([np.asarray(guard.guard(sequences[i : i + 1])) for i in some])
    require(np.array_equal(together[: len(some)], alone), "What it drops depends on the other sequences.")
    turned = np.asarray(guard.guard(sequences[::-1]))
    require(np.array_equal(together[::-1], turned), "What it drops depends on a sequence's place in the batch.")
    for users in (None, sequences.users[::-1]):
        others = np.asarray(guard.guard(SequenceBatch(sequences.items, users)))
        require(np.array_equal(together, others), "What it drops depends on the number of the user.")
    wide = np.asarray(guard.guard(padded(sequences, 5)))
    require(np.array_equal(np.pad(together, ((0, 0), (5, 0))), wide), "What it drops depends on padding on the left.")


def clean_rate(subject: Defended) -> None:
    """On users that it was not calibrated on, at most its stated rate of positions."""
    guard = subject.guard()
    rate = getattr(guard, "rate", None)
    if rate is None:
        raise NotApplicable("states no rate at which it drops clean positions")
    half = subject.log.rows(subject.log.user % 2 == 0)
    fresh = subject.log.sequences(CONTEXT, np.flatnonzero(np.arange(subject.log.n_users) % 2 == 1))
    calibrated = subject.guard(half)
    guarded = np.asarray(calibrated.guard(fresh))
    positions = int((fresh.items != 0).sum())
    dropped = int(((fresh.items != 0) & (guarded == 0)).sum())
    from scipy.stats import binomtest

    beyond = binomtest(dropped, positions, rate, alternative="greater").pvalue
    said = f"It dropped {dropped / positions:.2%} of positions that nobody touched; it states {rate:.2%}."
    require(beyond > 1e-4, said)


def calibration(subject: Defended) -> None:
    """A calibrated guard stays as it is, whatever another is calibrated on: earlier victims stand behind it."""
    sequences = histories(subject.log)
    first = subject.guard()
    before = np.asarray(first.guard(sequences)).copy()
    mixed = np.random.default_rng([subject.seed, 3]).permutation(subject.log.item)
    subject.guard(replace(subject.log, item=mixed))
    again = np.asarray(first.guard(sequences))
    require(np.array_equal(before, again), "To calibrate another guard changed one that was calibrated before.")
