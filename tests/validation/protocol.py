"""The protocol of Yue et al. (RecSys 2021, 2022): an item among 100 sampled negatives, on histories before and after.

Negatives are uniform over items that the user never had and that are no target, drawn once per user and kept for
every arm, so that arms are paired.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robust import plugins
from robust.attack import AnyGoal, EvasionAttack
from robust.datasets import Split
from robust.log import Int32, SequenceBatch
from robust.measure import evade
from robust.recommenders.checkpoint import load, save
from robust.recommenders.protocols import Fittable, Scorer
from robust.recommenders.resolve import resolve
from robust.runner.store import content_hash
from robust.seen import Seen
from robust.situation import Situation
from robust.threat import Budget, Knowledge

NEGATIVES = 100


def fitted(spec: str, settings: Mapping[str, Any], split: Split, seed: int) -> Scorer:
    """A victim, fitted here; kept in the folder that `ROBUST_CACHE` names, if it names one, and read from it again."""
    folder = os.environ.get("ROBUST_CACHE")
    key = content_hash([spec, dict(settings), split.train.name, len(split.train), seed])
    place = Path(folder) / f"{spec}-{key[:12]}" if folder else None
    if place is not None and (place / "recommender.json").is_file():
        return cast(Scorer, load(place))
    model = cast(Fittable, resolve(spec, dict(settings))).fit(split.train, seed=seed)
    if place is not None:
        save(model, place)
    return cast(Scorer, model)


@dataclass(frozen=True)
class Sampled:
    """Some users of a split, with the negatives of each.

    Attributes:
        situation: their clean histories. negatives: int32 [n, 100].
    """

    situation: Situation
    negatives: Int32

    @classmethod
    def of(cls, split: Split, context: int, users: int, seed: int, besides: tuple[int, ...] = ()) -> Sampled:
        """`users` users drawn at random; negatives are never in `besides`."""
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(len(split.users), size=min(users, len(split.users)), replace=False))
        people, truth = split.users[chosen], split.targets[chosen]
        seen = Seen.of(split.train, people)
        unseen = np.ones((len(people), split.train.n_items + 1), dtype=bool)
        unseen[np.repeat(np.arange(len(people)), np.diff(seen.offsets)), seen.items] = False
        unseen[np.arange(len(people)), truth] = False
        unseen[:, [0, *besides]] = False
        drawn = np.argsort(np.where(unseen, rng.random(unseen.shape), 2.0), axis=1)[:, :NEGATIVES]
        sequences = split.train.sequences(context, people)
        trained = split.train.popularity > 0
        return cls(Situation(sequences, truth, split.train, seen, trained), drawn.astype(np.int32))

    def ndcg(self, model: Scorer, sequences: SequenceBatch, items: Int32) -> NDArray[np.float64]:
        """NDCG@10 [n] of one item [n] of each user among its negatives; ties go against the item."""
        found = []
        for start in range(0, len(sequences), 256):
            part = slice(start, start + 256)
            scores = model.score(sequences[part].truncate(self.situation.sequences.width))
            own = np.take_along_axis(scores, items[part, None], axis=1)
            others = np.take_along_axis(scores, self.negatives[part], axis=1)
            rank = 1 + (others >= own).sum(axis=1)
            found.append(np.where(rank <= 10, 1 / np.log2(rank + 1.0), 0.0))
        return np.concatenate(found)

    def attacked(
        self, name: str, parameters: Mapping[str, Any], model: Scorer, goal: AnyGoal, edits: int, *, known: bool = False
    ) -> SequenceBatch:
        """What an evasion attack that holds the weights makes of the histories."""
        attack = cast(EvasionAttack, plugins.build("attacks", name, parameters))
        knowledge = Knowledge(log="full", model="gradients", next_item=known)
        sequences, _ = evade(
            attack,
            self.situation,
            planned_on=model,
            goal=goal,
            budget=Budget(edits=edits),
            knowledge=knowledge,
            rng=np.random.default_rng(7),
        )
        return sequences


def spread_over_popularity(split: Split, count: int) -> tuple[int, ...]:
    """Items at evenly spaced ranks of popularity, from the most to the least popular that was trained on."""
    popularity = split.train.popularity
    ranked = np.argsort(-popularity, kind="stable")
    ranked = ranked[popularity[ranked] > 0]
    return tuple(int(i) for i in ranked[np.linspace(0, len(ranked) - 1, count).round().astype(int)])


def interval(values: NDArray[np.float64]) -> str:
    """Mean and 95% limits over users."""
    mean, half = values.mean(), 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"
