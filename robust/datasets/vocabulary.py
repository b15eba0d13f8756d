"""Which dense id each raw item id has: the log's own sorted ids, or a list that a fitted model came with."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robust.datasets.columns import ALIASES, normal
from robust.datasets.files import read_bytes
from robust.datasets.identifiers import Ids, integers
from robust.datasets.text import check_text
from robust.errors import InputError

DENSE = "dense"


def item_vocabulary(items: Ids, vocabulary: str | Path | None, path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The raw ids in dense order [n_items], and the dense id (1…n_items) of each of `items.values`.

    Args:
        items: the log's items.
        vocabulary: None for the log's own sorted ids; "dense" where the log holds the model's ids 1…n already; or a
            file that lists raw ids in the order of the model's dense ids: text (one a line), CSV with an item column,
            or JSON (a list, or an object raw id → dense id).
        path: the log, for messages.

    Raises:
        InputError: items that the vocabulary lacks; one that it names twice; "dense" ids that are not integers ≥ 1.
    """
    if vocabulary is None:
        return items.values, np.arange(1, len(items.values) + 1)
    if vocabulary == DENSE:
        if items.values.dtype.kind != "i" or items.values[0] < 1:
            raise InputError(
                f"{path}: dense item ids are integers from 1 (0 is padding); the first of this log's is "
                f"{items.values[0]!s}. Give a vocabulary file instead, or none to number the items anew."
            )
        if items.values[-1] > np.iinfo(np.int32).max:
            raise InputError(f"{path}: dense item ids go up to 2^31 − 1; got {items.values[-1]}.")
        return np.arange(1, int(items.values[-1]) + 1), items.values
    source = Path(vocabulary)
    raw = listed(source)
    numbers = integers(pa.array(raw)) if items.values.dtype.kind == "i" else None
    values = np.array(raw, dtype=np.str_) if numbers is None else numbers.to_numpy(zero_copy_only=False)
    wanted = items.values.astype(values.dtype) if numbers is not None else items.values.astype(np.str_)
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    if (twice := np.flatnonzero(ranked[1:] == ranked[:-1])).size:
        raise InputError(f"{source} lists the item '{ranked[twice[0]]}' twice; each item has one dense id.")
    place = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
    if (unknown := wanted[ranked[place] != wanted]).size:
        some = ", ".join(str(item) for item in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise InputError(
            f"{path} has {len(unknown)} items that the vocabulary {source} lacks: {some}. "
            "Drop their rows, or give the vocabulary that belongs to this log."
        )
    return values, order[place] + 1


def listed(source: Path) -> list[str]:
    """The raw ids of a vocabulary file, in its order.

    Raises:
        InputError: no such file, or not in one of its forms.
    """
    if not source.is_file():
        raise InputError(f"The vocabulary {source} is not a file. Expected a list of item ids, or the word '{DENSE}'.")
    data = read_bytes(source)
    check_text(data, source)
    text = data.decode("utf-8-sig")
    if source.suffix == ".json":
        return _from_json(text, source)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if source.suffix != ".csv":
        return lines
    rows = list(csv.reader(lines))
    column = next((rows[0].index(name) for name in rows[0] if normal(name) in ALIASES["item"]), None)
    if column is None and len(rows[0]) > 1:
        raise InputError(f"{source} has no item column among {', '.join(rows[0])}. Name the one with the ids 'item'.")
    body = rows if column is None else rows[1:]
    short = next((number for number, row in enumerate(body) if len(row) <= (column or 0)), None)
    if short is not None:
        raise InputError(f"{source}: row {short + 1} has too few fields to hold an item id.")
    return [row[column or 0].strip() for row in body]


def _from_json(text: str, source: Path) -> list[str]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}, line {error.lineno}: not JSON ({error.msg}).") from error
    if isinstance(content, dict):
        by_id = {dense: raw for raw, dense in content.items() if isinstance(dense, int) and dense != 0}  # 0: padding
        if sorted(by_id) != list(range(1, len(content) + 1 - (0 in content.values()))):
            raise InputError(f"{source}: an object must give the items the dense ids 1…n, each once (0 for padding).")
        return [str(by_id[dense]) for dense in sorted(by_id)]
    if not isinstance(content, list) or not content or not all(isinstance(raw, str | int) for raw in content):
        raise InputError(f"{source} must hold a list of item ids in dense order, or an object raw id → dense id.")
    return [str(raw) for raw in content]
