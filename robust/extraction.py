"""A surrogate from nothing but ranked lists: ask along made-up histories, then learn to rank as the answers do.

Yue, He, Zeng, McAuley, "Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction", RecSys 2021,
section 4. The attacker has no data and no scores. It walks: the first item is drawn uniformly, each next one uniformly
from the list that the victim gives for the history so far (*autoregressive*), so that histories look like what the
victim knows. A model of the attacker's own is then trained at every prefix with two hinge losses of margin .5: items
stand in the order of the list, and above items that are not on it,

    Σ_i max(0, m − (s_i − s_{i+1})) + Σ_i max(0, m − (s_i − s_neg(i))).

How faithful the surrogate is, is said by its agreement with the victim on histories that neither was asked about:
Agr@k = |top-k of one ∩ top-k of the other| / k, mean over histories.

Known deviations: the released code draws negatives from a softmax over a 0/1 mask, so that listed items are drawn too,
at 1/e of the weight of others; here they never are. Both losses are means over their pairs, so that their balance
does not depend on the length of the lists. A query is a list: a walk of length L costs L of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robust.errors import InputError
from robust.frozen import Frozen
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.protocols import Recommender

if TYPE_CHECKING:
    from torch import Tensor

    from robust.recommenders.objective import Objective, Step

SHORTEST = 2
"""Items of a made-up history: the least from which an order can be learnt."""
_ROWS_ASKED_AT_ONCE = 1024


class Extraction(Frozen):
    """How a surrogate is taken out of a victim.

    Attributes:
        queries: lists that may be asked for. length: of each made-up history; more than the surrogate reads at once
            is no use. k: items on each list.
        walk: where the next item comes from: the victim's list, or (the paper's baseline) the whole catalogue.
        margin: of both losses.
    """

    queries: int = Field(default=50_000, ge=1)
    length: int = Field(default=20, ge=SHORTEST)
    k: int = Field(default=50, ge=2)
    walk: Literal["autoregressive", "random"] = "autoregressive"
    margin: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.queries < self.length:
            raise ValueError(f"{self.queries} queries do not pay for one history of {self.length} items")
        return self

    @property
    def spent(self) -> int:
        """Lists that are asked for: those of whole histories."""
        return self.queries // self.length * self.length


class Transcript(Frozen):
    """What was asked and what was answered.

    Attributes:
        items: int32 [q, L], the histories. lists: int32 [q, L, k], the answer to the first j + 1 items of each.
    """

    items: Any
    lists: Any
    n_items: int

    @property
    def queries(self) -> int:
        """Lists asked for."""
        return int(self.items.size)


def converse(victim: Recommender, how: Extraction, rng: np.random.Generator) -> Transcript:
    """Walk along the victim's answers; only `recommend` is used."""
    count = how.queries // how.length
    n_items = victim.n_items
    k = min(how.k, n_items)
    items = np.zeros((count, how.length), dtype=np.int32)
    lists = np.zeros((count, how.length, k), dtype=np.int32)
    items[:, 0] = rng.integers(1, n_items + 1, size=count)
    for step in range(how.length):
        for start in range(0, count, _ROWS_ASKED_AT_ONCE):
            rows = slice(start, start + _ROWS_ASKED_AT_ONCE)
            lists[rows, step] = victim.recommend(SequenceBatch(items[rows, : step + 1]), k)
        if step + 1 < how.length:
            items[:, step + 1] = _next(lists[:, step], n_items, how, rng)
    return Transcript(items=items, lists=lists, n_items=n_items)


def _next(lists: Int32, n_items: int, how: Extraction, rng: np.random.Generator) -> Int32:
    """One item for each history [q]; of a list that is empty (a refusal), any item."""
    anywhere = rng.integers(1, n_items + 1, size=len(lists)).astype(np.int32)
    if how.walk == "random":
        return anywhere
    filled = (lists != 0).sum(axis=1)
    drawn = (rng.random(len(lists)) * filled).astype(np.int64)
    listed: Int32 = np.take_along_axis(lists, drawn[:, None], axis=1)[:, 0]
    return np.where(filled > 0, listed, anywhere).astype(np.int32)


def check_can_learn(surrogate: Recommender, how: Extraction) -> None:
    """Whether it can be trained on lists.

    Raises:
        InputError: it cannot, with what could be named instead.
    """
    ours: Any = surrogate
    if not hasattr(ours, "train") or not hasattr(ours, "with_settings"):
        raise InputError(f"{surrogate!r} cannot learn from lists: name one of the built-in neural recommenders.")
    if ours.context < how.length:
        raise InputError(f"histories of {how.length} items are longer than the surrogate's context of {ours.context}.")
    if type(ours).__name__ == "BERT4Rec":
        raise InputError("bert4rec hides items in training, so lists have no place there: name gru4rec or sasrec.")


