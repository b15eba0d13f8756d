"""Profile pollution by appended items (Yue et al., RecSys 2021): ml-1m, SASRec, ten items, the victim's own gradients.

Published through an extracted surrogate: the targets' NDCG@10 among 100 negatives from about .07 to .88, and .34 where
the target alternates with random items.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.datasets import leave_last_out, open_log
from robust.log import SequenceBatch
from robust.threat import Promote
from tests.validation.protocol import Sampled, fitted, interval, spread_over_popularity
from tests.validation.test_victims import LONG

pytestmark = pytest.mark.slow
USERS, TARGETS, APPENDED = 300, 5, 10


def test_append_on_ml_1m(robust_data: Path) -> None:
    split = leave_last_out(open_log(str(robust_data / "ml-1m.parquet")))
    model = fitted("sasrec", LONG, split, 1)
    targets = spread_over_popularity(split, TARGETS)
    sampled = Sampled.of(split, int(LONG["context"]), USERS, 8, besides=targets)
    assert sampled.situation.seen is not None
    holds = sampled.situation.seen.holds(targets)

    def reached(name: str) -> NDArray[np.float64]:
        columns = []
        for target in targets:
            edited: SequenceBatch = sampled.situation.sequences
            if name:
                edited = sampled.attacked(name, {}, model, Promote(items=(target,)), APPENDED)
            columns.append(sampled.ndcg(model, edited, np.full(len(holds), target, np.int32)))
        return np.asarray(np.nanmean(np.where(holds, np.nan, np.stack(columns, axis=1)), axis=1))

    found = {name or "clean": reached(name) for name in ("", "append", "random-append")}
    for name, values in found.items():
        print(f"\n{name}: {interval(values)}", flush=True)
    assert found["append"].mean() >= 0.78
    assert (found["append"] - found["random-append"]).mean() > 0.3
