"""Ensembles against numpy: what is averaged, where a delta goes, and how they are written down and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from robust.defenses.training.bagging import Bagging
from robust.defenses.training.ensemble import Seeds
from robust.errors import InputError, NotApplicable
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.ensemble import Ensemble, StoredEnsemble, fitted, members_of
from robust.recommenders.item_table import with_item_embeddings
from robust.recommenders.protocols import Persistent, capabilities
from robust.recommenders.recurrent import GRU4Rec
from robust.runner.step import Job
from robust.runner.steps import fit
from robust.runner.store import Artifact, Store
from robust.runner.workshop import Workshop
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences

SMALL: dict[str, Any] = {"context": 12, "dimension": 8, "max_steps": 20, "batch_size": 16}


def bags(count: int = 3, dimensions: tuple[int, ...] = (6, 4, 5)) -> list[LinearBag]:
    return [LinearBag(dimension=dimensions[seed], seed=seed) for seed in range(count)]


class Fixed:
    """Answers with the same lists, and no scores."""

    def __init__(self, lists: list[list[int]], n_items: int) -> None:
        self.lists, self.n_items = np.array(lists, np.int32), n_items

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k]."""
        return self.lists[:, :k]


def test_scores_are_the_mean_and_lists_follow_them() -> None:
    members, sequences = bags(), random_sequences(9, 8, 30)
    ensemble = Ensemble(members)
    wanted = np.mean([member.score(sequences)[:, 1:] for member in members], axis=0)
    assert np.allclose(ensemble.score(sequences)[:, 1:], wanted, rtol=1e-5)
    assert np.array_equal(ensemble.recommend(sequences, 5), np.argsort(-wanted, axis=1, kind="stable")[:, :5] + 1)


def test_ranks_are_averaged_whatever_the_scale_of_a_member() -> None:
    """A member whose scores are a thousand times as large decides a mean of scores, and no mean of ranks."""
    members, sequences = bags(), random_sequences(9, 8, 30)
    members[0].output = members[0].output * 1000
    ranks = [np.argsort(np.argsort(-member.score(sequences)[:, 1:], axis=1), axis=1) + 1 for member in members]
    scores = Ensemble(members, "ranks").score(sequences)
    assert np.allclose(scores[:, 1:], -np.mean(ranks, axis=0), rtol=1e-6)
    assert np.isneginf(scores[:, 0]).all()
    loud = Ensemble(members).recommend(sequences, 1)
    assert np.array_equal(loud, members[0].recommend(sequences, 1))
    assert not np.array_equal(loud, Ensemble(members, "ranks").recommend(sequences, 1))


def test_lists_alone_are_combined_by_their_places() -> None:
    """Places 1 2 3 and 3 1 –: the means are 2, 1.5 and (3 + 5) / 2; what nobody lists is not recommended."""
    ensemble = Ensemble([Fixed([[1, 2, 3, 0]], 4), Fixed([[2, 0, 1, 0]], 4)])
    assert ensemble.capabilities == {"lists"}
    assert ensemble.recommend(random_sequences(1, 3, 4), 4).tolist() == [[2, 1, 3, 0]]
    with_toys = Ensemble([ListsOnly(bag) for bag in bags()])
    assert np.array_equal(
        with_toys.recommend(random_sequences(5, 8, 30), 6),
        Ensemble(bags(), "ranks").recommend(random_sequences(5, 8, 30), 6),
    )


def test_one_delta_reaches_every_member() -> None:
    members, sequences = bags(), random_sequences(4, 8, 30)
    ensemble = Ensemble(members)
    assert ensemble.item_embeddings.shape == (31, 15)
    embedded = ensemble.embed(sequences)
    delta = torch.randn(embedded.shape, generator=torch.Generator().manual_seed(0))
    parts = torch.split(delta, [6, 4, 5], dim=2)
    wanted = sum(m.score_embeddings(m.embed(sequences) + p, sequences) for m, p in zip(members, parts, strict=True))
    found = ensemble.score_embeddings(embedded + delta, sequences)
    assert torch.allclose(found[:, 1:], torch.as_tensor(wanted)[:, 1:] / 3, atol=1e-5)
    at = embedded.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(ensemble.score_embeddings(at, sequences)[:, 7].sum(), at)
    own = [m.weights[-8:, None] * m.output[7] / 3 for m in members]  # of a linear model, by hand
    wanted_gradient = torch.cat(own, dim=1) * torch.from_numpy(sequences.items != 0).unsqueeze(2)
    assert torch.allclose(gradient, wanted_gradient, atol=1e-6)


