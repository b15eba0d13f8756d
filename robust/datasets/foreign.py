"""What is no log, told by its content and not by its name: pickles, archives, databases, other tables."""

from __future__ import annotations

import re
from pathlib import Path

from robust.errors import InputError

PACKED = {
    b"PK\x03\x04": "a zip archive, a spreadsheet or a torch checkpoint",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
OTHER = {
    b"ARROW1": "a Feather file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a numpy array",
}
DATABASES = {b"SQLite format 3\0": (0, "an SQLite", "adbc:sqlite:"), b"DUCK": (8, "a DuckDB", "duckdb:")}
HEAD = 256
# Protocols 2 to 5 open with their number; 0 and 1 are text, and open with an empty container or an import.
_PICKLE = re.compile(
    rb"\x80[\x02-\x05]|[\])}](q\x00|\.)|\([dl]p\d+\n|\([\])}]q|c[a-z_.]+\n[A-Za-z_]+\n((p\d+\n)?[(c]|q\x00)"
)


def check_kind(head: bytes, path: Path) -> None:
    """Refuse a file by its first `HEAD` bytes.

    Raises:
        InputError: it is a pickle, an archive, a database, or a table in a form that is not read, whatever its name.
    """
    if _PICKLE.match(head):
        raise InputError(
            f"{path} is a Python pickle, whatever its name: reading one runs the code in it, so it is never read as a "
            "log. Write the table as CSV, Parquet or JSON Lines."
        )
    for magic, kind in PACKED.items():
        if head.startswith(magic):
            raise InputError(f"{path} is packed ({kind}). Unpack it first; only gzip is read as it is.")
    for magic, (start, kind, driver) in DATABASES.items():
        if head[start : start + len(magic)] == magic:
            raise InputError(f"{path} is {kind} database. Say what to read from it: '{driver}{path}?query=SELECT …'.")
    for magic, kind in OTHER.items():
        if head.startswith(magic):
            raise InputError(f"{path} is {kind}, which is not read. Write it as Parquet, CSV or JSON Lines.")
