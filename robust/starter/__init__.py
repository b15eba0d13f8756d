"""`robust init`: a folder to start from; or, from a finished run, its scenario with bounds that the run proposes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from robust.errors import InputError

FILES = (
    "README.md",
    "scenario.robust.yaml",
    "test_robustness.py",
    "my_model.py",
    "my_attack.py",
    "pyproject.toml",
)


def starter() -> dict[str, str]:
    """Name and text of each file of a working example: a scenario, a test, a recommender, an attack, how to go on."""
    return {name: _template(name) for name in FILES}


def proposed(run: Path, folder: Path) -> dict[str, str]:
    """Name and text of each file for a finished run: its scenario with proposed bounds, and how to go on.

    Args:
        run: a run folder. folder: where the files will lie; paths in the scenario are written to be found from there.

    Raises:
        InputError: it is no run folder, or measured nothing to propose a bound from.
    """
    from robust.runner.export import read_results
    from robust.starter.proposal import commands, scenario_with_bounds

    results = read_results(run)
    return {
        "README.md": _template("proposed.md").replace("{commands}", commands(results, folder)),
        "scenario.robust.yaml": scenario_with_bounds(results, run, folder),
    }


def write_files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write these files into a folder, which is made if need be; all of them, or none.

    Raises:
        InputError: one of them is there already, or the folder cannot be written.
    """
    paths = {folder / name: text for name, text in contents.items()}
    there = [path.name for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise InputError(
            f"'{folder}' holds {', '.join(there)} already, and nothing is overwritten: "
            "name another folder (robust init FOLDER), or move what is there."
        )
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            with path.open("x", encoding="utf-8") as stream:  # also if it appeared since
                written.append(path)
                stream.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise InputError(f"'{folder}' cannot be written: {error.strerror or error}. Name another folder.") from error
    return written


def _template(name: str) -> str:
    return (files(__name__) / "files" / f"{name}.in").read_text(encoding="utf-8")
