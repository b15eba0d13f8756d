"""The file or files that a path names: itself, the log in a folder of a known layout, or the parts of an export."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from robust.datasets.files import near_miss
from robust.errors import InputError

LAYOUTS = ("ratings.dat", "ratings.csv", "u.data", "*.inter")
TABLES = ("parquet", "csv", "tsv", "jsonl", "ndjson")
LAKES = {"_delta_log": "a Delta Lake", "metadata/version-hint.text": "an Iceberg", ".hoodie": "a Hudi"}
MOST_PARTS = 10_000


def locate(path: Path) -> list[Path]:
    """The files of a log, in natural order of their names (`part-2` before `part-10`), one after another.

    Raises:
        InputError: nothing is there, or a folder holds no log, or several that cannot be parts of one.
    """
    try:
        found = _inside(path) if path.is_dir() else [path] if path.exists() else None
        if found is not None:
            str(path.resolve()).encode()  # the name stands in every report
            return found
    except UnicodeEncodeError as error:
        raise InputError(
            f"The name of {str(path)!a} is not UTF-8. Rename it, or the folder that it lies in."
        ) from error
    except (OSError, ValueError) as error:  # a NUL in the name is no error of the system's
        raise InputError(
            f"{path} cannot be reached: {getattr(error, 'strerror', error)}. Check its name and its folders' rights."
        ) from error
    raise near_miss(path)


def _inside(folder: Path) -> list[Path]:
    for mark, kind in LAKES.items():
        if (folder / mark).exists():
            raise InputError(
                f"{folder} is {kind} table: which of its files count stands in its log, and the others hold rows that "
                "were deleted. Export the rows, or give a query."
            )
    known = sorted({file for p in LAYOUTS for file in (*folder.glob(p), *folder.glob(f"{p}.gz")) if file.is_file()})
    if len(known) > 1:
        raise InputError(f"{folder} holds several logs: {_listed(known)}. Name the one that is meant.")
    parts = known or _parts(folder.iterdir()) or _parts(folder.rglob("*"))
    if not parts:
        expected = ", ".join((*LAYOUTS, *(f"*.{kind}" for kind in TABLES)))
        raise InputError(
            f"{folder} is a folder that holds no log. Expected one of {expected} in it, "
            "gzipped or not; or name the file itself."
        )
    kinds = {kind_of(file) for file in parts}
    if len(kinds) > 1:
        raise InputError(
            f"{folder} holds several logs: {_listed(parts)}. Name the one that is meant; parts of one log are of one "
            "kind."
        )
    if len(parts) > MOST_PARTS:
        raise InputError(f"{folder} holds {len(parts):,} files; at most {MOST_PARTS:,} are read. Write fewer, larger.")
    return parts


def _parts(found: Iterable[Path]) -> list[Path]:
    return sorted(_tables(found), key=_natural)


def _tables(found: Iterable[Path]) -> Iterator[Path]:
    """Tables by their endings; what Spark and others write beside them begins with a dot or an underscore."""
    for file in found:
        if kind_of(file) in TABLES and file.name[0] not in "._" and file.is_file():
            yield file


def kind_of(file: Path) -> str:
    """`csv` for `part-1.csv.gz`; empty where there is no ending."""
    return file.name.lower().removesuffix(".gz").rpartition(".")[2]


def _natural(path: Path) -> list[tuple[int, str]]:
    """`part-10` as (0, part-), (10, ): numbers compare as numbers."""
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", str(path)) if word]


def _listed(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:5]) + (", …" if len(files) > 5 else "")
