"""YAML that people write for us, read safely: no tags that make objects, no aliases, a limit, and lines to point at."""

from __future__ import annotations

import re
from typing import Any

from robust.errors import InputError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 64
MAX_TOKENS = 50_000
"""About 15,000 values, which take three seconds to read."""
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: an escape can state it, UTF-8 cannot
_LONG_NUMBER = re.compile(r"[-+]?(0[xob])?[0-9a-f_]{1000,}\.?", re.IGNORECASE)


def read_yaml(text: str, source: str) -> Any:
    """Containers that know their lines; `source` names the text in messages.

    Raises:
        InputError: too long or too deep, a number without end, not YAML, or an alias in it (a few lines of them can
            stand for gigabytes).
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.tokens import AliasToken, ScalarToken

    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{source} holds {len(text):,} characters; at most {MAX_CHARACTERS:,} are read.")
    yaml = YAML(typ="rt")
    try:
        depth = 0
        for place, token in enumerate(YAML(typ="rt").scan(text)):
            if place > MAX_TOKENS:
                raise InputError(
                    f"{source}, line {token.start_mark.line + 1}: more than {MAX_TOKENS:,} words and marks, too many "
                    "to be read."
                )
            if isinstance(token, ScalarToken) and token.plain and _LONG_NUMBER.match(token.value):
                raise InputError(
                    f"{source}, line {token.start_mark.line + 1}: a number of {len(token.value):,} digits. "
                    "If it is text, put it in quotes."
                )
            if isinstance(token, ScalarToken) and _HALF.search(token.value):
                raise InputError(f"{source}, line {token.start_mark.line + 1}: half a character (\\ud800 to \\udfff).")
            depth += _step(type(token).__name__)
            if depth > MAX_DEPTH:  # at once: scanning on would take minutes, and loading it the whole stack
                raise InputError(
                    f"{source}, line {token.start_mark.line + 1}: more than {MAX_DEPTH} levels within each other, too "
                    "deep to be read."
                )
            if isinstance(token, AliasToken):
                raise InputError(
                    f"{source}, line {token.start_mark.line + 1}: aliases (*{token.value}) are not read; "
                    "write the value out."
                )
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{where}: this is not valid YAML: {error.problem or error.context}.") from error
    except (YAMLError, ValueError) as error:
        raise InputError(f"{source}: this is not valid YAML: {str(error).splitlines()[0]}.") from error


def _step(token: str) -> int:
    """+1 where a token opens a list or a mapping, −1 where it closes one."""
    if token.endswith(("SequenceStartToken", "MappingStartToken")):
        return 1
    return -1 if token.endswith(("SequenceEndToken", "MappingEndToken", "BlockEndToken")) else 0


def plain(value: Any) -> Any:
    """ruamel's containers as plain ones."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value) if kind is not bool else bool(value)
    return value


def line_of(data: Any, path: list[Any]) -> int:
    """The line (from 1) at which the innermost known part of this path stands."""
    line: int = 1
    here: Any = data
    for part in path:
        try:
            marks = here.lc
            position = marks.key(part) if isinstance(here, dict) else marks.item(part)
            line = position[0] + 1
            here = here[part]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
    return line
