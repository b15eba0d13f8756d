"""The results themselves, in a stable order, so that two reports can be compared line by line."""

from __future__ import annotations

import json

from robust.runner.results import Results


def render_json(results: Results) -> str:
    """All fields under their published names, keys sorted; a number that is not finite becomes null."""
    body = json.loads(results.model_dump_json(by_alias=True))
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
