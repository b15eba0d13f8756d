"""The mutator itself: which faults it plants, what it leaves alone, and that nothing of them stays."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutants import mutants_of


def planted(source: str, folder: Path) -> list[str]:
    """What the one line of `source` that holds a fault becomes, for each fault."""
    file = folder / "module.py"
    file.write_text(source, encoding="utf-8")
    return [mutant.diff().split("\n+")[-1].strip() for mutant in mutants_of(file, "module.py")]


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("y = x < z", ["y = x <= z", "y = x >= z"]),
        ("y = x is None", ["y = x is not None"]),
        ("y = a + b", ["y = a - b"]),
        ("y -= b", ["y += b", "pass"]),
        ("y = a and b", ["y = a or b"]),
        ("y = not a", ["y = a"]),
        ("y = True", ["y = False"]),
        ("y = 3", ["y = 4", "y = 2"]),
        ("y = np.floor(max(a, b))", ["y = np.ceil(max(a, b))", "y = np.floor(min(a, b))"]),
        ("if a:\n    pass", ["if not a:"]),
        ("y = [i for i in a if i]", ["y = [i for i in a if not i]"]),
        ("def f():\n    return a", ["return None"]),
        ("while a():\n    break", ["while not a():", "continue"]),
        ("a[i] = b", ["pass"]),
        ("f(a)", ["pass"]),
        ("y = f'{a + b} items'", ["y = f'{a - b} items'"]),
    ],
)
def test_each_kind_of_fault(source: str, mutants: list[str], tmp_path: Path) -> None:
    assert planted(source, tmp_path) == mutants


@pytest.mark.parametrize(
    "source",
    [
        '"""Counts 1 and 2."""',
        "__all__ = ['a' + 'b']",
        "x: int | float",
        "def f(a: int | None) -> Literal[1, 2]:\n    '''Not 3.'''",
        "if TYPE_CHECKING:\n    x = 1",
        "Kind = Annotated[int | float, 3]",
        "y = 'text'",
    ],
)
def test_what_is_left_alone(source: str, tmp_path: Path) -> None:
    assert planted(source, tmp_path) == []


def test_an_error_may_be_lost_but_its_message_is_left_alone(tmp_path: Path) -> None:
    assert planted("raise ValueError(f'{100 * x} per cent')", tmp_path) == ["pass"]


def test_a_mutant_runs_with_its_fault_and_leaves_the_tree_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def least(a, b):\n    return a if a < b else b\n", encoding="utf-8")
    answers = set()
    mutants = mutants_of(file, "module.py")
    clean = ast.dump(mutants[0].tree)
    for mutant in mutants:
        names: dict[str, Any] = {}
        exec(mutant.compiled(), names)
        answers.add((names["least"](1, 2), names["least"](2, 2)))
        assert ast.dump(mutant.tree) == clean
    assert answers == {(1, 2), (2, 2), (None, None)}
