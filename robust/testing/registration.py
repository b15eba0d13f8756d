"""What Hypothesis runs when it is imported (entry point `hypothesis`; HYPOTHESIS_NO_PLUGINS switches it off).

Cheap: settings profiles, and a note to register `from_type(InteractionLog)` and `from_type(SequenceBatch)` once their
module is imported. Until then nothing of ours is, numpy included.
"""

from __future__ import annotations

import sys
from typing import Any

import robust

PROFILES: dict[str, dict[str, Any]] = {
    # the same examples on every machine, and no deadline: a busy machine must not turn a true property red
    "robust-ci": {"max_examples": 200, "deadline": None, "derandomize": True, "print_blob": True},
    "robust-dev": {"max_examples": 25, "deadline": None},
}


def register() -> None:
    """Register the profiles `robust-ci` and `robust-dev`, and strategies for our types."""
    from hypothesis import settings

    for name, values in PROFILES.items():
        settings.register_profile(name, **values)
    if "robust.log" in sys.modules:
        register_types()
    elif register_types not in robust.when_log_is_imported:
        robust.when_log_is_imported.append(register_types)


def register_types() -> None:
    """`st.from_type(InteractionLog)` and `st.from_type(SequenceBatch)` give what our strategies draw."""
    from hypothesis import strategies as st

    log = sys.modules["robust.log"]

    def logs(_: Any) -> Any:
        from robust.testing.strategies import interaction_logs

        return interaction_logs()

    def batches(_: Any) -> Any:
        from robust.testing.strategies import sequence_batches

        return sequence_batches()

    st.register_type_strategy(log.InteractionLog, logs)
    st.register_type_strategy(log.SequenceBatch, batches)
