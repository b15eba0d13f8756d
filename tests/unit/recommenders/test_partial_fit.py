"""Updates: what they learn, against a fit on everything; and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.defense import Defense
from robust.defenses.guards.surprise import Surprise
from robust.defenses.sanitizers.pca import PCAVarSelect
from robust.defenses.training.adversarial_embeddings import AdversarialEmbeddings
from robust.errors import InputError
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.baselines import ItemKNN, Markov, Popularity
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.caser import Caser
from robust.recommenders.checkpoint import load, save
from robust.recommenders.narm import NARM
from robust.recommenders.neural import NeuralRecommender
from robust.recommenders.protocols import Incremental, Persistent, capabilities
from robust.recommenders.recent import Recent
from robust.recommenders.recurrent import GRU4Rec, LSTM4Rec, RNN4Rec
from robust.recommenders.sasrec import SASRec
from robust.testing.strategies import interaction_logs
from tests.toys import chain_log

SMALL: dict[str, Any] = {"context": 8, "dimension": 8, "max_steps": 40, "min_steps": 40, "batch_size": 16}
NEURAL: list[type[NeuralRecommender]] = [GRU4Rec, LSTM4Rec, RNN4Rec, SASRec, NARM, Caser, BERT4Rec]
COUNTED: list[Any] = [Popularity(), Markov(), Markov(gaps=3)]


def rows_of(*histories: list[int], n_items: int = 20) -> InteractionLog:
    """One user for each history."""
    user = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    item = [item for history in histories for item in history]
    return InteractionLog.from_columns(user, item, np.arange(len(user)), n_users=len(histories), n_items=n_items)


def same_state(ours: Persistent, theirs: Persistent) -> bool:
    (arrays, about), (others, about_other) = ours.state(), theirs.state()
    return (
        about == about_other
        and arrays.keys() == others.keys()
        and all(np.array_equal(arrays[name], others[name]) for name in arrays)
    )


@pytest.mark.parametrize("blank", COUNTED, ids=repr)
@given(log=interaction_logs(max_length=8), data=st.data())
@settings(max_examples=50, deadline=None)
def test_updates_add_up_to_a_fit_on_everything_to_the_bit(blank: Any, log: InteractionLog, data: st.DataObject) -> None:
    def ends(kind: str) -> np.ndarray[Any, Any]:
        most = st.tuples(*(st.integers(0, int(length)) for length in log.lengths))
        return np.array(data.draw(most, label=kind))

    # users' rows in three parts; users without a row in the first may be unknown to it
    first, second = np.sort([ends("first"), ends("second")], axis=0)
    part = (log.position >= first[log.user]).astype(int) + (log.position >= second[log.user])
    known = int(np.flatnonzero(first).max(initial=-1)) + 1
    start = log.rows(part == 0)
    start = InteractionLog(start.user, start.item, start.timestamp, known, log.n_items)
    updated = blank.fit(start, seed=0).partial_fit(log.rows(part == 1), seed=1).partial_fit(log.rows(part == 2), seed=2)
    assert same_state(updated, blank.fit(log, seed=0))
    asked = log.sequences(5)
    assert np.array_equal(updated.score(asked), blank.fit(log, seed=0).score(asked))


def test_the_first_new_row_follows_the_users_last_one() -> None:
    model = Markov(gaps=2).fit(rows_of([1, 2], [5]), seed=0).partial_fit(rows_of([3], [], [4, 5]), seed=0)
    after_2, after_1 = model.score(SequenceBatch.from_lists([[2], [1]]))[:, 1:6]
    assert after_2 == pytest.approx([0, 0, 1, 0, 0], abs=1e-3)
    assert after_1 == pytest.approx([0, 1 / 1.5, 0.5 / 1.5, 0, 0], abs=1e-3)  # 2 next to it, 3 one further


@pytest.mark.parametrize("kind", NEURAL)
def test_a_warm_update_learns_new_transitions_and_the_same_seed_gives_the_same_bits(
    kind: type[NeuralRecommender],
) -> None:
    # BERT4Rec learns from what it hides only, and sees a mask at the end of whole windows only
    share, known, next_item = (60.0, [7, 15, 7, 15], 7) if kind is BERT4Rec else (20.0, [7], 15)
    model = kind(**SMALL, update_share=share).fit(chain_log(users=60), seed=0)
    weights = {name: array.copy() for name, array in model.state()[0].items()}
    new = rows_of(*([7, 15, 7, 15, 7] for _ in range(12)))
    updated, again, other = (model.partial_fit(new, seed=seed) for seed in (5, 5, 6))
    asked, expected = SequenceBatch.from_lists([known]), np.array([next_item], np.int32)
    assert updated.loss(asked, expected) < 0.5 * model.loss(asked, expected)
    assert same_state(updated, again)
    assert not np.array_equal(updated.state()[0]["table"], other.state()[0]["table"])
    assert all(np.array_equal(model.state()[0][name], weights[name]) for name in weights)  # self is as it was
    assert updated.steps == model.steps


def test_a_single_new_row_is_predicted_from_the_users_last_item() -> None:
    model = GRU4Rec(**SMALL, update_share=100.0).fit(chain_log(users=60), seed=0)
    last = int(chain_log(users=60).sequences(1).items[4, 0])
    surprise = (last + 9) % 20 + 1
    one = InteractionLog.from_columns([4], [surprise], [10**6], n_users=60, n_items=20)
    asked = SequenceBatch.from_lists([[last]])
    before, after = (m.score(asked)[0] for m in (model, model.partial_fit(one, seed=0)))
    assert after[surprise] - after[1:].mean() > before[surprise] - before[1:].mean()


def test_rows_that_predict_nothing_count_as_popularity_and_are_remembered() -> None:
    log = chain_log(users=60)
    model = GRU4Rec(**SMALL).fit(log, seed=0)
    strangers = InteractionLog.from_columns([60, 61], [3, 9], [0, 0], n_users=62, n_items=20)
    updated = model.partial_fit(strangers, seed=0)
    assert np.array_equal(updated.state()[0]["table"], model.state()[0]["table"])
    assert np.array_equal(updated.state()[0]["popularity"], log.popularity + strangers.popularity)
    assert updated.state()[0]["recent"][60:].tolist() == [[3], [9]]
    updated.encoder.table.add_(1)  # a new object, down to its weights
    assert not np.array_equal(updated.state()[0]["table"], model.state()[0]["table"])


def test_an_update_takes_its_rows_share_of_the_fits_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    log, taken = chain_log(users=60, length=15), []
    model = GRU4Rec(**SMALL, patience=20).fit(log, seed=0)
    plain = GRU4Rec.train

    def told(self: GRU4Rec, log: InteractionLog, **more: Any) -> Any:
        return plain(self, log, **more, progress=lambda step, steps, note: taken.append(steps))

    monkeypatch.setattr(GRU4Rec, "train", told)
    model.partial_fit(log.rows(log.user < 15), seed=0)  # a quarter as many rows as in the fit
    assert taken == [10] * 10
    assert len(log) == 900


@pytest.mark.parametrize("blank", [*COUNTED, GRU4Rec(**SMALL)], ids=repr)
def test_a_model_read_back_is_updated_alike(blank: Any, tmp_path: Path) -> None:
    log = chain_log(users=30)
    model = blank.fit(log.rows(log.position < 9), seed=0)
    save(model, tmp_path)
    again = load(tmp_path)
    assert isinstance(again, Incremental)
    new = log.rows(log.position >= 9)
    updated: Any = again.partial_fit(new, seed=3)
    assert same_state(updated, model.partial_fit(new, seed=3))


@pytest.mark.parametrize("blank", COUNTED, ids=repr)
def test_an_update_leaves_the_counts_as_they_were(blank: Any) -> None:
    log = chain_log(users=30, noise=0.3)
    model = blank.fit(log, seed=0)
    before = {name: array.copy() for name, array in model.state()[0].items()}
    model.partial_fit(chain_log(users=40, seed=1), seed=0)
    assert all(np.array_equal(array, before[name]) for name, array in model.state()[0].items())


def test_weights_written_before_last_items_were_kept_can_still_be_read_and_updated() -> None:
    model = GRU4Rec(**SMALL).fit(chain_log(users=30), seed=0)
    arrays, about = model.state()
    del arrays["recent"]
    again = GRU4Rec.from_state(arrays, about)
    assert np.array_equal(again.score(SequenceBatch.from_lists([[3]])), model.score(SequenceBatch.from_lists([[3]])))
    updated = again.partial_fit(rows_of([4, 9, 4]), seed=0)
    assert updated.state()[0]["recent"].tolist() == [[4]]


@pytest.mark.parametrize("blank", [*COUNTED, GRU4Rec(**SMALL)], ids=repr)
def test_misuse_is_refused(blank: Any) -> None:
    assert "update" in capabilities(blank)
    with pytest.raises(InputError, match="is not fitted: call fit"):
        blank.partial_fit(chain_log(users=5), seed=0)
    with pytest.raises(InputError, match="was fitted to 20 items and cannot be updated with rows of a catalogue of 9"):
        blank.fit(chain_log(users=5), seed=0).partial_fit(chain_log(users=5, n_items=9), seed=0)


def test_item_knn_offers_no_update() -> None:
    assert "update" not in capabilities(ItemKNN())
    assert not isinstance(ItemKNN(), Incremental)


@pytest.mark.parametrize("defense", [PCAVarSelect(), Surprise(), AdversarialEmbeddings()], ids=lambda d: str(d.name))
def test_a_defence_does_not_offer_updates_that_it_would_not_defend(defense: Defense) -> None:
    log = chain_log(users=30)
    protected = defense.protect(GRU4Rec(**SMALL).fit(log, seed=0), log=log, seed=0)
    assert "update" not in capabilities(protected)


def test_new_rows_come_after_the_remembered_whatever_their_times() -> None:
    recent = Recent.of(rows_of([1, 2, 3], [4]), 2)
    early = InteractionLog.from_columns([0, 0, 2], [8, 9, 7], [-5, -5, -9], n_users=3, n_items=20)
    joined, new = recent.followed_by(early)
    assert joined.user.tolist() == [0, 0, 0, 0, 1, 2]
    assert joined.item.tolist() == [2, 3, 8, 9, 4, 7]
    assert new.tolist() == [False, False, True, True, False, True]
    assert joined.n_users == 3
    assert Recent.of(joined, 2).items.tolist() == [[8, 9], [0, 4], [0, 7]]
