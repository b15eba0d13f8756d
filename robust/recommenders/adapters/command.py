"""A command that trains: how companies retrain, so that what poisoning does to their own pipeline can be measured.

Each fit writes the log to a temporary folder, runs the command there, and opens what the command left in `{out}` by
any other adapter. Users are written as numbers, since a fake user has no id of its own and would stand out by it.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo, field_validator

from robust.errors import InputError, ModelFault
from robust.hidden import hidden
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters.base import ADAPTERS, Adapter, inside, parse_adapter, require_trust
from robust.recommenders.protocols import Capability, capabilities

PLACEHOLDERS = {
    "log": "the log as CSV: user, item, timestamp",
    "items": "the items' ids as CSV, in the order of the numbers 1…n_items",
    "out": "an empty folder for what the command makes",
    "seed": "a number that a fit is repeated by",
}
SHELL = re.compile(r"[|&;<>()$`*?~\n]")
"""Only a shell understands these; a command without them runs without one."""

TAIL, LONGEST_FILE = 15, 50_000_000


def _nested(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Adapter):
        return value
    if not isinstance(value, Mapping) or "adapter" not in value:
        raise ValueError(f"expected a mapping with the key 'adapter': one of {', '.join(ADAPTERS)}.")
    known = info.context or {}
    data = known.get("data", {}).get("recommend", value)
    return parse_adapter(dict(value), data, known.get("source", "recommend"))


class CommandAdapter(Adapter):
    """Trained by a command, and asked through another adapter.

    Attributes:
        fit: the command, with `{log}`, `{out}`, and if it wants them `{items}` and `{seed}`. It runs in the folder of
            the description, with the environment that `robust` has.
        recommend: how to ask what it made; paths are relative to `{out}`.
        timeout: seconds that a fit may take.
        offers: what the model that it makes can be asked for; more than lists must be said before the first fit.
        depends: further files that the training depends on: when they change, stored results are not used again. The
            files that the command names belong to these already.
    """

    fit: str
    recommend: Annotated[SerializeAsAny[Adapter], BeforeValidator(_nested)]
    timeout: float = Field(default=3600, gt=0)
    offers: Literal["lists", "scores", "gradients"] = "lists"
    depends: tuple[str, ...] = ()

    @field_validator("fit")
    @classmethod
    def _has_placeholders(cls, fit: str) -> str:
        for name in re.findall(r"(?<!\$)\{(\w+)\}", fit):
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            if name not in PLACEHOLDERS and near:
                raise ValueError(f"there is no placeholder {{{name}}}. Did you mean {{{near[0]}}}?")
        for name in ("log", "out"):
            if f"{{{name}}}" not in fit:
                raise ValueError(f"the command needs {{{name}}}, {PLACEHOLDERS[name]}; got '{fit}'.")
        try:
            shlex.split(fit)
        except ValueError as error:
            raise ValueError(f"'{fit}' is no command: {error}.") from error
        return fit

    def open(self, folder: Path) -> Any:
        """An unfitted model, whose `fit` runs the command.

        Raises:
            InputError: there is no such program, or the model that it makes needs `--trust-pickle`.
        """
        if why := self.recommend.runs_code:  # told before a training that may take hours, not after it
            require_trust(f"recommend: {self.recommend.adapter}", why)
        here = folder.resolve()
        if not SHELL.search(self.fit):
            program(self.fit, here)
        kind = {"lists": CommandModel, "scores": ScoringCommand, "gradients": DifferentiableCommand}[self.offers]
        return kind(self, here)


def program(command: str, folder: Path) -> str:
    """The program that a command starts: on the path, or in this folder.

    Raises:
        InputError: neither, or a file that is not executable.
    """
    name = (shlex.split(command) or [""])[0]
    local = folder / name
    if name and local.is_file():
        if not os.access(local, os.X_OK):
            raise InputError(f"'{local}' is not executable: chmod +x it, or name what runs it: 'sh {command}'.")
        return str(local)
    if found := shutil.which(name):
        return found
    raise InputError(f"fit: '{command}': there is no program '{name}', neither on the PATH nor in '{folder}'.")


class CommandModel:
    """Unfitted; every fit runs the command anew."""

    n_items = 0
    reads_item_ids = True

    def __init__(self, adapter: CommandAdapter, folder: Path) -> None:
        self.adapter, self.folder = adapter, folder
        # strings, since a model's fingerprint is made from its plain attributes
        self.description = adapter.model_dump_json()
        self.sources = _digest(adapter, folder)

    @property
    def lacks(self) -> dict[Capability, str]:
        """What its models are not asked for, since the description does not promise it."""
        said = f"its description says 'offers: {self.adapter.offers}'"
        return {} if self.adapter.offers == "gradients" else {"gradients": said, "scores": said}

    def fit(self, log: InteractionLog, *, seed: int) -> Any:
        """Write the log, run the command, open what it made. The same for one seed only if the command is.

        Raises:
            ModelFault: the command failed, hung, or left nothing that can be opened; its whole output is kept, and
                the message says where.
        """
        work = Path(tempfile.mkdtemp(prefix="robust-fit-"))
        out, output = work / "out", work / "output.txt"
        out.mkdir()
        write_log(log, work / "log.csv", work / "items.csv")
        places = {"log": work / "log.csv", "items": work / "items.csv", "out": out, "seed": seed}
        self._run({name: str(value) for name, value in places.items()}, output)
        if not any(out.iterdir()):
            raise ModelFault(
                f"The command '{self.adapter.fit}' ended well but wrote nothing to {{out}}: it must leave there what "
                f"'recommend' opens.{_quoted(output)}"
            )
        try:
            model = self.adapter.recommend.open(out)
        except InputError as error:
            made = ", ".join(sorted(path.name for path in out.iterdir())[:10])
            raise ModelFault(
                f"What the command '{self.adapter.fit}' made cannot be opened: {error} {{out}} holds {made}."
            ) from error
        weakref.finalize(model, shutil.rmtree, work, ignore_errors=True)  # a model may read its files while it lives
        if self.adapter.offers not in (able := capabilities(adapt(model))):
            raise ModelFault(
                f"'offers: {self.adapter.offers}' is promised, but the model has {', '.join(sorted(able))}."
            )
        return model

    def recommend(self, sequences: SequenceBatch, k: int) -> NoReturn:
        """Nothing yet.

        Raises:
            ModelFault: always.
        """
        raise ModelFault("A command has to be run before its model can be asked: call fit(log, seed=…).")

    def _run(self, places: Mapping[str, str], output: Path) -> None:
        adapter = self.adapter
        with output.open("wb") as sink:
            process = subprocess.Popen(
                _arguments(adapter.fit, places, self.folder),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,  # a file, since a pipe that a left-over child holds open would never end
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it starts can be ended with it
            )
            try:
                code = process.wait(adapter.timeout)
            except subprocess.TimeoutExpired as error:
                raise ModelFault(
                    f"The command '{adapter.fit}' was still running after {adapter.timeout:g} seconds and was ended. "
                    f"Give it longer with 'timeout: SECONDS'.{_quoted(output)}"
                ) from error
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
            raise ModelFault(f"The command '{adapter.fit}' {how}.{_quoted(output)}")


class ScoringCommand(CommandModel):
    """One whose model will score every item."""

    def score(self, sequences: SequenceBatch) -> NoReturn:
        """Nothing yet.

        Raises:
            ModelFault: always.
        """
        self.recommend(sequences, 1)


class DifferentiableCommand(ScoringCommand):
    """One whose model will let gradients through; the names say so before it is there."""

    item_embeddings: ClassVar[None] = None
    embed = score_embeddings = ScoringCommand.score


def write_log(log: InteractionLog, rows: Path, items: Path) -> None:
    """The log and its items' ids as CSV with a header; items without ids go by their numbers 1…n_items."""
    import pandas as pd

    ids = np.arange(1, log.n_items + 1) if log.item_ids is None else np.asarray(log.item_ids)
    pd.DataFrame({"user": log.user, "item": ids[log.item - 1], "timestamp": log.timestamp}).to_csv(rows, index=False)
    pd.DataFrame({"item": ids}).to_csv(items, index=False)


