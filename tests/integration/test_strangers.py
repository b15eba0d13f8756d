"""Modules as strangers write them, of several conventions, reviewed through ten lines; their figures by hand."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.integration.conftest import Robust
from tests.unit.recommenders.adapters.drawn import drawn

N, USERS, LENGTH = 24, 150, 6
SOURCE = '''\
import math
from dataclasses import dataclass
import torch
import torch.nn.functional as F
from torch import nn


class TimeMajor(nn.Module):
    """torch's own default: [time, batch]. Padding on the right, ids from 0, padded with what has no row's meaning."""

    def __init__(self, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab + 1, 16)
        self.lstm = nn.LSTM(16, 16)
        self.decoder = nn.Linear(16, vocab)

    def forward(self, tokens):
        return self.decoder(self.lstm(self.embedding(tokens))[0])


class Seq2Seq(nn.Module):
    """A transformer of torch with [time, batch] inside and a padding mask that is [batch, time] all the same."""

    def __init__(self, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab + 1, 16, padding_idx=0)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 1, enable_nested_tensor=False)
        self.decoder = nn.Linear(16, vocab + 1)

    def forward(self, src, src_key_padding_mask):
        causal = torch.full((len(src), len(src)), True).triu(1)
        hidden = self.encoder(self.embedding(src) * 4, mask=causal, src_key_padding_mask=src_key_padding_mask)
        return self.decoder(hidden)


@dataclass
class ModelOutput:
    logits: torch.Tensor
    hidden_states: tuple


class CausalLM(nn.Module):
    """As in transformers: input_ids and attention_mask by keyword, an object with logits, [PAD] 0, [MASK] 1."""

    def __init__(self, vocab):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab + 2, 16), nn.Embedding(32, 16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.lm_head = nn.Linear(16, vocab + 2, bias=False)

    def forward(self, input_ids=None, attention_mask=None, position_ids=None, labels=None, return_dict=True):
        if position_ids is None:
            position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
        x = self.wte(input_ids) + self.wpe(position_ids)
        size = x.shape[1]
        hidden = (attention_mask[:, None, :] == 0) | torch.ones(size, size, dtype=torch.bool).triu(1)
        hidden = hidden & ~torch.eye(size, dtype=torch.bool)
        attended = self.attention(x, x, x, attn_mask=hidden.repeat_interleave(2, 0), need_weights=False)[0]
        return ModelOutput(logits=self.lm_head(torch.tanh(x + attended)), hidden_states=(x,))


class TwoTower(nn.Module):
    """Towers with methods of their own; the items' tower is more than a table."""

    def __init__(self, vocab):
        super().__init__()
        self.query_items = nn.Embedding(vocab + 1, 16, padding_idx=0)
        self.candidates = nn.Embedding(vocab + 1, 16)
        self.project = nn.Linear(16, 16)

    def encode_user(self, history, history_len):
        summed = (self.query_items(history) * (history > 0).unsqueeze(-1)).sum(1)
        return F.normalize(torch.tanh(summed / history_len.unsqueeze(-1)), dim=-1)

    def all_items(self):
        return F.normalize(self.project(self.candidates.weight), dim=-1)


class Bagged(nn.Module):
    """The mean of a bag."""

    def __init__(self, vocab):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab + 1, 16, mode="mean", padding_idx=0)
        self.out = nn.Linear(16, vocab + 1)

    def forward(self, items):
        return self.out(torch.tanh(self.bag(items)))


class Bare(nn.Module):
    """No layers: parameters and functions; positions counted from 1, 0 where nothing stands."""

    def __init__(self, vocab):
        super().__init__()
        self.V = nn.Parameter(torch.zeros(vocab + 1, 16))
        self.P = nn.Parameter(torch.zeros(32, 16))

    def forward(self, log_seqs, poss):
        x = F.embedding(log_seqs, self.V) + self.P[poss]
        weight = poss.unsqueeze(-1) / 8
        return torch.tanh((x * weight).sum(1)) @ self.V.T
