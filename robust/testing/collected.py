"""Scenario files as pytest items: `*.robust.yaml`, one item per cell.

Cells share one store, across items, runs and xdist's workers. All selected cells of a file are measured together when
its first item runs: on as many processes as there are cores, or by xdist's workers side by side; with `-x`, one by one.

pytest makes a node of every file beside the one that it was asked for, so nothing heavy is imported before `collect`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robust.errors import RobustError
from robust.testing.options import once_more, options

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TracebackStyle

    from robust.runner.results import CellResult
    from robust.testing.cells import Cells


class CellError(Exception):
    """A cell could not be measured as it should: verdict ERROR."""


class RobustFile(pytest.File):
    """A scenario file."""

    cells: Cells

    def collect(self) -> Iterator[RobustItem]:
        """One item per cell; nothing is measured yet."""
        from robust.runner.prepare import Request, review_command
        from robust.testing.cells import Cells

        given = options(self.config)
        shared = hasattr(self.config, "workerinput")
        store = given.store
        store.mkdir(parents=True, exist_ok=True)
        (store / ".gitignore").write_text("*\n", encoding="utf-8")
        command = review_command(
            os.path.relpath(self.path),
            log=given.log,
            columns=given.columns and ",".join(f"{role}={name}" for role, name in given.columns.items()),
            vocabulary=given.vocabulary,
            model=given.model,
            seed=given.seed,
        )
        request = Request(
            scenario=str(self.path),
            out=store,
            log=given.log,
            columns=given.columns,
            vocabulary=given.vocabulary,
            model=given.model,
            seed=given.seed,
            workers=1 if shared else given.workers,
            engine="shared" if shared else "processes",
            command=command,
        )
        try:
            self.cells = Cells.of(request)
        except RobustError as error:
            raise self.CollectError(str(error)) from error
        for cell in self.cells.names:
            yield RobustItem.from_parent(self, name=cell)

    def found(self, item: RobustItem) -> CellResult:
        """What was found of this item's cell; measures it, and others with it, if it was not yet."""
        if item.name not in self.cells.found:
            alone = self.config.getoption("maxfail", 0)
            together = [item] if alone else [other for other in self.session.items if other.parent is self]
            self.cells.run([other.name for other in together])
        return self.cells.found[item.name]


class RobustItem(pytest.Item):
    """A cell: one attack, at one budget, on one victim behind one defence."""

    parent: RobustFile

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.add_marker("robust")

    def runtest(self) -> None:
        """Measure the cell. FAIL and ERROR raise, INCONCLUSIVE warns, NOT_APPLICABLE skips."""
        from robust.bounds import BoundBroken, InconclusiveBound
        from robust.testing.telling import message, properties

        cell = self.parent.found(self)
        self.user_properties.extend(properties(cell))
        if cell.verdict == "FAIL" and cell.accepted:
            pytest.xfail(f"accepted: {cell.accepted}")
        if cell.verdict == "FAIL":
            raise BoundBroken(message(cell, once_more(self.config, self.nodeid), self.parent.cells.pairs))
        if cell.verdict == "ERROR":
            raise CellError(message(cell, once_more(self.config, self.nodeid), self.parent.cells.pairs))
        if cell.verdict == "NOT_APPLICABLE":
            pytest.skip(cell.reason)
        if cell.verdict == "INCONCLUSIVE":
            if options(self.config).strict:
                raise BoundBroken(message(cell, once_more(self.config, self.nodeid), self.parent.cells.pairs))
            warnings.warn(f"{cell.id}: not decided. {cell.reason}", InconclusiveBound, stacklevel=1)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: TracebackStyle | None = None) -> str | Any:
        """Our own words for our own verdicts; a traceback for what nobody foresaw."""
        if isinstance(excinfo.value, (AssertionError, CellError, RobustError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The file, and the cell."""
        return self.path, None, self.name
