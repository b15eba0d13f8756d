"""Substitution in the protocol of Yue et al., RecSys 2022: an item among 100 sampled negatives, before and after.

ml-1m with two edits, amazon-beauty with one; SASRec and NARM; untargeted (of the true next item) and targeted (of five
targets spread over popularity ranks); τ = .5 kept, and none; the next item known, and not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from robust.datasets import Split, k_core, leave_last_out, open_log
from robust.recommenders.protocols import Scorer
from robust.threat import Degrade, Promote
from tests.validation.protocol import Sampled, fitted, interval, spread_over_popularity
from tests.validation.test_victims import LONG

pytestmark = pytest.mark.slow
USERS, TARGETED_USERS, TARGETS = 1500, 300, 5
VICTIMS: dict[tuple[str, str], dict[str, Any]] = {
    ("ml-1m", "sasrec"): LONG,
    ("ml-1m", "narm"): {},
    ("amazon-beauty", "sasrec"): {},
    ("amazon-beauty", "narm"): {},
}
EDITS = {"ml-1m": 2, "amazon-beauty": 1}
RULES = {"paper": "sign-cosine", "first order": "first-order"}
CASES = list(VICTIMS)
CEILINGS = {  # ml-1m, SASRec, untargeted, two edits: (rule, tau, next item known) to the most that may be left
    ("paper", 0.5, True): 0.42,
    ("paper", None, True): 0.25,
    ("first order", 0.5, True): 0.34,
    ("first order", None, True): 0.10,
    ("first order", None, False): 0.30,
}
PROMOTED = {0.5: 0.20, None: 0.45}
"""ml-1m, SASRec, targeted, first order: by tau, the least that targets must reach, from about .10."""


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def case(request: pytest.FixtureRequest, robust_data: Path) -> tuple[str, str, Split, Scorer]:
    data, victim = request.param
    log = open_log(str(robust_data / f"{data}.parquet"))
    split = leave_last_out(k_core(log, 5))
    return data, victim, split, fitted(victim, VICTIMS[request.param], split, 1)


def _context(model: Scorer) -> int:
    return int(cast(Any, model).context)


def test_untargeted(case: tuple[str, str, Split, Scorer]) -> None:
    data, victim, split, model = case
    sampled = Sampled.of(split, _context(model), USERS, 5)
    truth = sampled.situation.truth
    clean = sampled.ndcg(model, sampled.situation.sequences, truth)
    print(f"\n{data}, {victim}, untargeted, {EDITS[data]} edits: clean {interval(clean)}", flush=True)
    missed = []
    for rule, gain in RULES.items():
        for tau in (0.5, None):
            for known in (True, False):
                edited = sampled.attacked(
                    "substitution", {"gain": gain, "tau": tau}, model, Degrade(), EDITS[data], known=known
                )
                left = sampled.ndcg(model, edited, truth)
                print(
                    f"  {rule}, tau {tau}, next item {'known' if known else 'not known'}: {interval(left)}", flush=True
                )
                ceiling = CEILINGS.get((rule, tau, known))
                if (data, victim) == ("ml-1m", "sasrec") and ceiling is not None and left.mean() > ceiling:
                    missed.append(f"{rule}, tau {tau}, known {known}: {left.mean():.3f} > {ceiling}")
    near = sampled.attacked(
        "random-edits", {"kinds": ["replace"], "choice": "neighbours", "tries": 1}, model, Degrade(), EDITS[data]
    )
    control = sampled.ndcg(model, near, truth)
    print(f"  neighbour control: {interval(control)}", flush=True)
    assert abs(control.mean() - clean.mean()) <= 0.03
    assert not missed, missed


def test_targeted(case: tuple[str, str, Split, Scorer]) -> None:
    data, victim, split, model = case
    targets = spread_over_popularity(split, TARGETS)
    sampled = Sampled.of(split, _context(model), TARGETED_USERS, 6, besides=targets)
    held = sampled.situation.seen
    assert held is not None
    holds = held.holds(targets)

    def of_targets(edited: list[Any]) -> NDArray[np.float64]:
        """Per user, the mean over targets that the user does not hold."""
        columns = [
            sampled.ndcg(model, sequences, np.full(len(holds), target, np.int32))
            for sequences, target in zip(edited, targets, strict=True)
        ]
        return np.asarray(np.nanmean(np.where(holds, np.nan, np.stack(columns, axis=1)), axis=1))

    clean = of_targets([sampled.situation.sequences] * len(targets))
    print(f"\n{data}, {victim}, targeted, {EDITS[data]} edits: clean {interval(clean)}", flush=True)
    missed = []
    for rule, gain in RULES.items():
        for tau in (0.5, None):
            parameters = {"gain": gain, "tau": tau}
            goals = [Promote(items=(target,)) for target in targets]
            edited = [sampled.attacked("substitution", parameters, model, goal, EDITS[data]) for goal in goals]
            reached = of_targets(edited)
            print(f"  {rule}, tau {tau}: {interval(reached)}", flush=True)
            floor = PROMOTED[tau]
            if (data, victim, rule) == ("ml-1m", "sasrec", "first order") and reached.mean() < floor:
                missed.append(f"{rule}, tau {tau}: {reached.mean():.3f} < {floor}")
    assert not missed, missed
