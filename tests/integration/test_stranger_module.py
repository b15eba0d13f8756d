"""A module as a stranger wrote it is reviewed through ten lines of mapping; its figures equal those made by hand."""

from __future__ import annotations

import importlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tests.integration.conftest import Robust
from tests.unit.recommenders.adapters.drawn import drawn

USERS, LENGTH = 400, 12
NET = """\
import torch
from torch import nn


class NextRoute(nn.Module):
    def __init__(self, n_routes, dim=24):
        super().__init__()
        self.route_emb = nn.Embedding(n_routes + 1, dim, padding_idx=n_routes)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.head = nn.Linear(dim, n_routes)
        self.dropout = nn.Dropout(0.2)

    def forward(self, routes, seq_len):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(self.route_emb(routes)), seq_len.cpu(), batch_first=True, enforce_sorted=False
        )
        out, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return {"logits": self.head(out), "states": out}
"""
MAPPING = """\
adapter: torch
model: next_route:NextRoute
arguments: {n_routes: ROUTES}
weights: next_route.safetensors
sequence: routes
extra: {seq_len: lengths}
padding: {side: right, id: ROUTES, length: 12}
ids: {first: 0}
output: {path: logits}
"""
SCENARIO = """\
schema: 1
title: A stranger's module
dataset: {file: flights.csv}
victims: [stranger.yaml]
seeds: [3]
seen: keep
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [{name: first-order, candidates: 40}, random-edits]
    budgets: [{edits: 1}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.9}
  - id: embedded
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [fgsm]
    budgets: [{epsilon: 0.5}]
    bound: {metric: hr@10, kind: drop, limit: 0.9}
"""


def _events() -> pd.DataFrame:
    """Some users of the embedded log, with routes numbered from 0 in the order of their names."""
    with (files("robust.datasets.data") / "flights.parquet").open("rb") as file:
        raw = pd.read_parquet(file).iloc[:, :3].set_axis(["user", "item", "timestamp"], axis=1)
    raw = raw[raw["user"].isin(np.unique(raw["user"])[:USERS])].drop_duplicates()
    return raw.assign(route=np.unique(raw["item"], return_inverse=True)[1])


def _histories(events: pd.DataFrame) -> list[list[int]]:
    """Each user's routes in order of time."""
    ordered = events.sort_values(["user", "timestamp"], kind="stable")
    return [list(group) for _, group in ordered.groupby("user")["route"] if len(group) > 1]


def _right_padded(histories: list[list[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    newest = [history[-LENGTH:] for history in histories]
    rows = [history + [padding] * (LENGTH - len(history)) for history in newest]
    return torch.tensor(rows), torch.tensor([len(history) for history in newest])


def _trained(net: Any, histories: list[list[int]], n: int) -> None:
    """What a stranger does: a few steps of Adam, each route predicted from those before."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    padded, lengths = _right_padded([h[:-2] for h in histories if len(h) > 3], n)
    following, _ = _right_padded([h[1:-1] for h in histories if len(h) > 3], n)
    for _ in range(60):
        logits = net(padded, lengths)["logits"]
        loss = F.cross_entropy(logits.flatten(0, 1), following[:, : logits.shape[1]].flatten(), ignore_index=n)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Their folder, with a trained module and our mapping; what it reaches, by hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    events = _events()
    events[["user", "item", "timestamp"]].to_csv("flights.csv", index=False)
    n, histories = int(events["route"].max()) + 1, _histories(events)
    Path("next_route.py").write_text(NET)
    Path("stranger.yaml").write_text(MAPPING.replace("ROUTES", str(n)))
    Path("tiny.yaml").write_text(SCENARIO)
    net = drawn(importlib.import_module("next_route").NextRoute(n), 0, 0.2)
    _trained(net, histories, n)
    save_file(net.state_dict(), "next_route.safetensors")

    net.eval()
    ranks = []
    with torch.no_grad():
        for history in histories:
            *seen, truth = history
            newest = torch.tensor([seen[-LENGTH:]])
            logits = net(newest, torch.tensor([newest.shape[1]]))["logits"][0, -1]
            ranks.append(int((logits >= logits[truth]).sum()))
    rank = np.array(ranks)
    return {
        "hr@10": float((rank <= 10).mean()),
        "ndcg@10": float(np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean()),
    }


def test_ten_lines_of_mapping_and_the_figures_are_those_by_hand(stranger: dict[str, float], robust: Robust) -> None:
    assert len(MAPPING.splitlines()) <= 10
    answer = robust("review", "tiny.yaml", "--engine", "serial", "--out", "out")
    assert answer.code in (0, 1), answer.err
    cells = json.loads(Path("out/results.json").read_text())["cells"]
    assert {cell["verdict"] for cell in cells} <= {"PASS", "FAIL"}
    assert 0.2 < stranger["hr@10"] < 0.99  # it has learnt something, and misses something
    for cell in cells:
        for metric, expected in stranger.items():
            assert cell["metrics"][metric]["clean"] == pytest.approx(expected, abs=1e-6)
    drop = {cell["attack"]: cell["metrics"]["ndcg@10"]["change"] for cell in cells}
    assert drop["first-order"] > drop["random-edits"] + 0.2  # what follows the gradient knows more than chance


def test_the_doctor_finds_nothing_wrong(stranger: dict[str, float], robust: Robust) -> None:
    answer = robust("doctor", "--model", "stranger.yaml", "--log", "flights.csv", "--json")
    assert answer.code == 0, answer.out + answer.err
    rows = {row["name"]: row["result"] for row in json.loads(answer.out)}
    assert {rows[name] for name in ("padding", "empty sequences", "embeddings", "gradient", "id shift")} == {"ok"}
