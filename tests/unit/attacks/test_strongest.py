"""Portfolios: who runs, who is chosen, and for whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robust.attack import EmbeddingAttack, EvasionAttack
from robust.attacks.embedding.strongest_embedding import StrongestEmbedding
from robust.attacks.evasion.strongest import Strongest
from robust.attacks.portfolio import Member, chosen_on_the_other_half, usable
from robust.errors import InputError, NotApplicable
from robust.harm import harm_against
from robust.threat import Budget, Degrade, Knowledge, Promote
from tests.toys import LinearBag, ListsOnly, random_sequences, view


def test_a_member_is_chosen_by_the_other_half_only() -> None:
    """Member 0 is best on one half alone; that half must be served by what is best on the other."""
    rows = 40
    rng = np.random.default_rng(5)
    first = np.zeros(rows, dtype=bool)
    first[np.random.default_rng(5).permutation(rows)[: rows // 2]] = True
    harm = np.stack([np.where(first, 9.0, 0.0), np.where(first, 0.0, 1.0)])
    chosen = chosen_on_the_other_half(harm, rng)
    assert set(chosen[first]) == {1}
    assert set(chosen[~first]) == {0}


def test_noise_is_not_counted_as_strength() -> None:
    """Of equal members no one is better than their mean, which the best of each row would be."""
    harm = np.random.default_rng(0).normal(size=(6, 4000))
    chosen = chosen_on_the_other_half(harm, np.random.default_rng(1))
    reached = harm[chosen, np.arange(harm.shape[1])].mean()
    assert abs(reached) < 0.06
    assert harm.max(axis=0).mean() > 1


def test_one_row_is_its_own_other_half() -> None:
    assert chosen_on_the_other_half(np.array([[0.1], [0.7]]), np.random.default_rng(0)).tolist() == [1]


def test_who_sees_lists_only_runs_what_needs_lists_only() -> None:
    access = view(ListsOnly(LinearBag()), knowledge=Knowledge(model="lists"))
    names = [attack.name for attack in usable([m.build() for m in Strongest().members], access, Degrade())]
    assert names == ["greedy", "random-substitution"]


def test_a_portfolio_that_cannot_run_says_so() -> None:
    access = view(ListsOnly(LinearBag()), knowledge=Knowledge(model="lists"))
    with pytest.raises(NotApplicable, match="none of substitution can degrade"):
        usable([Member(name="substitution").build()], access, Degrade())


@pytest.mark.parametrize("members", [["pgd", {"name": "apgd", "loss": "dlr"}], [{"name": "pgd", "parameters": {}}]])
def test_members_are_names_with_parameters(members: list[Any]) -> None:
    built = [member.build() for member in StrongestEmbedding(members=tuple(members)).members]
    assert all(isinstance(attack, EmbeddingAttack) for attack in built)


def test_an_unknown_member_is_named() -> None:
    attack = Strongest(members=(Member(name="substitutoin"),))
    with pytest.raises(InputError, match="substitution"):
        attack(view(LinearBag()), random_sequences(4, 8, 30), Degrade(), Budget(edits=1), np.random.default_rng(0))


@pytest.mark.parametrize("goal", [Degrade(), Promote(items=(5, 29))])
def test_it_is_at_least_as_strong_as_its_weakest_member_on_its_own(goal: Any) -> None:
    model, sequences = LinearBag(), random_sequences(200, 8, 30)
    against = harm_against(model.recommend(sequences, 10), goal)

    def harm(attack: EvasionAttack) -> float:
        edited = attack(view(model), sequences, goal, Budget(edits=1), np.random.default_rng(0)).sequences
        return float(against(np.arange(200), model.recommend(edited.truncate(8), 10)).mean())

    alone = [harm(member.build()) for member in Strongest().members]  # type: ignore[arg-type]
    assert harm(Strongest()) >= max(alone) - 0.02


def test_the_strongest_deltas_are_some_members_own() -> None:
    model, sequences = LinearBag(), random_sequences(20, 8, 30)
    attack = StrongestEmbedding()
    found = attack(view(model), sequences, Degrade(), Budget(epsilon=0.5), np.random.default_rng(0))
    assert (found.deltas != 0).flatten(1).any(dim=1).all()
    assert torch.isfinite(found.deltas).all()
