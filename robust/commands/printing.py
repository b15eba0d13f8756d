"""Standard output: text, or rows as a table or as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any


def write(text: str) -> None:
    """Text, and a line end if it has none."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def write_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows as a table, or as JSON."""
    if as_json:
        write(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from robust.report.terminal import print_rows

    print_rows(rows)
