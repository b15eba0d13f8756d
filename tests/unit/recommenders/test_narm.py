"""NARM against its equations, position by position."""

from __future__ import annotations

import torch

from robust.recommenders.dropout import OFF
from robust.recommenders.narm import NARM
from tests.toys import chain_log


def test_states_are_those_of_the_papers_equations() -> None:
    encoder = NARM(context=23, dimension=5, hidden=4, max_steps=5).fit(chain_log(users=20), seed=0).encoder.double()
    weights = dict(encoder.named_parameters())
    first, second = weights["attention.asking.weight"], weights["attention.asked.weight"]
    embeddings = torch.randn(2, 23, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.tensor([23, 9])
    gru = torch.nn.GRU(5, 4, batch_first=True).double()
    gru.load_state_dict({name: weights[f"cell.{name}"] for name, _ in gru.named_parameters()})
    hidden = gru(embeddings * 5**0.5)[0]
    ours, newest = encoder(embeddings, lengths, OFF), encoder.last_state(embeddings, lengths)
    for row, length in enumerate(lengths.tolist()):
        for t in range(length):
            local = torch.zeros(4, dtype=torch.float64)
            for j in range(t + 1):
                asked = torch.sigmoid(first @ hidden[row, t] + second @ hidden[row, j])
                local = local + (weights["attention.weight.weight"] @ asked) * hidden[row, j]
            theirs = weights["decoder.weight"] @ torch.cat([hidden[row, t], local])
            assert torch.allclose(ours[row, t], theirs, atol=1e-12), (row, t)
        assert torch.allclose(newest[row], theirs, atol=1e-12)
