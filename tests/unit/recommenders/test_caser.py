"""Caser against two-dimensional convolutions of each position's own window, as the paper draws them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from robust.log import SequenceBatch
from robust.recommenders.caser import Caser
from robust.recommenders.dropout import OFF
from tests.toys import chain_log

SMALL: dict[str, Any] = {"dimension": 6, "horizontal": 3, "vertical": 2, "max_steps": 5}


@pytest.mark.parametrize("window", [1, 4])
def test_states_are_those_of_convolutions_over_each_window(window: int) -> None:
    encoder = Caser(**SMALL, context=9, window=window).fit(chain_log(users=20), seed=0).encoder.double()
    weights = dict(encoder.named_parameters())
    embeddings = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.tensor([9, 3])
    ours, newest = encoder(embeddings, lengths, OFF), encoder.last_state(embeddings, lengths)
    padded = F.pad(embeddings * 6**0.5, (0, 0, window - 1, 0))
    for t in range(9):
        image = padded[:, t : t + window].unsqueeze(1)  # [B, 1, window, D]
        vertical = F.conv2d(image, weights["vertical.weight"].view(2, 1, window, 1), weights["vertical.bias"])
        found = [vertical.squeeze(2).transpose(1, 2).flatten(1)]  # by dimension, then by filter
        for height in range(1, window + 1):
            filters = weights[f"horizontal.{height - 1}.weight"].view(3, 1, height, 6)
            answers = F.conv2d(image, filters, weights[f"horizontal.{height - 1}.bias"]).squeeze(3)
            found.append(torch.relu(answers).amax(dim=2))
        inner = F.linear(torch.cat(found, dim=1), weights["connected.weight"], weights["connected.bias"])
        theirs = F.linear(torch.relu(inner), weights["output.weight"], weights["output.bias"])
        assert torch.allclose(ours[:, t], theirs, atol=1e-12), t
        for row in (lengths == t + 1).nonzero().flatten().tolist():
            assert torch.allclose(newest[row], theirs[row], atol=1e-12)


def test_it_reads_its_window_only() -> None:
    model = Caser(**SMALL, context=12, window=3).fit(chain_log(users=20), seed=0)
    assert model.context == 3
    long, short, other = model.score(SequenceBatch.from_lists([[9, 9, 4, 1, 2, 3], [1, 2, 3], [4, 2, 3]]))[:, 1:]
    assert long == pytest.approx(short, abs=1e-6)
    assert abs(other - short).max() > 1e-4
