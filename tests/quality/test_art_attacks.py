"""What docs/art.md says of each of ART's evasion attacks, found out by running it on a small trained victim."""

from __future__ import annotations

import re
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robust.attacks.embedding.art import art_attacks
from robust.attacks.embedding.art_classifier import as_art_estimator, seeded_globals
from robust.log import SequenceBatch
from robust.perturbation import neighbour_distance
from robust.recommenders.recurrent import GRU4Rec
from tests.toys import chain_log

PAGE = Path(__file__).parents[2] / "docs" / "art.md"
VERDICTS = ("works", "top-1 only", "partly", "does nothing", "fails", "not installed")
N_ITEMS, WIDTH, ROWS = 30, 8, 8
HARMED, MOST, FEW = 0.05, 0.9, 0.1
"""A loss counts as risen beyond the first; a share of sequences as most, or few, beyond the others."""

FAST = {
    "max_iter": 10,
    "batch_size": ROWS,
    "binary_search_steps": 2,
    "initial_const": 1.0,
    "learning_rate": 0.1,
    "nb_random_init": 1,
    "max_eval": 50,
    "init_eval": 10,
    "targeted": False,
    "verbose": False,
}
"""Parameters, of those that an attack has, which let it finish in seconds."""
OWN: dict[str, dict[str, Any]] = {
    "BoundaryAttack": {"init_size": 500},
    "CarliniLInfMethod": {"learning_rate": 0.05, "decrease_factor": 0.7, "initial_const": 0.1},
    "ElasticNet": {"max_iter": 20},
    "HopSkipJump": {"max_iter": 3},
    "SimBA": {"batch_size": 1},
    "UniversalPerturbation": {"attacker": "fgsm", "max_iter": 2},
    "Wasserstein": {"norm": "inf", "p": 2, "max_iter": 1},
    "ZooAttack": {"use_resize": False, "use_importance": False},
}


@cache
def victim() -> tuple[GRU4Rec, SequenceBatch]:
    """A recommender that has learnt a circle, and sequences of one length."""
    log = chain_log(users=120, n_items=N_ITEMS, length=10, noise=0.15)
    settings: dict[str, Any] = {"dimension": 16, "max_steps": 150, "min_steps": 100, "batch_size": 32}
    model = GRU4Rec(context=WIDTH, **settings).fit(log, seed=0)
    return model, log.sequences(WIDTH, np.arange(ROWS))


def documented() -> dict[str, str]:
    """Attack → verdict, by the page's table."""
    rows = re.findall(r"^\| (`.+?) \| \*\*(.+?)\*\* \|", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return {name: verdict for names, verdict in rows for name in re.findall(r"`(\w+)`", names)}


def built(name: str, estimator: Any, epsilon: float) -> Any:
    from art.attacks import evasion

    kind = getattr(evasion, name, None)
    if kind is None:
        raise ModuleNotFoundError(f"ART leaves out {name} where a package is missing")
    if name == "FrameSaliencyAttack":
        inner = built("ProjectedGradientDescentNumpy", estimator, epsilon)
        return kind(estimator, inner, method="iterative_saliency", verbose=False)
    offered = signature(kind.__init__).parameters
    ours = {"eps": epsilon, "eps_step": epsilon / 4, "norm": np.inf, **FAST}
    parameters = {key: value for key, value in ours.items() if key in offered}
    return kind(estimator, **{**parameters, **OWN.get(name, {})})


def losses(estimator: Any, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    logits = torch.from_numpy(estimator.predict(inputs.astype(np.float32), batch_size=ROWS))
    return -torch.log_softmax(logits, dim=1).double().numpy()[np.arange(len(labels)), labels]


def verdict(name: str) -> str:
    """Whether it harms labels that the model ranks first, and labels that it does not."""
    model, sequences = victim()
    estimator = as_art_estimator(model, sequences)
    inputs = model.embed(sequences).detach().cpu().numpy()
    first = model.recommend(sequences, 1)[:, 0].astype(np.int64) - 1
    epsilon = 0.3 * neighbour_distance(model.item_embeddings)
    shares = []
    for labels in (first, (first + 2) % N_ITEMS):
        try:
            with seeded_globals(0):
                moved = built(name, estimator, epsilon).generate(x=inputs.copy(), y=labels)
        except ImportError:
            return "not installed"
        except Exception:  # noqa: BLE001 - whatever it raises, it does not work
            return "fails"
        rise = losses(estimator, np.asarray(moved), labels) - losses(estimator, inputs, labels)
        shares.append(float((rise > HARMED).mean()))
    top, other = shares
    if top >= MOST:
        return "works" if other >= MOST else "top-1 only"
    return "partly" if top > FEW else "does nothing"


def test_every_attack_of_art_has_a_row_and_a_verdict() -> None:
    assert documented().keys() == art_attacks()
    assert set(documented().values()) == set(VERDICTS)


@pytest.mark.parametrize("name", ["ProjectedGradientDescent", "AutoProjectedGradientDescent", "SquareAttack"])
def test_documented_verdicts_hold_for_the_best_known(name: str) -> None:
    assert verdict(name) == documented()[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(art_attacks()))
@pytest.mark.filterwarnings("ignore")
def test_documented_verdicts_hold(name: str) -> None:
    assert verdict(name) == documented()[name]
