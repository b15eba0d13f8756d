"""A recommender in ART's own hands: what docs/art.md shows, and what cannot be shown to ART."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robust.attacks.embedding.art import ART
from robust.attacks.embedding.art_classifier import as_art_estimator, seeded_globals
from robust.attacks.embedding.pgd import PGD
from robust.attacks.objective import objective_for
from robust.errors import InputError, NotApplicable
from robust.log import SequenceBatch
from robust.threat import Budget, Degrade
from tests.toys import LinearBag, ListsOnly, random_sequences, view

MODEL = LinearBag()
MIXED = random_sequences(30, 8, 30, seed=4)
SEQUENCES = MIXED[MIXED.lengths == 5]


def attacked(model: Any, sequences: SequenceBatch) -> tuple[Any, Any, Any]:
    """The estimator, and its inputs before and after ART's own attack, as on the page."""
    from art.attacks.evasion import ProjectedGradientDescent

    estimator = as_art_estimator(model, sequences)
    embedded = model.embed(sequences).detach().cpu().numpy()
    labels = model.recommend(sequences, 1)[:, 0].astype(int) - 1
    mask = estimator.model.mask.expand(embedded.shape).numpy()
    attack = ProjectedGradientDescent(estimator, norm=np.inf, eps=0.1, eps_step=0.025, max_iter=10, verbose=False)
    with seeded_globals(0):
        return estimator, embedded, attack.generate(x=embedded, y=labels, mask=mask)


def test_art_attacks_a_recommender_through_its_estimator() -> None:
    estimator, before, after = attacked(MODEL, SEQUENCES)
    np.testing.assert_allclose(estimator.predict(before), MODEL.score(SEQUENCES)[:, 1:], rtol=1e-5)
    assert len(SEQUENCES) > 1
    assert np.array_equal(before[:, :3], after[:, :3]), "padding stays"
    assert np.abs(after - before).max() == pytest.approx(0.1, rel=1e-5)
    deltas = PGD(random_start=False)(
        view(MODEL), SEQUENCES, Degrade(), Budget(epsilon=0.1, norm="linf", unit="absolute"), np.random.default_rng(0)
    ).deltas
    objective = objective_for(view(MODEL), SEQUENCES, Degrade())
    with torch.no_grad():
        theirs = objective(MODEL.score_embeddings(torch.from_numpy(after), SEQUENCES))
        ours = objective(MODEL.score_embeddings(MODEL.embed(SEQUENCES) + deltas, SEQUENCES))
    assert float(theirs.mean()) == pytest.approx(float(ours.mean()), rel=0.01)


def test_what_an_estimator_is_not_made_for_is_said() -> None:
    with pytest.raises(InputError, match=r"one length, got lengths \[1, 2, .*sequences.lengths == length"):
        as_art_estimator(MODEL, MIXED)
    with pytest.raises(InputError, match=r"one length, got lengths \[\]"):
        as_art_estimator(MODEL, MIXED[:0])
    with pytest.raises(NotApplicable, match="takes embeddings"):
        as_art_estimator(ListsOnly(MODEL), SEQUENCES)


def test_a_recommender_that_is_a_module_is_not_put_into_training_mode() -> None:
    class Module(LinearBag, nn.Module):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            LinearBag.__init__(self)
            self.eval()

    model = Module()
    estimator, _, _ = attacked(model, SEQUENCES)
    estimator.model.train()
    assert not model.training


def test_targets_are_promoted_together() -> None:
    estimator = as_art_estimator(MODEL, SEQUENCES, targets=(3, 8))
    embedded = MODEL.embed(SEQUENCES).numpy()
    losses = [estimator.compute_loss(embedded, np.full(len(embedded), item - 1)) for item in (3, 25)]
    logs = torch.log_softmax(torch.from_numpy(MODEL.score(SEQUENCES)[:, 1:]), dim=1)
    assert losses == pytest.approx([float(-logs[:, [2, 7]].mean())] * 2, rel=1e-5)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_radius_per_sequence_is_the_one_that_art_knows(norm: Any) -> None:
    """Sequences of all lengths agree in l2 then, where per position only those of one item do."""
    budget = Budget(epsilon=0.5, norm=norm, per="sequence")
    reached = []
    for attack in (PGD(random_start=False), ART(options={"max_iter": 10, "num_random_init": 0})):
        deltas = attack(view(MODEL), MIXED, Degrade(), budget, np.random.default_rng(0)).deltas
        scores = MODEL.score_embeddings(MODEL.embed(MIXED) + deltas, MIXED)
        reached.append(float(objective_for(view(MODEL), MIXED, Degrade())(scores).mean()))
    assert reached[1] == pytest.approx(reached[0], rel=0.01)


def test_an_attack_that_art_leaves_out_is_not_applicable(monkeypatch: pytest.MonkeyPatch) -> None:
    from art.attacks import evasion

    monkeypatch.delattr(evasion, "BrendelBethgeAttack", raising=False)
    with pytest.raises(NotApplicable, match="leaves out BrendelBethgeAttack"):
        ART(attack="BrendelBethgeAttack")(view(MODEL), MIXED, Degrade(), Budget(epsilon=0.1), np.random.default_rng(0))
