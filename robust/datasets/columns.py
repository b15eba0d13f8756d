"""Which column of a file is the user, which the item, which the time."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from robust.errors import InputError, UnknownName

ROLES = ("user", "item", "timestamp")
# Compared in lower case, without `_`, `-` and spaces; the first that is present wins.
ALIASES = {
    "user": ("user", "userid", "uid", "visitorid", "customerid", "reviewerid", "sessionid"),
    "item": ("item", "itemid", "iid", "movieid", "productid", "parentasin", "asin", "trackid", "artistid", "newsid"),
    "timestamp": ("timestamp", "ts", "time", "unixtime", "unixreviewtime", "datetime", "eventtime", "date"),
}
# Words that only lead a message to propose a column: too loose to be trusted.
HINTS = {
    "user": ("user", "visitor", "customer", "client", "account", "member", "buyer", "reviewer", "person", "session"),
    "item": ("item", "sku", "product", "article", "content", "movie", "song", "track", "video", "book", "title", "url"),
    "timestamp": ("time", "date", "when", "created", "at", "ts"),
}
LONGEST = 60  # characters of a name that is worth typing
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # of created_at, createdAt and CREATED-AT
# Files without a header: MovieLens' u.data and ratings.dat (and Amazon's ratings), and SASRec's text.
HEADERLESS = {2: ("user", "item"), 4: ("user", "item", "rating", "timestamp")}


def parse_columns(text: str, option: str = "--columns") -> dict[str, str]:
    """`user=u,item=i,timestamp=t` as role → name.

    Raises:
        UnknownName: a role that there is not. InputError: a part that cannot be read. Both name `option`.
    """
    pairs = {}
    for part in text.split(","):
        role, separator, name = (word.strip() for word in part.partition("="))
        if not separator or not name:
            raise InputError(
                f"{option} '{text}': expected user=NAME,item=NAME,timestamp=NAME; could not read '{part}'."
            )
        if role not in ROLES:
            raise UnknownName(f"role in {option} '{text}':", role, ROLES)
        pairs[role] = name
    return pairs


def normal(name: str) -> str:
    """A column name as aliases are compared."""
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def is_known(name: str, columns: Mapping[str, str] | None) -> bool:
    """Whether a field of a file's first line can only be a column's name; a number is a position, or data."""
    mapped = name in (columns or {}).values() and not name.isdigit()
    return mapped or any(normal(name) in aliases for aliases in ALIASES.values())


def choose(names: Sequence[str] | None, width: int, columns: Mapping[str, str] | None, path: Path) -> dict[str, int]:
    """The position of each role's column; `timestamp` is left out where the file has none.

    Args:
        names: the header, or None where there is none: columns are then called by their position, "1", "2", …
        width: number of columns.
        columns: the user's mapping, role → name; a role that it leaves out is found by its usual names.

    Raises:
        UnknownName: the mapping names a role or a column that does not exist.
        InputError: the user or the item column cannot be found, or a name that is needed stands twice.
    """
    for role in columns or {}:
        if role not in ROLES:
            raise UnknownName("column role", role, ROLES)
    header = list(names) if names is not None else [str(place) for place in range(1, width + 1)]
    usual = header if names is not None else list(HEADERLESS.get(width, header))
    chosen = {}
    for role in ROLES:
        given = (columns or {}).get(role)
        if given is not None:
            if given not in header:
                places = "" if names is not None else ", which has no header, so that its columns are called by place"
                raise UnknownName(f"column (in {path}{places})", given, header)
            name, among = given, header
        else:
            present = {normal(name): name for name in usual}
            found = next((present[alias] for alias in ALIASES[role] if alias in present), None)
            if found is None:
                continue
            name, among = found, usual
        if among.count(name) > 1:
            raise InputError(f"{path}: the header names the column '{name}' {among.count(name)} times.")
        chosen[role] = among.index(name)
    missing = [role for role in ROLES[:2] if role not in chosen]
    if missing:
        listed = textwrap.shorten(", ".join(header), 200, placeholder=" …")
        have = f"Its columns: {listed}" if names is not None else f"It has no header, and rows of {width} fields"
        raise InputError(
            f"{path} has no column for {' and '.join(missing)}. {have}. "
            f"{_proposal(header, chosen, columns or {}, missing)}"
        )
    if len(set(chosen.values())) < len(chosen):
        raise InputError(f"{path}: user, item and timestamp must be different columns; got {columns}.")
    return chosen


def _proposal(header: list[str], chosen: Mapping[str, int], columns: Mapping[str, str], missing: list[str]) -> str:
    """What to type: the roles that were not found, by the words in columns' names, else by the columns' order."""
    stands = Counter(header)
    free = [
        name
        for place, name in enumerate(header)
        if place not in chosen.values() and stands[name] == 1 and 0 < len(name) <= LONGEST and "," not in name
    ]
    if len(free) < len(missing):
        return "Expected a table with a row per interaction of a user with an item."
    proposed = dict(columns)
    for role in ROLES:
        hinted = (name for name in free if {word.lower() for word in _WORD.findall(name)} & set(HINTS[role]))
        if role not in chosen and (name := next(hinted, "")):
            proposed[role] = name
            free.remove(name)
    for role, place in (("user", 0), ("item", 0), ("timestamp", -1)):
        if role not in (*chosen, *proposed) and free:
            proposed[role] = free.pop(place)
    mapping = ",".join(f"{role}={proposed[role]}" for role in ROLES if role in proposed)
    return f"Say which is which, such as --columns {shlex.quote(mapping)}."
