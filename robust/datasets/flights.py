"""The embedded log: two months of flights out of New York; see data/README.md for source and licence."""

from __future__ import annotations

from importlib.resources import as_file, files

from robust.datasets.reader import open_log
from robust.log import InteractionLog


def load() -> InteractionLog:
    """2,561 aircraft (users), 316 carrier-origin-destination routes (items), 49,072 flights with scheduled times."""
    with as_file(files("robust.datasets.data") / "flights.parquet") as path:
        return open_log(path, name="flights")
