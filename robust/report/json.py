"""The results themselves, in a stable order, so that two reports can be compared line by line."""

from __future__ import annotations

import json
import math
from typing import Any

from robust.runner.results import Results


def render_json(results: Results) -> str:
    """All fields under their published names, keys sorted; a number that is not finite becomes null."""
    body = _finite(results.model_dump(by_alias=True))
    text = json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)
    return text.encode(errors="backslashreplace").decode() + "\n"  # a lone surrogate is written as JSON's own escape


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
