"""Corrected failures against a step-by-step run of the graph, and against Holm's rule where they coincide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust.errors import InputError
from robust.statistics import adjusted_p, correct_failures

Chains = dict[int, list[float]]
p_values = st.sampled_from([0.0, 0.001, 0.006, 0.0125, 0.0126, 0.0166, 0.02, 0.024, 0.026, 0.04, 0.051, 0.3, 1.0])
chains = st.lists(st.lists(p_values, min_size=1, max_size=4), min_size=1, max_size=5).map(
    lambda lists: dict(enumerate(lists))
)


def run_graph(chains: Chains, alpha: float) -> dict[int, list[bool]]:
    """The procedure as it is told: each chain holds its share, passes it down, and leaves it to the others."""
    rejected = dict.fromkeys(chains, 0)
    holding = {key: alpha / len(chains) for key in chains}
    moved = True
    while moved:
        moved = False
        for key, chain in chains.items():
            while rejected[key] < len(chain) and chain[rejected[key]] <= holding[key] * (1 + 1e-12):
                rejected[key] += 1
                moved = True
            left = [other for other in chains if rejected[other] < len(chains[other])]
            if rejected[key] == len(chain) and holding[key] and left:
                for other in left:
                    holding[other] += holding[key] / len(left)
                holding[key] = 0.0
    return {key: [index < rejected[key] for index in range(len(chain))] for key, chain in chains.items()}


@given(chains)
def test_failures_are_those_of_the_graph(chains: Chains) -> None:
    assert correct_failures(chains, 0.05) == run_graph(chains, 0.05)


@given(chains, st.sampled_from([0.004, 0.0501, 0.1, 0.2001]))
def test_an_adjusted_p_value_is_the_least_level_that_rejects(chains: Chains, alpha: float) -> None:
    adjusted = adjusted_p(chains)
    assert {key: [p <= alpha for p in ps] for key, ps in adjusted.items()} == run_graph(chains, alpha)


@given(chains)
def test_correction_never_lowers_a_p_value_nor_reorders_budgets(chains: Chains) -> None:
    for key, adjusted in adjusted_p(chains).items():
        assert all(a >= p for a, p in zip(adjusted, chains[key], strict=True))
        assert adjusted == sorted(adjusted)


def test_single_cells_are_corrected_by_holm() -> None:
    ps = np.array([0.01, 0.04, 0.03, 0.005])
    holm = {0: 0.03, 1: 0.06, 2: 0.06, 3: 0.02}  # by hand: 3·.01, max(3·.01, 2·.03), …, 4·.005
    found = adjusted_p({index: [p] for index, p in enumerate(ps)})
    assert {key: value[0] for key, value in found.items()} == pytest.approx(holm)


def test_one_chain_is_tested_in_fixed_sequence_without_loss() -> None:
    assert correct_failures({"bandwagon": [0.04, 0.05, 0.2, 0.001]}) == {"bandwagon": [True, True, False, False]}


def test_a_finished_chain_hands_its_share_on() -> None:
    both = correct_failures({"a": [0.02, 0.025], "b": [0.04]})
    assert both == {"a": [True, True], "b": [True]}  # b's .04 needs the whole .05
    assert correct_failures({"a": [0.02, 0.5], "b": [0.04]})["b"] == [False]


def test_nothing_to_correct() -> None:
    assert correct_failures({}) == {}
    assert correct_failures({"a": []}) == {"a": []}


def test_alien_p_values_are_refused() -> None:
    for alien in (float("nan"), -0.01, 1.01):
        with pytest.raises(InputError, match=r"\[0, 1\]"):
            correct_failures({"a": [0.5, alien]})


def test_an_adjusted_p_value_is_at_most_1() -> None:
    assert adjusted_p({"a": [0.9], "b": [0.8]}) == {"a": [1.0], "b": [1.0]}
