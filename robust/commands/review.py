"""`robust review` and `robust plan`: run a review, or say what it would take."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from robust import completion as known
from robust.commands.options import (
    ColumnsOption,
    LogOption,
    ModelOption,
    NamesOption,
    SeedOption,
    TrustOption,
    VocabularyOption,
    parse_columns,
    trust_pickles,
)
from robust.commands.printing import write_rows
from robust.errors import InputError

if TYPE_CHECKING:
    from robust.runner.prepare import Prepared, Request

Engine = Literal["serial", "processes"]
ScenarioArgument = Annotated[
    str, typer.Argument(help="A scenario's name or YAML file.", autocompletion=known.scenarios)
]
OutOption = Annotated[Path, typer.Option("--out", help="The run folder.")]


def _request(
    scenario: str,
    log: str | None,
    columns: str | None,
    vocabulary: str | None,
    model: str | None,
    seed: int,
    out: Path = Path("robust-out"),
    *,
    trust_pickle: bool,
    **rest: Any,
) -> Request:
    from robust.runner.prepare import Request, review_command

    said = review_command(
        scenario=scenario,
        log=log,
        columns=columns,
        vocabulary=vocabulary,
        model=model,
        seed=seed,
        trust_pickle=trust_pickles(trust_pickle),
        names=rest.get("names"),
        show_ids=rest.get("show_ids"),
    )
    return Request(
        scenario=scenario,
        out=out,
        log=log,
        columns=parse_columns(columns),
        vocabulary=vocabulary,
        model=model,
        seed=seed,
        command=said,
        **rest,
    )


def _seconds(text: str | None) -> float | None:
    """`30m`, `2h`, `90s` in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if match is None:
        raise InputError(f"--max-time '{text}': expected a number and a unit, such as 90s, 30m or 2h.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def review(
    scenario: ScenarioArgument = "quick",
    log: LogOption = None,
    columns: ColumnsOption = None,
    vocabulary: VocabularyOption = None,
    model: ModelOption = None,
    out: OutOption = Path("robust-out"),
    seed: SeedOption = 0,
    trust_pickle: TrustOption = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes; one thread each.")] = os.cpu_count() or 1,
    engine: Annotated[Engine, typer.Option(help="Where steps run.")] = "processes",
    max_time: Annotated[str | None, typer.Option(help="Start nothing new after this long: 30m.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 if a cell is INCONCLUSIVE.")] = False,
    names: NamesOption = None,
    show_ids: Annotated[
        bool, typer.Option("--show-ids", help="Your users' ids instead of pseudonyms in users.parquet.")
    ] = False,
    baseline: Annotated[Path | None, typer.Option("--baseline", help="A run folder to compare with, too.")] = None,
) -> None:
    """Attack a recommender and judge every bound: a verdict per threat, a report, an exit code."""
    from robust.report import write_report
    from robust.report.console import print_console
    from robust.report.terminal import progress_bar
    from robust.runner.review import review as run_review
    from robust.runner.summary import exit_code

    check: Callable[[Prepared], None] | None = None
    if baseline is not None:
        from robust.compare.baseline import check_against, read_baseline

        check = partial(check_against, read_baseline(baseline, out), seed=seed)
    request = _request(
        scenario,
        log,
        columns,
        vocabulary,
        model,
        seed,
        out,
        workers=workers,
        engine=engine,
        max_time=_seconds(max_time),
        names=names,
        show_ids=show_ids,
        trust_pickle=trust_pickle,
    )
    with progress_bar() as progress:
        results = run_review(request, progress, lambda line: typer.echo(f"robust: {line}", err=True), check)
    write_report(results, out)
    print_console(results, out)
    code = exit_code(results, strict=strict)
    if baseline is not None:
        from robust.compare.baseline import compare_with

        code = compare_with(baseline, out, code, strict=strict)
    raise typer.Exit(code)


def plan(
    scenario: ScenarioArgument = "quick",
    log: LogOption = None,
    columns: ColumnsOption = None,
    vocabulary: VocabularyOption = None,
    model: ModelOption = None,
    seed: SeedOption = 0,
    trust_pickle: TrustOption = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes; one thread each.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What that review would run: cells, steps, minutes (from a rehearsal in miniature), memory."""
    from robust.runner.estimate import estimate

    request = _request(scenario, log, columns, vocabulary, model, seed, workers=workers, trust_pickle=trust_pickle)
    write_rows(estimate(request), as_json)
