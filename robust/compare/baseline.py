"""`robust review --baseline`: a check before the review, the comparison after it, and one exit code for both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from robust.compare import compare
from robust.compare.comparable import check_will_compare
from robust.compare.console import print_comparison
from robust.compare.runs import Run, read_run
from robust.compare.stated import Stated
from robust.errors import InputError
from robust.visible import message

if TYPE_CHECKING:
    from robust.runner.prepare import Prepared

PRIORITY = (1, 2, 3, 4)
"""Of two exit codes the first that either has: worse or a broken bound, not comparable, an error, undecided."""


def read_baseline(baseline: Path, out: Path) -> Run:
    """Before a review reads anything: is there a whole run to compare with, which the review will not overwrite?

    Raises:
        InputError: there is not.
    """
    run = read_run(baseline)
    if run.folder.resolve() == out.resolve():
        raise InputError(f"--baseline '{baseline}' is the folder that --out writes to: give --out another one.")
    return run


def check_against(base: Run, prepared: Prepared, seed: int) -> None:
    """Before a review trains anything: will it be comparable, as far as that is known?

    Raises:
        InputError: it will not be, with every reason.
    """
    check_will_compare(base, Stated.of_review(prepared, seed))


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
