"""The conformance suites are held to both sides: every sound built-in passes, and each planted fault is caught."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robust import plugins
from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defense import InputGuard, Sanitizer
from robust.log import Int32, InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.baselines import ItemKNN, Markov, Popularity
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from robust.testing.conformance import (
    Check,
    NonConformity,
    Outcome,
    check_attack,
    check_defense,
    check_recommender,
    recommended,
    recommender_checks,
)
from tests.toys import LinearBag, chain_log

N_ITEMS = 20
SMALL: dict[str, Any] = {"context": 6, "dimension": 8, "max_steps": 15, "min_steps": 15, "batch_size": 64}
LOG = chain_log(users=50, n_items=N_ITEMS, noise=0.3)
SOUND: dict[str, Any] = {
    "sasrec": SASRec(**SMALL),
    "gru4rec": GRU4Rec(**SMALL),
    "lstm": LSTM4Rec(**SMALL),
    "rnn": RNN4Rec(**SMALL),
    "popularity": Popularity(),
    "markov": Markov(),
    "markov over three gaps": Markov(gaps=3),
    "item-knn": ItemKNN(),
    "a stranger's": LinearBag(width=40),
}


def broken(outcomes: list[Outcome]) -> set[str]:
    return {outcome.check for outcome in outcomes if outcome.status == "broken"}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_recommender_keeps_all_its_promises(name: str) -> None:
    log = None if name == "a stranger's" else LOG
    outcomes = check_recommender(SOUND[name], log)
    assert sum(outcome.status == "held" for outcome in outcomes) >= 9


@pytest.mark.parametrize("name", sorted(set(plugins.names("attacks"))))
def test_every_attack_keeps_all_its_promises(name: str) -> None:
    options: dict[str, Any] = {"art": {"options": {"max_iter": 3}}}
    outcomes = check_attack(plugins.build("attacks", name, options.get(name, {})))
    assert sum(outcome.status == "held" for outcome in outcomes) >= 6


@pytest.mark.parametrize("name", sorted(set(plugins.names("defenses"))))
def test_every_defence_keeps_all_its_promises(name: str) -> None:
    outcomes = check_defense(plugins.build("defenses", name, {}))
    assert sum(outcome.status == "held" for outcome in outcomes) >= 3


@pytest.mark.parametrize("check", recommender_checks(), ids=str)
def test_checks_are_test_cases(check: Check[Any]) -> None:
    """As a user would write it."""
    assert check(subject()).status != "broken"


@cache
def subject() -> Any:
    return recommended(Markov(), LOG)


# --- planted faults: recommenders


class Sound:
    """Scores by the last item's neighbours on the circle; the base of the faults below."""

    n_items = N_ITEMS

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        last = sequences.items[:, -1].astype(np.int64)
        away = (np.arange(1, N_ITEMS + 1)[None, :] - last[:, None]) % N_ITEMS
        older = np.where(sequences.items == 7, 1, 0).sum(axis=1)
        scores = -(away.astype(np.float32)) + 0.01 * older[:, None] * np.arange(N_ITEMS)
        return np.concatenate([np.full((len(last), 1), -np.inf), scores], axis=1).astype(np.float32)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        order = np.argsort(-self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k] + 1
        return order.astype(np.int32)


