"""Taking a model out of its ranked lists: the walk, the loss and the agreement, each against a plain computation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from robust.errors import InputError
from robust.extraction import Extraction, agreement, constant_agreement, converse, distil, hinge
from robust.log import Int32, SequenceBatch
from robust.recommenders.resolve import resolve
from tests.toys import LinearBag, ListsOnly

HOW = Extraction(queries=60, length=5, k=4)


def test_each_answer_is_that_to_the_history_so_far_and_the_next_item_is_on_it() -> None:
    victim = ListsOnly(LinearBag())
    said = converse(victim, HOW, np.random.default_rng(3))
    assert said.items.shape == (12, 5)
    assert said.queries == HOW.spent == 60
    for step in range(5):
        asked = SequenceBatch(said.items[:, : step + 1])
        assert np.array_equal(said.lists[:, step], victim.recommend(asked, 4))
    assert all(item in row for item, row in zip(said.items[:, 3], said.lists[:, 2], strict=True))
    again = converse(victim, HOW, np.random.default_rng(3))
    assert np.array_equal(said.items, again.items)


def test_a_random_walk_leaves_the_lists() -> None:
    said = converse(ListsOnly(LinearBag()), HOW.model_copy(update={"walk": "random"}), np.random.default_rng(3))
    listed = [
        item in row for item, row in zip(said.items[:, 1:].ravel(), said.lists[:, :-1].reshape(-1, 4), strict=True)
    ]
    assert not all(listed)


class Habitual:
    """Says one thing to three of four, and another to the fourth."""

    n_items = 9

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        rows = np.tile(np.arange(1, k + 1, dtype=np.int32), (len(sequences), 1))
        rows[::4] = np.arange(2, k + 2)
        return rows


def test_the_best_single_list_agrees_as_computed_by_hand() -> None:
    """1, 2 and 3 are listed most often: all of them stand on three lists of four, two of them on the fourth."""
    asked = SequenceBatch(np.ones((8, 2), dtype=np.int32))
    assert constant_agreement(Habitual(), asked, 3) == pytest.approx((3 * 1 + 2 / 3) / 4)
    assert constant_agreement(Refusing(), asked, 3) == 0.0
    assert constant_agreement(Brief(), asked, 3) == 1.0  # the list 1, 2, 3: what ends a short list is no item
    assert agreement(Brief(), Brief(), asked, 3) == 1.0


class Brief:
    """Lists the items 1, 2 and 3 for one in four, and 1 alone for others."""

    n_items = 9

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        rows = np.zeros((len(sequences), k), dtype=np.int32)
        rows[:, 0] = 1
        rows[::4, :3] = 1, 2, 3
        return rows


class Refusing:
    """Lists nothing."""

    n_items = 9

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        return np.zeros((len(sequences), k), dtype=np.int32)


def test_a_refusal_is_walked_past() -> None:
    said = converse(Refusing(), HOW, np.random.default_rng(0))
    assert said.items.min() >= 1
    assert agreement(Refusing(), ListsOnly(LinearBag(9)), SequenceBatch(said.items), 4) == 0.0


def test_the_loss_is_that_of_a_loop() -> None:
    """Four of five items are listed, so that one negative is left and no chance is in it."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    lists = torch.tensor([[1, 2, 3, 4], [5, 4, 3, 2], [3, 1, 2, 5]])
    left_out = (5, 1, 4)
    order, apart = [], []
    for row, listed in enumerate(lists.tolist()):
        own = [float(scores[row, item - 1]) for item in listed]
        order += [max(0.0, 0.5 - (above - below)) for above, below in pairwise(own)]
        apart += [max(0.0, 0.5 - (score - float(scores[row, left_out[row] - 1]))) for score in own]
    found = hinge(scores, lists, 0.5, generator)
    assert found.item() == pytest.approx(np.mean(order) + np.mean(apart))


@pytest.mark.parametrize("short", [[[2, 3, 0, 0]], [[2, 0, 0, 0]], [[2, 3, 0, 0], [0, 0, 0, 0]]])
def test_a_short_list_counts_for_what_it_holds(short: list[list[int]]) -> None:
    far = torch.tensor([[0.0, 9.0, 6.0, 3.0, 3.0]]).expand(len(short), -1)
    loss = hinge(far, torch.tensor(short), 0.5, torch.Generator().manual_seed(0))
    assert loss.item() == 0.0


def test_no_listed_item_is_ever_a_negative() -> None:
    scores = torch.zeros(200, 6)
    scores[:, :5] = 10.0  # all listed items far above the only other one: a listed negative would cost .5
    lists = torch.arange(1, 6).expand(200, 5)
    ordered = scores + torch.arange(6, 0, -1)
    assert hinge(ordered, lists, 0.5, torch.Generator().manual_seed(0)).item() == 0.0


def test_agreement_by_hand() -> None:
    class Says:
        n_items = 9

        def __init__(self, lists: list[list[int]]) -> None:
            self.lists = np.array(lists, dtype=np.int32)

        def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
            return self.lists[:, :k]

    asked = SequenceBatch(np.ones((3, 1)))
    a, b = Says([[1, 2, 3], [4, 5, 0], [0, 0, 0]]), Says([[3, 9, 1], [5, 6, 7], [1, 2, 3]])
    assert agreement(a, b, asked, 3) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_copy_of_a_linear_model_ranks_as_it_does() -> None:
    victim = ListsOnly(LinearBag(n_items=30))
    how = Extraction(queries=4000, length=5, k=10)
    blank = resolve("gru4rec", {"dimension": 16, "hidden": 16, "max_steps": 300, "min_steps": 300})
    said = converse(victim, how, np.random.default_rng(0))
    unasked = SequenceBatch(np.random.default_rng(9).integers(1, 31, size=(300, 5)))
    copied = agreement(victim, distil(blank, said, how, seed=1), unasked, 10)
    shuffled = said.model_copy(update={"lists": np.random.default_rng(1).permutation(said.lists)})
    control = agreement(victim, distil(blank, shuffled, how, seed=1), unasked, 10)
    assert copied > 0.6 > control  # chance: .33


def test_what_cannot_learn_from_lists_is_refused() -> None:
    said = converse(ListsOnly(LinearBag()), HOW, np.random.default_rng(3))
    for name, settings, why in (
        ("popularity", {}, "cannot learn from lists"),
        ("gru4rec", {"context": 3}, "longer than the surrogate's context"),
        ("bert4rec", {}, "hides items"),
    ):
        with pytest.raises(InputError, match=why):
            distil(resolve(name, settings), said, HOW, seed=0)
