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

from robust import completion as known
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
ScenarioArgument = Annotated[
    str, typer.Argument(help="A scenario's name or YAML file.", autocompletion=known.scenarios)
]
LogOption = Annotated[
    str | None, typer.Option("--log", help="Interaction log: a file, a folder, or a query.", autocompletion=known.logs)
]
ColumnsOption = Annotated[str | None, typer.Option(help="Column names: user=u,item=i,timestamp=t.")]
VocabularyOption = Annotated[
    str | None, typer.Option(help="Item ids in the order of the model's dense ids, one a line.")
]
NamesOption = Annotated[
    str | None, typer.Option("--names", help="A table with an item id and its name in a row, for reports.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A built-in's name, module:attribute, a checkpoint folder, or model.yaml.",
        autocompletion=known.models,
    ),
]
TrustOption = Annotated[
    bool, typer.Option("--trust-pickle", help="Open pickles and TorchScript files, which run code that is in them.")
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


def _trust(trust_pickle: bool) -> bool:
    """Tell the adapters, and the worker processes, that the user trusts the files; whether it is so."""
    from robust.recommenders.adapters.base import TRUST, trusted

    if trust_pickle:
        os.environ[TRUST] = "1"
    return trusted()


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
        trust_pickle=_trust(trust_pickle),
        names=rest.get("names"),
        show_ids=rest.get("show_ids"),
    )
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

    if baseline is not None:
        from robust.compare.baseline import check_baseline

        check_baseline(baseline, out)
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
        names=names,
        show_ids=show_ids,
        trust_pickle=trust_pickle,
    )
    with progress_bar() as progress:
        results = run_review(request, progress)
    write_report(results, out)
    print_console(results, out)
    code = exit_code(results, strict=strict)
    if baseline is not None:
        from robust.compare.baseline import compare_with

        code = compare_with(baseline, out, code, strict=strict)
    raise typer.Exit(code)


@app.command()
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
    _print(estimate(request), as_json)


@app.command()
def doctor(
    model: ModelOption = None,
    attack: Annotated[
        str | None, typer.Option("--attack", help="Check an attack instead, by its name.", autocompletion=known.attacks)
    ] = None,
    set_: SetOption = None,
    log: LogOption = None,
    columns: ColumnsOption = None,
    vocabulary: VocabularyOption = None,
    seed: SeedOption = 0,
    trust_pickle: TrustOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Is a model wired up right (padding, id shift, batches, order)? Does an attack play by the rules?"""
    from robust.doctor import examine, examine_attack

    _trust(trust_pickle)
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
    kind: Annotated[
        str,
        typer.Argument(
            help="attacks, defenses, recommenders, datasets, scenarios or metrics.", autocompletion=known.kinds
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What there is, ours and third parties' alike."""
    from robust.catalogue import listing, overview

    _print((listing if as_json else overview)(kind), as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Any plugin's name, or results-schema.", autocompletion=known.plugins)],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Parameters, defaults, threat model and source of one plugin."""
    from robust.catalogue import described, description

    _write(json.dumps(described(name), indent=1, ensure_ascii=False) if as_json else description(name))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    format: Annotated[
        Literal["console", "html", "md", "json", "junit", "sarif", "csv", "card"], typer.Option(help="Which form.")
    ] = "console",
    out: Annotated[Path | None, typer.Option("--out", help="Write it to this file instead.")] = None,
    names: NamesOption = None,
) -> None:
    """Print a run's report in another form, or write it to a file."""
    from robust.report import render, write_text
    from robust.report.console import print_console
    from robust.runner.export import read_results

    results = read_results(run)
    if names is not None:
        from robust.runner.targets import with_names

        results = with_names(results, Path(names))
    if out is not None:
        write_text(out, render(results, format))
    elif format == "console":
        print_console(results, run)
    else:
        _write(render(results, format))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
    run: Annotated[
        Path | None, typer.Option("--from", help="A run folder: its scenario, with bounds from what it measured.")
    ] = None,
) -> None:
    """Write a scenario, a test, a recommender and an attack to start from. Nothing is overwritten."""
    from robust.starter import proposed, starter, write_files

    for path in write_files(folder, starter() if run is None else proposed(run, folder)):
        _write(str(path))


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(help="The run folder of the version that is in use.")],
    candidate: Annotated[Path, typer.Argument(help="The run folder of the new version.")],
    margin: Annotated[str, typer.Option(help="Quality under attack that may be lost, of the base's.")] = "10%",
    exposure_margin: Annotated[str, typer.Option(help="Exposure that may be added, in percentage points.")] = "2pp",
    format: Annotated[Literal["console", "md", "json"], typer.Option(help="Which form.")] = "console",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; the same as --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 4 if something can't be told.")] = False,
) -> None:
    """Is a new version less robust? Exit code 1 if it is shown to be, 2 if the runs can't be compared."""
    from robust.compare import Margins
    from robust.compare import compare as compare_runs
    from robust.compare.console import print_comparison, render_markdown

    margins = Margins.parse(margin, exposure_margin)
    found = compare_runs(base, candidate, margins)
    if as_json or format == "json":
        _write(found.model_dump_json(by_alias=True, indent=1))
    elif format == "md":
        _write(render_markdown(found))
    else:
        print_comparison(found)
    raise typer.Exit(found.exit_code(strict=strict))


@app.command()
def attack(
    name: Annotated[str, typer.Argument(help="A poisoning attack's name.", autocompletion=known.log_attacks)],
    log: Annotated[str, typer.Option("--log", help="Interaction log.", autocompletion=known.logs)],
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
    name: Annotated[str, typer.Argument(help="A sanitiser's name.", autocompletion=known.sanitizers)],
    log: Annotated[str, typer.Option("--log", help="Interaction log.", autocompletion=known.logs)],
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
