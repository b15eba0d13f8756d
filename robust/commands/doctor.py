"""`robust doctor`: examine a model or an attack."""

from __future__ import annotations

from typing import Annotated

import typer

from robust import completion as known
from robust.commands.options import (
    ColumnsOption,
    LogOption,
    ModelOption,
    SeedOption,
    SetOption,
    TrustOption,
    VocabularyOption,
    parse_columns,
    parse_settings,
    trust_pickles,
)
from robust.commands.printing import write_rows
from robust.errors import InputError


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

    trust_pickles(trust_pickle)
    if model is not None and attack is None:
        examination = examine(model, log=log, columns=parse_columns(columns), vocabulary=vocabulary, seed=seed)
    elif attack is not None and model is None:
        examination = examine_attack(attack, parse_settings(set_), seed=seed)
    else:
        raise InputError("robust doctor examines one thing: give --model SPEC or --attack NAME.")
    write_rows(examination.rows(), as_json)
    raise typer.Exit(0 if examination.healthy else 3)
