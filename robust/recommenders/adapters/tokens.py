"""Which of a model's items each of the log's numbers 1…n_items means, where the model keeps a vocabulary of raw ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError
from robust.log import Int64


def order_of(tokens: NDArray[Any], listing: Path | None, *, partial: bool = False) -> tuple[NDArray[Any], Int64]:
    """The raw ids in the log's order [n_items], and the place of each in `tokens` (int64 [n_items], from 0).

    Args:
        tokens: the model's raw ids, in its own order.
        listing: a file that lists raw ids in the order of the log's numbers, as `--vocabulary` reads them; None where
            the log is numbered by its own sorted ids, and holds the same items as the model.
        partial: whether the file may list items that the model lacks; their place is −1.

    Raises:
        InputError: the file lists an item that the model lacks, or lacks one that the model has.
    """
    import pyarrow as pa

    from robust.datasets.identifiers import Ids, integers
    from robust.datasets.vocabulary import item_vocabulary

    numbers = integers(pa.array([str(token) for token in tokens]))
    known = tokens.astype(np.str_) if numbers is None else numbers.to_numpy(zero_copy_only=False)
    places = np.argsort(known, kind="stable")
    if listing is None:
        return known[places], places
    listed, dense = item_vocabulary(Ids(known[places], np.arange(len(known))), listing, Path("the model"))
    if len(listed) != len(known) and not partial:
        missing = sorted(set(listed.astype(np.str_)) - set(known.astype(np.str_)))[:5]
        raise InputError(
            f"'{listing}' lists {len(listed)} items, the model knows {len(known)}; it lacks {', '.join(missing)}, … "
            "List the model's own items, and give the same file as --vocabulary."
        )
    order = np.full(len(listed), -1, dtype=np.int64)
    order[dense - 1] = places
    return listed, order