'''


@dataclass(frozen=True)
class Stranger:
    """A class, the lines that connect it, what gives its gradients, and its scores of items 1…N by hand.

    Attributes:
        one: from the module and the newest items (1…N) of one history to the scores [N] of all items.
    """

    mapping: str
    gradients: str
    one: Callable[[Any, list[int]], Tensor]


def _seq2seq(net: Any, items: list[int]) -> Tensor:
    mask = torch.zeros(1, len(items), dtype=torch.bool)
    return net(torch.tensor(items).unsqueeze(1), mask)[-1, 0, 1:]  # type: ignore[no-any-return]


def _causal(net: Any, items: list[int]) -> Tensor:
    ids = torch.tensor([items]) + 1
    return net(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1, 2:]  # type: ignore[no-any-return]


STRANGERS = {
    "TimeMajor": Stranger(
        f"time_first: true\npadding: {{side: right, id: {N}, length: {LENGTH}}}\nids: {{first: 0}}\n",
        "through embedding",
        lambda net, items: net(torch.tensor(items).unsqueeze(1) - 1)[-1, 0],
    ),
    "Seq2Seq": Stranger(
        "time_first: true\nsequence: src\nextra: {src_key_padding_mask: padding-mask}\n"
        f"padding: {{side: right, length: {LENGTH}}}\n",
        "through embedding",
        _seq2seq,
    ),
    "CausalLM": Stranger(
        "sequence: input_ids\nextra: {attention_mask: integer-mask, labels: null, return_dict: true}\n"
        f"padding: {{length: {LENGTH}}}\nids: {{first: 2}}\noutput: {{path: logits}}\n",
        "through wte",
        _causal,
    ),
    "TwoTower": Stranger(
        "method: encode_user\ntable: all_items\nsequence: history\nextra: {history_len: lengths}\n"
        f"padding: {{length: {LENGTH}}}\n",
        "through query_items",
        lambda net, items: (
            net.encode_user(torch.tensor([items]), torch.tensor([len(items)]))[0] @ net.all_items()[1:].T
        ),
    ),
    "Bagged": Stranger(f"padding: {{length: {LENGTH}}}\n", "", lambda net, items: net(torch.tensor([items]))[0, 1:]),
    "Bare": Stranger(
        f"sequence: log_seqs\nextra: {{poss: places}}\npadding: {{side: right, length: {LENGTH}}}\n",
        "through V",
        lambda net, items: net(torch.tensor([items]), torch.arange(1, len(items) + 1).unsqueeze(0))[0, 1:],
    ),
}
SCENARIO = """\
schema: 1
title: Strangers
dataset: {file: log.csv}
victims: [stranger.yaml]
seeds: [3]
seen: keep
threats:
  - id: edited
    goal: {degrade: true}
    knowledge: {model: lists}
    attacks: [random-edits]
    budgets: [{edits: 1}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.9}
  - id: embedded
    goal: {degrade: true}
    knowledge: {model: gradients}
    attacks: [fgsm]
    budgets: [{epsilon: 1.0}]
    bound: {metric: ndcg@10, kind: drop, limit: 0.9}
"""

WORDS = ["--model", "stranger.yaml", "--log", "log.csv", "--json"]


@pytest.fixture
def histories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Their folder, and what users did: some less than a model reads, some more, one a single event; items 1…N."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("strange_nets.py").write_text(SOURCE)
    Path("tiny.yaml").write_text(SCENARIO)
    rng = np.random.default_rng(0)
    rows = [list(range(1, N + 1)), [5]]  # every item occurs, so that the log's ids are 1…N
    rows += [rng.integers(1, N + 1, size=rng.integers(2, 12)).tolist() for _ in range(USERS)]
    lines = [f"u{user:03},{item},{time}" for user, row in enumerate(rows) for time, item in enumerate(row)]
    Path("log.csv").write_text("\n".join(["user,item,timestamp", *lines]))
    return rows


def _by_hand(net: Any, stranger: Stranger, histories: list[list[int]]) -> dict[str, float]:
    ranks = []
    with torch.no_grad():
        for *seen, truth in [row for row in histories if len(row) > 1]:
            scores = stranger.one(net, seen[-LENGTH:])
            assert scores.shape == (N,)
            ranks.append(int((scores >= scores[truth - 1]).sum()))
    rank = np.array(ranks)
    return {
        "hr@10": float((rank <= 10).mean()),
        "ndcg@10": float(np.where(rank <= 10, 1 / np.log2(rank + 1), 0).mean()),
    }


@pytest.mark.parametrize("name", STRANGERS)
def test_a_strangers_figures_are_those_by_hand(name: str, histories: list[list[int]], robust: Robust) -> None:
    stranger = STRANGERS[name]
    mapping = f"adapter: torch\nmodel: strange_nets:{name}\narguments: {{vocab: {N}}}\nweights: net.safetensors\n"
    mapping += stranger.mapping
    assert len(mapping.splitlines()) <= 10
    Path("stranger.yaml").write_text(mapping)
    net = drawn(getattr(importlib.import_module("strange_nets"), name)(N), 1, 0.5).eval()
    save_file(net.state_dict(), "net.safetensors")

    answer = robust("review", "tiny.yaml", "--engine", "serial", "--out", "out")
    assert answer.code in (0, 1), answer.err
    cells = {cell["threat"]: cell for cell in json.loads(Path("out/results.json").read_text())["cells"]}
    expected = _by_hand(net, stranger, histories)
    assert 0 < expected["ndcg@10"] < expected["hr@10"] < 1
    for metric, value in expected.items():
        assert cells["edited"]["metrics"][metric]["clean"] == pytest.approx(value, abs=1e-6)
    if stranger.gradients:
        assert cells["embedded"]["verdict"] in ("PASS", "FAIL")
        assert cells["embedded"]["metrics"]["ndcg@10"]["clean"] == pytest.approx(expected["ndcg@10"], abs=1e-6)
        assert cells["embedded"]["metrics"]["ndcg@10"]["change"] != 0
    else:
        assert cells["embedded"]["verdict"] == "NOT_APPLICABLE"

    found = {row["name"]: row for row in json.loads(robust("doctor", *WORDS).out)}
    promises = ["padding", "batch size", "batch order", "context", "finite", "determinism", "empty sequences"]
    promises += ["embeddings", "gradient"] if stranger.gradients else []
    assert {promise: found[promise]["result"] for promise in promises} == dict.fromkeys(promises, "ok")
    if stranger.gradients:
        assert f"(gradients {stranger.gradients})" in found["capabilities"]["seen"]
    else:
        assert "bag is an nn.EmbeddingBag" in found["no gradients"]["seen"]
