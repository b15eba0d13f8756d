"""The guards' way to the counts of neighbouring items, which sanitisers share."""

from robust.defenses.transitions import Transitions

__all__ = ["Transitions"]
