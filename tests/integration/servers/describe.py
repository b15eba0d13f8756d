"""Descriptions of the server of this folder, and what it should answer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.log import SequenceBatch
from robust.recommenders.adapters import open_adapter
from tests.integration.servers.recommender import Model
from tests.integration.servers.start import Server

N_ITEMS = 60
MODEL = Model(N_ITEMS)
TOKEN = "tok-5f1e93c0"
KSERVE = "adapter: kserve\nmodel: ranker\nn_items: 60\npadding: {length: 8}\n"
TF = "adapter: tf-serving\nmodel: ranker\nn_items: 60\npadding: {length: 8}\n"
ONE = "adapter: http\nn_items: 60\nids: {first: 0}\nrequest: {history: $sequence}\nresponse: {scores: scores}\n"
SHOP = """adapter: http
ids: {vocabulary: skus.txt, kind: str}
k: 10
request: {users: {$each: {history: $sequence}}, top: $k}
response: {items: "result[*].hits[*].sku", scores: "result[*].hits[*].score"}
"""
QUICKLY = "backoff: 0.01\n"


_names = itertools.count()


class Describe:
    """Writes a description beside its vocabulary, and opens it; each one has a ledger of its own."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        server.fault()

    def __call__(self, text: str, path: str = "") -> Any:
        file = self.folder / f"model{next(_names)}.yaml"
        (self.folder / "skus.txt").write_text("\n".join(f"sku-{item}" for item in range(1, N_ITEMS + 1)))
        unlike = f"headers: {{X-Test: '{file.name} {self.folder}'}}\n"
        file.write_text(f"url: {self.server.url}{path}\n{unlike}{text}")
        return open_adapter(file)


def histories(rows: int, seed: int = 0, width: int = 12) -> SequenceBatch:
    rng = np.random.default_rng(seed)
    items = rng.integers(1, N_ITEMS + 1, size=(rows, width))
    items[np.arange(width) < rng.integers(0, width, size=(rows, 1))] = 0
    return SequenceBatch(items)


def by_hand(sequences: SequenceBatch) -> NDArray[Any]:
    return np.stack([MODEL.score(row.tolist()) for row in sequences.items])[:, 1:]