def _arguments(command: str, places: Mapping[str, str], folder: Path) -> list[str]:
    def filled(text: str, values: Mapping[str, str]) -> str:
        return re.sub(r"(?<!\$)\{(log|items|out|seed)\}", lambda found: values[found[1]], text)

    if SHELL.search(command):
        return ["/bin/sh", "-c", filled(command, {name: shlex.quote(value) for name, value in places.items()})]
    words = shlex.split(command)  # before the paths come in, which may hold spaces
    return [program(command, folder), *(filled(word, places) for word in words[1:])]


def _quoted(output: Path) -> str:
    lines = hidden(output.read_text(encoding="utf-8", errors="replace")).rstrip().splitlines()
    if not lines:
        return " It printed nothing."
    # a control character could rewrite the terminal's line
    last = "\n".join("  " + re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", line)[:300] for line in lines[-TAIL:])
    return f" Its last lines (all of them: {output}):\n{last}"


def _digest(adapter: CommandAdapter, folder: Path) -> str:
    import xxhash

    digest = xxhash.xxh128()
    named = {folder / word for word in shlex.split(adapter.fit) if not word.startswith("{") and len(word) < 256}
    paths = {path for path in named if path.is_file()} | {inside(folder, one) for one in adapter.depends}
    files = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    for file in sorted(files):
        digest.update(str(file.name).encode())
        # too large to read again and again: its size and time stand for it
        stat = file.stat()
        large = stat.st_size > LONGEST_FILE
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode() if large else file.read_bytes())
    return digest.hexdigest()
