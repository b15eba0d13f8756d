"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# speed is measured in benchmarks, never asserted: a busy machine must not turn a true property red
settings.register_profile("seqrobust", deadline=None)
settings.load_profile("seqrobust")
