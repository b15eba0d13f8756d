"""Threat scenarios as YAML, found by name through the entry-point group `robust.scenarios`."""

from __future__ import annotations

from importlib.resources import files

QUICK = files(__name__) / "quick.yaml"
CI = files(__name__) / "ci.yaml"
RELEASE = files(__name__) / "release.yaml"
LEADERBOARD = files(__name__) / "leaderboard.yaml"
BLACK_BOX = files(__name__) / "black-box.yaml"
