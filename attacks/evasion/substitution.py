"""Substitution of items in a sequence, guided by gradients.

Yue et al., "Defending Substitution-Based Profile Pollution Attacks on Sequential Recommenders", RecSys 2022:
z items of a sequence are replaced by items of cosine ≥ τ so that the list changes most. Of the candidates that a
gradient proposes, the one that truly moves the objective most is kept, if it moves it at all.

`gain: sign-cosine` is the paper's proposal rule; `gain: first-order` (default) is HotFlip's (Ebrahimi et al., ACL
2018), linearised anew after each edit, over all positions and items: far stronger at equal queries. On ml-1m (SASRec,
2 edits, 100 negatives, clean NDCG@10 .600), best of 10:

    next item known / not      sign-cosine .386 / .496    first-order .313 / .504    (τ = .5, kept)
                               sign-cosine .188 / .274    first-order .061 / .221    (no τ)

Known deviations from the released code: τ is kept (an item without similar items is never substituted; the release
multiplies failing candidates by 0 and so takes them where nothing else is left); a candidate is accepted by the
objective that the attacker can compute (the release accepts by the true next item, a leak); gradients are taken in
evaluation mode; no position wraps at the left edge; each position is substituted at most once. Ours is what happens
before a guard: a gradient does not see that the guard will drop its favourite, so proposals that pass come first. On
flights, one edit through `surprise` leaves NDCG@10 .28 instead of .44 (clean .56).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.access import AccessView
from robust.attack import AnyGoal, EvasionAttack
from robust.attacks.evasion.proposals import Catalogue, Proposals, first_order, sign_cosine
from robust.attacks.objective import Objective, objective_for
from robust.curve import Track
from robust.log import SequenceBatch
from robust.perturbation import chunk_rows
from robust.threat import Budget

REACH = 10
"""Against a guard, how many times more proposals are looked at before the model is asked."""


class Substitution(EvasionAttack):
    """Replace up to `budget.edits` items of each sequence.

    Attributes:
        gain: the rule that proposes candidates. tau: least cosine of a substitute to the item it replaces; None = any.
        candidates: how many proposals are tried on the model, per edit.
    """

    name: ClassVar[str] = "substitution"
    source: ClassVar[str] = "Yue et al., RecSys 2022 (arXiv 2207.11237); gain: Ebrahimi et al., ACL 2018"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.000",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.022",
        "ML01:2023",
    )
    model_access: ClassVar[Literal["none", "lists", "scores", "gradients"]] = "gradients"
    control: ClassVar[str | None] = "random-substitution"

    gain: Literal["first-order", "sign-cosine"] = "first-order"
    tau: float | None = Field(default=0.5, ge=-1, le=1)
    candidates: int = Field(default=10, ge=1)

    def queries(self, edits: int) -> int:
        """Queries per sequence, at most, besides the clean list: a gradient (each edit, or once) and the candidates."""
        gradients = edits if self.gain == "first-order" else min(edits, 1)
        return gradients + edits * self.candidates

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Random substitution, best of as many tries as this attack asks queries."""
        return "random-substitution", {"tries": max(self.queries(budget.edits or 0), 1)}

    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """Substituted sequences; deterministic, so `rng` goes unused."""
        search = self._within(access.queries_left(len(sequences)), budget.edits or 0, goal)
        catalogue = Catalogue.of(access.model.item_embeddings.detach().cpu(), self.tau)
        size = chunk_rows(sequences.width, catalogue.table.shape[1], access.n_items)
        edited = []
        for chunk in sequences.chunks(size):
            track = access.curve.track(len(chunk))
            objective = objective_for(access, chunk, goal)
            edited.append(search._substitute(access, chunk, objective, budget.edits or 0, catalogue, track))
        return sequences.with_items(np.concatenate(edited))

    def _within(self, allowed: int | None, edits: int, goal: AnyGoal) -> Substitution:
        """This attack with as many candidates as the query budget bears."""
        if allowed is None:
            return self
        room = allowed - (self.queries(edits) - edits * self.candidates) - (goal.kind == "degrade")
        return self.model_copy(update={"candidates": max(min(self.candidates, room // max(edits, 1)), 1)})

    def _substitute(
        self,
        access: AccessView,
        clean: SequenceBatch,
        objective: Objective,
        edits: int,
        catalogue: Catalogue,
        track: Track,
    ) -> np.ndarray[Any, Any]:
        propose = first_order if self.gain == "first-order" else sign_cosine
        items = torch.from_numpy(clean.items.astype(np.int64))
        free = items != 0
        rows = torch.arange(len(clean))  # those that still search
        unguarded = access.model.passes_guard(clean[:1]) is None
        gradient, reached = torch.empty(0), torch.empty(0)
        won = torch.zeros(len(clean))  # above the clean objective
        for edit in range(edits):
            if edit == 0 or self.gain == "first-order":
                gradient, reached = _gradient(access, _batch(clean, items, rows), objective.take(rows))
            reach = self.candidates if unguarded else self.candidates * REACH
            proposals = propose(gradient, items[rows], free[rows], catalogue, reach)
            if not unguarded:
                proposals = _passing_first(access, clean, items, rows, proposals).first(self.candidates)

            def note(most: Tensor, edit: int = edit, rows: Tensor = rows, reached: Tensor = reached) -> None:
                track.note(edit + 1, won.index_add(0, rows, (most - reached).clamp_min(0)))

            best, value = self._try(access, clean, objective, items, rows, proposals, note)
            chosen = best[:, None]
            position = proposals.positions.gather(1, chosen)[:, 0]
            better = value > reached
            changed = rows[better]
            items[changed, position[better]] = proposals.items.gather(1, chosen)[better, 0]
            won[changed] += (value - reached)[better]
            reached = torch.where(better, value, reached)
            free[rows, position] = False
            if self.gain == "first-order":  # where nothing helped, nothing would again
                rows = changed
            if len(rows) == 0:
                break
        return items.numpy().astype(np.int32)

    def _try(
        self,
        access: AccessView,
        clean: SequenceBatch,
        objective: Objective,
        items: Tensor,
        rows: Tensor,
        proposals: Proposals,
        note: Callable[[Tensor], None],
    ) -> tuple[Tensor, Tensor]:
        """Ask the model about each proposal: the best one's column, and the objective that it reaches.

        Args:
            note: told, after each column, the most that each row has reached.
        """
        values = torch.full(proposals.valid.shape, -torch.inf)
        for column in range(proposals.valid.shape[1]):
            asked = proposals.valid[:, column].nonzero()[:, 0]
            if len(asked) == 0:
                continue
            tried = items[rows[asked]].scatter(
                1, proposals.positions[asked, column, None], proposals.items[asked, column, None]
            )
            scores = access.model.score(clean[rows[asked].numpy()].with_items(tried.numpy()))
            values[asked, column] = objective.take(rows[asked])(torch.from_numpy(scores))
            note(values.amax(dim=1))
        value, best = values.max(dim=1)
        return best, value


def _passing_first(
    access: AccessView, clean: SequenceBatch, items: Tensor, rows: Tensor, proposals: Proposals
) -> Proposals:
    """The proposals that a guard would not drop on the spot before those that it would, else in their order."""
    count = proposals.items.shape[1]
    positions, substitutes = proposals.positions.reshape(-1, 1), proposals.items.reshape(-1, 1)
    tried = items[rows].repeat_interleave(count, dim=0).scatter(1, positions, substitutes)
    users = clean[rows.repeat_interleave(count).numpy()]
    kept = access.model.passes_guard(users.with_items(tried.numpy()))
    passing = torch.from_numpy(np.asarray(kept)).gather(1, positions).reshape(-1, count)
    return proposals.reordered((~passing | ~proposals.valid).to(torch.int8).argsort(dim=1, stable=True))


def _batch(clean: SequenceBatch, items: Tensor, rows: Tensor) -> SequenceBatch:
    return clean[rows.numpy()].with_items(items[rows].numpy())


def _gradient(access: AccessView, sequences: SequenceBatch, objective: Objective) -> tuple[Tensor, Tensor]:
    """The objective's gradient [B, L, D] at the embedded sequences, and its value [B]."""
    embeddings = access.model.embed(sequences).detach().requires_grad_(True)
    value = objective(access.model.score_embeddings(embeddings, sequences))
    (gradient,) = torch.autograd.grad(value.sum(), embeddings)
    return gradient.cpu(), value.detach().cpu()