def distil(surrogate: Recommender, said: Transcript, how: Extraction, *, seed: int) -> Recommender:
    """The surrogate, trained to rank as the victim did.

    Args:
        surrogate: one of ours, unfitted: its training loop must take an objective, and be shown every history from
            its first item (a causal encoder whose context holds a whole one).

    Raises:
        InputError: it cannot be trained so.
    """
    check_can_learn(surrogate, how)
    ours: Any = surrogate
    count, length = said.items.shape
    log = InteractionLog.from_columns(
        np.repeat(np.arange(count), length),
        said.items.ravel(),
        np.tile(np.arange(length), count),
        n_users=count,
        n_items=said.n_items,
    )
    # nobody's next item is to be guessed: there is nothing to validate on, and no sampled softmax
    plain = ours.with_settings(validation_share=0.0, loss="full")
    return cast(Recommender, plain.train(log, seed=seed, objective=listwise(said.lists, how.margin)))


def listwise(lists: Int32, margin: float) -> Objective:
    """The objective: `lists` are those of the log's users, in order."""
    import torch

    table = torch.from_numpy(lists.astype(np.int64))

    def objective(step: Step) -> Tensor:
        scores = step.logits(step.embeddings)  # [P, n_items]
        place = torch.arange(len(step.rows), device=step.rows.device)
        first = torch.searchsorted(step.rows, step.rows)  # rows are sorted: where each window begins
        answered = table.to(scores.device)[step.users[step.rows], place - first]  # [P, k]
        return hinge(scores, answered, margin, step.generator)

    return objective


def hinge(scores: Tensor, lists: Tensor, margin: float, generator: Any) -> Tensor:
    """The mean over ordered neighbours, plus the mean over listed items against others.

    Args:
        scores: [P, n_items], of item 1 first. lists: int64 [P, k], best first, 0 where a list is short.
    """
    import torch

    listed = lists != 0
    own = scores.gather(1, (lists - 1).clamp(min=0))
    pairs = listed[:, 1:]  # lists are short at the end only
    order = (margin - (own[:, :-1] - own[:, 1:])).clamp(min=0)[pairs]
    weights = torch.ones_like(scores).scatter(1, (lists - 1).clamp(min=0), 0.0)
    several = (weights.sum(dim=1) > 0).nonzero().squeeze(1)  # a list of the whole catalogue leaves nobody out
    if not len(several):
        return order.mean()
    drawn = torch.multinomial(weights[several], lists.shape[1], replacement=True, generator=generator)
    apart = (margin - (own[several] - scores[several].gather(1, drawn))).clamp(min=0)[listed[several]]
    return order.mean() + apart.mean() if len(order) else apart.mean()


def agreement(victim: Recommender, surrogate: Recommender, sequences: SequenceBatch, k: int) -> float:
    """Agr@k, mean over sequences (Yue et al. 2021): 1 = the same k items in any order.

    Sequences for which the victim lists nothing do not count.
    """
    k = min(k, victim.n_items)
    return _shared(*(np.asarray(one.recommend(sequences, k)) for one in (victim, surrogate)))


def constant_agreement(victim: Recommender, sequences: SequenceBatch, k: int) -> float:
    """Agr@k of the one list that agrees most with the victim on these very sequences, whatever the history.

    A surrogate that does not agree more has learnt nothing of how the victim reads a history.
    """
    theirs = np.asarray(victim.recommend(sequences, min(k, victim.n_items)))
    often = np.bincount(theirs.ravel(), minlength=victim.n_items + 1)
    often[0] = -1  # no item, but a list that is short
    best = np.argsort(-often, kind="stable")[: theirs.shape[1]]
    return _shared(theirs, np.broadcast_to(best, theirs.shape))


def _shared(theirs: Int32, own: NDArray[Any]) -> float:
    """The share of `theirs` [n, k] that is also in `own` [n, k], mean over those rows that list anything."""
    listed = (theirs != 0).sum(axis=1)
    shared = ((theirs[:, :, None] == own[:, None, :]) & (theirs != 0)[:, :, None]).any(axis=2).sum(axis=1)
    return float((shared[listed > 0] / listed[listed > 0]).mean()) if listed.any() else 0.0
