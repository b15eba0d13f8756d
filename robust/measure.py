"""Measuring one attack at inference on one recommender: what it makes of the lists, and what was noticed on the way.

The runner's steps and the pytest assertion both stand on these functions; nothing here knows of scenarios or stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from robust.access import Access
from robust.attack import AnyGoal, Attack, EmbeddingAttack, EvasionAttack, Perturbed
from robust.curve import CurvePoint
from robust.errors import NotApplicable, RobustError
from robust.log import Int32, SequenceBatch
from robust.ranking import MAX_CHUNK, Ranking, Scores, per_user, rank_scores
from robust.recommenders.protocols import Differentiable, Recommender, capabilities
from robust.sanity import noisy_gradient_share, zero_gradient_share
from robust.seen import Seen
from robust.situation import Situation
from robust.threat import Budget, Knowledge


@dataclass(frozen=True)
class Noticed:
    """What an attack at inference took, and what was noticed on the way.

    Attributes:
        queries: lists asked for.
        changed: share of sequences that the attack changed at all.
        zero_gradient, noisy_gradient: shares of a sample of sequences whose gradient is exactly zero, or says little of
            the score; None where no gradient is used (see `robust.sanity`).
        sees: the most of the model that the attack looked at.
        curve: what a search had reached after so many queries, with so many edits; empty for what does not search.
        projected: of an attack on embeddings, what is left of it if every position becomes the nearest real item:
            `items`, the share of positions that become another one, and metrics (`ndcg@10`, with targets
            `target_hr@10`), means over users.
    """

    queries: int
    changed: float
    zero_gradient: float | None = None
    noisy_gradient: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    sees: Access = "none"
    projected: dict[str, float] | None = None


def evade(
    attack: EvasionAttack,
    situation: Situation,
    *,
    planned_on: Recommender,
    goal: AnyGoal,
    budget: Budget,
    knowledge: Knowledge,
    rng: np.random.Generator,
) -> tuple[SequenceBatch, Noticed]:
    """Plan an evasion attack on a recommender; the edited sequences can then be ranked by any."""
    access = situation.access(attack, planned_on, budget, knowledge)
    evaded = attack(access, situation.sequences, goal, budget, rng)
    changed = _share_changed(situation.sequences, evaded.sequences)
    gradients = gradient_checks(attack, planned_on, situation.sequences)
    noticed = Noticed(evaded.queries, changed, curve=evaded.curve, sees=access.counter.sees, **gradients)
    return evaded.sequences, noticed


def perturb(
    attack: EmbeddingAttack,
    situation: Situation,
    *,
    planned_on: Recommender,
    measured_on: Recommender,
    goal: AnyGoal,
    budget: Budget,
    knowledge: Knowledge,
    rng: np.random.Generator,
) -> tuple[Ranking, Noticed]:
    """Plan deltas on one recommender, and rank with them added to the embeddings of another (or the same).

    Raises:
        NotApplicable: the recommender that is measured takes no embeddings, or has another dimension.
    """
    if "gradients" not in capabilities(measured_on):
        raise NotApplicable("deltas in the embedding space need a recommender that takes embeddings")
    sequences, model = situation.sequences, cast(Differentiable, measured_on)
    access = situation.access(attack, planned_on, budget, knowledge)
    perturbed = attack(access, sequences, goal, budget, rng)
    if perturbed.deltas.shape[-1] != model.item_embeddings.shape[-1]:
        raise NotApplicable("deltas planned on a model of another dimension cannot be added")
    ranking = rank_scores(
        _perturbed_scores(model, sequences, perturbed),
        situation.truth,
        n_items=int(model.n_items),
        seen=situation.seen,
        targets=goal.items,
        demoted=goal.kind == "demote",
        trained=situation.trained,
        k=situation.k,
    )
    changed = float((perturbed.deltas != 0).flatten(1).any(dim=1).float().mean()) if len(sequences) else 0.0
    gradients = gradient_checks(attack, planned_on, sequences)
    projected = _projected(perturbed, situation, model, goal)
    return ranking, Noticed(perturbed.queries, changed, sees=access.counter.sees, projected=projected, **gradients)


def _projected(perturbed: Perturbed, situation: Situation, model: Differentiable, goal: AnyGoal) -> dict[str, float]:
    """What is left of an attack where every moved position becomes the real item nearest to it; see `Noticed`."""
    sequences = situation.sequences
    items = np.concatenate([_nearest_items(perturbed, model, sequences, start) for start in _starts(len(sequences))])
    demoted = goal.kind == "demote"
    ranking = situation.rank(model, sequences.with_items(items), goal.items, demoted)
    wanted = {"ndcg@10": per_user("ndcg@10", ranking)}
    if goal.items:
        held = Seen.of(situation.log, sequences.users).holds(goal.items)
        wanted["target_hr@10"] = per_user("target_hr@10", ranking, held)
    real = sequences.items != 0
    means = {name: float(of[~np.isnan(of)].mean()) for name, of in wanted.items() if not np.isnan(of).all()}
    return {"items": float((items != sequences.items)[real].mean()) if real.any() else 0.0, **means}


def _starts(rows: int) -> range:
    return range(0, max(rows, 1), MAX_CHUNK)


def _nearest_items(perturbed: Perturbed, model: Differentiable, sequences: SequenceBatch, start: int) -> Int32:
    """int32 [b, L]; what was not moved stays, even where two items share an embedding."""
    import torch

    from robust.perturbation import padding_mask, project_onto_items

    rows = slice(start, start + MAX_CHUNK)
    part, deltas = sequences[rows], perturbed.deltas[rows]
    with torch.no_grad():
        embedded = model.embed(part)
        near = project_onto_items(
            embedded + deltas.to(embedded.device), padding_mask(part).to(embedded.device), model.item_embeddings
        )
    moved = (deltas != 0).any(dim=-1).numpy()
    return np.where(moved, near.cpu().numpy(), part.items).astype(np.int32)


class GradientChecks(TypedDict, total=False):
    """See `Noticed`."""

    zero_gradient: float
    noisy_gradient: float


def gradient_checks(attack: Attack, planned_on: Recommender, sequences: SequenceBatch) -> GradientChecks:
    """How far the gradients that this attack follows can be trusted; nothing where it follows none."""
    if attack.model_access != "gradients":
        return {}
    model = cast(Differentiable, planned_on)
    return {
        "zero_gradient": zero_gradient_share(model, sequences),
        "noisy_gradient": noisy_gradient_share(model, sequences),
    }


def _perturbed_scores(model: Differentiable, sequences: SequenceBatch, perturbed: Perturbed) -> Scores:
    import torch

    def scores(rows: slice) -> NDArray[np.float32]:
        with torch.no_grad():
            block = perturbed.scored_by(model, sequences, rows)
        values: NDArray[np.float32] = block.cpu().numpy()
        if np.isnan(values).any():
            raise RobustError("the perturbed scores hold NaN")
        return values

    return scores


def _share_changed(clean: SequenceBatch, attacked: SequenceBatch) -> float:
    if len(clean) == 0:
        return 0.0
    width = max(clean.width, attacked.width)
    before, after = (np.pad(b.items, ((0, 0), (width - b.width, 0))) for b in (clean, attacked))
    return float((before != after).any(axis=1).mean())
