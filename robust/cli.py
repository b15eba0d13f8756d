"""The command line: every command by its name, and what becomes of an error. Nothing heavy is imported at the top."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import typer

from robust.commands.catalogue import list_, show
from robust.commands.doctor import doctor
from robust.commands.pipes import readers_may_leave
from robust.commands.review import plan, review
from robust.commands.runs import compare, report
from robust.commands.starter import init
from robust.commands.workbench import attack, sanitize
from robust.errors import InputError, RobustError, UnknownName
from robust.leaderboard.commands import app as leaderboard
from robust.visible import message

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="How much worse does a sequential recommender get when somebody attacks it, and can a bound be promised?",
)

app.add_typer(leaderboard, name="leaderboard")
app.command()(review)
app.command()(plan)
app.command()(doctor)
app.command("list")(list_)
app.command()(show)
app.command()(report)
app.command()(init)
app.command()(compare)
app.command()(attack)
app.command()(sanitize)

INTERRUPTED = 130
Answer = TypeVar("Answer")


def _guarded(call: Callable[[], Answer]) -> Answer | int:
    try:
        return call()
    except (InputError, UnknownName) as error:
        sys.stderr.write(f"robust: {message(str(error))}\n")
        return 2
    except RobustError as error:
        sys.stderr.write(f"robust: {message(str(error))}\n")
        return 3
    except (KeyboardInterrupt, SystemExit) as leaving:
        if isinstance(leaving, SystemExit) and leaving.code != INTERRUPTED:  # typer turns an interrupt into this code
            raise
        sys.stderr.write("robust: interrupted; what is done is kept, and the same command goes on from there.\n")
        return INTERRUPTED


def main() -> None:
    """The console script."""
    # a container's first process gets no signal that it has not asked for, and docker and Kubernetes end it by this one
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with readers_may_leave():
        code = _guarded(lambda: app(standalone_mode=True))
    if isinstance(code, int):
        sys.exit(code)
