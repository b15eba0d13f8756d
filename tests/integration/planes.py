"""A small log with names for its items, and what is asked of every adapter that fits a library's models to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robust.datasets import load_dataset
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.recommenders.protocols import Differentiable, Scorer
from tests.integration.conftest import Robust


def planes(aircraft: int = 120, flights: int = 12) -> InteractionLog:
    """The first `flights` of so many aircraft, and only the routes that they flew: string ids."""
    whole = load_dataset("flights")
    rows = whole.rows(whole.position < flights)
    users = np.flatnonzero(rows.lengths == flights)[:aircraft]
    rows = rows.rows(np.isin(rows.user, users))
    kept, item = np.unique(rows.item, return_inverse=True)
    user = np.searchsorted(users, rows.user)
    assert whole.item_ids is not None
    return InteractionLog.from_columns(
        user, item + 1, rows.timestamp, n_items=len(kept), item_ids=whole.item_ids[kept - 1]
    )


def chain() -> tuple[InteractionLog, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A chain 1 → 2 → … → 12 → 1; items 13 and 14 have no row. With sequences [12, 4], and what follows each [12]."""
    start = np.arange(120) % 12
    items = (start[:, None] + np.arange(8)[None, :]) % 12 + 1
    log = InteractionLog.from_columns(
        np.repeat(np.arange(120), 8), items.ravel(), np.tile(np.arange(8), 120), n_items=14
    )
    return log, (np.arange(12)[:, None] + np.arange(4)) % 12 + 1, (np.arange(12) + 4) % 12 + 1


def repeats_and_is_poisoned(model: Any, log: InteractionLog) -> None:
    """The same seed gives the same bits, another one others; and a target that follows everything rises."""
    clean, again, other = model.fit(log, seed=3), model.fit(log, seed=3), model.fit(log, seed=4)
    asked = log.sequences(10, np.arange(100))
    assert clean.n_items == log.n_items
    assert np.array_equal(clean.score(asked), again.score(asked))
    assert not np.array_equal(clean.score(asked), other.score(asked))
    target = int(np.argmin(log.popularity[1:])) + 1
    profiles = log.sequences(8).items.copy()
    profiles[:, 1::2] = target
    poisoned = model.fit(LogEdit(add=profiles).apply(log), seed=3)
    assert isinstance(poisoned, Scorer)
    starts = SequenceBatch(profiles[:, :1])
    above = [float((m.score(starts)[:, 1:] > m.score(starts)[:, [target]]).sum(1).mean()) for m in (clean, poisoned)]
    assert above[1] < above[0] / 2


def reviewed(robust: Robust, own: dict[str, float], *words: object) -> None:
    """`robust review quick` of a trained model, to its end: what is measured clean is what the library itself says.

    Args:
        own: metrics of the checkpoint as its library evaluates it, on the log without everybody's last row.
    """
    answer = robust("review", "quick", *words, "--workers", "1", "--out", "out")
    assert answer.code in (0, 1), answer.out + answer.err
    cells = json.loads(Path("out/results.json").read_text())["cells"]
    for cell in cells:
        # RecBole and RecTools have no objective of ours to change; all else is measured
        unable = cell["defense"] == "adversarial-embeddings"
        assert cell["verdict"] in ({"NOT_APPLICABLE"} if unable else {"PASS", "FAIL", "INCONCLUSIVE"}), cell["reason"]
    fixed = [cell for cell in cells if cell["threat"] != "promotion" and cell["metrics"]]
    assert {cell["threat"] for cell in fixed} == {"edited-history", "edited-history-lists-only", "embeddings"}
    for cell in fixed:
        for metric, value in own.items():
            # RecBole rounds to four places
            assert cell["metrics"][metric]["clean"] == pytest.approx(value, abs=1e-4)
        assert cell["metrics"]["ndcg@10"]["attacked"] != cell["metrics"]["ndcg@10"]["clean"]
    poisoned = [cell for cell in cells if cell["threat"] == "promotion"]
    assert {cell["attack"] for cell in poisoned} == {"random", "bandwagon"}
    for cell in poisoned:  # both arms are fits of their own, to different logs
        clean, attacked = (cell["metrics"]["ndcg@10"][arm] for arm in ("clean", "attacked"))
        assert clean != attacked
        assert clean != pytest.approx(own["ndcg@10"], abs=1e-4)


def gradient_of_the_scores(model: Differentiable, log: InteractionLog) -> torch.Tensor:
    """float [3, 13, D], of two scores; held to the scores themselves, to padding and to finite differences.

    The second history has nine paddings, the third nothing; the first is longer than the model reads by at least three.
    """
    rows = log.sequences(13, np.arange(3)).items.copy()
    rows[1, :9] = 0
    rows[2] = 0
    sequences = SequenceBatch(rows)
    embedded = model.embed(sequences).detach().requires_grad_(True)
    scores = model.score_embeddings(embedded, sequences)
    np.testing.assert_allclose(scores[:, 1:].detach(), model.score(sequences)[:, 1:], rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(scores[0, 5] + scores[1, 7], embedded)
    assert not gradient[1, :9].any()
    assert not gradient[2].any()
    assert not gradient[0, :3].any()  # older than it reads
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        up = model.score_embeddings(embedded + step, sequences)
        down = model.score_embeddings(embedded - step, sequences)
    change = float((up[0, 5] + up[1, 7] - down[0, 5] - down[1, 7]) / 2)
    assert change == pytest.approx(1e-2 * float(gradient.norm()), rel=0.02)
    return gradient
