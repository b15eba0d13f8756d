"""Attacks on embeddings: they beat noise, agree with ART's own, and ART's traps are closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robust.attack import AnyGoal, EmbeddingAttack
from robust.attacks.embedding.art import ART, art_attacks
from robust.attacks.embedding.noise import Noise
from robust.attacks.embedding.pgd import PGD
from robust.attacks.objective import objective_for
from robust.errors import InputError, NotApplicable, UnknownName
from robust.log import SequenceBatch
from robust.threat import Budget, Degrade, Demote, Knowledge, Norm, Promote
from tests.toys import LinearBag, random_sequences, view

MODEL = LinearBag()
SEQUENCES = random_sequences(16, 8, 30, seed=4)
GOALS: list[AnyGoal] = [Promote(items=(5, 9)), Demote(items=(5,)), Degrade()]
NORMS: list[Norm] = ["l2", "linf"]
IDENTICAL = {"max_iter": 10, "num_random_init": 0}


def harm(
    attack: EmbeddingAttack,
    goal: AnyGoal,
    norm: Norm,
    sequences: SequenceBatch = SEQUENCES,
    epsilon: float = 0.2,
    next_item: bool = False,
) -> float:
    """The mean objective after the attack."""
    access = view(
        MODEL,
        knowledge=Knowledge(model="gradients", next_item=next_item),
        next_items=np.full(len(sequences), 11, dtype=np.int32),
    )
    deltas = attack(access, sequences, goal, Budget(epsilon=epsilon, norm=norm), np.random.default_rng(0)).deltas
    scores = MODEL.score_embeddings(MODEL.embed(sequences) + deltas, sequences)
    return float(objective_for(access, sequences, goal)(scores).mean())


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
@pytest.mark.parametrize("norm", NORMS)
def test_pgd_does_more_than_noise_and_restarts_no_less(goal: AnyGoal, norm: Norm) -> None:
    nothing = harm(Noise(), goal, norm, epsilon=0.0)
    noise, once, often = (harm(a, goal, norm) for a in (Noise(), PGD(), PGD(restarts=4)))
    assert once - nothing > 2 * abs(noise - nothing)
    assert often >= once - 1e-3


def test_noise_lies_on_the_surface_and_asks_nothing() -> None:
    outcome = Noise()(view(MODEL), SEQUENCES, Degrade(), Budget(epsilon=0.3, unit="absolute"), np.random.default_rng(0))
    size = outcome.deltas.norm(dim=-1)
    real = torch.from_numpy(SEQUENCES.items != 0)
    torch.testing.assert_close(size[real], torch.full_like(size[real], 0.3))
    assert outcome.queries == 0


def test_pgd_asks_one_query_a_step() -> None:
    outcome = PGD(steps=7)(view(MODEL), SEQUENCES, Degrade(), Budget(epsilon=0.3), np.random.default_rng(0))
    assert outcome.queries == 16 * (7 + 1), "and one for the clean top-1"
    restarted = PGD(steps=7, restarts=2)(
        view(MODEL), SEQUENCES, Demote(items=(1,)), Budget(epsilon=0.3), np.random.default_rng(0)
    )
    assert restarted.queries == 16 * 2 * (7 + 1), "and one to compare the restarts"


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
@pytest.mark.parametrize("next_item", [False, True])
def test_art_and_ours_agree_in_the_objective_linf(goal: AnyGoal, next_item: bool) -> None:
    ours = harm(PGD(random_start=False), goal, "linf", next_item=next_item)
    theirs = harm(ART(options=IDENTICAL), goal, "linf", next_item=next_item)
    assert theirs == pytest.approx(ours, rel=0.01)


@pytest.mark.parametrize("goal", GOALS, ids=lambda g: g.kind)
def test_art_and_ours_agree_in_the_objective_l2(goal: AnyGoal) -> None:
    """On sequences of one item, where a ball per input is a ball per position."""
    single = SequenceBatch(np.where(np.arange(8) == 7, SEQUENCES.items, 0), SEQUENCES.users)
    ours = harm(PGD(random_start=False), goal, "l2", single)
    assert harm(ART(options=IDENTICAL), goal, "l2", single) == pytest.approx(ours, rel=0.01)


def test_true_labels_reach_art_unshifted() -> None:
    """An attack about item 11 must hurt item 11, not its neighbour in the columns."""
    access = view(
        MODEL,
        knowledge=Knowledge(model="gradients", next_item=True),
        next_items=np.full(16, 11, dtype=np.int32),
    )
    deltas = ART()(access, SEQUENCES, Degrade(), Budget(epsilon=0.2, norm="linf"), np.random.default_rng(0)).deltas
    before = torch.log_softmax(MODEL.score_embeddings(MODEL.embed(SEQUENCES), SEQUENCES)[:, 1:], dim=1)
    after = torch.log_softmax(MODEL.score_embeddings(MODEL.embed(SEQUENCES) + deltas, SEQUENCES)[:, 1:], dim=1)
    fall = (before - after).mean(dim=0)
    assert bool((after[:, 10] < before[:, 10]).all())
    assert fall[10] == fall.max() or float(fall[10]) > 1.0


@pytest.mark.parametrize("next_item", [False, True])
def test_automatic_attacks_do_not_pass_over_sequences(next_item: bool) -> None:
    """Item 11 is hardly anybody's top-1, so ART's own attack would silently return most sequences unchanged."""
    access = view(
        MODEL,
        knowledge=Knowledge(model="gradients", next_item=next_item),
        next_items=np.full(16, 11, dtype=np.int32),
    )
    attack = ART(attack="AutoProjectedGradientDescent", options={"nb_random_init": 1})
    budget = Budget(epsilon=0.3, norm="linf")
    deltas = attack(access, SEQUENCES, Degrade(), budget, np.random.default_rng(0)).deltas
    assert float((deltas.abs().amax(dim=(1, 2)) > 0).float().mean()) > 0.9


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", ["FastGradientMethod", "MomentumIterativeMethod", "NewtonFool"])
def test_other_attacks_of_art_hurt_within_the_budget(attack: str, norm: Norm) -> None:
    options: dict[str, Any] = {"max_iter": 10} if attack == "NewtonFool" else {}
    nothing = harm(Noise(), Degrade(), norm, epsilon=0.0)
    assert harm(ART(attack=attack, options=options), Degrade(), norm) > nothing + 0.1


def test_names_of_art_are_known_without_importing_it() -> None:
    assert {"ProjectedGradientDescent", "DeepFool", "AutoAttack"} <= art_attacks()
    with pytest.raises(UnknownName, match="Did you mean 'ProjectedGradientDescent'"):
        ART(attack="ProjectedGradientDecent")


def test_options_of_art_are_checked() -> None:
    budget, rng = Budget(epsilon=0.1, norm="linf"), np.random.default_rng(0)
    with pytest.raises(UnknownName, match="Did you mean 'max_iter'"):
        ART(options={"max_iters": 3})(view(MODEL), SEQUENCES, Degrade(), budget, rng)
    with pytest.raises(InputError, match="refuses"):
        ART(options={"max_iter": -1})(view(MODEL), SEQUENCES, Degrade(), budget, rng)


def test_what_art_cannot_do_is_not_applicable() -> None:
    budget, rng = Budget(epsilon=0.1, norm="linf"), np.random.default_rng(0)
    with pytest.raises(NotApplicable, match="DeepFool cannot be targeted"):
        ART(attack="DeepFool")(view(MODEL), SEQUENCES, Promote(items=(3,)), budget, rng)
    with pytest.raises(NotApplicable, match="SquareAttack fails on embedded sequences"):
        ART(attack="SquareAttack")(view(MODEL), SEQUENCES, Degrade(), budget, rng)
