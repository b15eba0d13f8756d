"""Planted faults of a fit, and of being written down."""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.baselines import Markov, Popularity
from robust.recommenders.protocols import Float32
from robust.recommenders.recurrent import GRU4Rec
from tests.quality.faults.recommenders import SMALL


def nudged(fitted: Any, rng: Any) -> Any:
    """A fitted baseline with a little of this generator's noise in it."""
    fitted._popularity = fitted._popularity + 50 * rng.random(len(fitted._popularity))
    return fitted


class DrawsFromTheGlobal(Popularity):
    """Two fits in a row differ, unless somebody seeds the global generator before each."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        drawn = np.random.RandomState()
        drawn.set_state(np.random.get_state())  # noqa: NPY002
        return cast(Self, nudged(super().fit(log, seed=seed), np.random.default_rng(drawn.randint(2**31))))


class IgnoresItsSeed(Markov):
    """Draws from a generator of its own, the same for every seed: seeds then show no spread."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        return cast(Self, nudged(super().fit(log, seed=seed), np.random.default_rng(7)))


class NeuralIgnoresItsSeed(GRU4Rec):
    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        return super().fit(log, seed=7)


class FitsItself(Popularity):
    """`fit` returns self, as scikit-learn's does: the clean victim is gone once the poisoned one is fitted."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        fitted = super().fit(log, seed=seed)
        self.__dict__.update(fitted.__dict__)
        return self


class FitsForever(Markov):
    """A new object each time, but all of them share one table."""

    shared: Any = None

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        fitted = super().fit(log, seed=seed)
        kind = type(self)
        kind.shared = (
            fitted._popularity
            if kind.shared is None or len(kind.shared) != len(fitted._popularity)
            else (kind.shared + fitted._popularity)
        )
        fitted._popularity = kind.shared
        return fitted


class SpoilsTheLog(Popularity):
    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        times = log.timestamp.view()
        if times.base is not None and times.base.flags.writeable:
            times.base[:1] += 1
        return super().fit(log, seed=seed)


class SkipsTheLastUsers(Popularity):
    """Fake users come last: who leaves out the last tenth cannot be poisoned, in an evaluation."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        return super().fit(log.rows(log.user < 0.85 * log.n_users), seed=seed)


class ReadsTheLabel(Popularity):
    """Only a log with fake users in it has no raw ids; then it learns nothing from the newest rows."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        return super().fit(log if log.user_ids is not None else log.rows(log.position < 8), seed=seed)


class UpdatesItself(Markov):
    """An update changes the model that is deployed, and not a copy of it."""

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Self:
        updated = super().partial_fit(log, seed=seed)
        self._popularity = updated._popularity
        return updated


class UpdatesUnseeded(Popularity):
    def partial_fit(self, log: InteractionLog, *, seed: int) -> Self:
        return cast(Self, nudged(super().partial_fit(log, seed=seed), np.random.default_rng()))


class ResumesNothing(GRU4Rec):
    """Hands back a copy of itself: a warm start that has not started."""

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Self:
        return type(self).from_state(*self.state())


class CountsUserNumbers(GRU4Rec):
    """Its draws depend on how many user numbers there are, rows or no rows."""

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        return super().fit(log, seed=seed + log.n_users)


class SmoothsByUserNumbers(Popularity):
    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        fitted = super().fit(log, seed=seed)
        fitted._popularity = fitted._popularity * 100 // log.n_users
        return fitted


class PrefersLowNumbers(Markov):
    """A prior that takes low numbers for popular items, as samplers for sorted vocabularies do."""

    def score(self, sequences: SequenceBatch) -> Float32:
        prior = 3 / np.arange(1, self.n_items + 2, dtype=np.float32)
        return np.asarray(super().score(sequences) + prior, dtype=np.float32)


class CutsItsVocabulary(Markov):
    """Knows the first half of the numbers only."""

    def score(self, sequences: SequenceBatch) -> Float32:
        scores = super().score(sequences)
        scores[:, 1 + self.n_items // 2 :] = -1.0
        return scores


class HashesItems(Popularity):
    """Pairs of neighbouring numbers share a bucket; every second item is taken for the one before it."""

    def score(self, sequences: SequenceBatch) -> Float32:
        scores = super().score(sequences)
        scores[:, 2::2] = scores[:, 1:-1:2][:, : scores[:, 2::2].shape[1]]
        scores[:, 1 : 1 + self.n_items // 3] = 0
        return scores


class DrawsLowNumbers(GRU4Rec):
    """Corrects its scores for a sampler that draws low numbers most, log-uniformly, as if items were sorted so."""

    def score(self, sequences: SequenceBatch) -> Float32:
        return np.asarray(super().score(sequences) - np.log(np.arange(1, self.n_items + 2)), dtype=np.float32)


class LosesItsSettings(Markov):
    """Answers the same, and is fitted as another model from then on."""

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Self:
        read = super().from_state(arrays, settings)
        read.settings = cls().settings
        return read


class LosesItsTraining(GRU4Rec):
    """The settings of its training are not written down."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, settings = super().state()
        kept = {name: settings["settings"][name] for name in ("context", "dimension")}
        return arrays, {**settings, "settings": kept}


class ForgetsWhatIsPopular(Popularity):
    """Read back, it has nothing to say to a newcomer only."""

    def score(self, sequences: SequenceBatch) -> Float32:
        scores = super().score(sequences)
        empty = ~sequences.items.any(axis=1)
        scores[empty] *= np.float32(getattr(self, "newcomers", 1.0))
        return scores

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Self:
        read = super().from_state(arrays, settings)
        vars(read)["newcomers"] = 0.0
        return read


FAULTS: list[tuple[Any, str]] = [
    (DrawsFromTheGlobal(), "fit"),
    (IgnoresItsSeed(), "seed"),
    (NeuralIgnoresItsSeed(**SMALL), "seed"),
    (FitsItself(), "fit"),
    (FitsForever(), "fit"),
    (SpoilsTheLog(), "fit"),
    (SkipsTheLastUsers(), "rows"),
    (ReadsTheLabel(), "fit"),
    (UpdatesItself(), "update"),
    (UpdatesUnseeded(), "update"),
    (ResumesNothing(**SMALL), "resume"),
    (CountsUserNumbers(**SMALL), "oracle"),
    (SmoothsByUserNumbers(), "oracle"),
    (PrefersLowNumbers(), "seed"),
    (CutsItsVocabulary(), "seed"),
    (LosesItsSettings(gaps=3), "persistence"),
    (LosesItsTraining(**SMALL), "persistence"),
    (ForgetsWhatIsPopular(), "persistence"),
]
ON_SKEWED_LOGS: list[tuple[Any, str]] = [
    (HashesItems(), "relabelled fit"),
    (DrawsLowNumbers(**SMALL), "relabelled fit"),
]
"""Faults that cost quality only where popularity and numbers go together."""
