"""From what the user named to the bytes of one file: folders of known layouts, gzip, and what cannot be read."""

from __future__ import annotations

import difflib
import gzip
import zlib
from pathlib import Path

from robust.errors import InputError

LAYOUTS = ("ratings.dat", "ratings.csv", "u.data", "*.inter")
TABLES = ("*.parquet", "*.csv", "*.tsv")
PACKED = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def locate(path: Path) -> Path:
    """The one log that `path` names: itself, or the log inside a folder (`ml-1m/ratings.dat`, `ml-100k/*.inter`, …).

    Raises:
        InputError: nothing is there, or a folder holds no log, or several.
    """
    try:
        if path.is_dir():
            return _inside(path)
        if path.exists():
            return path
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError as error:
        raise InputError(
            f"{path} cannot be reached: {error.strerror}. Check its name and its folders' rights."
        ) from error
    near = difflib.get_close_matches(path.name, siblings, n=1, cutoff=0.75)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    raise InputError(f"{path}: no such file or folder{where}.{meant}")


def _inside(folder: Path) -> Path:
    for patterns in (LAYOUTS, TABLES):
        found = sorted(
            {file for p in patterns for file in (*folder.glob(p), *folder.glob(f"{p}.gz")) if file.is_file()}
        )
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise InputError(f"{folder} holds several logs: {names}. Name the one that is meant.")
    raise InputError(
        f"{folder} is a folder that holds no log. Expected one of {', '.join((*LAYOUTS, *TABLES))} in it, "
        "gzipped or not; or name the file itself."
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where it is gzip (told by its first bytes, not by its name).

    Raises:
        InputError: unreadable, empty, a gzip that is damaged or cut short, or packed in another way.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Expected a file that you may read.") from error
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path} is a gzip file that is damaged or was cut short. Copy it again.") from error
    for magic, kind in PACKED.items():
        if data.startswith(magic):
            raise InputError(f"{path} is packed ({kind}). Unpack it first; only gzip is read as it is.")
    if not data.strip():
        raise InputError(
            f"{path} is empty. Expected a row per interaction of a user with an item, or an id a line in a vocabulary."
        )
    return data
