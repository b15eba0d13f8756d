"""One perturbation for all users (universal, item table), random controls of equal scope, and what is left on items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from robust.attack import AnyGoal, EmbeddingAttack, Perturbed
from robust.attacks.embedding.item_table import ItemTable
from robust.attacks.embedding.noise import Noise
from robust.attacks.embedding.pgd import PGD
from robust.attacks.embedding.universal import Universal
from robust.attacks.objective import objective_for
from robust.errors import BudgetExceeded, InputError, NotApplicable, RobustError
from robust.log import SequenceBatch
from robust.measure import perturb
from robust.metrics.full_ranking import rank_of_truth
from robust.ranking import per_user
from robust.recommenders.item_table import with_item_embeddings
from robust.recommenders.recurrent import GRU4Rec
from robust.situation import Situation
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences, view

MODEL = LinearBag()
SEQUENCES = random_sequences(40, 8, 30, seed=4)
LOG = chain_log(users=60, n_items=20, length=9, noise=0.2)
SMALL: dict[str, Any] = {"context": 8, "dimension": 8, "max_steps": 30, "min_steps": 30, "batch_size": 32}


def run(attack: EmbeddingAttack, goal: AnyGoal, sequences: SequenceBatch = SEQUENCES, **budget: Any) -> Perturbed:
    spends = Budget(**{"epsilon": 0.3, "unit": "absolute", **budget})
    return attack(view(MODEL), sequences, goal, spends, np.random.default_rng(0))


def harm(attack: EmbeddingAttack, goal: AnyGoal, **budget: Any) -> float:
    """The mean objective after the attack."""
    scores = run(attack, goal, **budget).scored_by(MODEL, SEQUENCES)
    return float(objective_for(view(MODEL), SEQUENCES, goal)(scores).mean())


@pytest.fixture(scope="module")
def fitted() -> GRU4Rec:
    return GRU4Rec(**SMALL).fit(LOG, seed=0)


@pytest.mark.parametrize("attack", [Universal(positions=2), Noise(scope="universal", positions=2, tries=3)], ids=str)
def test_each_half_gets_one_delta_that_its_own_users_had_no_part_in(attack: EmbeddingAttack) -> None:
    half = np.array_split(np.random.default_rng(0).permutation(40), 2)[0]
    if isinstance(attack, Noise):  # its first draw seeds the noise
        rng = np.random.default_rng(0)
        rng.integers(2**63)
        half = np.array_split(rng.permutation(40), 2)[0]
    rest = np.setdiff1d(np.arange(40), half)
    deltas = run(attack, Demote(items=(5,))).deltas
    assert not bool(deltas[:, :-2].any())
    for users in (half, rest):
        newest = deltas[users, -1]
        assert bool(newest.any())
        assert torch.equal(newest, newest[:1].expand_as(newest))
        second = deltas[users[SEQUENCES.items[users, -2] != 0], -2]
        assert torch.equal(second, second[:1].expand_as(second))
    # other histories in one half change what the other half gets, and only that
    others = SEQUENCES.items.copy()
    others[half] = np.where(others[half] > 0, others[half] % 30 + 1, 0)
    again = run(attack, Demote(items=(5,)), SEQUENCES.with_items(others)).deltas
    assert torch.equal(again[half], deltas[half])
    if isinstance(attack, Universal):
        assert not torch.equal(again[rest], deltas[rest])


@pytest.mark.parametrize("attack", [Universal(positions=2), ItemTable()], ids=lambda a: a.name)
@pytest.mark.parametrize("goal", [Promote(items=(5, 9)), Demote(items=(5,))], ids=lambda g: g.kind)
def test_what_is_shared_does_more_than_noise_of_its_scope(goal: AnyGoal, attack: EmbeddingAttack) -> None:
    nothing, control = harm(Noise(), goal, epsilon=0.0), attack.control_attack(Budget())
    assert control is not None
    beside = harm(Noise(**control[1]), goal)
    assert harm(attack, goal) - nothing > 1.5 * abs(beside - nothing)


def test_a_single_user_has_nobody_to_learn_from() -> None:
    assert not bool(run(Universal(), Demote(items=(5,)), SEQUENCES[:1]).deltas.any())


def test_more_tries_do_no_less_and_cost_a_query_each() -> None:
    goal = Demote(items=(5,))
    for scope in ("sequence", "item-table"):
        assert harm(Noise(scope=scope, tries=8), goal) > harm(Noise(scope=scope), goal)
    assert run(Noise(tries=8), goal).queries == 8 * 40
    assert run(Noise(tries=8, scope="item-table"), goal).queries == 8 * 40
    assert run(Noise(tries=8, scope="universal"), goal).queries == 8 * 40
    assert run(Noise(tries=8), Degrade()).queries == 9 * 40, "and one for the clean top-1"
    assert run(Noise(scope="universal"), Degrade()).queries == 0


def test_a_table_of_noise_has_rows_of_size_epsilon() -> None:
    table = run(Noise(scope="item-table"), Degrade()).table
    assert table is not None
    assert not bool(table[0].any())
    torch.testing.assert_close(table[1:].norm(dim=1), torch.full((30,), 0.3))


class Tabled(EmbeddingAttack):
    """Hands back a table of its own choosing."""

    name = "tabled"
    source = "planted"
    rows: int = 31
    factor: float = 1.0
    padding: bool = False

    def perturb(self, access: Any, sequences: Any, goal: Any, budget: Budget, rng: Any) -> torch.Tensor:
        table = torch.zeros(self.rows, 6)
        table[0 if self.padding else 3, 1] = (budget.epsilon or 0.0) * self.factor
        return table


def test_a_table_is_held_to_its_budget() -> None:
    assert run(Tabled(), Degrade()).table is not None
    with pytest.raises(BudgetExceeded, match="l2 radius per row"):
        run(Tabled(factor=1.001), Degrade())
    with pytest.raises(RobustError, match="moved padding"):
        run(Tabled(padding=True), Degrade())
    with pytest.raises(RobustError, match=r"expected \(31, 6\)"):
        run(Tabled(rows=30), Degrade())
    with pytest.raises(RobustError, match="not finite"):
        run(Tabled(factor=float("nan")), Degrade())


def test_a_table_needs_a_recommender_that_takes_one() -> None:
    class Unable:
        n_items = 30

        def __getattr__(self, name: str) -> Any:
            if name == "with_item_embeddings":
                raise AttributeError(name)
            return getattr(MODEL, name)

    with pytest.raises(NotApplicable, match=r"no with_item_embeddings\(table\)"):
        with_item_embeddings(ListsOnly(MODEL), MODEL.table)
    with pytest.raises(NotApplicable, match="item table can be replaced"):
        ItemTable()(view(Unable()), SEQUENCES, Degrade(), Budget(epsilon=0.1), np.random.default_rng(0))
    with pytest.raises(NotApplicable, match="moves row by row"):
        run(ItemTable(), Degrade(), per="sequence")
    assert run(ItemTable(), Degrade(), per="sequence", norm="linf").table is not None


def test_another_table_is_as_if_the_model_had_been_stored_with_it(fitted: GRU4Rec) -> None:
    sequences = LOG.sequences(8)
    arrays, settings = fitted.state()
    moved = fitted.item_embeddings + 0.1 * torch.randn(21, 8, generator=torch.Generator().manual_seed(0))
    stored = GRU4Rec.from_state({**arrays, "table": moved.numpy()}, settings)
    changed = fitted.with_item_embeddings(moved)
    assert np.array_equal(changed.score(sequences), stored.score(sequences))
    assert np.array_equal(fitted.score(sequences), GRU4Rec.from_state(arrays, settings).score(sequences)), "self stays"
    assert "table" in dict(fitted.encoder.named_parameters())
    with pytest.raises(InputError, match=r"\(21, 8\), got \(20, 8\)"):
        fitted.with_item_embeddings(moved[1:])


def test_the_slope_by_the_table_is_a_finite_difference_on_both_sides(fitted: GRU4Rec) -> None:
    sequences = LOG.sequences(8)[:4]

    def value(table: torch.Tensor) -> torch.Tensor:
        model = fitted.with_item_embeddings(table)
        scores = model.score_embeddings(model.embed(sequences), sequences)[:, 1:].double()
        return torch.log_softmax(scores, dim=1)[:, 2].sum()

    table = fitted.item_embeddings.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(value(table), table)
    absent = np.setdiff1d(np.arange(1, 21), sequences.items)
    assert len(absent), "moves scores from the output's side only"
    for item in (int(sequences.items[0, -1]), int(absent[0])):
        step = torch.zeros_like(table)
        step[item] = torch.randn(8, generator=torch.Generator().manual_seed(item)) * 1e-2
        with torch.no_grad():
            found = float(value(table + step) - value(table - step)) / 2
        assert found == pytest.approx(float((slope * step).sum()), rel=0.02, abs=1e-6)


def situation(sequences: SequenceBatch, truth: Any) -> Situation:
    return Situation(sequences, np.asarray(truth, dtype=np.int32), LOG)


def measured(model: Any, attack: EmbeddingAttack, epsilon: float, goal: AnyGoal | None = None) -> Any:
    sequences = LOG.sequences(8)
    truth = sequences.items[:, -1] % 20 + 1
    return perturb(
        attack,
        situation(sequences, truth),
        planned_on=model,
        measured_on=model,
        goal=goal or Degrade(),
        budget=Budget(epsilon=epsilon),
        knowledge=Knowledge(model="gradients"),
        rng=np.random.default_rng(0),
    )


def test_a_moved_table_moves_the_measured_scores_on_both_sides(fitted: GRU4Rec) -> None:
    sequences = LOG.sequences(8)
    ranking, _ = measured(fitted, ItemTable(steps=3), 1.0)
    access = view(fitted)
    table = ItemTable(steps=3)(access, sequences, Degrade(), Budget(epsilon=1.0), np.random.default_rng(0)).table
    assert table is not None
    arrays, settings = fitted.state()
    stored = GRU4Rec.from_state({**arrays, "table": (fitted.item_embeddings + table).numpy()}, settings)
    assert np.array_equal(ranking.ranks, rank_of_truth(stored.score(sequences), sequences.items[:, -1] % 20 + 1))


@pytest.mark.parametrize("attack", [PGD(), ItemTable(steps=3), Universal()], ids=lambda a: a.name)
def test_what_is_left_on_real_items_is_found_by_brute_force(fitted: GRU4Rec, attack: EmbeddingAttack) -> None:
    sequences, goal = LOG.sequences(8), Demote(items=(4, 7))
    epsilon = 1.5
    _, noticed = measured(fitted, attack, epsilon, goal)
    perturbed = attack(view(fitted), sequences, goal, Budget(epsilon=epsilon), np.random.default_rng(0))
    points = (fitted.embed(sequences) + perturbed.deltas).reshape(-1, 8).numpy()
    nearest = cdist(points, fitted.item_embeddings[1:].numpy()).argmin(axis=1).reshape(sequences.items.shape) + 1
    nearest[sequences.items == 0] = 0
    changed = (nearest != sequences.items)[sequences.items != 0].mean()
    assert 0 < changed < 1
    assert noticed.projected["items"] == pytest.approx(changed)
    real = situation(sequences, sequences.items[:, -1] % 20 + 1)
    ranking = real.rank(fitted, sequences.with_items(nearest), goal.items, True)
    assert noticed.projected["ndcg@10"] == pytest.approx(per_user("ndcg@10", ranking).mean())
    held = np.stack([(LOG.sequences(60).items == target).any(axis=1) for target in goal.items], axis=1)
    expected = np.nanmean(per_user("target_hr@10", ranking, held))
    assert noticed.projected["target_hr@10"] == pytest.approx(expected)


def test_small_deltas_leave_the_items_as_they_were(fitted: GRU4Rec) -> None:
    """Within half the distance to the nearest neighbour, the nearest item is the item itself."""
    ranking, noticed = measured(fitted, PGD(), 0.0)
    assert noticed.projected == {"items": 0.0, "ndcg@10": pytest.approx(per_user("ndcg@10", ranking).mean())}
