"""How many rows and bytes a file claims, against what its size and the memory allow: checked before it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from robust.errors import InputError

BYTES_PER_ROW = 128  # at the peak, while rows are sorted; 52 million took 80 (Parquet) to 120 (JSON Lines)
ROWS_PER_BYTE = 256  # no log is denser: its times and items are not all the same
FREE_ROWS = 1_000_000  # not worth a refusal, whatever the size of the file
BYTES_PER_VALUE = 1_024  # an id has at most 256 characters, of at most 4 bytes
FREE_BYTES = 1 << 26


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_rows(rows: int, source: Path | str) -> None:
    """Refuse what does not fit into memory.

    Raises:
        InputError: more rows than this machine can hold and sort.
    """
    needed = rows * BYTES_PER_ROW
    if needed > memory():
        raise InputError(
            f"{source} has {rows:,} rows. To sort them about {needed / 1e9:,.0f} GB of memory are needed, and this "
            f"machine has {memory() / 1e9:,.0f}. Give fewer rows: a shorter period, or a sample of users."
        )


def check_claim(rows: int, size: int, path: Path) -> None:
    """Refuse a footer that claims more rows than a file of `size` bytes can hold.

    Raises:
        InputError: it does, or the rows would not fit into memory.
    """
    if rows < 0 or rows > FREE_ROWS + ROWS_PER_BYTE * size:
        raise InputError(
            f"{path} claims {rows:,} rows, but has only {size:,} bytes, too few for a log of that length. "
            "Its footer is damaged or forged; write the file again."
        )
    check_rows(rows, path)


def check_width(sizes: Mapping[str, int], rows: int, path: Path) -> None:
    """Refuse a column whose values are too long for ids and times, before they are unpacked.

    Args:
        sizes: column → its bytes when unpacked, as the file states them. rows: how many values each column has.

    Raises:
        InputError: one of them is as long as free text or pictures are.
    """
    for name, size in sizes.items():
        if size > FREE_BYTES + BYTES_PER_VALUE * rows:
            raise InputError(
                f"{path}: the column '{name}' unpacks to {size:,} bytes for {rows:,} rows, too much for ids and times. "
                "Is it the right column?"
            )
