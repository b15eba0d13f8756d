"""Greedy search of edits: the best single edit, then the best one after it, and so on.

The black-box baseline of attacks on sequences of symbols (for text: Alzantot et al., EMNLP 2018, and Morris et al.,
"TextAttack", EMNLP 2020, section 3, name it among search methods; from memory). It needs lists only. With `candidates`
at least as large as the number of single edits each step is exact; on a real catalogue that is out of reach for
somebody who pays for questions, and candidates are spread evenly over all edits, so that every place and kind has its
share.

Known deviations: it goes on from the best edit of a level even if that edit alone does not help, since an edit may
need a second one first; what is returned is the best form of all levels, the clean one included. A swap of neighbours
counts 2, as the harness counts it, and competes with two single edits.
"""

from __future__ import annotations

from typing import ClassVar

from robust.attacks.evasion.edit_attack import SampledSearch


class Greedy(SampledSearch):
    """The best edit of each level, `candidates` questions a level.

    Attributes:
        candidates: edited forms that are tried at each level, per sequence; all of them where there are no more.
    """

    name: ClassVar[str] = "greedy"
    source: ClassVar[str] = "greedy search over edits, as in Morris et al., EMNLP 2020 (arXiv 2005.05909), section 3"
    tags: ClassVar[tuple[str, ...]] = (
        "atlas@5.6.1:AML.T0043.001",
        "atlas@5.6.1:AML.T0015",
        "nist-ai-100-2e2025:NISTAML.025",
        "ML01:2023",
    )
