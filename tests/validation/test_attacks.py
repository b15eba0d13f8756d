"""Floors on attacks and defences, on ml-1m: an attack beats its control, a defence helps, and both are fast enough."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from robust import plugins
from robust.access import AccessView
from robust.attack import EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.datasets import Split, k_core, leave_last_out, open_log
from robust.defense import TrainingDefense
from robust.log import InteractionLog
from robust.measure import evade, perturb
from robust.ranking import per_user
from robust.recommenders.protocols import Fittable, Recommender, Resumable
from robust.recommenders.resolve import resolve
from robust.seen import Seen
from robust.situation import Situation
from robust.statistics import limits
from robust.threat import Budget, Degrade, Knowledge, Promote

pytestmark = pytest.mark.slow
SEED = 3


@pytest.fixture(scope="module")
def log(robust_data: Path) -> InteractionLog:
    return open_log(str(robust_data / "ml-1m.parquet"))


@pytest.fixture(scope="module")
def split(log: InteractionLog) -> Split:
    return leave_last_out(log)


@pytest.fixture(scope="module")
def situation(split: Split) -> Situation:
    seen = Seen.of(split.train, split.users)
    return Situation(split.histories(50), split.targets, split.train, seen, split.train.popularity > 0)


@pytest.fixture(scope="module")
def victim(split: Split) -> Recommender:
    return cast(Fittable, resolve("sasrec")).fit(split.train, seed=SEED)


def _attack(name: str, **settings: Any) -> Any:
    return plugins.load("attacks", name)(**settings)


def _ndcg_edited(situation: Situation, victim: Recommender, attack: EvasionAttack, edits: int) -> NDArray[np.float64]:
    sequences, noticed = evade(
        attack,
        situation,
        planned_on=victim,
        goal=Degrade(),
        budget=Budget(edits=edits),
        knowledge=Knowledge(model="gradients"),
        rng=np.random.default_rng(SEED),
    )
    ranking = situation.rank(victim, sequences, (), False)
    ndcg = per_user("ndcg@10", ranking)
    print(f"{attack!r} edits={edits}: ndcg@10 {ndcg.mean():.4f}, {noticed.queries / len(ndcg):.1f} queries a user")
    return ndcg


@pytest.mark.parametrize("edits", [1, 2])
def test_substitution_beats_random_draws(situation: Situation, victim: Recommender, edits: int) -> None:
    clean = per_user("ndcg@10", situation.rank(victim, situation.sequences, (), False))
    print(f"clean ndcg@10 {clean.mean():.4f}")
    for tau in (None, 0.5):
        guided = _ndcg_edited(situation, victim, _attack("substitution", tau=tau), edits)
        for tries, times in ((1, 2.0), (20, 1.0)):
            drawn = _ndcg_edited(situation, victim, _attack("random-substitution", tries=tries), edits)
            # positive where the guided attack does more than `times` the damage of the drawn one
            lead = limits(((clean - guided) - times * (clean - drawn))[None], alpha=0.05, worst=(-1 - times, 1 + times))
            found = f"{lead.mean:.4f} [{lead.low:.4f}, {lead.high:.4f}]"
            print(f"tau={tau}, tries={tries}, damage beyond {times} times: {found}")
            if tau is None:
                assert lead.low > 0


def test_adversarial_embeddings_help_at_the_trained_epsilon(
    situation: Situation, split: Split, victim: Recommender
) -> None:
    defense = cast(TrainingDefense, plugins.load("defenses", "adversarial-embeddings")())
    epsilon = cast(Any, defense).epsilon
    trained = cast(Resumable, defense.protect(victim, log=split.train, seed=SEED))
    defended = trained.resume(split.train, seed=SEED, share=0.5)
    plain = cast(Resumable, victim).resume(split.train, seed=SEED, share=0.5)
    outcome = {}
    for name, model in (("plain", plain), ("defended", defended)):
        clean = per_user("ndcg@10", situation.rank(model, situation.sequences, (), False))
        ranking, _ = perturb(
            cast(EmbeddingAttack, _attack("pgd")),
            situation,
            planned_on=model,
            measured_on=model,
            goal=Degrade(),
            budget=Budget(epsilon=epsilon),
            knowledge=Knowledge(model="gradients"),
            rng=np.random.default_rng(SEED),
        )
        outcome[name] = per_user("ndcg@10", ranking)
        print(f"{name}: clean {clean.mean():.4f}, under pgd at epsilon {epsilon}: {outcome[name].mean():.4f}")
    gain = limits((outcome["defended"] - outcome["plain"])[None], alpha=0.05, worst=(-1.0, 1.0))
    print(f"gain {gain.mean:.4f} [{gain.low:.4f}, {gain.high:.4f}]")
    assert gain.low > 0


def test_a_million_rows_are_read_filtered_and_split_in_two_seconds(log: InteractionLog, tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    rows = (f"{u + 1}::{i}::5::{t}" for u, i, t in zip(log.user, log.item, log.timestamp, strict=True))
    path.write_text("\n".join(rows))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        leave_last_out(k_core(open_log(str(path)), 5))
        seconds.append(time.perf_counter() - started)
    print(f"read, 5-core and split {len(log):,} rows: median {np.median(seconds):.2f} s")
    assert np.median(seconds) < 2


def test_ranking_metrics_take_under_a_second(situation: Situation, victim: Recommender) -> None:
    from robust.ranking import rank_scores

    scores = np.concatenate([cast(Any, victim).score(part) for part in situation.sequences.chunks(256)])
    started = time.perf_counter()
    ranking = rank_scores(lambda rows: scores[rows], situation.truth, n_items=victim.n_items, seen=situation.seen)
    for metric in ("hr@10", "ndcg@10", "mrr@10"):
        per_user(metric, ranking)
    seconds = time.perf_counter() - started
    print(f"ranking {len(scores):,} users on top of the forward passes: {seconds:.2f} s")
    assert seconds < 1


def test_bandwagon_with_five_percent_fakes_takes_under_a_second(split: Split) -> None:
    attack = cast(PoisoningAttack, _attack("bandwagon"))
    log = split.train
    budget = Budget(users=log.n_users // 20, profile_length=int(np.median(log.lengths)))
    access = AccessView(attack="bandwagon", knowledge=Knowledge(), n_items=log.n_items, log=log)
    started = time.perf_counter()
    edit = attack(access, Promote(items=(5, 9, 21)), budget, np.random.default_rng(SEED)).edit
    seconds = time.perf_counter() - started
    print(f"bandwagon, {edit.fake_users} fakes of length {budget.profile_length}: {seconds:.2f} s")
    assert edit.fake_users == log.n_users // 20
    assert seconds < 1
