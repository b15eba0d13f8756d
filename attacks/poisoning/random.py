"""The random attack: target items among uniformly drawn filler.

Lam and Riedl, "Shilling Recommender Systems for Fun and Profit", WWW 2004; Mobasher et al., ACM TOIT 2007:
no selected items, filler uniform over the catalogue without the targets.

It needs the catalogue, and how fast people act, which every user of a platform sees: `log: popularity`.

Known deviations: the originals rate items (filler around the global mean, targets at the maximum). Implicit logs have
no ratings, so an attack is which items, in which order, at which times. `degrade` pushes nothing: random profiles as
in Betello et al., 2024 (arXiv 2410.09936), which hardly move utility. A fake profile without an item says nothing
against it, so there is no `demote`. With `order: alternate` it is the RandAlter control of Yue et al., RecSys 2021.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robust.access import AccessView
from robust.attacks.poisoning.profiles import Room, selected_and_filler
from robust.attacks.poisoning.template import Template
from robust.log import Int32


class Random(Template):
    """Fake users with the targets and random filler.

    Attributes:
        order, times: how a profile is arranged. length: share of the budget's profile length that is used.
    """

    name: ClassVar[str] = "random"
    source: ClassVar[str] = "Lam and Riedl, WWW 2004; implicit and ordered form ours"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0020",
        "atlas@5.6.1:AML.T0021",
        "atlas@5.6.1:AML.T0059",
        "nist-ai-100-2e2025:NISTAML.013",
        "nist-ai-100-2e2025:NISTAML.024",
        "ML02:2023",
    )
    goals: ClassVar[frozenset[str]] = frozenset({"promote", "degrade"})
    control: ClassVar[str | None] = None

    def others(self, access: AccessView, room: Room, rng: np.random.Generator) -> Int32:
        """Uniform filler."""
        return selected_and_filler(access.n_items, np.zeros(0, np.int32), room, rng)
