"""Space-separated text: SASRec's (`user item`, a line each) and S3Rec's (`user item item …`, one line per user).

Both give each user's items in order and no times. Kang & McAuley 2018, `data/*.txt` of kang205/SASRec; Zhou et al.
2020, `data/*.txt` of RUCAIBox/CIKM2020-S3Rec.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from robust.datasets.columns import choose
from robust.datasets.files import Empty
from robust.datasets.raw import RawLog
from robust.datasets.text import Layout
from robust.errors import InputError


def read_whitespace(path: Path, data: bytes, layout: Layout, columns: Mapping[str, str] | None) -> RawLog:
    """Tell the two forms apart by their shape: equal lines are a table, one line per user is S3Rec's form.

    Raises:
        InputError: lines of different widths although users stand on several lines; no rows; columns not found.
    """
    body = data[layout.start :]
    tokens = pa.array(body.split(), pa.binary()).cast(pa.string())
    widths = np.array([len(line.split()) for line in body.splitlines()], dtype=np.int64)
    lines = np.flatnonzero(widths) + len(data[: layout.start].splitlines()) + 1
    widths = widths[widths > 0]
    if not len(widths):
        raise Empty(f"{path} has a header ({', '.join(layout.header or ())}) but no rows.")
    starts = np.cumsum(widths) - widths
    users = tokens.take(pa.array(starts))
    if layout.header is None and (widths != 2).any() and len(users.unique()) == len(users):
        return _line_per_user(path, tokens, users, widths, lines)
    odd = np.flatnonzero(widths != layout.width)
    if len(odd):
        raise InputError(
            f"{path}, line {lines[odd[0]]}: {widths[odd[0]]} fields, but the first line has {layout.width}. Expected a "
            "line per interaction (user item), or a line per user (user item item …) with each user on one line only."
        )
    chosen = choose(layout.header, layout.width, columns, path)
    picked = {role: tokens.take(pa.array(starts + place)) for role, place in chosen.items()}
    return RawLog(path, picked["user"], picked["item"], picked.get("timestamp"), lambda row: f"line {lines[row]}")


def _line_per_user(path: Path, tokens: pa.Array, users: pa.Array, widths: np.ndarray, lines: np.ndarray) -> RawLog:
    line = np.repeat(np.arange(len(widths)), widths - 1)
    if not len(line):
        raise InputError(f"{path} names users but no items. Expected lines such as: user item item item")
    is_item = np.ones(len(tokens), dtype=bool)
    is_item[np.cumsum(widths) - widths] = False
    bare = int((widths == 1).sum())
    notes = (f"{bare} users have no items and were left out",) if bare else ()
    items = tokens.filter(pa.array(is_item))
    return RawLog(path, users.take(pa.array(line)), items, None, lambda row: f"line {lines[line[row]]}", notes)
