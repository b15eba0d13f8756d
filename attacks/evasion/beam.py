"""Beam search of edits: as `greedy`, but the `width` best forms of each level are gone on from.

Lowerre 1976 (speech); over edits of text: Ebrahimi et al., "HotFlip", ACL 2018, section 3.3, who keep a beam of flips.
One edit that looks second best may be half of the best two. `candidates` are shared by the forms of a level, so that a
beam asks no more than `greedy` does.

Known deviations: HotFlip's beam is ordered by first-order estimates; here by what the model answers.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from robust.attacks.evasion.edit_attack import SampledSearch


class Beam(SampledSearch):
    """The `width` best forms of each level, `candidates` questions a level in all.

    Attributes:
        width: forms that are gone on from.
    """

    name: ClassVar[str] = "beam"
    source: ClassVar[str] = "Ebrahimi et al., ACL 2018 (arXiv 1712.06751), section 3.3, by answers instead of gradients"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )

    width: int = Field(default=10, ge=1)

    def _kept(self) -> int:
        return self.width