def test_ranks_have_the_gradient_of_the_mean_score() -> None:
    sequences, (ranks, scores) = random_sequences(4, 8, 30), (Ensemble(bags(), how) for how in ("ranks", "scores"))
    at = scores.embed(sequences).clone().requires_grad_(True)
    through = ranks.score_embeddings(at, sequences)
    assert np.allclose(through.detach().numpy(), ranks.score(sequences))
    pairs = [torch.autograd.grad(e.score_embeddings(at, sequences)[:, 3].sum(), at)[0] for e in (ranks, scores)]
    assert torch.allclose(pairs[0], pairs[1])
    assert pairs[0].abs().sum() > 0


def test_a_moved_table_is_cut_up_among_the_members() -> None:
    sequences, ensemble = random_sequences(4, 8, 30), Ensemble(bags())
    delta = torch.randn(31, 15, generator=torch.Generator().manual_seed(1))
    delta[0] = 0
    moved = with_item_embeddings(ensemble, ensemble.item_embeddings + delta)
    rows = torch.from_numpy(sequences.items.astype(np.int64))
    wanted = ensemble.score_embeddings(ensemble.embed(sequences) + delta[rows], sequences)
    assert np.allclose(moved.score(sequences)[:, 1:], wanted[:, 1:].numpy(), atol=1e-5)


def test_it_offers_what_all_members_offer() -> None:
    model = GRU4Rec(**SMALL).fit(chain_log(users=30, n_items=30), seed=0)
    assert capabilities(Ensemble([model, model])) == {"lists", "scores", "fit", "resume", "gradients"}
    assert capabilities(Ensemble([model, LinearBag()])) == {"lists", "scores", "gradients"}
    assert isinstance(Ensemble.of([model, model]), Persistent)
    assert not isinstance(Ensemble.of([model, LinearBag()]), Persistent)
    assert (Ensemble([model, model]).context, Ensemble([model, LinearBag()]).context) == (12, 0)


def test_members_of_different_catalogues_are_refused() -> None:
    for members in ([], [LinearBag(n_items=30), LinearBag(n_items=31)]):
        with pytest.raises(InputError, match="rank the same items"):
            Ensemble(members)


def test_members_differ_by_their_seeds_and_go_on_one_by_one() -> None:
    log = chain_log(users=60)
    first, second = fitted([GRU4Rec(**SMALL)] * 2, [log] * 2, seed=3)
    sequences = log.sequences(12)
    assert not np.array_equal(first.recommend(sequences, 3), second.recommend(sequences, 3))
    ensemble = Ensemble.of([first, second])
    weights = ensemble.item_embeddings.clone()
    further = ensemble.resume(log, seed=4, share=0.5)
    one = cast(GRU4Rec, first)
    assert [cast(GRU4Rec, m).steps for m in further.members] == [one.steps, cast(GRU4Rec, second).steps]
    assert torch.equal(weights, ensemble.item_embeddings)
    moved = (further.item_embeddings - weights).norm(dim=0)
    assert bool((moved > 0).all())
    # from these weights, not from fresh ones
    fresh = ensemble.fit(log, seed=4)
    assert (further.item_embeddings - weights).norm() < (fresh.item_embeddings - weights).norm()
    assert members_of(ensemble, 2) == ensemble.members
    with pytest.raises(InputError, match="2 members cannot go on as one of 3"):
        members_of(ensemble, 3)


def test_what_cannot_be_trained_further_says_so() -> None:
    with pytest.raises(NotApplicable, match="fitted"):
        fitted([LinearBag()], [chain_log()], seed=0)
    with pytest.raises(NotApplicable, match="trained further"):
        fitted([adapt(_Foreign())], [chain_log()], seed=0, share=0.5)


