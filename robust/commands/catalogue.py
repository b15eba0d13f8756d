"""`robust list` and `robust show`: what there is, and what it takes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from robust import completion as known
from robust.commands.printing import write, write_rows


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

    write_rows((listing if as_json else overview)(kind), as_json)


def show(
    name: Annotated[str, typer.Argument(help="Any plugin's name, or results-schema.", autocompletion=known.plugins)],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Parameters, defaults, threat model and source of one plugin."""
    from robust.catalogue import described, description

    write(json.dumps(described(name), indent=1, ensure_ascii=False) if as_json else description(name))
