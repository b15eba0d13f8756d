"""Gradients of a fitted victim: they reach every item that is read, and agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from robust.errors import InputError
from robust.log import SequenceBatch
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.protocols import Persistent, Trainable, capabilities
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from tests.toys import chain_log

SMALL: dict[str, Any] = {"context": 6, "dimension": 8, "max_steps": 15}
KINDS = [SASRec, GRU4Rec, LSTM4Rec, RNN4Rec, NARM, Caser, BERT4Rec]
BATCH = SequenceBatch.from_lists([[3], [1, 2, 3, 4, 5], [9, 9, 1]])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind: type[NeuralRecommender]) -> None:
    model = kind(**SMALL).fit(chain_log(users=40), seed=0)
    model.encoder.double()
    # apart, since equal items tie in Caser's maximum, which has no slope there
    nudge = 0.01 * torch.randn(*BATCH.items.shape, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    embedded = (model.embed(BATCH) + nudge).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda e: model.score_embeddings(e, BATCH)[:, 1:], (embedded,), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_each_item_and_no_padding(kind: type[NeuralRecommender]) -> None:
    model = kind(**SMALL).fit(chain_log(users=40), seed=0)
    embedded = model.embed(BATCH)
    assert not embedded.requires_grad  # a fitted model's own weights take no part
    embedded.requires_grad_(True)
    scores = model.score_embeddings(embedded, BATCH)
    assert torch.all(scores[:, 0] == -torch.inf)
    (gradient,) = torch.autograd.grad(scores[:, 5].sum(), embedded)
    assert np.array_equal((gradient.norm(dim=2) > 0).numpy(), BATCH.items != 0)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_cross_entropy_of_the_scores(kind: type[NeuralRecommender]) -> None:
    model = kind(**SMALL).fit(chain_log(users=40), seed=0)
    scores = torch.from_numpy(model.score(BATCH))[:, 1:]
    targets = np.array([4, 6, 2], np.int32)
    expected = F.cross_entropy(scores, torch.from_numpy(targets).long() - 1)
    assert model.loss(BATCH, targets).item() == pytest.approx(expected.item(), abs=1e-5)
    # a target in each column but padding's; column t is predicted from the items up to t
    everywhere = np.where(BATCH.items != 0, BATCH.items % 20 + 1, 0)
    prefixes = [[3], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [9], [9, 9], [9, 9, 1]]
    if kind is not SASRec:  # SASRec counts positions from a window's end, so a prefix alone has other positions
        single = torch.from_numpy(model.score(SequenceBatch.from_lists(prefixes)))[:, 1:]
        mean = F.cross_entropy(single, torch.tensor([row[-1] % 20 for row in prefixes]))
        assert model.loss(BATCH, everywhere).item() == pytest.approx(mean.item(), abs=1e-5)
    newest_only = np.zeros_like(everywhere)
    newest_only[:, -1] = targets
    assert model.loss(BATCH, newest_only).item() == pytest.approx(expected.item(), abs=1e-5)


def test_loss_can_be_asked_of_perturbed_embeddings() -> None:
    model = GRU4Rec(**SMALL).fit(chain_log(users=40), seed=0)
    targets = np.array([4, 6, 4], np.int32)
    delta = torch.zeros_like(model.embed(BATCH), requires_grad=True)
    loss = model.loss(BATCH, targets, model.embed(BATCH) + delta)
    (gradient,) = torch.autograd.grad(loss, delta)
    worse = model.loss(BATCH, targets, model.embed(BATCH) + 0.01 * gradient / gradient.norm())
    assert worse.item() == pytest.approx(loss.item() + 0.01 * gradient.norm().item(), abs=1e-3)
    assert worse > loss


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_offered(kind: type[NeuralRecommender]) -> None:
    unfitted = kind(**SMALL)
    assert unfitted.n_items == 0
    assert capabilities(unfitted) == {"lists", "scores", "fit", "resume", "update", "gradients", "loss"}
    fitted = unfitted.fit(chain_log(users=10), seed=0)
    assert isinstance(fitted, Trainable)
    assert isinstance(fitted, Persistent)
    assert not fitted.item_embeddings.requires_grad


def test_misuse_is_refused() -> None:
    with pytest.raises(InputError, match=r"SASRec\(context=6, dimension=8, max_steps=15\) is not fitted"):
        SASRec(**SMALL).recommend(BATCH, 3)
    fitted = SASRec(**SMALL).fit(chain_log(users=10), seed=0)
    with pytest.raises(InputError, match="run from 1 to 20"):
        fitted.score(SequenceBatch.from_lists([[21]]))
