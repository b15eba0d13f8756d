"""A request body with placeholders, as people write it in YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

EACH = "$each"
NAMES = ("$sequence", "$sequences", "$k", "$batch", "$lengths", EACH)


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with each placeholder replaced by its value; `$each` becomes one object for each sequence.

    Args:
        template: mappings, lists and scalars; a string that is a name in `NAMES` is a placeholder.
        values: `$sequences`, `$k`, `$batch`, `$lengths`.
    """
    if isinstance(template, Mapping):
        if set(template) == {EACH}:
            pairs = zip(values["$sequences"], values["$lengths"], strict=True)
            return [filled(template[EACH], {**values, "$sequence": s, "$lengths": n}) for s, n in pairs]
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if isinstance(template, str) and template in NAMES:
        return values[template]
    return template


def placeholders(template: Any) -> Iterator[str]:
    """The placeholders of a template; those below `$each` come as `$each`, and an unknown `$name` as itself."""
    if isinstance(template, Mapping):
        if set(template) == {EACH}:
            yield EACH if "$sequence" in placeholders(template[EACH]) else "$each without $sequence"
            return
        for value in template.values():
            yield from placeholders(value)
    elif isinstance(template, list):
        for value in template:
            yield from placeholders(value)
    elif isinstance(template, str) and template.startswith("$"):
        yield template
