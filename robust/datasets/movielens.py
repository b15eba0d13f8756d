"""MovieLens 100k, from where the user has it: its terms forbid shipping it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from robust.datasets.reader import open_log
from robust.errors import InputError
from robust.log import InteractionLog

VARIABLE = "ROBUST_ML100K"
EXAMPLE = Path("dataset_example", "ml-100k", "ml-100k.inter")


def load_100k() -> InteractionLog:
    """943 users, 1,682 items, 100,000 ratings, from the folder or file in ROBUST_ML100K, or from an installed RecBole.

    Harper & Konstan 2015, doi:10.1145/2827872. RecBole is only searched, never imported.

    Raises:
        InputError: neither is there.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return open_log(given, name="ml-100k")
    spec = find_spec("recbole")
    for package in (spec.submodule_search_locations or []) if spec else []:
        path = Path(package) / EXAMPLE
        if path.is_file():
            return open_log(path, name="ml-100k")
    raise InputError(
        f"ml-100k is not shipped (GroupLens does not allow it). Either name its folder or file in the environment "
        f"variable {VARIABLE}, or install RecBole, whose wheel holds it (pip install --no-deps recbole)."
    )
