"""Alternating poisoning: target items alternate with items that a white-box model says least predict them.

Yue, He, Zeng and McAuley, "Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction", RecSys 2021,
section on data poisoning. For each fake user, on a model g (the victim itself, or a surrogate of it):

    begin with a target t drawn from T; then, until the profile is full:
        append a random item x, and draw the next target t' from T
        G = ∂ CE(g(sequence), t') / ∂ e(x);   v = e(x) − sign(G)
        replace x by one of the `pool` items of *lowest* cosine to v, drawn uniformly; append t'

so that t' is learnt as the successor of items that do not suggest it: where the loss is large, an update moves most. A
profile is t x t' x' …, targets repeated; one of even length ends with an x. All fake users take each step together.

`gain: first-order` takes the `pool` items of largest G · E_i in place of the lowest cosines: the largest first-order
rise of that loss, without the sign and without lengths divided out. On a small synthetic log (60 items, GRU, 4% fakes,
refitted from scratch, 6 seeds) the targets' mean log probability goes from −5.53 to −5.14 with random items between
the targets and to −4.97 with either rule, which are ahead of random items under each seed. HR@10 does not tell the
three apart at this size.

Known deviations from the paper's released code: gradients are taken in evaluation mode (there with dropout on), with
respect to the item's embedding (there the embedding layer's output, positions added). x is never a target nor held
already (there only t' is left out, so profiles repeat items). There the two newest items of each fake user are held out
for validation and test, and so never trained; here all are. When the query budget cannot bear a gradient for every
profile, random items fill the rest.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from robust.access import AccessView
from robust.attack import AnyGoal, PoisoningAttack
from robust.attacks.objective import Objective
from robust.attacks.poisoning.orders import draw_targets
from robust.attacks.poisoning.profiles import draw_weighted
from robust.attacks.poisoning.times import Times, policy
from robust.log import Int32, LogEdit, SequenceBatch
from robust.perturbation import chunk_rows
from robust.threat import Budget


class Alternating(PoisoningAttack):
    """Fake users whose targets alternate with items chosen by a model's gradients.

    Attributes:
        gain: the rule that ranks adversarial items. pool: how many of the best ones one is drawn from.
        times: when the profiles act.
    """

    name: ClassVar[str] = "alternating"
    source: ClassVar[str] = (
        "Yue et al., RecSys 2021 (arXiv 2109.01165), data poisoning; gain: Ebrahimi et al., ACL 2018"
    )
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0020",
        "atlas@5.6.1:AML.T0021",
        "nist-ai-100-2e2025:NISTAML.024",
        "ML02:2023",
    )
    model_access: ClassVar[Literal["none", "lists", "scores", "gradients"]] = "gradients"
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "popularity"
    goals: ClassVar[frozenset[str]] = frozenset({"promote"})
    spends: ClassVar[frozenset[str]] = frozenset({"users"})
    control: ClassVar[str | None] = "random"

    gain: Literal["sign-cosine", "first-order"] = "sign-cosine"
    pool: int = Field(default=10, ge=1)
    times: Times = "bootstrap"

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]]:
        """Targets alternating with random items, as often and at the same times (RandAlter): what gradients add."""
        return "random", {"order": "alternate", "times": self.times}

    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """`budget.users` profiles of `budget.profile_length` items, every second one a target."""
        profiles, length = budget.users or 0, min(budget.profile_length or 1, access.n_items)
        pairs = min(length // 2, access.n_items - len(goal.items))
        # the last item of an even profile is chosen for a target that the profile no longer holds
        targets = draw_targets(goal.items, (profiles, max(length - pairs, pairs + 1)), rng)
        sequence, coming = np.split(targets, [targets.shape[1] - pairs], axis=1)
        for step in range(pairs if profiles else 0):
            item = self._item(access, sequence, coming[:, step], goal, rng)
            sequence = np.concatenate([sequence, item[:, None], coming[:, [step]]], axis=1)
        items = np.ascontiguousarray(sequence[:, :length], dtype=np.int32)
        return LogEdit(add=items, times=access.timeline(rng, items.shape, policy(self.times)))

    def _item(
        self, access: AccessView, sequence: Int32, following: Int32, goal: AnyGoal, rng: np.random.Generator
    ) -> Int32:
        """int32 [profiles], what comes between a sequence [profiles, s] and the target that follows."""
        taken = np.concatenate([sequence, np.tile(np.asarray(goal.items, np.int32), (len(sequence), 1))], axis=1)
        start = draw_weighted(np.ones(access.n_items + 1), taken, 1, rng)
        if access.queries_left(len(sequence)) == 0:
            return start[:, 0]
        table = access.model.item_embeddings.detach().cpu()
        extended = np.concatenate([sequence, start], axis=1)
        size, chosen = chunk_rows(extended.shape[1], table.shape[1], access.n_items), []
        for first in range(0, len(extended), size):
            part = slice(first, first + size)
            worth = self._worth(access, SequenceBatch(extended[part]), following[part], table)
            worth[:, 0] = -torch.inf
            worth.scatter_(1, torch.from_numpy(taken[part].astype(np.int64)), -torch.inf)
            best, items = worth.topk(min(self.pool, access.n_items), dim=1)
            allowed = (best > -torch.inf).sum(dim=1).numpy()
            drawn = rng.integers(allowed)
            chosen.append(items.numpy()[np.arange(len(drawn)), drawn])
        return np.concatenate(chosen).astype(np.int32)

    def _worth(self, access: AccessView, sequences: SequenceBatch, following: Int32, table: Tensor) -> Tensor:
        """float32 [B, n_items + 1], how much better an item in the newest place is than another."""
        embedded = access.model.embed(sequences).detach().requires_grad_(True)
        loss = Objective(torch.from_numpy(following.astype(np.int64))[:, None], 1)
        (gradient,) = torch.autograd.grad(loss(access.model.score_embeddings(embedded, sequences)).sum(), embedded)
        slope, newest = gradient[:, -1].cpu(), embedded.detach()[:, -1].cpu()
        if self.gain == "first-order":
            return slope @ table.T
        return -(F.normalize(newest - slope.sign(), dim=1) @ F.normalize(table, dim=1).T)
