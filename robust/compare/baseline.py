"""`robust review --baseline`: the comparison after the review, and one exit code for both."""

from __future__ import annotations

import sys
from pathlib import Path

from robust.compare import compare
from robust.compare.console import print_comparison
from robust.compare.runs import read_run
from robust.errors import InputError
from robust.visible import message

PRIORITY = (1, 2, 3, 4)
"""Of two exit codes the first that either has: worse or a broken bound, not comparable, an error, undecided."""


def check_baseline(baseline: Path, out: Path) -> None:
    """Before a review runs for hours: is there a whole run to compare with, which the review will not overwrite?

    Raises:
        InputError: there is not.
    """
    read_run(baseline)
    folder = baseline if baseline.is_dir() else baseline.parent
    if folder.resolve() == out.resolve():
        raise InputError(f"--baseline '{baseline}' is the folder that --out writes to: give --out another one.")


def compare_with(baseline: Path, out: Path, code: int, *, strict: bool) -> int:
    """Compare a finished review with its baseline, print what is found, and say with what code both end.

    Args:
        code: the review's own exit code.
    """
    try:
        comparison = compare(baseline, out)
    except InputError as error:
        sys.stderr.write(f"robust: {message(str(error))}\n")
        return first_of(code, 2)
    print_comparison(comparison)
    return first_of(code, comparison.exit_code(strict=strict))


def first_of(*codes: int) -> int:
    """One exit code for several; 0 only if all are."""
    return next((code for code in PRIORITY if code in codes), 0)