def test_state_is_restored_to_the_bit() -> None:
    log = chain_log(users=40)
    ensemble = Seeds(members=3, combine="ranks").train(GRU4Rec(**SMALL), log, seed=1, share=None)
    assert isinstance(ensemble, StoredEnsemble)
    arrays, settings = ensemble.state()
    for again in (StoredEnsemble.from_state(arrays, settings), StoredEnsemble.from_state(arrays, settings, GRU4Rec)):
        assert again.combine == "ranks"
        assert np.array_equal(again.score(log.sequences(12)), ensemble.score(log.sequences(12)))
        assert again.state()[1] == settings


class _Foreign:
    """Counts what follows what, without a way to be written down."""

    def __init__(self) -> None:
        self.n_items = 0

    def fit(self, log: InteractionLog, *, seed: int) -> _Foreign:
        """Itself; `adapt` hands it a copy."""
        self.n_items = log.n_items
        self.follows = np.zeros((log.n_items + 1, log.n_items + 1))
        same = log.user[1:] == log.user[:-1]
        np.add.at(self.follows, (log.item[:-1][same], log.item[1:][same]), 1.0)
        return self

    def score(self, sequences: SequenceBatch) -> np.ndarray[Any, np.dtype[np.float32]]:
        """[B, n_items + 1]."""
        return self.follows[sequences.items[:, -1]].astype(np.float32)


class _Kept(_Foreign):
    """The same with a way to be written down, of a kind that is not registered."""

    capabilities = frozenset({"lists", "scores", "fit"})

    def fit(self, log: InteractionLog, *, seed: int) -> _Kept:
        """A new one."""
        return cast(_Kept, _Foreign.fit(_Kept(), log, seed=seed))

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """[B, k]."""
        return (np.argsort(-self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k] + 1).astype(np.int32)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The counts."""
        return {"follows": self.follows}, {"n_items": self.n_items}

    @classmethod
    def from_state(cls, arrays: dict[str, Any], settings: dict[str, Any]) -> _Kept:
        """From the counts."""
        made = cls()
        made.follows, made.n_items = arrays["follows"], settings["n_items"]
        return made


HERE = "tests.unit.recommenders.test_ensemble"


@pytest.mark.parametrize("victim", ["gru4rec", f"{HERE}:_Foreign", f"{HERE}:_Kept"])
@pytest.mark.parametrize("defense", [Seeds(members=2), Bagging(members=2)])
def test_the_runner_brings_an_ensemble_back_from_its_store(
    tmp_path: Path, victim: str, defense: Seeds | Bagging
) -> None:
    """Another process has only the store: what it restores ranks as what was fitted."""
    log = chain_log(users=40)
    store = Store(tmp_path)
    store.prepare()
    users = np.arange(log.n_users)
    split: dict[str, Any] = {
        "user": log.user,
        "item": log.item,
        "timestamp": log.timestamp,
        "users": users,
        "truth": log.item[:40],
    }
    note = {"n_users": log.n_users, "n_items": log.n_items, "name": "", "seen": "keep"}
    store.put("split", Artifact(split, note))
    settings = SMALL if victim == "gru4rec" else {}
    named = {"name": victim, "settings": settings, "fingerprint": None}
    chosen = {"name": defense.name, "parameters": defense.model_dump(mode="json"), "source": ""}
    job = Job("fit", {"victim": named, "seed": 5, "defense": chosen}, {"split": "split"}, "fitted")
    here = Workshop(store)
    store.put("fitted", fit(here, job))
    restored = Workshop(store).model(named, "fitted")
    assert isinstance(restored, Ensemble)
    assert len(restored.members) == 2
    scores = restored.score(log.sequences(12))
    assert np.array_equal(scores, cast(Ensemble, here.model(named, "fitted")).score(log.sequences(12)))
    kept = isinstance(restored, StoredEnsemble)
    assert kept is (victim != f"{HERE}:_Foreign")


def test_a_foreign_model_can_be_bagged() -> None:
    """First-order counts of samples of users who walk a circle: all of them know what comes next."""
    log = chain_log(users=60)
    protected = Bagging(members=4, samples="disjoint").protect(adapt(_Foreign()), log=log, seed=0)
    ranked = cast(Any, protected).fit(log, seed=0)
    newest = log.sequences(5).items[:, -1]
    assert np.mean(ranked.recommend(log.sequences(5), 1)[:, 0] == newest % 20 + 1) == 1.0
    counts = sum(member.model.follows for member in ranked.members)
    assert np.array_equal(counts, _Foreign().fit(log, seed=0).follows)  # each user in exactly one part
