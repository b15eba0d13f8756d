"""Ranked ids and nothing else: no scores are served.

MITRE ATLAS (AML.M0002, "Passive ML Output Obfuscation"), and the setting of Yue et al., "Black-Box Attacks on
Sequential Recommenders via Data-Free Model Extraction", RecSys 2021, who need no more than such lists.
"""

from __future__ import annotations

from typing import ClassVar

from robust.defense import Callers, ServingDefense
from robust.log import Int32, SequenceBatch
from robust.recommenders.protocols import Capability, Float32


class IdsOnly(ServingDefense):
    """Serves the plain lists, and no scores."""

    name: ClassVar[str] = "ids-only"
    source: ClassVar[str] = "MITRE ATLAS 5.6.1, AML.M0002 (output obfuscation)"
    weaknesses: ClassVar[str] = (
        "Lists are enough for searches and for extraction (Yue et al., RecSys 2021). It is nothing to who holds the "
        "weights or a surrogate. What an attack may not see does not change what it does."
    )
    assumptions: ClassVar[str] = "An attacker needs scores, and has none but those that are served."
    offers: ClassVar[frozenset[Capability]] = frozenset({"lists"})

    def answer(
        self, lists: Int32, scores: Float32 | None, sequences: SequenceBatch, callers: Callers, seed: int
    ) -> Int32:
        """The plain lists."""
        return lists
