"""The command line: parse, call, print, return a code. No logic here, and nothing heavy is imported at the top."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from robust.errors import InputError, RobustError, UnknownName
from robust.leaderboard.commands import app as leaderboard

if TYPE_CHECKING:
    from robust.runner.prepare import Request

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="How much worse does a sequential recommender get when somebody attacks it, and can a bound be promised?",
)

app.add_typer(leaderboard, name="leaderboard")

Engine = Literal["serial", "processes"]
ScenarioArgument = Annotated[str, typer.Argument(help="A scenario's name or YAML file.")]
LogOption = Annotated[str | None, typer.Option("--log", help="Interaction log: a file or folder.")]
ColumnsOption = Annotated[str | None, typer.Option(help="Column names: user=u,item=i,timestamp=t.")]
VocabularyOption = Annotated[
    str | None, typer.Option(help="Item ids in the order of the model's dense ids, one a line.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="A built-in's name, module:attribute, or a checkpoint folder.")
]
SeedOption = Annotated[int, typer.Option(help="First seed; a review uses 3 to 10 consecutive ones.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="A parameter: NAME=VALUE, any number of them.")]
OutOption = Annotated[Path, typer.Option("--out", help="The run folder.")]


def _columns(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    from robust.datasets.columns import parse_columns

    return parse_columns(text)


def _minutes(text: str | None) -> float | None:
    """`30m`, `2h`, `90s` in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if match is None:
        raise InputError(f"--max-time '{text}': expected a number and a unit, such as 90s, 30m or 2h.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def _request(
    scenario: str,
    log: str | None,
    columns: str | None,
    vocabulary: str | None,
    model: str | None,
    seed: int,
    out: Path = Path("robust-out"),
    **rest: Any,
) -> Request:
    from robust.runner.prepare import Request, review_command

    said = review_command(scenario=scenario, log=log, columns=columns, vocabulary=vocabulary, model=model, seed=seed)
    return Request(
        scenario=scenario,
        out=out,
        log=log,
        columns=_columns(columns),
        vocabulary=vocabulary,
        model=model,
        seed=seed,
        command=said,
        **rest,
    )


@app.command()
def review(
    scenario: ScenarioArgument = "quick",
    log: LogOption = None,
    columns: ColumnsOption = None,
    vocabulary: VocabularyOption = None,
    model: ModelOption = None,
    out: OutOption = Path("robust-out"),
    seed: SeedOption = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes; one thread each.")] = os.cpu_count() or 1,
    engine: Annotated[Engine, typer.Option(help="Where steps run.")] = "processes",
    max_time: Annotated[str | None, typer.Option(help="Start nothing new after this long: 30m.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 if a cell is INCONCLUSIVE.")] = False,
) -> None:
    """Attack a recommender and judge every bound: a verdict per threat, a report, an exit code."""
    from robust.report import write_report
    from robust.report.console import print_console
    from robust.report.terminal import progress_bar
    from robust.runner.review import review as run_review
    from robust.runner.summary import exit_code

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
        max_time=_minutes(max_time),
    )
    with progress_bar() as progress:
        results = run_review(request, progress)
    write_report(results, out)
    print_console(results, out)
    raise typer.Exit(exit_code(results, strict=strict))


@app.command()
def plan(
    scenario: ScenarioArgument = "quick",
    log: LogOption = None,
    columns: ColumnsOption = None,
    vocabulary: VocabularyOption = None,
    model: ModelOption = None,
    seed: SeedOption = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes; one thread each.")] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What that review would run: cells, steps, minutes (from a rehearsal in miniature), memory."""
    from robust.runner.estimate import estimate

    request = _request(scenario, log, columns, vocabulary, model, seed, workers=workers)
    _print(estimate(request), as_json)


@app.command()
def doctor(
    model: ModelOption = None,
    attack: Annotated[str | None, typer.Option("--attack", help="Check an attack instead, by its name.")] = None,
    set_: SetOption = None,
    log: LogOption = None,
    columns: ColumnsOption = None,
    vocabulary: VocabularyOption = None,
    seed: SeedOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Is a model wired up right (padding, id shift, batches, order)? Does an attack play by the rules?"""
    from robust.doctor import examine, examine_attack

    if model is not None and attack is None:
        examination = examine(model, log=log, columns=_columns(columns), vocabulary=vocabulary, seed=seed)
    elif attack is not None and model is None:
        examination = examine_attack(attack, _settings(set_), seed=seed)
    else:
        raise InputError("robust doctor examines one thing: give --model SPEC or --attack NAME.")
    _print(examination.rows(), as_json)
    raise typer.Exit(0 if examination.healthy else 3)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="attacks, defenses, recommenders, datasets, scenarios or metrics.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What there is, ours and third parties' alike."""
    from robust.catalogue import listing, overview

    _print((listing if as_json else overview)(kind), as_json)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Any plugin's name, or results-schema.")]) -> None:
    """Parameters, defaults, threat model and source of one plugin."""
    from robust.catalogue import description

    _write(description(name))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    format: Annotated[Literal["console", "html", "md", "json"], typer.Option(help="Which form.")] = "console",
) -> None:
    """Print a run's report in another form."""
    from robust.report import render
    from robust.report.console import print_console
    from robust.runner.export import read_results

    results = read_results(run)
    if format == "console":
        print_console(results, run)
    else:
        _write(render(results, format))


@app.command()
def attack(
    name: Annotated[str, typer.Argument(help="A poisoning attack's name.")],
    log: Annotated[str, typer.Option("--log", help="Interaction log.")],
    goal: Annotated[str, typer.Option(help="promote:ITEM[,ITEM…] or promote:cold*5.")],
    budget: Annotated[str, typer.Option(help="users=1%[,profile_length=20].")],
    out: Annotated[Path, typer.Option("--out", help="CSV or Parquet file to write.")],
    set_: SetOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write the poisoned log."""
    from robust.workbench import write_attacked

    said = write_attacked(
        name, log, goal=goal, budget=budget, out=out, settings=_settings(set_), columns=_columns(columns), seed=seed
    )
    _print(said, False)


@app.command()
def sanitize(
    name: Annotated[str, typer.Argument(help="A sanitiser's name.")],
    log: Annotated[str, typer.Option("--log", help="Interaction log.")],
    out: Annotated[Path, typer.Option("--out", help="CSV or Parquet file to write; scores go beside it.")],
    set_: SetOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write the kept log and the suspicion scores."""
    from robust.workbench import write_sanitized

    said = write_sanitized(name, log, out=out, settings=_settings(set_), columns=_columns(columns), seed=seed)
    _print(said, False)


def _settings(pairs: list[str] | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator:
            raise InputError(f"--set '{pair}': expected NAME=VALUE.")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def _write(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _write(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from robust.report.terminal import print_rows

    print_rows(rows)


Answer = TypeVar("Answer")


def _guarded(call: Callable[[], Answer]) -> Answer | int:
    try:
        return call()
    except (InputError, UnknownName) as error:
        sys.stderr.write(f"robust: {error}\n")
        return 2
    except RobustError as error:
        sys.stderr.write(f"robust: {error}\n")
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("robust: interrupted; what is done is kept, and the same command goes on from there.\n")
        return 130


def main() -> None:
    """The console script."""
    code = _guarded(lambda: app(standalone_mode=True))
    if isinstance(code, int):
        sys.exit(code)
