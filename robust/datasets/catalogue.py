"""Logs by name: ours and third parties', found by entry points."""

from __future__ import annotations

from robust import plugins
from robust.errors import InputError
from robust.log import InteractionLog


def load_dataset(name: str) -> InteractionLog:
    """The log registered under this name in the group `robust.datasets`.

    Raises:
        UnknownName: nothing is registered under it.
        InputError: its loader cannot be imported, or gives something else than a log.
    """
    log = plugins.load("datasets", name)()
    if not isinstance(log, InteractionLog):
        raise InputError(f"The dataset '{name}' gave a {type(log).__name__}; its loader must return an InteractionLog.")
    return log
