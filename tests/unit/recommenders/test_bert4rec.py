"""BERT4Rec: what is hidden and asked, and a textbook Transformer that answers alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.errors import InputError
from robust.log import SequenceBatch
from robust.recommenders.bert4rec import BERT4Rec
from robust.recommenders.dropout import OFF
from robust.recommenders.encoder import Encoder
from robust.recommenders.objective import Step
from robust.recommenders.task import Task
from robust.recommenders.windows import Batch
from tests.toys import chain_log

SMALL: dict[str, Any] = {"context": 10, "dimension": 6, "max_steps": 5, "batch_size": 16}
ROWS = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16], [17, 18]]


def encoder_of(**settings: Any) -> Encoder:
    return BERT4Rec(**{**SMALL, **settings}).fit(chain_log(users=20), seed=0).encoder


def batch_of(rows: list[list[int]]) -> Batch:
    """Windows whose inputs are all items but the last, and whose last target is the last."""
    lengths = np.array([len(row) - 1 for row in rows])
    items, targets = (np.zeros((len(rows), lengths.max()), np.int32) for _ in range(2))
    for row, (inputs, wanted) in enumerate(zip(items, targets, strict=True)):
        inputs[: lengths[row]], wanted[: lengths[row]] = rows[row][:-1], rows[row][1:]
    return Batch(items, targets, lengths, np.arange(len(rows)))


def hidden_of(task: Task) -> list[list[int]]:
    """The hidden places of each of ROWS; what is shown beside them is checked."""
    found = []
    for row, shown in zip(ROWS, task.items.tolist(), strict=True):
        assert all(item in (0, own) for item, own in zip(shown, row, strict=False))
        assert not any(shown[len(row) :])
        found.append([place for place in range(len(row)) if shown[place] == 0])
    asked = [row[place] for row, places in zip(ROWS, found, strict=True) for place in places]
    assert sorted((task.targets + 1).tolist()) == asked  # the items of ROWS are in ascending order
    return found


def test_a_share_of_each_window_is_hidden_and_asked() -> None:
    encoder, generator = encoder_of(mask_share=0.4, last_share=0.0), torch.Generator().manual_seed(0)
    counts = np.zeros((len(ROWS), 11))
    for _ in range(300):
        hidden = hidden_of(encoder.task(batch_of(ROWS), generator))
        assert [len(places) for places in hidden] == [4, 2, 1]  # of 11, 5 and 2
        for row, places in enumerate(hidden):
            counts[row, places] += 1
    assert counts[0] / 300 == pytest.approx(np.full(11, 4 / 11), abs=0.12)  # four standard errors
    assert counts[1, :5] / 300 == pytest.approx(np.full(5, 2 / 5), abs=0.12)


def test_a_window_is_never_hidden_altogether_nor_shown_altogether() -> None:
    generator = torch.Generator().manual_seed(0)
    assert [len(p) for p in hidden_of(encoder_of(mask_share=0.999).task(batch_of(ROWS), generator))] == [10, 4, 1]
    assert [len(p) for p in hidden_of(encoder_of(mask_share=0.001).task(batch_of(ROWS), generator))] == [1, 1, 1]


def test_in_some_windows_only_the_newest_is_hidden() -> None:
    generator = torch.Generator().manual_seed(0)
    task = encoder_of(last_share=1.0, mask_share=0.9).task(batch_of(ROWS), generator)
    assert hidden_of(task) == [[10], [4], [1]]
    encoder = encoder_of(last_share=0.5, mask_share=0.4)
    single = [len(hidden_of(encoder.task(batch_of(ROWS), generator))[0]) == 1 for _ in range(300)]
    assert np.mean(single) == pytest.approx(0.5, abs=0.12)


def textbook(encoder: Encoder, embeddings: Tensor, places: list[int]) -> Tensor:
    """[len(places), D], one sequence [S, D] without padding, one head after the other."""
    weights = dict(encoder.named_parameters())

    def linear(name: str, values: Tensor) -> Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, values: Tensor) -> Tensor:
        return F.layer_norm(values, values.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    shown = embeddings.clone()
    shown[places] = weights["mask"]
    states = norm("norm", (shown + weights["positions"][: len(shown)].flip(0)) * embeddings.shape[1] ** 0.5)
    for block in ("blocks.0", "blocks.1"):
        query, mixed = linear(f"{block}.query", states), linear(f"{block}.key_value", states)
        heads = []
        for head in range(2):
            key, value = mixed[:, 6 * head : 6 * head + 3], mixed[:, 6 * head + 3 : 6 * head + 6]
            attention = torch.softmax(query[:, 3 * head : 3 * head + 3] @ key.T / math.sqrt(3), dim=1)
            heads.append(attention @ value)
        states = norm(f"{block}.attention_norm", states + linear(f"{block}.output", torch.cat(heads, dim=1)))
        inner = F.gelu(linear(f"{block}.inner", states))
        states = norm(f"{block}.feed_forward_norm", states + linear(f"{block}.outer", inner))
    return norm("output_norm", F.gelu(linear("output", states[places])))


def test_states_are_those_of_a_textbook_transformer() -> None:
    encoder = encoder_of(mask_share=0.4).double()
    task = encoder.task(batch_of(ROWS), torch.Generator().manual_seed(1))
    table = encoder.table
    ours = task.states(F.embedding(task.items, table), OFF)
    by_target = dict(zip((task.targets + 1).tolist(), ours, strict=True))
    for row, places in zip(ROWS, hidden_of(task), strict=True):
        theirs = textbook(encoder, table[torch.tensor(row)], places)
        for place, state in zip(places, theirs, strict=True):
            assert torch.allclose(by_target[row[place]], state, atol=1e-12)


def test_to_rank_a_mask_is_appended() -> None:
    model = BERT4Rec(**SMALL).fit(chain_log(users=20), seed=0)
    encoder = model.encoder
    scores = model.score(SequenceBatch.from_lists([[3, 1, 4, 1, 5], [9]]))
    for row, got in zip([[3, 1, 4, 1, 5], [9]], scores, strict=True):
        with_room = F.pad(encoder.table[torch.tensor(row)], (0, 0, 0, 1))
        state = textbook(encoder, with_room, [len(row)])[0]
        assert got[1:] == pytest.approx((encoder.table[1:] @ state).numpy(), abs=1e-5)


def test_an_objective_reaches_what_is_shown_and_not_what_is_hidden() -> None:
    seen: list[float] = []

    def objective(step: Step) -> Tensor:
        nudge = torch.zeros_like(step.embeddings, requires_grad=True)
        (gradient,) = torch.autograd.grad(step.loss(step.embeddings.detach() + nudge), nudge)
        assert torch.all(gradient[~step.mask] == 0)
        assert bool((gradient[step.mask].norm(dim=1) > 0).all())
        assert torch.all(step.embeddings[~step.mask] == 0)
        seen.append(float(step.mask.float().mean()))
        return step.loss(step.embeddings + 0.1 * gradient)

    model = BERT4Rec(**{**SMALL, "context": 20}, mask_share=0.5, last_share=0.0)
    model.train(chain_log(users=30, length=12), seed=0, objective=objective)
    assert len(seen) == 5
    assert all(5 / 12 <= share <= 6 / 12 for share in seen)  # 5 where the last item was held out for validation


def test_heads_divide_the_dimension() -> None:
    with pytest.raises(InputError, match=r"BERT4Rec: heads \(4\) must divide dimension \(6\)"):
        BERT4Rec(**SMALL, heads=4)
