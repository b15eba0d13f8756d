"""What must hold, and one assertion for test suites.

A `Bound` limits a drop of quality (relative), a rise of exposure (absolute) or a level. `assert_bounded_degradation`
judges one on the user's own recommender and log.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robust.amounts import percent, points
from robust.attack import Attack, EmbeddingAttack, EvasionAttack
from robust.corpus import read_corpus, replay, save
from robust.counterexamples import explain, smallest
from robust.datasets import default_seen, leave_last_out
from robust.errors import InputError
from robust.frozen import Frozen
from robust.inference import inference_attack, inference_budget
from robust.log import InteractionLog, SequenceBatch
from robust.measure import evade, perturb
from robust.metrics.registry import metric_name, parse_metric
from robust.ranking import Ranking, per_user
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Fittable, Recommender, capabilities
from robust.recommenders.resolve import is_fitted
from robust.seen import Seen
from robust.situation import Situation
from robust.statistics import Judgement, judge
from robust.threat import BudgetSpec, Degrade, Knowledge


class Bound(Frozen):
    """`metric` may change by at most `limit`.

    Attributes:
        metric: `ndcg@10`, `target_hr@10`, …
        kind: `drop` (relative: .10 = a tenth of the clean value; of quality, or of the exposure of demoted targets),
            `rise` (absolute; of the exposure of promoted targets) or `level` (the value itself).
        limit: the largest change that can be borne.
    """

    metric: str
    kind: Literal["drop", "rise", "level"]
    limit: float = Field(ge=0, lt=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _known_metric(self) -> Self:
        try:
            metric = parse_metric(self.metric)
        except InputError as error:
            raise ValueError(str(error)) from error
        if metric.name not in ("hr", "ndcg", "mrr", "target_hr"):
            raise ValueError(f"'{self.metric}' has no value per user, so no interval; bound hr, ndcg, mrr or target_hr")
        if metric.name != "target_hr" and self.kind == "rise":
            raise ValueError("a rise is of exposure (target_hr); quality is bounded by its drop")
        return self

    @property
    def label(self) -> str:
        """`NDCG@10 drops by at most 10%`."""
        if self.kind == "drop":
            return f"{metric_name(self.metric)} drops by at most {self.limit:.0%}"
        if self.kind == "rise":
            return f"{metric_name(self.metric)} rises by at most {points(self.limit, 'g')}"
        return f"{metric_name(self.metric)} is at most {self.limit:g}"


class InconclusiveBound(UserWarning):
    """The data at hand decide neither that a bound holds nor that it is broken."""


class BoundBroken(AssertionError):
    """A recommender is less robust than promised."""


@dataclass(frozen=True)
class Assertion:
    """What `assert_bounded_degradation` found, for tests that want to look closer.

    Attributes:
        attack: the strongest of the attacks, chosen on one half of the users. judgement: on the other half.
        clean, attacked: the metric's means on the users judged. replayed: counterexamples of the corpus tried.
    """

    attack: str
    judgement: Judgement
    n_users: int
    clean: float = 0.0
    attacked: float = 0.0
    replayed: int = 0


@dataclass(frozen=True)
class _Outcome:
    """One attack's: what each user's metric became, and from which sequences (None: deltas of embeddings)."""

    name: str
    values: NDArray[np.float64]
    ranking: Ranking
    edited: SequenceBatch | None


def assert_bounded_degradation(
    recommender: Any,
    data: InteractionLog,
    *,
    attack: str | Attack | list[str | Attack] = "random-substitution",
    budget: BudgetSpec | Mapping[str, Any] | None = None,
    metric: str = "ndcg@10",
    max_drop: float = 0.10,
    confidence: float = 0.95,
    knowledge: Knowledge | None = None,
    seed: int = 0,
    strict: bool = False,
    corpus: str | Path | None = None,
    reveal: bool = False,
) -> Assertion:
    """Fail if an attack at inference costs this recommender more than `max_drop` of its quality (relative).

    Leave-last-out on `data`; all items ranked. With several attacks, the strongest is chosen on one half of the
    users and judged, once, on the other half. A recommender that is not fitted is fitted to the train rows first; the
    claim is then about that one model, as for any model that is handed over.

    Args:
        recommender: anything with `n_items` and `recommend` or `score`; or something with `fit(log, *, seed)`.
        data: the genuine log.
        attack: name(s) or instance(s) of evasion or embedding attacks; `worst-case` searches.
        budget: such as `{"edits": 1}` (the default) or `{"epsilon": 0.5}`.
        knowledge: what the attacker sees; by default as much as the attacks need.
        corpus: a folder of counterexamples. Those in it are tried first, as one more attack; a new one is added when
            the bound breaks.
        reveal: name items by their raw ids in the message; by default it shows dense ids, since many read CI logs.

    Raises:
        BoundBroken: the bound is broken, beyond chance; with the smallest attack found, and how to try it again.
        InputError: an attack that does not act at inference, a budget that does not fit it.

    Warns:
        InconclusiveBound: the interval straddles the bound; raised as an error under `strict`.
    """
    bound = _bound(metric, max_drop)
    if not isinstance(confidence, (float, np.floating)) or not 0.5 < confidence < 1:
        raise InputError(f"confidence lies between 0.5 and 1, got {confidence!r}.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed={seed!r}: expected a whole number from 0 up.")
    if not isinstance(data, InteractionLog):
        raise InputError(
            f"data is a {type(data).__name__}: expected an InteractionLog, such as robust.datasets.open_log(…) gives."
        )
    attacks = [inference_attack(a) for a in (attack if isinstance(attack, (list, tuple)) else [attack])]
    if not attacks:
        raise InputError("attack=[] attacks nothing: name one, such as 'random-substitution'.")
    spec = inference_budget(budget)
    _check_spendable(attacks, spec)
    kept = read_corpus(Path(corpus)) if corpus is not None and spec.edits is not None else []
    again = replay(kept)
    if again is not None:
        attacks.insert(0, again)
    split = leave_last_out(data)
    model = _fitted(recommender, split.train, seed)
    if int(model.n_items) != data.n_items:
        raise InputError(f"The recommender ranks {model.n_items} items, the log has {data.n_items}.")
    seen = Seen.of(split.train, split.users) if default_seen(split.train) == "exclude" else None
    context = int(getattr(model, "context", 0) or 50)
    situation = Situation(
        split.histories(context),
        split.targets,
        split.train,
        seen,
        split.train.popularity > 0,
        k=parse_metric(metric).k or 10,
    )
    before = situation.rank(model, situation.sequences, (), False)
    clean = per_user(metric, before)
    outcomes = [_attacked(a, situation, model, spec, knowledge, metric, seed) for a in attacks]
    worst, judged = _strongest(clean, outcomes, seed)
    judgement = judge(
        clean[None, judged],
        worst.values[None, judged],
        kind="drop",
        limit=max_drop,
        fixed_model=True,
        alpha=1 - confidence,
    )
    means = float(clean[judged].mean()), float(worst.values[judged].mean())
    found = Assertion(worst.name, judgement, int(judged.sum()), *means, replayed=len(kept))
    if judgement.verdict == "PASS":
        return found
    said = _finding(bound, found, spec, confidence, seed)
    if judgement.verdict == "FAIL":
        example = None
        if worst.edited is not None:
            example = smallest(
                model,
                situation,
                worst.edited,
                before,
                worst.ranking,
                metric=metric,
                limit=max_drop,
                rows=judged,
                attack=worst.name,
                budget=spec.label,
            )
        names = None if not reveal or data.item_ids is None else list(data.item_ids)
        new = example is not None and example.edits not in {other.edits for other in kept}
        file = save(example, Path(corpus)) if example is not None and corpus is not None and new else None
        raise BoundBroken(f"{bound.label}: broken, beyond chance.\n{said}{explain(example, names, file)}")
    if strict:
        raise BoundBroken(f"Not decided (an error under strict): {bound.label}. {judgement.reason}\n{said}")
    warnings.warn(f"Not decided: {bound.label}. {judgement.reason}\n{said}", InconclusiveBound, stacklevel=2)
    return found


def _check_spendable(attacks: Sequence[Attack], spec: BudgetSpec) -> None:
    for attack in attacks:
        if not any(getattr(spec, kind) is not None for kind in attack.spends):
            raise InputError(
                f"'{attack.name}' spends {' or '.join(sorted(attack.spends))}, but the budget is {spec.label}; state "
                f"budget={{'{min(attack.spends)}': …}}."
            )


def _bound(metric: str, max_drop: float) -> Bound:
    if not isinstance(metric, str) or parse_metric(metric).name not in ("hr", "ndcg", "mrr"):
        raise InputError(f"metric={metric!r}: this assertion bounds the drop of hr@K, ndcg@K or mrr@K.")
    if not isinstance(max_drop, (int, float, np.number)) or not 0 <= max_drop < 1:
        raise InputError(f"max_drop={max_drop!r}: expected a share of the clean value, from 0 to less than 1.")
    return Bound(metric=metric, kind="drop", limit=max_drop)


def _fitted(recommender: Any, train: InteractionLog, seed: int) -> Recommender:
    model: Recommender = adapt(recommender)
    if is_fitted(recommender):
        return model
    if "fit" not in capabilities(model):
        raise InputError("The recommender is not fitted and has no fit(log, *, seed).")
    fitted: Recommender = adapt(cast(Fittable, model).fit(train, seed=seed))
    return fitted


def _attacked(
    attack: EvasionAttack | EmbeddingAttack,
    situation: Situation,
    model: Recommender,
    spec: BudgetSpec,
    knowledge: Knowledge | None,
    metric: str,
    seed: int,
) -> _Outcome:
    goal, budget, rng = Degrade(), spec.resolve(situation.log), np.random.default_rng(seed)
    knows = knowledge or Knowledge(log="popularity", model=attack.model_access)
    edited = None
    if isinstance(attack, EmbeddingAttack):
        ranking = perturb(
            attack,
            situation,
            planned_on=model,
            measured_on=model,
            goal=goal,
            budget=budget,
            knowledge=knows,
            rng=rng,
        )[0]
    else:
        edited, _ = evade(attack, situation, planned_on=model, goal=goal, budget=budget, knowledge=knows, rng=rng)
        ranking = situation.rank(model, edited, (), False)
    chosen = {} if attack.name == "corpus" else attack.model_dump(exclude_defaults=True)
    settings = ", ".join(f"{field}={value!r}" for field, value in chosen.items())
    name = f"{attack.name}({settings})" if settings else attack.name
    return _Outcome(name, per_user(metric, ranking), ranking, edited)


def _strongest(clean: NDArray[np.float64], outcomes: list[_Outcome], seed: int) -> tuple[_Outcome, NDArray[np.bool_]]:
    """The attack that does most on one half of the users, and the other half; everybody where nothing was chosen."""
    if len(outcomes) == 1:
        return outcomes[0], np.ones(len(clean), dtype=bool)
    searched = np.random.default_rng([seed, 1]).permutation(len(clean)) < len(clean) // 2
    worst = max(outcomes, key=lambda outcome: float((clean - outcome.values)[searched].sum()))
    return worst, ~searched


def _finding(bound: Bound, found: Assertion, spec: BudgetSpec, confidence: float, seed: int) -> str:
    """What was measured, on whom, by what."""
    judgement, name = found.judgement, metric_name(bound.metric)
    change, *ends = (percent(v, ".1f") for v in (judgement.change, judgement.low, judgement.high) if v is not None)
    interval = f", {confidence:.0%} limits {' and '.join(ends)}" if ends else ""
    again = f"; {found.replayed} from the corpus were tried first" if found.replayed else ""
    return (
        f"  drop      {change}{interval}: {name} {found.clean:.3f} before, {found.attacked:.3f} after\n"
        f"  attack    {found.attack}, {spec.label}{again}\n"
        f"  measured  on {found.n_users:,} users, one fixed model, seed {seed}\n"
    )


__all__ = ["Assertion", "Bound", "BoundBroken", "InconclusiveBound", "assert_bounded_degradation"]