class LooksAtPadding(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        return np.asarray(super().score(sequences) * (1 + 0.1 * (sequences.items == 0).sum(axis=1, keepdims=True)))


class AveragesWithPadding(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        average = sequences.items.mean(axis=1, keepdims=True)
        return np.asarray(super().score(sequences) + average * np.arange(N_ITEMS + 1))


class NormalisesOverTheBatch(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        scores[:, 1:] -= 2 * scores[:, 1:].mean(axis=0, keepdims=True)
        return scores


class RemembersTheRowBefore(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        scores[1:] += 0.3 * scores[:-1]
        return scores


class KnowsItsUsers(Sound):
    """Peeks: it has memorised which item each test user takes next."""

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        known = sequences.users >= 0
        scores[known, 1 + sequences.users[known] % N_ITEMS] = 99
        return scores


class DropsOut(Sound):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        scores = super().score(sequences)
        return (scores * (self.rng.random(scores.shape) > 0.2)).astype(np.float32)


class WritesIntoItsInput(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        if sequences.items.flags.writeable:
            sequences.items[:, 0] = 1
        return super().score(sequences)


class ReadsBeyondItsContext(Sound):
    context = 3


class ShiftsIds(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.asarray(super().recommend(sequences, k) - 1, dtype=np.int32)


class RepeatsItself(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        lists = super().recommend(sequences, k)
        lists[:, -1] = lists[:, 0]
        return lists


class RanksUpsideDown(Sound):
    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.asarray(super().recommend(sequences, k)[:, ::-1], dtype=np.int32)


class ListsAreAnothers(Sound):
    """Lists in the order of other scores than it shows."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        order = np.argsort(self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k] + 1
        return order.astype(np.int32)


class FailsOnNothing(Sound):
    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        if not sequences.items.any():
            raise ValueError("nothing to go by")
        return super().score(sequences)


class ReversesTheSequence(LinearBag):
    """An off-by-one in positions that shows only where the padding changes."""

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        return super().score_embeddings(embeddings.roll(1, dims=1), sequences)


class ReadsThePadding(LinearBag):
    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        return super().score_embeddings(embeddings, sequences) + embeddings.sum(dim=(1, 2))[:, None] * torch.arange(
            self.n_items + 1
        )


class GradientOfSomethingElse(LinearBag):
    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        flipped = 2 * embeddings.detach() - embeddings
        return super().score_embeddings(flipped, sequences)


class EmbedsAnotherItem(LinearBag):
    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        shifted = np.where(sequences.items != 0, sequences.items % self.n_items + 1, 0)
        return super().embed(sequences.with_items(shifted))

    def score(self, sequences: SequenceBatch) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(self.score_embeddings(LinearBag.embed(self, sequences), sequences).numpy())


class LooksAhead(GRU4Rec):
    """Its loss sees the next item: the embedded sequence is moved one to the left."""

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: torch.Tensor | None = None) -> torch.Tensor:
        embedded = self.embed(sequences) if embeddings is None else embeddings
        return super().loss(sequences, targets, embedded.roll(-1, dims=1))


class FitIsUnseeded(Popularity):
    def fit(self, log: InteractionLog, *, seed: int) -> Any:
        fitted = super().fit(log, seed=seed)
        fitted._popularity = np.random.default_rng().permutation(fitted._popularity)
        return fitted


class ForgetsHalf(Markov):
    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, settings = super().state()
        name = max(arrays, key=lambda key: arrays[key].size)
        arrays[name] = np.where(np.arange(arrays[name].size).reshape(arrays[name].shape) % 2, 0, arrays[name])
        return arrays, settings


RECOMMENDER_FAULTS: list[tuple[Any, str]] = [
    (LooksAtPadding(), "padding"),
    (AveragesWithPadding(), "padding"),
    (NormalisesOverTheBatch(), "batch size"),
    (RemembersTheRowBefore(), "batch order"),
    (KnowsItsUsers(), "user numbers"),
    (DropsOut(), "determinism"),
    (WritesIntoItsInput(), "inputs"),
    (ReadsBeyondItsContext(), "context"),
    (ShiftsIds(), "lists"),
    (RepeatsItself(), "lists"),
    (RanksUpsideDown(), "prefix"),
    (ListsAreAnothers(), "scores"),
    (FailsOnNothing(), "empty sequences"),
    (ReversesTheSequence(width=40), "padding"),
    (ReadsThePadding(width=40), "embeddings"),
    (GradientOfSomethingElse(width=40), "gradient"),
    (EmbedsAnotherItem(width=40), "embeddings"),
    (LooksAhead(**SMALL), "future"),
    (FitIsUnseeded(), "fit"),
    (ForgetsHalf(), "persistence"),
]


def test_the_base_of_the_faults_is_sound() -> None:
    assert broken(check_recommender(Sound(), raises=False)) == set()


@pytest.mark.parametrize(("faulty", "check"), RECOMMENDER_FAULTS, ids=[type(f).__name__ for f, _ in RECOMMENDER_FAULTS])
def test_a_planted_fault_of_a_recommender_is_caught(faulty: Any, check: str) -> None:
    fitted_by_us = isinstance(faulty, (GRU4Rec, Popularity, Markov))
    found = broken(check_recommender(faulty, LOG if fitted_by_us else None, raises=False))
    assert found & {check, "answers"}


def test_all_broken_promises_are_named() -> None:
    named = r"LooksAtPadding breaks \d+ of \d+ promises:\n  padding: Padding on the left makes no difference\."
    with pytest.raises(NonConformity, match=named):
        check_recommender(LooksAtPadding())


# --- planted faults: attacks


class OneFakeTooMany(PoisoningAttack):
    name: ClassVar[str] = "one-too-many"
    source: ClassVar[str] = "planted fault"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        users = budget.users + 1 if budget.users else 0
        return LogEdit(add=np.full((users, 1), goal.items[0], np.int32))


class ProfileTooLong(OneFakeTooMany):
    name: ClassVar[str] = "too-long"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=rng.integers(1, 9, (budget.users, budget.profile_length + 1)).astype(np.int32))


class TouchesGenuineRows(OneFakeTooMany):
    name: ClassVar[str] = "touches-rows"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(remove=np.arange(1))


class DoesNothing(OneFakeTooMany):
    name: ClassVar[str] = "does-nothing"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit()


class PeeksAtTheLog(OneFakeTooMany):
    """Takes the train rows though it declares to need popularity only."""

    name: ClassVar[str] = "peeks"
    log_access: ClassVar[Any] = "popularity"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=access.log.item[: budget.users, None].copy())


class Unseeded(OneFakeTooMany):
    name: ClassVar[str] = "unseeded"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=np.random.default_rng().integers(1, 99, (budget.users, 5)).astype(np.int32))


class DrawsGlobally(OneFakeTooMany):
    name: ClassVar[str] = "draws-globally"

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        torch.rand(1)
        return LogEdit(add=np.full((budget.users, 1), goal.items[0], np.int32))


class OneEditTooMany(EvasionAttack):
    name: ClassVar[str] = "edit-too-many"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        items = sequences.items.copy()
        items[:, -(budget.edits + 1) :] = 1
        return sequences.with_items(np.where(sequences.items == 0, 0, items))


class AsksWithoutCounting(EvasionAttack):
    """Goes round the view that counts queries; its access is right, its bill is not."""

    name: ClassVar[str] = "does-not-count"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        access.model.recommend(sequences, 5)
        access.counter.limit = None
        access.model.recommend(sequences, 5)
        return sequences.with_items(np.where(sequences.items[:, ::1] == 5, 6, sequences.items))


class WritesIntoSequences(EvasionAttack):
    name: ClassVar[str] = "writes"
    source: ClassVar[str] = "planted fault"

    def evade(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> SequenceBatch:
        sequences.items[:, -1] = 3
        return sequences


class BeyondItsEpsilon(EmbeddingAttack):
    name: ClassVar[str] = "beyond-epsilon"
    source: ClassVar[str] = "planted fault"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = torch.zeros(*sequences.items.shape, access.model.item_embeddings.shape[1])
        deltas[:, -1, 0] = 1.01 * budget.epsilon
        return deltas


class PerturbsPadding(BeyondItsEpsilon):
    name: ClassVar[str] = "perturbs-padding"

    def perturb(self, access: Any, sequences: SequenceBatch, goal: Any, budget: Any, rng: Any) -> torch.Tensor:
        deltas = torch.zeros(*sequences.items.shape, access.model.item_embeddings.shape[1])
        deltas[:, 0, 0] = 0.5 * budget.epsilon
        return deltas * 1.0 + (deltas == 0) * 0.0


class Anonymous(OneFakeTooMany):
    name: ClassVar[str] = "anonymous"
    source: ClassVar[str] = ""

    def poison(self, access: Any, goal: Any, budget: Any, rng: np.random.Generator) -> LogEdit:
        return LogEdit(add=np.full((budget.users, 1), goal.items[0], np.int32))


ATTACK_FAULTS: list[tuple[Any, str]] = [
    (OneFakeTooMany(), "budget"),
    (ProfileTooLong(), "budget"),
    (TouchesGenuineRows(), "budget"),
    (DoesNothing(), "effect"),
    (PeeksAtTheLog(), "budget"),
    (Unseeded(), "repeatable"),
    (DrawsGlobally(), "repeatable"),
    (OneEditTooMany(), "budget"),
    (AsksWithoutCounting(), "queries"),
    (WritesIntoSequences(), "budget"),
    (BeyondItsEpsilon(), "budget"),
    (Anonymous(), "metadata"),
]


@pytest.mark.parametrize(("faulty", "check"), ATTACK_FAULTS, ids=[f.name for f, _ in ATTACK_FAULTS])
def test_a_planted_fault_of_an_attack_is_caught(faulty: Any, check: str) -> None:
    assert check in broken(check_attack(faulty, raises=False))


# --- planted faults: defences


class Peeks(Sanitizer):
    """Fakes are appended, so the highest numbers are theirs."""

    name: ClassVar[str] = "peeks"
    source: ClassVar[str] = "planted fault"
    weaknesses: ClassVar[str] = "It works in an evaluation only, where fakes come last."

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.arange(log.n_users, dtype=float)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray(suspicion >= np.quantile(suspicion, 0.95))


class RemovesTheInnocent(Peeks):
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return log.lengths.astype(float)

    def suspects(self, suspicion: NDArray[np.float64], log: InteractionLog) -> NDArray[np.bool_]:
        return np.asarray(suspicion <= np.quantile(suspicion, 0.05))


class RemovesAtRandom(Peeks):
    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.random.default_rng().random(log.n_users)


class HasNoWeakness(RemovesTheInnocent):
    weaknesses: ClassVar[str] = ""


class GuardBase(InputGuard):
    name: ClassVar[str] = "guard"
    source: ClassVar[str] = "planted fault"
    weaknesses: ClassVar[str] = "It is a planted fault, and guards nothing."

    def calibrate(self, log: InteractionLog, seed: int) -> InputGuard:
        return self

    def guard(self, sequences: SequenceBatch) -> Int32:
        return sequences.items.copy()


class PutsItemsIn(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.maximum(sequences.items, 1)


class MovesItems(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.roll(sequences.items, 1, axis=1)


class DropsTooMuch(GuardBase):
    rate: float = 0.01

    def guard(self, sequences: SequenceBatch) -> Int32:
        return np.where(sequences.items % 5 == 0, 0, sequences.items).astype(np.int32)


class LooksAtTheBatch(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        usual = np.median(sequences.items)
        return np.where(np.abs(sequences.items - usual) > 60, 0, sequences.items).astype(np.int32)


class LooksAtUsers(GuardBase):
    def guard(self, sequences: SequenceBatch) -> Int32:
        suspect = (sequences.users % 3 == 0)[:, None]
        keep = ~suspect | (np.arange(sequences.width) == sequences.width - 1)
        return np.where(keep, sequences.items, 0).astype(np.int32)


DEFENSE_FAULTS: list[tuple[Any, str]] = [
    (Peeks(), "blind"),
    (RemovesTheInnocent(), "suspicion"),
    (RemovesAtRandom(), "repeatable"),
    (HasNoWeakness(), "metadata"),
    (PutsItemsIn(), "only drops"),
    (MovesItems(), "only drops"),
    (DropsTooMuch(), "clean rate"),
    (LooksAtTheBatch(), "row by row"),
    (LooksAtUsers(), "row by row"),
]


@pytest.mark.parametrize(("faulty", "check"), DEFENSE_FAULTS, ids=[type(f).__name__ for f, _ in DEFENSE_FAULTS])
def test_a_planted_fault_of_a_defence_is_caught(faulty: Any, check: str) -> None:
    assert check in broken(check_defense(faulty, raises=False))


def test_the_base_of_the_guards_is_sound() -> None:
    assert broken(check_defense(GuardBase(), raises=False)) == set()
