"""A sanitiser that knows who is fake gives clean training back, to the bit, whatever the fakes did."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.attacks.poisoning.bandwagon import Bandwagon
from robust.defense import Sanitizer
from robust.log import InteractionLog
from robust.recommenders.resolve import resolve
from robust.testing.conformance.defended import rows_of
from robust.threat import Budget, Promote
from tests.quality.faults.recommenders import SMALL
from tests.toys import chain_log, view

LOG = chain_log(users=50, n_items=20, noise=0.3)
NEURAL = ("sasrec", "gru4rec", "lstm", "rnn")


class Oracle(Sanitizer):
    """Removes every user beyond the first `genuine`."""

    name: ClassVar[str] = "oracle"
    source: ClassVar[str] = "the ground truth"

    genuine: int

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.asarray(np.arange(log.n_users) >= self.genuine, dtype=np.float64)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray(suspicion > 0)


def poisoned(fakes: int) -> InteractionLog:
    budget = Budget(users=fakes, profile_length=9)
    return Bandwagon()(view(log=LOG), Promote(items=(3, 7)), budget, np.random.default_rng(0)).edit.apply(LOG)


@pytest.mark.parametrize("fakes", [1, 7])
def test_the_genuine_rows_are_left_as_they_were(fakes: int) -> None:
    cleaned = Oracle(genuine=LOG.n_users).clean(poisoned(fakes), np.random.default_rng(0))
    assert len(poisoned(fakes)) == len(LOG) + 9 * fakes
    assert rows_of(cleaned) == rows_of(LOG)


@pytest.mark.parametrize("name", [*NEURAL, "popularity", "markov", "item-knn"])
def test_training_behind_it_is_clean_training(name: str) -> None:
    model: Any = resolve(name, SMALL if name in NEURAL else {})
    protected: Any = Oracle(genuine=LOG.n_users).protect(model, seed=3)
    clean, asked = model.fit(LOG, seed=1), LOG.sequences(6)
    assert np.array_equal(protected.fit(poisoned(4), seed=1).score(asked), clean.score(asked))
    assert not np.array_equal(model.fit(poisoned(4), seed=1).score(asked), clean.score(asked))
