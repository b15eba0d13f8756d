"""TorchScript files: refused unless trusted, then scored as the module that was compiled."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.log import SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from robust.recommenders.adapters.base import TRUST
from robust.recommenders.protocols import capabilities, lacks
from tests.unit.recommenders.adapters.drawn import drawn

N = 9
LISTS = [[3, 1, 4], [5], [9, 2, 6, 5], [7, 7]]


class Net(nn.Module):
    """Left-padded with 0, ids from 1, all steps [B, L, N + 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.out = nn.Embedding(N + 1, 4), nn.Linear(4, N + 1)
        drawn(self, 0)

    def forward(self, seq: Tensor) -> Tensor:
        return self.out((self.items(seq) * (seq > 0).unsqueeze(-1)).cumsum(1).tanh())  # type: ignore[no-any-return]


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TRUST, "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own format deprecated
        torch.jit.save(torch.jit.script(Net().eval()), tmp_path / "net.ts")
    (tmp_path / "model.yaml").write_text("adapter: torchscript\nfile: net.ts\n")
    return tmp_path / "model.yaml"


def test_it_is_refused_unless_trusted(described: Path) -> None:
    with pytest.raises(InputError, match=r"TorchScript file, which is a program.*--trust-pickle"):
        open_adapter(described)


def test_its_scores_are_those_of_the_module(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, "1")
    model = open_adapter(described)
    net = Net().eval()
    with torch.no_grad():
        expected = torch.stack([net(torch.tensor([items]))[0, -1] for items in LISTS]).numpy()
    scores = model.score(SequenceBatch.from_lists(LISTS))
    np.testing.assert_allclose(scores[:, 1:], expected[:, 1:], atol=1e-6)
    assert capabilities(adapt(model)) == {"lists", "scores"}
    assert lacks(adapt(model))["gradients"] == "hooks do not run inside TorchScript"


def test_what_is_no_torchscript_is_refused(described: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, "1")
    (described.parent / "net.ts").write_bytes(b"<html>")
    with pytest.raises(InputError, match="cannot be loaded as TorchScript"):
        open_adapter(described)
