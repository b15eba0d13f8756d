"""Seeds that lie far from the rest.

The interval over seeds assumes near-normal seed effects. If one training in ten collapses, no formula over 3 to 10
seeds is right (docs/statistics.md), so a report shows every seed's point and warns about one that stands apart.

Rule: |x − median| > c_S · MAD, the median absolute deviation being robust to almost half of the seeds. The cut-offs
c_S were simulated so that one sample in twenty of S normal values is warned about; at S = 3, where the MAD is the
smaller of two gaps, the cut-off is high and only a glaring seed is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CUTOFFS: dict[int, float] = {3: 32.6, 4: 10.3, 5: 11.7, 6: 8.2, 7: 8.7, 8: 7.3, 9: 7.5, 10: 6.8}
"""Number of seeds → cut-off in units of the MAD; the last holds for more seeds, too."""


def seed_outliers(points: Sequence[float] | NDArray[np.floating], *, at_least: float = 0.005) -> list[int]:
    """Indices of seeds far from the rest.

    Args:
        points: each seed's change, in report units. at_least: a nearer seed is not worth a warning.

    Returns:
        Ascending indices; empty for fewer than 3 seeds, where nobody can say which is the odd one.
    """
    values = np.asarray(points, dtype=np.float64)
    if len(values) < min(CUTOFFS):
        return []
    distance = np.abs(values - np.median(values))
    cutoff = CUTOFFS[max(size for size in CUTOFFS if size <= len(values))]
    far = (distance > cutoff * np.median(distance)) & (distance > at_least)
    return [int(index) for index in np.flatnonzero(far)]
