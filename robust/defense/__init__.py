"""Base classes of defences.

`protect(recommender, *, log=None, seed) -> recommender` is the whole contract; what comes back offers only
capabilities that it honours. The bases spare an author the rest: `Sanitizer` (and `Detector`, with a threshold),
`TrainingDefense`, `InputGuard`, `ServingDefense`.
"""

from robust.defense.attacked import Attacked
from robust.defense.base import Cost, Defense, SeenThrough, Stage
from robust.defense.callers import Caller, Callers
from robust.defense.detector import Detector
from robust.defense.guard import GuardedRecommender, InputGuard, close_gaps
from robust.defense.sanitizer import SanitizedRecommender, Sanitizer
from robust.defense.serving import ServedRecommender, ServingDefense
from robust.defense.training import DefendedTraining, TrainingDefense

__all__ = [
    "Attacked",
    "Caller",
    "Callers",
    "Cost",
    "DefendedTraining",
    "Defense",
    "Detector",
    "GuardedRecommender",
    "InputGuard",
    "SanitizedRecommender",
    "Sanitizer",
    "SeenThrough",
    "ServedRecommender",
    "ServingDefense",
    "Stage",
    "TrainingDefense",
    "close_gaps",
]
