"""The assertion for test suites on a toy whose answer is known: a perfect recommender, and an attack that ruins a
planted share of the users altogether."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.bounds import Bound, BoundBroken, InconclusiveBound, assert_bounded_degradation
from robust.errors import BudgetExceeded, InputError
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.protocols import Capability, Float32
from robust.threat import Budget
from tests.toys import chain_log

USERS, ITEMS = 400, 30
LOG = chain_log(users=USERS, n_items=ITEMS, length=8)  # nobody comes round the circle, so no item is met twice


class Successor:
    """Ranks the successor of the newest item first, and, before it even, whatever stands in the history."""

    capabilities: frozenset[Capability] = frozenset({"lists", "scores"})

    def __init__(self, n_items: int = ITEMS) -> None:
        self.n_items = n_items
        self.widths: set[int] = set()

    def score(self, sequences: SequenceBatch) -> Float32:
        self.widths.add(sequences.width)
        scores = np.zeros((len(sequences), self.n_items + 1), dtype=np.float32)
        rows = np.arange(len(sequences))
        scores[rows[:, None], sequences.items] = 9.0
        scores[rows, sequences.items[:, -1] % self.n_items + 1] = 5.0
        return scores

    def recommend(self, sequences: SequenceBatch, k: int) -> Any:
        return np.argsort(-self.score(sequences)[:, 1:], axis=1, kind="stable")[:, :k].astype(np.int32) + 1


class Ruin(EvasionAttack):
    """Replaces the newest item, with another whose successor lies far off, for a share of the users.

    Attributes:
        share: of the users, the first ones; with `draw`, each user by the toss of a coin. edits: items replaced.
    """

    name: ClassVar[str] = "ruin"
    source: ClassVar[str] = "test"
    model_access: ClassVar[Any] = "none"
    share: float
    draw: int | None = None
    edits: int = 1

    def evade(
        self, access: AccessView, sequences: SequenceBatch, goal: AnyGoal, budget: Budget, rng: np.random.Generator
    ) -> SequenceBatch:
        place = (np.arange(len(sequences)) + 0.5) / len(sequences)
        coins = place if self.draw is None else np.random.default_rng(self.draw).random(len(sequences))
        items = sequences.items.copy()
        newest = items[coins < self.share, -self.edits :]
        items[coins < self.share, -self.edits :] = (newest + 14) % ITEMS + 1
        return sequences.with_items(items)


def judged(share: float, max_drop: float = 0.10, **more: Any) -> Any:
    return assert_bounded_degradation(
        Successor(), LOG, attack=Ruin(share=share), metric="hr@1", max_drop=max_drop, **more
    )


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05])
def test_a_planted_drop_within_the_bound_passes_and_is_measured_exactly(share: float) -> None:
    found = judged(share)
    assert found.judgement.verdict == "PASS"
    assert found.judgement.change == pytest.approx(share)
    assert (found.clean, found.attacked) == pytest.approx((1, 1 - share))
    assert (found.n_users, found.replayed) == (USERS, 0)


def test_a_planted_drop_beyond_the_bound_is_red() -> None:
    with pytest.raises(BoundBroken, match="HR@1 drops by at most 10%"):
        judged(0.3)


def test_what_broke_a_bound_is_kept_once_and_tried_again(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(BoundBroken):
            judged(0.3, corpus=tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
    harmless = judged(0.0, corpus=tmp_path, max_drop=0.99)
    assert harmless.replayed == 1


def test_a_drop_at_the_bound_warns_where_the_assertion_stands() -> None:
    with pytest.warns(InconclusiveBound, match="HR@1 drops by at most 10%") as warned:
        found = assert_bounded_degradation(Successor(), LOG, attack=Ruin(share=0.1), metric="hr@1")
    assert found.judgement.verdict == "INCONCLUSIVE"
    assert [warning.filename for warning in warned] == [__file__]
    with pytest.raises(BoundBroken):
        judged(0.1, strict=True)


def test_less_confidence_decides_what_more_leaves_open() -> None:
    assert judged(0.07, confidence=0.8).judgement.alpha == pytest.approx(0.2)
    with pytest.warns(InconclusiveBound):
        judged(0.07, confidence=0.99)


@pytest.mark.parametrize("confidence", [-0.2, 0.0, 0.3, 0.5, 1.0, 1.5])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match=r"between 0\.5 and 1"):
        judged(0.0, confidence=confidence)


def test_the_budget_is_one_edit_unless_told_otherwise() -> None:
    with pytest.raises(BudgetExceeded, match="edits per sequence 2, allowed 1"):
        assert_bounded_degradation(Successor(), LOG, attack=Ruin(share=0.1, edits=2))
    two = Ruin(share=0.02, edits=2)
    assert assert_bounded_degradation(Successor(), LOG, attack=two, budget={"edits": 2}).judgement.verdict == "PASS"


def test_the_strongest_of_several_is_judged_on_the_users_left() -> None:
    log = chain_log(users=301, n_items=ITEMS, length=8)
    weak, strong = Ruin(share=0.1, draw=0), Ruin(share=0.6, draw=1)
    found = assert_bounded_degradation(Successor(), log, attack=[weak, strong], metric="hr@1", max_drop=0.9)
    assert "0.6" in found.attack
    assert found.n_users == 151
    assert found.judgement.change == pytest.approx(0.6, abs=0.1)


def test_what_is_judged_was_not_what_was_chosen_by() -> None:
    """Twenty equally strong attacks, each lucky on other users: on users not chosen by, the luckiest is like the rest.

    Its drop on the twenty users it was chosen by would be .5 + 1.87 · .11 = .71 on average.
    """
    log = chain_log(users=40, n_items=ITEMS, length=8)
    attacks: list[Any] = [Ruin(share=0.5, draw=draw) for draw in range(20)]
    changes = [
        assert_bounded_degradation(
            Successor(), log, attack=attacks, metric="hr@1", max_drop=0.99, confidence=0.51, seed=seed
        ).judgement.change
        for seed in range(12)
    ]
    assert np.mean(changes) == pytest.approx(0.5, abs=0.08)


def test_what_a_user_holds_is_excluded_where_items_do_not_repeat() -> None:
    assert judged(0.0).judgement.change == 0  # the history stands before the successor, and would leave no hit at all
    repeating = chain_log(users=USERS, n_items=4, length=9)

    class History(Successor):
        def score(self, sequences: SequenceBatch) -> Float32:
            return np.where(np.arange(self.n_items + 1) == sequences.items[:, -4:-3], 7.0, 0.0).astype(np.float32)

    # on a circle of four the next item was met four rows ago: all hits are of items that users hold
    found = assert_bounded_degradation(History(4), repeating, attack=Ruin(share=0.0), metric="hr@1")
    assert found.judgement.change == 0


def test_an_item_without_train_rows_is_a_miss_and_one_row_makes_it_none() -> None:
    """Half of the users end on item 29, which no train row holds; one train row of item 30 is enough for the others."""
    half = USERS // 2
    rows = [[28, 29]] * half + [[29 - 2, 30]] * half
    user = np.repeat(np.arange(USERS), 2)
    item = np.array(rows).ravel()
    log = InteractionLog.from_columns([*user, USERS], [*item, 30], [*range(len(item)), 0], n_items=ITEMS)

    class Last(Successor):
        def score(self, sequences: SequenceBatch) -> Float32:
            scores = super().score(sequences)
            scores[sequences.items[:, -1] == 27, 30] = 6.0
            return scores

    # what is ruined is only what was a miss before
    found = assert_bounded_degradation(Last(), log, attack=Ruin(share=0.5), metric="hr@1")
    assert found.judgement.change == 0
    assert found.n_users == USERS


def test_a_model_is_asked_with_the_context_that_it_reads() -> None:
    plain, short = Successor(), Successor()
    short.context = 3  # type: ignore[attr-defined]
    for model in (plain, short):
        assert_bounded_degradation(model, LOG, attack=Ruin(share=0.0), metric="hr@1")
    assert (plain.widths, short.widths) == ({50}, {3})


def test_a_recommender_that_is_neither_fitted_nor_can_be_is_refused() -> None:
    with pytest.raises(InputError, match="not fitted"):
        assert_bounded_degradation(Successor(n_items=0), LOG)


@pytest.mark.parametrize("limit", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_limit_lies_from_0_to_below_1(limit: float) -> None:
    assert Bound(metric="hr@5", kind="level", limit=0).limit == 0
    with pytest.raises(ValidationError):
        Bound(metric="hr@5", kind="level", limit=limit)


@pytest.mark.parametrize(
    ("bound", "label"),
    [
        (Bound(metric="ndcg@10", kind="drop", limit=0.1), "NDCG@10 drops by at most 10%"),
        (Bound(metric="target_hr@5", kind="rise", limit=0.025), "target HR@5 rises by at most 2.5 percentage points"),
        (Bound(metric="mrr@20", kind="level", limit=0.3), "MRR@20 is at most 0.3"),
    ],
)
def test_a_bound_has_a_name(bound: Bound, label: str) -> None:
    assert bound.label == label
